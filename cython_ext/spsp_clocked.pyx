"""HM2-BP on clocked spikes: S-PSPs, gradients and errors, position by position. Twin: eventsnn/learning/clocked.py.

The authors' S-PSP of a pre-synaptic spike in step t on a post-synaptic one in step p, whose neuron was refractory until
step l (1 at first), is k e^{-max(x - s, 0)/tau_s} (e^{-min(s, x)/tau_m} - e^{-min(s, x)/tau_s}) with s = p - l,
x = p - (t + refractory), for x >= 0 and 1, p - 4 tau_m <= t. As a function of a = t + refractory the sum over p is
G(a) = m + y: going back, m begins with k at each p and decays with tau_m, y takes up -k there and decays with tau_s;
at l the rest of m goes over into y. S-PSPs are sums of G over pre-synaptic spikes, and G serves all of a position's inputs.
"""

from libc.math cimport exp, floor
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc, realloc
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
from eventsnn._ext.turns cimport Turns, turns_take

cdef enum:
    LAST = 0    # the refractory period before a spike ends
    SPIKE = 1
    CUT = 2     # 4 tau_m before a spike

cdef struct event_t:
    int32_t next, channel, kind
    int32_t s       # steps from the end of the refractory period to the spike

cdef struct work_t:
    float* g            # (steps + refractory + 1, width)
    float* e            # (rows, width)
    float* vectors      # 6 of (width,): m, y, silent, total, coefficient; the rest unused
    int32_t* head       # (steps + 1,): first event of a step, -1 if none
    event_t* events
    int64_t n, room     # of events
    int32_t* lent
    float decay[2]
    double k
    int32_t reach       # how far before a spike G still holds it, steps of a

# Spikes that a silent neuron is lent: in the steps interval, 2 interval, ...
cdef struct lent_t:
    int64_t id          # of the neuron; -1 of none
    int32_t interval

cdef struct options_t:
    float threshold, silent_spsp, silent_ratio
    int32_t effect_ratio


cdef void work_free(work_t* w) noexcept nogil:
    free(w.g)
    free(w.e)
    free(w.vectors)
    free(w.head)
    free(w.events)
    free(w.lent)


cdef int work_make(work_t* w, const clocked_layer_t* l, int32_t steps) except -1 nogil:
    memset(w, 0, sizeof(work_t))
    w.g = <float*> malloc(<int64_t> (steps + l.refractory + 1) * l.width * sizeof(float))
    w.e = <float*> malloc((<int64_t> l.rows + 1) * l.width * sizeof(float))
    w.vectors = <float*> malloc(6 * l.width * sizeof(float))
    w.head = <int32_t*> malloc((steps + 1) * sizeof(int32_t))
    w.lent = <int32_t*> malloc((steps + 1) * sizeof(int32_t))
    if w.g == NULL or w.e == NULL or w.vectors == NULL or w.head == NULL or w.lent == NULL:
        work_free(w)
        with gil:
            raise MemoryError("no memory for the gradients of a clocked layer")
    w.decay[0] = <float> exp(-1.0 / l.tau_m)
    w.decay[1] = <float> exp(-1.0 / l.tau_s)
    w.k = 1.0 / (1.0 - <double> l.tau_s / l.tau_m)
    w.reach = <int32_t> floor(4.0 * l.tau_m) - l.refractory
    return 0


cdef int add_event(work_t* w, int32_t step, int32_t channel, int32_t kind, int32_t s) except -1 nogil:
    cdef event_t* larger
    if w.n == w.room:
        w.room = 2 * w.room + 256
        larger = <event_t*> realloc(w.events, w.room * sizeof(event_t))
        if larger == NULL:
            with gil:
                raise MemoryError("no memory for the gradients of a clocked layer")
        w.events = larger
    w.events[w.n] = event_t(w.head[step], channel, kind, s)
    w.head[step] = <int32_t> w.n
    w.n += 1
    return 0


cdef int list_events(work_t* w, const clocked_layer_t* l, const int32_t* times, int64_t n,
                     int32_t channel) except -1 nogil:
    """Where G of a neuron bends, from its spikes."""
    cdef int64_t f
    cdef int32_t last = 1, t
    if w.reach <= 0:
        return 0
    for f in range(n):
        t = times[f]
        if f:
            last = times[f - 1] + l.refractory
            if last >= t:
                continue    # spikes that were lent may be so close: nothing can act
            add_event(w, last, channel, LAST, 0)
        add_event(w, t, channel, SPIKE, 0)
        if t - w.reach >= 1:
            add_event(w, t - w.reach, channel, CUT, t - last)
    return 0


cdef void apply_events(work_t* w, const clocked_layer_t* l, int32_t step, float* m, float* y) noexcept nogil:
    """Ends of refractory periods first: with none, a spike may be where one ends."""
    cdef int32_t k = w.head[step]
    cdef event_t v
    while k >= 0:
        v = w.events[k]
        if v.kind == LAST:
            y[v.channel] += m[v.channel]
            m[v.channel] = 0.0
        k = v.next
    k = w.head[step]
    while k >= 0:
        v = w.events[k]
        if v.kind == SPIKE:
            m[v.channel] = <float> w.k
            y[v.channel] -= <float> w.k
        elif v.kind == CUT and v.s > w.reach:
            m[v.channel] = 0.0
            y[v.channel] += <float> (w.k * exp(-w.reach / <double> l.tau_s))
        elif v.kind == CUT:
            y[v.channel] -= <float> (w.k * (exp(-v.s / <double> l.tau_m) - exp(-v.s / <double> l.tau_s))
                                     * exp(-(w.reach - v.s) / <double> l.tau_s))
        k = v.next


