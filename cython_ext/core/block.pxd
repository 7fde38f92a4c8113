"""A block of WIDTH neurons of one layer: the tables of its loops (block_template.h), for the instruction set in use.

Both engines are schedulers of the same operations, advance to an arrival, deliver it, search for candidates, which is
why they agree to the last bit.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.patches cimport entry_t, instant_t
from eventsnn._ext.sweep cimport block_t, event_t

cdef extern from "block.h":
    enum: TABLE_COLUMNS
    ctypedef struct rows_t:
        int64_t n_times
        const int32_t* last
        int64_t n_rows
        const int32_t* rows
        const int32_t* ends
        const int32_t* when
    ctypedef struct pre_t:
        int64_t n_fired
        const int32_t* fired
        const void* inverse
        int64_t n_silent
        const int32_t* silent
    ctypedef struct learn_t:
        const void* factor
        const void* fill
        const void* delta
        const void* fired
    ctypedef struct ops32_t:
        int64_t (*run)(float*, float*, const float*, const event_t*, const float*, int64_t,
                       int64_t) noexcept nogil
        int (*sweep)(block_t*, float*, float*, const float*, const float*) noexcept nogil
        void (*step)(float*, float*, const float*, int64_t, int32_t, float, float, float, float, float, float,
                     uint8_t*) noexcept nogil
        void (*table)(float*, const double*, int64_t, const lif_t*) noexcept nogil
        void (*reverse)(float*, const int32_t*, const float*, const int32_t*, const int32_t*, const float*,
                        const float*) noexcept nogil
        void (*reverse_rows)(float*, const rows_t*, const float*, const int32_t*, const int32_t*, const float*,
                             const float*, float*) noexcept nogil
        void (*reverse_down)(float*, const int32_t*, const float*, const int32_t*, const int32_t*, const float*,
                             const float*, const float*, float, float*) noexcept nogil
        void (*reverse_taus)(const int32_t*, const float*, const float*, const int32_t*, const int32_t*, const float*,
                             const float*, double*) noexcept nogil
        void (*currents)(float*, const int32_t*, const float*, const float*, const int32_t*, const int32_t*,
                         const float*, int64_t) noexcept nogil
        void (*add_rows)(float*, const int32_t*, int64_t, const float*) noexcept nogil
        void (*weigh)(const float*, const float*, const pre_t*, int32_t, int32_t, double*) noexcept nogil
        void (*learn)(float*, float*, const float*, const float*, const pre_t*, const learn_t*, int32_t,
                      int32_t) noexcept nogil
        void (*adam)(float*, float*, float*, float*, int64_t, float, const float*, float, float, float, float, float,
                     double*, double*, double*) noexcept nogil
        void (*sgd)(float*, float*, float*, int64_t, float, const float*, float, float, bint, double*,
                    double*, double*) noexcept nogil
        void (*fill)(const lif_t*, const entry_t*, int64_t, const instant_t*, const instant_t*, event_t*,
                     float*) noexcept nogil
        void (*fill_sources)(const lif_t*, const entry_t*, int64_t, const instant_t*, const instant_t*, double*,
                             int32_t*, float*) noexcept nogil
        void (*instants)(const lif_t*, const double*, int64_t, instant_t*) noexcept nogil
    ctypedef struct ops64_t:
        int64_t (*run)(double*, double*, const double*, const event_t*, const double*, int64_t,
                       int64_t) noexcept nogil
        int (*sweep)(block_t*, double*, double*, const double*, const double*) noexcept nogil
        void (*step)(double*, double*, const double*, int64_t, int32_t, double, double, double, double, double, double,
                     uint8_t*) noexcept nogil
        void (*table)(double*, const double*, int64_t, const lif_t*) noexcept nogil
        void (*reverse)(double*, const int32_t*, const double*, const int32_t*, const int32_t*, const double*,
                        const double*) noexcept nogil
        void (*reverse_rows)(double*, const rows_t*, const double*, const int32_t*, const int32_t*, const double*,
                             const double*, double*) noexcept nogil
        void (*reverse_down)(double*, const int32_t*, const double*, const int32_t*, const int32_t*, const double*,
                             const double*, const double*, double, double*) noexcept nogil
        void (*reverse_taus)(const int32_t*, const double*, const double*, const int32_t*, const int32_t*,
                             const double*, const double*, double*) noexcept nogil
        void (*currents)(double*, const int32_t*, const double*, const double*, const int32_t*, const int32_t*,
                         const double*, int64_t) noexcept nogil
        void (*add_rows)(double*, const int32_t*, int64_t, const double*) noexcept nogil
        void (*weigh)(const double*, const double*, const pre_t*, int32_t, int32_t, double*) noexcept nogil
        void (*learn)(double*, double*, const double*, const double*, const pre_t*, const learn_t*, int32_t,
                      int32_t) noexcept nogil
        void (*adam)(double*, double*, double*, double*, int64_t, double, const double*, double, double, double,
                     double, double, double*, double*, double*) noexcept nogil
        void (*sgd)(double*, double*, double*, int64_t, double, const double*, double, double, bint, double*,
                    double*, double*) noexcept nogil
        void (*fill)(const lif_t*, const entry_t*, int64_t, const instant_t*, const instant_t*, event_t*,
                     double*) noexcept nogil
        void (*fill_sources)(const lif_t*, const entry_t*, int64_t, const instant_t*, const instant_t*, double*,
                             int32_t*, double*) noexcept nogil
        void (*instants)(const lif_t*, const double*, int64_t, instant_t*) noexcept nogil

cdef ops32_t ops32
cdef ops64_t ops64
