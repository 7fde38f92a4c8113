"""Errors of neurons through whole matrices of S-PSPs, for rules that send errors down, in exact time and on a clock.

Formulas, and twin: eventsnn/reference/macro.py.
"""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from eventsnn._ext.block cimport learn_t, ops32, ops64, pre_t
from eventsnn._ext.dtypes cimport real_t
from eventsnn._ext.spsp_matrix cimport SpspMatrix
from eventsnn._ext.team cimport Stage
from eventsnn._ext.work_counter cimport WorkCounter


cdef int scratch_create(scratch_t* c, int64_t rows, int32_t width) except -1 nogil:
    """One piece of memory, which `total` begins."""
    c.total = <double*> malloc((5 * width + 3 * rows) * sizeof(double))
    if c.total == NULL:
        with gil:
            raise MemoryError(f"no memory for the errors of {rows} neurons")
    c.inverse = c.total + width
    c.below = c.total + width + rows
    c.rows = <int32_t*> (c.total + width + 2 * rows)
    c.neurons = c.total + width + 3 * rows
    return 0


cdef pre_t list_rows(const int64_t* counts, int64_t rows, scratch_t* c, const real_t* precision) noexcept nogil:
    """The rows of a matrix by whether their neurons, with these spike counts, fired; `precision` is not read."""
    cdef real_t* inverse = <real_t*> c.inverse
    cdef int32_t* silent = c.rows + rows
    cdef int64_t j, fired = 0
    for j in range(rows):
        c.rows[fired] = silent[j - fired] = <int32_t> j
        fired += counts[j] != 0
    for j in range(fired):
        inverse[j] = <real_t> (1.0 / counts[c.rows[j]])
    return pre_t(fired, c.rows, inverse, rows - fired, silent)


cdef int32_t used_columns(const double* delta, int32_t width) noexcept nogil:
    """How many of the first columns, a multiple of 8, have all the errors that there are."""
    while width > 8 and not any_error(delta + width - 8, 8):
        width -= 8
    return width


cdef inline double spsp_factor(const options_t* o, double delta, double lateral, int64_t count, double psp_per_spike,
                               double row_sum) noexcept nogil:
    """delta_i (1 + s_i) lambda_i with the self term s_i = a_i / (nu o_i), a_i being the total PSP.

    `psp_per_spike` is a_i / o_i; of a silent neuron `silent_ratio` times the sum of its weights stands for it.
    """
    if count == 0:
        psp_per_spike = o.silent_ratio * row_sum
    return delta * (1.0 + psp_per_spike / o.threshold) * lateral


cdef inline double spsp_per_spike(double e, int64_t pre_count, int64_t post_count, bint effect_ratio) noexcept nogil:
    """rho_{i|j}; what `learn` in block_template.h does for whole rows."""
    return e / pre_count if pre_count and post_count and effect_ratio else 1.0


cdef void learn_unit(const options_t* o, SpspMatrix m, const double* delta, const double* lateral,
                     const double* row_sum, const real_t* weights, scratch_t* c, real_t* gradient,
                     double* below, double* self_term) noexcept nogil:
    """From the matrix of a block in one unit, add to its gradient (rows, width) and to the errors `below`.

    Sets the self terms of the neurons, if `self_term` leads anywhere.
    """
    cdef real_t* e = <real_t*> m.e
    cdef real_t* factor = <real_t*> c.neurons
    cdef real_t* fill = factor + m.width
    cdef real_t* delta_of = factor + 2 * m.width
    cdef real_t* fired = factor + 3 * m.width
    cdef real_t* below_of = <real_t*> c.below if below != NULL else NULL
    cdef learn_t neurons = learn_t(factor, fill, delta_of, fired)
    cdef pre_t pre = list_rows(m.pre_counts, m.rows, c, weights)
    cdef int64_t j, target
    cdef int32_t n, width = m.width if self_term != NULL else used_columns(delta, m.width)
    cdef bint silent
    if real_t is float:
        ops32.weigh(weights, e, &pre, m.width, width, c.total)
    else:
        ops64.weigh(weights, e, &pre, m.width, width, c.total)
    m.add_resting(c.total)
    for n in range(width):
        silent = m.post_counts[n] == 0
        factor[n] = <real_t> spsp_factor(o, delta[n], lateral[n] if lateral != NULL else 1.0, m.post_counts[n],
                                         0.0 if silent else c.total[n] / m.post_counts[n], row_sum[n])
        if self_term != NULL:
            self_term[n] = (o.silent_ratio * row_sum[n] if silent else c.total[n] / m.post_counts[n]) / o.threshold
        fill[n] = <real_t> (o.silent_spsp if silent else 0.0)
        delta_of[n] = <real_t> delta[n]
        fired[n] = delta_of[n] if o.effect_ratio and not silent else <real_t> 0.0
    if real_t is float:
        ops32.learn(gradient, below_of, e, weights, &pre, &neurons, m.width, width)
    else:
        ops64.learn(gradient, below_of, e, weights, &pre, &neurons, m.width, width)
    if below != NULL:
        for j in range(m.rows):
            target = m.targets[j] if m.targets != NULL else j
            if target >= 0:
                below[target] += below_of[j] / o.divisor


