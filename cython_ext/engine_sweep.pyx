"""The sweep engine: one feed-forward layer, block by block, each block through all input spikes.

Same arithmetic as the queue engine (block.pxd, lif.pxd), hence the same bits; the whole input of the layer is known,
so a search for spikes reaches exactly to the next arrival, and a block's state and weights stay in the cache.

The vector loop (`run` in block_template.h) stops where a neuron may have fired or a refractory period has ended;
everything else that happens between two arrivals is done here, neuron by neuron.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memcpy, memset

from eventsnn._ext.arrivals cimport arrivals_after, arrivals_of, arrivals_t
from eventsnn._ext.block cimport TABLE_COLUMNS, ops32, ops64
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.lif cimport (
    LIF_CANDIDATE,
    LIF_TOUCH,
    lif_after_refractory,
    lif_fill,
    lif_next_spike,
    lif_respond,
    lif_t,
)
from eventsnn._ext.spikes cimport spikes_push, spikes_refuse, spikes_t
from eventsnn._ext.store cimport SpikeStore
from eventsnn._ext.turns cimport Turns, turns_take

cdef extern from *:
    """
    #define lowest_bit(x) __builtin_ctz(x)
    /* Membrane potential of a neuron in its refractory period: so far down that the vector loop never sees it reach
     * the threshold. It means nothing: after the period the potential follows from the synaptic current alone. */
    #define BURIED -1e30
    """
    int lowest_bit(uint32_t x) noexcept nogil
    const double BURIED

cdef enum:
    LEVEL = 3  # column of the table


cdef int64_t run_to(real_t* u, real_t* i, const real_t* weights, const int32_t* neurons, const real_t* table,
                    int64_t e, int64_t stop, int64_t n, const real_t* patch, uint32_t* hit) noexcept nogil:
    if real_t is float:
        return ops32.run(u, i, weights, neurons, table, e, stop, n, patch, hit)
    else:
        return ops64.run(u, i, weights, neurons, table, e, stop, n, patch, hit)


cdef inline void step_to(real_t* u, real_t* i, const real_t* weights, int32_t neuron, const real_t* row,
                         const real_t* patch) noexcept nogil:
    """Advance by the propagators of `row` and deliver a spike of `neuron`, without looking for spikes."""
    cdef uint32_t hit
    run_to(u, i, weights, &neuron, row, 0, 1, 1, patch, &hit)


cdef inline uint32_t reaching(const lif_t* lif, const real_t* u, const real_t* i) noexcept nogil:
    """The neurons that may fire at all without further input: u never rises above its positive part plus the
    largest response to the present current."""
    cdef int32_t n
    cdef uint32_t bits = 0
    cdef double reach, level = lif.threshold * LIF_CANDIDATE
    for n in range(WIDTH):
        reach = max(u[n], <real_t> 0.0) + max(i[n], <real_t> 0.0) * lif.psp_max
        bits |= <uint32_t> (reach >= level) << n
    return bits


cdef inline void sort_tail(spikes_t* s, int64_t first) noexcept nogil:
    """Order the spikes from `first` on by (time, neuron); there are rarely more than a few."""
    cdef int64_t k, j
    cdef double t
    cdef int32_t n
    for k in range(first + 1, s.n):
        t = s.times[k]
        n = s.neurons[k]
        j = k
        while j > first and (s.times[j - 1] > t or (s.times[j - 1] == t and s.neurons[j - 1] > n)):
            s.times[j] = s.times[j - 1]
            s.neurons[j] = s.neurons[j - 1]
            j -= 1
        s.times[j] = t
        s.neurons[j] = n


cdef inline void wait(block_t* k, int32_t n, real_t* u) noexcept nogil:
    """Neuron `n` has fired: enter it among those in their refractory period."""
    cdef int32_t j = k.n_waiting
    while j > 0 and k.end[k.waiting[j - 1]] > k.end[n]:
        k.waiting[j] = k.waiting[j - 1]
        j -= 1
    k.waiting[j] = n
    k.n_waiting += 1
    k.refractory |= <uint32_t> 1 << n
    u[n] = <real_t> BURIED


cdef inline int32_t wake(block_t* k) noexcept nogil:
    """The neuron whose refractory period ends first, taken from those in theirs."""
    cdef int32_t n = k.waiting[0], j
    k.n_waiting -= 1
    for j in range(k.n_waiting):
        k.waiting[j] = k.waiting[j + 1]
    k.refractory &= ~(<uint32_t> 1 << n)
    return n


cdef int fire(block_t* k, real_t* u, const real_t* i, uint32_t lanes, double until) except -1 nogil:
    """All spikes of the neurons in `lanes` after the committed state and before the next arrival, `until`."""
    cdef int32_t n
    cdef double t, last
    while lanes:
        n = lowest_bit(lanes)
        lanes &= lanes - 1
        t = lif_next_spike(k.lif, u[n], i[n], k.now, k.end[n], until)
        if not (t < until and t <= k.t_stop):
            continue
        while t < until and t <= k.t_stop:
            spikes_push(k.spikes, t, k.first + n)
            k.end[n] = t + k.lif.refractory
            last = t
            t = lif_next_spike(k.lif, u[n], i[n], k.now, k.end[n], until)
            if t == last:
                spikes_refuse(t, k.first + n)
        if not k.refractory >> n & 1:
            wait(k, n, u)
    return 0


cdef uint32_t touching(const block_t* k, const real_t* u, uint32_t lanes) noexcept nogil:
    """Those of the neurons in `lanes`, none of them in its refractory period, whose potential is the threshold's."""
    cdef uint32_t found = 0, bit
    while lanes:
        bit = lanes & -lanes
        if u[lowest_bit(lanes)] >= k.lif.threshold * (1.0 - LIF_TOUCH):
            found |= bit
        lanes ^= bit
    return found


