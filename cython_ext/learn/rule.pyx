"""Errors of neurons through whole matrices of S-PSPs, for rules that send errors down.

Twin: eventsnn/reference/macro.py.
"""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from eventsnn._ext.block cimport ops32, ops64
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.lif cimport decay_rise, lif_t
from eventsnn._ext.spsp cimport LayerEvents, points_create, points_free, points_t, reverse_add, unit_t
from eventsnn._ext.work_counter cimport WorkCounter, work_take


cdef struct options_t:
    double threshold        # of the layer, above the reset potential
    double divisor          # of the errors handed down
    double silent_spsp      # S-PSP of an active on a silent neuron
    double silent_ratio     # e/o of a silent neuron in its self term
    bint effect_ratio


cdef struct scratch_t:
    # Of one thread.
    points_t points
    void* e             # real [pre][WIDTH]
    void* inverse       # real [pre]: 1 / count, or 0
    void* below         # real [pre]
    int32_t* active     # [pre]


cdef int scratch_create(scratch_t* c, int64_t pre, int64_t longest) except -1 nogil:
    points_create(&c.points, longest, 0)
    c.e = malloc(pre * WIDTH * sizeof(double))
    c.inverse = malloc(pre * sizeof(double))
    c.below = malloc(pre * sizeof(double))
    c.active = <int32_t*> malloc(pre * sizeof(int32_t))
    if not (c.e and c.inverse and c.below and c.active):
        scratch_free(c)
        with gil:
            raise MemoryError(f"no memory for the S-PSPs of {pre} neurons")
    return 0


cdef void scratch_free(scratch_t* c) noexcept nogil:
    points_free(&c.points)
    free(c.e)
    free(c.inverse)
    free(c.below)
    free(c.active)


cdef void add_resting(const lif_t* c, const unit_t* u, const double* charges, double* total) noexcept nogil:
    """Add the resting potential's share of each neuron's total PSP: it acts like an input of that weight whose PSP at
    time t is 1 - exp(-t/tau_m)."""
    cdef int64_t f
    for f in range(u.n_spikes):
        total[u.neurons[f] - u.first_neuron] -= c.reset * (
            charges[2 * f] * decay_rise(u.times[f] * c.rate_m)
            + charges[2 * f + 1] * decay_rise((u.times[f] + c.refractory) * c.rate_m)
        )


cdef void learn_one(const options_t* o, const lif_t* constants, const unit_t* u, const real_t* table,
                    const double* charges, const int64_t* post_counts, const int64_t* pre_counts, int64_t pre,
                    const double* delta, const double* lateral, const double* row_sum, const real_t* weights,
                    scratch_t* c, real_t* gradient, double* below) noexcept nogil:
    """One block in one sample: add to its gradient (pre, WIDTH) and to the errors of the layer below (pre,)."""
    cdef real_t factor[WIDTH]
    cdef real_t delta_of[WIDTH]
    cdef real_t fired[WIDTH]
    cdef real_t fill[WIDTH]  # what stands in for the S-PSPs of silent neurons
    cdef double total[WIDTH]
    cdef double s
    cdef real_t* e = <real_t*> c.e
    cdef real_t* inverse = <real_t*> c.inverse
    cdef real_t* below_of = <real_t*> c.below
    cdef int64_t j, n, n_active = 0
    memset(e, 0, pre * WIDTH * sizeof(real_t))
    if u.arrivals.n and u.n_spikes:
        reverse_add(constants, u, table, charges, &c.points, NULL, <real_t*> NULL, <real_t*> NULL, e)
    for j in range(pre):
        inverse[j] = <real_t> (1.0 / pre_counts[j]) if pre_counts[j] and o.effect_ratio else <real_t> 0.0
        if pre_counts[j]:
            c.active[n_active] = <int32_t> j
            n_active += 1
    for n in range(WIDTH):
        fill[n] = <real_t> (o.silent_spsp if post_counts[n] == 0 and delta[n] != 0.0 else 0.0)
    if real_t is float:
        ops32.add_rows(e, c.active, n_active, &fill[0])
        ops32.weigh(weights, e, pre, &total[0])
    else:
        ops64.add_rows(e, c.active, n_active, &fill[0])
        ops64.weigh(weights, e, pre, &total[0])
    if constants.reset != 0.0:
        add_resting(constants, u, charges, &total[0])
    for n in range(WIDTH):
        s = total[n] / post_counts[n] if post_counts[n] else o.silent_ratio * row_sum[n]
        delta_of[n] = <real_t> delta[n]
        factor[n] = <real_t> (delta[n] * (1.0 + s / o.threshold) * lateral[n])
        fired[n] = delta_of[n] if post_counts[n] else <real_t> 0.0
    if real_t is float:
        ops32.learn(gradient, below_of, e, weights, inverse, &factor[0], &delta_of[0], &fired[0], pre)
    else:
        ops64.learn(gradient, below_of, e, weights, inverse, &factor[0], &delta_of[0], &fired[0], pre)
    for j in range(pre):
        below[j] += below_of[j] / o.divisor


