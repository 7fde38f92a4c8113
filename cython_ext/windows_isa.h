/* The loops of the windowed schedule, one copy per instruction set. Included by windows_state.pyx alone. */
#ifndef EVENTSNN_WINDOWS_ISA_H
#define EVENTSNN_WINDOWS_ISA_H

#include "windows.h"

#define WINDOWS_PASTE_(a, b) a##_##b
#define WINDOWS_PASTE(a, b) WINDOWS_PASTE_(a, b)
#define WINDOWS_OPS(isa)                                                                                             \
    {WINDOWS_PASTE(tabulate, isa), WINDOWS_PASTE(begin, isa), WINDOWS_PASTE(scatter, isa),                           \
     WINDOWS_PASTE(scatter_one, isa), WINDOWS_PASTE(sift, isa), WINDOWS_PASTE(sift_one, isa),                        \
     WINDOWS_PASTE(finish, isa)}

#define TARGET
#define NAME(x) WINDOWS_PASTE(x, baseline)
#include "windows_template.h"
#undef TARGET
#undef NAME

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define WINDOWS_X86 1

#define TARGET __attribute__((target("avx2")))
#define NAME(x) WINDOWS_PASTE(x, avx2)
#include "windows_template.h"
#undef TARGET
#undef NAME

#define TARGET __attribute__((target("avx512f")))
#define NAME(x) WINDOWS_PASTE(x, avx512)
#include "windows_template.h"
#undef TARGET
#undef NAME
#endif

/* The loops for instruction set number `isa` of block.pyx's list. */
static windows_ops_t windows_ops(int isa) {
    static const windows_ops_t baseline = WINDOWS_OPS(baseline);
#ifdef WINDOWS_X86
    static const windows_ops_t avx2 = WINDOWS_OPS(avx2), avx512 = WINDOWS_OPS(avx512);
    if (isa == 1) return avx2;
    if (isa == 2) return avx512;
#endif
    return baseline;
}

#endif
