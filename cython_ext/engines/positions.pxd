"""Layers of many positions, sample by sample; see positions.pyx."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.patches cimport geometry_t, patches_t, ready_t
from eventsnn._ext.spikes cimport spikes_t
from eventsnn._ext.work_counter cimport WorkCounter


cdef enum:
    # Neuron updates between two looks at whether Ctrl-C was pressed: about 10 ms.
    PATIENCE = 10_000_000


cdef struct seen_t:
    # What a thread makes of what arrives at a layer in a sample, in memory that it keeps for what comes next.
    patches_t patches
    ready_t ready
    spikes_t arrived        # the spikes of the source with delays and biases, where there are any


cdef class PositionSpikes:
    cdef readonly int64_t samples, channels, positions, blocks
    cdef spikes_t* fired            # [samples] in the order position, block, time; `neurons` are channels
    cdef int64_t* ptr               # [samples][positions * blocks + 1] where those of a block at a position begin
    cdef spikes_t* merged           # [samples] sorted by (time, neuron)
    cdef readonly object counts     # int64 array (samples, neurons)
    cdef int64_t* count             # the same
    cdef int64_t* starts(self, int64_t sample) noexcept nogil


cdef class PositionInput:
    cdef object arrays              # the arrays that the pointers below lead into
    cdef geometry_t geometry
    cdef int64_t most               # arrivals that are placed at a time
    cdef const lif_t* constants
    cdef readonly bint single
    cdef readonly PositionSpikes below      # or None: then the arrays below
    cdef const double* times
    cdef const int32_t* neurons
    cdef const int64_t* ptr         # [samples + 1]
    cdef double delay
    cdef const double* bias_times
    cdef const int64_t* bias_ptr    # [samples + 1]
    cdef int32_t bias
    cdef const uint8_t* kept        # [samples][bias] or NULL: all
    cdef int see(self, int64_t sample, seen_t* seen) except -1 nogil
    cdef bint see_next(self, seen_t* seen) except -1 nogil
    cdef int arrive(self, int64_t sample, seen_t* seen, const double** times, const int32_t** neurons,
                    int64_t* n) except -1 nogil


cdef seen_t* seen_of_thread() except NULL nogil
cdef int be_patient(WorkCounter counter, int64_t* updates) except -1 nogil
