"""CUDA kernels, each beside the NumPy version that is its oracle; see `minigrad.kernels.launch`."""
