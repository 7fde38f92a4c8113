"""What all blocks of a layer share about its arrivals: propagators between them, and where a time lies among them."""

from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from eventsnn._ext.block cimport TABLE_COLUMNS as COLUMNS
from eventsnn._ext.block cimport ops32, ops64
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.sweep cimport SWEEP_AHEAD, SWEEP_TIED, event_t
from eventsnn._ext.team cimport Stage
from eventsnn._ext.work_counter cimport WorkCounter, work_take

import numpy as np

TABLE_COLUMNS = COLUMNS
AHEAD = SWEEP_AHEAD
EVENT = np.dtype([("time", np.float64), ("row", np.uint32), ("release", np.int32)])

cdef enum:
    CHUNK = 256


cdef void fill_rows(const double* lag, int64_t n, const lif_t* constants, real_t* table) noexcept nogil:
    if real_t is float:
        ops32.table(table, lag, n, constants)
    else:
        ops64.table(table, lag, n, constants)


cdef void fill_propagators(const double* times, int64_t n, const lif_t* constants, double since,
                           real_t* table) noexcept nogil:
    """Rows of the table for `n` arrivals, the first of them after an interval that began at `since`."""
    cdef double lag[CHUNK]
    cdef double distinct[CHUNK]  # what differs from the last one, ties apart
    cdef real_t row[CHUNK * COLUMNS]
    cdef int32_t place[CHUNK]
    cdef int64_t start = 0, k, m, found
    while start < n:
        m = min(n - start, <int64_t> CHUNK)
        found = 1
        distinct[0] = 0.0
        for k in range(m):
            lag[k] = times[start + k] - (times[start + k - 1] if start + k else since)
            if found < CHUNK and lag[k] != 0.0 and lag[k] != distinct[found - 1]:
                distinct[found] = lag[k]
                found += 1
            place[k] = <int32_t> (found - 1) if lag[k] != 0.0 else 0
        if 2 * found > m:
            fill_rows(lag, m, constants, table + start * COLUMNS)
        else:
            # On a grid most intervals are its step or 0.
            fill_rows(distinct, found, constants, row)
            for k in range(m):
                memcpy(table + (start + k) * COLUMNS, row + place[k] * COLUMNS, COLUMNS * sizeof(real_t))
        start += m


cdef double fill_grid(const double* times, int64_t n, double origin, int32_t* grid) noexcept nogil:
    """Fill grid[0 .. n], which begins at `origin`; returns the cells per ms. See `arrivals_about`."""
    cdef double scale
    cdef int64_t e, k
    if n == 0:
        grid[0] = 0
        return 0.0
    scale = n / (times[n - 1] - origin) if times[n - 1] > origin else 0.0
    if not isfinite(scale):
        scale = 0.0
    # Count, then add up: no branch hangs on how the arrivals fall into cells.
    memset(grid, 0, (n + 1) * sizeof(int32_t))
    for e in range(n):
        grid[1 + min(<int64_t> ((times[e] - origin) * scale), n - 1)] += 1
    for k in range(n):
        grid[k + 1] += grid[k]
    return scale


cdef void fill_events(const double* times, const int32_t* neurons, int64_t n, double refractory,
                      const int32_t* grid, double scale, double origin, event_t* events) noexcept nogil:
    cdef int64_t e
    cdef double cell
    for e in range(n):
        cell = min((times[e] + refractory - origin) * scale, <double> (n - 1))
        events[e].time = times[e]
        events[e].row = <uint32_t> neurons[e] * WIDTH + (SWEEP_TIED if e and times[e] == times[e - 1] else 0)
        events[e].release = grid[<int64_t> cell]


cdef class Tables(Stage):
    """Tables and grids of samples; made by `fill_tables`."""

    cdef object arrays              # the arrays that the pointers below lead into
    cdef bint single
    cdef const double* times
    cdef const int32_t* neurons
    cdef const int64_t* sample_ptr
    cdef const lif_t* constants
    cdef event_t* events
    cdef void* table                # real [arrivals][TABLE_COLUMNS]
    cdef int32_t* grid
    cdef double* scale
    cdef const double* since        # or NULL

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        if self.single:
            fill_sample(self, number, <float*> self.table)
        else:
            fill_sample(self, number, <double*> self.table)
        return 0


