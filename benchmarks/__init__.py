"""Speed and accuracy against peers, run by hand: ``python -m benchmarks.throughput --help``."""
