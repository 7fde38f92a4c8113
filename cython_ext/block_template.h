/* The loops over a block, written once; block_isa.h includes this file for every precision and instruction set.
 *
 * Needs: REAL (float or double), INT (signed integer of its size), VEC_BYTES, TARGET (function attribute),
 * NAME(x) (x with a suffix of its own). No operation crosses neurons and none is contracted (-ffp-contract=off),
 * so every instruction set gives the same bits. Twin: eventsnn/engines/twin.py, neuron by neuron.
 */

typedef REAL NAME(vec) __attribute__((vector_size(VEC_BYTES)));
typedef INT NAME(mask) __attribute__((vector_size(VEC_BYTES)));

#define LANES ((int)(VEC_BYTES / sizeof(REAL)))
#define VECS (BLOCK_WIDTH / LANES)
#define VEC NAME(vec)
#define MASK NAME(mask)
#define SPREAD(x) ((VEC){0} + (x))

TARGET static int NAME(any)(const MASK* m) {
    uint64_t word[VEC_BYTES / 8], sum = 0;
    memcpy(word, m, sizeof word);
    for (int k = 0; k < VEC_BYTES / 8; ++k) sum |= word[k];
    return sum != 0;
}

/* One block through the arrivals [e, stop): advance, deliver, search. Membrane potentials of neurons whose bits in
 * `keep` are 0 stay 0. Returns the first arrival after which a neuron may fire before the next one, else `stop`;
 * `hit` then says which neurons may, all ones for each. */
TARGET static int64_t NAME(run)(REAL* u, REAL* i, const REAL* keep, const REAL* weights, const int32_t* neurons,
                                const REAL* table, int64_t e, int64_t stop, REAL level, REAL* hit) {
    VEC U[VECS], I[VECS];
    MASK K[VECS], F[VECS];
    const VEC L = SPREAD(level);
    memcpy(U, u, sizeof U);
    memcpy(I, i, sizeof I);
    memcpy(K, keep, sizeof K);
    for (; e < stop; ++e) {
        const REAL* row = table + e * TABLE_COLUMNS;
        const REAL* w = weights + (int64_t)neurons[e] * BLOCK_WIDTH;
        const VEC a = SPREAD(row[0]), h = SPREAD(row[1]), b = SPREAD(row[2]), cu = SPREAD(row[3]), ci = SPREAD(row[4]);
        MASK found = {0};
        for (int k = 0; k < VECS; ++k) {
            VEC W;
            memcpy(&W, w + k * LANES, sizeof W);
            U[k] = (VEC)((MASK)(U[k] * a + I[k] * h) & K[k]);
            I[k] = I[k] * b + W;
            F[k] = cu * U[k] + ci * I[k] >= L;
            found |= F[k];
        }
        if (NAME(any)(&found)) {
            memcpy(hit, F, sizeof F);
            break;
        }
    }
    memcpy(u, U, sizeof U);
    memcpy(i, I, sizeof I);
    return e;
}

/* All blocks of a layer through one arrival: advance, deliver, and found[block] = some neuron may fire before the
 * time that c_u and c_i stand for. */
TARGET static void NAME(step)(REAL* u, REAL* i, const REAL* weights, int64_t stride, int32_t blocks, REAL a_, REAL h_,
                              REAL b_, REAL cu_, REAL ci_, REAL level, uint8_t* found) {
    const VEC a = SPREAD(a_), h = SPREAD(h_), b = SPREAD(b_), cu = SPREAD(cu_), ci = SPREAD(ci_), L = SPREAD(level);
    for (int32_t block = 0; block < blocks; ++block) {
        MASK m = {0};
        for (int k = 0; k < VECS; ++k) {
            const int64_t at = (int64_t)block * BLOCK_WIDTH + k * LANES;
            VEC U, I, W, P;
            memcpy(&U, u + at, sizeof U);
            memcpy(&I, i + at, sizeof I);
            memcpy(&W, weights + block * stride + k * LANES, sizeof W);
            P = U * a + I * h;
            I = I * b + W;
            m |= cu * P + ci * I >= L;
            memcpy(u + at, &P, sizeof P);
            memcpy(i + at, &I, sizeof I);
        }
        found[block] = (uint8_t)NAME(any)(&m);
    }
}

