// CuPy's complex.cuh wants this of Thrust.
#pragma once
#define THRUST_NAMESPACE_BEGIN namespace thrust {
#define THRUST_NAMESPACE_END }
#define _CCCL_API
#define _CCCL_HOST_DEVICE
