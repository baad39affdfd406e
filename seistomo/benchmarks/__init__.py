"""Benchmarks: the papers' experiments, what the optimizers cost, how fast data sets are made."""