cdef int64_t train_of(work_t* w, const clocked_spikes_t* post, int64_t id, lent_t lent, int32_t steps,
                      const int32_t** times) noexcept nogil:
    """Spikes of a neuron, those it is lent in their place; returns how many."""
    cdef int64_t n = 0
    cdef int32_t t = lent.interval
    if id != lent.id:
        times[0] = post.times + post.ptr[id]
        return post.ptr[id + 1] - post.ptr[id]
    while t < steps:
        w.lent[n] = t
        n += 1
        t += lent.interval
    times[0] = w.lent
    return n


cdef int fill_g(clocked_ops_t* ops, work_t* w, const clocked_layer_t* l, const clocked_spikes_t* post, int64_t first,
                lent_t lent, int32_t steps) except -1 nogil:
    """G of the neurons of a position; returns whether any fired."""
    cdef int32_t c, t, top = -1, now
    cdef int64_t n
    cdef const int32_t* times
    cdef float* m = w.vectors
    cdef float* y = w.vectors + l.width
    w.n = 0
    memset(w.head, 0xff, (steps + 1) * sizeof(int32_t))
    for c in range(l.width):
        n = train_of(w, post, first + c, lent, steps, &times)
        if n:
            top = max(top, times[n - 1])
            list_events(w, l, times, n, c)
    if top < 0:
        return 0
    memset(m, 0, 2 * l.width * sizeof(float))
    memset(w.g + <int64_t> top * l.width, 0, <int64_t> (steps + l.refractory + 1 - top) * l.width * sizeof(float))
    now = top
    apply_events(w, l, top, m, y)
    for t in range(top - 1, 0, -1):
        if w.head[t] >= 0 or t == 1:
            ops.kernel(w.g, now - 1, t, l.width, w.decay, m, y)
            apply_events(w, l, t, m, y)
            now = t
    return 1


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
        skip = n > 0 and times[0] == 0    # the clock begins with step 1
        if any_fired and n > skip:
            ops.sum(w.g + <int64_t> l.refractory * width, width, times + skip, n - skip, w.e + at)
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
    """Errors of a window: each neuron hands its own down to the cells of its map, times e/o over the area."""
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
                    if pre.times[s]:
                        e += w.g[<int64_t> (pre.times[s] + l.refractory) * l.width + c]
                share = e / <float> n
            below[id] += delta[c] * share / <float> l.area


cdef bint is_zero(const float* x, int64_t n) noexcept nogil:
    cdef int64_t k
    for k in range(n):
        if x[k] != 0.0:
            return False
    return True


def learn_dense(ClockedLayer layer, list runs, int32_t number, const float[:, ::1] delta, const float[:, ::1] factor,
                const float[:, ::1] row_sum, float threshold, float silent_spsp, float silent_ratio, bint effect_ratio,
                const int64_t[:, ::1] lent, float[:, :, ::1] gradient, float[:, :, ::1] below, Turns turns):
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
        Set to each block's part of the errors of the source neurons, before the division by their threshold.
    turns : Turns
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
            p = turns_take(&turns.next)
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
                p = turns_take(&turns.next)
    finally:
        work_free(&w)
        free(each)


cdef inline clocked_spikes_t* spikes_of(void* run, int32_t number) noexcept nogil:
    return (<ClockedRun> run).spikes + number


cdef inline int32_t steps_of(void* run) noexcept nogil:
    return (<ClockedRun> run).steps


def learn_spatial(ClockedLayer layer, ClockedRun run, int32_t number, const float[::1] delta, const float[::1] row_sum,
                  float threshold, float silent_spsp, float silent_ratio, bint effect_ratio, float[:, ::1] gradient,
                  float[::1] below):
    """Add the gradient of a convolution in one sample; set the errors of the layer below a spatial layer.

    Parameters
    ----------
    delta : float32 (neurons with padding,)
    row_sum : float32 (width,)
        Sum of the weights of each channel; not used of a pooling layer.
    gradient : float32 (rows, width)
        Not used of a pooling layer.
    below : float32 (source neurons with padding,), or none of them
        Set to zero first; before the division by the source's threshold. A pooling layer divides by its area.
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
                                   &delta[first], ones, &row_sum[0], o, none, fired, run.steps, &gradient[0, 0], down)
                elif down != NULL:
                    pool_position(&w, l, run.spikes + number - 1, run.spikes + number, first, cells, &delta[first], o,
                                  down)
    finally:
        work_free(&w)
        free(ones)


def lateral_spsp(ClockedLayer layer, ClockedRun run, int32_t number, float[:, ::1] e):
    """Set e (neurons with padding, neurons) to the S-PSPs between the neurons of a dense layer: [post, pre]."""
    cdef clocked_layer_t* l = &layer.c
    cdef clocked_ops_t ops = current_ops()
    cdef clocked_spikes_t* s = run.spikes + number
    cdef work_t w
    cdef int64_t p, j, c
    cdef float* found
    work_make(&w, l, run.steps)
    try:
        e[:, :] = 0.0
        with nogil:
            found = w.vectors + 2 * l.width
            for p in range(l.positions):
                if not fill_g(&ops, &w, l, s, p * l.width, lent_t(-1, 1), run.steps):
                    continue
                for j in range(l.channels):
                    if s.ptr[j + 1] == s.ptr[j]:
                        continue
                    ops.sum(w.g + <int64_t> l.refractory * l.width, l.width, s.times + s.ptr[j],
                            s.ptr[j + 1] - s.ptr[j], found)
                    for c in range(l.width):
                        e[p * l.width + c, j] = found[c]
    finally:
        work_free(&w)
