"""Older versions of the spec language: what they looked like, and what they are now."""
