/* The forward pass of a layer of up to 32 neurons that inhibit each other: a warp for each sample, a lane for each neuron.
 *
 * Each spike changes the currents of the others at its instant. So the warp goes from one spike to the next: it finds which
 * come first, delivers them, and looks again. The arithmetic is that of cython_ext/engines/lateral.pyx, operation for
 * operation. All lanes take part in every vote; those without a neuron have weights 0 and never fire.
 */
#ifndef EVENTSNN_LATERAL_H
#define EVENTSNN_LATERAL_H

#include "forward.h"

/* The least of a value over the lanes. */
DEVICE double least(double value) {
    for (int step = WARP / 2; step > 0; step /= 2) {
        const double other = __shfl_xor_sync(FULL_WARP, value, step);
        value = other < value ? other : value;
    }
    return value;
}

/* A lane's neuron, and what all lanes know alike: the time of the state. */
template <class R>
struct LateralLane {
    const lif_t* c;
    Span<const R> lateral; /* rows of WARP */
    double stop;
    SpikeSlots out;
    Train train;
    R u, i;
    double now;

    MEMBER bool touches() const { return !train.refractory && u >= c->threshold * (1.0 - LIF_TOUCH); }

    /* On to `t`, and a row of weights is added; true if its refractory period has ended on the way. */
    MEMBER bool commit(const Row<R>& row, double t, R w) {
        const bool wakes = train.refractory && train.end < t;
        const R fresh = wakes ? (R)lif_after_refractory(c, i, now, train.end, t) : R(0);
        u = u * row.a + i * row.h;
        i = i * row.b + w;
        if (wakes) {
            u = fresh;
            train.refractory = 0;
        }
        now = t;
        return wakes;
    }

    /* As that of `SweepLane`; all lanes glide, or none. */
    MEMBER bool glide(const Chunk<R>& chunk, int k, const Vector<R, 1>* w, bool touching) {
        R to_u = u, to_i = i;
        const bool reached = decay_through<R, 1>(chunk, k, w, WARP, &to_u, &to_i);
        const bool wakes = train.refractory && train.end < chunk.times[k + SWEEP_GROUP];
        if (__any_sync(FULL_WARP, touching || reached || wakes)) return false;
        u = to_u;
        i = to_i;
        return true;
    }

    /* It fires at `t`, and may fire there again, which is for ever. */
    MEMBER void spike(double t, double until, int after) {
        if (train.fired < out.capacity) {
            out.times[(int64)train.fired * out.stride] = t;
            out.after[(int64)train.fired * out.stride] = after;
        }
        ++train.fired;
        train.end = t + c->refractory;
        if (lif_next_spike(c, u, i, now, train.end, until) == t) {
            train.endless = 1;
            train.end = INFINITY;
        }
        if (!train.refractory) u = (R)BURIED;
        train.refractory = 1;
    }

    /* Everything before the next arrival, at `until`: each spike inhibits the others at once. `at_once`: whether it may fire
     * at `now`. `row` is the table's for the interval, and afterwards for what is left of it. Returns whether it may have
     * come to the threshold at `until`. */
    MEMBER bool inhibit_until(double until, Row<R>& row, bool at_once, int after) {
        for (;;) {
            const bool may = !train.refractory && (until < INFINITY ? at_once || u * row.a + i * row.h >= row.level
                                                                    : lif_reach(c, u, i) >= c->threshold * LIF_CANDIDATE);
            const bool waking = train.refractory && train.end < until;
            const double next = may || waking ? lif_next_spike(c, u, i, now, train.end, until) : INFINITY;
            const double t = least(next);
            if (!(t < until && t <= stop)) return may;
            unsigned fired = __ballot_sync(FULL_WARP, next == t);
            if (next == t) spike(t, until, after);
            if (__any_sync(FULL_WARP, train.endless)) return may; /* an error, whatever the others would still do */
            Row<R> lag = make_row<R>(c, t - now);
            at_once = may;
            for (; fired; fired &= fired - 1) {
                const int source = __ffs(fired) - 1;
                at_once |= commit(lag, t, lateral[source * WARP + lane_number()]);
                lag = tied_row<R>(); /* the others fire at the same instant */
            }
            at_once = at_once && touches();
            if (until < INFINITY) row = make_row<R>(c, until - t);
        }
    }
};

