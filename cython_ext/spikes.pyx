"""A growing list of spikes in C memory; see spikes.pxd."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, realloc


cdef int spikes_grow(spikes_t* s) except -1 nogil:
    cdef int64_t capacity = 256 if s.capacity == 0 else 2 * s.capacity
    cdef double* times = <double*> realloc(s.times, capacity * sizeof(double))
    if times != NULL:
        s.times = times
    cdef int32_t* neurons = <int32_t*> realloc(s.neurons, capacity * sizeof(int32_t))
    if neurons != NULL:
        s.neurons = neurons
    if times == NULL or neurons == NULL:
        with gil:
            raise MemoryError(f"no memory for {capacity} spikes")
    s.capacity = capacity
    return 0


cdef int spikes_refuse(double time, int32_t neuron) except -1 nogil:
    """The error of a neuron that would fire twice at one instant, and so for ever."""
    with gil:
        raise OverflowError(f"neuron {neuron} fires again at {time:.17g} ms, the instant it fired at")


cdef void spikes_free(spikes_t* s) noexcept nogil:
    free(s.times)
    free(s.neurons)
    s.times = NULL
    s.neurons = NULL
    s.n = 0
    s.capacity = 0
