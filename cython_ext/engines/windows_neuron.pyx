"""One neuron through a window (engine_windows.pyx), from arrival to arrival."""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.lif cimport (
    LIF_CANDIDATE,
    LIF_LIMIT_SLACK,
    lif_next_crossing,
    lif_tangent,
)
from eventsnn._ext.spikes cimport spikes_refuse
from eventsnn._ext.windows_state cimport (
    WindowsState,
    arrival_t,
    delivery_t,
    enlarge,
    fired_t,
    layer_t,
    table_t,
    work_t,
)

# Spikes of one window between two looks at the signals: a neuron without a refractory period may fire any number.
cdef enum:
    PATIENCE = 65536


cdef inline void order(delivery_t* d, int64_t n, const double* times) noexcept nogil:
    """Sort a neuron's deliveries by time; equal ones keep their order. Few, and nearly sorted already."""
    cdef int64_t k, place
    cdef delivery_t x
    cdef double t
    for k in range(1, n):
        x = d[k]
        t = times[x.arrival]
        place = k
        while place > 0 and times[d[place - 1].arrival] > t:
            d[place] = d[place - 1]
            place -= 1
        d[place] = x


cdef int note(work_t* w, double t, int32_t neuron) except -1 nogil:
    """Add a spike to those of the window."""
    if w.n_fired == w.fired_room:
        w.fired = <fired_t*> enlarge(w.fired, (2 * w.fired_room + 256) * sizeof(fired_t))
        w.fired_room = 2 * w.fired_room + 256
    w.fired[w.n_fired].time = t
    w.fired[w.n_fired].neuron = neuron
    w.n_fired += 1
    if w.n_fired % PATIENCE == 0:
        with gil:
            PyErr_CheckSignals()
    return 0


cdef inline bint may_fire(const layer_t* l, double u, double i, const arrival_t* here, double gap) noexcept nogil:
    """Whether a neuron may reach the threshold within `gap` ms of `here`; u and i are seen from the window's end.

    The tangent bounds the potential from above. Times a b > 0, which makes it a test without divisions.
    """
    cdef double level = l.lif.threshold * LIF_CANDIDATE * (here.a * here.b), now = u * here.b - i * here.h
    cdef double by_u, by_i
    if now >= level:
        return True
    lif_tangent(&l.lif, gap, &by_u, &by_i)
    return i > 0.0 and now * by_u + (i * here.a) * by_i >= level


cdef int follow(WindowsState s, layer_t* l, int32_t n, const arrival_t* start, double end, delivery_t* d, int64_t count,
                double t_stop) except -1 nogil:
    """One neuron through its `count` deliveries of a window, in order of time, or up to `t_stop`; its spikes are noted.

    u and i are what its potential and current amount to at the end of the window: arrivals add to them, and nothing
    else changes them but a reset.
    """
    cdef table_t table = s.work.table
    cdef arrival_t here = start[0]
    cdef double u = s.u[l.first + n] * here.a + s.i[l.first + n] * here.h, i = s.i[l.first + n] * here.b
    cdef double refractory = s.end[l.first + n], current, later, t, last = -INFINITY
    cdef bint held = refractory >= here.t
    cdef int64_t k = 0
    cdef int32_t row
    order(d, count, table.t)
    while True:
        later = table.t[d[k].arrival] if k < count else end
        while True:
            if held:
                if refractory >= later:
                    break
                s.ops.tabulate(&refractory, 1, 0.0, end, &l.lif, table_t(&here.h, &here.b, &here.a, &here.t))
                u = l.lif.reset * here.a + (i / here.b) * here.h
                held = False
            if not may_fire(l, u, i, &here, later - here.t):
                break
            current = i / here.b
            t = here.t + lif_next_crossing(&l.lif, (u - current * here.h) / here.a, current,
                                           later - here.t + LIF_LIMIT_SLACK)
            if not t < later:
                break
            if t > t_stop:
                return 0    # of what comes then nothing is wanted, the state neither
            if t == last:
                spikes_refuse(t, n * s.ranks + s.rank)
            note(&s.work, t, n)
            last, refractory, held = t, t + l.lif.refractory, True
        if k == count:
            break
        row = d[k].arrival
        here = arrival_t(table.h[row], table.b[row], table.a[row], later)
        while k < count and table.t[d[k].arrival] == later:
            u += d[k].weight * here.h
            i += d[k].weight * here.b
            k += 1
    s.u[l.first + n] = l.lif.reset if held else u
    s.i[l.first + n] = i
    s.end[l.first + n] = refractory
    return 0