cdef void hand_down(const options_t* o, SpspMatrix m, const double* delta, double* below) noexcept nogil:
    """Errors of a block whose rows are inputs, of weight 1, of one neuron each: those of a pooling layer."""
    cdef const float* e = <const float*> m.e
    cdef int64_t j
    cdef int32_t n
    for j in range(m.rows):
        n = <int32_t> (j % m.channels)
        if m.targets[j] >= 0:
            below[m.targets[j]] += (
                delta[n] * spsp_per_spike(e[j], m.pre_counts[j], m.post_counts[n], o.effect_ratio) / o.divisor
            )


cdef struct room_t:
    # Of one thread.
    scratch_t scratch
    int64_t matrix      # number of the matrix that it works with


cdef class Learn(Stage):
    """Gradients of a layer and errors of the layer below; made by `learn_units`."""

    cdef object arrays              # the arrays that the pointers below lead into
    cdef list matrices              # SpspMatrix, one for each thread
    cdef void** matrix              # the same, for threads without the interpreter's lock
    cdef int32_t* taken             # which of them are in use
    cdef options_t options
    cdef bint single, units_first, by_unit
    cdef int64_t n_matrices, blocks, units, rows, weight_rows, inputs, targets
    cdef int32_t width
    cdef const void* weights        # real [blocks][weight_rows][width]
    cdef const double* delta        # [units][blocks * width]
    cdef const double* lateral      # the same, or NULL
    cdef const double* row_sum      # [1 or units][blocks][width]
    cdef int64_t row_sum_step       # from unit to unit; 0: the same for all
    cdef void* gradient             # real [1 or units][blocks][rows][width]
    cdef double* below              # [1 or blocks][samples][targets], or NULL
    cdef int64_t below_step         # from block to block; 0: all add to the same
    cdef double* terms              # [units][blocks * width], or NULL

    def __dealloc__(self):
        free(self.matrix)
        free(self.taken)

    cdef void* take_room(self) except NULL nogil:
        cdef room_t* room = <room_t*> calloc(1, sizeof(room_t))
        cdef bint ready = False
        if room == NULL:
            with gil:
                raise MemoryError("no memory for errors")
        while room.matrix < self.n_matrices and flag_take(&self.taken[room.matrix]):
            room.matrix += 1
        try:
            if room.matrix == self.n_matrices:
                with gil:
                    raise RuntimeError("more threads than matrices of S-PSPs")
            scratch_create(&room.scratch, self.inputs, self.width)
            ready = True
        finally:
            if not ready:
                self.return_room(room)
        return room

    cdef void return_room(self, void* room) noexcept nogil:
        cdef room_t* r = <room_t*> room
        if r.matrix < self.n_matrices:
            flag_return(&self.taken[r.matrix])
        free(r.scratch.total)
        free(r)

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        cdef room_t* r = <room_t*> room
        if self.single:
            return LEARN32(<void*> self, self.matrix[r.matrix], number, &r.scratch)
        return LEARN64(<void*> self, self.matrix[r.matrix], number, &r.scratch)


cdef int learn_taken(Learn w, SpspMatrix m, int64_t number, scratch_t* c, const real_t* precision) except -1 nogil:
    """A unit in all blocks, or a block in all units; `precision` is not read."""
    cdef int64_t inner, block, s, at, size = w.rows * w.width
    cdef double* down
    cdef real_t* gradient
    if w.by_unit:
        memset(<real_t*> w.gradient + number * w.blocks * size, 0, w.blocks * size * sizeof(real_t))
    for inner in range(w.blocks if w.units_first else w.units):
        block = inner if w.units_first else number
        s = number if w.units_first else inner
        at = (s * w.blocks + block) * w.width
        if not any_error(w.delta + at, w.width):
            continue
        m.fill(block, s)
        down = NULL
        if w.below != NULL:
            down = w.below + block * w.below_step + s // m.positions * w.targets
        if not m.channels:
            gradient = <real_t*> w.gradient + ((s if w.by_unit else 0) * w.blocks + block) * size
            learn_unit(&w.options, m, w.delta + at, w.lateral + at if w.lateral != NULL else NULL,
                       w.row_sum + s * w.row_sum_step + block * w.width,
                       <const real_t*> w.weights + block * w.weight_rows * w.width, c, gradient, down,
                       w.terms + at if w.terms != NULL else NULL)
        elif down != NULL:
            hand_down(&w.options, m, w.delta + at, down)
    return 0


