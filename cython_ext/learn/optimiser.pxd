"""Weight updates, block by block."""

from libc.stdint cimport int32_t, int64_t


cdef class Update:
    cdef object arrays                # the arrays that the pointers below lead into
    cdef bint single, has_square, nesterov
    cdef readonly int64_t blocks
    cdef int64_t rows
    cdef void* weights                # real [blocks][rows][WIDTH]
    cdef void* gradient
    cdef void* mean                   # mean of the gradient, or the velocity
    cdef void* square                 # mean square of the gradient, or NULL: gradient descent
    cdef void* decay                  # real [blocks][WIDTH]
    cdef double* row_sum              # [blocks][WIDTH]
    cdef double* row_square
    cdef double* gradient_square
    cdef double scale, step, beta1, beta2, floor, shrink

    cdef void block(self, int32_t block) noexcept nogil
