"""Benchmarks: how fast implementations of the loss layers are on this machine, beside each other and beside a plain
copy.

``lossconf bench`` is the way in; ``docs/bench.md`` says what is measured and how to read it. ``pytest bench`` times
one function after the other with pytest-benchmark.
"""
