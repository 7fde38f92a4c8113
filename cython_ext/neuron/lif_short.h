/* The propagators over times no longer than either time constant, in a form that is fast in vectors and, unlike that of
 * lif.h, no exact function of it to the last bit. Twin: `respond_short` of eventsnn/reference/lif.py. */
#ifndef EVENTSNN_LIF_SHORT_H
#define EVENTSNN_LIF_SHORT_H

#include "lif.h"

/* exp(x) for -1 <= x <= 0: its Chebyshev interpolation of degree 12, relative error below 2e-16. */
static INLINE double short_exp(double x) {
    const double r = x + 0.5;
    double p = 1.2719039650810423e-09;
    p = p * r + 1.527420048841299e-08;
    p = p * r + 1.6714181868801803e-07;
    p = p * r + 1.67141109149772e-06;
    p = p * r + 1.504292337374757e-05;
    p = p * r + 0.00012034338858639082;
    p = p * r + 0.0008424036940259399;
    p = p * r + 0.005054422164000439;
    p = p * r + 0.02527211082136033;
    p = p * r + 0.10108844328544739;
    p = p * r + 0.3032653298563167;
    p = p * r + 0.6065306597126333;
    return p * r + 0.6065306597126334;
}

/* (exp(z) - 1) / z for |z| < 1/32: its Taylor series. */
static INLINE double short_phi(double z) {
    double p = 1.0 / 40320.0;
    p = p * z + 1.0 / 5040.0;
    p = p * z + 1.0 / 720.0;
    p = p * z + 1.0 / 120.0;
    p = p * z + 1.0 / 24.0;
    p = p * z + 1.0 / 6.0;
    p = p * z + 0.5;
    return p * z + 1.0;
}

/* 1/tau_s - 1/tau_m with its sign, 1/ms. */
static INLINE double short_rate(const lif_t* c) { return c->tau_m < c->tau_s ? -c->rate : c->rate; }

/* h of time constants close to each other, `rate` being short_rate(c); else it is apart (a - b). */
static INLINE double short_h_close(double d, double a, double rate_s, double rate) {
    return a * (d * rate_s) * short_phi(d * -rate);
}

#endif
