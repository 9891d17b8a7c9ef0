// Enough of CUDA C++ to compile kernels with g++ and to run them on the processor.
//
// Included before a kernel's own source. Blocks run one after another. What the host cannot show:
// races between blocks, the order of atomics, rounding of the GPU's own functions, and speed.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <initializer_list>
#include <type_traits>
#include <utility>

#define __CUDACC_VER_MAJOR__ 13
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)

#include "host_threads.h"
#include "host_warps.h"
#include "host_atomics.h"
#include "host_math.h"
#include "host_launch.h"
