"""Minutes of mixed load on a real gateway process before a faulty upstream: `python -m tests.soak --minutes 10`."""
