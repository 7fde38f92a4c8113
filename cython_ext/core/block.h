/* A block of BLOCK_WIDTH neurons of one layer: the tables of the loops in which all time is spent.
 *
 * block.pyx fills them for the instruction set in use and hands them to the other modules.
 */
#ifndef EVENTSNN_BLOCK_H
#define EVENTSNN_BLOCK_H

#include <stdint.h>

#define BLOCK_WIDTH 32
#define TABLE_COLUMNS 4 /* a, h, b of the interval before an arrival; level that a crossing in it leaves u above */

struct event_s;
struct block_s;
struct lif_s;
struct entry_s;
struct instant_s;

/* Arrivals of which many come at the same time: the times there are, and by source neuron which of them are its own. */
typedef struct {
    int64_t n_times;     /* 0: not made */
    const int32_t* last; /* [n_times] the last arrival at each */
    int64_t n_rows;
    const int32_t* rows; /* [n_rows] the source neurons that fired, ascending */
    const int32_t* ends; /* [n_rows] where each one's numbers end in `when` */
    const int32_t* when; /* numbers of its times, the latest first */
} rows_t;

/* The rows of a matrix of S-PSPs by whether their pre-synaptic neurons fired, each list ascending: a branch on that
 * could not be foretold. */
typedef struct {
    int64_t n_fired;
    const int32_t* fired; /* [n_fired] rows of neurons that fired */
    const void* inverse;  /* [n_fired] 1/o_j, of the precision of the operation */
    int64_t n_silent;
    const int32_t* silent; /* [n_silent] the other rows */
} pre_t;

/* What a rule makes of the errors of neurons; arrays (width,) of the precision of the operation. */
typedef struct {
    const void* factor; /* of the S-PSPs in the gradient */
    const void* fill;   /* what stands in for the S-PSPs of a silent neuron, 0 of others */
    const void* delta;  /* errors */
    const void* fired;  /* errors that go down by S-PSP per spike: delta, or 0 of a silent neuron */
} learn_t;

#define DECLARE_OPS(REAL, ops)                                                                                       \
    typedef struct {                                                                                                 \
        int64_t (*run)(REAL*, REAL*, const REAL*, const struct event_s*, const REAL*, int64_t, int64_t);             \
        int (*sweep)(struct block_s*, REAL*, REAL*, const REAL*, const REAL*);                                       \
        void (*step)(REAL*, REAL*, const REAL*, int64_t, int32_t, REAL, REAL, REAL, REAL, REAL, REAL, uint8_t*);     \
        void (*table)(REAL*, const double*, int64_t, const struct lif_s*);                                           \
        void (*reverse)(REAL*, const int32_t*, const REAL*, const int32_t*, const int32_t*, const REAL*,             \
                        const REAL*);                                                                                \
        void (*reverse_rows)(REAL*, const rows_t*, const REAL*, const int32_t*, const int32_t*, const REAL*,         \
                             const REAL*, REAL*);                                                                    \
        void (*reverse_down)(REAL*, const int32_t*, const REAL*, const int32_t*, const int32_t*, const REAL*,        \
                             const REAL*, const REAL*, REAL, REAL*);                                                 \
        void (*reverse_taus)(const int32_t*, const REAL*, const REAL*, const int32_t*, const int32_t*, const REAL*,  \
                             const REAL*, double*);                                                                  \
        void (*currents)(REAL*, const int32_t*, const REAL*, const REAL*, const int32_t*, const int32_t*,            \
                         const REAL*, int64_t);                                                                      \
        void (*add_rows)(REAL*, const int32_t*, int64_t, const REAL*);                                               \
        void (*weigh)(const REAL*, const REAL*, const pre_t*, int32_t, int32_t, double*);                            \
        void (*learn)(REAL*, REAL*, const REAL*, const REAL*, const pre_t*, const learn_t*, int32_t, int32_t);       \
        void (*adam)(REAL*, REAL*, REAL*, REAL*, int64_t, REAL, const REAL*, REAL, REAL, REAL, REAL, REAL, double*,  \
                     double*, double*);                                                                              \
        void (*sgd)(REAL*, REAL*, REAL*, int64_t, REAL, const REAL*, REAL, REAL, int, double*, double*, double*);    \
        void (*fill)(const struct lif_s*, const struct entry_s*, int64_t, const struct instant_s*,                   \
                     const struct instant_s*, struct event_s*, REAL*);                                               \
        void (*fill_sources)(const struct lif_s*, const struct entry_s*, int64_t, const struct instant_s*,           \
                             const struct instant_s*, double*, int32_t*, REAL*);                                     \
        void (*instants)(const struct lif_s*, const double*, int64_t, struct instant_s*);                            \
    } ops;

DECLARE_OPS(float, ops32_t)
DECLARE_OPS(double, ops64_t)

#endif
