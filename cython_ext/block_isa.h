/* The loops over a block, one copy per instruction set, and the choice between them. Included by block.pyx alone. */
#ifndef EVENTSNN_BLOCK_ISA_H
#define EVENTSNN_BLOCK_ISA_H

#include <math.h>
#include <string.h>

#include "block.h"
#include "decay.h"
#include "sweep.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define EVENTSNN_X86 1
#include <immintrin.h>
#endif

#if defined(__GNUC__) || defined(__clang__)
#define KEEP_APART __attribute__((noinline))
#else
#define KEEP_APART
#endif
#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define OPS(isa)                                                                                                     \
    {                                                                                                                \
        PASTE(run, isa), PASTE(sweep, isa), PASTE(step, isa), PASTE(table, isa), PASTE(reverse, isa),                \
            PASTE(reverse_rows, isa), PASTE(add_rows, isa), PASTE(weigh, isa), PASTE(learn, isa), PASTE(adam, isa),  \
            PASTE(sgd, isa)                                                                                          \
    }

/* Vectors of 16 bytes: SSE2 on x86-64, NEON on arm64, part of both baselines. VGE gives a bit per lane. */
#define TARGET
#define VEC_BYTES 16
#define NAME(x) PASTE(x, base32)
#ifdef EVENTSNN_X86
#define VSET(x) ((VEC)_mm_set1_ps(x))
#define VMAX(a, b) ((VEC)_mm_max_ps((__m128)(a), (__m128)(b)))
#define VGE(a, b) ((uint32_t)_mm_movemask_ps(_mm_cmpge_ps((__m128)(a), (__m128)(b))))
#endif
#include "block_float.h"
#define NAME(x) PASTE(x, base64)
#ifdef EVENTSNN_X86
#define VSET(x) ((VEC)_mm_set1_pd(x))
#define VMAX(a, b) ((VEC)_mm_max_pd((__m128d)(a), (__m128d)(b)))
#define VGE(a, b) ((uint32_t)_mm_movemask_pd(_mm_cmpge_pd((__m128d)(a), (__m128d)(b))))
#endif
#include "block_double.h"
#undef TARGET
#undef VEC_BYTES

#ifdef EVENTSNN_X86

#define TARGET __attribute__((target("avx2")))
#define VEC_BYTES 32
#define NAME(x) PASTE(x, avx2f)
#define VSET(x) ((VEC)_mm256_set1_ps(x))
#define VMAX(a, b) ((VEC)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define VGE(a, b) ((uint32_t)_mm256_movemask_ps(_mm256_cmp_ps((__m256)(a), (__m256)(b), _CMP_GE_OQ)))
#include "block_float.h"
#define NAME(x) PASTE(x, avx2d)
#define VSET(x) ((VEC)_mm256_set1_pd(x))
#define VMAX(a, b) ((VEC)_mm256_max_pd((__m256d)(a), (__m256d)(b)))
#define VGE(a, b) ((uint32_t)_mm256_movemask_pd(_mm256_cmp_pd((__m256d)(a), (__m256d)(b), _CMP_GE_OQ)))
#include "block_double.h"
#undef TARGET
#undef VEC_BYTES

#define TARGET __attribute__((target("avx512f")))
#define VEC_BYTES 64
#define NAME(x) PASTE(x, avx512f)
#define VSET(x) ((VEC)_mm512_set1_ps(x))
#define VMAX(a, b) ((VEC)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define VGE(a, b) ((uint32_t)_mm512_cmp_ps_mask((__m512)(a), (__m512)(b), _CMP_GE_OQ))
#include "block_float.h"
#define NAME(x) PASTE(x, avx512d)
#define VSET(x) ((VEC)_mm512_set1_pd(x))
#define VMAX(a, b) ((VEC)_mm512_max_pd((__m512d)(a), (__m512d)(b)))
#define VGE(a, b) ((uint32_t)_mm512_cmp_pd_mask((__m512d)(a), (__m512d)(b), _CMP_GE_OQ))
#include "block_double.h"
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
