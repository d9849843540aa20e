"""numba kernels on plain arrays."""
