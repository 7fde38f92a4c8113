"""Weight updates, block by block, on the packed layout (blocks, pre, WIDTH). Twin: eventsnn/train/optimisers.py."""

from libc.math cimport sqrt, sqrtf
from libc.stdint cimport int32_t

from eventsnn._ext.dtypes cimport WIDTH, real_t


cdef inline real_t root(real_t x) noexcept nogil:
    if real_t is float:
        return sqrtf(x)
    else:
        return sqrt(x)


def adam_blocks(real_t[:, :, ::1] weights, real_t[:, :, ::1] gradient, real_t[:, :, ::1] mean,
                real_t[:, :, ::1] square, int32_t block_from, int32_t block_to, real_t scale,
                const real_t[:, ::1] decay, real_t step, real_t beta1, real_t beta2, real_t floor,
                double[:, ::1] row_sum, double[:, ::1] row_square):
    """One Adam step (Kingma & Ba 2015, algorithm 1, in the form of their section 2) on the gradient
    ``scale * gradient + decay * weights``; `gradient` is set to zero.

    `step` and `floor` hold the bias corrections: step = rate sqrt(1 - beta2^t) / (1 - beta1^t),
    floor = epsilon sqrt(1 - beta2^t). `decay` is (blocks, WIDTH). `row_sum` and `row_square` (blocks, WIDTH) are set
    to the sums over pre-synaptic neurons of the new weights and of their squares.
    """
    cdef int32_t block, n
    cdef Py_ssize_t j
    cdef real_t one1 = 1 - beta1, one2 = 1 - beta2, g
    cdef real_t* w
    cdef real_t* d
    cdef real_t* m
    cdef real_t* v
    with nogil:
        for block in range(block_from, block_to):
            for n in range(WIDTH):
                row_sum[block, n] = 0.0
                row_square[block, n] = 0.0
            for j in range(weights.shape[1]):
                w = &weights[block, j, 0]
                d = &gradient[block, j, 0]
                m = &mean[block, j, 0]
                v = &square[block, j, 0]
                for n in range(WIDTH):
                    g = d[n] * scale + decay[block, n] * w[n]
                    m[n] = m[n] * beta1 + g * one1
                    v[n] = v[n] * beta2 + g * g * one2
                    w[n] = w[n] - step * m[n] / (root(v[n]) + floor)
                    d[n] = 0
                for n in range(WIDTH):
                    row_sum[block, n] += w[n]
                    row_square[block, n] += <double> w[n] * w[n]


def sgd_blocks(real_t[:, :, ::1] weights, real_t[:, :, ::1] gradient, real_t[:, :, ::1] velocity,
               int32_t block_from, int32_t block_to, real_t scale, const real_t[:, ::1] decay, real_t rate,
               real_t momentum, double[:, ::1] row_sum, double[:, ::1] row_square):
    """One step of gradient descent with momentum, velocity = momentum velocity - rate g; otherwise as `adam_blocks`."""
    cdef int32_t block, n
    cdef Py_ssize_t j
    cdef real_t g
    cdef real_t* w
    cdef real_t* d
    cdef real_t* m
    with nogil:
        for block in range(block_from, block_to):
            for n in range(WIDTH):
                row_sum[block, n] = 0.0
                row_square[block, n] = 0.0
            for j in range(weights.shape[1]):
                w = &weights[block, j, 0]
                d = &gradient[block, j, 0]
                m = &velocity[block, j, 0]
                for n in range(WIDTH):
                    g = d[n] * scale + decay[block, n] * w[n]
                    m[n] = m[n] * momentum - rate * g
                    w[n] = w[n] + m[n]
                    d[n] = 0
                for n in range(WIDTH):
                    row_sum[block, n] += w[n]
                    row_square[block, n] += <double> w[n] * w[n]
