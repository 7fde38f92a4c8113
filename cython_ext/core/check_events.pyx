"""Input spikes checked and copied in one pass. Twin: eventsnn/simulate/engines/arguments.py, which says what is bad."""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t

ctypedef fused index_t:
    int32_t
    int64_t

# What `check_events` returns, added up.
cpdef enum:
    BAD = 1         # a time that is negative or not finite, or a neuron that the network does not have
    DISORDERED = 2  # a time before the one in front of it
    TIED = 4        # a time equal to the one in front of it


def check_events(const double[::1] times, const index_t[::1] neurons, int64_t inputs, int32_t[::1] out):
    """Look for what is wrong with spikes of `inputs` neurons, and copy the neurons to `out`.

    Parameters
    ----------
    times : float64 (n,), ms
    neurons : int32 or int64 (n,)
    out : int32 (n,)
    """
    cdef int64_t k
    cdef double last = -1.0
    cdef bint bad = False, disordered = False, tied = False
    with nogil:
        for k in range(times.shape[0]):
            # Without a branch; times that are not a number fail the first test.
            bad |= not ((times[k] >= 0.0) & (times[k] < INFINITY) & (neurons[k] >= 0) & (neurons[k] < inputs))
            disordered |= times[k] < last
            tied |= times[k] == last
            last = times[k]
            out[k] = <int32_t> neurons[k]
    return BAD * bad + DISORDERED * disordered + TIED * tied
