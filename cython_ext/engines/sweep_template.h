/* The sweep of one block through a sample, a part of part_template.h.
 *
 * A vector loop advances potentials and currents from arrival to arrival until a neuron may have fired before one or a
 * refractory period has ended; what happens in that interval is done neuron by neuron and put back into the lanes it
 * concerns. The state stays in registers all the while: in memory it is for the operations on single neurons alone.
 * Twin: eventsnn/reference/queue.py.
 */

/* Advance to the arrival `now` and deliver it. Returns 1, with nothing changed, if a neuron may have fired on the way. */
TARGET static INLINE int PART(advance)(VEC* U, VEC* I, const REAL* weights, const event_t* now, const REAL* row) {
    const uint32_t at = now->row;
    VEC P[PART_VECS], top;
    PART(fetch)(weights + now[SWEEP_AHEAD].row);
    if (at & SWEEP_TIED) {
        /* At the instant of the arrival before: no time to fire in. */
        for (int v = 0; v < PART_VECS; ++v) I[v] += LOAD(weights + at - SWEEP_TIED + v * LANES);
        return 0;
    }
    const VEC a = VSET(row[0]), h = VSET(row[1]), b = VSET(row[2]);
    for (int v = 0; v < PART_VECS; ++v) P[v] = U[v] * a + I[v] * h;
    top = P[0];
    for (int v = 1; v < PART_VECS; ++v) top = VMAX(top, P[v]);
    if (__builtin_expect(VGE(top, VSET(row[3])) != 0, 0)) return 1;
    for (int v = 0; v < PART_VECS; ++v) {
        U[v] = P[v];
        I[v] = I[v] * b + LOAD(weights + at + v * LANES);
    }
    return 0;
}

/* Put x into the lane of neuron n. */
TARGET static inline void PART(put)(VEC* v, int n, REAL x) {
    static const struct {
        INT row[2 * BLOCK_WIDTH];
    } one = {{[BLOCK_WIDTH] = -1}};
    const INT* row = one.row + BLOCK_WIDTH - n;
    for (int k = 0; k < PART_VECS; ++k) {
        MASK which;
        memcpy(&which, row + k * LANES, sizeof which);
        v[k] = (VEC)(((MASK)v[k] & ~which) | ((MASK)VSET(x) & which));
    }
}

/* All spikes of neuron n, in state (u, i) at k->now, before `until`. Returns 1 if it fired, 0 if not, < 0 for an
 * error. */
TARGET static int PART(fire)(block_t* k, int32_t n, double u, double i, double until) {
    double t, last = -INFINITY;
    while ((t = lif_next_spike(k->lif, u, i, k->now, k->end[n], until)) < until && t <= k->t_stop) {
        if (t == last) return SWEEP_ENDLESS;
        if (block_fire(k, n, t) < 0) return SWEEP_NO_MEMORY;
        if (k->end[n] > until || lif_reach(k->lif, k->lif->reset, i) < k->lif->threshold * LIF_CANDIDATE) break;
        last = t;
    }
    if (last == -INFINITY && !(t < until && t <= k->t_stop)) return 0;
    if (!(k->refractory >> n & 1)) block_wait(k, n);
    return 1;
}

/* The spikes of the neurons in `lanes`, in states u and i at k->now, before `until`; takes those that fired out of
 * `lanes` and buries them in V. */
TARGET static int PART(fire_lanes)(block_t* k, uint32_t* lanes, const REAL* u, const REAL* i, double until, VEC* V) {
    for (uint32_t left = *lanes; left; left &= left - 1) {
        const int n = lowest_bit(left);
        const int fired = PART(fire)(k, n, u[n], i[n], until);
        if (fired < 0) return fired;
        if (fired) {
            PART(put)(V, n, (REAL)BURIED);
            *lanes &= ~((uint32_t)1 << n);
        }
    }
    return SWEEP_DONE;
}

/* Those of the neurons in `lanes` whose potential is the threshold's. */
TARGET static uint32_t PART(touching)(const block_t* k, uint32_t lanes, const VEC* V) {
    REAL u[PART_WIDTH];
    uint32_t found = 0;
    PART(save)(V, u);
    for (; lanes; lanes &= lanes - 1)
        if (u[lowest_bit(lanes)] >= k->lif->threshold * (1.0 - LIF_TOUCH)) found |= lanes & -lanes;
    return found;
}

