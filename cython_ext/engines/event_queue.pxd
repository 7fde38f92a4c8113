"""An indexed binary heap: a fixed set of sources, each with the time of its next event.

The order is (time, source number): intrinsic, so results never depend on insertion order.
"""

from libc.stdint cimport int32_t


cdef struct heap_t:
    int32_t n        # number of sources
    double* key      # [n] time of each source's next event, ms; INFINITY if it has none
    int32_t* heap    # [n] sources, heap-ordered by (key, source)
    int32_t* place   # [n] position of each source in `heap`


cdef int heap_create(heap_t* h, int32_t n) except -1 nogil
cdef void heap_free(heap_t* h) noexcept nogil
cdef void heap_update(heap_t* h, int32_t source, double key) noexcept nogil
cdef bint heap_verify(const heap_t* h) noexcept nogil


cdef inline int32_t heap_top(const heap_t* h) noexcept nogil:
    """The source whose event comes first."""
    return h.heap[0]
