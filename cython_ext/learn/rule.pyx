"""Errors of neurons through whole matrices of S-PSPs, for rules that send errors down, in exact time and on a clock.

Formulas, and twin: eventsnn/reference/macro.py.
"""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc

from eventsnn._ext.block cimport learn_t, ops32, ops64
from eventsnn._ext.dtypes cimport real_t
from eventsnn._ext.spsp_matrix cimport SpspMatrix
from eventsnn._ext.work_counter cimport WorkCounter, work_take


cdef struct options_t:
    double threshold        # of the layer
    double divisor          # of the errors handed down
    double silent_spsp      # S-PSP of an active on a silent neuron
    double silent_ratio     # e/o of a silent neuron in its self term
    bint effect_ratio


cdef struct scratch_t:
    # Of one thread.
    double* total       # [width] total PSPs
    void* inverse       # real [rows]: 1 / count, or 0
    void* below         # real [rows]
    void* neurons       # real [4][width]: the arrays of a learn_t


cdef int scratch_create(scratch_t* c, int64_t rows, int32_t width) except -1 nogil:
    """One piece of memory, which `total` begins."""
    c.total = <double*> malloc((5 * width + 2 * rows) * sizeof(double))
    if c.total == NULL:
        with gil:
            raise MemoryError(f"no memory for the errors of {rows} neurons")
    c.inverse = c.total + width
    c.below = c.total + width + rows
    c.neurons = c.total + width + 2 * rows
    return 0


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
    cdef real_t* inverse = <real_t*> c.inverse
    cdef real_t* factor = <real_t*> c.neurons
    cdef real_t* fill = factor + m.width
    cdef real_t* delta_of = factor + 2 * m.width
    cdef real_t* fired = factor + 3 * m.width
    cdef real_t* below_of = <real_t*> c.below if below != NULL else NULL
    cdef learn_t neurons = learn_t(factor, fill, delta_of, fired)
    cdef int64_t j, target
    cdef int32_t n
    cdef bint silent
    for j in range(m.rows):
        inverse[j] = <real_t> (1.0 / m.pre_counts[j]) if m.pre_counts[j] else <real_t> 0.0
    if real_t is float:
        ops32.weigh(weights, e, inverse, m.rows, m.width, c.total)
    else:
        ops64.weigh(weights, e, inverse, m.rows, m.width, c.total)
    m.add_resting(c.total)
    for n in range(m.width):
        silent = m.post_counts[n] == 0
        factor[n] = <real_t> spsp_factor(o, delta[n], lateral[n] if lateral != NULL else 1.0, m.post_counts[n],
                                         0.0 if silent else c.total[n] / m.post_counts[n], row_sum[n])
        if self_term != NULL:
            self_term[n] = (o.silent_ratio * row_sum[n] if silent else c.total[n] / m.post_counts[n]) / o.threshold
        fill[n] = <real_t> (o.silent_spsp if silent else 0.0)
        delta_of[n] = <real_t> delta[n]
        fired[n] = delta_of[n] if o.effect_ratio and not silent else <real_t> 0.0
    if real_t is float:
        ops32.learn(gradient, below_of, e, weights, inverse, &neurons, m.rows, m.width)
    else:
        ops64.learn(gradient, below_of, e, weights, inverse, &neurons, m.rows, m.width)
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


cdef bint any_error(const double* delta, int64_t n) noexcept nogil:
    cdef int64_t k
    for k in range(n):
        if delta[k] != 0.0:
            return True
    return False


