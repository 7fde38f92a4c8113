/* The vector loop of a sweep by itself, a part of block_template.h: for blocks that are driven from spike to spike from
 * outside (lateral.pyx). Twin: eventsnn/reference/queue.py.
 *
 * One block through the arrivals [e, stop): advance to each, look for spikes on the way, deliver it. Returns the
 * first arrival before which a neuron may have fired, not delivered, the state that of the arrival before; else
 * `stop`. Not inlined, so that the state is kept in registers. */
TARGET KEEP_APART static int64_t NAME(run)(REAL* u, REAL* i, const REAL* weights, const event_t* events,
                                           const REAL* table, int64_t e, int64_t stop) {
    VEC U[VECS], I[VECS];
    NAME(load)(U, u);
    NAME(load)(I, i);
    while (e < stop && !NAME(advance)(U, I, weights, events + e, table + e * TABLE_COLUMNS)) ++e;
    NAME(save)(U, u);
    NAME(save)(I, i);
    return e;
}
