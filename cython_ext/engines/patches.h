/* Arrivals at the positions of a layer, and the propagators between them from exponentials that all positions share.
 *
 * Times are counted from the points of a lattice in time, so that no exponential leaves its range: within one of its
 * cells the decay from t to t' is fall(t') rise(t), a product; from one cell to another it is computed by itself. What
 * an interval gives depends on its two ends alone, never on where a train of arrivals is cut.
 */
#ifndef EVENTSNN_PATCHES_H
#define EVENTSNN_PATCHES_H

#include <stdint.h>

#include "lif.h"

#define LATTICE_CELL 64.0 /* times `near`, which is an eighth of the faster time constant: 8 of these */
#define LATTICE_CELLS 1e15 /* beyond so many cells their numbers mean nothing */

/* What one position sees of a spike: when, and which of its inputs. */
typedef struct entry_s {
    int32_t instant;
    int32_t row;
} entry_t;

/* A position that sees a cell of the source, and where in its patch the cell is. */
typedef struct place_s {
    int32_t position;
    int32_t place;
} place_t;

/* The channel of a neuron, channel * cells + cell, from 1 / cells: a division would take longer than all else for a
 * spike that one position sees. Exact: the quotient is 1 / (2 cells) away from a whole number or more, the error less
 * than 2^-20 of that. */
static INLINE int32_t channel_of(int32_t neuron, double per_cell) { return (int32_t)((neuron + 0.5) * per_cell); }

/* Entries are fetched this many ahead: those of each position are written one after the other, but positions take turns,
 * and together they are more than the first cache holds. */
#define ENTRIES_AHEAD 8

static INLINE void fetch_entry(const entry_t* at) { __builtin_prefetch(at + ENTRIES_AHEAD, 1); }

/* A time at which something arrives somewhere. In pairs: of tau_m, of tau_s. */
typedef struct instant_s {
    lif_pair_t fall; /* e^-r/tau, r being the time since its cell of the lattice began */
    lif_pair_t rise; /* its inverse */
    double time;     /* ms */
    int64_t cell;    /* its number; < 0: in none, with no other instant */
} instant_t;

/* Set all but the exponentials of `at`; returns r. */
static INLINE double instant_place(const lif_t* c, double time, instant_t* at) {
    const double width = LATTICE_CELL * c->near, cell = floor(time / width);
    at->time = time;
    if (cell < LATTICE_CELLS && c->apart != 0.0) {
        at->cell = (int64_t)cell;
    } else {
        memcpy(&at->cell, &time, sizeof time); /* a number that no other instant has */
        at->cell |= INT64_MIN;
    }
    /* `time` minus a number near it is exact: differences of r are differences of times. */
    return time - cell * width;
}

static INLINE void instant_decays(instant_t* at, double e_m, double e_s) {
    at->fall[0] = e_m;
    at->fall[1] = e_s;
    at->rise = 1.0 / at->fall;
}

#endif
