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
TARGET static INLINE void NAME(fill_any)(const lif_t* c, const entry_t* entries, int64_t n, const instant_t* instants,
                                         const instant_t* before, REAL* table, event_t* events, double* times,
                                         int32_t* sources) {
    const double k = c->apart, top = c->threshold * LIF_CANDIDATE, level = top * k * c->tau_s * c->rate_m;
    const FOUR by_a = {1.0, k, 0.0, top + level}, by_b = {0.0, -k, 1.0, -level};
    for (int64_t e = 0; e < n; ++e, table += TABLE_COLUMNS) {
        const instant_t* now = instants + entries[e].instant;
        if (events) {
            events[e].time = now->time;
            events[e].row = (uint32_t)entries[e].row * BLOCK_WIDTH;
            events[e].release = (int32_t)e;
        } else {
            times[e] = now->time;
            sources[e] = entries[e].row;
        }
        if (__builtin_expect(now->cell == before->cell, 1)) {
            /* Whether two arrivals come together could not be foretold: no branch. */
            const int64_t tied = -(int64_t)(now == before);
            const PAIR_BITS same = {tied, tied};
            const PAIR_BITS product = (PAIR_BITS)(now->fall * before->rise);
            const lif_pair_t decays = (lif_pair_t)((product & ~same) | ((PAIR_BITS)(lif_pair_t){1.0, 1.0} & same));
            const FOUR a = {decays[0], decays[0], decays[0], decays[0]}, b = {decays[1], decays[1], decays[1], decays[1]};
            *(ROW*)table = __builtin_convertvector(a * by_a + b * by_b, ROW);
        } else {
            double to_a, to_h, to_b;
            lif_respond(c, now->time - before->time, &to_a, &to_h, &to_b);
            table[0] = (REAL)to_a;
            table[1] = (REAL)to_h;
            table[2] = (REAL)to_b;
            table[3] = (REAL)lif_fallen(c, to_a, to_h);
        }
        before = now;
    }
}

/* For a sweep: arrivals and table. */
TARGET static void NAME(fill)(const lif_t* c, const entry_t* entries, int64_t n, const instant_t* instants,
                              const instant_t* before, event_t* events, REAL* table) {
    NAME(fill_any)(c, entries, n, instants, before, table, events, NULL, NULL);
}

/* For the way back: times, inputs and table. */
TARGET static void NAME(fill_sources)(const lif_t* c, const entry_t* entries, int64_t n, const instant_t* instants,
                                      const instant_t* before, double* times, int32_t* sources, REAL* table) {
    NAME(fill_any)(c, entries, n, instants, before, table, NULL, times, sources);
}
