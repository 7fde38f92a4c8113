"""What the S-PSPs of a position of a clocked layer are computed in; see spsp_clocked.pyx."""

from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.engine_clocked cimport clocked_layer_t, clocked_ops_t, clocked_spikes_t

cdef struct event_t:
    int32_t next, channel, kind
    int32_t s       # steps from the end of the refractory period to the spike

cdef struct work_t:
    float* g            # (steps + refractory + 1, width)
    float* e            # (rows, width)
    float* vectors      # 6 of (width,): m, y, silent, total, coefficient; the rest unused
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


cdef void work_free(work_t* w) noexcept nogil

cdef int work_make(work_t* w, const clocked_layer_t* l, int32_t steps) except -1 nogil

cdef int64_t train_of(work_t* w, const clocked_spikes_t* post, int64_t id, forced_t forced, int32_t steps,
                      const int32_t** times) noexcept nogil

cdef int fill_g(clocked_ops_t* ops, work_t* w, const clocked_layer_t* l, const clocked_spikes_t* post, int64_t first,
                forced_t forced, int32_t steps) except -1 nogil
