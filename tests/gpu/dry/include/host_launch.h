// Running a kernel over its grid.
#pragma once

static const size_t STACK = 64 << 10;  // bytes of each fiber
static const int MOST_SHARED = 227 << 10;
static char dynamic_shared[MOST_SHARED] __attribute__((aligned(64)));

struct Geometry {
    unsigned grid[3], block[3];
    unsigned shared_bytes;
    unsigned order;  // of the threads: 0 rising, 1 falling, 2 mixed
    unsigned has_barriers;
    unsigned strict;  // threads that miss a barrier are an error
};

static int thread_at(int place, unsigned order) {
    if (order == 1) return threads_in_block - 1 - place;
    if (order == 2 && threads_in_block % 7) return (int)(7LL * place % threads_in_block);
    return place;
}

template <class... Arguments> struct Kernel {
    static void (*function)(Arguments...);
    static void** arguments;  // pointers to them, as cuLaunchKernel is given them

    template <size_t... I> static void call(std::index_sequence<I...>) {
        function(*(typename std::remove_const<Arguments>::type*)arguments[I]...);
    }
    static void call_all() { call(std::index_sequence_for<Arguments...>{}); }

    // What a fiber does: one block's thread after another, since it is used for all blocks.
    static void live() {
        for (;;) {
            call_all();
            pause_in(ENDED, 0);
        }
    }

    static void run_block(unsigned order) {
        if (__start_host_shared)
            memset(__start_host_shared, 0xFF, __stop_host_shared - __start_host_shared);
        if (!fibers) {
            for (int i = 0; i < threads_in_block; i++) be_thread(thread_at(i, order)), call_all();
            return;
        }
        for (int t = 0; t < threads_in_block; t++) fibers[t].state = READY;
        do {
            for (int i = 0; i < threads_in_block; i++) {
                int t = thread_at(i, order);
                if (fibers[t].state == READY) resume(t);
            }
        } while (open_barriers());
    }

    static const char* run(void (*kernel)(Arguments...), const Geometry* g, void** given) {
        function = kernel;
        arguments = given;
        gridDim = {g->grid[0], g->grid[1], g->grid[2]};
        blockDim = {g->block[0], g->block[1], g->block[2]};
        threads_in_block = blockDim.x * blockDim.y * blockDim.z;
        launch_error = nullptr;
        char* stacks = nullptr;
        if (g->has_barriers) {
            stacks = (char*)malloc(STACK * threads_in_block);
            fibers = new Fiber[threads_in_block];
            for (int t = 0; t < threads_in_block; t++) {
                fibers[t].entered = false;
                getcontext(&fibers[t].start);
                fibers[t].start.uc_stack.ss_sp = stacks + STACK * t;
                fibers[t].start.uc_stack.ss_size = STACK;
                fibers[t].start.uc_link = nullptr;
                makecontext(&fibers[t].start, live, 0);
            }
        }
        for (unsigned z = 0; z < gridDim.z; z++)
            for (unsigned y = 0; y < gridDim.y; y++)
                for (unsigned x = 0; x < gridDim.x; x++) {
                    blockIdx = {x, y, z};
                    memset(dynamic_shared, 0xFF, g->shared_bytes);
                    run_block(g->order);
                }
        delete[] fibers;
        fibers = nullptr;
        free(stacks);
        return g->strict ? launch_error : nullptr;
    }
};
template <class... Arguments> void (*Kernel<Arguments...>::function)(Arguments...);
template <class... Arguments> void** Kernel<Arguments...>::arguments;

template <class... Arguments>
static const char* run_kernel(void (*kernel)(Arguments...), const Geometry* g, void** arguments) {
    return Kernel<Arguments...>::run(kernel, g, arguments);
}
