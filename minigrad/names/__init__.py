"""The names that a Tensor answers to for people who know NumPy and PyTorch."""
