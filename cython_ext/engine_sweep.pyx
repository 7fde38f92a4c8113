"""The sweep engine: one feed-forward layer, block by block, each block through all input spikes.

Same arithmetic as the queue engine (block.pxd, lif.pxd), hence the same bits; the whole input of the layer is known,
so a search for spikes reaches exactly to the next arrival, and a block's state and weights stay in the cache.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memset

import numpy as np

from eventsnn._ext.block cimport ops32, ops64
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.event_queue cimport heap_create, heap_free, heap_t, heap_top, heap_update
from eventsnn._ext.lif cimport (
    LIF_CANDIDATE,
    lif_after_refractory,
    lif_fill,
    lif_next_spike,
    lif_respond,
    lif_t,
)
from eventsnn._ext.spikes cimport spikes_free, spikes_push, spikes_refuse, spikes_t


cdef enum:
    # Columns of the table of an input train, as block.h has them: propagators of the interval before each arrival,
    # and the coefficients of the bound over the interval after it.
    A = 0
    H = 1
    B = 2
    C_U = 3
    C_I = 4
    COLUMNS = 5

TABLE_COLUMNS = COLUMNS


cdef struct block_t:
    double now                 # time at which u and i are committed, ms
    double end[WIDTH]          # ends of the last refractory periods, ms
    int32_t refractory[WIDTH]  # neurons whose refractory period had not ended at `now`
    int32_t n_refractory
    double release             # the first of their ends, INFINITY if there are none


def fill_table(const double[::1] times, const int64_t[::1] sample_ptr, const double[::1] constants,
               real_t[:, ::1] table):
    """Propagators and bounds between the arrivals of each sample, shared by all blocks of a layer.

    `times` (n,) ms, ascending within each sample; `sample_ptr` (samples + 1,); `table` (n, TABLE_COLUMNS) is filled.
    """
    cdef lif_t lif
    cdef int64_t s, e
    cdef double d, a, h, b
    lif_fill(&lif, &constants[0])
    with nogil:
        for s in range(sample_ptr.shape[0] - 1):
            for e in range(sample_ptr[s], sample_ptr[s + 1]):
                d = times[e] - times[e - 1] if e > sample_ptr[s] else 0.0
                lif_respond(&lif, d, &a, &h, &b)
                table[e, A] = <real_t> a
                table[e, H] = <real_t> h
                table[e, B] = <real_t> b
                # After the last arrival the bound is useless: the search there looks at every neuron.
                d = times[e + 1] - times[e] if e + 1 < sample_ptr[s + 1] else 0.0
                table[e, C_U] = <real_t> (1.0 - d / lif.tau_m)
                table[e, C_I] = <real_t> (d / lif.tau_s)


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


cdef int fire_until(const lif_t* lif, block_t* k, const real_t* u, const real_t* i, real_t* keep, const real_t* hit,
                    int32_t first, int32_t size, double until, double t_stop, spikes_t* spikes) except -1 nogil:
    """All spikes of the neurons marked in `hit` after the committed state and before the next arrival, `until`."""
    cdef int32_t n
    cdef int64_t tail = spikes.n
    cdef double t, last
    for n in range(size):
        if not marked(hit + n):
            continue
        t = lif_next_spike(lif, u[n], i[n], k.now, k.end[n], until)
        while t < until and t <= t_stop:
            spikes_push(spikes, t, first + n)
            if not k.end[n] >= k.now:
                k.refractory[k.n_refractory] = n
                k.n_refractory += 1
                memset(&keep[n], 0, sizeof(real_t))
            k.end[n] = t + lif.refractory
            last = t
            t = lif_next_spike(lif, u[n], i[n], k.now, k.end[n], until)
            if t == last:
                spikes_refuse(t, first + n)
    if spikes.n > tail:
        sort_tail(spikes, tail)
        k.release = INFINITY
        for n in range(k.n_refractory):
            k.release = min(k.release, k.end[k.refractory[n]])
    return 0


cdef inline bint marked(const real_t* bits) noexcept nogil:
    """True unless all bits of a mask are 0."""
    if real_t is float:
        return (<const uint32_t*> bits)[0] != 0
    else:
        return (<const uint64_t*> bits)[0] != 0


cdef inline void mark_reaching(const lif_t* lif, const real_t* u, const real_t* i, real_t* hit) noexcept nogil:
    """Mark the neurons that may fire at all without further input: u never rises above its positive part plus the
    largest response to the present current."""
    cdef int32_t n
    cdef double reach, level = lif.threshold * LIF_CANDIDATE
    for n in range(WIDTH):
        reach = max(u[n], <real_t> 0.0) + max(i[n], <real_t> 0.0) * lif.psp_max
        memset(&hit[n], 0xFF if reach >= level else 0, sizeof(real_t))


cdef inline int64_t first_after(const double* times, int64_t low, int64_t high, double t) noexcept nogil:
    """The first of the arrivals [low, high) later than `t`, else `high`."""
    cdef int64_t middle
    while low < high:
        middle = (low + high) >> 1
        if times[middle] > t:
            high = middle
        else:
            low = middle + 1
    return low


cdef int64_t run_to(real_t* u, real_t* i, const real_t* keep, const real_t* weights, const int32_t* neurons,
                    const real_t* table, int64_t e, int64_t stop, real_t level, real_t* hit) noexcept nogil:
    if real_t is float:
        return ops32.run(u, i, keep, weights, neurons, table, e, stop, level, hit)
    else:
        return ops64.run(u, i, keep, weights, neurons, table, e, stop, level, hit)


cdef void release(const lif_t* lif, block_t* k, real_t* u, real_t* i, real_t* keep, const real_t* weights,
                  const int32_t* neurons, const real_t* table, int64_t e, double t, real_t level,
                  real_t* hit) noexcept nogil:
    """The arrival `e` at time `t`, before which refractory periods ended: membrane potentials from those ends on.

    The neurons released are marked in `hit`, which the kernel took for silent ones.
    """
    cdef real_t released[WIDTH]
    cdef int32_t which[WIDTH]
    cdef int32_t m, n, n_which = 0, kept = 0
    for m in range(k.n_refractory):
        n = k.refractory[m]
        if k.end[n] >= t:
            k.refractory[kept] = n
            kept += 1
        else:
            which[n_which] = n
            released[n_which] = <real_t> lif_after_refractory(lif, i[n], k.now, k.end[n], t)
            n_which += 1
    k.n_refractory = kept
    k.release = INFINITY
    for m in range(kept):
        k.release = min(k.release, k.end[k.refractory[m]])
    memset(hit, 0, WIDTH * sizeof(real_t))
    run_to(u, i, keep, weights, neurons, table, e, e + 1, level, hit)
    for m in range(n_which):
        u[which[m]] = released[m]
        memset(&keep[which[m]], 0xFF, sizeof(real_t))
        memset(&hit[which[m]], 0xFF, sizeof(real_t))


cdef int sweep_block(const lif_t* lif, block_t* k, real_t* u, real_t* i, real_t* keep, const real_t* weights,
                     int32_t first, int32_t size, const double* times, const int32_t* neurons, const real_t* table,
                     int64_t n_events, double t_stop, spikes_t* spikes) except -1 nogil:
    """One block through all arrivals of one sample.

    The kernel runs from arrival to arrival until a neuron may fire or a refractory period has ended.
    """
    cdef real_t level = <real_t> (lif.threshold * LIF_CANDIDATE)
    cdef real_t hit[WIDTH]
    cdef int64_t e = 0, stop, reached
    while e < n_events:
        if k.release < times[e]:
            release(lif, k, u, i, keep, weights, neurons, table, e, times[e], level, &hit[0])
            reached = e
        else:
            stop = n_events if k.release == INFINITY else first_after(times, e, n_events, k.release)
            reached = run_to(u, i, keep, weights, neurons, table, e, stop, level, &hit[0])
            if reached == stop and stop < n_events:
                k.now = times[stop - 1]
                e = stop
                continue
            reached = min(reached, n_events - 1)
        k.now = times[reached]
        e = reached + 1
        if e == n_events:
            mark_reaching(lif, u, i, &hit[0])
        fire_until(lif, k, u, i, keep, &hit[0], first, size, times[e] if e < n_events else INFINITY, t_stop, spikes)
    return 0


def sweep_blocks(const real_t[:, :, ::1] weights, int32_t block_from, int32_t block_to, int32_t neurons_of_layer,
                 const double[::1] constants, const double[::1] times, const int32_t[::1] neurons,
                 const int64_t[::1] sample_ptr, const real_t[:, ::1] table, double t_stop):
    """Spikes of the blocks [block_from, block_to) of a layer for a batch of samples.

    Parameters
    ----------
    weights : real (blocks, pre, WIDTH)
    times, neurons : arrivals of all samples, sample after sample; `sample_ptr` (samples + 1,) delimits them
    table : real (n, TABLE_COLUMNS), from `fill_table`

    Returns
    -------
    times : float64, neurons : int32, ptr : int64 ((block_to - block_from) * samples + 1,)
        Spikes in the order block, sample, time; block b's spikes of sample s are [ptr[k], ptr[k + 1]) with
        k = (b - block_from) * samples + s.
    """
    cdef lif_t lif
    cdef block_t k
    cdef real_t u[WIDTH]
    cdef real_t i[WIDTH]
    cdef real_t keep[WIDTH]  # bit masks: all ones, or 0 for a neuron in its refractory period
    cdef spikes_t spikes
    cdef int64_t n_samples = sample_ptr.shape[0] - 1, s, n_events
    cdef int32_t block, n, size
    ptr = np.zeros((block_to - block_from) * n_samples + 1, dtype=np.int64)
    cdef int64_t[::1] ends = ptr
    memset(&spikes, 0, sizeof(spikes_t))
    lif_fill(&lif, &constants[0])
    try:
        with nogil:
            for block in range(block_from, block_to):
                size = min(WIDTH, neurons_of_layer - block * WIDTH)
                for s in range(n_samples):
                    n_events = sample_ptr[s + 1] - sample_ptr[s]
                    if n_events:
                        memset(&u[0], 0, sizeof(u))
                        memset(&i[0], 0, sizeof(i))
                        memset(&keep[0], 0xFF, sizeof(keep))
                        k.now = 0.0
                        k.n_refractory = 0
                        k.release = INFINITY
                        for n in range(WIDTH):
                            k.end[n] = -INFINITY
                        sweep_block(&lif, &k, &u[0], &i[0], &keep[0], &weights[block, 0, 0], block * WIDTH,
                                    size, &times[sample_ptr[s]], &neurons[sample_ptr[s]], &table[sample_ptr[s], 0],
                                    n_events, t_stop, &spikes)
                    ends[(block - block_from) * n_samples + s + 1] = spikes.n
        out_times = np.empty(spikes.n, dtype=np.float64)
        out_neurons = np.empty(spikes.n, dtype=np.int32)
        if spikes.n:
            out_times[:] = <double[:spikes.n]> spikes.times
            out_neurons[:] = <int32_t[:spikes.n]> spikes.neurons
    finally:
        spikes_free(&spikes)
    return out_times, out_neurons, ptr


def merge_blocks(const double[::1] times, const int32_t[::1] neurons, const int64_t[::1] ptr, int64_t n_samples):
    """Merge the blocks' spike trains of every sample into the order (time, neuron).

    `times`, `neurons`, `ptr` as `sweep_blocks` returns them for all blocks of a layer.

    Returns
    -------
    times : float64, neurons : int32, sample_ptr : int64 (samples + 1,)
    """
    cdef int32_t n_blocks = <int32_t> ((ptr.shape[0] - 1) // n_samples), block
    cdef int64_t s, at = 0
    cdef heap_t heap
    out_times = np.empty(times.shape[0], dtype=np.float64)
    out_neurons = np.empty(times.shape[0], dtype=np.int32)
    sample_ptr = np.zeros(n_samples + 1, dtype=np.int64)
    cdef double[::1] t = out_times
    cdef int32_t[::1] n = out_neurons
    cdef int64_t[::1] ends = sample_ptr
    cdef int64_t[::1] cursor = np.zeros(n_blocks, dtype=np.int64)
    heap_create(&heap, n_blocks)
    with nogil:
        for s in range(n_samples):
            for block in range(n_blocks):
                cursor[block] = ptr[block * n_samples + s]
                heap_update(&heap, block, times[cursor[block]] if cursor[block] < ptr[block * n_samples + s + 1]
                            else INFINITY)
            while heap.key[heap_top(&heap)] < INFINITY:
                block = heap_top(&heap)
                t[at] = times[cursor[block]]
                n[at] = neurons[cursor[block]]
                at += 1
                cursor[block] += 1
                heap_update(&heap, block, times[cursor[block]] if cursor[block] < ptr[block * n_samples + s + 1]
                            else INFINITY)
            ends[s + 1] = at
    heap_free(&heap)
    return out_times, out_neurons, sample_ptr
