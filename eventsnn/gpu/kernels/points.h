/* What a neuron's spikes mean to the sweep in reverse time: points with charges, and the sums P and G.
 * Twin: eventsnn/reference/spsp.py; on the processor cython_ext/learn/charges.pyx and spsp.pyx. */
#ifndef EVENTSNN_POINTS_H
#define EVENTSNN_POINTS_H

#include "cuda.h"

/* Propagators over d >= 0 ms, u(d) = u a + I h and I(d) = I b, in the kernel's precision. */
DEVICE void propagators(const lif_t* c, double d, double* a, double* h, double* b) { lif_respond(c, d, a, h, b); }
DEVICE void propagators(const lif_t* c, float d, float* a, float* h, float* b) {
    *a = expf(-d * (float)c->rate_m);
    *b = expf(-d * (float)c->rate_s);
    /* The form of close time constants holds for all that differ, and cancels nothing. */
    *h = c->gain == 0.0 ? *a * (d * (float)c->rate_s)
                        : (c->tau_m > c->tau_s ? *a : *b) * ((float)c->gain * -expm1f(-d * (float)c->rate));
}
DEVICE double decayed(double x) { return decay_e(x); }
DEVICE float decayed(float x) { return expf(-x); }

/* The spikes of one neuron in one recording, ascending: number f is times[f * stride]. */
struct SpikeTrain {
    Span<const double> times;
    int stride, count;
    MEMBER double operator[](int f) const { return times[(int64)f * stride]; }
};

DEVICE SpikeTrain spike_train(Span<const double> fired, int64 sample, int neuron, int capacity, int padded, int count) {
    const int64 size = (int64)capacity * padded;
    return {fired.part(sample * size + neuron, size - neuron), padded, count};
}

/* The points of a neuron that have a charge, latest first: 1 at each spike at t, and -exp(-(t - r)/tau_m) at the end r of
 * the refractory period before it. A forced spike within a refractory period had no time to integrate: it has none. */
template <class R>
struct Points {
    SpikeTrain train;
    double refractory;
    R rate_m;
    int f;           /* the spike, or the one whose refractory period ends */
    bool ends, left; /* whether it is such an end; whether there is a point left at all */
    double time;
    R charge;

    MEMBER Points(const lif_t* c, SpikeTrain spikes)
        : train(spikes), refractory(c->refractory), rate_m((R)c->rate_m), f(spikes.count - 1) {
        seek();
    }
    MEMBER void seek() {
        while (f > 0 && train[f - 1] + refractory > train[f]) --f;
        left = f >= 0;
        ends = false;
        charge = 1;
        time = left ? train[f] : 0.0;
    }
    MEMBER void next() {
        if (ends) {
            seek();
        } else if (f == 0) {
            left = false; /* nothing was reset before the first spike */
        } else {
            const double end = train[f - 1] + refractory; /* not later than the spike, see `seek` */
            charge = -decayed((R)(time - end) * rate_m);
            time = end;
            ends = true;
            --f;
        }
    }
};

/* P and G of a neuron with these charges, at an arrival; `due` is the time of the next point, or less than any time. */
template <class R>
struct Sums {
    R P, G;
    double due;
    MEMBER Sums() {}
    template <class AnyPoints>
    MEMBER Sums(const AnyPoints& points) : P(0), G(0), due(points.left ? points.time : -INFINITY) {}
    /* To the arrival before. */
    MEMBER void back(R a, R h, R b) {
        G = fma(P, h, G * b);
        P = P * a;
    }
};

/* The sums with all points at or after an arrival at `now` that are not in them yet. A call, as it is rare: what belongs to
 * the points then takes no registers. */
template <class R, class AnyPoints>
DEVICE_CALL Sums<R> take_points(const lif_t* c, AnyPoints* points, Sums<R> sums, double now) {
    while (points->left && points->time >= now) {
        R a, h, b;
        propagators(c, (R)(points->time - now), &a, &h, &b);
        sums.P += points->charge * a;
        sums.G += points->charge * h;
        points->next();
    }
    sums.due = points->left ? points->time : -INFINITY;
    return sums;
}

#endif
