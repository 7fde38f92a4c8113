"""Types named once.

time_t   times and elapsed times, ms, float64
real_t   membrane potential, synaptic current, weights: float32 or float64
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

ctypedef double time_t

ctypedef fused real_t:
    float
    double

cdef extern from "block.h":
    # Neurons are kept in blocks of this many, padded with silent ones of zero weight.
    enum: WIDTH "BLOCK_WIDTH"
