"""Spike-train level post-synaptic potentials (S-PSPs) by a sweep in reverse time.

Twins: eventsnn/learning/micro.py (both forms, numpy) and eventsnn/learning/twin.py (brute force over spike pairs).
With the evaluation points p of a neuron and their weights c_p (+1 at each spike, -exp(-(t - r)/tau_m) at the end r
of the refractory period before a spike at t, the first spike apart),

    e_{i|j} = sum_g G_i(t_j^g),    G_i(t) = sum_{p >= t} c_p eps(p - t),

and (lambda, G) obeys the forward propagators in reverse: G(t - d) = G(t) b + lambda(t) h, lambda(t - d) = lambda(t) a.
"""

from libc.math cimport exp
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memset

from eventsnn._ext.block cimport ops32, ops64
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.lif cimport lif_fill, lif_respond, lif_t


cdef struct point_t:
    double time     # evaluation point, ms
    double weight   # its weight times the neuron's coefficient
    int32_t lane    # neuron within the block
    int32_t kind    # 0 spike, 1 end of a refractory period


cdef int later_first(const void* a, const void* b) noexcept nogil:
    cdef const point_t* p = <const point_t*> a
    cdef const point_t* q = <const point_t*> b
    if p.time != q.time:
        return -1 if p.time > q.time else 1
    if p.lane != q.lane:
        return -1 if p.lane < q.lane else 1
    return p.kind - q.kind


cdef int64_t list_points(const lif_t* lif, const double* times, const int32_t* neurons, int64_t n_spikes,
                         int32_t first, const real_t* coefficient, point_t* points) noexcept nogil:
    """Evaluation points of a block's spikes, latest first; neurons of coefficient 0 have none."""
    cdef double end[WIDTH]
    cdef int64_t f, n = 0
    cdef int32_t lane
    for lane in range(WIDTH):
        end[lane] = -1.0
    for f in range(n_spikes):
        lane = neurons[f] - first
        # A spike within a refractory period, lent to a silent neuron, had no time to integrate: it has no S-PSP.
        if coefficient[lane] != 0 and end[lane] <= times[f]:
            points[n].time = times[f]
            points[n].weight = coefficient[lane]
            points[n].lane = lane
            points[n].kind = 0
            n += 1
            if end[lane] >= 0.0:
                points[n].time = end[lane]
                points[n].weight = -coefficient[lane] * exp(-(times[f] - end[lane]) / lif.tau_m)
                points[n].lane = lane
                points[n].kind = 1
                n += 1
        end[lane] = times[f] + lif.refractory
    qsort(points, n, sizeof(point_t), later_first)
    return n


cdef void go_back(real_t* lam, real_t* g, real_t* out, const int32_t* neurons, const real_t* table,
                  const uint8_t* first, const real_t* silent, int64_t e, int64_t stop) noexcept nogil:
    if real_t is float:
        ops32.reverse(lam, g, out, neurons, table, first, silent, e, stop)
    else:
        ops64.reverse(lam, g, out, neurons, table, first, silent, e, stop)


cdef inline int64_t last_until(const double* times, int64_t high, double t) noexcept nogil:
    """The last of the arrivals [0, high] not later than `t`, else -1."""
    cdef int64_t low = -1, middle
    while low < high:
        middle = (low + high + 1) >> 1
        if times[middle] <= t:
            low = middle
        else:
            high = middle - 1
    return low


cdef void reverse_block(const lif_t* lif, real_t* out, const double* times, const int32_t* neurons,
                        const uint8_t* first_of_train, const real_t* table, int64_t n_events,
                        const point_t* points, int64_t n_points, const real_t* silent, bint any_silent) noexcept nogil:
    """Add G at every arrival, and `silent` once per pre-synaptic neuron that fired, to the rows of `out`.

    The kernel goes back to the next arrival with evaluation points between it and the one after.
    """
    cdef real_t lam[WIDTH]
    cdef real_t g[WIDTH]
    cdef int64_t e = n_events - 1, stop, p = 0
    cdef int32_t n
    cdef double da, dh, db
    memset(&lam[0], 0, sizeof(lam))
    memset(&g[0], 0, sizeof(g))
    if not any_silent and n_points:
        e = last_until(times, e, points[0].time)
    while e >= 0:
        while p < n_points and points[p].time >= times[e]:
            lif_respond(lif, points[p].time - times[e], &da, &dh, &db)
            n = points[p].lane
            lam[n] += <real_t> (points[p].weight * da)
            g[n] += <real_t> (points[p].weight * dh)
            p += 1
        stop = last_until(times, e - 1, points[p].time) if p < n_points else -1
        go_back(&lam[0], &g[0], out, neurons, table, first_of_train, silent if any_silent else NULL, e, stop)
        e = stop


