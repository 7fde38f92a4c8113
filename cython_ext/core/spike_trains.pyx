"""Spike trains of two simulations side by side. Twin: eventsnn/reference/spike_trains.py.

A neuron's spikes before and after are trains k: ``before[before_ptr[k]:before_ptr[k + 1]]`` and so on, ascending.
"""

from libc.math cimport INFINITY, exp, fabs
from libc.stdint cimport int32_t, int64_t, uint8_t

import numpy as np


cdef int64_t find_reach(const double* before, int64_t n, const double* after, int64_t m, double within,
                        int64_t* low, int64_t* high) noexcept nogil:
    """Spikes low .. high - 1 of `after` gain from a pair with spike i; returns the cells that the pairs take."""
    cdef int64_t i, first = 0, last = 0, cells = 0
    for i in range(n):
        while first < m and after[first] < before[i] and not within - (before[i] - after[first]) > 0.0:
            first += 1
        while last < m and (after[last] < before[i] or within - (after[last] - before[i]) > 0.0):
            last += 1
        last = max(first, last)
        low[i], high[i] = first, last
        cells += last - first + 1
    return cells


cdef inline double saved(const double* cells, const int64_t* start, const int64_t* low, const int64_t* high,
                         int64_t i, int64_t j) noexcept nogil:
    """What the first i spikes before and the first j after save at most, for j >= low[i - 1].

    Rows are kept where they change alone: beyond `high` they are constant, and below `low` as the row above.
    """
    if i == 0:
        return 0.0
    return cells[start[i - 1] + min(j, high[i - 1]) - low[i - 1]]


cdef void match(const double* before, int64_t n, const double* after, int64_t m, double within,
                const int64_t* low, const int64_t* high, int64_t* start, double* cells,
                int64_t* partner) noexcept nogil:
    """Partners of the spikes of one train; those that have none keep theirs."""
    cdef int64_t i, j, end = 0
    cdef double here, best
    for i in range(1, n + 1):
        start[i - 1] = end
        cells[end] = best = saved(cells, start, low, high, i - 1, low[i - 1])
        for j in range(low[i - 1] + 1, high[i - 1] + 1):
            best = max(best, saved(cells, start, low, high, i - 1, j))
            here = saved(cells, start, low, high, i - 1, j - 1)
            here += max(0.0, within - fabs(before[i - 1] - after[j - 1]))
            best = max(best, here)
            cells[end + j - low[i - 1]] = best
        end += high[i - 1] - low[i - 1] + 1
    i, j = n, m
    while i > 0 and j > 0:
        here = 0.0 if j <= low[i - 1] else saved(cells, start, low, high, i, j)
        if j <= low[i - 1] or here == saved(cells, start, low, high, i - 1, j):
            i -= 1
        elif here == saved(cells, start, low, high, i, j - 1):
            j -= 1
        else:
            i, j = i - 1, j - 1
            partner[i] = j


def match_trains(const double[::1] before, const int64_t[::1] before_ptr, const double[::1] after,
                 const int64_t[::1] after_ptr, double within, int64_t[::1] partner):
    """Pair the spikes of many trains, see `eventsnn.reference.spike_trains.match`.

    Parameters
    ----------
    before, after : float64 (n,) and (m,), ms
    before_ptr, after_ptr : int64 (trains + 1,)
    within : float, > 0
        Pairs are less than this apart, ms.
    partner : int64 (n,)
        Filled with the number in `after` of each spike's partner, counted from the beginning of its train,
        and -1 for those without.
    """
    cdef int64_t trains = before_ptr.shape[0] - 1, k, a, b, n, m, cells = 0
    if before.shape[0] == 0:
        return
    cdef int64_t[::1] low = np.empty(before.shape[0], np.int64), high = np.empty(before.shape[0], np.int64)
    cdef int64_t[::1] start = np.empty(before.shape[0], np.int64)
    partner[:] = -1
    if after.shape[0] == 0:
        return
    with nogil:
        for k in range(trains):
            a, b = before_ptr[k], after_ptr[k]
            n, m = before_ptr[k + 1] - a, after_ptr[k + 1] - b
            if n > 0 and m > 0:
                cells = max(cells, find_reach(&before[a], n, &after[b], m, within, &low[a], &high[a]))
    cdef double[::1] table = np.empty(cells + 1)
    with nogil:
        for k in range(trains):
            a, b = before_ptr[k], after_ptr[k]
            n, m = before_ptr[k + 1] - a, after_ptr[k + 1] - b
            if n > 0 and m > 0:
                match(&before[a], n, &after[b], m, within, &low[a], &high[a], &start[a], &table[0], &partner[a])


def add_van_rossum(const double[::1] times, const double[::1] signs, const int64_t[::1] ptr, double tau):
    """Squared van Rossum distances of many trains, added up, see `eventsnn.reference.spike_trains.van_rossum`.

    Parameters
    ----------
    times : float64 (n,), ms
        The spikes of both trains, ascending in each ``ptr[k]:ptr[k + 1]``.
    signs : float64 (n,)
        1 for spikes before, -1 for those after.
    ptr : int64 (trains + 1,)
    tau : float, > 0
        Time constant, ms.
    """
    cdef double total = 0.0, trace
    cdef int64_t k, i
    with nogil:
        for k in range(ptr.shape[0] - 1):
            trace = 0.0
            for i in range(ptr[k], ptr[k + 1]):
                if i > ptr[k]:
                    trace *= exp((times[i - 1] - times[i]) / tau)
                total += signs[i] * (signs[i] + 2.0 * trace)
                trace += signs[i]
    return total


def find_changed(const double[::1] times, const int32_t[::1] neurons, const double[::1] new_times,
                 const int32_t[::1] new_neurons, uint8_t[::1] changed):
    """When the first spike comes that is in one of two trains only, ms; infinite if they are equal.

    Parameters
    ----------
    times, new_times : float64 (n,), (m,), neurons, new_neurons : int32 (n,), (m,)
        Spikes before and after, in order of (time, neuron).
    changed : uint8 (size,)
        Set to 1 for the neurons that have such spikes.
    """
    cdef int64_t i = 0, j = 0, n = times.shape[0], m = new_times.shape[0]
    cdef double first = INFINITY
    cdef bint before
    with nogil:
        while i < n or j < m:
            if i < n and j < m and times[i] == new_times[j] and neurons[i] == new_neurons[j]:
                i += 1
                j += 1
                continue
            before = j == m or (i < n and (times[i] < new_times[j] or
                                           (times[i] == new_times[j] and neurons[i] < new_neurons[j])))
            first = min(first, times[i] if before else new_times[j])
            changed[neurons[i] if before else new_neurons[j]] = 1
            i += before
            j += not before
    return first
