"""Studies on MNIST that go beyond the paper's tables."""
