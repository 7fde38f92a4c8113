/* The loops of the clocked engine, one copy per instruction set. Included by engine_clocked.pyx alone. */
#ifndef EVENTSNN_CLOCKED_ISA_H
#define EVENTSNN_CLOCKED_ISA_H

#include "clocked.h"
#include "inline.h"

#define CLOCKED_PASTE_(a, b) a##_##b
#define CLOCKED_PASTE(a, b) CLOCKED_PASTE_(a, b)
#define CLOCKED_OPS(isa)                                                                                             \
    {CLOCKED_PASTE(deliver, isa), CLOCKED_PASTE(step, isa), CLOCKED_PASTE(kernel, isa), CLOCKED_PASTE(sum, isa),     \
     CLOCKED_PASTE(weigh, isa), CLOCKED_PASTE(learn, isa)}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define CLOCKED_X86 1
#include <immintrin.h>
#endif

#define TARGET
#define WIDE 4
#define NAME(x) CLOCKED_PASTE(x, baseline)
#ifdef CLOCKED_X86
#define ANY_BITS(m) ((uint32_t)_mm_movemask_ps((__m128)(m)))
#else
static INLINE uint32_t clocked_bits(const int32_t* m) {
    return (uint32_t)((m[0] & 1) | (m[1] & 2) | (m[2] & 4) | (m[3] & 8));
}
#define ANY_BITS(m) clocked_bits((const int32_t*)&(m))
#endif
#include "clocked_template.h"
#undef TARGET
#undef WIDE
#undef NAME
#undef ANY_BITS

#ifdef CLOCKED_X86
#define TARGET __attribute__((target("avx2")))
#define WIDE 8
#define NAME(x) CLOCKED_PASTE(x, avx2)
#define ANY_BITS(m) ((uint32_t)_mm256_movemask_ps((__m256)(m)))
#include "clocked_template.h"
#undef TARGET
#undef WIDE
#undef NAME
#undef ANY_BITS

#define TARGET __attribute__((target("avx512f")))
#define WIDE 16
#define NAME(x) CLOCKED_PASTE(x, avx512)
#define ANY_BITS(m) ((uint32_t)_mm512_test_epi32_mask((__m512i)(m), (__m512i)(m)))
#include "clocked_template.h"
#undef TARGET
#undef WIDE
#undef NAME
#undef ANY_BITS
#endif

/* The loops for instruction set number `isa` of block.pyx's list. */
static clocked_ops_t clocked_ops(int isa) {
    static const clocked_ops_t baseline = CLOCKED_OPS(baseline);
#ifdef CLOCKED_X86
    static const clocked_ops_t avx2 = CLOCKED_OPS(avx2), avx512 = CLOCKED_OPS(avx512);
    if (isa == 1) return avx2;
    if (isa == 2) return avx512;
#endif
    return baseline;
}

#endif