/* The interval before the arrival at `until`: P are the potentials at its end if nothing happened, `hit` the neurons
 * that may have fired; sets right what is otherwise. Afterwards *hit are neurons that may fire at `until` itself. */
TARGET static int PART(interval)(block_t* k, const REAL* u, const REAL* i, double until, REAL level, VEC* P,
                                 uint32_t* hit) {
    int status;
    *hit &= ~k->refractory;
    if (*hit && (status = PART(fire_lanes)(k, hit, u, i, until, P)) < 0) return status;
    while (block_wakes(k, until)) {
        const int n = block_wake(k);
        const REAL fresh = (REAL)lif_after_refractory(k->lif, i[n], k->now, k->end[n], until);
        const uint32_t bit = (uint32_t)1 << n;
        PART(put)(P, n, fresh);
        if (fresh >= level) {
            *hit |= bit;
            uint32_t again = bit;
            if ((status = PART(fire_lanes)(k, &again, u, i, until, P)) < 0) return status;
            if (!again) *hit &= ~bit;
        }
    }
    if (*hit) *hit = PART(touching)(k, *hit, P);
    return SWEEP_DONE;
}

/* One block in state (u, i) through all arrivals of its sample, and on to k->until; the state stays that of the last
 * arrival. What it fires before `until` does not depend on where a train of arrivals is cut. */
TARGET static int PART(sweep_lanes)(block_t* k, REAL* u, REAL* i, const REAL* weights, const REAL* table) {
    const event_t* events = k->events;
    const int64_t n = k->n;
    int64_t e = k->next, tail = k->spikes->n; /* spikes from `tail` on may be out of order */
    VEC U[PART_VECS], I[PART_VECS], P[PART_VECS];
    uint32_t hit;
    int status;
    PART(load)(U, u);
    PART(load)(I, i);
    while (e < n) {
        const int64_t stop = block_release(k);
        const REAL* row = table + e * TABLE_COLUMNS;
        while (e < stop && !PART(advance)(U, I, weights, events + e, row)) {
            ++e;
            row += TABLE_COLUMNS;
        }
        if (e == n) break;
        const REAL* w = weights + event_row(&events[e]);
        if (e) k->now = events[e - 1].time;
        k->next = e;
        hit = 0;
        for (int v = 0; v < PART_VECS; ++v) {
            P[v] = U[v] * VSET(row[0]) + I[v] * VSET(row[1]);
            hit |= VGE(P[v], VSET(row[3])) << (v * LANES);
        }
        PART(save)(U, u);
        PART(save)(I, i);
        if ((status = PART(interval)(k, u, i, events[e].time, row[3], P, &hit)) < 0) return status;
        spikes_sort_tail(k->spikes, tail);
        tail = k->spikes->n;
        for (int v = 0; v < PART_VECS; ++v) {
            U[v] = P[v];
            I[v] = I[v] * VSET(row[2]) + LOAD(w + v * LANES);
        }
        k->next = ++e;
        if (__builtin_expect(hit != 0, 0)) {
            /* A neuron that reaches the threshold at the arrival itself fires after it, and those at its instant. */
            for (; e < n && events[e].time == events[e - 1].time; ++e) {
                w = weights + event_row(&events[e]);
                for (int v = 0; v < PART_VECS; ++v) I[v] += LOAD(w + v * LANES);
            }
            k->next = e;
            if (e == n) break;
            k->now = events[e - 1].time;
            PART(save)(U, u);
            PART(save)(I, i);
            if ((status = PART(fire_lanes)(k, &hit, u, i, events[e].time, U)) < 0) return status;
        }
    }
    PART(save)(U, u);
    PART(save)(I, i);
    if (n) k->now = events[n - 1].time;
    k->next = n;
    for (int m = 0; m < PART_WIDTH; ++m)
        if (lif_reach(k->lif, k->refractory >> m & 1 ? k->lif->reset : u[m], i[m]) >=
            k->lif->threshold * LIF_CANDIDATE)
            if ((status = PART(fire)(k, m, u[m], i[m], k->until)) != 0) {
                if (status < 0) return status;
                u[m] = (REAL)BURIED;
            }
    spikes_sort_tail(k->spikes, tail);
    return SWEEP_DONE;
}
