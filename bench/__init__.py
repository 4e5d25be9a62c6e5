"""Benchmarks, printed as tables. `make bench` runs them; no test is timed."""
