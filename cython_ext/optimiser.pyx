"""Weight updates, block by block, on the packed layout (blocks, pre, WIDTH). Twin: eventsnn/train/optimisers.py."""

from libc.stdint cimport int32_t

from eventsnn._ext.block cimport ops32, ops64
from eventsnn._ext.dtypes cimport WIDTH, real_t


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
    with nogil:
        for block in range(block_from, block_to):
            for n in range(WIDTH):
                row_sum[block, n] = 0.0
                row_square[block, n] = 0.0
            if real_t is float:
                ops32.adam(&weights[block, 0, 0], &gradient[block, 0, 0], &mean[block, 0, 0], &square[block, 0, 0],
                           weights.shape[1], scale, &decay[block, 0], step, beta1, beta2, floor, &row_sum[block, 0],
                           &row_square[block, 0])
            else:
                ops64.adam(&weights[block, 0, 0], &gradient[block, 0, 0], &mean[block, 0, 0], &square[block, 0, 0],
                           weights.shape[1], scale, &decay[block, 0], step, beta1, beta2, floor, &row_sum[block, 0],
                           &row_square[block, 0])


def sgd_blocks(real_t[:, :, ::1] weights, real_t[:, :, ::1] gradient, real_t[:, :, ::1] velocity,
               int32_t block_from, int32_t block_to, real_t scale, const real_t[:, ::1] decay, real_t rate,
               real_t momentum, double[:, ::1] row_sum, double[:, ::1] row_square):
    """One step of gradient descent with momentum, velocity = momentum velocity - rate g; otherwise as `adam_blocks`."""
    cdef int32_t block, n
    with nogil:
        for block in range(block_from, block_to):
            for n in range(WIDTH):
                row_sum[block, n] = 0.0
                row_square[block, n] = 0.0
            if real_t is float:
                ops32.sgd(&weights[block, 0, 0], &gradient[block, 0, 0], &velocity[block, 0, 0], weights.shape[1],
                          scale, &decay[block, 0], rate, momentum, &row_sum[block, 0], &row_square[block, 0])
            else:
                ops64.sgd(&weights[block, 0, 0], &gradient[block, 0, 0], &velocity[block, 0, 0], weights.shape[1],
                          scale, &decay[block, 0], rate, momentum, &row_sum[block, 0], &row_square[block, 0])
