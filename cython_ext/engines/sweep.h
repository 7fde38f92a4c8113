/* One block of a feed-forward layer on its way through the arrivals of a sample: what is known of its neurons besides
 * their membrane potentials and synaptic currents. */
#ifndef EVENTSNN_SWEEP_H
#define EVENTSNN_SWEEP_H

#include <stdint.h>

#include "block.h"
#include "inline.h"
#include "lif.h"
#include "spikes.h"

/* Rows of weights are fetched this many arrivals ahead. They lie in no order, in the second cache at best and often
 * beyond it, from where one takes as long as a score of arrivals. */
#define SWEEP_AHEAD 64

/* An arrival of a sample, as a sweep reads it. SWEEP_AHEAD others, of any valid rows, must follow the last. */
typedef struct event_s {
    double time;     /* ms, ascending */
    uint32_t row;    /* BLOCK_WIDTH times its source neuron, where the weights of that begin in a block; and SWEEP_TIED
                        if it arrives at the same time as the one before */
    int32_t release; /* none before this one is later than the refractory period of a neuron that fired at `time` */
} event_t;

#define SWEEP_TIED 1u

static INLINE uint32_t event_row(const event_t* e) { return e->row & ~SWEEP_TIED; }

typedef struct block_s {
    const lif_t* lif;
    const event_t* events;        /* [n] the sample's arrivals */
    event_t* own;                 /* [1 + SWEEP_AHEAD] zeros, the first for a spike of the block itself to arrive in */
    int64_t n;
    int64_t next;                 /* the first arrival that is not committed */
    double now;                   /* time at which potentials and currents are committed, ms */
    double t_stop;                /* ms */
    double until;                 /* spikes after the last arrival are looked for before this time, ms */
    int32_t first;                /* number of its first neuron in the layer */
    int32_t neurons;              /* how many neurons it has, in its first lanes */
    double end[BLOCK_WIDTH];      /* ends of the last refractory periods, ms */
    int32_t release[BLOCK_WIDTH]; /* an arrival not later than the first after `end` */
    uint32_t refractory;          /* bits of the neurons whose refractory period had not ended at `now` */
    int32_t ring[2 * BLOCK_WIDTH]; /* the same neurons by the ends of their refractory periods, in a ring */
    int32_t first_waiting;         /* where the first of them is */
    int32_t n_waiting;
    spikes_t* spikes;
} block_t;

/* What a sweep returns. */
enum { SWEEP_DONE = 0, SWEEP_NO_MEMORY = -1, SWEEP_ENDLESS = -2 /* the last neuron in `spikes` fires for ever */ };

/* Membrane potential of a neuron in its refractory period: so far down that the vector loop never sees it reach the
 * threshold. It means nothing: after the period the potential follows from the synaptic current alone. */
#define BURIED -1e30

static INLINE int lowest_bit(uint32_t x) {
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_ctz(x);
#else
    int n = 0;
    while (!(x >> n & 1)) ++n;
    return n;
#endif
}

static INLINE void block_rest(block_t* k) {
    k->now = 0.0;
    k->until = INFINITY;
    k->next = 0;
    k->first_waiting = 0;
    k->n_waiting = 0;
    k->refractory = 0;
    for (int n = 0; n < BLOCK_WIDTH; ++n) k->end[n] = -INFINITY;
}

/* Neuron n fires at t, `now` or later. */
static INLINE int block_fire(block_t* k, int32_t n, double t) {
    k->end[n] = t + k->lif->refractory;
    k->release[n] = k->next ? k->events[k->next - 1].release : 0;
    return spikes_append(k->spikes, t, k->first + n, (int32_t)k->next - 1);
}

/* Neuron j of those in their refractory period, in the order of their ends. */
#define WAITING(k, j) ((k)->ring[((k)->first_waiting + (j)) & (2 * BLOCK_WIDTH - 1)])

static INLINE int32_t block_waiting(const block_t* k, int32_t j) { return WAITING(k, j); }

/* Neuron n has fired: enter it among those in their refractory period. */
static INLINE void block_wait(block_t* k, int32_t n) {
    int32_t j = k->n_waiting++;
    for (; j > 0 && k->end[WAITING(k, j - 1)] > k->end[n]; --j) WAITING(k, j) = WAITING(k, j - 1);
    WAITING(k, j) = n;
    k->refractory |= (uint32_t)1 << n;
}

/* A block whose state was committed at `now`, `end` being filled in: the neurons in their refractory period follow. */
static INLINE void block_resume(block_t* k, double now, double until) {
    k->now = now;
    k->until = until;
    k->next = 0;
    k->first_waiting = 0;
    k->n_waiting = 0;
    k->refractory = 0;
    for (int n = 0; n < BLOCK_WIDTH; ++n) {
        k->release[n] = 0;
        if (k->end[n] >= now) block_wait(k, n);
    }
}

/* The neuron whose refractory period ends first, taken from those in theirs. */
static INLINE int32_t block_wake(block_t* k) {
    const int32_t n = WAITING(k, 0);
    ++k->first_waiting;
    --k->n_waiting;
    k->refractory &= ~((uint32_t)1 << n);
    return n;
}

/* Put neuron n in its place among those in their refractory period, after its end has moved on. */
static INLINE void block_rejoin(block_t* k, int32_t n) {
    int32_t j = 0;
    while (WAITING(k, j) != n) ++j;
    for (; j + 1 < k->n_waiting && k->end[WAITING(k, j + 1)] <= k->end[n]; ++j) WAITING(k, j) = WAITING(k, j + 1);
    WAITING(k, j) = n;
}

/* True if a refractory period ends before t. */
static INLINE int block_wakes(const block_t* k, double t) { return k->n_waiting && k->end[WAITING(k, 0)] < t; }

#define RELEASE_NEAR 6 /* arrivals among which that at which a refractory period ends nearly always is */

/* The first arrival after the end of a refractory period, else n. */
static INLINE int64_t block_release(block_t* k) {
    int64_t e;
    int32_t n;
    double end;
    if (!k->n_waiting) return k->n;
    n = WAITING(k, 0);
    end = k->end[n];
    e = k->release[n];
    if (e + RELEASE_NEAR <= k->n) {
        /* Counted: a branch could not be foretold. */
        const event_t* near = k->events + e;
        int later = 0;
        for (int m = 0; m < RELEASE_NEAR; ++m) later += near[m].time <= end;
        e += later;
        while (e + 8 < k->n && k->events[e + 8].time <= end) e += 8; /* many at a time */
    }
    while (e < k->n && k->events[e].time <= end) ++e;
    k->release[n] = (int32_t)e;
    return e;
}

#endif
