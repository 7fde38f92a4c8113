/* One neuron between two arrivals, and the table of an interval: the arithmetic of the CPU's sweep (sweep_template.h,
 * block_template.h), operation for operation, so that spikes have the same bits. Twin: eventsnn/reference/queue.py. */
#ifndef EVENTSNN_NEURON_H
#define EVENTSNN_NEURON_H

#include "cuda.h"

/* Elements side by side, loaded at once. */
template <class R, int N>
struct alignas(sizeof(R) * N < 16 ? sizeof(R) * N : 16) Vector {
    R x[N];
};

/* Propagators over the interval before an arrival, and the level that a crossing in it leaves the potential above. */
template <class R>
struct alignas(16) Row {
    R a, h, b, level;
};

template <class R>
DEVICE_CALL Row<R> make_row(const lif_t* c, double lag) {
    double a, h, b;
    lif_respond(c, lag, &a, &h, &b);
    return {(R)a, (R)h, (R)b, (R)lif_fallen(c, a, h)};
}

/* The row of an arrival at the instant of the one before: nothing changes, nothing fires. */
template <class R>
DEVICE Row<R> tied_row() {
    return {R(1), R(0), R(1), (R)INFINITY};
}

/* Membrane potential of a neuron in its refractory period: no level is below it, and it means nothing. */
#define BURIED -1e30

/* What is known of a neuron besides its state (u, i) at `now`. */
struct Train {
    double end; /* of its last refractory period, ms */
    int fired;  /* spikes so far */
    unsigned char refractory; /* whether `end` had not passed at `now` */
    unsigned char touching;   /* whether it may fire at `now` itself, after all arrivals of that instant */
    unsigned char endless;    /* whether it would fire for ever at one instant */
};

DEVICE Train silent_train() { return {-INFINITY, 0, 0, 0, 0}; }

/* Where the spikes of a neuron go: number k to times[k * stride]; those from `capacity` on are counted only. */
struct SpikeSlots {
    double* times;
    int* after;
    int stride, capacity;
    /* The same of a neuron that lies `n` further on. */
    MEMBER SpikeSlots of(int n) const { return {times + n, after + n, stride, capacity}; }
};

DEVICE SpikeSlots spike_slots(const Span<double>& fired, const Span<int>& after, int64 sample, int capacity, int padded) {
    const int64 size = (int64)capacity * padded;
    return {fired.part(sample * size, size).data, after.part(sample * size, size).data, padded, capacity};
}

/* All spikes of a neuron in state (u, i) at `now`, before `until`; `after` is the last arrival before them. True if it fired. */
DEVICE_CALL bool fire(const lif_t* c, Train& train, const SpikeSlots& out, double u, double i, double now, double until,
                      double stop, int after) {
    double t, last = -INFINITY;
    while ((t = lif_next_spike(c, u, i, now, train.end, until)) < until && t <= stop) {
        if (t == last) {
            train.endless = 1;
            train.end = INFINITY; /* silent from here on: the launch fails */
            break;
        }
        if (train.fired < out.capacity) {
            out.times[(int64)train.fired * out.stride] = t;
            out.after[(int64)train.fired * out.stride] = after;
        }
        ++train.fired;
        train.end = t + c->refractory;
        last = t;
        if (train.end > until) break;
    }
    if (last == -INFINITY) return false;
    train.refractory = 1;
    return true;
}

/* What a neuron does in the interval before the arrival at `until`, whose number is `arrival`; returns its potential there.
 * Called where it may fire, or where its refractory period ends. */
template <class R>
DEVICE_CALL R pass_interval(const lif_t* c, Train& train, const SpikeSlots& out, R u, R i, const Row<R>& row, double now,
                            double until, double stop, int arrival) {
    if (train.touching) {
        train.touching = 0;
        if (fire(c, train, out, u, i, now, until, stop, arrival - 1)) u = (R)BURIED;
    }
    R p = u * row.a + i * row.h;
    bool hit = !train.refractory && p >= row.level;
    if (hit && fire(c, train, out, u, i, now, until, stop, arrival - 1)) {
        p = (R)BURIED;
        hit = false;
    }
    while (train.refractory && train.end < until) {
        train.refractory = 0;
        p = (R)lif_after_refractory(c, i, now, train.end, until);
        if (p >= row.level) {
            hit = !fire(c, train, out, u, i, now, until, stop, arrival - 1);
            if (!hit) p = (R)BURIED;
        }
    }
    if (train.refractory) return (R)BURIED;
    train.touching = hit && p >= c->threshold * (1.0 - LIF_TOUCH);
    return p;
}

#endif
