// bfloat16 on the host: the upper half of a float.
#pragma once
#include <string.h>

struct __nv_bfloat16 {
    unsigned short x;
    __nv_bfloat16() {}
    __nv_bfloat16(float f) {
        unsigned bits;
        memcpy(&bits, &f, 4);
        bits += 0x7fff + ((bits >> 16) & 1);
        x = bits >> 16;
    }
    operator float() const {
        unsigned bits = (unsigned)x << 16;
        float f;
        memcpy(&f, &bits, 4);
        return f;
    }
};