cdef inline void set_patch(real_t* patch, int32_t n, real_t value) noexcept nogil:
    """Make the vector loop take `value` for the potential of neuron `n` at its first arrival."""
    patch[n] = value
    memset(&patch[WIDTH + n], 0xFF, sizeof(real_t))


cdef inline void clear_patch(real_t* patch, uint32_t lanes) noexcept nogil:
    while lanes:
        patch[lowest_bit(lanes)] = 0
        patch[WIDTH + lowest_bit(lanes)] = 0
        lanes &= lanes - 1


cdef uint32_t wake_until(block_t* k, real_t* u, const real_t* i, double t, double level,
                         real_t* patch) except? 0xFFFFFFFF nogil:
    """The neurons whose refractory periods end before the arrival at `t`, with all spikes that they fire before it.

    Returns those not in a refractory period again; `patch` holds their membrane potentials at `t`.
    """
    cdef uint32_t woken = 0, again
    cdef int32_t n
    cdef double fresh
    while k.n_waiting and k.end[k.waiting[0]] < t:
        n = wake(k)
        fresh = lif_after_refractory(k.lif, i[n], k.now, k.end[n], t)
        set_patch(patch, n, <real_t> fresh)
        woken |= <uint32_t> 1 << n
        if patch[n] >= level:
            fire(k, u, i, <uint32_t> 1 << n, t)
    again = woken & k.refractory
    clear_patch(patch, again)
    return woken ^ again


cdef int sweep_block(block_t* k, real_t* u, real_t* i, const real_t* weights, const arrivals_t* a,
                     const real_t* table) except -1 nogil:
    """One block through all arrivals of one sample."""
    cdef real_t patch[2 * WIDTH]
    cdef int64_t e = 0, reached, release = a.n, tail = k.spikes.n  # spikes from `tail` on may be out of order
    cdef uint32_t hit, lanes, woken = 0
    cdef bint patched = False
    cdef double t
    memset(&patch[0], 0, sizeof(patch))
    while e < a.n:
        reached = run_to(u, i, weights, a.neurons, table, e, release, a.n, &patch[0] if patched else NULL, &hit)
        clear_patch(&patch[0], woken)
        if reached > e:
            k.now = a.times[reached - 1]
            e = reached
        if e == a.n:
            break
        t = a.times[e]
        lanes = hit & ~k.refractory
        woken = 0
        fire(k, u, i, lanes, t)
        if k.n_waiting:
            woken = wake_until(k, u, i, t, table[e * TABLE_COLUMNS + LEVEL], &patch[0])
        sort_tail(k.spikes, tail)
        tail = k.spikes.n
        lanes &= ~k.refractory
        patched = not lanes and not touching(k, &patch[0], woken)
        if not patched:
            # A neuron that reaches the threshold at the arrival itself fires after it.
            step_to(u, i, weights, a.neurons[e], table + e * TABLE_COLUMNS, &patch[0])
            clear_patch(&patch[0], woken)
            k.now = t
            e += 1
            lanes = touching(k, u, lanes | woken)
            woken = 0
            if lanes and e < a.n:
                fire(k, u, i, lanes, a.times[e])
        release = arrivals_after(a, k.end[k.waiting[0]]) if k.n_waiting else a.n
    fire(k, u, i, reaching(k.lif, u, i), INFINITY)
    sort_tail(k.spikes, tail)
    return 0


