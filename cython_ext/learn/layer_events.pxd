"""A layer in a mini-batch, unit by unit; see layer_events.pyx."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from eventsnn._ext.arrivals cimport arrivals_t
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.patches cimport Ready
from eventsnn._ext.store cimport ForcedSpikes, SpikeStore
from eventsnn._ext.work_counter cimport WorkCounter


cdef struct unit_t:
    # A block of a layer in one unit: what arrived, and the spikes of its neurons.
    arrivals_t arrivals
    const void* table       # real [arrivals][TABLE_COLUMNS]
    int64_t first_arrival   # number of its first arrival among those of all units
    int64_t first_spike     # number of its first spike
    int64_t n_spikes
    const double* times     # [n_spikes] ms, ascending
    const int32_t* neurons  # [n_spikes]
    const int32_t* after    # [n_spikes] the arrival before each; NULL: to be searched
    const double* charges   # [n_spikes][2] where the layer's events hold them; else NULL
    int32_t first_neuron    # of the block


# Where a thread is on its way through the units: the last one of a block, or -1 and none.
cdef struct walk_t:
    int64_t block, s


cdef class LayerEvents:
    cdef const lif_t[::1] constants
    cdef const double[::1] times
    cdef const int32_t[::1] neurons
    cdef const int64_t[::1] unit_ptr
    cdef const int32_t[::1] grid
    cdef const double[::1] scale
    cdef const uint8_t[:, ::1] table
    cdef const double[::1] post_times
    cdef const int32_t[::1] post_neurons
    cdef const int64_t[::1] post_ptr
    cdef const int32_t[::1] after
    cdef Ready ready
    cdef SpikeStore store       # spikes that are not there yet, or None
    cdef ForcedSpikes forced    # with them
    cdef double** charges       # [blocks * units] with them: charges of the spikes, or NULL
    cdef readonly int64_t units, longest
    cdef readonly bint single
    cdef const lif_t* first_constants(self) noexcept nogil
    cdef unit_t spikes(self, int64_t block, int64_t s) noexcept nogil
    cdef unit_t unit(self, int64_t block, int64_t s) noexcept nogil
    cdef bint next_unit(self, WorkCounter counter, walk_t* walk, unit_t* u) noexcept nogil
    cdef double* take_charges(self, int64_t block, int64_t s, int64_t n_spikes) except? NULL nogil
    cdef int check(self, int64_t real_size) except -1
