/* Arrivals of one position of a layer as kernels read them, from instants that all positions share; a part of
 * block_template.h.
 *
 * Twin: the propagators of eventsnn/reference/lif.py, arrival by arrival.
 */

/* Propagators of each interval before an arrival: a, h = k (a - b), b, and the level `lif_fallen`, which are sums of
 * multiples of a and b. `before` is the instant that the interval before the first arrival began at.
 *
 * Arrivals at one instant are not marked as tied: where each position sees few of them, the branch on that mark could
 * not be foretold, and the interval of length 0 changes no bit. */
TARGET static INLINE void NAME(fill_row)(const lif_t* c, const instant_t* before, const instant_t* now,
                                         const FOUR* by_a, const FOUR* by_b, REAL* row) {
    static const instant_t still = {.fall = {1.0, 1.0}, .rise = {1.0, 1.0}};
    if (__builtin_expect(now->cell == before->cell, 1)) {
        /* Whether two arrivals come together could not be foretold: no branch. */
        const intptr_t aside = ((const char*)&still - (const char*)now) & -(intptr_t)(now == before);
        const lif_pair_t decays = *(const lif_pair_t*)((const char*)&now->fall + aside) *
                                  *(const lif_pair_t*)((const char*)&before->rise + aside);
        const FOUR a = {decays[0], decays[0], decays[0], decays[0]}, b = {decays[1], decays[1], decays[1], decays[1]};
        *(ROW*)row = __builtin_convertvector(a * *by_a + b * *by_b, ROW);
    } else {
        double a, h, b;
        lif_respond(c, now->time - before->time, &a, &h, &b);
        row[0] = (REAL)a;
        row[1] = (REAL)h;
        row[2] = (REAL)b;
        row[3] = (REAL)lif_fallen(c, a, h);
    }
}

/* What the propagators and the level are multiples of: all of them, of a and of b. */
TARGET static INLINE void NAME(multiples)(const lif_t* c, FOUR* by_a, FOUR* by_b) {
    const double k = c->apart, top = c->threshold * LIF_CANDIDATE, level = top * k * c->tau_s * c->rate_m;
    *by_a = (FOUR){1.0, k, 0.0, top + level};
    *by_b = (FOUR){0.0, -k, 1.0, -level};
}

/* For a sweep: arrivals and table. */
TARGET static void NAME(fill)(const lif_t* c, const entry_t* entries, int64_t n, const instant_t* instants,
                              const instant_t* before, event_t* events, REAL* table) {
    FOUR by_a, by_b;
    NAME(multiples)(c, &by_a, &by_b);
    for (int64_t e = 0; e < n; ++e) {
        const instant_t* now = instants + entries[e].instant;
        events[e].time = now->time;
        events[e].row = (uint32_t)entries[e].row * BLOCK_WIDTH;
        events[e].release = (int32_t)e;
        NAME(fill_row)(c, before, now, &by_a, &by_b, table + e * TABLE_COLUMNS);
        before = now;
    }
}

/* For the way back: times, inputs and table. */
TARGET static void NAME(fill_sources)(const lif_t* c, const entry_t* entries, int64_t n, const instant_t* instants,
                                      const instant_t* before, double* times, int32_t* sources, REAL* table) {
    FOUR by_a, by_b;
    NAME(multiples)(c, &by_a, &by_b);
    for (int64_t e = 0; e < n; ++e) {
        const instant_t* now = instants + entries[e].instant;
        times[e] = now->time;
        sources[e] = entries[e].row;
        NAME(fill_row)(c, before, now, &by_a, &by_b, table + e * TABLE_COLUMNS);
        before = now;
    }
}

/* The instants at `times` (n,). */
TARGET static void NAME(instants)(const lif_t* c, const double* times, int64_t n, instant_t* instants) {
    enum { CHUNK = 64 };
    double x_m[CHUNK], x_s[CHUNK], e_m[CHUNK], e_s[CHUNK], unused[CHUNK];
    for (int64_t start = 0; start < n; start += CHUNK) {
        const int m = n - start < CHUNK ? (int)(n - start) : CHUNK, padded = (m + 7) / 8 * 8;
        for (int k = 0; k < m; ++k) {
            const double since = instant_place(c, times[start + k], instants + start + k);
            x_m[k] = since * c->rate_m;
            x_s[k] = since * c->rate_s;
        }
        for (int k = m; k < padded; ++k) x_m[k] = x_s[k] = 0.0;
        NAME(decays)(x_m, padded, e_m, unused);
        NAME(decays)(x_s, padded, e_s, unused);
        for (int k = 0; k < m; ++k) instant_decays(instants + start + k, e_m[k], e_s[k]);
    }
}
