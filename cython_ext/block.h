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

#define DECLARE_OPS(REAL, ops)                                                                                       \
    typedef struct {                                                                                                 \
        int64_t (*run)(REAL*, REAL*, const REAL*, const struct event_s*, const REAL*, int64_t, int64_t);             \
        int (*sweep)(struct block_s*, REAL*, REAL*, const REAL*, const REAL*);                                       \
        void (*step)(REAL*, REAL*, const REAL*, int64_t, int32_t, REAL, REAL, REAL, REAL, REAL, REAL, uint8_t*);     \
        void (*table)(REAL*, const double*, int64_t, const double*, double);                                         \
        void (*reverse)(REAL*, const int32_t*, const REAL*, int64_t, const int32_t*, const int32_t*, const REAL*,    \
                        const REAL*, int64_t);                                                                       \
        void (*add_rows)(REAL*, const int32_t*, int64_t, const REAL*);                                               \
        void (*weigh)(const REAL*, const REAL*, int64_t, double*);                                                   \
        void (*learn)(REAL*, REAL*, const REAL*, const REAL*, const REAL*, const REAL*, const REAL*, const REAL*,    \
                      int64_t);                                                                                      \
        void (*adam)(REAL*, REAL*, REAL*, REAL*, int64_t, REAL, const REAL*, REAL, REAL, REAL, REAL, double*,        \
                     double*);                                                                                       \
        void (*sgd)(REAL*, REAL*, REAL*, int64_t, REAL, const REAL*, REAL, REAL, double*, double*);                  \
    } ops;

DECLARE_OPS(float, ops32_t)
DECLARE_OPS(double, ops64_t)

#endif
