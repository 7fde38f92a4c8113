/* Arrivals at the positions of a layer, and the propagators between them from exponentials that all positions share.
 *
 * Times are counted from the points of a lattice in time, so that no exponential leaves its range: within one of its
 * cells the decay from t to t' is fall(t') rise(t), a product; from one cell to another it is computed by itself. What
 * an interval gives depends on its two ends alone, never on where a train of arrivals is cut.
 */
#ifndef EVENTSNN_PATCHES_H
#define EVENTSNN_PATCHES_H

#include <stdint.h>

#include "block.h"
#include "lif.h"
#include "sweep.h"

#define LATTICE_CELL 64.0 /* times `near`, which is an eighth of the faster time constant: 8 of these */
#define LATTICE_CELLS 1e15 /* beyond so many cells their numbers mean nothing */

/* What one position sees of a spike: when, and which of its inputs. */
typedef struct {
    int32_t instant;
    int32_t row;
} entry_t;

/* A time at which something arrives somewhere. In pairs: of tau_m, of tau_s. */
typedef struct {
    lif_pair_t fall; /* e^-r/tau, r being the time since its cell of the lattice began */
    lif_pair_t rise; /* its inverse */
    double time;     /* ms */
    double cell;     /* NAN: none */
} instant_t;

/* Set all but the exponentials of `at`; returns r. */
static INLINE double instant_place(const lif_t* c, double time, instant_t* at) {
    const double width = LATTICE_CELL * c->near, cell = floor(time / width);
    at->time = time;
    at->cell = cell < LATTICE_CELLS && c->apart != 0.0 ? cell : NAN;
    /* `time` minus a number near it is exact: differences of r are differences of times. */
    return time - cell * width;
}

static INLINE void instant_decays(instant_t* at, double e_m, double e_s) {
    at->fall[0] = e_m;
    at->fall[1] = e_s;
    at->rise = 1.0 / at->fall;
}

typedef int64_t pair_bits_t __attribute__((vector_size(16)));

/* The arrivals of a position as a sweep reads them, and their table: propagators a, h = k (a - b), b, and the level
 * `lif_fallen`, which are sums of multiples of a and b. `before` is the instant that the interval before the first
 * arrival began at. */
#define DECLARE_FILL(REAL, fill)                                                                                     \
    static inline void fill(const lif_t* c, const entry_t* entries, int64_t n, const instant_t* instants,            \
                            const instant_t* before, event_t* events, REAL* table) {                                 \
        const double k = c->apart, top = c->threshold * LIF_CANDIDATE, level = top * k * c->tau_s * c->rate_m;       \
        const lif_pair_t one = {1.0, 1.0}, ah_a = {1.0, k}, ah_b = {0.0, -k};                                        \
        const lif_pair_t bl_a = {0.0, top + level}, bl_b = {1.0, -level};                                            \
        for (int64_t e = 0; e < n; ++e, table += TABLE_COLUMNS) {                                                    \
            const instant_t* now = instants + entries[e].instant;                                                    \
            const int tied = now == before;                                                                          \
            events[e].time = now->time;                                                                              \
            events[e].row = (uint32_t)entries[e].row * BLOCK_WIDTH + (tied ? SWEEP_TIED : 0);                        \
            events[e].release = (int32_t)e;                                                                          \
            if (__builtin_expect(now->cell == before->cell, 1)) {                                                    \
                /* Whether two arrivals come together could not be foretold: no branch. */                           \
                const pair_bits_t same = {-(int64_t)tied, -(int64_t)tied};                                           \
                const pair_bits_t product = (pair_bits_t)(now->fall * before->rise);                                 \
                const lif_pair_t decays = (lif_pair_t)((product & ~same) | ((pair_bits_t)one & same));               \
                const lif_pair_t a = {decays[0], decays[0]}, b = {decays[1], decays[1]};                             \
                const lif_pair_t ah = a * ah_a + b * ah_b, bl = a * bl_a + b * bl_b;                                 \
                table[0] = (REAL)ah[0];                                                                              \
                table[1] = (REAL)ah[1];                                                                              \
                table[2] = (REAL)bl[0];                                                                              \
                table[3] = (REAL)bl[1];                                                                              \
            } else {                                                                                                 \
                double to_a, to_h, to_b;                                                                             \
                lif_respond(c, now->time - before->time, &to_a, &to_h, &to_b);                                       \
                table[0] = (REAL)to_a;                                                                               \
                table[1] = (REAL)to_h;                                                                               \
                table[2] = (REAL)to_b;                                                                               \
                table[3] = (REAL)lif_fallen(c, to_a, to_h);                                                          \
            }                                                                                                        \
            before = now;                                                                                            \
        }                                                                                                            \
    }
DECLARE_FILL(float, patches_fill32)
DECLARE_FILL(double, patches_fill64)

#endif
