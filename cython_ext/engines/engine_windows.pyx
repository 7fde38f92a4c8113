"""The windowed schedule of the event-driven engine: sparse networks, a window of time at once.

Twin: eventsnn/reference/windows.py. No projection that leads back has a delay shorter than a window, so all
arrivals of a window are known when their layer's turn comes, and its neurons do not depend on each other within it.
Nothing is rounded to a grid. docs/exact.md says why this is exact.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport qsort

from eventsnn._ext.lif cimport (
    LIF_CANDIDATE,
    LIF_LIMIT_SLACK,
    lif_after_refractory,
    lif_next_crossing,
    lif_reach,
    lif_respond,
    lif_tangent,
)
from eventsnn._ext.spikes cimport spikes_push, spikes_refuse, spikes_t
from eventsnn._ext.windows_state cimport (
    WindowsState,
    arrival_t,
    delivery_t,
    enlarge,
    enlarge_table,
    fired_t,
    layer_t,
    projection_t,
    table_from,
    table_t,
    work_t,
)

# Spikes of one window between two looks at the signals: a neuron without a refractory period may fire any number.
cdef enum:
    PATIENCE = 65536

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define WINDOWS_PREFETCH(address) __builtin_prefetch(address)
    #else
    #define WINDOWS_PREFETCH(address) ((void)(address))
    #endif
    """
    void WINDOWS_PREFETCH(const void* address) noexcept nogil


cdef int by_time(const void* x, const void* y) noexcept nogil:
    cdef const fired_t* a = <const fired_t*> x
    cdef const fired_t* b = <const fired_t*> y
    if a.time != b.time:
        return -1 if a.time < b.time else 1
    return -1 if a.neuron < b.neuron else 1 if a.neuron > b.neuron else 0


cdef struct train_t:
    # Spikes of a source.
    const double* times
    const int32_t* neurons
    int64_t n


cdef inline train_t train_of(WindowsState s, const train_t* given, int32_t source) noexcept nogil:
    if source < 0:
        return given[0]
    cdef spikes_t* spikes = &s.layers[source].spikes
    return train_t(spikes.times, spikes.neurons, spikes.n)


cdef inline int64_t first_branch(const projection_t* q, int32_t neuron, double t, double now) noexcept nogil:
    """The first branch of a neuron through which its spike at `t` arrives at `now` or later."""
    cdef int64_t low = q.branch_ptr[neuron], high = q.branch_ptr[neuron + 1], middle
    while low < high:
        middle = low + (high - low) // 2
        if t + q.branch_delays[middle] < now:
            low = middle + 1
        else:
            high = middle
    return low


cdef int64_t count(const work_t* w, const projection_t* q, const train_t* train) noexcept nogil:
    """Deliveries of a projection's arrivals in the window."""
    cdef const int32_t* senders = senders_of(w, q, train)
    cdef int64_t k, deliveries = 0
    if q.single:
        return q.arrivals
    for k in range(q.arrivals):
        deliveries += q.ptr[senders[k] + 1] - q.ptr[senders[k]]
    return deliveries


cdef int64_t list_branches(work_t* w, const projection_t* q, const train_t* train, double now,
                           double end) except -1 nogil:
    """List what arrives in [now, end) through branches, spike by spike, from `q.row` on; returns how much."""
    cdef int64_t k = q.cursor, row = q.row, branch, last
    cdef double at
    while k < train.n and train.times[k] + q.delay < end:
        branch, last = first_branch(q, train.neurons[k], train.times[k], now), q.branch_ptr[train.neurons[k] + 1]
        if row + last - branch > w.rows:
            enlarge_table(w, 2 * (row + last - branch))
        while branch < last:
            at = train.times[k] + q.branch_delays[branch]
            if not at < end:
                break
            w.sent[row], w.sender[row] = at, <int32_t> branch
            row += 1
            branch += 1
        k += 1
    return row - q.row


cdef inline const int32_t* senders_of(const work_t* w, const projection_t* q, const train_t* train) noexcept nogil:
    """Senders of a projection's arrivals in the window."""
    return train.neurons + q.cursor if q.branch_ptr == NULL else w.sender + q.row


