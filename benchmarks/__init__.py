"""Benchmarks, and the bars that the compiled core must hold: `python -m benchmarks`."""