cdef bint any_error(const double* delta) noexcept nogil:
    cdef int64_t n
    for n in range(WIDTH):
        if delta[n] != 0.0:
            return True
    return False


def learn_blocks(const real_t[:, :, ::1] weights, LayerEvents events, const double[:, ::1] charges,
                 const int64_t[:, ::1] post_counts, const int64_t[:, ::1] pre_counts, const double[:, ::1] delta,
                 const double[:, ::1] lateral, const double[:, :, ::1] row_sum, double divisor, double silent_spsp,
                 double silent_ratio, bint effect_ratio, bint by_sample, real_t[:, :, :, ::1] gradient,
                 double[:, :, ::1] below, WorkCounter counter):
    """Gradients of a layer and errors of the layer below, for the units that this thread takes.

    Parameters
    ----------
    weights : real (blocks, pre, WIDTH)
    events : LayerEvents
        Its units are the samples; forced spikes are included.
    charges : float64 (spikes, 2)
        Of the S-PSPs; see `eventsnn._ext.spsp.charge_counts`.
    post_counts : int64 (samples, blocks * WIDTH), pre_counts : int64 (samples, pre)
    delta, lateral : float64 (samples, blocks * WIDTH)
        Errors of the layer, 0 for padding, and lateral factors.
    row_sum : float64 (1 or samples, blocks, WIDTH)
        Sums of the weights of each neuron, in each sample if they differ: at the edge of an image.
    divisor : float
        Of `LayerOptions`.
    by_sample : bool
        Units are samples, each adding to a gradient of its own, `gradient` (samples, blocks, pre, WIDTH), and to
        `below` (1, samples, pre). Otherwise they are blocks, adding sample after sample to `gradient` (1, blocks, pre,
        WIDTH) and each to errors of its own, `below` (blocks, samples, pre). Added up in their order, both give the
        same bits.
    counter : WorkCounter
        Over the units.
    """
    cdef options_t o
    cdef scratch_t c
    cdef unit_t u
    cdef const lif_t* constants = &events.constants[0]
    cdef int64_t n_samples = events.units, blocks = weights.shape[0], pre = weights.shape[1]
    cdef int64_t unit, s, block, inner
    events.check(sizeof(real_t))
    o.threshold = constants.threshold - constants.reset
    o.divisor = divisor
    o.silent_spsp = silent_spsp
    o.silent_ratio = silent_ratio
    o.effect_ratio = effect_ratio
    scratch_create(&c, pre, events.longest)
    with nogil:
        unit = work_take(&counter.next)
        while unit < counter.count:
            for inner in range(blocks if by_sample else n_samples):
                block = inner if by_sample else unit
                s = unit if by_sample else inner
                if not any_error(&delta[s, block * WIDTH]):
                    continue
                u = events.unit(block, s)
                learn_one(&o, constants, &u, <const real_t*> events.table_at(u.first_arrival),
                          &charges[u.first_spike, 0] if u.n_spikes else NULL, &post_counts[s, block * WIDTH],
                          &pre_counts[s, 0], pre, &delta[s, block * WIDTH], &lateral[s, block * WIDTH],
                          &row_sum[s if row_sum.shape[0] > 1 else 0, block, 0], &weights[block, 0, 0], &c,
                          &gradient[s if by_sample else 0, block, 0, 0], &below[0 if by_sample else block, s, 0])
            unit = work_take(&counter.next)
        scratch_free(&c)


