/* The neuron in closed form. Twin: eventsnn/reference/lif.py, operation for operation (same bits). */
#ifndef EVENTSNN_LIF_H
#define EVENTSNN_LIF_H

#include "decay.h"

#define LIF_TOUCH (4.0 * 2.220446049250313e-16) /* relative distance that counts as touching the threshold */
#define LIF_CONVERGED 1e-15                     /* error of a spike time, in slower time constants */
#define LIF_CANDIDATE (1.0 - 0.00006103515625)  /* candidates are searched with a threshold lowered by 2^-14 */
#define LIF_TERMS 10                            /* of the series for short times: what is left out is below 2^-51 of it */
#define LIF_NEAR 0.125                          /* up to this many of the faster time constants a time is short */
#define LIF_SHORT 0.1875                        /* up to this curvature the root of a parabola is taken as a series */
#define LIF_MAX_STEPS 200
#define LIF_LIMIT_SLACK 1e-9 /* ms: limits only cut a search short, generously */

/* Two numbers that are computed at once. */
#ifdef __CUDACC__
struct lif_pair_t { /* nvcc and NVRTC have no vector types with operators */
    double v[2];
    INLINE double operator[](int n) const { return v[n]; }
};
typedef lif_pair_t lif_loose_t;
static INLINE lif_pair_t operator+(lif_pair_t x, lif_pair_t y) { return {{x.v[0] + y.v[0], x.v[1] + y.v[1]}}; }
static INLINE lif_pair_t operator*(lif_pair_t x, lif_pair_t y) { return {{x.v[0] * y.v[0], x.v[1] * y.v[1]}}; }
#else
typedef double lif_pair_t __attribute__((vector_size(16)));
typedef double lif_loose_t __attribute__((vector_size(16), aligned(8), may_alias)); /* the same anywhere in memory */
#endif

/* Constants of a neuron: the fields of eventsnn.reference.lif.RECORD, an array of which is this in memory.
 * Potentials are counted from the resting potential. */
typedef struct lif_s {
    double threshold;  /* firing threshold of the membrane potential, > 0 */
    double reset;      /* membrane potential at the start and in the refractory period, < threshold */
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
    double near;       /* times up to this are short, ms */
    /* Coefficients of Taylor series over d: of (a - 1)/d and h/d, of a' and h', of h/d and (b - 1)/d. */
    double series[LIF_TERMS][2];
    double slopes[LIF_TERMS][2];
    double rested[LIF_TERMS][2];
} lif_t;

/* c[0] + c[1] d + ... + c[9] d^9. */
static INLINE lif_pair_t lif_sum(const double (*terms)[2], lif_pair_t d) {
    const lif_loose_t* c = (const lif_loose_t*)terms;
    const lif_pair_t d2 = d * d, d4 = d2 * d2;
    return (((c[0] + c[1] * d) + d2 * (c[2] + c[3] * d)) + d4 * ((c[4] + c[5] * d) + d2 * (c[6] + c[7] * d))) +
           (d4 * d4) * (c[8] + c[9] * d);
}

/* h, the response of the membrane potential to a unit of synaptic current, from e^-x and 1 - e^-x: a and rise_m for
 * x = d/tau_m, b and rise_s for d/tau_s, rise for d rate. Time constants well apart, equal, and close to each other. */
static INLINE double lif_h_apart(const lif_t* c, double a, double b, double rise_m, double rise_s) {
    return c->apart * (rise_m < 0.5 ? rise_s - rise_m : a - b);
}
static INLINE double lif_h_equal(double a, double d_over_tau) { return a * d_over_tau; }
static INLINE double lif_h_close(const lif_t* c, double a, double b, double rise) {
    return (c->tau_m > c->tau_s ? a : b) * (c->gain * rise);
}

/* Propagators over d >= 0 ms: u(d) = u a + I h, I(d) = I b. */
static INLINE void lif_respond(const lif_t* c, double d, double* a, double* h, double* b) {
    double unused, rise_m, rise_s, rise;
    decay(d * c->rate_m, a, &rise_m);
    decay(d * c->rate_s, b, &rise_s);
    if (c->apart != 0.0) {
        *h = lif_h_apart(c, *a, *b, rise_m, rise_s);
    } else if (c->gain == 0.0) {
        *h = lif_h_equal(*a, d * c->rate_s);
    } else {
        decay(d * c->rate, &unused, &rise);
        *h = lif_h_close(c, *a, *b, rise);
    }
}

/* A level that the membrane potential of a neuron that crossed the threshold less than d ago, had it not been reset, is
 * above; a and h are the propagators over d. It fires with u = nu and u' >= 0, hence I >= nu tau_s/tau_m; from there u
 * falls fastest if it was level. (And a little less, for rounding.) */
static INLINE double lif_fallen(const lif_t* c, double a, double h) {
    return (c->threshold * LIF_CANDIDATE) * (a + h * (c->tau_s * c->rate_m));
}

/* The tangent of the membrane potential in a state (u, i), seen `gap` ms ahead: u *by_u + i *by_i. */
static INLINE void lif_tangent(const lif_t* c, double gap, double* by_u, double* by_i) {
    *by_u = 1.0 - gap * c->rate_m;
    *by_i = gap * c->rate_s;
}

