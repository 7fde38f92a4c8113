"""Layers and spikes of the clocked engine; see clocked.h for the fields."""

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef extern from "clocked.h":
    enum: CLOCK_LANES
    enum: CLOCK_DENSE
    enum: CLOCK_CONV
    enum: CLOCK_POOL
    ctypedef struct clocked_layer_t:
        int32_t kind, positions, width, channels, rows, area, source_width, source_channels
        int64_t source_size
        const int32_t* ptr
        const int32_t* patch
        const int32_t* offset
        const int32_t* cells
        const int32_t* row_of
        const int32_t* id_of
        const float* weights
        float threshold, tau_m, tau_s, leak, lateral
        int32_t refractory, latency, exact
    ctypedef struct clocked_spikes_t:
        int32_t* ids
        int32_t* step_ptr
        int32_t* times
        int32_t* ptr
        int64_t size, room
    ctypedef struct clocked_state_t:
        float* v
        float* current
        int32_t* until
        uint8_t* own
    ctypedef struct clocked_link_t:
        int32_t source, target, latency
        int64_t size
        const int32_t* ptr
        const int32_t* ids
        const float* weights
    ctypedef struct clocked_ops_t:
        void (*deliver)(const clocked_layer_t*, float*, const int32_t*, int64_t) noexcept nogil
        int64_t (*step)(const clocked_layer_t*, clocked_state_t*, int64_t, int32_t, int32_t*) noexcept nogil
        void (*kernel)(float*, int64_t, int64_t, int32_t, const float*, float*, float*) noexcept nogil
        void (*sum)(const float*, int32_t, const int32_t*, int64_t, float*) noexcept nogil


cdef class ClockedLayer:
    cdef clocked_layer_t c
    cdef object keep       # the arrays pointed into
    cdef readonly list parts    # of ClockedLayer: ranges of positions that run one after the other; empty for none


cdef class ClockedLink:
    cdef clocked_link_t c
    cdef object keep       # the arrays pointed into


cdef class ClockedRun:
    cdef clocked_spikes_t* spikes    # of the input and of each layer
    cdef int32_t count               # of these, input included
    cdef readonly int32_t steps


cdef clocked_ops_t current_ops()
