/* The loops of the windowed schedule, written once; isa_copies.h includes this file for each instruction set.
 *
 * Every number is made by the same operations in the same order whatever the vectors' width. Twin: eventsnn/reference/windows.py.
 */

#define NAME(x) PASTE(x, ISA)
#define SIFT_BLOCK 256

typedef double NAME(vec4) __attribute__((vector_size(32), aligned(8), may_alias));

/* exp(x) for -1 <= x <= 0: its Chebyshev interpolation of degree 12, relative error below 2e-16. */
TARGET static inline double NAME(exp_short)(double x) {
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
TARGET static inline double NAME(phi)(double z) {
    double p = 1.0 / 40320.0;
    p = p * z + 1.0 / 5040.0;
    p = p * z + 1.0 / 720.0;
    p = p * z + 1.0 / 120.0;
    p = p * z + 1.0 / 24.0;
    p = p * z + 1.0 / 6.0;
    p = p * z + 0.5;
    return p * z + 1.0;
}

/* Arrivals of spikes at `times` + `delay` in a window that ends at `end`. */
TARGET static void NAME(tabulate)(const double* restrict times, int64_t n, double delay, double end,
                                  const frame_t* f, table_t out) {
    double *restrict h = out.h, *restrict b = out.b, *restrict a = out.a, *restrict t = out.t;
    const double per_m = f->per_m, per_s = f->per_s, k = f->k, rate = f->rate;
    if (f->close) {
        for (int64_t j = 0; j < n; ++j) {
            const double arrival = times[j] + delay, d = end - arrival, decayed = NAME(exp_short)(d * per_m);
            t[j] = arrival;
            a[j] = decayed;
            b[j] = NAME(exp_short)(d * per_s);
            h[j] = decayed * (d * -per_s) * NAME(phi)(d * -rate);
        }
    } else {
        for (int64_t j = 0; j < n; ++j) {
            const double arrival = times[j] + delay, d = end - arrival;
            const double slow = NAME(exp_short)(d * per_m), fast = NAME(exp_short)(d * per_s);
            t[j] = arrival;
            a[j] = slow;
            b[j] = fast;
            h[j] = k * (slow - fast);
        }
    }
}

/* What the neurons would have at the end of a window without arrivals; `r` stands for its start. */
TARGET static void NAME(begin)(int64_t n, const double* u, const double* i, const arrival_t* r, gathered_t* out) {
    const double a = r->a, h = r->h, b = r->b;
    for (int64_t k = 0; k < n; ++k) {
        out[k].u = u[k] * a + i[k] * h;
        out[k].i = i[k] * b;
        out[k].reach = (u[k] > 0.0 ? u[k] : 0.0) + (i[k] > 0.0 ? i[k] : 0.0) * h;
        out[k].unused = 0.0;
    }
}

/* One arrival at its `n` targets; the first `positive` weights are >= 0, the others < 0. */
TARGET static void NAME(scatter)(const int32_t* targets, const double* weights, int64_t positive, int64_t n,
                                 double h, double b, gathered_t* out) {
    const NAME(vec4) up = {h, b, h, 0.0}, down = {h, b, 0.0, 0.0};
    int64_t k = 0;
    for (; k < positive; ++k) *(NAME(vec4)*)(out + targets[k]) += weights[k] * up;
    for (; k < n; ++k) *(NAME(vec4)*)(out + targets[k]) += weights[k] * down;
}

/* `n` arrivals from the neurons `sources`, each of which has one target at most: `targets` and `weights` by source.
 * A source without a target has one neuron beyond the last and weight 0. */
TARGET static void NAME(scatter_one)(const int32_t* targets, const double* weights, const int32_t* sources, int64_t n,
                                     const double* h, const double* b, gathered_t* out) {
    for (int64_t k = 0; k < n; ++k) {
        const double w = weights[sources[k]], x = w * h[k], y = w * b[k];
        gathered_t* o = out + targets[sources[k]];
        o->u += x;
        o->i += y;
        o->reach += w > 0.0 ? x : 0.0;
    }
}

/* Copies the synapses of one arrival whose target is hot; returns how many. */
TARGET static int64_t NAME(sift)(const int32_t* targets, const double* weights, int64_t n, int32_t arrival,
                                 const uint8_t* hot, delivery_t* out) {
    int32_t places[SIFT_BLOCK];
    delivery_t* const first = out;
    for (int64_t start = 0; start < n; start += SIFT_BLOCK) {
        const int size = n - start < SIFT_BLOCK ? (int)(n - start) : SIFT_BLOCK;
        const int32_t* t = targets + start;
        int found = 0;
        /* Few are hot: without a branch, and with one small store for each that is not. */
        for (int k = 0; k < size; ++k) {
            places[found] = k;
            found += hot[t[k]];
        }
        for (int k = 0; k < found; ++k, ++out) {
            out->weight = weights[start + places[k]];
            out->target = t[places[k]];
            out->arrival = arrival;
        }
    }
    return out - first;
}

/* The same for `n` arrivals, numbered from `arrival` on, from neurons with one target at most. */
TARGET static int64_t NAME(sift_one)(const int32_t* targets, const double* weights, const int32_t* sources, int64_t n,
                                     int32_t arrival, const uint8_t* hot, delivery_t* out) {
    int32_t places[SIFT_BLOCK];
    delivery_t* const first = out;
    for (int64_t start = 0; start < n; start += SIFT_BLOCK) {
        const int size = n - start < SIFT_BLOCK ? (int)(n - start) : SIFT_BLOCK;
        const int32_t* s = sources + start;
        int found = 0;
        for (int k = 0; k < size; ++k) {
            places[found] = k;
            found += hot[targets[s[k]]];
        }
        for (int k = 0; k < found; ++k, ++out) {
            out->weight = weights[s[places[k]]];
            out->target = targets[s[places[k]]];
            out->arrival = arrival + (int32_t)(start + places[k]);
        }
    }
    return out - first;
}

/* Commits every neuron that cannot fire in the window [start, end); lists the others and marks them in `hot`. */
TARGET static int64_t NAME(finish)(int64_t n, double* u, double* i, const double* refractory, const gathered_t* in,
                                   double level, double start, double end, double reset, uint8_t* hot,
                                   int32_t* list) {
    int64_t found = 0;
    for (int64_t k = 0; k < n; ++k) {
        const int held = refractory[k] >= end;
        const int active = (held == 0) & ((refractory[k] >= start) | (in[k].reach >= level));
        hot[k] = (uint8_t)active;
        list[found] = (int32_t)k;
        found += active;
        u[k] = active ? u[k] : held ? reset : in[k].u;
        i[k] = active ? i[k] : in[k].i;
    }
    return found;
}

#undef NAME
#undef SIFT_BLOCK
