"""A block of WIDTH neurons of one layer: the tables of its loops (block_template.h), for the instruction set in use.

Both engines are schedulers of the same operations, advance to an arrival, deliver it, search for candidates, which is
why they agree to the last bit.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from eventsnn._ext.dtypes cimport real_t

cdef extern from "block.h":
    ctypedef struct ops32_t:
        int64_t (*run)(float*, float*, const float*, const float*, const int32_t*, const float*, int64_t, int64_t,
                       float, float*) noexcept nogil
        void (*step)(float*, float*, const float*, int64_t, int32_t, float, float, float, float, float, float,
                     uint8_t*) noexcept nogil
        void (*reverse)(float*, float*, float*, const int32_t*, const float*, const uint8_t*, const float*, int64_t,
                        int64_t) noexcept nogil
        void (*adam)(float*, float*, float*, float*, int64_t, float, const float*, float, float, float, float,
                     double*, double*) noexcept nogil
        void (*sgd)(float*, float*, float*, int64_t, float, const float*, float, float, double*,
                    double*) noexcept nogil
    ctypedef struct ops64_t:
        int64_t (*run)(double*, double*, const double*, const double*, const int32_t*, const double*, int64_t, int64_t,
                       double, double*) noexcept nogil
        void (*step)(double*, double*, const double*, int64_t, int32_t, double, double, double, double, double, double,
                     uint8_t*) noexcept nogil
        void (*reverse)(double*, double*, double*, const int32_t*, const double*, const uint8_t*, const double*,
                        int64_t, int64_t) noexcept nogil
        void (*adam)(double*, double*, double*, double*, int64_t, double, const double*, double, double, double,
                     double, double*, double*) noexcept nogil
        void (*sgd)(double*, double*, double*, int64_t, double, const double*, double, double, double*,
                    double*) noexcept nogil

cdef ops32_t ops32
cdef ops64_t ops64
