// Functions of a warp: each of its 32 threads gives a value and reads another's.
#pragma once

template <class T> static T given[MOST_THREADS];

static inline int warp_start() { return current_thread / warpSize * warpSize; }

template <class T> static T exchange(T value, int from) {
    given<T>[current_thread] = value;
    warp_barrier(-1);
    T result = from >= 0 && from < threads_in_block ? given<T>[from] : value;
    warp_barrier(-2);
    return result;
}

// `width` cuts a warp into groups of so many lanes, which have nothing to do with each other.
template <class T> T __shfl_sync(unsigned, T value, int lane, int width = 32) {
    return exchange(value, current_thread / width * width + lane % width);
}
template <class T> T __shfl_xor_sync(unsigned, T value, int mask, int width = 32) {
    int lane = (current_thread % width) ^ mask;
    return exchange(value, lane < width ? current_thread / width * width + lane : current_thread);
}
template <class T> T __shfl_up_sync(unsigned, T value, int delta, int width = 32) {
    return exchange(value, current_thread - (current_thread % width >= delta ? delta : 0));
}
template <class T> T __shfl_down_sync(unsigned, T value, int delta, int width = 32) {
    return exchange(value, current_thread + (current_thread % width + delta < width ? delta : 0));
}

// A bit for each lane of `mask` whose predicate is not 0.
static inline unsigned __ballot_sync(unsigned mask, int predicate) {
    given<int>[current_thread] = predicate;
    warp_barrier(-1);
    unsigned bits = 0;
    for (int lane = 0; lane < warpSize && warp_start() + lane < threads_in_block; lane++)
        if ((mask >> lane & 1) && given<int>[warp_start() + lane]) bits |= 1u << lane;
    warp_barrier(-2);
    return bits;
}
static inline int __any_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, predicate) != 0;
}
static inline int __all_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, !predicate) == 0;
}
