/* The neuron in closed form. Twin: eventsnn/engines/lif.py, operation for operation (same bits). */
#ifndef EVENTSNN_LIF_H
#define EVENTSNN_LIF_H

#include <math.h>

#include "decay.h"

#define LIF_TOUCH (4.0 * 2.220446049250313e-16) /* relative distance that counts as touching the threshold */
#define LIF_CONVERGED 1e-15                     /* error of a spike time, in slower time constants */
#define LIF_CANDIDATE (1.0 - 0.00006103515625)  /* candidates are searched with a threshold lowered by 2^-14 */
#define LIF_MAX_STEPS 200
#define LIF_LIMIT_SLACK 1e-9 /* ms: limits only cut a search short, generously */

typedef struct {
    double threshold;  /* firing threshold of the membrane potential, > 0 */
    double tau_m;      /* membrane time constant, ms, > 0 */
    double tau_s;      /* synaptic time constant, ms, > 0 */
    double refractory; /* refractory period, ms, >= 0 */
    double gain;       /* |tau_m / (tau_m - tau_s)|; 0 marks equal time constants */
    double rate;       /* |1/tau_s - 1/tau_m|, 1/ms */
    double tau_slow;   /* the larger time constant, ms */
    double psp_max;    /* maximum of the unit post-synaptic potential */
    double rate_m;     /* 1/tau_m, 1/ms */
    double rate_s;     /* 1/tau_s, 1/ms */
    double apart;      /* tau_m / (tau_m - tau_s) if the time constants are well apart, else 0 */
} lif_t;

/* From the eleven numbers of eventsnn.engines.lif.Constants, in its order. */
static INLINE void lif_fill(lif_t* c, const double* row) {
    const lif_t filled = {row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10]};
    *c = filled;
}

/* Propagators over d >= 0 ms: u(d) = u a + I h, I(d) = I b. */
static INLINE void lif_respond(const lif_t* c, double d, double* a, double* h, double* b) {
    double unused, rise_m, rise_s, rise;
    decay(d * c->rate_m, a, &rise_m);
    decay(d * c->rate_s, b, &rise_s);
    if (c->apart != 0.0) {
        *h = c->apart * (rise_m < 0.5 ? rise_s - rise_m : *a - *b);
    } else if (c->gain == 0.0) {
        *h = *a * (d * c->rate_s);
    } else {
        decay(d * c->rate, &unused, &rise);
        *h = (c->tau_m > c->tau_s ? *a : *b) * (c->gain * rise);
    }
}

/* What the membrane potential of a neuron in state (u, i) never rises above without further input: its positive part
 * plus the largest response to the present current. */
static INLINE double lif_reach(const lif_t* c, double u, double i) {
    return (u > 0.0 ? u : 0.0) + (i > 0.0 ? i : 0.0) * c->psp_max;
}

/* Time until a neuron in state (u0, i0) fires, ms; INFINITY if it does not before `limit`. */
static INLINE double lif_next_crossing(const lif_t* c, double u0, double i0, double limit) {
    const double gap = c->threshold - u0, touch = c->threshold * (1.0 - LIF_TOUCH);
    const double close = LIF_CONVERGED * c->tau_slow;
    double d, slope0, inverse, bend, third, curved, square;
    int leapt;
    if (u0 >= touch) return 0.0;
    slope0 = i0 * c->rate_s - u0 * c->rate_m;
    if (!(i0 > 0.0 && slope0 > 0.0)) return INFINITY;
    /* The parabola with the state's slope and curvature; it may lie to the right of the crossing, a tangent never.
     * Where its root has a short series, that, with the third derivative's share: one step of Newton's method is then
     * enough. */
    bend = slope0 * c->rate_m + i0 * c->rate_s * c->rate_s;
    inverse = 1.0 / slope0;
    d = gap * inverse;
    curved = bend * d * inverse;
    leapt = 1;
    if (curved < 0.0625) {
        third = bend * c->rate_m + i0 * c->rate_s * c->rate_s * c->rate_s;
        d = d * (1.0 + curved * (0.5 + curved * (0.5 + curved * 0.625)));
        d = d - third * inverse * (1.0 / 6.0) * (d * d * d);
    } else {
        square = slope0 * slope0 - 2.0 * bend * gap;
        leapt = square > 0.0;
        if (leapt) d = 2.0 * gap / (slope0 + sqrt(square));
    }
    for (int n = 0; n < LIF_MAX_STEPS; ++n) {
        double a, h, b, u, i, slope, step;
        lif_respond(c, d, &a, &h, &b);
        u = u0 * a + i0 * h;
        i = i0 * b;
        slope = i * c->rate_s - u * c->rate_m;
        if (leapt && !(slope > 0.0)) {
            /* Past the maximum: start again, from the left. */
            leapt = 0;
            d = gap / slope0;
            continue;
        }
        /* Also while u rises: below a flat maximum that misses by rounding alone, the next step leaps past it. */
        if ((u >= touch) & !(leapt & (u > c->threshold))) return d; /* one branch, which is easy to foretell */
        if (!(slope > 0.0)) return INFINITY;
        leapt = 0;
        step = (c->threshold - u) / slope;
        d = d + step;
        /* What Newton's method leaves is its step squared times half the curvature over the slope. */
        if ((slope * c->rate_m + i * c->rate_s * c->rate_s) * (step * step) <= 2.0 * slope * close) return d;
        if (d > limit) return INFINITY;
    }
    return d;
}

/* Absolute time of the next spike of a neuron in state (u, i) committed at `now`; INFINITY if none by `until`.
 *
 * `end` is the end of its refractory period: while it lies ahead, u is 0 and the search starts there. So too at
 * `end` itself: without a refractory period a neuron may fire at `now`, before its reset is committed. */
static INLINE double lif_next_spike(const lif_t* c, double u, double i, double now, double end, double until) {
    if (end >= now) {
        if (end > until) return INFINITY;
        u = 0.0;
        i = i * decay_e((end - now) * c->rate_s);
        now = end;
    }
    return now + lif_next_crossing(c, u, i, until - now + LIF_LIMIT_SLACK);
}

/* Membrane potential at `then` of a neuron whose refractory period ends at `end`, now <= end <= then. */
static INLINE double lif_after_refractory(const lif_t* c, double i, double now, double end, double then) {
    double a, h, b;
    lif_respond(c, then - end, &a, &h, &b);
    return (i * decay_e((end - now) * c->rate_s)) * h;
}

#endif
