"""Gradients and errors of neurons on clocked spikes, from S-PSPs taken position by position (spsp_clocked.pyx).

Formulas, and twin: eventsnn/reference/macro.py.
"""

from libc.math cimport exp
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from eventsnn._ext.engine_clocked cimport (
    CLOCK_POOL,
    ClockedLayer,
    ClockedRun,
    clocked_layer_t,
    clocked_ops_t,
    clocked_rule_t,
    clocked_spikes_t,
    current_ops,
)
from eventsnn._ext.spsp_clocked cimport fill_g, forced_t, train_of, work_free, work_make, work_t
from eventsnn._ext.work_counter cimport WorkCounter, work_take

cdef struct options_t:
    float threshold, silent_spsp, silent_ratio
    int32_t effect_ratio


cdef void learn_position(clocked_ops_t* ops, work_t* w, const clocked_layer_t* l, const clocked_spikes_t* pre,
                         const clocked_spikes_t* post, int64_t first, const int32_t* cells, const float* weights,
                         const float* delta, const float* factor, const float* row_sum, options_t o, forced_t forced,
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
        n = train_of(w, post, first + c, forced, steps, &times)
        silent[c] = n == 0
        if l.leak != 0.0:
            total[c] += l.leak * l.tau_m * resting_spsp(l, times, n)
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
        if below != NULL and (cells == NULL or id < l.source_size):    # the bias neuron takes no errors
            below[r if cells == NULL else id] += down


cdef float resting_spsp(const clocked_layer_t* l, const int32_t* times, int64_t n) noexcept nogil:
    """S-PSP of the resting potential, an input whose PSP is 1 - exp(-s/tau_m) in s steps after the reset."""
    cdef double total = 0.0
    cdef int64_t f
    cdef int32_t last = 1    # the clock begins with step 1
    for f in range(n):
        if times[f] > last:
            total += 1.0 - exp(-(times[f] - last) / <double> l.tau_m)
        last = times[f] + l.refractory
    return <float> total


cdef inline int64_t shift_of(const clocked_layer_t* l) noexcept nogil:
    """Steps from a spike of the source to the one of G that is its S-PSP."""
    return <int64_t> l.refractory + l.latency - 1


cdef inline int64_t source_of(const clocked_layer_t* l, const int32_t* cells, int32_t row) noexcept nogil:
    """Source neuron of a row; -1 beyond the edge."""
    cdef int32_t cell
    if cells == NULL:
        return l.id_of[row]
    if row == l.area * l.source_channels:    # the bias neuron
        return l.source_size
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


cdef inline clocked_spikes_t* spikes_of(void* run, int32_t number) noexcept nogil:
    return (<ClockedRun> run).spikes + number


cdef inline int32_t steps_of(void* run) noexcept nogil:
    return (<ClockedRun> run).steps


def learn_layer(ClockedLayer layer, list runs, int32_t number, const float[:, ::1] delta, const float[:, ::1] factor,
                const float[:, ::1] row_sum, float threshold, float silent_spsp, float silent_ratio, bint effect_ratio,
                const int64_t[:, ::1] forced, float[:, :, ::1] gradient, float[:, :, ::1] below, WorkCounter counter):
    """Add the gradient of a layer, sample after sample, for the positions that this thread takes.

    A dense layer has a position for each of its blocks, with weights of its own; positions of other layers share their
    weights, and one thread takes them all.

    Parameters
    ----------
    layer : ClockedLayer
        Layer `number` of the `runs`, counted from 1.
    delta, factor : float32 (samples, neurons with padding)
        Errors of the neurons, and what their gradients are multiplied by besides.
    row_sum : float32 (1 or positions, width)
        Sum of each neuron's weights, at each position if they differ; not used of a pooling layer.
    threshold, silent_spsp, silent_ratio, effect_ratio
        Of the layer, without the slack, and of the rule.
    forced : int64 (samples, 2)
        Neuron with forced spikes (-1: none), and the steps between them.
    gradient : float32 (blocks of a dense layer or 1, rows, width)
        Not used of a pooling layer.
    below : float32 (blocks or 1, samples, source neurons), or none of them
        Each block's part of the errors of the source neurons is added, before the division by the `divisor` of
        `LayerOptions`; sources are the rows of a dense layer, else neurons with padding.
    counter : WorkCounter
        Over the positions.
    """
    cdef int64_t samples = len(runs), s, p, place
    cdef clocked_layer_t* l = &layer.c
    cdef clocked_ops_t ops = current_ops()
    cdef options_t o = options_t(threshold, silent_spsp, silent_ratio, effect_ratio)
    cdef work_t w
    cdef bint shared = l.cells != NULL
    cdef int32_t steps = 1, fired
    cdef const float* errors
    cdef const int32_t* cells = NULL
    cdef float* down
    cdef clocked_spikes_t* pre
    cdef clocked_spikes_t* post
    cdef forced_t extra
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
            p = work_take(&counter.next)
            while p < counter.count:
                place = 0 if shared else p
                if shared:
                    cells = l.cells + p * l.area
                for s in range(samples):
                    pre, post, steps = spikes_of(each[s], number - 1), spikes_of(each[s], number), steps_of(each[s])
                    errors = &delta[s, p * l.width]
                    if is_zero(errors, l.width):
                        continue
                    extra = forced_t(forced[s, 0], <int32_t> forced[s, 1])
                    down = &below[place, s, 0] if below.shape[0] else NULL
                    fired = fill_g(&ops, &w, l, post, p * l.width, extra, steps)
                    if l.kind == CLOCK_POOL:
                        if down != NULL:
                            pool_position(&w, l, pre, post, p * l.width, cells, errors, o, down)
                        continue
                    learn_position(&ops, &w, l, pre, post, p * l.width, cells, l.weights + place * l.rows * l.width,
                                   errors, &factor[s, p * l.width], &row_sum[min(p, row_sum.shape[0] - 1), 0], o,
                                   extra, fired, steps, &gradient[place, 0, 0], down)
                p = work_take(&counter.next)
    finally:
        work_free(&w)
        free(each)
