"""Spike-train level post-synaptic potentials of one block; see spsp.pyx."""

from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.arrivals cimport arrivals_t
from eventsnn._ext.block cimport rows_t
from eventsnn._ext.dtypes cimport real_t


cdef struct points_t:
    # The evaluation points of a block in one sample, latest first.
    int64_t capacity    # spikes there is room for
    double* own         # [capacity] weight of each spike
    double* tail        # [capacity] weight of the end of the refractory period after each spike
    double* time        # [2 capacity] ms
    double* lag         # [2 capacity] time since the arrival at or before the point, ms
    double* weight      # [2 capacity]
    int32_t* lane       # [2 capacity] neuron within the block
    int32_t* at         # [2 capacity] that arrival
    int32_t* until      # [2 capacity] one that it is not later than
    void* rows          # real [2 capacity][TABLE_COLUMNS]
    void* dp            # real [2 capacity] what the point adds there
    void* dg
    void* g             # real [times of a rows_t][WIDTH]


cdef int points_create(points_t* p, int64_t capacity, int64_t times) except -1 nogil
cdef void points_free(points_t* p) noexcept nogil
cdef int64_t spsp_add(const double* constants, const arrivals_t* a, const real_t* table, const double* times,
                      const int32_t* neurons, int64_t n_spikes, int32_t first, const real_t* coefficient,
                      points_t* p, const rows_t* by_row, real_t* out) noexcept nogil
