// float16 on the host: stored in 16 bits, computed in float, rounded to nearest even.
#pragma once
#include <string.h>

static inline unsigned short host_float_to_half(float f) {
    unsigned bits;
    memcpy(&bits, &f, 4);
    unsigned sign = (bits >> 16) & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits >= 0x47800000u) return sign | (bits > 0x7f800000u ? 0x7e00u : 0x7c00u);
    if (bits < 0x38800000u) {  // a subnormal half: adding 0.5 rounds it
        float shifted;
        memcpy(&shifted, &bits, 4);
        shifted += 0.5f;
        memcpy(&bits, &shifted, 4);
        return sign | (unsigned short)(bits - 0x3f000000u);
    }
    bits += 0xc8000fffu + ((bits >> 13) & 1);
    return sign | (bits >> 13);
}

static inline float host_half_to_float(unsigned short half) {
    unsigned sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31, fraction = half & 1023;
    if (exponent == 0) {
        float f = fraction * 5.9604644775390625e-8f;
        return sign ? -f : f;
    }
    unsigned bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

struct __half_raw { unsigned short x; };
struct __half {
    unsigned short x;
    __half() {}
    __half(const __half_raw& raw) : x(raw.x) {}
    __half(float f) : x(host_float_to_half(f)) {}
    operator float() const { return host_half_to_float(x); }
    operator __half_raw() const { return {x}; }
};
typedef __half half;

static inline __half __float2half_rn(float f) { return __half(f); }
static inline __half __float2half(float f) { return __half(f); }
static inline float __half2float(__half h) { return host_half_to_float(h.x); }
static inline unsigned short __half_as_ushort(__half h) { return h.x; }
static inline __half __ushort_as_half(unsigned short bits) { return __half(__half_raw{bits}); }