cdef int learn_single(Learn w, SpspMatrix m, int64_t number, scratch_t* c) except -1 nogil:
    return learn_taken(w, m, number, c, <const float*> NULL)


cdef int learn_double(Learn w, SpspMatrix m, int64_t number, scratch_t* c) except -1 nogil:
    return learn_taken(w, m, number, c, <const double*> NULL)


# A thread without the lock has no reference to its matrix: the task keeps it.
ctypedef int (*learn_taken_t)(void* w, void* m, int64_t number, scratch_t* c) except -1 nogil
cdef learn_taken_t LEARN32 = <learn_taken_t> <void*> learn_single
cdef learn_taken_t LEARN64 = <learn_taken_t> <void*> learn_double


def learn_units(list matrices, const real_t[:, :, ::1] weights, const double[:, ::1] delta,
                const double[:, ::1] lateral, const double[:, :, ::1] row_sum, double threshold, double divisor,
                double silent_spsp, double silent_ratio, bint effect_ratio, bint units_first, bint by_unit,
                real_t[:, :, :, ::1] gradient, double[:, :, ::1] below, WorkCounter counter,
                double[:, ::1] self_terms=None):
    """Gradients of a layer and errors of the layer below, as a task whose units are those of the layer, or its blocks.

    Parameters
    ----------
    matrices : list of SpspMatrix
        One for each thread that takes part.
    weights : real (blocks, rows, width)
        Not used of a layer whose rows are inputs of one neuron each.
    delta : float64 (units, blocks * width)
        Errors of the layer, 0 for padding.
    lateral : float64, like `delta`, or (0, 0)
        Lateral factors; all 1.
    row_sum : float64 (1 or units, blocks, width)
        Sums of the weights of each neuron, in each unit if they differ: at the edge of an image.
    threshold : float
        Of the layer.
    divisor, silent_spsp, silent_ratio, effect_ratio
        Of `LayerOptions`.
    units_first : bool
        What a thread takes are units, and in each it goes through the blocks. Otherwise it takes blocks.
    by_unit : bool
        Every unit sets a gradient of its own, `gradient` (units, blocks, rows, width), so that several threads may take
        units. Otherwise unit after unit is added to `gradient` (1, blocks, rows, width). Added up in their order, both
        give the same bits.
    below : float64 (1 or blocks, units / positions, targets), or (0, 0, 0): nobody wants it
        Added to, by `targets` of the matrices: one of each block, where several threads may take blocks.
    counter : WorkCounter
        Over the units or the blocks.
    self_terms : float64, like `delta`, optional
        Set for neurons in blocks with an error: the self terms s_i.
    """
    cdef Learn w = Learn()
    cdef SpspMatrix first = matrices[0]
    cdef int64_t k
    w.arrays = (weights, delta, lateral, row_sum, gradient, below, self_terms)
    w.matrices, w.n_matrices, w.counter = list(matrices), len(matrices), counter
    w.matrix = <void**> calloc(w.n_matrices, sizeof(void*))
    w.taken = <int32_t*> calloc(w.n_matrices, sizeof(int32_t))
    if w.matrix == NULL or w.taken == NULL:
        raise MemoryError("no memory for errors")
    for k in range(w.n_matrices):
        w.matrix[k] = <void*> (<SpspMatrix?> w.matrices[k])
    w.options = options_t(threshold, divisor, silent_spsp, silent_ratio, effect_ratio)
    w.single, w.units_first, w.by_unit = real_t is float, units_first, by_unit
    if first.single != w.single:
        raise TypeError("the S-PSPs have another precision than the weights")
    w.width, w.units, w.inputs = first.width, first.units, first.rows
    w.blocks, w.rows, w.weight_rows = delta.shape[1] // w.width, gradient.shape[2], weights.shape[1]
    w.targets, w.below_step = below.shape[2], below.shape[1] * below.shape[2] if below.shape[0] > 1 else 0
    w.weights = &weights[0, 0, 0] if weights.shape[0] and weights.shape[1] else NULL
    w.delta = &delta[0, 0] if delta.shape[0] and delta.shape[1] else NULL
    w.lateral = &lateral[0, 0] if lateral.shape[0] and lateral.shape[1] else NULL
    w.row_sum = &row_sum[0, 0, 0] if row_sum.shape[0] and row_sum.shape[1] else NULL
    w.row_sum_step = row_sum.shape[1] * row_sum.shape[2] if row_sum.shape[0] > 1 else 0
    w.gradient = &gradient[0, 0, 0, 0] if gradient.shape[0] and gradient.shape[1] and gradient.shape[2] else NULL
    w.below = &below[0, 0, 0] if below.shape[0] and below.shape[1] and below.shape[2] else NULL
    w.terms = &self_terms[0, 0] if self_terms is not None and self_terms.shape[0] else NULL
    return w


