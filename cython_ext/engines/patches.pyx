"""Spikes as the positions of a convolution or pooling layer see them: each those in its patch of the source.

Twin: the loop over events and patches in tests/model/test_spatial.py. A position of a spatial layer is a small dense
layer of its own, fed by the spikes that fall into its patch; all positions share their weights. So a spatial layer is
run and trained as a dense one, a sample for each position. What a position sees is kept short, an instant and the
number of an input for each arrival: times, propagators and all else that kernels read are made for one position at a
time, from exponentials that all positions share (patches.h).
"""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc

from eventsnn._ext.block cimport TABLE_COLUMNS, ops32, ops64
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.sweep cimport SWEEP_AHEAD, event_t

import numpy as np

cdef enum:
    CHUNK = 64


cdef class Patches:
    """The spikes of one sample, position by position.

    Parameters
    ----------
    times : float64 (spikes,), ascending
        Usually ms.
    neurons : int32 (spikes,)
        Source neurons, channel * cells + cell; the bias neuron, which every position sees, is the one after the last.
    channels : int
        Of the source.
    cell_ptr : int32 (cells + 1,), cell_patch : int32 (cell_ptr[-1],)
        The positions that see source cell c: cell_patch[cell_ptr[c] : cell_ptr[c + 1]].
    cell_offset : int32, like cell_patch
        Where in their patches the cell is.
    area : int
        Cells of a patch. Inputs of a position are numbered channel * area + place; the bias is the last.
    units : int
        Positions.
    """

    def __init__(self, const double[::1] times, const int32_t[::1] neurons, int64_t channels,
                 const int32_t[::1] cell_ptr, const int32_t[::1] cell_patch, const int32_t[::1] cell_offset,
                 int64_t area, int64_t units):
        cdef int64_t n = times.shape[0]
        self.units = units
        self.ptr = <int64_t*> calloc(units + 2, sizeof(int64_t))
        self.instants = <double*> malloc((n + 1) * sizeof(double))
        cdef int64_t[::1] spikes = np.zeros(cell_ptr.shape[0], np.int64)
        if self.ptr == NULL or self.instants == NULL:
            raise MemoryError(f"no memory for {n} spikes")
        with nogil:
            self.count(neurons, channels, cell_ptr, cell_patch, &spikes[0])
        self.entries = <entry_t*> malloc((self.ptr[units + 1] + 1) * sizeof(entry_t))
        if self.entries == NULL:
            raise MemoryError(f"no memory for the spikes that {units} positions see")
        if n:
            with nogil:
                self.place(times, neurons, channels, cell_ptr, cell_patch, cell_offset, area)

    def __dealloc__(self):
        free(self.ptr)
        free(self.entries)
        free(self.instants)

    cdef void count(self, const int32_t[::1] neurons, int64_t channels, const int32_t[::1] cell_ptr,
                    const int32_t[::1] cell_patch, int64_t* spikes) noexcept nogil:
        """Set ptr[s + 1] to where the arrivals of position s begin, and `longest`; `spikes` (cells,) are zeros."""
        cdef int64_t e, k, s, biases = 0, cells = cell_ptr.shape[0] - 1
        for e in range(neurons.shape[0]):
            if neurons[e] == channels * cells:
                biases += 1
            else:
                spikes[neurons[e] % <int32_t> cells] += 1
        for e in range(cells):
            if spikes[e]:
                for k in range(cell_ptr[e], cell_ptr[e + 1]):
                    self.ptr[cell_patch[k] + 2] += spikes[e]
        for s in range(self.units):
            self.longest = max(self.longest, self.ptr[s + 2] + biases)
            self.ptr[s + 2] += biases + self.ptr[s + 1]

    cdef void place(self, const double[::1] times, const int32_t[::1] neurons, int64_t channels,
                    const int32_t[::1] cell_ptr, const int32_t[::1] cell_patch, const int32_t[::1] cell_offset,
                    int64_t area) noexcept nogil:
        """Fill `entries`, and `instants`; ptr[s + 1] becomes where the arrivals of position s end."""
        cdef int64_t e, k, at, cells = cell_ptr.shape[0] - 1
        cdef int64_t* cursor = self.ptr + 1
        cdef int32_t cell, row, instant = -1, last = <int32_t> (channels * cells)
        for e in range(neurons.shape[0]):
            if instant < 0 or times[e] != self.instants[instant]:
                instant += 1
                self.instants[instant] = times[e]
            row = <int32_t> (neurons[e] // <int32_t> cells * area)
            if neurons[e] == last:
                for k in range(self.units):
                    self.entries[cursor[k]] = entry_t(instant, row)
                    cursor[k] += 1
                continue
            cell = neurons[e] % <int32_t> cells
            for k in range(cell_ptr[cell], cell_ptr[cell + 1]):
                at = cursor[cell_patch[k]]
                cursor[cell_patch[k]] = at + 1
                self.entries[at] = entry_t(instant, row + cell_offset[k])
        self.n_instants = instant + 1

    def expand(self):
        """All arrivals, position by position.

        Returns
        -------
        times : float64 (n,), neurons : int32 (n,), ptr : int64 (units + 1,)
            Numbers of inputs; position s is [ptr[s], ptr[s + 1]).
        """
        cdef int64_t e, n = self.ptr[self.units]
        times, neurons, ptr = np.empty(n), np.empty(n, np.int32), np.empty(self.units + 1, np.int64)
        cdef double[::1] t = times
        cdef int32_t[::1] row = neurons
        cdef int64_t[::1] p = ptr
        for e in range(n):
            t[e] = self.instants[self.entries[e].instant]
            row[e] = self.entries[e].row
        for e in range(self.units + 1):
            p[e] = self.ptr[e]
        return times, neurons, ptr


cdef void fill_instants(const lif_t* c, const double* times, int64_t n, instant_t* instants) noexcept nogil:
    """The instants at `times` (n,), their exponentials in vectors."""
    cdef double since[CHUNK]
    cdef double rows[CHUNK * TABLE_COLUMNS]
    cdef int64_t start = 0, k, m
    while start < n:
        m = min(n - start, <int64_t> CHUNK)
        for k in range(m):
            since[k] = instant_place(c, times[start + k], &instants[start + k])
        ops64.table(rows, since, m, c)
        for k in range(m):
            instant_decays(&instants[start + k], rows[k * TABLE_COLUMNS], rows[k * TABLE_COLUMNS + 2])
        start += m


cdef class Ready:
    """Arrivals of one position at a time as kernels read them, for the thread that owns this.

    Parameters
    ----------
    patches : Patches
    constants : `eventsnn.reference.lif.RECORD` array (1,)
    single : bool
        Tables in float32, else in float64.
    """

    def __init__(self, Patches patches, const lif_t[::1] constants, bint single):
        self.patches, self.constants, self.single, self.filled = patches, constants, single, -1
        self.instants = <instant_t*> malloc((patches.n_instants + 1) * sizeof(instant_t))
        self.events = <event_t*> calloc(patches.longest + SWEEP_AHEAD, sizeof(event_t))
        self.table = malloc((patches.longest + 1) * TABLE_COLUMNS * (sizeof(float) if single else sizeof(double)))
        self.times = <double*> malloc((patches.longest + 1) * sizeof(double))
        self.sources = <int32_t*> malloc((patches.longest + 1) * sizeof(int32_t))
        if not (self.instants and self.events and self.table and self.times and self.sources):
            raise MemoryError(f"no memory for {patches.longest} arrivals")
        with nogil:
            fill_instants(&constants[0], patches.instants, patches.n_instants, self.instants)

    def __dealloc__(self):
        free(self.instants)
        free(self.events)
        free(self.table)
        free(self.times)
        free(self.sources)

    cdef instant_t begin(self, double since) noexcept nogil:
        """The instant `since`, ms, as `fill` takes it."""
        cdef instant_t at
        fill_instants(&self.constants[0], &since, 1, &at)
        return at

    cdef int64_t fill(self, int64_t unit, double since) noexcept nogil:
        """Fill `events` and `table` with the arrivals of a position, from the interval that began at `since`, ms, on;
        returns how many they are."""
        cdef int64_t first = self.patches.ptr[unit], n = self.patches.ptr[unit + 1] - first
        cdef const entry_t* entries = self.patches.entries + first
        cdef instant_t before = self.begin(since)
        self.filled = -1
        if self.single:
            ops32.fill(&self.constants[0], entries, n, self.instants, &before, self.events, <float*> self.table)
        else:
            ops64.fill(&self.constants[0], entries, n, self.instants, &before, self.events, <double*> self.table)
        return n

    cdef void list_sources(self, int64_t unit) noexcept nogil:
        """Fill `times`, `sources`, `table` with the arrivals of a position, from time 0 on, unless they are there."""
        cdef int64_t first = self.patches.ptr[unit], n = self.patches.ptr[unit + 1] - first
        cdef const entry_t* entries = self.patches.entries + first
        cdef instant_t before
        if self.filled == unit:
            return
        before = self.begin(0.0)
        self.filled = unit
        if self.single:
            ops32.fill_sources(&self.constants[0], entries, n, self.instants, &before, self.times, self.sources,
                               <float*> self.table)
        else:
            ops64.fill_sources(&self.constants[0], entries, n, self.instants, &before, self.times, self.sources,
                               <double*> self.table)
