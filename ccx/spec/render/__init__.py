"""Diagnostics as text, JSON, GitHub annotations, SARIF and JUnit: one renderer a file, all of the same reports."""
