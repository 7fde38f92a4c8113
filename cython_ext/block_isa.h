/* The loops over a block, one copy per instruction set, and the choice between them. Included by block.pyx alone. */
#ifndef EVENTSNN_BLOCK_ISA_H
#define EVENTSNN_BLOCK_ISA_H

#include <math.h>
#include <string.h>

#include "block.h"

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define OPS(isa) {PASTE(run, isa), PASTE(step, isa), PASTE(reverse, isa), PASTE(adam, isa), PASTE(sgd, isa)}

/* Vectors of 16 bytes: SSE2 on x86-64, NEON on arm64, part of both baselines. */
#define TARGET
#define VEC_BYTES 16
#define REAL float
#define INT int32_t
#define SQRT sqrtf
#define NAME(x) PASTE(x, base32)
#include "block_template.h"
#undef REAL
#undef INT
#undef SQRT
#undef NAME
#define REAL double
#define INT int64_t
#define SQRT sqrt
#define NAME(x) PASTE(x, base64)
#include "block_template.h"
#undef REAL
#undef INT
#undef SQRT
#undef NAME
#undef TARGET
#undef VEC_BYTES

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define EVENTSNN_X86 1

#define TARGET __attribute__((target("avx2")))
#define VEC_BYTES 32
#define REAL float
#define INT int32_t
#define SQRT sqrtf
#define NAME(x) PASTE(x, avx2f)
#include "block_template.h"
#undef REAL
#undef INT
#undef SQRT
#undef NAME
#define REAL double
#define INT int64_t
#define SQRT sqrt
#define NAME(x) PASTE(x, avx2d)
#include "block_template.h"
#undef REAL
#undef INT
#undef SQRT
#undef NAME
#undef TARGET
#undef VEC_BYTES

#define TARGET __attribute__((target("avx512f")))
#define VEC_BYTES 64
#define REAL float
#define INT int32_t
#define SQRT sqrtf
#define NAME(x) PASTE(x, avx512f)
#include "block_template.h"
#undef REAL
#undef INT
#undef SQRT
#undef NAME
#define REAL double
#define INT int64_t
#define SQRT sqrt
#define NAME(x) PASTE(x, avx512d)
#include "block_template.h"
#undef REAL
#undef INT
#undef SQRT
#undef NAME
#undef TARGET
#undef VEC_BYTES
#endif

enum { ISA_BASELINE = 0, ISA_AVX2 = 1, ISA_AVX512 = 2 };

static int isa_supported(int isa) {
#ifdef EVENTSNN_X86
    if (isa == ISA_AVX512) return __builtin_cpu_supports("avx512f") != 0;
    if (isa == ISA_AVX2) return __builtin_cpu_supports("avx2") != 0;
#endif
    return isa == ISA_BASELINE;
}

static void isa_fill(int isa, ops32_t* f, ops64_t* d) {
    static const ops32_t base32 = OPS(base32);
    static const ops64_t base64 = OPS(base64);
    *f = base32;
    *d = base64;
#ifdef EVENTSNN_X86
    static const ops32_t avx2f = OPS(avx2f), avx512f = OPS(avx512f);
    static const ops64_t avx2d = OPS(avx2d), avx512d = OPS(avx512d);
    if (isa == ISA_AVX2) {
        *f = avx2f;
        *d = avx2d;
    } else if (isa == ISA_AVX512) {
        *f = avx512f;
        *d = avx512d;
    }
#endif
}

#endif
