"""What arrives at a layer in a window; see windows_arrivals.pyx."""

from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.windows_state cimport WindowsState


cdef struct train_t:
    # Spikes of a source.
    const double* times
    const int32_t* neurons
    int64_t n


cdef int64_t tabulate(WindowsState s, const train_t* given, int32_t number, double end) except -1 nogil
cdef void scatter(WindowsState s, const train_t* given, int32_t number) noexcept nogil
cdef int sift(WindowsState s, const train_t* given, int32_t number, int64_t n_hot, int64_t deliveries) except -1 nogil
cdef void pass_by(WindowsState s, const train_t* given, int32_t number, double end) noexcept nogil
cdef double next_arrival(WindowsState s, const train_t* given) noexcept nogil
