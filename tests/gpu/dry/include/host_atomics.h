// Atomics: one thread runs at a time, so reading, changing and writing is atomic anyway.
#pragma once

#define HOST_ATOMIC(NAME, RESULT)                                                     \
    template <class T, class U>                                                       \
    typename std::enable_if<std::is_arithmetic<T>::value, T>::type NAME(T* p, U v) {  \
        T old = *p;                                                                   \
        T value = (T)v;                                                               \
        *p = RESULT;                                                                  \
        return old;                                                                   \
    }
HOST_ATOMIC(atomicAdd, old + value)
HOST_ATOMIC(atomicSub, old - value)
HOST_ATOMIC(atomicExch, value)
HOST_ATOMIC(atomicMax, old < value ? value : old)
HOST_ATOMIC(atomicMin, value < old ? value : old)
#undef HOST_ATOMIC

#define HOST_ATOMIC_BITS(NAME, OPERATOR)                                              \
    template <class T, class U>                                                       \
    typename std::enable_if<std::is_integral<T>::value, T>::type NAME(T* p, U v) {    \
        T old = *p;                                                                   \
        *p = old OPERATOR (T)v;                                                       \
        return old;                                                                   \
    }
HOST_ATOMIC_BITS(atomicAnd, &)
HOST_ATOMIC_BITS(atomicOr, |)
HOST_ATOMIC_BITS(atomicXor, ^)
#undef HOST_ATOMIC_BITS

template <class T> T atomicCAS(T* p, T expected, T value) {
    T old = *p;
    if (old == expected) *p = value;
    return old;
}