def mark_first(const int32_t[::1] neurons, const int64_t[::1] sample_ptr, int64_t n_pre, uint8_t[::1] first):
    """Set first[e] to 1 where arrival e is the first of its neuron in its sample, else to 0."""
    cdef int64_t s, e
    cdef int64_t* seen = <int64_t*> malloc(n_pre * sizeof(int64_t))
    if seen == NULL:
        raise MemoryError(f"no memory for {n_pre} neurons")
    with nogil:
        memset(seen, 0xFF, n_pre * sizeof(int64_t))
        for s in range(sample_ptr.shape[0] - 1):
            for e in range(sample_ptr[s], sample_ptr[s + 1]):
                first[e] = seen[neurons[e]] != s
                seen[neurons[e]] = s
        free(seen)


def reverse_blocks(real_t[:, :, ::1] out, int32_t block_from, int32_t block_to, const double[::1] constants,
                   const double[::1] times, const int32_t[::1] neurons, const int64_t[::1] sample_ptr,
                   const uint8_t[::1] first_of_train, const real_t[:, ::1] table, const double[::1] post_times,
                   const int32_t[::1] post_neurons, const int64_t[::1] post_ptr, const real_t[:, ::1] coefficient,
                   const real_t[:, ::1] silent):
    """Add ``coefficient * e`` of all samples, in their order, to the blocks [block_from, block_to) of `out`.

    Parameters
    ----------
    out : real (blocks, pre, WIDTH)
        Gradient, or the S-PSPs themselves with coefficients of 1; added to.
    times, neurons, sample_ptr, table
        Arrivals as for `eventsnn._ext.engine_sweep.sweep_blocks`.
    first_of_train : uint8 (n,)
        From `mark_first`.
    post_times, post_neurons, post_ptr
        The layer's spikes in the order block, sample, time, as `sweep_blocks` returns them for blocks
        [block_from, block_to).
    coefficient : real (samples, blocks * WIDTH)
    silent : real (samples, blocks * WIDTH)
        Added once for every pre-synaptic neuron that fired in the sample.
    """
    cdef lif_t lif
    cdef int64_t n_samples = sample_ptr.shape[0] - 1, s, k, longest = 0, n_points
    cdef int32_t block, n
    cdef bint any_silent
    cdef point_t* points
    lif_fill(&lif, &constants[0])
    for k in range(post_ptr.shape[0] - 1):
        longest = max(longest, post_ptr[k + 1] - post_ptr[k])
    points = <point_t*> malloc((2 * longest + 1) * sizeof(point_t))
    if points == NULL:
        raise MemoryError(f"no memory for the evaluation points of {longest} spikes")
    with nogil:
        for block in range(block_from, block_to):
            for s in range(n_samples):
                k = (block - block_from) * n_samples + s
                n_points = 0
                if post_ptr[k + 1] > post_ptr[k]:
                    n_points = list_points(&lif, &post_times[post_ptr[k]], &post_neurons[post_ptr[k]],
                                           post_ptr[k + 1] - post_ptr[k], block * WIDTH,
                                           &coefficient[s, block * WIDTH], points)
                any_silent = False
                for n in range(WIDTH):
                    any_silent |= silent[s, block * WIDTH + n] != 0
                if sample_ptr[s + 1] > sample_ptr[s] and (n_points or any_silent):
                    reverse_block(&lif, &out[block, 0, 0], &times[sample_ptr[s]], &neurons[sample_ptr[s]],
                                  &first_of_train[sample_ptr[s]], &table[sample_ptr[s], 0],
                                  sample_ptr[s + 1] - sample_ptr[s], points, n_points,
                                  &silent[s, block * WIDTH], any_silent)
        free(points)
