/* The loops of the windowed schedule, written once; isa_copies.h includes this file for each instruction set.
 *
 * Every number is made by the same operations in the same order whatever the vectors' width. Twin: eventsnn/reference/windows.py.
 */

#define NAME(x) PASTE(x, ISA)
#define SIFT_BLOCK 256

typedef double NAME(vec4) __attribute__((vector_size(32), aligned(8), may_alias));

/* Arrivals of spikes at `times` + `delay` in a window that ends at `end`. */
TARGET static void NAME(tabulate)(const double* restrict times, int64_t n, double delay, double end, const lif_t* c,
                                  table_t out) {
    double *restrict h = out.h, *restrict b = out.b, *restrict a = out.a, *restrict t = out.t;
    const double rate_m = -c->rate_m, rate_s = -c->rate_s, apart = c->apart, rate = short_rate(c);
    if (apart == 0.0) {
        for (int64_t j = 0; j < n; ++j) {
            const double arrival = times[j] + delay, d = end - arrival, decayed = short_exp(d * rate_m);
            t[j] = arrival;
            a[j] = decayed;
            b[j] = short_exp(d * rate_s);
            h[j] = short_h_close(d, decayed, -rate_s, rate);
        }
    } else {
        for (int64_t j = 0; j < n; ++j) {
            const double arrival = times[j] + delay, d = end - arrival;
            const double slow = short_exp(d * rate_m), fast = short_exp(d * rate_s);
            t[j] = arrival;
            a[j] = slow;
            b[j] = fast;
            h[j] = apart * (slow - fast);
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
