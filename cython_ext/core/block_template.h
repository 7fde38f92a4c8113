/* The loops over a block, written once; block_both.h includes this file for each precision, isa_copies.h that one for
 * each instruction set.
 *
 * Needs: REAL (float or double), INT (signed integer of its size), SQRT, NAME(x) (x with a suffix of its own), VEC_BYTES
 * and TARGET, and optionally VSET, VMAX, VGE; it takes back NAME and the last three. No operation crosses neurons but sums whose order does not depend on the vectors,
 * and none is contracted (-ffp-contract=off), so every instruction set gives the same bits.
 * Twin: eventsnn/reference/queue.py, neuron by neuron; for `learn`, eventsnn/reference/macro.py.
 */

typedef REAL NAME(vec) __attribute__((vector_size(VEC_BYTES)));
/* The same anywhere in memory; copying by memcpy would go in pieces that stores still on their way cannot feed. */
typedef REAL NAME(loose) __attribute__((vector_size(VEC_BYTES), aligned(sizeof(REAL)), may_alias));
typedef INT NAME(mask) __attribute__((vector_size(VEC_BYTES)));
typedef double NAME(wide) __attribute__((vector_size(VEC_BYTES)));
typedef REAL NAME(narrow) __attribute__((vector_size(VEC_BYTES / 8 * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
typedef REAL NAME(eight) __attribute__((vector_size(8 * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
typedef REAL NAME(quad) __attribute__((vector_size(4 * sizeof(REAL))));
typedef int64_t NAME(whole) __attribute__((vector_size(VEC_BYTES)));
typedef double NAME(four) __attribute__((vector_size(32)));
typedef int64_t NAME(pair_bits) __attribute__((vector_size(16)));
typedef REAL NAME(row) __attribute__((vector_size(TABLE_COLUMNS * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

#define LANES ((int)(VEC_BYTES / sizeof(REAL)))
#define VECS (BLOCK_WIDTH / LANES)
#define VEC NAME(vec)
#define LOAD(p) ((VEC) * (const NAME(loose)*)(p))
#define SAVE(p, v) (*(NAME(loose)*)(p) = (v))
#define MASK NAME(mask)
#define WIDE NAME(wide)
#define WHOLE NAME(whole)
#define FOUR NAME(four)
#define PAIR_BITS NAME(pair_bits)
#define ROW NAME(row)
#define DOUBLES (VEC_BYTES / 8)
#define EIGHT NAME(eight)
#define QUAD NAME(quad)
#define READ8(p) (*(const EIGHT*)(p))
#define WIDEN(p) __builtin_convertvector(*(const NAME(narrow)*)(p), WIDE)
/* Rows of the gradient are fetched this many arrivals ahead: see SWEEP_AHEAD. */
#define AHEAD 64

#ifndef VSET
TARGET static inline VEC NAME(set)(REAL x) {
    VEC v;
    for (int k = 0; k < LANES; ++k) v[k] = x;
    return v;
}
TARGET static inline VEC NAME(max)(VEC a, VEC b) {
    const MASK m = a >= b;
    return (VEC)(((MASK)a & m) | ((MASK)b & ~m));
}
TARGET static inline uint32_t NAME(ge)(VEC a, VEC b) {
    uint32_t bits = 0;
    for (int k = 0; k < LANES; ++k) bits |= (uint32_t)(a[k] >= b[k]) << k;
    return bits;
}
#define VSET(x) NAME(set)(x)
#define VMAX(a, b) NAME(max)(a, b)
#define VGE(a, b) NAME(ge)(a, b)
#endif

/* What is done to the first PART_VECS vectors of a block: to whole blocks, and to those with neurons in their first half
 * alone. */
#define PART(x) NAME(x)
#define PART_VECS VECS
#include "part_template.h"
#define PART(x) NAME(x##_half)
#define PART_VECS (VECS / 2)
#include "part_template.h"

#include "run_template.h"

/* The sweep of a block, and the way back, through no more of it than has neurons, or spikes. */
TARGET static int NAME(sweep)(block_t* k, REAL* u, REAL* i, const REAL* weights, const REAL* table) {
    return k->neurons > BLOCK_WIDTH / 2 ? NAME(sweep_lanes)(k, u, i, weights, table)
                                        : NAME(sweep_lanes_half)(k, u, i, weights, table);
}
TARGET static void NAME(reverse)(REAL* out, const int32_t* neurons, const REAL* table, const int32_t* at,
                                 const int32_t* lane, const REAL* dp, const REAL* dg) {
    int32_t any = 0;
    for (int64_t p = 0; at[p] >= 0; ++p) any |= lane[p];
    if (any >= BLOCK_WIDTH / 2)
        NAME(reverse_lanes)(out, neurons, table, at, lane, dp, dg);
    else
        NAME(reverse_lanes_half)(out, neurons, table, at, lane, dp, dg);
}

/* All blocks of a layer through one arrival: advance, deliver, and found[block] = some neuron may fire before the
 * time that c_u and c_i stand for. */
TARGET static void NAME(step)(REAL* u, REAL* i, const REAL* weights, int64_t stride, int32_t blocks, REAL a_, REAL h_,
                              REAL b_, REAL cu_, REAL ci_, REAL level, uint8_t* found) {
    const VEC a = VSET(a_), h = VSET(h_), b = VSET(b_), cu = VSET(cu_), ci = VSET(ci_), L = VSET(level);
    for (int32_t block = 0; block < blocks; ++block) {
        uint32_t bits = 0;
        for (int k = 0; k < VECS; ++k) {
            const int64_t at = (int64_t)block * BLOCK_WIDTH + k * LANES;
            const VEC U = LOAD(u + at), I = LOAD(i + at);
            const VEC P = U * a + I * h, J = I * b + LOAD(weights + block * stride + k * LANES);
            /* The potential's tangent is highest at one end of the time looked at. */
            bits |= VGE(VMAX(P, cu * P + ci * J), L);
            SAVE(u + at, P);
            SAVE(i + at, J);
        }
        found[block] = bits != 0;
    }
}

/* e^-x and 1 - e^-x of n values, a multiple of DOUBLES: `decay` of decay.h, operation for operation. */
TARGET static inline void NAME(decays)(const double* x, int n, double* e, double* rise) {
    for (int k = 0; k < n; k += DOUBLES) {
        WIDE y, t, kk, r, r2, r4, p, s, zero = {0};
        WHOLE bits;
        for (int l = 0; l < (int)DOUBLES; ++l) y[l] = -(x[k + l] < DECAY_END ? x[k + l] : DECAY_END);
        t = y * DECAY_LOG2E + DECAY_MAGIC;
        kk = t - DECAY_MAGIC;
        r = (y - kk * DECAY_LN2_HI) - kk * DECAY_LN2_LO;
        r2 = r * r;
        r4 = r2 * r2;
        p = DECAY_SERIES(r, r2, r4);
        bits = ((WHOLE)t << 52) + ((int64_t)1023 << 52);
        s = (WIDE)bits;
        r = s + s * p;
        p = ((zero + 1.0) - s) - s * p;
        for (int l = 0; l < (int)DOUBLES; ++l) e[k + l] = y[l] > -DECAY_END ? r[l] : 0.0;
        for (int l = 0; l < (int)DOUBLES; ++l) rise[k + l] = p[l];
    }
}

/* Rows of a table for the elapsed times d (n,): the propagators, `lif_respond` operation for operation, and the level
 * `lif_fallen`. */
TARGET static void NAME(table)(REAL* table, const double* d, int64_t n, const lif_t* c) {
    enum { CHUNK = 64 };
    double x[CHUNK], a[CHUNK], b[CHUNK], slower[CHUNK], rise_m[CHUNK], rise_s[CHUNK], h[CHUNK];
    for (int64_t start = 0; start < n; start += CHUNK) {
        const int m = n - start < CHUNK ? (int)(n - start) : CHUNK, padded = (m + 7) / 8 * 8;
        for (int k = 0; k < padded; ++k) x[k] = k < m ? d[start + k] * c->rate_m : 0.0;
        NAME(decays)(x, padded, a, rise_m);
        for (int k = 0; k < padded; ++k) x[k] = k < m ? d[start + k] * c->rate_s : 0.0;
        NAME(decays)(x, padded, b, rise_s);
        if (c->apart != 0.0) {
            for (int k = 0; k < m; ++k) h[k] = lif_h_apart(c, a[k], b[k], rise_m[k], rise_s[k]);
        } else if (c->gain == 0.0) {
            for (int k = 0; k < m; ++k) h[k] = lif_h_equal(a[k], x[k]);
        } else {
            for (int k = 0; k < padded; ++k) x[k] = k < m ? d[start + k] * c->rate : 0.0;
            NAME(decays)(x, padded, slower, h);
            for (int k = 0; k < m; ++k) h[k] = lif_h_close(c, a[k], b[k], h[k]);
        }
        for (int k = 0; k < m; ++k, table += TABLE_COLUMNS) {
            table[0] = (REAL)a[k];
            table[1] = (REAL)h[k];
            table[2] = (REAL)b[k];
            table[3] = (REAL)lif_fallen(c, a[k], h[k]);
        }
    }
}

/* `reverse` where many arrivals come at the same time: G once for each time, kept in `g` (times, BLOCK_WIDTH), then
 * added row by row, in each the latest first: the same sums in the same order. */
TARGET static void NAME(reverse_rows)(REAL* out, const rows_t* r, const REAL* table, const int32_t* at,
                                      const int32_t* lane, const REAL* dp, const REAL* dg, REAL* g) {
    VEC P[VECS], G[VECS];
    int64_t p = 0, top = r->n_times - 1, from = 0;
    while (r->last[top] > at[0]) --top;
    for (int k = 0; k < VECS; ++k) P[k] = G[k] = VSET(0);
    for (int64_t t = top; t >= 0; --t) {
        const REAL* row = table + (t ? r->last[t - 1] + 1 : 0) * TABLE_COLUMNS;
        const VEC a = VSET(row[0]), h = VSET(row[1]), b = VSET(row[2]);
        p = NAME(add_points)(P, G, p, at, r->last[t], lane, dp, dg);
        NAME(save)(G, g + t * BLOCK_WIDTH);
        for (int k = 0; k < VECS; ++k) {
            G[k] = G[k] * b + P[k] * h;
            P[k] = P[k] * a;
        }
    }
    for (int64_t j = 0; j < r->n_rows; ++j) {
        REAL* o = out + (int64_t)r->rows[j] * BLOCK_WIDTH;
        const int64_t end = r->ends[j];
        while (from < end && r->when[from] > top) ++from;
        NAME(load)(G, o);
        for (; from < end; ++from) {
            const REAL* add = g + (int64_t)r->when[from] * BLOCK_WIDTH;
            for (int k = 0; k < VECS; ++k) G[k] += LOAD(add + k * LANES);
        }
        NAME(save)(G, o);
    }
}

/* `reverse`, and for each arrival down[e] += sum_n w_en G'_n, the derivative by its time: w_e is the row of weights of
 * its source neuron, G' = (G - P) rate with the rate 1/tau_s. */
TARGET static void NAME(reverse_down)(REAL* out, const int32_t* neurons, const REAL* table, const int32_t* at,
                                      const int32_t* lane, const REAL* dp, const REAL* dg, const REAL* weights,
                                      REAL rate, REAL* down) {
    VEC P[VECS], G[VECS];
    int64_t p = 0;
    for (int k = 0; k < VECS; ++k) P[k] = G[k] = VSET(0);
    for (int64_t e = at[0]; e >= 0; --e) {
        const REAL* row = table + e * TABLE_COLUMNS;
        const REAL* w = weights + (int64_t)neurons[e] * BLOCK_WIDTH;
        REAL* o = out + (int64_t)neurons[e] * BLOCK_WIDTH;
        const VEC a = VSET(row[0]), h = VSET(row[1]), b = VSET(row[2]);
        REAL x[BLOCK_WIDTH];
        p = NAME(add_points)(P, G, p, at, e, lane, dp, dg);
        for (int k = 0; k < VECS; ++k) {
            SAVE(o + k * LANES, LOAD(o + k * LANES) + G[k]);
            SAVE(x + k * LANES, LOAD(w + k * LANES) * (G[k] - P[k]));
            G[k] = G[k] * b + P[k] * h;
            P[k] = P[k] * a;
        }
        for (int m = BLOCK_WIDTH / 2; m > 0; m /= 2)
            for (int n = 0; n < m; ++n) x[n] += x[n + m];
        down[e] += x[0] * rate;
    }
}

/* Derivatives by the time constants: sum[n] += sum over arrivals of w_en G_m,n, and sum[BLOCK_WIDTH + n] the same of G_s.
 * The states P, P_m, G, G_m, G_s go back in time as time_constants.pyx says; `changes` has the derivatives of a by tau_m,
 * b by tau_s, h by tau_m and by tau_s for each row of `table`, and `add` what each point adds to the five states. */
TARGET static void NAME(reverse_taus)(const int32_t* neurons, const REAL* table, const REAL* changes, const int32_t* at,
                                      const int32_t* lane, const REAL* add, const REAL* weights, double* sum) {
    REAL state[5][BLOCK_WIDTH] = {{0}}, total[2 * BLOCK_WIDTH] = {0};
    int64_t p = 0;
    for (int64_t e = at[0]; e >= 0; --e) {
        const REAL* row = table + e * TABLE_COLUMNS;
        const REAL* by = changes + e * 4;
        const REAL* w = weights + (int64_t)neurons[e] * BLOCK_WIDTH;
        const VEC a = VSET(row[0]), h = VSET(row[1]), b = VSET(row[2]);
        const VEC am = VSET(by[0]), bs = VSET(by[1]), hm = VSET(by[2]), hs = VSET(by[3]);
        for (; at[p] == e; ++p)
            for (int k = 0; k < 5; ++k) state[k][lane[p]] += add[5 * p + k];
        for (int k = 0; k < BLOCK_WIDTH; k += LANES) {
            const VEC W = LOAD(w + k), P = LOAD(state[0] + k), Pm = LOAD(state[1] + k), G = LOAD(state[2] + k);
            const VEC Gm = LOAD(state[3] + k), Gs = LOAD(state[4] + k);
            SAVE(total + k, LOAD(total + k) + W * Gm);
            SAVE(total + BLOCK_WIDTH + k, LOAD(total + BLOCK_WIDTH + k) + W * Gs);
            if (e == 0) continue; /* nothing comes before it, and its rows may say nothing */
            SAVE(state[4] + k, Gs * b + (P * hs + G * bs));
            SAVE(state[3] + k, Gm * b + (P * hm + Pm * h));
            SAVE(state[2] + k, G * b + P * h);
            SAVE(state[1] + k, Pm * a + P * am);
            SAVE(state[0] + k, P * a);
        }
    }
    for (int n = 0; n < 2 * BLOCK_WIDTH; ++n) sum[n] += total[n];
}

/* Synaptic currents of a block at n points, the latest first: forward through the arrivals up to the latest point.
 * `rows` are the propagators from arrival at[p] to point p. */
TARGET static void NAME(currents)(REAL* current, const int32_t* neurons, const REAL* table, const REAL* weights,
                                  const int32_t* at, const int32_t* lane, const REAL* rows, int64_t n) {
    REAL I[BLOCK_WIDTH] = {0};
    int64_t p = n - 1;
    for (int64_t e = 0; p >= 0; ++e) {
        const REAL* w = weights + (int64_t)neurons[e] * BLOCK_WIDTH;
        const REAL b = table[e * TABLE_COLUMNS + 2];
        for (int k = 0; k < BLOCK_WIDTH; ++k) I[k] = I[k] * b + w[k];
        for (; p >= 0 && at[p] == e; --p) current[p] = I[lane[p]] * rows[p * TABLE_COLUMNS + 2];
    }
}

/* Add the same to several rows. */
TARGET static void NAME(add_rows)(REAL* out, const int32_t* rows, int64_t n, const REAL* what) {
    VEC S[VECS];
    NAME(load)(S, what);
    for (int64_t j = 0; j < n; ++j) {
        REAL* o = out + (int64_t)rows[j] * BLOCK_WIDTH;
        NAME(fetch)(out + (int64_t)rows[j + AHEAD < n ? j + AHEAD : j] * BLOCK_WIDTH);
        for (int k = 0; k < VECS; ++k) SAVE(o + k * LANES, LOAD(o + k * LANES) + S[k]);
    }
}

/* Does `call` for the first `width` columns, a multiple of 8: for `columns` of them, a number the compiler knows, from
 * `at` on. */
#define IN_COLUMNS(width, call)                                                                                      \
    for (int32_t at = 0, left = (width); left > 0; at += BLOCK_WIDTH, left -= BLOCK_WIDTH) {                         \
        if (left >= 32) { enum { columns = 32 }; call; }                                                             \
        else if (left == 24) { enum { columns = 24 }; call; }                                                        \
        else if (left == 16) { enum { columns = 16 }; call; }                                                        \
        else { enum { columns = 8 }; call; }                                                                         \
    }

TARGET static INLINE void NAME(weigh_columns)(const REAL* w, const REAL* e, const pre_t* pre, int32_t stride,
                                              const int columns, double* sum) {
    WIDE total[BLOCK_WIDTH / DOUBLES] = {{0}};
    for (int64_t r = 0; r < pre->n_fired; ++r) {
        const int64_t j = (int64_t)pre->fired[r] * stride;
        for (int k = 0; k < columns / (int)DOUBLES; ++k)
            total[k] += WIDEN(w + j + k * DOUBLES) * WIDEN(e + j + k * DOUBLES);
    }
    memcpy(sum, total, columns * sizeof(double));
}

/* sum[n] = sum over rows j of w_jn e_jn, without those of silent neurons, for the first `width` columns; see `learn`. */
TARGET static void NAME(weigh)(const REAL* w, const REAL* e, const pre_t* pre, int32_t stride, int32_t width,
                               double* sum) {
    IN_COLUMNS(width, NAME(weigh_columns)(w + at, e + at, pre, stride, columns, sum + at))
}

/* The sum of `columns` columns, one half added to the other: an order that no vectors change. */
TARGET static INLINE REAL NAME(sum_columns)(EIGHT* x, const int columns) {
    QUAD low, high;
    for (int m = 2; m > 0; m /= 2)
        for (int k = 0; k < m && k + m < columns / 8; ++k) x[k] += x[k + m];
    memcpy(&low, x, sizeof low);
    memcpy(&high, (const char*)x + sizeof low, sizeof high);
    low += high;
    return (low[0] + low[2]) + (low[1] + low[3]);
}

TARGET static INLINE void NAME(learn_columns)(REAL* gradient, REAL* below, const REAL* e, const REAL* w,
                                              const pre_t* pre, const learn_t* neurons, int32_t stride, int32_t at,
                                              const int columns) {
    const REAL *factor = (const REAL*)neurons->factor + at, *fill = (const REAL*)neurons->fill + at;
    const REAL *delta = (const REAL*)neurons->delta + at, *fired = (const REAL*)neurons->fired + at;
    const REAL* inverse = (const REAL*)pre->inverse;
    EIGHT x[BLOCK_WIDTH / 8];
    for (int64_t r = 0; r < pre->n_fired; ++r) {
        const int64_t row = pre->fired[r], j = row * stride;
        const REAL ratio = inverse[r];
        for (int k = 0; k < columns; k += 8)
            *(EIGHT*)(gradient + j + k) += (READ8(e + j + k) + READ8(fill + k)) * READ8(factor + k);
        if (!below) continue;
        for (int k = 0; k < columns; k += 8)
            x[k / 8] = READ8(w + j + k) *
                       (READ8(e + j + k) * (READ8(fired + k) * ratio) + (READ8(delta + k) - READ8(fired + k)));
        const REAL sum = NAME(sum_columns)(x, columns);
        below[row] = at ? below[row] + sum : sum;
    }
    if (!below) return;
    for (int64_t r = 0; r < pre->n_silent; ++r) {
        const int64_t row = pre->silent[r], j = row * stride;
        for (int k = 0; k < columns; k += 8) x[k / 8] = READ8(w + j + k) * READ8(delta + k);
        const REAL sum = NAME(sum_columns)(x, columns);
        below[row] = at ? below[row] + sum : sum;
    }
}

/* The rule on S-PSPs e (rows, stride), rows being pre-synaptic neurons j, the first `width` columns neurons n:
 *   gradient_jn += (e_jn + fill_n) factor_n                  where j fired
 *   below_j      = sum_n w_jn (e_jn fired_n / o_j + delta_n - fired_n),   sum_n w_jn delta_n where j was silent
 * that is, sum_n delta_n w_jn rho with rho = e/o_j where both fired, else 1.
 * `below` is NULL where nobody wants it. */
TARGET static void NAME(learn)(REAL* gradient, REAL* below, const REAL* e, const REAL* w, const pre_t* pre,
                               const learn_t* neurons, int32_t stride, int32_t width) {
    IN_COLUMNS(width, NAME(learn_columns)(gradient + at, below, e + at, w + at, pre, neurons, stride, at, columns))
}

/* Adam on `rows` rows of a block, weights losing the share `shrink` of themselves first; see optimiser.pyx. */
TARGET static void NAME(adam)(REAL* restrict w, REAL* restrict d, REAL* restrict m, REAL* restrict v, int64_t rows,
                              REAL scale, const REAL* restrict decay, REAL step, REAL beta1, REAL beta2, REAL floor_,
                              REAL shrink, double* restrict sum, double* restrict square,
                              double* restrict gradient_square) {
    const REAL one1 = 1 - beta1, one2 = 1 - beta2;
    REAL squares[BLOCK_WIDTH] = {0};
    for (int64_t j = 0; j < rows; ++j, w += BLOCK_WIDTH, d += BLOCK_WIDTH, m += BLOCK_WIDTH, v += BLOCK_WIDTH) {
        for (int n = 0; n < BLOCK_WIDTH; ++n) {
            const REAL g = d[n] * scale + decay[n] * w[n];
            squares[n] += g * g;
            m[n] = m[n] * beta1 + g * one1;
            v[n] = v[n] * beta2 + g * g * one2;
            const REAL kept = shrink != 0 ? w[n] - shrink * w[n] : w[n]; /* as it is, the sign of a zero included */
            w[n] = kept - step * m[n] / (SQRT(v[n]) + floor_);
            d[n] = 0;
        }
        for (int n = 0; n < BLOCK_WIDTH; ++n) {
            sum[n] += w[n];
            square[n] += (double)w[n] * w[n];
        }
    }
    for (int n = 0; n < BLOCK_WIDTH; ++n)
        gradient_square[n] = squares[n];
}

/* Gradient descent with momentum, Nesterov's or the classical, on `rows` rows of a block; see optimiser.pyx. */
TARGET static void NAME(sgd)(REAL* restrict w, REAL* restrict d, REAL* restrict m, int64_t rows, REAL scale,
                             const REAL* restrict decay, REAL rate, REAL momentum, int nesterov,
                             double* restrict sum, double* restrict square, double* restrict gradient_square) {
    REAL squares[BLOCK_WIDTH] = {0};
    for (int64_t j = 0; j < rows; ++j, w += BLOCK_WIDTH, d += BLOCK_WIDTH, m += BLOCK_WIDTH) {
        for (int n = 0; n < BLOCK_WIDTH; ++n) {
            const REAL g = d[n] * scale + decay[n] * w[n];
            squares[n] += g * g;
            m[n] = m[n] * momentum - rate * g;
            w[n] = w[n] + (nesterov ? m[n] * momentum - rate * g : m[n]);
            d[n] = 0;
        }
        for (int n = 0; n < BLOCK_WIDTH; ++n) {
            sum[n] += w[n];
            square[n] += (double)w[n] * w[n];
        }
    }
    for (int n = 0; n < BLOCK_WIDTH; ++n)
        gradient_square[n] = squares[n];
}

#include "patches_template.h"

#undef LANES
#undef VECS
#undef VEC
#undef LOAD
#undef SAVE
#undef MASK
#undef WIDE
#undef WHOLE
#undef FOUR
#undef PAIR_BITS
#undef ROW
#undef DOUBLES
#undef EIGHT
#undef QUAD
#undef READ8
#undef WIDEN
#undef AHEAD
#undef IN_COLUMNS
#undef NAME
#undef VSET
#undef VMAX
#undef VGE
