"""The engine on an NVIDIA GPU: Triton kernels, and decoding as CUDA graphs."""
