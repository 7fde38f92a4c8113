"""Gradients and errors of HM2-BP on clocked spikes, from S-PSPs taken position by position (spsp_clocked.pyx).

Formulas: eventsnn/learn/macro.py, whose loops are the twin.
"""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from eventsnn._ext.engine_clocked cimport (
    CLOCK_CONV,
    ClockedLayer,
    ClockedRun,
    clocked_layer_t,
    clocked_ops_t,
    clocked_rule_t,
    clocked_spikes_t,
    current_ops,
)
from eventsnn._ext.spsp_clocked cimport fill_g, lent_t, train_of, work_free, work_make, work_t
from eventsnn._ext.work_counter cimport WorkCounter, work_take

cdef struct options_t:
    float threshold, silent_spsp, silent_ratio
    int32_t effect_ratio


cdef void learn_position(clocked_ops_t* ops, work_t* w, const clocked_layer_t* l, const clocked_spikes_t* pre,
                         const clocked_spikes_t* post, int64_t first, const int32_t* cells, const float* weights,
                         const float* delta, const float* factor, const float* row_sum, options_t o, lent_t lent,
                         int32_t any_fired, int32_t steps, float* gradient, float* below) noexcept nogil:
    """Gradient and errors from the S-PSPs of a position; `below` by source neuron, of a dense layer by row."""
    cdef int32_t c, r, width = l.width
    cdef int64_t id, n, skip, at
    cdef const int32_t* times
    cdef float* silent = w.vectors + 2 * width
    cdef float* total = w.vectors + 3 * width
    cdef float* coefficient = w.vectors + 4 * width
    cdef clocked_rule_t rule
    cdef float down
    memset(total, 0, width * sizeof(float))
    for r in range(l.rows):
        id = source_of(l, cells, r)
        if id < 0:
            continue
        at = <int64_t> r * width
        n = pre.ptr[id + 1] - pre.ptr[id]
        times = pre.times + pre.ptr[id]
        skip = n > 0 and times[0] + l.latency <= 1    # the clock begins with step 1
        if any_fired and n > skip:
            ops.sum(w.g + shift_of(l) * width, width, times + skip, n - skip, w.e + at)
            ops.weigh(w.e + at, weights + at, width, total)
        else:
            memset(w.e + at, 0, width * sizeof(float))
    for c in range(width):
        n = train_of(w, post, first + c, lent, steps, &times)
        silent[c] = n == 0
        if n:
            coefficient[c] = delta[c] * factor[c] * (1.0 + total[c] / (o.threshold * <float> n))
        else:
            coefficient[c] = delta[c] * factor[c] * (1.0 + o.silent_ratio * row_sum[c] / o.threshold)
    rule.delta, rule.silent, rule.silent_spsp, rule.ratio = delta, silent, o.silent_spsp, o.effect_ratio
    for r in range(l.rows):
        id = source_of(l, cells, r)
        if id < 0:
            continue
        at = <int64_t> r * width
        n = pre.ptr[id + 1] - pre.ptr[id]
        down = ops.learn(&rule, w.e + at, weights + at, coefficient, width, <int32_t> n, gradient + at)
        if below != NULL:
            below[r if cells == NULL else id] += down


cdef inline int64_t shift_of(const clocked_layer_t* l) noexcept nogil:
    """Steps from a spike of the source to the one of G that is its S-PSP."""
    return <int64_t> l.refractory + l.latency - 1