cdef int64_t tabulate(WindowsState s, const train_t* given, int32_t number, double end) except -1 nogil:
    """Fill the table with a layer's arrivals before `end`; returns the number of deliveries."""
    cdef layer_t* l = &s.layers[number]
    cdef work_t* w = &s.work
    cdef projection_t* q
    cdef train_t train
    cdef int64_t row = 0, low, high, step, middle, deliveries = 0
    cdef int32_t p
    for p in range(s.n_projections):
        q = &s.projections[p]
        if q.target != number:
            continue
        train = train_of(s, given, q.source)
        q.row = row
        if q.branch_ptr != NULL:
            q.arrivals = list_branches(w, q, &train, s.now, end)
            row += q.arrivals
            s.ops.tabulate(w.sent + q.row, q.arrivals, 0.0, end, &l.lif, table_from(w, q.row))
            deliveries += count(w, q, &train)
            continue
        # The first spike that arrives at `end` or later lies in (low, high]: steps that double, then halves.
        low, step = q.cursor - 1, 1
        high = min(low + step, train.n)
        while high < train.n and train.times[high] + q.delay < end:
            low, step = high, 2 * step
            high = min(low + step, train.n)
        while high - low > 1:
            middle = low + (high - low) // 2
            if train.times[middle] + q.delay < end:
                low = middle
            else:
                high = middle
        q.arrivals = high - q.cursor
        row += q.arrivals
        if row > w.rows:
            enlarge_table(w, 2 * row)
        s.ops.tabulate(train.times + q.cursor, q.arrivals, q.delay, end, &l.lif, table_from(w, q.row))
        deliveries += count(w, q, &train)
    return deliveries


cdef inline void prefetch(const projection_t* q, int64_t synapse) noexcept nogil:
    """Have the synapses of a source neuron fetched from memory that is far away; the rest follows by itself."""
    cdef int k
    for k in range(4):
        WINDOWS_PREFETCH(q.targets + synapse + 16 * k)
        WINDOWS_PREFETCH(q.weights + synapse + 8 * k)


cdef void scatter(WindowsState s, const train_t* given, int32_t number) noexcept nogil:
    """Add what arrives at a layer to what its neurons gather."""
    cdef work_t* w = &s.work
    cdef projection_t* q
    cdef train_t train
    cdef const int32_t* senders
    cdef int32_t p, pre
    cdef int64_t k, first
    for p in range(s.n_projections):
        q = &s.projections[p]
        if q.target != number or not q.arrivals:
            continue
        train = train_of(s, given, q.source)
        senders = senders_of(w, q, &train)
        if q.single:
            s.ops.scatter_one(q.targets, q.weights, senders, q.arrivals, w.table.h + q.row, w.table.b + q.row,
                              w.gathered)
            continue
        for k in range(q.arrivals):
            pre = senders[k]
            first = q.ptr[pre]
            if k + 1 < q.arrivals:
                prefetch(q, q.ptr[senders[k + 1]])
            s.ops.scatter(q.targets + first, q.weights + first, q.split[pre] - first, q.ptr[pre + 1] - first,
                          w.table.h[q.row + k], w.table.b[q.row + k], w.gathered)


cdef int sift(WindowsState s, const train_t* given, int32_t number, int64_t n_hot, int64_t deliveries) except -1 nogil:
    """Sort the deliveries to hot neurons by neuron; `bucket` becomes the end of each one's."""
    cdef work_t* w = &s.work
    cdef projection_t* q
    cdef train_t train
    cdef const int32_t* senders
    cdef int32_t p, pre
    cdef int64_t k, n = 0, first, size
    if deliveries + 1 > w.room:
        w.sifted = <delivery_t*> enlarge(w.sifted, 2 * (deliveries + 1) * sizeof(delivery_t))
        w.sorted = <delivery_t*> enlarge(w.sorted, 2 * (deliveries + 1) * sizeof(delivery_t))
        w.room = 2 * (deliveries + 1)
    for p in range(s.n_projections):
        q = &s.projections[p]
        if q.target != number or not q.arrivals:
            continue
        train = train_of(s, given, q.source)
        senders = senders_of(w, q, &train)
        if q.single:
            n += s.ops.sift_one(q.targets, q.weights, senders, q.arrivals, <int32_t> q.row, w.hot, w.sifted + n)
            continue
        for k in range(q.arrivals):
            pre = senders[k]
            first = q.ptr[pre]
            n += s.ops.sift(q.targets + first, q.weights + first, q.ptr[pre + 1] - first, <int32_t> (q.row + k), w.hot,
                            w.sifted + n)
    s.sifted += n
    for k in range(n_hot):
        w.bucket[w.list[k]] = 0
    for k in range(n):
        w.bucket[w.sifted[k].target] += 1
    first = 0
    for k in range(n_hot):
        size = w.bucket[w.list[k]]
        w.bucket[w.list[k]] = first
        first += size
    for k in range(n):
        w.sorted[w.bucket[w.sifted[k].target]] = w.sifted[k]
        w.bucket[w.sifted[k].target] += 1
    return 0


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
                spikes_refuse(t, n)
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


