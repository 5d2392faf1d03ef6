"""Benchmarks: ours beside the references, in one run. They report; nothing here asserts on time.

Run `python -m tests.bench --help`.
"""
