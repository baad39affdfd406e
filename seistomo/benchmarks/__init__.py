"""Benchmarks: the papers' experiments, and what the optimizers cost."""
