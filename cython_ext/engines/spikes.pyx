"""A growing list of spikes in C memory; see spikes.pxd."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

import numpy as np


cdef int spikes_no_memory(int64_t held) except -1 nogil:
    with gil:
        raise MemoryError(f"no memory for more than {held} spikes")


cdef int spikes_refuse(double time, int32_t neuron) except -1 nogil:
    """The error of a neuron that would fire twice at one instant, and so for ever."""
    with gil:
        raise OverflowError(f"neuron {neuron} fires again at {time:.17g} ms, the instant it fired at")


cdef tuple spikes_arrays(const spikes_t* s):
    """(times, neurons) as new arrays, float64 and int32 (n,)."""
    times, neurons = np.empty(s.n), np.empty(s.n, np.int32)
    cdef double[::1] t = times
    cdef int32_t[::1] k = neurons
    if s.n:
        memcpy(&t[0], s.times, s.n * sizeof(double))
        memcpy(&k[0], s.neurons, s.n * sizeof(int32_t))
    return times, neurons
