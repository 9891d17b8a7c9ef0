"""Where numbers live, on a CPU or a GPU.

`library` and `devices` are the two libraries (NumPy, CuPy) and where an array is; `axes` and `sums`
help ops; `random` is the generator. The rest is for speed: `buffers` (memory that is used again),
`threads` and `blas` on the CPU, `kernel` and `cuda` on a GPU.
"""
