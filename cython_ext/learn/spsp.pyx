"""Spike-train level post-synaptic potentials (S-PSPs) by a sweep in reverse time.

Twins in eventsnn/reference: spsp.py (both forms, numpy) and the brute force over spike pairs of the learning rule.
With the evaluation points p of a neuron and their weights c_p (+1 at each spike, -exp(-(t - r)/tau_m) at the end r
of the refractory period before a spike at t, the first spike apart),

    e_{i|j} = sum_g G_i(t_j^g),    G_i(t) = sum_{p >= t} c_p eps(p - t),

and (P, G) with P_i(t) = sum_{p >= t} c_p e^{-(p - t)/tau_m} obeys the forward propagators in reverse:
G(t - d) = G(t) b + P(t) h, P(t - d) = P(t) a.
"""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc

from eventsnn._ext.arrivals cimport arrivals_about, arrivals_between, arrivals_of, arrivals_t
from eventsnn._ext.block cimport TABLE_COLUMNS, ops32, ops64, rows_t
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.lif cimport decay_e
from eventsnn._ext.optimiser cimport Update
from eventsnn._ext.work_counter cimport WorkCounter, work_take


cdef int points_create(points_t* p, int64_t capacity, int64_t times) except -1 nogil:
    """Room for the points of `capacity` spikes, and for as many `times` of arrivals as any `rows_t` holds."""
    cdef int64_t n = 2 * capacity + 1
    p.capacity = capacity
    p.own = <double*> malloc(n * sizeof(double))
    p.tail = <double*> malloc(n * sizeof(double))
    p.time = <double*> malloc(n * sizeof(double))
    p.lag = <double*> malloc(n * sizeof(double))
    p.weight = <double*> malloc(n * sizeof(double))
    p.lane = <int32_t*> malloc(n * sizeof(int32_t))
    p.at = <int32_t*> malloc(n * sizeof(int32_t))
    p.until = <int32_t*> malloc(n * sizeof(int32_t))
    p.rows = malloc(n * TABLE_COLUMNS * sizeof(double))
    p.dp = malloc(n * sizeof(double))
    p.dg = malloc(n * sizeof(double))
    p.g = malloc(max(times, 1) * WIDTH * sizeof(double))
    if not (p.own and p.tail and p.time and p.lag and p.weight and p.lane and p.at and p.until and p.rows and p.dp
            and p.dg and p.g):
        points_free(p)
        with gil:
            raise MemoryError(f"no memory for the evaluation points of {capacity} spikes")
    return 0


cdef void points_free(points_t* p) noexcept nogil:
    free(p.own)
    free(p.tail)
    free(p.time)
    free(p.lag)
    free(p.weight)
    free(p.lane)
    free(p.at)
    free(p.until)
    free(p.rows)
    free(p.dp)
    free(p.dg)
    free(p.g)


cdef void weigh_ends(const double* constants, const double* times, const int32_t* neurons, int64_t n_spikes,
                     int32_t first, const real_t* coefficient, points_t* p) noexcept nogil:
    """p.own[f] and p.tail[f]: weights of spike f and of the end of the refractory period after it; 0: no such point.

    A spike within a refractory period, lent to a silent neuron, had no time to integrate: it has no S-PSP.
    """
    cdef double end[WIDTH]
    cdef int64_t last[WIDTH]
    cdef int64_t f
    cdef int32_t lane
    for lane in range(WIDTH):
        end[lane] = -1.0
    for f in range(n_spikes):
        lane = neurons[f] - first
        p.tail[f] = 0.0
        p.own[f] = 0.0
        if coefficient[lane] != 0 and end[lane] <= times[f]:
            p.own[f] = coefficient[lane]
            if end[lane] >= 0.0:
                p.tail[last[lane]] = -coefficient[lane] * decay_e((times[f] - end[lane]) * constants[8])
        end[lane] = times[f] + constants[3]
        last[lane] = f


cdef int64_t merge_points(double refractory, const double* times, const int32_t* neurons, int64_t n_spikes,
                          int32_t first, points_t* p) noexcept nogil:
    """Both kinds of points in one list, latest first."""
    cdef int64_t f = n_spikes - 1, q = n_spikes - 1, n = 0
    while f >= 0 or q >= 0:
        if q < 0 or (f >= 0 and times[f] >= times[q] + refractory):
            p.time[n] = times[f]
            p.weight[n] = p.own[f]
            p.lane[n] = neurons[f] - first
            f -= 1
        else:
            p.time[n] = times[q] + refractory
            p.weight[n] = p.tail[q]
            p.lane[n] = neurons[q] - first
            q -= 1
        n += p.weight[n] != 0.0
    return n


cdef int64_t place_points(const arrivals_t* a, int64_t n, points_t* p) noexcept nogil:
    """The arrivals at or before the points; those before all arrivals are left out. Returns how many are left."""
    cdef int64_t k, at
    # In two loops, so that what either waits for, all of it in no order, comes at once.
    for k in range(n):
        arrivals_about(a, p.time[k], &p.at[k], &p.until[k])
    for k in range(n):
        at = arrivals_between(a, p.time[k], p.at[k], p.until[k]) - 1
        if at < 0:
            n = k
            break
        p.lag[k] = p.time[k] - a.times[at]
        p.at[k] = <int32_t> at
    p.at[n] = -1
    return n


