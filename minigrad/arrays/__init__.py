"""Where numbers live: the array library, devices, memory used again, threads, BLAS, generators."""
