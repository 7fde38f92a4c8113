/* The loops of the clocked engine, written once; isa_copies.h includes this file for each instruction set.
 *
 * Sums across neurons run in CLOCK_LANES lanes everywhere and nothing is contracted: every instruction set gives the
 * same bits. Twins: eventsnn/reference/clocked.py, eventsnn/reference/spsp_clocked.py.
 */

#define NAME(x) PASTE(x, ISA)
#define WIDE (VEC_BYTES / 4) /* neurons of a step */

/* Bits of a mask, one per lane. */
#if !defined(EVENTSNN_X86)
#define ANY_BITS(m) ((uint32_t)(((m)[0] & 1) | ((m)[1] & 2) | ((m)[2] & 4) | ((m)[3] & 8)))
#elif VEC_BYTES == 16
#define ANY_BITS(m) ((uint32_t)_mm_movemask_ps((__m128)(m)))
#elif VEC_BYTES == 32
#define ANY_BITS(m) ((uint32_t)_mm256_movemask_ps((__m256)(m)))
#else
#define ANY_BITS(m) ((uint32_t)_mm512_test_epi32_mask((__m512i)(m), (__m512i)(m)))
#endif

typedef float NAME(lanes) __attribute__((vector_size(4 * CLOCK_LANES), aligned(4), may_alias));
typedef float NAME(wide) __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));
typedef int32_t NAME(mask) __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));
#define LANES NAME(lanes)
#define AT(p, k) (*(LANES*)((p) + (k) * CLOCK_LANES))
#define READ(p, k) (*(const LANES*)((p) + (k) * CLOCK_LANES))

/* Does `call` for parts of a row that begin at `at` and have so many `vectors`, a number the compiler knows. */
#define MOST_VECTORS 5
#define IN_PARTS(width, call)                                                                                        \
    for (int32_t at = 0, left = (width) / CLOCK_LANES; left > 0;) {                                                  \
        if (left == 5) { enum { vectors = 5 }; call; left -= vectors; at += vectors * CLOCK_LANES; }                 \
        else if (left >= 4) { enum { vectors = 4 }; call; left -= vectors; at += vectors * CLOCK_LANES; }            \
        else if (left >= 2) { enum { vectors = 2 }; call; left -= vectors; at += vectors * CLOCK_LANES; }            \
        else { enum { vectors = 1 }; call; left -= vectors; at += vectors * CLOCK_LANES; }                           \
    }

TARGET static INLINE void NAME(add_row)(float* to, const float* row, int32_t vectors) {
    for (int32_t k = 0; k < vectors; ++k) AT(to, k) += READ(row, k);
}

/* One spike after the other into all patches that its cell is in; `vectors` is known when this is compiled. */
TARGET static INLINE void NAME(convolve)(const clocked_layer_t* l, float* current, const int32_t* ids, int64_t n,
                                         int32_t vectors) {
    const int32_t width = l->width, channels = l->source_channels;
    for (int64_t s = 0; s < n; ++s) {
        const int32_t cell = ids[s] / l->source_width, channel = ids[s] - cell * l->source_width;
        const int32_t end = l->ptr[cell + 1];
        for (int32_t k = l->ptr[cell]; k < end; ++k)
            NAME(add_row)(current + (int64_t)l->patch[k] * width,
                          l->weights + ((int64_t)l->offset[k] * channels + channel) * width, vectors);
    }
}

/* Adds the weights of the spikes `ids` to the currents. */
TARGET static void NAME(deliver)(const clocked_layer_t* l, float* current, const int32_t* ids, int64_t n) {
    const int32_t width = l->width, vectors = width / CLOCK_LANES;
    if (l->kind == CLOCK_CONV) {
        if (vectors == 1) NAME(convolve)(l, current, ids, n, 1);
        else if (vectors == 2) NAME(convolve)(l, current, ids, n, 2);
        else if (vectors == 4) NAME(convolve)(l, current, ids, n, 4);
        else if (vectors == 5) NAME(convolve)(l, current, ids, n, 5);
        else NAME(convolve)(l, current, ids, n, vectors);
    } else if (l->kind == CLOCK_POOL) {
        for (int64_t s = 0; s < n; ++s) {
            const int32_t cell = ids[s] / l->source_width, channel = ids[s] - cell * l->source_width;
            for (int32_t k = l->ptr[cell]; k < l->ptr[cell + 1]; ++k)
                current[(int64_t)l->patch[k] * width + channel] += 1.0f;
        }
    } else {
        const int64_t block = (int64_t)l->rows * width;
        for (int64_t s = 0; s < n; ++s) {
            if (l->row_of[ids[s]] < 0) continue; /* the bias neuron, of a layer without biases */
            const float* row = l->weights + (int64_t)l->row_of[ids[s]] * width;
            for (int32_t p = 0; p < l->positions; ++p, row += block)
                NAME(add_row)(current + (int64_t)p * width, row, 32 / CLOCK_LANES);
        }
    }
}

