"""The reverse sweep of one block in one unit; see spsp.pyx."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from eventsnn._ext.block cimport rows_t
from eventsnn._ext.dtypes cimport real_t
from eventsnn._ext.layer_events cimport unit_t
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.patches cimport entry_t


cdef struct points_t:
    # The points of a block in one unit, latest first: its spikes, and the ends of their refractory periods.
    int64_t capacity    # spikes there is room for
    double* time        # [2 capacity] ms
    double* lag         # [2 capacity] time since the arrival at or before the point, ms
    double* charge      # [2 capacity]
    int64_t* which      # [2 capacity] twice the number of the spike, one more for the end of its refractory period
    int32_t* lane       # [2 capacity] neuron within the block
    int32_t* at         # [2 capacity] that arrival
    int32_t* until      # [2 capacity] one that it is not later than
    void* rows          # real [2 capacity][TABLE_COLUMNS]
    void* dp            # real [2 capacity] what the point adds there
    void* dg
    void* g             # real [times of a rows_t][WIDTH]


cdef int points_create(points_t* p, int64_t capacity, int64_t times) except -1 nogil
cdef void points_free(points_t* p) noexcept nogil
cdef int64_t prepare_points(const lif_t* constants, const unit_t* u, const double* charges, const real_t* precision,
                            points_t* p) noexcept nogil
cdef void reverse_add(const lif_t* constants, const unit_t* u, const double* charges, points_t* p,
                      const rows_t* by_row, const real_t* weights, real_t* down, real_t* out) noexcept nogil
cdef int64_t distinct(const entry_t* arrivals, int64_t n, uint8_t* seen, int32_t* rows) noexcept nogil
cdef void add_silent(real_t* out, const int32_t* rows, int64_t n, const real_t* silent) noexcept nogil
cdef bint any_of(const real_t* values) noexcept nogil
