"""Work shared out between threads: whoever is free takes the next number."""

from libc.stdint cimport int64_t

cdef extern from *:
    """
    static inline int64_t work_take(int64_t* next) { return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED); }
    """
    int64_t work_take(int64_t* next) noexcept nogil


cdef class WorkCounter:
    cdef int64_t next      # the first number not taken
    cdef readonly int64_t count
    cdef bint cancelled    # nothing that was taken needs to be completed
