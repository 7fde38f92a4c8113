"""What arrives at a layer in a window (engine_windows.pyx): listed, gathered by its neurons, sorted for some."""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.spikes cimport spikes_t
from eventsnn._ext.windows_arrivals cimport train_t
from eventsnn._ext.windows_state cimport (
    WindowsState,
    delivery_t,
    enlarge,
    enlarge_table,
    layer_t,
    projection_t,
    table_from,
    work_t,
)

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define WINDOWS_PREFETCH(address) __builtin_prefetch(address)
    #else
    #define WINDOWS_PREFETCH(address) ((void)(address))
    #endif
    """
    void WINDOWS_PREFETCH(const void* address) noexcept nogil


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


cdef int64_t list_reached(work_t* w, const projection_t* q, const train_t* train) except -1 nogil:
    """List the spikes that reach this rank's neurons, of those that arrive in the window, from `q.row` on."""
    cdef int64_t k, row = q.row
    if row + q.passed - q.cursor > w.rows:
        enlarge_table(w, 2 * (row + q.passed - q.cursor))
    # Without a branch: a spike that reaches none is overwritten by the next.
    for k in range(q.cursor, q.passed):
        w.sent[row], w.sender[row] = train.times[k], train.neurons[k]
        row += q.reached[train.neurons[k]]
    return row - q.row


cdef inline const int32_t* senders_of(const work_t* w, const projection_t* q, const train_t* train) noexcept nogil:
    """Senders of a projection's arrivals in the window."""
    return train.neurons + q.cursor if q.branch_ptr == NULL and q.reached == NULL else w.sender + q.row


cdef inline int64_t first_later(const projection_t* q, const train_t* train, double end) noexcept nogil:
    """The first spike from the cursor on that arrives at `end` or later."""
    # It lies in (low, high]: steps that double, then halves.
    cdef int64_t low = q.cursor - 1, step = 1, high = min(q.cursor, train.n), middle
    while high < train.n and train.times[high] + q.delay < end:
        low, step = high, 2 * step
        high = min(low + step, train.n)
    while high - low > 1:
        middle = low + (high - low) // 2
        if train.times[middle] + q.delay < end:
            low = middle
        else:
            high = middle
    return high


cdef int64_t tabulate(WindowsState s, const train_t* given, int32_t number, double end) except -1 nogil:
    """Fill the table with a layer's arrivals before `end`; returns the number of deliveries."""
    cdef layer_t* l = &s.layers[number]
    cdef work_t* w = &s.work
    cdef projection_t* q
    cdef train_t train
    cdef int64_t row = 0, deliveries = 0
    cdef const double* times
    cdef int32_t p
    for p in range(s.n_projections):
        q = &s.projections[p]
        if q.target != number:
            continue
        train = train_of(s, given, q.source)
        q.row = row
        if q.branch_ptr != NULL:
            q.arrivals = list_branches(w, q, &train, s.now, end)
            s.ops.tabulate(w.sent + row, q.arrivals, 0.0, end, &l.lif, table_from(w, row))
        else:
            q.passed = first_later(q, &train, end)
            q.arrivals = q.passed - q.cursor if q.reached == NULL else list_reached(w, q, &train)
            if row + q.arrivals > w.rows:
                enlarge_table(w, 2 * (row + q.arrivals))
            times = train.times + q.cursor if q.reached == NULL else w.sent + row
            s.ops.tabulate(times, q.arrivals, q.delay, end, &l.lif, table_from(w, row))
        row += q.arrivals
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


cdef void pass_by(WindowsState s, const train_t* given, int32_t number, double end) noexcept nogil:
    """Move the cursors of a layer's projections on to the first spike of which something arrives at `end` or later."""
    cdef projection_t* q
    cdef train_t train
    cdef int32_t p
    for p in range(s.n_projections):
        q = &s.projections[p]
        if q.target != number:
            continue
        if q.branch_ptr == NULL:
            q.cursor = q.passed
            continue
        train = train_of(s, given, q.source)
        while q.cursor < train.n and train.times[q.cursor] + q.longest < end:
            q.cursor += 1


cdef double next_arrival(WindowsState s, const train_t* given) noexcept nogil:
    """Time before which nothing that is known arrives anywhere, not before `now`; INFINITY if nothing is under way.

    Through branches of several delays, a spike may arrive somewhere from the shortest delay to the longest. So this
    asks for no neuron's own branches, which other ranks may have.
    """
    cdef double soonest = INFINITY
    cdef projection_t* q
    cdef train_t train
    cdef int32_t p
    for p in range(s.n_projections):
        q = &s.projections[p]
        train = train_of(s, given, q.source)
        if q.cursor < train.n:
            soonest = min(soonest, max(s.now, train.times[q.cursor] + q.delay))
    return soonest
