"""A growing list of spikes in C memory (spikes.h), and its errors."""

from libc.stdint cimport int32_t, int64_t

cdef extern from "spikes.h":
    ctypedef struct spikes_t:
        int64_t n
        int64_t capacity
        double* times
        int32_t* neurons
        int32_t* after
    int spikes_append(spikes_t* s, double time, int32_t neuron, int32_t after) noexcept nogil
    void spikes_sort_tail(spikes_t* s, int64_t first) noexcept nogil
    void spikes_drop(spikes_t* s, int64_t first) noexcept nogil
    void spikes_free(spikes_t* s) noexcept nogil


cdef int spikes_no_memory(int64_t held) except -1 nogil
cdef int spikes_refuse(double time, int32_t neuron) except -1 nogil
cdef tuple spikes_arrays(const spikes_t* s)


cdef inline int spikes_push(spikes_t* s, double time, int32_t neuron) except -1 nogil:
    if spikes_append(s, time, neuron, -1) < 0:
        spikes_no_memory(s.n)
    return 0
