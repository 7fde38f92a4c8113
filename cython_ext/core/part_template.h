/* Loops over the vectors of a block that are in use, a part of block_template.h.
 *
 * Needs: PART(x) (NAME(x), or with a suffix of its own) and PART_VECS, how many vectors these are; it takes both back.
 */
#define PART_WIDTH (PART_VECS * LANES)

TARGET static inline void PART(load)(VEC* v, const REAL* from) {
    for (int k = 0; k < PART_VECS; ++k) v[k] = LOAD(from + k * LANES);
}
TARGET static inline void PART(save)(const VEC* v, REAL* to) {
    for (int k = 0; k < PART_VECS; ++k) SAVE(to + k * LANES, v[k]);
}

TARGET static inline void PART(fetch)(const REAL* row) {
    for (int k = 0; k < (int)(PART_WIDTH * sizeof(REAL)); k += 64) __builtin_prefetch((const char*)row + k);
}

/* The evaluation points from p on that act from arrival e on: each, of neuron `lane`, adds `dp` to P and `dg` to G
 * there; `at` ends with -1. Returns the first that acts earlier. */
TARGET static inline int64_t PART(add_points)(VEC* P, VEC* G, int64_t p, const int32_t* at, int64_t e,
                                              const int32_t* lane, const REAL* dp, const REAL* dg) {
    static const struct {
        REAL row[2 * BLOCK_WIDTH];
    } one = {{[BLOCK_WIDTH] = 1}};
    for (; at[p] == e; ++p) {
        const REAL* unit = one.row + BLOCK_WIDTH - lane[p]; /* 1 for the neuron, 0 for the others */
        const VEC x = VSET(dp[p]), y = VSET(dg[p]);
        for (int k = 0; k < PART_VECS; ++k) {
            const VEC which = LOAD(unit + k * LANES);
            P[k] += which * x;
            G[k] += which * y;
        }
    }
    return p;
}

/* One block in reverse time from the latest point's arrival down to 0: add G to the row of each arrival, going back to
 * the arrival before after each. */
TARGET static void PART(reverse_lanes)(REAL* out, const int32_t* neurons, const REAL* table, const int32_t* at,
                                 const int32_t* lane, const REAL* dp, const REAL* dg) {
    VEC P[PART_VECS], G[PART_VECS];
    int64_t p = 0;
    for (int k = 0; k < PART_VECS; ++k) P[k] = G[k] = VSET(0);
    for (int64_t e = at[0]; e >= 0; --e) {
        const REAL* row = table + e * TABLE_COLUMNS;
        REAL* o = out + (int64_t)neurons[e] * BLOCK_WIDTH;
        const VEC a = VSET(row[0]), h = VSET(row[1]), b = VSET(row[2]);
        PART(fetch)(out + (int64_t)neurons[e > AHEAD ? e - AHEAD : e] * BLOCK_WIDTH);
        p = PART(add_points)(P, G, p, at, e, lane, dp, dg);
        for (int k = 0; k < PART_VECS; ++k) SAVE(o + k * LANES, LOAD(o + k * LANES) + G[k]);
        for (int k = 0; k < PART_VECS; ++k) {
            G[k] = G[k] * b + P[k] * h;
            P[k] = P[k] * a;
        }
    }
}

#include "sweep_template.h"

#undef PART
#undef PART_VECS
#undef PART_WIDTH