cdef void fill_sample(Tables w, int64_t s, real_t* rows) noexcept nogil:
    cdef int64_t first = w.sample_ptr[s]
    cdef int64_t n = w.sample_ptr[s + 1] - first
    cdef double origin = w.since[s] if w.since != NULL else 0.0
    if n:
        fill_propagators(w.times + first, n, w.constants, origin, rows + first * COLUMNS)
    w.scale[s] = fill_grid(w.times + first, n, origin, w.grid + first + s)
    if n:
        fill_events(w.times + first, w.neurons + first, n, w.constants.refractory, w.grid + first + s, w.scale[s],
                    origin, w.events + first)


def fill_tables(const double[::1] times, const int32_t[::1] neurons, const int64_t[::1] sample_ptr,
                const lif_t[::1] constants, event_t[::1] events, real_t[:, ::1] table, int32_t[::1] grid,
                double[::1] scale, const double[::1] since=None):
    """Tables and grids, as a task whose units are samples.

    Parameters
    ----------
    times : float64 (n,)
        ms, ascending within each sample; `sample_ptr` (samples + 1,) delimits the samples.
    neurons : int32 (n,)
        Source neuron of each.
    constants : `eventsnn.reference.lif.RECORD` array (1,)
    events : EVENT (n + AHEAD,)
        Filled: the arrivals as a sweep reads them; see sweep.h. The last AHEAD are to be zeros.
    table : real (n, TABLE_COLUMNS)
        Filled: propagators a, h, b of the interval before each arrival, and the level that the membrane potential of
        a neuron that fired in that interval, had it not been reset, would be above at the arrival (`lif_fallen`).
    grid : int32 (n + samples,), scale : float64 (samples,)
        Filled; see arrivals.pxd.
    since : float64 (samples,), optional
        For samples that go on: the time (ms) that the interval before the first arrival began at, from which the grid
        is counted too. Without it both begin at 0.
    """
    cdef Tables w = Tables()
    w.arrays = (times, neurons, sample_ptr, constants, events, table, grid, scale, since)
    w.counter, w.single = WorkCounter(sample_ptr.shape[0] - 1), real_t is float
    w.times, w.neurons, w.table = NULL, NULL, NULL
    if times.shape[0]:
        w.times, w.neurons, w.table = &times[0], &neurons[0], &table[0, 0]
    w.sample_ptr, w.constants, w.events = &sample_ptr[0], &constants[0], &events[0]
    w.grid = &grid[0] if grid.shape[0] else NULL
    w.scale = &scale[0] if scale.shape[0] else NULL
    w.since = &since[0] if since is not None and since.shape[0] else NULL
    return w


cdef class Delivery(Stage):
    """Spikes delayed, with those of the bias neuron among them; made by `deliver_spikes`."""

    cdef object arrays              # the arrays that the pointers below lead into
    cdef const double* times
    cdef const int32_t* neurons
    cdef const int64_t* ptr         # [samples + 1]
    cdef double delay
    cdef const double* bias_times
    cdef const int64_t* bias_ptr    # [samples + 1]
    cdef int32_t bias
    cdef double* out_times
    cdef int32_t* out_neurons

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        cdef int64_t k = self.ptr[number], end = self.ptr[number + 1]
        cdef int64_t b = self.bias_ptr[number], last = self.bias_ptr[number + 1], at = k + b
        cdef double t
        while k < end or b < last:
            t = self.times[k] + self.delay if k < end else 0.0
            # At equal times the bias neuron, which has the largest number, comes last.
            if k < end and (b >= last or t <= self.bias_times[b]):
                self.out_times[at] = t
                self.out_neurons[at] = self.neurons[k]
                k += 1
            else:
                self.out_times[at] = self.bias_times[b]
                self.out_neurons[at] = self.bias
                b += 1
            at += 1
        return 0


