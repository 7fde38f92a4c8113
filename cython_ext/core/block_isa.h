/* The loops over a block for each instruction set. Included by block.pyx alone. */
#ifndef EVENTSNN_BLOCK_ISA_H
#define EVENTSNN_BLOCK_ISA_H

#include <math.h>
#include <string.h>

#include "block.h"
#include "isa.h"
#include "lif.h"
#include "patches.h"
#include "sweep.h"

#if defined(__GNUC__) || defined(__clang__)
#define KEEP_APART __attribute__((noinline))
#else
#define KEEP_APART
#endif

#define LOOPS "block_both.h"
#include "isa_copies.h"

#define BLOCK_OPS(suffix, isa)                                                                                       \
    {                                                                                                                \
        PASTE(run##suffix, isa), PASTE(sweep##suffix, isa), PASTE(step##suffix, isa), PASTE(table##suffix, isa),     \
            PASTE(reverse##suffix, isa), PASTE(reverse_rows##suffix, isa), PASTE(reverse_down##suffix, isa),         \
            PASTE(reverse_taus##suffix, isa), PASTE(currents##suffix, isa), PASTE(add_rows##suffix, isa),            \
            PASTE(weigh##suffix, isa), PASTE(learn##suffix, isa), PASTE(adam##suffix, isa), PASTE(sgd##suffix, isa), \
            PASTE(fill##suffix, isa), PASTE(fill_sources##suffix, isa), PASTE(instants##suffix, isa)                 \
    }
#define BLOCK_OPS32(isa) BLOCK_OPS(_f, isa)
#define BLOCK_OPS64(isa) BLOCK_OPS(_d, isa)

static void block_ops(int isa, ops32_t* f, ops64_t* d) {
    ISA_TABLES(ops32_t, single, BLOCK_OPS32);
    ISA_TABLES(ops64_t, twice, BLOCK_OPS64);
    *f = single[isa];
    *d = twice[isa];
#ifdef EVENTSNN_X86
    if (isa == ISA_AVX512 && !__builtin_cpu_is("amd")) {
        /* The way forward waits for branches and chains of operations, not for the width of vectors; in single precision
         * its state fits into the registers of AVX2. Intel's processors are faster with these, AMD's with AVX-512
         * (docs/notes/kernels.md). */
        f->run = PASTE(run_f, avx2);
        f->sweep = PASTE(sweep_f, avx2);
    }
#endif
}

#endif