/* One step of all neurons after what arrives; the decay of I that opens the next step closes this one. Writes the
 * neurons that fire to `ids`; returns how many. */
TARGET static INLINE int64_t NAME(update)(const clocked_layer_t* l, clocked_state_t* s, int64_t size, int32_t t,
                                          int32_t* ids, int exact, int leaks) {
    const float tau_m = l->tau_m, tau_s = l->tau_s, per_m = 1.0f / tau_m, per_s = 1.0f / tau_s;
    const float threshold = l->threshold;
    int64_t found = 0;
    for (int64_t k = 0; k < size; k += WIDE) {
        NAME(wide)* const vp = (NAME(wide)*)(s->v + k);
        NAME(wide)* const ip = (NAME(wide)*)(s->current + k);
        const NAME(wide) i = *ip, rise = exact ? i * per_s : i / tau_s;
        NAME(wide) v = *vp;
        v -= exact ? v * per_m : v / tau_m;
        if (leaks) v += l->leak;
        v += rise;
        *ip = i - rise;
        const NAME(mask) awake = *(NAME(mask)*)(s->until + k) < t;
        v = (NAME(wide))((NAME(mask))v & awake);
        const NAME(mask) fired = v > threshold;
        *vp = (NAME(wide))((NAME(mask))v & ~fired);
        uint32_t bits = ANY_BITS(fired);
        while (bits) {
            const int64_t id = k + __builtin_ctz(bits);
            bits &= bits - 1;
            s->until[id] = t + l->refractory;
            ids[found++] = (int32_t)id;
        }
    }
    return found;
}

TARGET static int64_t NAME(step)(const clocked_layer_t* l, clocked_state_t* s, int64_t size, int32_t t, int32_t* ids) {
    if (l->leak != 0.0f) return NAME(update)(l, s, size, t, ids, 0, 1);
    return l->exact ? NAME(update)(l, s, size, t, ids, 1, 0) : NAME(update)(l, s, size, t, ids, 0, 0);
}

/* G = m + y for the steps from `from` down to `to`, both included, m and y decaying before each. */
TARGET static INLINE void NAME(go_back)(float* g, int64_t from, int64_t to, const float* decay, float* m, float* y,
                                        int32_t stride, int32_t vectors) {
    LANES a[MOST_VECTORS], b[MOST_VECTORS];
    for (int32_t k = 0; k < vectors; ++k) a[k] = AT(m, k), b[k] = AT(y, k);
    for (int64_t t = from; t >= to; --t)
        for (int32_t k = 0; k < vectors; ++k) {
            a[k] *= decay[0];
            b[k] *= decay[1];
            AT(g + t * stride, k) = a[k] + b[k];
        }
    for (int32_t k = 0; k < vectors; ++k) AT(m, k) = a[k], AT(y, k) = b[k];
}

TARGET static void NAME(kernel)(float* g, int64_t from, int64_t to, int32_t width, const float* decay, float* m,
                                float* y) {
    /* A few vectors at a time stay in registers, and do not wait for each other. */
    IN_PARTS(width, NAME(go_back)(g + at, from, to, decay, m + at, y + at, width, vectors))
}

TARGET static INLINE void NAME(add_up)(const float* g, int32_t stride, const int32_t* times, int64_t n, float* e,
                                       int32_t vectors) {
    LANES total[MOST_VECTORS];
    for (int32_t k = 0; k < vectors; ++k) total[k] = READ(g + (int64_t)times[0] * stride, k);
    for (int64_t s = 1; s < n; ++s)
        for (int32_t k = 0; k < vectors; ++k) total[k] += READ(g + (int64_t)times[s] * stride, k);
    for (int32_t k = 0; k < vectors; ++k) AT(e, k) = total[k];
}

/* S-PSPs of one source neuron on a position: the sum of G over its spikes. */
TARGET static void NAME(sum)(const float* g, int32_t width, const int32_t* times, int64_t n, float* e) {
    IN_PARTS(width, NAME(add_up)(g + at, width, times, n, e + at, vectors))
}

#undef NAME
#undef WIDE
#undef ANY_BITS
#undef MOST_VECTORS
#undef IN_PARTS
#undef LANES
#undef AT
#undef READ