cdef int64_t spsp_add(const double* constants, const arrivals_t* a, const real_t* table, const double* times,
                      const int32_t* neurons, int64_t n_spikes, int32_t first, const real_t* coefficient,
                      points_t* p, const rows_t* by_row, real_t* out) noexcept nogil:
    """Add ``coefficient * e`` of one block in one sample to `out` (pre, WIDTH); returns the number of points."""
    cdef int64_t n, k
    cdef real_t* rows = <real_t*> p.rows
    cdef real_t* dp = <real_t*> p.dp
    cdef real_t* dg = <real_t*> p.dg
    weigh_ends(constants, times, neurons, n_spikes, first, coefficient, p)
    n = place_points(a, merge_points(constants[3], times, neurons, n_spikes, first, p), p)
    if n == 0:
        return 0
    if real_t is float:
        ops32.table(rows, p.lag, n, constants, 0.0)
    else:
        ops64.table(rows, p.lag, n, constants, 0.0)
    for k in range(n):
        dp[k] = <real_t> p.weight[k] * rows[k * TABLE_COLUMNS]
        dg[k] = <real_t> p.weight[k] * rows[k * TABLE_COLUMNS + 1]
    if by_row != NULL and by_row.n_times:
        if real_t is float:
            ops32.reverse_rows(out, by_row, table, p.at, p.lane, dp, dg, <real_t*> p.g)
        else:
            ops64.reverse_rows(out, by_row, table, p.at, p.lane, dp, dg, <real_t*> p.g)
    elif real_t is float:
        ops32.reverse(out, a.neurons, table, p.at, p.lane, dp, dg)
    else:
        ops64.reverse(out, a.neurons, table, p.at, p.lane, dp, dg)
    return n


def reverse_blocks(real_t[:, :, ::1] out, const double[::1] constants, const double[::1] times,
                   const int32_t[::1] neurons, const int64_t[::1] sample_ptr, const int32_t[::1] grid,
                   const double[::1] scale, const real_t[:, ::1] table, const double[::1] post_times,
                   const int32_t[::1] post_neurons, const int64_t[::1] post_ptr, const real_t[:, ::1] coefficient,
                   const real_t[:, ::1] silent, const int32_t[::1] rows, const int64_t[::1] n_rows,
                   const int32_t[::1] ends, const int32_t[::1] when, const int32_t[::1] last,
                   const int64_t[::1] n_times, Update update, WorkCounter turns):
    """Add ``coefficient * e`` of all samples, in their order, to the blocks that this thread takes, and update them.

    Parameters
    ----------
    out : real (blocks, pre, WIDTH)
        Gradient, or the S-PSPs themselves with coefficients of 1; added to.
    times, neurons, sample_ptr, grid, scale, table
        Arrivals as for `eventsnn._ext.engine_sweep.sweep_blocks`.
    post_times, post_neurons, post_ptr
        The layer's spikes in the order block, sample, time, as `SpikeStore.collect` returns them.
    coefficient : real (samples, blocks * WIDTH)
    silent : real (samples, blocks * WIDTH)
        Added once for every pre-synaptic neuron that fired in the sample.
    rows, n_rows, ends, when, last, n_times
        Those neurons, and the times of arrivals where many come at once, from `eventsnn._ext.arrivals.list_rows`.
    update : Update or None
        What to do with a block when its gradient is complete.
    turns : WorkCounter
        Over the blocks.
    """
    cdef arrivals_t a
    cdef rows_t by_row
    cdef int64_t n_samples = sample_ptr.shape[0] - 1, block, s, k, n, first, longest = 0, most_times = 0
    cdef points_t points
    cdef real_t any_silent
    cdef bint updates = update is not None
    for k in range(post_ptr.shape[0] - 1):
        longest = max(longest, post_ptr[k + 1] - post_ptr[k])
    for s in range(n_samples):
        most_times = max(most_times, n_times[s])
    points_create(&points, longest, most_times)
    with nogil:
        block = work_take(&turns.next)
        while block < turns.count:
            for s in range(n_samples):
                a = arrivals_of(times, neurons, sample_ptr, grid, scale, s)
                k = block * n_samples + s
                n = post_ptr[k + 1] - post_ptr[k]
                if a.n and n:
                    first = sample_ptr[s]
                    by_row = rows_t(n_times[s], &last[first], n_rows[s], &rows[first], &ends[first], &when[first])
                    spsp_add(&constants[0], &a, &table[first, 0], &post_times[post_ptr[k]],
                             &post_neurons[post_ptr[k]], n, <int32_t> block * WIDTH, &coefficient[s, block * WIDTH],
                             &points, &by_row, &out[block, 0, 0])
                any_silent = 0
                for k in range(WIDTH):
                    any_silent += silent[s, block * WIDTH + k] != 0
                if any_silent and n_rows[s]:
                    if real_t is float:
                        ops32.add_rows(&out[block, 0, 0], &rows[sample_ptr[s]], n_rows[s], &silent[s, block * WIDTH])
                    else:
                        ops64.add_rows(&out[block, 0, 0], &rows[sample_ptr[s]], n_rows[s], &silent[s, block * WIDTH])
            if updates:
                update.block(<int32_t> block)
            block = work_take(&turns.next)
        points_free(&points)
