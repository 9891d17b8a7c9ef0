// The threads of a block, and barriers.
//
// Each thread is a fiber with a stack of its own. A fiber runs until it comes to a barrier or to
// its end; then the scheduler goes on with another. At a barrier a fiber waits until all the
// threads of the block (or of its warp) that have not ended wait there too.
#pragma once

struct uint3 { unsigned x, y, z; };
typedef uint3 dim3;

static uint3 threadIdx, blockIdx, blockDim, gridDim;
static const int warpSize = 32;
static const int MOST_THREADS = 1024;

// Variables in __shared__ memory are gathered in a section, so that it can be filled with 0xFF
// before each block: shared memory holds anything at first, and here NaN.
#define __shared__ static __attribute__((section("host_shared")))
extern char __start_host_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_host_shared[] __attribute__((weak, visibility("hidden")));

enum FiberState { READY, AT_BLOCK_BARRIER, AT_WARP_BARRIER, ENDED };

struct Fiber {
    FiberState state;
    int line;         // of the barrier that it waits at
    bool entered;     // it has run before, and goes on where `here` says
    jmp_buf here;
    ucontext_t start;
};

static Fiber* fibers = nullptr;  // of the block's threads; none if the kernel has no barriers
static jmp_buf scheduler;
static int current_thread, threads_in_block;
static const char* launch_error = nullptr;

static void be_thread(int thread) {
    current_thread = thread;
    threadIdx.x = thread % blockDim.x;
    threadIdx.y = thread / blockDim.x % blockDim.y;
    threadIdx.z = thread / blockDim.x / blockDim.y;
}

// Let the scheduler go on with another fiber. (_setjmp and _longjmp, unlike swapcontext, don't ask
// the operating system; the fiber's stack stays as it is until the jump back.)
static void __attribute__((noinline)) pause_in(FiberState state, int line) {
    Fiber& fiber = fibers[current_thread];
    fiber.state = state;
    fiber.line = line;
    if (!_setjmp(fiber.here)) _longjmp(scheduler, 1);
}

static void __attribute__((noinline)) resume(int thread) {
    Fiber& fiber = fibers[thread];
    be_thread(thread);
    fiber.state = READY;
    if (_setjmp(scheduler)) return;
    if (fiber.entered) _longjmp(fiber.here, 1);
    fiber.entered = true;
    setcontext(&fiber.start);
}

static void block_barrier(int line) {
    if (fibers) pause_in(AT_BLOCK_BARRIER, line);
}

static void warp_barrier(int line) {
    if (fibers) pause_in(AT_WARP_BARRIER, line);
}

// A barrier, and then for each thread how many of the block gave something that is not 0.
static int given_to_block[MOST_THREADS];
static int count_in_block(int value, int line) {
    given_to_block[current_thread] = value;
    block_barrier(line);
    int count = 0;
    for (int t = 0; t < threads_in_block; t++)
        if (fibers[t].state != ENDED) count += given_to_block[t] != 0;
    block_barrier(line);
    return count;
}

#define __syncthreads() block_barrier(__LINE__)
#define __syncthreads_count(value) count_in_block(value, __LINE__)
#define __syncthreads_or(value) (count_in_block(value, __LINE__) != 0)
#define __syncthreads_and(value) (count_in_block(!(value), __LINE__) == 0)
#define __syncwarp(...) warp_barrier(__LINE__)
static inline void __threadfence() {}
static inline void __threadfence_block() {}

// All that can go on has gone on: let the warps go on whose threads have met, or else the block.
// Returns false when all threads have ended.
static bool open_barriers() {
    int left = 0, ended = 0, line = -1;
    bool opened = false, lines_differ = false;
    for (int first = 0; first < threads_in_block; first += warpSize)
        for (int t = first; t < first + warpSize && t < threads_in_block; t++)
            if (fibers[t].state == AT_WARP_BARRIER) fibers[t].state = READY, opened = true;
    if (opened) return true;
    for (int t = 0; t < threads_in_block; t++) {
        if (fibers[t].state == ENDED) { ended++; continue; }
        left++;
        lines_differ |= line >= 0 && line != fibers[t].line;
        line = fibers[t].line;
        fibers[t].state = READY;
    }
    if (left && ended) launch_error = "a thread has ended before a __syncthreads() of its block";
    if (lines_differ) launch_error = "threads of a block wait at different __syncthreads()";
    return left > 0;
}