cdef class DirectFactors(Stage):
    """Factors of S-PSPs that nobody needs the matrices of; made by `direct_factors`."""

    cdef object arrays              # the arrays that the pointers below lead into
    cdef options_t options
    cdef bint single
    cdef int64_t neurons, size, delta_step, row_sum_step
    cdef const double* delta        # [units][delta_step]
    cdef const int64_t* counts      # [units][neurons]
    cdef const double* row_sum      # [1 or units][size]
    cdef void* factor               # real [units][size]
    cdef void* fill

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        if self.single:
            factors_of_unit(self, number, <float*> self.factor, <float*> self.fill)
        else:
            factors_of_unit(self, number, <double*> self.factor, <double*> self.fill)
        return 0


cdef void factors_of_unit(DirectFactors w, int64_t s, real_t* factors, real_t* fills) noexcept nogil:
    cdef const double* delta = w.delta + s * w.delta_step
    cdef const int64_t* counts = w.counts + s * w.neurons
    cdef const double* row_sum = w.row_sum + s * w.row_sum_step
    cdef real_t* factor = factors + s * w.size
    cdef real_t* fill = fills + s * w.size
    cdef int64_t n
    for n in range(w.size):
        factor[n] = fill[n] = 0
        if n < w.neurons:
            direct_factor(&w.options, delta[n], counts[n], row_sum[n], &factor[n], &fill[n])


cdef void direct_factor(const options_t* o, double delta, int64_t count, double row_sum, real_t* factor,
                        real_t* fill) noexcept nogil:
    """See `direct_factors`; both are 0 before."""
    cdef double value = spsp_factor(o, delta, 1.0, count, o.threshold, row_sum)
    if count:
        factor[0] = <real_t> value
    else:
        fill[0] = <real_t> (value * o.silent_spsp)


def direct_factors(const double[:, :] delta, const int64_t[:, ::1] counts, const double[:, ::1] row_sum,
                   double threshold, double silent_spsp, double silent_ratio, real_t[:, ::1] factor,
                   real_t[:, ::1] fill):
    """What S-PSPs in exact time are multiplied by in the gradient, where nobody needs their matrices, as a task whose
    units are those of the layer.

    In an exact feed-forward run the total PSP of a neuron that fired is nu o_i, the resting potential's share included.

    Parameters
    ----------
    delta : float64 (units, neurons), counts : int64 (units, neurons)
        The rows of `delta` may lie apart.
    row_sum : float64 (1 or units, blocks * WIDTH)
    threshold, silent_spsp, silent_ratio
        As for `learn_units`.
    factor, fill : real (units, blocks * WIDTH)
        Set: the factor of a neuron that fired; of a silent one, what its gradient is for every input that fired. 0 for
        padding.
    """
    cdef DirectFactors w = DirectFactors()
    w.arrays, w.single = (delta, counts, row_sum, factor, fill), real_t is float
    w.options = options_t(threshold, 1.0, silent_spsp, silent_ratio, True)
    w.counter = WorkCounter(counts.shape[0])
    w.neurons, w.size = counts.shape[1], factor.shape[1]
    if delta.shape[1] > 1 and delta.strides[1] != sizeof(double):
        raise ValueError("the errors of a unit must lie side by side")
    w.delta_step = delta.strides[0] // <int64_t> sizeof(double)
    w.row_sum_step = row_sum.shape[1] if row_sum.shape[0] > 1 else 0
    w.delta = &delta[0, 0] if delta.shape[0] and delta.shape[1] else NULL
    w.counts = &counts[0, 0] if counts.shape[0] and counts.shape[1] else NULL
    w.row_sum = &row_sum[0, 0] if row_sum.shape[0] and row_sum.shape[1] else NULL
    w.factor = &factor[0, 0] if factor.shape[0] and factor.shape[1] else NULL
    w.fill = &fill[0, 0] if fill.shape[0] and fill.shape[1] else NULL
    return w
