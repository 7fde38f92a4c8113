"""S-PSPs of clocked spikes, position by position; see spsp_clocked.pyx."""

cimport cython
from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.engine_clocked cimport ClockedLayer, clocked_layer_t, clocked_ops_t, clocked_spikes_t
from eventsnn._ext.spsp_matrix cimport SpspMatrix

cdef struct event_t:
    int32_t next, channel, kind
    int32_t s       # steps from the end of the refractory period to the spike

cdef struct work_t:
    float* g            # (steps + refractory + latency, width)
    float* m            # (width,)
    float* y            # (width,)
    int32_t* head       # (steps + 1,): first event of a step, -1 if none
    event_t* events
    int64_t n, room     # of events
    int32_t* forced
    float decay[2]
    double k
    int32_t reach       # how far before a spike G still holds it, steps of a

# Forced spikes of a silent neuron: in the steps interval, 2 interval, ...
cdef struct forced_t:
    int64_t id          # of the neuron; -1 of none
    int32_t interval

# A sample: spikes of a layer and of its source.
cdef struct sample_t:
    const clocked_spikes_t* pre
    const clocked_spikes_t* post
    forced_t forced
    int32_t steps


@cython.final
cdef class ClockedSpsp(SpspMatrix):
    cdef ClockedLayer layer
    cdef list runs              # pointed into
    cdef clocked_ops_t ops
    cdef work_t w
    cdef sample_t* samples
    cdef int32_t* source_of         # [rows] source neuron, -1 beyond the edge
    cdef int64_t* source_counts     # [rows], what `pre_counts` points to
    cdef int64_t* target_of         # [rows], what `targets` points to
    cdef int32_t latency
    cdef bint within                # sources are the layer's own neurons
    cdef int64_t position           # the present one, of `sample`
    cdef sample_t* sample
    cdef void take_sources(self) noexcept nogil
    cdef void add_up(self, bint any_fired) noexcept nogil
