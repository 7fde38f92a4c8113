/* The loops of the windowed schedule for each instruction set. Included by windows_state.pyx alone. */
#ifndef EVENTSNN_WINDOWS_ISA_H
#define EVENTSNN_WINDOWS_ISA_H

#include "isa.h"
#include "windows.h"

#define LOOPS "windows_template.h"
#include "isa_copies.h"

#define WINDOWS_OPS(isa)                                                                                             \
    {PASTE(tabulate, isa), PASTE(begin, isa),    PASTE(scatter, isa), PASTE(scatter_one, isa),                       \
     PASTE(sift, isa),     PASTE(sift_one, isa), PASTE(finish, isa)}

static windows_ops_t windows_ops(int isa) {
    ISA_TABLES(windows_ops_t, tables, WINDOWS_OPS);
    return tables[isa];
}

#endif