cdef inline uint32_t look(real_t* u, real_t* i, const real_t* weights, int32_t neuron,
                          const real_t* row) noexcept nogil:
    """The neurons that may fire within the interval of `row`; nothing is changed."""
    cdef uint32_t hit
    run_to(u, i, weights, &neuron, row, 0, 0, 1, NULL, &hit)
    return hit


cdef void fill_row(const lif_t* lif, double d, real_t* row) noexcept nogil:
    """A row of the table for an interval of `d` ms."""
    cdef double a, h, b
    lif_respond(lif, d, &a, &h, &b)
    row[0] = <real_t> a
    row[1] = <real_t> h
    row[2] = <real_t> b
    row[LEVEL] = <real_t> (lif.threshold * LIF_CANDIDATE * (a + h * (lif.tau_s * lif.rate_m)))


cdef uint32_t commit(block_t* k, real_t* u, real_t* i, const real_t* weights, int32_t neuron, const real_t* row,
                     double t) noexcept nogil:
    """The state at `t`, after a spike of `neuron`; returns the neurons whose refractory periods ended before `t`."""
    cdef real_t patch[2 * WIDTH]
    cdef uint32_t woken = 0
    cdef int32_t n
    memset(&patch[0], 0, sizeof(patch))
    while k.n_waiting and k.end[k.waiting[0]] < t:
        n = wake(k)
        set_patch(&patch[0], n, <real_t> lif_after_refractory(k.lif, i[n], k.now, k.end[n], t))
        woken |= <uint32_t> 1 << n
    step_to(u, i, weights, neuron, row, &patch[0])
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
            spikes_push(k.spikes, time[0], k.first + n)
            fired |= <uint32_t> 1 << n
            k.end[n] = time[0] + k.lif.refractory
            if lif_next_spike(k.lif, u[n], i[n], k.now, k.end[n], until) == time[0]:
                spikes_refuse(time[0], k.first + n)
            if k.refractory >> n & 1:
                # It fired in this interval already: its place among those that wait has changed.
                rejoin(k, n)
            else:
                wait(k, n, u)
    return fired


cdef void rejoin(block_t* k, int32_t n) noexcept nogil:
    """Put neuron `n` in its place among those in their refractory period, after its end has moved on."""
    cdef int32_t j = 0
    while k.waiting[j] != n:
        j += 1
    while j + 1 < k.n_waiting and k.end[k.waiting[j + 1]] <= k.end[n]:
        k.waiting[j] = k.waiting[j + 1]
        j += 1
    k.waiting[j] = n


cdef uint32_t inhibit_until(block_t* k, real_t* u, real_t* i, const real_t* lateral, const real_t* weights,
                            int32_t neuron, double until, uint32_t lanes, real_t* row) except? 0xFFFFFFFF nogil:
    """Everything before the next arrival, `until`, a spike of `neuron`: each spike inhibits the others at once.

    `lanes` are neurons that may fire at once; `row` is the table's for the interval, and afterwards for what is left
    of it. Returns neurons that may have come to the threshold at `until`.
    """
    cdef real_t lag_row[TABLE_COLUMNS]
    cdef uint32_t fired, waking, at_once = lanes
    cdef int32_t j
    cdef double t
    while True:
        if until < INFINITY:
            lanes = (look(u, i, weights, neuron, row) | at_once) & ~k.refractory
        else:
            lanes = reaching(k.lif, u, i) & ~k.refractory
        waking = 0
        for j in range(k.n_waiting):
            if k.end[k.waiting[j]] < until:
                waking |= <uint32_t> 1 << k.waiting[j]
        fired = fire_first(k, u, i, lanes | waking, until, &t)
        if not fired:
            return lanes
        fill_row(k.lif, t - k.now, &lag_row[0])
        at_once = lanes
        while fired:
            at_once |= commit(k, u, i, lateral, lowest_bit(fired), &lag_row[0], t)
            fill_row(k.lif, 0.0, &lag_row[0])
            fired &= fired - 1
        at_once = touching(k, u, at_once & ~k.refractory)
        if until < INFINITY:
            fill_row(k.lif, until - t, row)


