"""One neuron through a window; see windows_neuron.pyx."""

from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.windows_state cimport WindowsState, arrival_t, delivery_t, layer_t


cdef int follow(WindowsState s, layer_t* l, int32_t n, const arrival_t* start, double end, delivery_t* d, int64_t count,
                double t_stop) except -1 nogil
