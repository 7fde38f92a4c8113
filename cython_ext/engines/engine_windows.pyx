"""The windowed schedule of the event-driven engine: sparse networks, a window of time at once.

Twin: eventsnn/reference/windows.py. No projection that leads back has a delay shorter than a window, so all
arrivals of a window are known when their layer's turn comes, and its neurons do not depend on each other within it.
Nothing is rounded to a grid. docs/exact.md says why this is exact.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport qsort

from eventsnn._ext.lif cimport LIF_CANDIDATE, lif_after_refractory, lif_reach, lif_respond
from eventsnn._ext.spikes cimport spikes_push, spikes_t
from eventsnn._ext.windows_arrivals cimport next_arrival, pass_by, scatter, sift, tabulate, train_t
from eventsnn._ext.windows_exchange cimport SWAPPED, WAITING, swap_shared
from eventsnn._ext.windows_neuron cimport follow
from eventsnn._ext.windows_state cimport (
    WindowsState,
    arrival_t,
    fired_t,
    layer_t,
    projection_t,
    table_t,
    work_t,
)

# What `run_windows` returns; `LEAP` it does itself.
cpdef enum:
    GOING_ON = 0
    DONE = 1
    EXCHANGE = 2
    LEAP = 3


cdef int by_time(const void* x, const void* y) noexcept nogil:
    cdef const fired_t* a = <const fired_t*> x
    cdef const fired_t* b = <const fired_t*> y
    if a.time != b.time:
        return -1 if a.time < b.time else 1
    return -1 if a.neuron < b.neuron else 1 if a.neuron > b.neuron else 0


cdef int64_t run_layer(WindowsState s, const train_t* given, int32_t number, double end,
                       double t_stop) except -1 nogil:
    """One layer through the window from `now` to `end`; returns what it cost, in deliveries."""
    cdef layer_t* l = &s.layers[number]
    cdef work_t* w = &s.work
    cdef double* u = &s.u[0] + l.first
    cdef double* i = &s.i[0] + l.first
    cdef arrival_t start
    cdef spikes_t* spikes = &l.spikes if s.ranks == 1 else &l.own
    cdef int64_t deliveries = tabulate(s, given, number, end), n_hot, k, first = 0
    cdef int32_t n
    s.ops.tabulate(&s.now, 1, 0.0, end, &l.lif, table_t(&start.h, &start.b, &start.a, &start.t))
    s.ops.begin(l.size, u, i, &start, w.gathered)
    w.hot[l.size] = 0
    scatter(s, given, number)
    n_hot = s.ops.finish(l.size, u, i, &s.end[0] + l.first, w.gathered, l.lif.threshold * LIF_CANDIDATE, s.now, end,
                         l.lif.reset, w.hot, w.list)
    w.n_fired = 0
    s.updates += l.size
    s.followed += n_hot
    s.deliveries += deliveries
    if n_hot:
        sift(s, given, number, n_hot, deliveries)
        for k in range(n_hot):
            n = w.list[k]
            follow(s, l, n, &start, end, w.sorted + first, w.bucket[n] - first, t_stop)
            first = w.bucket[n]
        qsort(w.fired, w.n_fired, sizeof(fired_t), by_time)
        for k in range(w.n_fired):
            spikes_push(spikes, w.fired[k].time, w.fired[k].neuron * s.ranks + s.rank)
    pass_by(s, given, number, end)
    l.since = min(l.since, s.now) if s.ranks > 1 else INFINITY
    return deliveries + l.size


cdef bint is_quiet(WindowsState s) noexcept nogil:
    """True if no neuron can fire without further input."""
    cdef layer_t* l
    cdef double level
    cdef int32_t k
    cdef int64_t n
    for k in range(s.n_layers):
        l = &s.layers[k]
        level = l.lif.threshold * LIF_CANDIDATE
        for n in range(l.first, l.first + l.size):
            if lif_reach(&l.lif, s.u[n], s.i[n]) >= level:
                return False
    return True


cdef void leap(WindowsState s, double t) noexcept nogil:
    """Bring a quiet network to time `t`."""
    cdef layer_t* l
    cdef double a, h, b
    cdef int32_t k
    cdef int64_t n
    for k in range(s.n_layers):
        l = &s.layers[k]
        lif_respond(&l.lif, t - s.now, &a, &h, &b)
        for n in range(l.first, l.first + l.size):
            if s.end[n] >= t:
                s.u[n] = l.lif.reset
            elif s.end[n] >= s.now:
                s.u[n] = lif_after_refractory(&l.lif, s.i[n], s.now, s.end[n], t)
            else:
                s.u[n] = s.u[n] * a + s.i[n] * h
            s.i[n] *= b
    s.now, s.quiet = t, -1


cdef bint lacks_spikes(WindowsState s, int32_t number, double end) noexcept nogil:
    """True if spikes of other ranks that may arrive at a layer before `end` have not been exchanged yet."""
    cdef projection_t* q
    cdef int32_t p
    for p in range(s.n_projections):
        q = &s.projections[p]
        if q.target == number and q.source >= 0 and s.layers[q.source].since + q.delay < end:
            return True
    return False


cdef bint is_exchanged(WindowsState s) noexcept nogil:
    """True if every rank has the spikes of all before `now`."""
    cdef int32_t k
    for k in range(s.n_layers):
        if s.layers[k].since < INFINITY:
            return False
    return True


cdef int32_t decide(WindowsState s, double soonest, double end, double known, double t_stop) noexcept nogil:
    """What to do at the start of a window: `GOING_ON` runs it."""
    cdef int32_t result = GOING_ON
    if s.now > t_stop:
        result = DONE
    elif soonest >= end and s.quiet < 0:
        # As far as this rank knows, nothing arrives: then all ranks know so, and need to know whether all are quiet.
        s.quiet = is_quiet(s)
        if s.ranks > 1:
            return EXCHANGE
    if result == GOING_ON and soonest >= end and s.quiet:
        result = DONE if soonest > t_stop or soonest > known or soonest == INFINITY else LEAP
    elif end > known:
        result = DONE
    return EXCHANGE if result == DONE and not is_exchanged(s) else result


def run_windows(WindowsState state, const double[::1] times, const int32_t[::1] indices, double known,
                double t_stop, int64_t budget):
    """Run until nothing is left to happen by `t_stop`, as far as arrivals before `known` say, or until about `budget`
    deliveries are made.

    The input spikes, sorted by (time, neuron), are the state's: pass the same ones again. Returns `DONE` when done;
    until then, call again. A window is never left half done, but for the signals' and memory errors' sake: after
    those the state is of no more use, and what was fired before `now` is complete. Where windows begin does not
    depend on `known`: none is run before all of its arrivals are known, and none skipped before the next one is.

    Of several ranks each runs its own neurons, and returns `EXCHANGE` where it cannot go on without the spikes of the
    others (windows_exchange.pyx), all at the same places: these depend on what every rank knows. Where there is memory
    that all see, the spikes are exchanged here; `EXCHANGE` then means that the caller has to wait, or to look why not.
    """
    cdef train_t given = train_t(NULL, NULL, times.shape[0])
    cdef double soonest, end
    cdef int32_t result = GOING_ON, swapped
    if times.shape[0]:
        given.times, given.neurons = &times[0], &indices[0]
    with nogil:
        while budget > 0 and result == GOING_ON:
            end = state.now + state.length
            if state.layer == 0:
                soonest = next_arrival(state, &given)
                result = decide(state, soonest, end, known, t_stop)
                if result == LEAP:
                    leap(state, soonest)
                    budget -= state.neurons
                    result = GOING_ON
                    continue
            while state.layer < state.n_layers and result == GOING_ON:
                if lacks_spikes(state, state.layer, end):
                    result = EXCHANGE
                else:
                    budget -= run_layer(state, &given, state.layer, end, t_stop)
                    state.layer += 1
            if state.layer == state.n_layers:
                state.now, state.layer, state.quiet = end, 0, -1
            if result == EXCHANGE and state.shared != NULL:
                swapped = swap_shared(state)
                if swapped == SWAPPED:
                    result = GOING_ON
                elif swapped != WAITING:
                    state.pending = swapped
    return result
