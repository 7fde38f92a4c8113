"""Layers of the clocked engine through all steps; see clocked_steps.pyx."""

from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.engine_clocked cimport (
    clocked_layer_t,
    clocked_link_t,
    clocked_ops_t,
    clocked_spikes_t,
    clocked_state_t,
)

cdef int fail(int64_t size) except -1 nogil

cdef int make_room(clocked_spikes_t* s, int64_t n) except -1 nogil

cdef int run_layer(clocked_ops_t* ops, const clocked_layer_t** parts, int32_t count, const clocked_spikes_t* given,
                   clocked_spikes_t* fired, int32_t steps) except -1 nogil

cdef int run_together(clocked_ops_t* ops, const clocked_layer_t** layers, int32_t count, const clocked_link_t** links,
                      int32_t n_links, clocked_spikes_t* spikes, const int32_t* bias, int64_t biases,
                      int32_t steps) except -1 nogil

cdef int go_on(clocked_ops_t* ops, const clocked_layer_t** layers, int32_t count, clocked_state_t* states,
               const clocked_link_t** links, int32_t n_links, clocked_spikes_t* spikes, const int32_t* bias,
               int64_t biases, int32_t first, int32_t steps) except -1 nogil