cdef void factors_of(const double* e, int64_t size, const int64_t* counts, int64_t label, double threshold,
                     double strength, double* lateral) noexcept nogil:
    """lambda_i = 1 / (1 - w0^2 sum_{l != i} q_il q_li); `e` (blocks, size, WIDTH) is e_{i|l} at [i // WIDTH][l][i]."""
    cdef int64_t i, l
    cdef double rest, there, back
    for i in range(size):
        rest = 0.0
        if counts[i] or i == label:
            for l in range(size):
                if l != i and (counts[l] or l == label):
                    there = 1.0
                    back = 1.0
                    if counts[i] and counts[l]:
                        there = e[((l // WIDTH) * size + i) * WIDTH + l % WIDTH] / counts[i]
                        back = e[((i // WIDTH) * size + l) * WIDTH + i % WIDTH] / counts[l]
                    rest += (there / threshold) * (back / threshold)
        rest = 1.0 - strength * strength * rest
        lateral[i] = 1.0 / rest if rest > 0.0 else 1.0


def lateral_factors(LayerEvents events, const double[:, ::1] charges, const int64_t[:, ::1] counts,
                    const int64_t[::1] labels, const double[:, ::1] delta, double strength, double[:, ::1] lateral,
                    WorkCounter counter):
    """Lateral factors of the output layer, for the samples with an error that this thread takes.

    Parameters
    ----------
    events : LayerEvents
        The layer's own spikes, undelayed, are its arrivals; units are samples.
    charges : float64 (spikes, 2)
        Of the spikes' S-PSPs.
    counts : int64 (samples, neurons), labels : int64 (samples,)
    delta : float64 (samples, blocks * WIDTH)
    strength : float
        w0 of `eventsnn.learn.macro.lateral_factor`.
    lateral : float64 (samples, blocks * WIDTH)
        Filled for the neurons of samples with an error.
    counter : WorkCounter
        Over the samples.
    """
    cdef unit_t u
    cdef points_t points
    cdef const lif_t* constants = &events.constants[0]
    cdef int64_t size = counts.shape[1], blocks = delta.shape[1] // WIDTH, s, block
    cdef bint wrong
    cdef double* e
    events.check(sizeof(double))
    points_create(&points, events.longest, 0)
    e = <double*> calloc(blocks * size * WIDTH, sizeof(double))
    if e == NULL:
        points_free(&points)
        raise MemoryError(f"no memory for the S-PSPs of {size} neurons")
    with nogil:
        s = work_take(&counter.next)
        while s < counter.count:
            wrong = False
            for block in range(blocks):
                wrong |= any_error(&delta[s, block * WIDTH])
            if wrong:
                memset(e, 0, blocks * size * WIDTH * sizeof(double))
                for block in range(blocks):
                    u = events.unit(block, s)
                    if u.arrivals.n and u.n_spikes:
                        reverse_add(constants, &u, <const double*> events.table_at(u.first_arrival),
                                    &charges[u.first_spike, 0], &points, NULL, <double*> NULL, <double*> NULL,
                                    e + block * size * WIDTH)
                factors_of(e, size, &counts[s, 0], labels[s], constants.threshold - constants.reset, strength,
                           &lateral[s, 0])
            s = work_take(&counter.next)
        points_free(&points)
        free(e)
