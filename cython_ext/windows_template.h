/* The loops of the windowed schedule, written once; windows_isa.h includes this file for every instruction set.
 *
 * Needs: TARGET (function attribute) and NAME(x) (x with a suffix of its own). Every number is made by the same
 * operations in the same order whatever the vectors' width. Twin: eventsnn/engines/windows_twin.py.
 */

#define TABLE_BLOCK 64

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
TARGET static void NAME(tabulate)(const double* times, int64_t n, double delay, double end, const frame_t* f,
                                  arrival_t* out) {
    double d[TABLE_BLOCK], h[TABLE_BLOCK], a[TABLE_BLOCK], b[TABLE_BLOCK], t[TABLE_BLOCK];
    const double per_m = f->per_m, per_s = f->per_s, k = f->k, rate = f->rate;
    for (int64_t start = 0; start < n; start += TABLE_BLOCK) {
        const int64_t left = n - start;
        const int size = left < TABLE_BLOCK ? (int)left : TABLE_BLOCK;
        for (int j = 0; j < size; ++j) t[j] = times[start + j] + delay;
        for (int j = size; j < TABLE_BLOCK; ++j) t[j] = end;
        for (int j = 0; j < TABLE_BLOCK; ++j) d[j] = end - t[j];
        for (int j = 0; j < TABLE_BLOCK; ++j) a[j] = NAME(exp_short)(d[j] * per_m);
        for (int j = 0; j < TABLE_BLOCK; ++j) b[j] = NAME(exp_short)(d[j] * per_s);
        if (f->close)
            for (int j = 0; j < TABLE_BLOCK; ++j) h[j] = a[j] * (d[j] * -per_s) * NAME(phi)(d[j] * -rate);
        else
            for (int j = 0; j < TABLE_BLOCK; ++j) h[j] = k * (a[j] - b[j]);
        for (int j = 0; j < size; ++j) {
            arrival_t* r = out + start + j;
            r->h = h[j];
            r->b = b[j];
            r->a = a[j];
            r->t = t[j];
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
                                 const arrival_t* r, gathered_t* out) {
    const NAME(vec4) up = {r->h, r->b, r->h, 0.0}, down = {r->h, r->b, 0.0, 0.0};
    int64_t k = 0;
    for (; k < positive; ++k) *(NAME(vec4)*)(out + targets[k]) += weights[k] * up;
    for (; k < n; ++k) *(NAME(vec4)*)(out + targets[k]) += weights[k] * down;
}

/* `n` arrivals from the neurons `sources`, each of which has one target at most: `targets` and `weights` by source.
 * A source without a target has one neuron beyond the last and weight 0. */
TARGET static void NAME(scatter_one)(const int32_t* targets, const double* weights, const int32_t* sources, int64_t n,
                                     const arrival_t* r, gathered_t* out) {
    for (int64_t k = 0; k < n; ++k) {
        const double w = weights[sources[k]], x = w * r[k].h, y = w * r[k].b;
        gathered_t* o = out + targets[sources[k]];
        o->u += x;
        o->i += y;
        o->reach += w > 0.0 ? x : 0.0;
    }
}

/* Copies the synapses of one arrival whose target is hot; returns how many. Writes one place beyond them. */
TARGET static int64_t NAME(sift)(const int32_t* targets, const double* weights, int64_t n, int32_t arrival,
                                 const uint8_t* hot, delivery_t* out) {
    int64_t found = 0;
    for (int64_t k = 0; k < n; ++k) {
        out[found].weight = weights[k];
        out[found].target = targets[k];
        out[found].arrival = arrival;
        found += hot[targets[k]];
    }
    return found;
}

/* The same for `n` arrivals, numbered from `arrival` on, from neurons with one target at most. */
TARGET static int64_t NAME(sift_one)(const int32_t* targets, const double* weights, const int32_t* sources, int64_t n,
                                     int32_t arrival, const uint8_t* hot, delivery_t* out) {
    int64_t found = 0;
    for (int64_t k = 0; k < n; ++k) {
        const int32_t target = targets[sources[k]];
        out[found].weight = weights[sources[k]];
        out[found].target = target;
        out[found].arrival = arrival + (int32_t)k;
        found += hot[target];
    }
    return found;
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

#undef TABLE_BLOCK