/* What the membrane potential of a neuron in state (u, i) never rises above without further input: its positive part
 * plus the largest response to the present current. */
static INLINE double lif_reach(const lif_t* c, double u, double i) {
    return (u > 0.0 ? u : 0.0) + (i > 0.0 ? i : 0.0) * c->psp_max;
}

/* Where to begin the search for a crossing: about where the cubic with the state's derivatives reaches the threshold.
 * If that leads nowhere, where the tangent does, and *leapt is 0. */
static INLINE double lif_guess(const lif_t* c, double gap, double slope, double i0, int* leapt) {
    const double driven = i0 * c->rate_s * c->rate_s;
    const double bend = slope * c->rate_m + driven, third = bend * c->rate_m + driven * c->rate_s;
    const double inverse = 1.0 / slope;
    double d = gap * inverse, root = 1.0, share; /* the parabola's root is d root; of that, the third derivative's share */
    const double curved = bend * inverse * d;
    *leapt = 1;
    if (curved < LIF_SHORT) {
        const double squared = curved * curved;
        share = third * inverse * (1.0 / 6.0) * (d * d) * (1.0 + curved * (2.5 + curved * 5.25));
        root = (1.0 + curved * 0.5) + squared * (0.5 + curved * 0.625);
        root = root + (squared * squared) * (0.875 + curved * 1.3125);
    } else {
        const double square = slope * slope - 2.0 * bend * gap;
        *leapt = square > 0.0;
        if (!*leapt) return d;
        d = 2.0 * gap / (slope + sqrt(square));
        share = third * (d * d) / (6.0 * sqrt(square));
    }
    return d * (root - (share < 0.25 ? share : 0.25)); /* where the share is no small thing, it means nothing */
}

/* Time until a neuron in state (u0, i0) fires, ms; INFINITY if it does not before `limit`. */
static INLINE double lif_next_crossing(const lif_t* c, double u0, double i0, double limit) {
    const double gap = c->threshold - u0, touch = c->threshold * (1.0 - LIF_TOUCH);
    const double close = LIF_CONVERGED * c->tau_slow;
    double d, slope0;
    int leapt;
    if (u0 >= touch) return 0.0;
    slope0 = i0 * c->rate_s - u0 * c->rate_m;
    if (!(i0 > 0.0 && slope0 > 0.0)) return INFINITY;
    d = lif_guess(c, gap, slope0, i0, &leapt);
    for (int n = 0; n < LIF_MAX_STEPS; ++n) {
        double u, left, slope, inverse, step, curvature, bent;
        if (d <= c->near) {
            const lif_pair_t twice = {d, d}, p = lif_sum(c->series, twice), q = lif_sum(c->slopes, twice);
            const double rise = (u0 * d) * p[0] + (i0 * d) * p[1];
            slope = u0 * q[0] + i0 * q[1];
            u = u0 + rise;
            left = gap - rise;
        } else {
            double a, h, b;
            lif_respond(c, d, &a, &h, &b);
            u = u0 * a + i0 * h;
            slope = (i0 * b) * c->rate_s - u * c->rate_m;
            left = c->threshold - u;
        }
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
        inverse = 1.0 / slope;
        step = left * inverse;
        curvature = (slope * c->rate_m + (slope + u * c->rate_m) * c->rate_s) * inverse;
        bent = curvature * (step * step);
        d = d + step;
        /* Half of `bent` is what the curvature adds to the step; then the cube's share is left, or less. */
        if (fabs(bent * curvature * step) <= close) return d + 0.5 * bent;
        if (d > limit) return INFINITY;
    }
    return d;
}

/* Absolute time of the next spike of a neuron in state (u, i) committed at `now`; INFINITY if none by `until`.
 *
 * `end` is the end of its refractory period: while it lies ahead, u is held and the search starts there. So too at
 * `end` itself: without a refractory period a neuron may fire at `now`, before its reset is committed. */
static INLINE double lif_next_spike(const lif_t* c, double u, double i, double now, double end, double until) {
    if (end >= now) {
        if (end > until) return INFINITY;
        u = c->reset;
        i = i * decay_e((end - now) * c->rate_s);
        now = end;
    }
    return now + lif_next_crossing(c, u, i, until - now + LIF_LIMIT_SLACK);
}

/* Membrane potential at `then` of a neuron whose refractory period ends at `end`, now <= end <= then. */
static INLINE double lif_after_refractory(const lif_t* c, double i, double now, double end, double then) {
    const lif_pair_t lag = {then - end, end - now};
    double a, h, b;
    const double rest = c->reset != 0.0 ? c->reset * decay_e(lag[0] * c->rate_m) : 0.0;
    if ((lag[0] <= c->near) & (lag[1] <= c->near)) {
        const lif_pair_t p = lag * lif_sum(c->rested, lag);
        return rest + (i * (1.0 + p[1])) * p[0];
    }
    lif_respond(c, lag[0], &a, &h, &b);
    return rest + (i * decay_e(lag[1] * c->rate_s)) * h;
}

#endif
