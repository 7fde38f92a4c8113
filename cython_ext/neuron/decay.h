/* e^-x and 1 - e^-x for x >= 0, of our own: the same bits on every machine and in every vector width, which no C
 * library promises, and fast enough for a table. Twin: eventsnn/reference/decay.py, operation for operation.
 *
 * x = -k ln 2 - r with whole k and |r| <= ln(2)/2 (Cody & Waite), e^r - 1 by its Taylor series to r^13, whose
 * remainder is below 1e-17 of it; errors stay within 2 units in the last place. From DECAY_END on they are 0 and 1.
 */
#ifndef EVENTSNN_DECAY_H
#define EVENTSNN_DECAY_H

#include "inline.h"

#define DECAY_END 700.0
#define DECAY_SHORT 0.34                         /* below it, x rounds to 0 times ln 2 */
#define DECAY_LOG2E 1.44269504088896338700e+00
#define DECAY_MAGIC 6755399441055744.0           /* 1.5 * 2^52: adding it rounds to a whole number */
#define DECAY_LN2_HI 6.93147180369123816490e-01  /* its low 32 bits are 0: k LN2_HI is exact */
#define DECAY_LN2_LO 1.90821492927058770002e-10
#define DECAY_C2 (1.0 / 2)
#define DECAY_C3 (1.0 / 6)
#define DECAY_C4 (1.0 / 24)
#define DECAY_C5 (1.0 / 120)
#define DECAY_C6 (1.0 / 720)
#define DECAY_C7 (1.0 / 5040)
#define DECAY_C8 (1.0 / 40320)
#define DECAY_C9 (1.0 / 362880)
#define DECAY_C10 (1.0 / 3628800)
#define DECAY_C11 (1.0 / 39916800)
#define DECAY_C12 (1.0 / 479001600)
#define DECAY_C13 (1.0 / 6227020800.0)

/* r + r^2 (C2 + C3 r + ... + C13 r^11), for a scalar or a vector r. */
#define DECAY_SERIES(r, r2, r4)                                                                                   \
    ((r) + (r2) * ((((DECAY_C2 + DECAY_C3 * (r)) + (r2) * (DECAY_C4 + DECAY_C5 * (r))) +                          \
                    (r4) * ((DECAY_C6 + DECAY_C7 * (r)) + (r2) * (DECAY_C8 + DECAY_C9 * (r)))) +                  \
                   ((r4) * (r4)) * ((DECAY_C10 + DECAY_C11 * (r)) + (r2) * (DECAY_C12 + DECAY_C13 * (r)))))

static INLINE void decay(double x, double* e, double* rise) {
    if (x < DECAY_SHORT) {
        /* k is 0: the same operations, less those that change nothing. */
        const double r = -x, r2 = r * r, r4 = r2 * r2;
        const double p = DECAY_SERIES(r, r2, r4);
        *e = 1.0 + p;
        *rise = 0.0 - p;
        return;
    }
    const double y = -(x < DECAY_END ? x : DECAY_END);
    const double t = y * DECAY_LOG2E + DECAY_MAGIC;
    const double k = t - DECAY_MAGIC;
    const double r = (y - k * DECAY_LN2_HI) - k * DECAY_LN2_LO;
    const double r2 = r * r, r4 = r2 * r2;
    const double p = DECAY_SERIES(r, r2, r4);
    uint64_t bits;
    double scale;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits << 52) + ((uint64_t)1023 << 52); /* the low bits of t hold k: this is 2^k */
    memcpy(&scale, &bits, sizeof scale);
    *e = x < DECAY_END ? scale + scale * p : 0.0;
    *rise = (1.0 - scale) - scale * p;
}

static INLINE double decay_e(double x) {
    double e, rise;
    decay(x, &e, &rise);
    return e;
}

static INLINE double decay_rise(double x) {
    double e, rise;
    decay(x, &e, &rise);
    return rise;
}

#endif
