"""The sweep of a block whose neurons inhibit each other, driven from one spike to the next; see engine_sweep.pyx."""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memcpy

from eventsnn._ext.block cimport TABLE_COLUMNS, ops32, ops64
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.lif cimport (
    LIF_CANDIDATE,
    LIF_TOUCH,
    lif_after_refractory,
    lif_next_spike,
    lif_reach,
    lif_t,
)
from eventsnn._ext.spikes cimport spikes_no_memory, spikes_refuse
from eventsnn._ext.sweep cimport (
    BURIED,
    block_fire,
    block_rejoin,
    block_release,
    block_t,
    block_wait,
    block_waiting,
    block_wake,
    block_wakes,
    event_row,
    event_t,
    lowest_bit,
)


cdef enum:
    LEVEL = 3  # column of the table


cdef int64_t run_to(real_t* u, real_t* i, const real_t* weights, const event_t* events, const real_t* table,
                    int64_t e, int64_t stop) noexcept nogil:
    if real_t is float:
        return ops32.run(u, i, weights, events, table, e, stop)
    else:
        return ops64.run(u, i, weights, events, table, e, stop)


cdef inline uint32_t look(const real_t* u, const real_t* i, const real_t* row) noexcept nogil:
    """The neurons that may fire within the interval of `row`."""
    cdef uint32_t hit = 0
    cdef int32_t n
    for n in range(WIDTH):
        hit |= <uint32_t> (u[n] * row[0] + i[n] * row[1] >= row[LEVEL]) << n
    return hit


cdef inline uint32_t reaching(const lif_t* lif, const real_t* u, const real_t* i) noexcept nogil:
    """The neurons that may fire at all without further input."""
    cdef int32_t n
    cdef uint32_t bits = 0
    for n in range(WIDTH):
        bits |= <uint32_t> (lif_reach(lif, u[n], i[n]) >= lif.threshold * LIF_CANDIDATE) << n
    return bits


cdef uint32_t touching(const block_t* k, const real_t* u, uint32_t lanes) noexcept nogil:
    """Those of the neurons in `lanes`, none of them in its refractory period, whose potential is the threshold's."""
    cdef uint32_t found = 0, bit
    while lanes:
        bit = lanes & -lanes
        if u[lowest_bit(lanes)] >= k.lif.threshold * (1.0 - LIF_TOUCH):
            found |= bit
        lanes ^= bit
    return found


cdef void fill_row(const lif_t* lif, double d, real_t* row) noexcept nogil:
    """A row of the table for an interval of `d` ms."""
    if real_t is float:
        ops32.table(row, &d, 1, lif)
    else:
        ops64.table(row, &d, 1, lif)


cdef uint32_t commit(block_t* k, real_t* u, real_t* i, const real_t* weights, uint32_t source, const real_t* row,
                     double t) noexcept nogil:
    """The state at `t`, after a spike with its weights at `source`; returns those out of their refractory period."""
    cdef real_t fresh[WIDTH]
    cdef real_t step[TABLE_COLUMNS]
    cdef uint32_t woken = 0, left
    cdef int32_t n
    while block_wakes(k, t):
        n = block_wake(k)
        fresh[n] = <real_t> lif_after_refractory(k.lif, i[n], k.now, k.end[n], t)
        woken |= <uint32_t> 1 << n
    # A level nobody reaches: no neuron is to hold the step up.
    memcpy(&step[0], row, sizeof(step))
    step[LEVEL] = <real_t> INFINITY
    k.own[0] = event_t(t, source, 0)
    run_to(u, i, weights, k.own, &step[0], 0, 1)
    left = woken
    while left:
        n = lowest_bit(left)
        left &= left - 1
        u[n] = fresh[n]
    k.now = t
    return woken


