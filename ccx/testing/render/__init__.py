"""A report of tests, laid out for people and for programs."""
