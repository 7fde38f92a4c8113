/* What the windowed schedule works on, and the table of its loops; see engine_windows.pyx. */
#ifndef EVENTSNN_WINDOWS_H
#define EVENTSNN_WINDOWS_H

#include <stdint.h>

#include "lif_short.h"

/* One arrival, seen from the end of the window, d ms later: what a unit of weight amounts to there. */
typedef struct {
    double h; /* in the membrane potential */
    double b; /* in the synaptic current: exp(-d/tau_s) */
    double a; /* what a unit of membrane potential amounts to: exp(-d/tau_m) */
    double t; /* time of the arrival, ms */
} arrival_t;

/* Many of them, an array for each field. */
typedef struct {
    double *h, *b, *a, *t;
} table_t;

/* A synapse whose post-synaptic neuron is looked at closely. */
typedef struct {
    double weight;
    int32_t target;
    int32_t arrival; /* number of the arrival in the window */
} delivery_t;

/* What a neuron gathers in a window: four numbers, one vector. */
typedef struct {
    double u;     /* membrane potential at the end, if the neuron does not fire, counted from rest */
    double i;     /* synaptic current at the end */
    double reach; /* a bound that the membrane potential does not pass within the window */
    double unused;
} gathered_t;

typedef struct {
    void (*tabulate)(const double*, int64_t, double, double, const lif_t*, table_t);
    void (*begin)(int64_t, const double*, const double*, const arrival_t*, gathered_t*);
    void (*scatter)(const int32_t*, const double*, int64_t, int64_t, double, double, gathered_t*);
    void (*scatter_one)(const int32_t*, const double*, const int32_t*, int64_t, const double*, const double*,
                        gathered_t*);
    int64_t (*sift)(const int32_t*, const double*, int64_t, int32_t, const uint8_t*, delivery_t*);
    int64_t (*sift_one)(const int32_t*, const double*, const int32_t*, int64_t, int32_t, const uint8_t*, delivery_t*);
    int64_t (*finish)(int64_t, double*, double*, const double*, const gathered_t*, double, double, double, double,
                      uint8_t*, int32_t*);
} windows_ops_t;

#endif