cdef uint32_t fire_first(block_t* k, real_t* u, const real_t* i, uint32_t lanes, double until,
                         double* time) except? 0xFFFFFFFF nogil:
    """The spikes of the neurons in `lanes` that come first, if before `until`: who fired, 0 for none, and when."""
    cdef double next_spike[WIDTH]
    cdef uint32_t left = lanes, fired = 0
    cdef int32_t n
    time[0] = INFINITY
    while left:
        n = lowest_bit(left)
        left &= left - 1
        next_spike[n] = lif_next_spike(k.lif, u[n], i[n], k.now, k.end[n], until)
        time[0] = min(time[0], next_spike[n])
    if not (time[0] < until and time[0] <= k.t_stop):
        return 0
    while lanes:
        n = lowest_bit(lanes)
        lanes &= lanes - 1
        if next_spike[n] == time[0]:
            if block_fire(k, n, time[0]) < 0:
                spikes_no_memory(k.spikes.n)
            fired |= <uint32_t> 1 << n
            if lif_next_spike(k.lif, u[n], i[n], k.now, k.end[n], until) == time[0]:
                spikes_refuse(time[0], k.first + n)
            if k.refractory >> n & 1:
                # It fired in this interval already: its place among those that wait has changed.
                block_rejoin(k, n)
            else:
                block_wait(k, n)
                u[n] = <real_t> BURIED
    return fired


cdef uint32_t inhibit_until(block_t* k, real_t* u, real_t* i, const real_t* lateral, double until,
                            uint32_t lanes, real_t* row) except? 0xFFFFFFFF nogil:
    """Everything before the next arrival, `until`: each spike inhibits the others at once.

    `lanes` are neurons that may fire at once; `row` is the table's for the interval, and afterwards for what is left
    of it. Returns neurons that may have come to the threshold at `until`.
    """
    cdef real_t lag_row[TABLE_COLUMNS]
    cdef uint32_t fired, waking, at_once = lanes
    cdef int32_t j
    cdef double t
    while True:
        if until < INFINITY:
            lanes = (look(u, i, row) | at_once) & ~k.refractory
        else:
            lanes = reaching(k.lif, u, i) & ~k.refractory
        waking = 0
        for j in range(k.n_waiting):
            if k.end[block_waiting(k, j)] < until:
                waking |= <uint32_t> 1 << block_waiting(k, j)
        fired = fire_first(k, u, i, lanes | waking, until, &t)
        if not fired:
            return lanes
        fill_row(k.lif, t - k.now, &lag_row[0])
        at_once = lanes
        while fired:
            at_once |= commit(k, u, i, lateral, <uint32_t> lowest_bit(fired) * WIDTH, &lag_row[0], t)
            fill_row(k.lif, 0.0, &lag_row[0])
            fired &= fired - 1
        at_once = touching(k, u, at_once & ~k.refractory)
        if until < INFINITY:
            fill_row(k.lif, until - t, row)


cdef int sweep_lateral(block_t* k, real_t* u, real_t* i, const real_t* lateral, const real_t* weights,
                       const real_t* table) except -1 nogil:
    """One block through all arrivals of its sample: `lateral` (WIDTH, WIDTH) has the weights by source neuron."""
    cdef real_t row[TABLE_COLUMNS]
    cdef int64_t reached
    cdef uint32_t lanes = 0
    cdef double t
    while k.next < k.n:
        if not lanes:
            reached = run_to(u, i, weights, k.events, table, k.next, block_release(k))
            if reached > k.next:
                k.now = k.events[reached - 1].time
                k.next = reached
            if reached == k.n:
                break
        t = k.events[k.next].time
        memcpy(&row[0], table + k.next * TABLE_COLUMNS, sizeof(row))
        lanes = inhibit_until(k, u, i, lateral, t, lanes, &row[0])
        lanes |= commit(k, u, i, weights, event_row(&k.events[k.next]), &row[0], t)
        lanes = touching(k, u, lanes & ~k.refractory)
        k.next += 1
    if k.until < INFINITY:
        fill_row(k.lif, k.until - k.now, &row[0])
    inhibit_until(k, u, i, lateral, k.until, lanes, &row[0])
    return 0
