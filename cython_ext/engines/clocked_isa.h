/* The loops of the clocked engine for each instruction set. Included by engine_clocked.pyx alone. */
#ifndef EVENTSNN_CLOCKED_ISA_H
#define EVENTSNN_CLOCKED_ISA_H

#include "clocked.h"
#include "inline.h"
#include "isa.h"

#define LOOPS "clocked_template.h"
#include "isa_copies.h"

#define CLOCKED_OPS(isa)                                                                                             \
    {PASTE(deliver, isa), PASTE(step, isa), PASTE(kernel, isa), PASTE(sum, isa)}

static clocked_ops_t clocked_ops(int isa) {
    ISA_TABLES(clocked_ops_t, tables, CLOCKED_OPS);
    return tables[isa];
}

#endif