cdef int sweep_lateral(block_t* k, real_t* u, real_t* i, const real_t* lateral, const real_t* weights,
                       const arrivals_t* a, const real_t* table) except -1 nogil:
    """As `sweep_block`, for neurons that inhibit each other: `lateral` (WIDTH, WIDTH), by source neuron."""
    cdef real_t row[TABLE_COLUMNS]
    cdef int64_t e = 0, reached, release = a.n
    cdef uint32_t hit, lanes = 0
    cdef double t
    while e < a.n:
        if not lanes:
            reached = run_to(u, i, weights, a.neurons, table, e, release, a.n, NULL, &hit)
            if reached > e:
                k.now = a.times[reached - 1]
                e = reached
            if e == a.n:
                break
        t = a.times[e]
        memcpy(&row[0], table + e * TABLE_COLUMNS, sizeof(row))
        lanes = inhibit_until(k, u, i, lateral, weights, a.neurons[e], t, lanes, &row[0])
        lanes |= commit(k, u, i, weights, a.neurons[e], &row[0], t)
        lanes = touching(k, u, lanes & ~k.refractory)
        e += 1
        release = arrivals_after(a, k.end[k.waiting[0]]) if k.n_waiting else a.n
    inhibit_until(k, u, i, lateral, weights, 0, INFINITY, 0, &row[0])
    return 0


def sweep_blocks(const real_t[:, :, ::1] weights, const real_t[:, :, ::1] lateral, const double[::1] constants,
                 const double[::1] times, const int32_t[::1] neurons, const int64_t[::1] sample_ptr,
                 const int32_t[::1] grid, const double[::1] scale, const real_t[:, ::1] table, double t_stop,
                 SpikeStore store, Turns turns, int64_t most=1 << 62):
    """Spikes of a layer for a batch of samples, those of the units that this thread takes, `most` of them at most.

    Parameters
    ----------
    weights : real (blocks, pre, WIDTH)
    lateral : real (1, neurons, WIDTH) or (0, 0, 0)
        Packed weights of the lateral inhibition of a layer of one block; empty if there is none.
    times, neurons, sample_ptr
        Arrivals of all samples, sample after sample.
    grid, scale, table
        From `eventsnn._ext.arrivals.fill_tables`.
    t_stop : float
        No spikes after it, ms.
    store : SpikeStore
        Takes the spikes, and knows which block and which samples make a unit.
    turns : Turns
        Over the units.
    """
    cdef lif_t lif
    cdef block_t k
    cdef real_t u[WIDTH]
    cdef real_t i[WIDTH]
    cdef arrivals_t a
    cdef int64_t unit, s, before
    cdef int32_t block, n, part
    cdef bint inhibits = lateral.shape[0] > 0
    lif_fill(&lif, &constants[0])
    k.lif = &lif
    k.t_stop = t_stop
    with nogil:
        unit = turns_take(&turns.next) if most > 0 else turns.count
        while unit < turns.count:
            block = <int32_t> (unit // store.parts)
            part = <int32_t> (unit % store.parts)
            k.first = block * WIDTH
            k.spikes = &store.units[unit]
            for s in range(store.first_sample(part), store.first_sample(part + 1)):
                a = arrivals_of(times, neurons, sample_ptr, grid, scale, s)
                before = k.spikes.n
                if a.n:
                    memset(&u[0], 0, sizeof(u))
                    memset(&i[0], 0, sizeof(i))
                    k.now = 0.0
                    k.n_waiting = 0
                    k.refractory = 0
                    for n in range(WIDTH):
                        k.end[n] = -INFINITY
                    if inhibits:
                        sweep_lateral(&k, &u[0], &i[0], &lateral[0, 0, 0], &weights[block, 0, 0], &a,
                                      &table[sample_ptr[s], 0])
                    else:
                        sweep_block(&k, &u[0], &i[0], &weights[block, 0, 0], &a, &table[sample_ptr[s], 0])
                store.counts[block * store.samples + s] = k.spikes.n - before
            most -= 1
            unit = turns_take(&turns.next) if most > 0 else turns.count