/* As `sweep`, of which it takes the arguments and, before those that it fills, `lateral` (neurons, 32): what a spike of each
 * neuron adds to the currents of the others. Grid (samples,), 32 threads. */
template <class R>
__global__ void __launch_bounds__(WARP)
    lateral(Span<const lif_t> constants, Span<const double> times, Span<const int> sources, Span<const int64> first,
            Span<const int> count, Span<const Row<R>> rows, Span<const R> weights, Span<const R> inhibition, double stop,
            int capacity, Span<double> fired, Span<int> after, Span<int> counts, Span<int64> status) {
    SharedMemory shared;
    const Chunk<R> chunk(shared);
    const int64 sample = blockIdx.x;
    const int arrivals = count[sample], neuron = lane_number();
    const Span<const double> all_times = times.part(first[sample], arrivals);
    const Span<const int> all_sources = sources.part(first[sample], arrivals);
    const Span<const Row<R>> all_rows = rows.part(first[sample], arrivals);
    const lif_t* c = &constants[0];
    LateralLane<R> lane = {c, inhibition, stop, spike_slots(fired, after, sample, capacity, WARP).of(neuron),
                           silent_train(), (R)c->reset, R(0), 0.0};
    typedef WeightCopies<R, 1> Copies;
    const Copies copies = {shared.take<Vector<R, 1>>(Copies::SLOTS * WARP)};
    const Span<const R> column = weights.part(neuron, weights.size - neuron);
    bool touching = false;
    for (int start = 0; start < arrivals; start += SWEEP_CHUNK) {
        const int size = arrivals - start < SWEEP_CHUNK ? arrivals - start : SWEEP_CHUNK;
        chunk.fill(all_rows, all_times, all_sources, WARP, start, size);
        copies.begin_first(column, chunk.rows_of);
        NO_UNROLL
        for (int k = 0; k < size; ++k) {
            if (k % SWEEP_GROUP == 0) {
                copies.next(column, chunk.rows_of, k);
                if (k + SWEEP_GROUP <= size && lane.glide(chunk, k, &copies.slot(k), touching)) {
                    k += SWEEP_GROUP - 1;
                    continue;
                }
            }
            const R w = copies.slot(k).x[0];
            Row<R> row = chunk.rows[k];
            const double t = chunk.times[k + 1];
            const R p = lane.u * row.a + lane.i * row.h;
            const bool call = touching || (lane.train.refractory ? lane.train.end < t : p >= row.level);
            if (chunk.tied(start, k) || !__any_sync(FULL_WARP, call)) { /* the same for all lanes */
                lane.u = p;
                lane.i = lane.i * row.b + w;
                continue;
            }
            lane.now = chunk.times[k];
            touching = lane.inhibit_until(t, row, touching, start + k - 1);
            touching |= lane.commit(row, t, w);
            touching = touching && lane.touches();
        }
        wait_for_copies<0>();
    }
    if (arrivals) {
        Row<R> row = tied_row<R>();
        lane.now = all_times[arrivals - 1];
        lane.inhibit_until(INFINITY, row, touching, arrivals - 1);
        if (lane.train.endless) report(status, STATUS_ENDLESS, (sample << 32) + neuron + 1);
        if (lane.u - lane.u != R(0) || lane.i - lane.i != R(0)) report(status, STATUS_OVERFLOW, 1);
        if (lane.train.fired > capacity) report(status, STATUS_SPIKES, lane.train.fired);
    }
    counts[sample * WARP + neuron] = lane.train.fired;
}

KERNEL(lateral<float>)
KERNEL(lateral<double>)

#endif
