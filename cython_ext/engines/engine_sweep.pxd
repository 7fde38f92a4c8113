"""One block of a layer through the arrivals of a sample or a position; see engine_sweep.pyx."""

from libc.stdint cimport int64_t

from eventsnn._ext.dtypes cimport real_t
from eventsnn._ext.sweep cimport block_t


cdef int sweep_unit(block_t* k, const real_t* lateral, const real_t* weights, const real_t* table, real_t* u, real_t* i,
                    double* end, double* now, double until, int64_t* count) except -1 nogil
