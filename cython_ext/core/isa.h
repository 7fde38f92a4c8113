/* One copy of a file's loops for each instruction set, and the choice between them.
 *
 * A header that one module alone includes (block_isa.h, clocked_isa.h, windows_isa.h) names the file of the loops in
 * LOOPS, includes isa_copies.h and makes its tables with ISA_TABLES. All instruction sets give the same bits.
 */
#ifndef EVENTSNN_ISA_H
#define EVENTSNN_ISA_H

#include "inline.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define EVENTSNN_X86 1
#include <immintrin.h>
#endif

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)

enum { ISA_BASELINE = 0, ISA_AVX2 = 1, ISA_AVX512 = 2 };

static INLINE int isa_supported(int isa) {
#ifdef EVENTSNN_X86
    if (isa == ISA_AVX512) return __builtin_cpu_supports("avx512f") != 0;
    if (isa == ISA_AVX2) return __builtin_cpu_supports("avx2") != 0;
#endif
    return isa == ISA_BASELINE;
}

/* `tables[isa]` is the table of an instruction set; OPS(isa) lists its functions. */
#ifdef EVENTSNN_X86
#define ISA_TABLES(type, tables, OPS) static const type tables[] = {OPS(baseline), OPS(avx2), OPS(avx512)}
#else
#define ISA_TABLES(type, tables, OPS) static const type tables[] = {OPS(baseline)}
#endif

#endif
