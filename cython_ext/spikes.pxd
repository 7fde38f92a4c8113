"""A growing list of spikes in C memory."""

from libc.stdint cimport int32_t, int64_t


cdef struct spikes_t:
    int64_t n           # spikes held
    int64_t capacity    # spikes there is room for
    double* times       # [n] ms, ascending
    int32_t* neurons    # [n]


cdef int spikes_grow(spikes_t* s) except -1 nogil
cdef void spikes_free(spikes_t* s) noexcept nogil
cdef int spikes_refuse(double time, int32_t neuron) except -1 nogil


cdef inline int spikes_push(spikes_t* s, double time, int32_t neuron) except -1 nogil:
    if s.n == s.capacity:
        spikes_grow(s)
    s.times[s.n] = time
    s.neurons[s.n] = neuron
    s.n += 1
    return 0