cdef inline int64_t source_of(const clocked_layer_t* l, const int32_t* cells, int32_t row) noexcept nogil:
    """Source neuron of a row; -1 beyond the edge."""
    cdef int32_t cell
    if cells == NULL:
        return l.id_of[row]
    cell = cells[row // l.source_channels]
    return <int64_t> cell * l.source_width + row % l.source_channels if cell >= 0 else -1


cdef void pool_position(work_t* w, const clocked_layer_t* l, const clocked_spikes_t* pre, const clocked_spikes_t* post,
                        int64_t first, const int32_t* cells, const float* delta, options_t o,
                        float* below) noexcept nogil:
    """Errors of a window: each neuron hands its own down to the cells of its map, times e/o."""
    cdef int32_t c, k
    cdef int64_t id, n, s
    cdef float e, share
    for k in range(l.area):
        if cells[k] < 0:
            continue
        for c in range(l.channels):
            id = <int64_t> cells[k] * l.source_width + c
            n = pre.ptr[id + 1] - pre.ptr[id]
            share = 1.0
            if n and o.effect_ratio and post.ptr[first + c + 1] > post.ptr[first + c]:
                e = 0.0
                for s in range(pre.ptr[id], pre.ptr[id + 1]):
                    if pre.times[s] + l.latency > 1:
                        e += w.g[(pre.times[s] + shift_of(l)) * l.width + c]
                share = e / <float> n
            below[id] += delta[c] * share


cdef bint is_zero(const float* x, int64_t n) noexcept nogil:
    cdef int64_t k
    for k in range(n):
        if x[k] != 0.0:
            return False
    return True


def learn_dense(ClockedLayer layer, list runs, int32_t number, const float[:, ::1] delta, const float[:, ::1] factor,
                const float[:, ::1] row_sum, float threshold, float silent_spsp, float silent_ratio, bint effect_ratio,
                const int64_t[:, ::1] lent, float[:, :, ::1] gradient, float[:, :, ::1] below, WorkCounter turns):
    """Add the gradient of a dense layer, sample after sample, for the blocks that this thread takes.

    Parameters
    ----------
    layer : ClockedLayer
        Layer `number` of the `runs`, counted from 1.
    delta, factor : float32 (samples, neurons with padding)
        Errors of the neurons, and what their gradients are multiplied by besides.
    row_sum : float32 (blocks, width)
        Sum of each neuron's weights.
    threshold, silent_spsp, silent_ratio, effect_ratio
        Of the layer, without the slack, and of the rule.
    lent : int64 (samples, 2)
        Neuron that is lent spikes (-1: none), and the steps between them.
    gradient : float32 (blocks, rows, width)
    below : float32 (blocks, samples, rows), or none of them
        Set to each block's part of the errors of the source neurons, before the division by
        `eventsnn.reference.hm2bp.error_divisor`.
    turns : WorkCounter
        Over the blocks.
    """
    cdef int64_t samples = len(runs), s, p
    cdef clocked_layer_t* l = &layer.c
    cdef clocked_ops_t ops = current_ops()
    cdef options_t o = options_t(threshold, silent_spsp, silent_ratio, effect_ratio)
    cdef work_t w
    cdef int32_t steps = 1, fired
    cdef const float* own
    cdef clocked_spikes_t* pre
    cdef clocked_spikes_t* post
    cdef lent_t given
    cdef void** each = <void**> malloc((samples + 1) * sizeof(void*))
    if each == NULL:
        raise MemoryError("no memory for the gradients of a clocked layer")
    for s in range(samples):
        each[s] = <void*> runs[s]
        steps = max(steps, (<ClockedRun> runs[s]).steps)
    try:
        work_make(&w, l, steps)
    except MemoryError:
        free(each)
        raise
    try:
        with nogil:
            p = work_take(&turns.next)
            while p < turns.count:
                for s in range(samples):
                    pre, post, steps = spikes_of(each[s], number - 1), spikes_of(each[s], number), steps_of(each[s])
                    own = &delta[s, p * l.width]
                    if is_zero(own, l.width):
                        continue
                    given = lent_t(lent[s, 0], <int32_t> lent[s, 1])
                    fired = fill_g(&ops, &w, l, post, p * l.width, given, steps)
                    learn_position(&ops, &w, l, pre, post, p * l.width, NULL, l.weights + p * l.rows * l.width, own,
                                   &factor[s, p * l.width], &row_sum[p, 0], o, given, fired, steps,
                                   &gradient[p, 0, 0], &below[p, s, 0] if below.shape[0] else NULL)
                p = work_take(&turns.next)
    finally:
        work_free(&w)
        free(each)


cdef inline clocked_spikes_t* spikes_of(void* run, int32_t number) noexcept nogil:
    return (<ClockedRun> run).spikes + number


cdef inline int32_t steps_of(void* run) noexcept nogil:
    return (<ClockedRun> run).steps


def learn_spatial(ClockedLayer layer, ClockedRun run, int32_t number, const float[::1] delta,
                  const float[:, ::1] row_sum, float threshold, float silent_spsp, float silent_ratio,
                  bint effect_ratio, float[:, ::1] gradient, float[::1] below):
    """Add the gradient of a convolution in one sample; set the errors of the layer below a spatial layer.

    Parameters
    ----------
    delta : float32 (neurons with padding,)
    row_sum : float32 (1 or positions, width)
        Sum of the weights of each channel, at each position if they differ; not used of a pooling layer.
    gradient : float32 (rows, width)
        Not used of a pooling layer.
    below : float32 (source neurons with padding,), or none of them
        Set to zero first; before the division by `eventsnn.reference.hm2bp.error_divisor`.
    """
    cdef clocked_layer_t* l = &layer.c
    cdef clocked_ops_t ops = current_ops()
    cdef options_t o = options_t(threshold, silent_spsp, silent_ratio, effect_ratio)
    cdef lent_t none = lent_t(-1, 1)
    cdef work_t w
    cdef int64_t p, first
    cdef int32_t k, fired
    cdef float* down = &below[0] if below.shape[0] else NULL
    cdef const int32_t* cells
    cdef float* ones = <float*> malloc(l.width * sizeof(float))
    if ones == NULL:
        raise MemoryError("no memory for the gradients of a clocked layer")
    for k in range(l.width):
        ones[k] = 1.0
    try:
        work_make(&w, l, run.steps)
    except MemoryError:
        free(ones)
        raise
    try:
        with nogil:
            if down != NULL:
                memset(down, 0, below.shape[0] * sizeof(float))
            for p in range(l.positions):
                first, cells = p * l.width, l.cells + p * l.area
                if is_zero(&delta[first], l.width):
                    continue
                fired = fill_g(&ops, &w, l, run.spikes + number, first, none, run.steps)
                if l.kind == CLOCK_CONV:
                    learn_position(&ops, &w, l, run.spikes + number - 1, run.spikes + number, first, cells, l.weights,
                                   &delta[first], ones, &row_sum[p if row_sum.shape[0] > 1 else 0, 0], o, none, fired,
                                   run.steps, &gradient[0, 0], down)
                elif down != NULL:
                    pool_position(&w, l, run.spikes + number - 1, run.spikes + number, first, cells, &delta[first], o,
                                  down)
    finally:
        work_free(&w)
        free(ones)