def deliver_spikes(const double[::1] times, const int32_t[::1] neurons, const int64_t[::1] ptr, double delay,
                   const double[::1] bias_times, const int64_t[::1] bias_ptr, int32_t bias, double[::1] out_times,
                   int32_t[::1] out_neurons):
    """What arrives at a layer, as a task whose units are samples. Twin: `eventsnn.model.bias.insert`.

    Parameters
    ----------
    times, neurons, ptr
        Spikes of the layer below as in `fill_tables`.
    delay : float
        Of all of them, ms.
    bias_times : float64, bias_ptr : int64 (samples + 1,)
        When the bias neuron's spikes arrive in each sample, ms, ascending; its number is `bias`.
    out_times, out_neurons
        Filled: all arrivals, those of sample s from ptr[s] + bias_ptr[s] on.
    """
    cdef Delivery w = Delivery()
    w.arrays = (times, neurons, ptr, bias_times, bias_ptr, out_times, out_neurons)
    w.counter, w.delay, w.bias = WorkCounter(ptr.shape[0] - 1), delay, bias
    w.times, w.neurons, w.bias_times, w.out_times, w.out_neurons = NULL, NULL, NULL, NULL, NULL
    if times.shape[0]:
        w.times, w.neurons = &times[0], &neurons[0]
    if bias_times.shape[0]:
        w.bias_times = &bias_times[0]
    if out_times.shape[0]:
        w.out_times, w.out_neurons = &out_times[0], &out_neurons[0]
    w.ptr, w.bias_ptr = &ptr[0], &bias_ptr[0]
    return w


cdef int64_t number_times(const double* times, int64_t n, int32_t* number, int32_t* last) noexcept nogil:
    """number[e]: which time arrival e has, counted from 0; last[k]: the last arrival at time k. Returns how many."""
    cdef int64_t e, k = 0
    for e in range(n):
        k += e > 0 and times[e] != times[e - 1]
        number[e] = <int32_t> k
        last[k] = <int32_t> e
    return k + 1 if n else 0


def list_rows(const double[::1] times, const int32_t[::1] neurons, const int64_t[::1] sample_ptr, int64_t n_pre,
              int32_t[::1] rows, int64_t[::1] n_rows, int32_t[::1] ends, int32_t[::1] when, int32_t[::1] last,
              int64_t[::1] n_times, WorkCounter turns):
    """The source neurons that fired in each sample; where many fire at the same time, also which times are whose.

    What belongs to sample s stands from sample_ptr[s] on.

    Parameters
    ----------
    times, neurons, sample_ptr
        Arrivals as in `fill_tables`.
    n_pre : int
        Source neurons.
    rows : int32 (n,), n_rows : int64 (samples,)
        Filled: the neurons that fired, ascending, and how many.
    n_times : int64 (samples,)
        Filled: how many times there are if those are half as many as the arrivals at most; else 0, and the sample's
        `ends`, `when` and `last` mean nothing.
    ends, when, last : int32 (n,)
        Filled: see `rows_t` in block.h.
    turns : WorkCounter
        Over the samples.
    """
    cdef int64_t s, e, j, n, first, size
    cdef int32_t* end = <int32_t*> calloc(n_pre + 1, sizeof(int32_t))
    cdef int32_t* number = <int32_t*> malloc((<int64_t> neurons.shape[0] + 1) * sizeof(int32_t))
    if end == NULL or number == NULL:
        free(end)
        free(number)
        raise MemoryError(f"no memory for {n_pre} neurons")
    with nogil:
        s = work_take(&turns.next)
        while s < turns.count:
            first = sample_ptr[s]
            size = sample_ptr[s + 1] - first
            n = 0
            n_times[s] = 0
            if size:
                memset(end, 0, n_pre * sizeof(int32_t))
                for e in range(size):
                    end[neurons[first + e]] += 1
                e = 0
                for j in range(n_pre):
                    if end[j]:
                        rows[first + n] = <int32_t> j
                        n += 1
                    e += end[j]
                    end[j] = <int32_t> e
                n_times[s] = number_times(&times[first], size, number, &last[first])
                if 2 * n_times[s] > size:
                    n_times[s] = 0
                else:
                    for j in range(n):
                        ends[first + j] = end[rows[first + j]]
                    # From the last place of each on, so that the latest comes first.
                    for j in range(size):
                        e = neurons[first + j]
                        end[e] -= 1
                        when[first + end[e]] = number[j]
            n_rows[s] = n
            s = work_take(&turns.next)
        free(end)
        free(number)
