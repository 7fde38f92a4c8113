"""What kernels of rules that send errors down have in common; see rule.pyx."""

from libc.stdint cimport int64_t


cdef inline bint any_error(const double* delta, int64_t n) noexcept nogil:
    cdef int64_t k
    for k in range(n):
        if delta[k] != 0.0:
            return True
    return False
