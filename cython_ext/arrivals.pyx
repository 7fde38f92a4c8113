"""What all blocks of a layer share about its arrivals: propagators between them, and where a time lies among them."""

from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from eventsnn._ext.block cimport TABLE_COLUMNS as COLUMNS
from eventsnn._ext.block cimport ops32, ops64
from eventsnn._ext.dtypes cimport real_t
from eventsnn._ext.lif cimport LIF_CANDIDATE, LIF_TOUCH
from eventsnn._ext.sweep cimport SWEEP_AHEAD, event_t
from eventsnn._ext.turns cimport Turns, turns_take

import numpy as np

TABLE_COLUMNS = COLUMNS
CANDIDATE, TOUCH = LIF_CANDIDATE, LIF_TOUCH  # for the test that the twins have the same
AHEAD = SWEEP_AHEAD
EVENT = np.dtype([("time", np.float64), ("neuron", np.int32), ("release", np.int32)])

cdef enum:
    CHUNK = 256


cdef void fill_propagators(const double* times, int64_t n, const double* constants, double since,
                           real_t* table) noexcept nogil:
    """Rows of the table for `n` arrivals, the first of them after an interval that began at `since`."""
    cdef double lag[CHUNK]
    cdef int64_t start = 0, k, m
    cdef double lowered = constants[0] * LIF_CANDIDATE
    while start < n:
        m = min(n - start, <int64_t> CHUNK)
        for k in range(m):
            lag[k] = times[start + k] - (times[start + k - 1] if start + k else since)
        if real_t is float:
            ops32.table(table + start * COLUMNS, lag, m, constants, lowered)
        else:
            ops64.table(table + start * COLUMNS, lag, m, constants, lowered)
        start += m


cdef double fill_grid(const double* times, int64_t n, double origin, int32_t* grid) noexcept nogil:
    """Fill grid[0 .. n], which begins at `origin`; returns the cells per ms. See `arrivals_after`."""
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
        events[e].neuron = neurons[e]
        events[e].release = grid[<int64_t> cell]
        if e and times[e] == times[e - 1]:
            events[e].release = ~events[e].release


def fill_tables(const double[::1] times, const int32_t[::1] neurons, const int64_t[::1] sample_ptr,
                const double[::1] constants, event_t[::1] events, real_t[:, ::1] table, int32_t[::1] grid,
                double[::1] scale, Turns turns, const double[::1] since=None):
    """Tables and grids of the samples that this thread takes.

    Parameters
    ----------
    times : float64 (n,)
        ms, ascending within each sample; `sample_ptr` (samples + 1,) delimits the samples.
    neurons : int32 (n,)
        Source neuron of each.
    constants : float64 (11,)
        What `lif_fill` takes.
    events : EVENT (n + AHEAD,)
        Filled: the arrivals as a sweep reads them; see sweep.h. The last AHEAD are to be zeros.
    table : real (n, TABLE_COLUMNS)
        Filled: propagators a, h, b of the interval before each arrival, and the level that the membrane potential of
        a neuron that fired in that interval, had it not been reset, would be above at the arrival. It fires with
        u = nu and u' >= 0, hence I >= nu tau_s/tau_m; from there u falls fastest if it was level, so it ends at
        nu (a + h tau_s/tau_m) or above. (And a little less, for rounding.)
    grid : int32 (n + samples,), scale : float64 (samples,)
        Filled; see arrivals.pxd.
    since : float64 (samples,), optional
        For samples that go on: the time (ms) that the interval before the first arrival began at, from which the grid
        is counted too. Without it that interval is 0 and the grid begins at 0.
    turns : Turns
        Over the samples.
    """
    cdef int64_t s, first, n
    cdef double origin = 0.0
    cdef const double* t = &times[0] if times.shape[0] else NULL
    cdef real_t* rows = &table[0, 0] if times.shape[0] else NULL
    with nogil:
        s = turns_take(&turns.next)
        while s < turns.count:
            first = sample_ptr[s]
            n = sample_ptr[s + 1] - first
            if since is not None:
                origin = since[s]
            if n:
                fill_propagators(t + first, n, &constants[0], t[first] if since is None else origin,
                                 rows + first * COLUMNS)
            scale[s] = fill_grid(t + first, n, origin, &grid[first + s])
            if n:
                fill_events(t + first, &neurons[first], n, constants[3], &grid[first + s], scale[s], origin,
                            &events[first])
            s = turns_take(&turns.next)


def list_active(const int32_t[::1] neurons, const int64_t[::1] sample_ptr, int64_t n_pre, int32_t[::1] rows,
                int64_t[::1] row_count, Turns turns):
    """The source neurons that fired in each sample, each once, in the order of their first spikes.

    Those of sample s are rows[sample_ptr[s] : sample_ptr[s] + row_count[s]].
    """
    cdef int64_t s, e, n
    cdef uint8_t* seen = <uint8_t*> calloc(max(n_pre, 1), 1)
    if seen == NULL:
        raise MemoryError(f"no memory for {n_pre} neurons")
    with nogil:
        s = turns_take(&turns.next)
        while s < turns.count:
            n = 0
            for e in range(sample_ptr[s], sample_ptr[s + 1]):
                if not seen[neurons[e]]:
                    seen[neurons[e]] = True
                    rows[sample_ptr[s] + n] = neurons[e]
                    n += 1
            row_count[s] = n
            memset(seen, 0, n_pre)
            s = turns_take(&turns.next)
        free(seen)
