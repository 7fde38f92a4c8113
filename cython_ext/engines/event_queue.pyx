"""The priority queue of the event-driven engine; see event_queue.pxd."""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t
from libc.stdlib cimport free, malloc


cdef int heap_create(heap_t* h, int32_t n) except -1 nogil:
    cdef int32_t k
    h.n = n
    h.key = <double*> malloc(n * sizeof(double))
    h.heap = <int32_t*> malloc(n * sizeof(int32_t))
    h.place = <int32_t*> malloc(n * sizeof(int32_t))
    if h.key == NULL or h.heap == NULL or h.place == NULL:
        heap_free(h)
        with gil:
            raise MemoryError(f"no memory for an event queue of {n} sources")
    for k in range(n):
        h.key[k] = INFINITY
        h.heap[k] = k
        h.place[k] = k
    return 0


cdef void heap_free(heap_t* h) noexcept nogil:
    free(h.key)
    free(h.heap)
    free(h.place)
    h.key = NULL
    h.heap = NULL
    h.place = NULL


cdef inline bint comes_first(const heap_t* h, int32_t a, int32_t b) noexcept nogil:
    if h.key[a] != h.key[b]:
        return h.key[a] < h.key[b]
    return a < b


cdef void heap_update(heap_t* h, int32_t source, double key) noexcept nogil:
    """Set the time of a source's next event and restore the order."""
    cdef int32_t position = h.place[source], parent, child, other
    h.key[source] = key
    while position > 0:
        parent = (position - 1) >> 1
        other = h.heap[parent]
        if not comes_first(h, source, other):
            break
        h.heap[position] = other
        h.place[other] = position
        position = parent
    while True:
        child = 2 * position + 1
        if child >= h.n:
            break
        if child + 1 < h.n and comes_first(h, h.heap[child + 1], h.heap[child]):
            child += 1
        other = h.heap[child]
        if not comes_first(h, other, source):
            break
        h.heap[position] = other
        h.place[other] = position
        position = child
    h.heap[position] = source
    h.place[source] = position


cdef bint heap_verify(const heap_t* h) noexcept nogil:
    """True if the heap order and the positions are consistent."""
    cdef int32_t k
    for k in range(h.n):
        if h.place[h.heap[k]] != k:
            return False
        if k > 0 and comes_first(h, h.heap[k], h.heap[(k - 1) >> 1]):
            return False
    return True


cdef class EventQueue:
    """The heap as a Python object, for tests."""

    cdef heap_t h

    def __cinit__(self, int32_t n):
        if n < 1:
            raise ValueError(f"an event queue needs at least one source, got {n}")
        heap_create(&self.h, n)

    def __dealloc__(self):
        heap_free(&self.h)

    def update(self, int32_t source, double key):
        """Set the time of a source's next event."""
        if not 0 <= source < self.h.n:
            raise IndexError(f"source {source} is not one of {self.h.n}")
        heap_update(&self.h, source, key)

    def top(self):
        """(time, source) of the event that comes first."""
        cdef int32_t source = heap_top(&self.h)
        return self.h.key[source], source

    def verify(self):
        """True if the invariants hold."""
        return bool(heap_verify(&self.h))