/* One block in reverse time from arrival e down to `stop`: add G, and `silent` where `first` is set, to the row of
 * each arrival in (stop, e], going back to the arrival before after each. */
TARGET static void NAME(reverse)(REAL* lam, REAL* g, REAL* out, const int32_t* neurons, const REAL* table,
                                 const uint8_t* first, const REAL* silent, int64_t e, int64_t stop) {
    VEC A[VECS], G[VECS], S[VECS];
    memcpy(A, lam, sizeof A);
    memcpy(G, g, sizeof G);
    if (silent) memcpy(S, silent, sizeof S);
    for (; e > stop; --e) {
        const REAL* row = table + e * TABLE_COLUMNS;
        REAL* o = out + (int64_t)neurons[e] * BLOCK_WIDTH;
        const VEC a = SPREAD(row[0]), h = SPREAD(row[1]), b = SPREAD(row[2]);
        const int add = silent && first[e];
        for (int k = 0; k < VECS; ++k) {
            VEC O;
            memcpy(&O, o + k * LANES, sizeof O);
            O += G[k];
            if (add) O += S[k];
            memcpy(o + k * LANES, &O, sizeof O);
            G[k] = G[k] * b + A[k] * h;
            A[k] = A[k] * a;
        }
    }
    memcpy(lam, A, sizeof A);
    memcpy(g, G, sizeof G);
}

/* Adam on `rows` rows of a block; see optimiser.pyx. */
TARGET static void NAME(adam)(REAL* restrict w, REAL* restrict d, REAL* restrict m, REAL* restrict v, int64_t rows,
                              REAL scale, const REAL* restrict decay, REAL step, REAL beta1, REAL beta2, REAL floor_,
                              double* restrict sum, double* restrict square) {
    const REAL one1 = 1 - beta1, one2 = 1 - beta2;
    for (int64_t j = 0; j < rows; ++j, w += BLOCK_WIDTH, d += BLOCK_WIDTH, m += BLOCK_WIDTH, v += BLOCK_WIDTH) {
        for (int n = 0; n < BLOCK_WIDTH; ++n) {
            const REAL g = d[n] * scale + decay[n] * w[n];
            m[n] = m[n] * beta1 + g * one1;
            v[n] = v[n] * beta2 + g * g * one2;
            w[n] = w[n] - step * m[n] / (SQRT(v[n]) + floor_);
            d[n] = 0;
        }
        for (int n = 0; n < BLOCK_WIDTH; ++n) {
            sum[n] += w[n];
            square[n] += (double)w[n] * w[n];
        }
    }
}

/* Gradient descent with momentum on `rows` rows of a block; see optimiser.pyx. */
TARGET static void NAME(sgd)(REAL* restrict w, REAL* restrict d, REAL* restrict m, int64_t rows, REAL scale,
                             const REAL* restrict decay, REAL rate, REAL momentum, double* restrict sum,
                             double* restrict square) {
    for (int64_t j = 0; j < rows; ++j, w += BLOCK_WIDTH, d += BLOCK_WIDTH, m += BLOCK_WIDTH) {
        for (int n = 0; n < BLOCK_WIDTH; ++n) {
            const REAL g = d[n] * scale + decay[n] * w[n];
            m[n] = m[n] * momentum - rate * g;
            w[n] = w[n] + m[n];
            d[n] = 0;
        }
        for (int n = 0; n < BLOCK_WIDTH; ++n) {
            sum[n] += w[n];
            square[n] += (double)w[n] * w[n];
        }
    }
}

#undef LANES
#undef VECS
#undef VEC
#undef MASK
#undef SPREAD