def learn_units(SpspMatrix spsp, const real_t[:, :, ::1] weights, const double[:, ::1] delta,
                const double[:, ::1] lateral, const double[:, :, ::1] row_sum, double threshold, double divisor,
                double silent_spsp, double silent_ratio, bint effect_ratio, bint units_first, bint by_unit,
                real_t[:, :, :, ::1] gradient, double[:, :, ::1] below, WorkCounter counter,
                double[:, ::1] self_terms=None):
    """Gradients of a layer and errors of the layer below, for the units or blocks that this thread takes.

    Parameters
    ----------
    spsp : SpspMatrix
        Of this thread.
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
        Several threads take units, each adding to a gradient of its own, `gradient` (units, blocks, rows, width),
        and to `below` (1, ...). Otherwise unit after unit is added to `gradient` (1, blocks, rows, width), and each
        block adds to errors of its own, `below` (blocks, ...). Added up in their order, both give the same bits.
    below : float64 (1 or blocks, units / positions, targets), or (0, 0, 0): nobody wants it
        By `targets` of the matrices.
    counter : WorkCounter
        Over the units or the blocks.
    self_terms : float64, like `delta`, optional
        Set for neurons in blocks with an error: the self terms s_i.
    """
    cdef options_t o = options_t(threshold, divisor, silent_spsp, silent_ratio, effect_ratio)
    cdef scratch_t c = scratch_t(NULL, NULL, NULL, NULL)
    cdef int32_t width = spsp.width
    cdef int64_t blocks = delta.shape[1] // width, taken, inner, block, s
    cdef double* down
    cdef double* terms = &self_terms[0, 0] if self_terms is not None and self_terms.shape[0] else NULL
    if spsp.single != (sizeof(real_t) == sizeof(float)):
        raise TypeError("the S-PSPs have another precision than the weights")
    scratch_create(&c, spsp.rows, width)
    try:
        with nogil:
            taken = work_take(&counter.next)
            while taken < counter.count:
                for inner in range(blocks if units_first else spsp.units):
                    block = inner if units_first else taken
                    s = taken if units_first else inner
                    if not any_error(&delta[s, block * width], width):
                        continue
                    spsp.fill(block, s)
                    down = &below[0 if by_unit else block, s // spsp.positions, 0] if below.shape[0] else NULL
                    if not spsp.channels:
                        learn_unit(&o, spsp, &delta[s, block * width],
                                   &lateral[s, block * width] if lateral.shape[0] else NULL,
                                   &row_sum[s if row_sum.shape[0] > 1 else 0, block, 0], &weights[block, 0, 0], &c,
                                   &gradient[s if by_unit else 0, block, 0, 0], down,
                                   terms + (s * blocks + block) * width if terms != NULL else NULL)
                    elif down != NULL:
                        hand_down(&o, spsp, &delta[s, block * width], down)
                taken = work_take(&counter.next)
    finally:
        free(c.total)


def direct_factors(const double[:, ::1] delta, const int64_t[:, ::1] counts, const double[:, ::1] row_sum,
                   double threshold, double silent_spsp, double silent_ratio, double[:, ::1] factor,
                   double[:, ::1] fill):
    """What S-PSPs in exact time are multiplied by in the gradient, where nobody needs their matrices.

    In an exact feed-forward run the total PSP of a neuron that fired is nu o_i, the resting potential's share included.

    Parameters
    ----------
    delta : float64 (units, neurons), counts : int64 (units, neurons)
    row_sum : float64 (1 or units, neurons)
    threshold, silent_spsp, silent_ratio
        As for `learn_units`.
    factor, fill : float64 (units, neurons)
        Set: the factor of a neuron that fired; of a silent one, what its gradient is for every input that fired.
    """
    cdef options_t o = options_t(threshold, 1.0, silent_spsp, silent_ratio, True)
    cdef int64_t s, n
    cdef double value
    for s in range(delta.shape[0]):
        for n in range(delta.shape[1]):
            value = spsp_factor(&o, delta[s, n], 1.0, counts[s, n], threshold,
                                row_sum[s if row_sum.shape[0] > 1 else 0, n])
            factor[s, n] = value if counts[s, n] else 0.0
            fill[s, n] = 0.0 if counts[s, n] else value * silent_spsp


cdef void factors_of(const double* e, int64_t size, int32_t width, const int64_t* counts, int64_t label,
                     double threshold, double strength, double* lateral) noexcept nogil:
    """lambda_i = 1 / (1 - w0^2 sum_{l != i} q_il q_li); `e` (blocks, size, width) is e_{i|l} at [i // width][l][i]."""
    cdef int64_t i, l
    cdef double loops, there, back
    for i in range(size):
        loops = 0.0
        if counts[i] or i == label:
            for l in range(size):
                if l != i and (counts[l] or l == label):
                    there = back = 1.0
                    if counts[i] and counts[l]:
                        there = e[((l // width) * size + i) * width + l % width] / counts[i]
                        back = e[((i // width) * size + l) * width + i % width] / counts[l]
                    loops += (there / threshold) * (back / threshold)
        loops = 1.0 - strength * strength * loops
        lateral[i] = 1.0 / loops if loops > 0.0 else 1.0


def lateral_factors(SpspMatrix spsp, const int64_t[::1] labels, const double[:, ::1] delta, double threshold,
                    double strength, double[:, ::1] lateral, WorkCounter counter):
    """Lateral factors of the output layer, for the samples with an error that this thread takes.

    Where effects grow on every round (denominator <= 0) their sum does not exist, and the factor is 1.

    Parameters
    ----------
    spsp : SpspMatrix
        S-PSPs of the layer's own true spikes, undelayed, on its neurons; units are samples.
    labels : int64 (samples,)
    delta : float64 (samples, blocks * width)
    threshold : float
    strength : float
        w0, that of the mutual inhibition.
    lateral : float64 (samples, blocks * width)
        Filled for the neurons of samples with an error.
    counter : WorkCounter
        Over the samples.
    """
    cdef int64_t size = spsp.rows, blocks = delta.shape[1] // spsp.width, s, block, j, k
    cdef int32_t n, width = spsp.width
    cdef double* e = <double*> malloc(blocks * size * width * sizeof(double))
    if e == NULL:
        raise MemoryError(f"no memory for the S-PSPs of {size} neurons")
    try:
        with nogil:
            s = work_take(&counter.next)
            while s < counter.count:
                if any_error(&delta[s, 0], blocks * width):
                    for block in range(blocks):
                        spsp.fill(block, s)
                        for j in range(size):
                            for n in range(width):
                                k = j * width + n
                                e[block * size * width + k] = 0.0 if not spsp.pre_counts[j] else (
                                    (<float*> spsp.e)[k] if spsp.single else (<double*> spsp.e)[k]
                                )
                    factors_of(e, size, width, spsp.pre_counts, labels[s], threshold, strength, &lateral[s, 0])
                s = work_take(&counter.next)
    finally:
        free(e)