cdef int64_t run_layer(WindowsState s, const train_t* given, int32_t number, double end,
                       double t_stop) except -1 nogil:
    """One layer through the window from `now` to `end`; returns what it cost, in deliveries."""
    cdef layer_t* l = &s.layers[number]
    cdef work_t* w = &s.work
    cdef double* u = &s.u[0] + l.first
    cdef double* i = &s.i[0] + l.first
    cdef arrival_t start
    cdef int64_t deliveries = tabulate(s, given, number, end), n_hot, k, first = 0
    cdef int32_t n, p
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
            spikes_push(&l.spikes, w.fired[k].time, w.fired[k].neuron)
    for p in range(s.n_projections):
        if s.projections[p].target == number:
            pass_by(&s.projections[p], train_of(s, given, s.projections[p].source), end)
    return deliveries + l.size


cdef void pass_by(projection_t* q, train_t train, double end) noexcept nogil:
    """Move a projection's cursor on to the first spike of which something arrives at `end` or later."""
    if q.branch_ptr == NULL:
        q.cursor += q.arrivals
        return
    while q.cursor < train.n and train.times[q.cursor] + q.longest < end:
        q.cursor += 1


cdef double next_arrival(WindowsState s, const train_t* given) noexcept nogil:
    """Time of the next known arrival anywhere, INFINITY if there is none."""
    cdef double soonest = INFINITY
    cdef projection_t* q
    cdef train_t train
    cdef int32_t p
    cdef int64_t k, branch
    for p in range(s.n_projections):
        q = &s.projections[p]
        train, k = train_of(s, given, q.source), q.cursor
        if q.branch_ptr == NULL:
            if k < train.n:
                soonest = min(soonest, train.times[k] + q.delay)
            continue
        while k < train.n and train.times[k] + q.delay < soonest:
            branch = first_branch(q, train.neurons[k], train.times[k], s.now)
            if branch < q.branch_ptr[train.neurons[k] + 1]:
                soonest = min(soonest, train.times[k] + q.branch_delays[branch])
            k += 1
    return soonest


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
    s.now = t


def run_windows(WindowsState state, const double[::1] times, const int32_t[::1] indices, double known,
                double t_stop, int64_t budget):
    """Run until nothing is left to happen by `t_stop`, as far as arrivals before `known` say, or until about `budget`
    deliveries are made.

    The input spikes, sorted by (time, neuron), are the state's: pass the same ones again. Returns True when done;
    until then, call again. A window is never left half done, but for the signals' and memory errors' sake: after
    those the state is of no more use, and what was fired before `now` is complete. Where windows begin does not
    depend on `known`: none is run before all of its arrivals are known, and none skipped before the next one is.
    """
    cdef train_t given = train_t(NULL, NULL, times.shape[0])
    cdef double soonest, end
    cdef int32_t k
    cdef bint done = False
    if times.shape[0]:
        given.times, given.neurons = &times[0], &indices[0]
    with nogil:
        while budget > 0 and not done:
            end = state.now + state.length
            soonest = next_arrival(state, &given)
            if state.now > t_stop:
                done = True
            elif soonest >= end and is_quiet(state):
                if soonest > t_stop or soonest > known or soonest == INFINITY:
                    done = True
                else:
                    leap(state, soonest)
                    budget -= state.u.shape[0]
            elif end > known:
                done = True
            else:
                for k in range(state.n_layers):
                    budget -= run_layer(state, &given, k, end, t_stop)
                state.now = end
    return done
