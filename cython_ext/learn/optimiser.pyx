"""Weight updates, block by block, on the packed layout (blocks, pre, WIDTH). Twins: eventsnn/learn/optimisers/."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from eventsnn._ext.block cimport ops32, ops64
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.team cimport Stage
from eventsnn._ext.work_counter cimport WorkCounter, work_take


cdef class Update:
    """One step of an optimiser on all weights of a projection; made by `make_update`."""

    cdef void block(self, int32_t block) noexcept nogil:
        cdef int64_t at = block * self.rows * WIDTH
        cdef double* sums = self.row_sum + block * WIDTH
        cdef double* squares = self.row_square + block * WIDTH
        cdef double* norms = self.gradient_square + block * WIDTH
        cdef const float* decay32 = <const float*> self.decay + block * WIDTH
        cdef const double* decay64 = <const double*> self.decay + block * WIDTH
        memset(sums, 0, WIDTH * sizeof(double))
        memset(squares, 0, WIDTH * sizeof(double))
        if self.single and self.has_square:
            ops32.adam(<float*> self.weights + at, <float*> self.gradient + at, <float*> self.mean + at,
                       <float*> self.square + at, self.rows, <float> self.scale, decay32, <float> self.step,
                       <float> self.beta1, <float> self.beta2, <float> self.floor, <float> self.shrink, sums,
                       squares, norms)
        elif self.single:
            ops32.sgd(<float*> self.weights + at, <float*> self.gradient + at, <float*> self.mean + at, self.rows,
                      <float> self.scale, decay32, <float> self.step, <float> self.beta1, self.nesterov, sums, squares,
                      norms)
        elif self.has_square:
            ops64.adam(<double*> self.weights + at, <double*> self.gradient + at, <double*> self.mean + at,
                       <double*> self.square + at, self.rows, self.scale, decay64, self.step, self.beta1, self.beta2,
                       self.floor, self.shrink, sums,
                       squares, norms)
        else:
            ops64.sgd(<double*> self.weights + at, <double*> self.gradient + at, <double*> self.mean + at, self.rows,
                      self.scale, decay64, self.step, self.beta1, self.nesterov, sums, squares,
                      norms)


def make_update(real_t[:, :, ::1] weights, real_t[:, :, ::1] gradient, real_t[:, :, ::1] mean,
                real_t[:, :, ::1] square, real_t[:, ::1] decay, double[:, ::1] row_sum, double[:, ::1] row_square,
                double[:, ::1] gradient_square, double scale, double step, double beta1, double beta2=0.0,
                double floor=0.0, double shrink=0.0, bint nesterov=False):
    """One step on the gradient ``scale * gradient + decay * weights``; the gradient is set to zero.

    Adam (Kingma & Ba 2015, algorithm 1, in the form of their section 2), the weights first losing the share `shrink` of
    themselves (Loshchilov & Hutter 2019). With an empty `square` gradient descent with momentum `beta1`: velocity =
    beta1 velocity - step g is added to the weights, with `nesterov` beta1 velocity - step g of the new velocity
    (Sutskever et al. 2013).

    Parameters
    ----------
    weights, gradient, mean, square : real (blocks, pre, WIDTH)
        `mean` holds the velocity of gradient descent; `square` is then (0, 0, 0).
    decay : real (blocks, WIDTH)
    row_sum, row_square : float64 (blocks, WIDTH)
        Set to the sums over pre-synaptic neurons of the new weights and of their squares.
    gradient_square : float64 (blocks, WIDTH)
        Set to the sums of the squares of the gradient that the step is on.
    scale, step, beta1, beta2, floor, shrink : float
        `step` and `floor` hold Adam's bias corrections: step = rate sqrt(1 - beta2^t) / (1 - beta1^t),
        floor = epsilon sqrt(1 - beta2^t).
    """
    cdef Update u = Update()
    u.arrays = (weights, gradient, mean, square, decay, row_sum, row_square, gradient_square)
    u.single = real_t is float
    u.blocks = weights.shape[0]
    u.rows = weights.shape[1]
    u.weights = &weights[0, 0, 0]
    u.gradient = &gradient[0, 0, 0]
    u.mean = &mean[0, 0, 0]
    u.has_square = square.shape[0] > 0
    u.square = &square[0, 0, 0] if u.has_square else NULL
    u.decay = &decay[0, 0]
    u.row_sum = &row_sum[0, 0]
    u.row_square = &row_square[0, 0]
    u.gradient_square = &gradient_square[0, 0]
    u.scale = scale
    u.step = step
    u.beta1 = beta1
    u.beta2 = beta2
    u.floor = floor
    u.shrink = shrink
    u.nesterov = nesterov
    return u


def sum_rows(const real_t[:, :, ::1] weights, double[:, ::1] sums, WorkCounter counter):
    """Sums of the weights (blocks, pre, WIDTH) over pre-synaptic neurons, of the blocks that this thread takes.

    `sums` is float64 (blocks, WIDTH).
    """
    cdef int64_t block, row, rows = weights.shape[1]
    cdef int lane
    cdef const real_t* w
    cdef double total[WIDTH]
    with nogil:
        block = work_take(&counter.next)
        while block < counter.count:
            memset(total, 0, sizeof(total))
            w = &weights[block, 0, 0]
            for row in range(rows):
                for lane in range(WIDTH):
                    total[lane] += w[row * WIDTH + lane]
            for lane in range(WIDTH):
                sums[block, lane] = total[lane]
            block = work_take(&counter.next)


cdef class Completion(Stage):
    """Gradients of samples summed, and the weights updated; made by `update_blocks`."""

    cdef object arrays      # the arrays that the pointers below lead into
    cdef Update update      # or None
    cdef bint updates, single
    cdef int64_t samples, blocks, rows
    cdef void* gradient     # real [blocks][rows][WIDTH]
    cdef const void* own    # real [samples][blocks][rows][WIDTH]

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        if self.single:
            sum_samples(self, number, <const float*> self.own)
        else:
            sum_samples(self, number, <const double*> self.own)
        if self.updates:
            self.update.block(<int32_t> number)
        return 0


cdef void sum_samples(Completion w, int64_t block, const real_t* own) noexcept nogil:
    """One block, in the order of the samples."""
    cdef int64_t size = w.rows * WIDTH, s, k
    cdef real_t* total = <real_t*> w.gradient + block * size
    cdef const real_t* values
    for s in range(w.samples):
        values = own + (s * w.blocks + block) * size
        for k in range(size):
            total[k] += values[k]


def update_blocks(Update update, WorkCounter counter):
    """The step, as a task whose units are blocks."""
    cdef Completion w = Completion()
    w.update, w.updates, w.counter, w.samples = update, True, counter, 0
    return w


def complete_blocks(real_t[:, :, ::1] gradient, const real_t[:, :, :, ::1] own, Update update):
    """The gradients of all samples added up, and the step on their sum, as a task whose units are blocks.

    Parameters
    ----------
    gradient : real (blocks, pre, WIDTH)
        Added to.
    own : real (samples, blocks, pre, WIDTH)
        Of each sample, in the order in which they are added.
    update : Update or None
        The step on `gradient`, if there is one.
    """
    cdef Completion w = Completion()
    w.arrays, w.single = (gradient, own), real_t is float
    w.update, w.updates, w.counter = update, update is not None, WorkCounter(gradient.shape[0])
    w.samples, w.blocks, w.rows = own.shape[0], gradient.shape[0], gradient.shape[1]
    w.gradient = &gradient[0, 0, 0] if gradient.shape[0] and gradient.shape[1] else NULL
    w.own = &own[0, 0, 0, 0] if own.shape[0] and own.shape[1] and own.shape[2] else NULL
    return w
