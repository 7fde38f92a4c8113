"""Where a rule's S-PSPs come from, in exact time or on a clock; see spsp_matrix.pyx."""

cimport cython
from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.layer_events cimport LayerEvents, unit_t
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.spsp cimport points_t


cdef class SpspMatrix:
    cdef readonly int64_t units         # samples, or positions of samples
    cdef readonly int64_t positions     # units of a sample
    cdef readonly int64_t rows          # inputs of a neuron
    cdef readonly int32_t width         # neurons of a block with padding
    cdef bint single                    # float32, else float64
    cdef int32_t channels               # row r is an input of neuron r % channels alone; 0: of all neurons
    cdef void* e                        # real [rows][width], of `channels` [rows]; set where `pre_counts` are not 0
    cdef const int64_t* pre_counts      # [rows] spikes of the source neurons
    cdef int64_t* post_counts           # [width] spikes of the neurons, forced ones included
    cdef const int64_t* targets         # [rows] source neuron of each row, -1 for none; NULL: the row itself

    cdef int create(self, int64_t units, int64_t positions, int64_t rows, int32_t width, bint single) except -1
    cdef int fill(self, int64_t block, int64_t unit) except -1 nogil
    cdef void add_resting(self, double* total) noexcept nogil


cdef void add_resting_share(const lif_t* c, const unit_t* u, const double* charges, double* total) noexcept nogil


@cython.final
cdef class ExactSpsp(SpspMatrix):
    cdef LayerEvents events
    cdef const double[:, ::1] charges
    cdef const int64_t[:, ::1] sources
    cdef points_t points
    cdef unit_t u                       # the present block and unit
    cdef const double* of_unit          # its charges
