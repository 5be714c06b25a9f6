"""Benchmarks, with the bars that they must hold: `python -m benchmarks`."""
