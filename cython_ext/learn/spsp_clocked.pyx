"""S-PSPs of clocked spikes, position by position. Twin: eventsnn/reference/spsp_clocked.py.

The authors' S-PSP of a pre-synaptic spike in step t on a post-synaptic one in step p, whose neuron was refractory until
step l (1 at first), is k e^{-max(x - s, 0)/tau_s} (e^{-min(s, x)/tau_m} - e^{-min(s, x)/tau_s}) with s = p - l,
x = p - (t + refractory), for x >= 0 and 1, p - 4 tau_m <= t. As a function of a = t + refractory the sum over p is
G(a) = m + y: going back, m begins with k at each p and decays with tau_m, y takes up -k there and decays with tau_s;
at l the rest of m goes over into y. S-PSPs are sums of G over pre-synaptic spikes; G serves all inputs of a position.
"""

from libc.math cimport exp, floor
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

from eventsnn._ext.engine_clocked cimport (
    ClockedLayer,
    ClockedRun,
    clocked_layer_t,
    clocked_ops_t,
    clocked_spikes_t,
    current_ops,
)

cdef enum:
    LAST = 0    # the refractory period before a spike ends
    SPIKE = 1
    CUT = 2     # 4 tau_m before a spike


cdef void work_free(work_t* w) noexcept nogil:
    free(w.g)
    free(w.e)
    free(w.vectors)
    free(w.head)
    free(w.events)
    free(w.forced)


cdef int work_make(work_t* w, const clocked_layer_t* l, int32_t steps) except -1 nogil:
    memset(w, 0, sizeof(work_t))
    w.g = <float*> malloc((<int64_t> steps + l.refractory + l.latency) * l.width * sizeof(float))
    w.e = <float*> malloc((<int64_t> l.rows + 1) * l.width * sizeof(float))
    w.vectors = <float*> malloc(6 * l.width * sizeof(float))
    w.head = <int32_t*> malloc((steps + 1) * sizeof(int32_t))
    w.forced = <int32_t*> malloc((steps + 1) * sizeof(int32_t))
    if w.g == NULL or w.e == NULL or w.vectors == NULL or w.head == NULL or w.forced == NULL:
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
                continue    # spikes that were forced may be so close: nothing can act
            add_event(w, last, channel, LAST, 0)
        add_event(w, t, channel, SPIKE, 0)
        # What is left of a response that ended long before is nothing in float32: e^-20.
        if t - w.reach >= 1 and w.reach - (t - last) < 20.0 * l.tau_s:
            add_event(w, t - w.reach, channel, CUT, t - last)
    return 0


cdef void apply_events(work_t* w, const clocked_layer_t* l, int32_t step, float* m, float* y) noexcept nogil:
    """What happens in a step. Of one neuron the event noted last comes first: with no refractory period, its end
    before the spike that it follows."""
    cdef int32_t k = w.head[step]
    cdef event_t v
    while k >= 0:
        v = w.events[k]
        if v.kind == LAST:
            y[v.channel] += m[v.channel]
            m[v.channel] = 0.0
        elif v.kind == SPIKE:
            m[v.channel] = <float> w.k
            y[v.channel] -= <float> w.k
        elif v.s > w.reach:
            m[v.channel] = 0.0
            y[v.channel] += <float> (w.k * exp(-w.reach / <double> l.tau_s))
        else:
            y[v.channel] -= <float> (w.k * (exp(-v.s / <double> l.tau_m) - exp(-v.s / <double> l.tau_s))
                                     * exp(-(w.reach - v.s) / <double> l.tau_s))
        k = v.next


cdef int64_t train_of(work_t* w, const clocked_spikes_t* post, int64_t id, forced_t forced, int32_t steps,
                      const int32_t** times) noexcept nogil:
    """Spikes of a neuron, forced ones in their place; returns how many."""
    cdef int64_t n = 0
    cdef int32_t t = forced.interval
    if id != forced.id:
        times[0] = post.times + post.ptr[id]
        return post.ptr[id + 1] - post.ptr[id]
    while t < steps:
        w.forced[n] = t
        n += 1
        t += forced.interval
    times[0] = w.forced
    return n


cdef int fill_g(clocked_ops_t* ops, work_t* w, const clocked_layer_t* l, const clocked_spikes_t* post, int64_t first,
                forced_t forced, int32_t steps) except -1 nogil:
    """G of the neurons of a position; returns whether any fired."""
    cdef int32_t c, t, top = -1, now
    cdef int64_t n
    cdef const int32_t* times
    cdef float* m = w.vectors
    cdef float* y = w.vectors + l.width
    w.n = 0
    memset(w.head, 0xff, (steps + 1) * sizeof(int32_t))
    for c in range(l.width):
        n = train_of(w, post, first + c, forced, steps, &times)
        if n:
            top = max(top, times[n - 1])
            list_events(w, l, times, n, c)
    if top < 0:
        return 0
    memset(m, 0, 2 * l.width * sizeof(float))
    memset(w.g + <int64_t> top * l.width, 0,
           (<int64_t> steps + l.refractory + l.latency - top) * l.width * sizeof(float))
    now = top
    apply_events(w, l, top, m, y)
    for t in range(top - 1, 0, -1):
        if w.head[t] >= 0 or t == 1:
            ops.kernel(w.g, now - 1, t, l.width, w.decay, m, y)
            apply_events(w, l, t, m, y)
            now = t
    return 1


def lateral_spsp(ClockedLayer layer, ClockedRun run, int32_t number, float[:, ::1] e):
    """Set e (neurons with padding, neurons) to the S-PSPs between the neurons of a dense layer: [post, pre]."""
    cdef clocked_layer_t* l = &layer.c
    cdef clocked_ops_t ops = current_ops()
    cdef clocked_spikes_t* s = run.spikes + number
    cdef work_t w
    cdef int64_t p, j, c
    cdef float* sums
    work_make(&w, l, run.steps)
    try:
        e[:, :] = 0.0
        with nogil:
            sums = w.vectors + 2 * l.width
            for p in range(l.positions):
                if not fill_g(&ops, &w, l, s, p * l.width, forced_t(-1, 1), run.steps):
                    continue
                for j in range(l.channels):
                    if s.ptr[j + 1] == s.ptr[j]:
                        continue
                    ops.sum(w.g + <int64_t> l.refractory * l.width, l.width, s.times + s.ptr[j],
                            s.ptr[j + 1] - s.ptr[j], sums)
                    for c in range(l.width):
                        e[p * l.width + c, j] = sums[c]
    finally:
        work_free(&w)
