"""Spikes as the positions of a convolution or pooling layer see them: each those in its patch of the source.

Twin: the loop over events and patches in tests/model/test_spatial.py. A position of a spatial layer is a small dense
layer of its own, fed by the spikes that fall into its patch; all positions share their weights. So a spatial layer is
run and trained as a dense one, a sample for each position. What a position sees is kept short, an instant and the
number of an input for each arrival: times, propagators and all else that kernels read are made for one position at a
time, from exponentials that all positions share (patches.h).
"""

from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from eventsnn._ext.block cimport TABLE_COLUMNS, ops32, ops64
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.sweep cimport SWEEP_AHEAD, event_t

import numpy as np

cdef int make_room(void** memory, int64_t* room, int64_t need, int64_t size) except -1 nogil:
    """Memory for as many as `need` of this size; what was in it is gone if there was less."""
    if need <= room[0]:
        return 0
    free(memory[0])
    room[0] = 0
    memory[0] = malloc(need * size)
    if memory[0] == NULL:
        with gil:
            raise MemoryError(f"no memory for the spikes that positions see: {need * size} bytes")
    room[0] = need
    return 0


cdef geometry_t describe_geometry(int64_t channels, const int32_t[::1] cell_ptr, const int32_t[:, ::1] places,
                                  int64_t area, int64_t units) noexcept:
    """The arrays as `Patches` takes them; the caller keeps them."""
    cdef geometry_t g
    g.channels, g.cells, g.area, g.units = channels, cell_ptr.shape[0] - 1, area, units
    g.cell_ptr, g.places = &cell_ptr[0], <const place_t*> &places[0, 0] if places.shape[0] else NULL
    return g


cdef int patches_begin(patches_t* p, const geometry_t* g, const double* times, const int32_t* neurons,
                       int64_t n) except -1 nogil:
    """Take `n` spikes, see `Patches`; `patches_next` then goes to the first positions."""
    make_room(<void**> &p.ptr, &p.room_units, g.units + 2, sizeof(int64_t))
    make_room(<void**> &p.instants, &p.room_instants, n + 1, sizeof(double))
    make_room(<void**> &p.spikes, &p.room_spikes, n + 1, sizeof(spike_t))
    make_room(<void**> &p.counts, &p.room_counts, g.cells + 1, sizeof(int64_t))
    make_room(<void**> &p.begin, &p.room_begin, g.cells + 1, sizeof(int32_t))
    make_room(<void**> &p.end, &p.room_end, g.cells + 1, sizeof(int32_t))
    p.units, p.n_spikes, p.first, p.stop = g.units, n, 0, 0
    memcpy(p.end, g.cell_ptr, g.cells * sizeof(int32_t))
    list_spikes(p, g, times, neurons)
    count_arrivals(p, g)
    return 0


cdef bint patches_next(patches_t* p, const geometry_t* g, int64_t most) except -1 nogil:
    """Go to the next positions, with `most` arrivals unless one alone has more; whether there are any."""
    cdef int64_t first = p.stop, stop = first + 1, c
    cdef int32_t end
    if first >= g.units:
        return False
    # Position s begins at ptr[s + 1] as long as its arrivals have not been placed.
    while stop < g.units and p.ptr[stop + 2] - p.ptr[first + 1] <= most:
        stop += 1
    make_room(<void**> &p.entries, &p.room_entries, p.ptr[stop + 1] - p.ptr[first + 1] + 1, sizeof(entry_t))
    p.first, p.stop = first, stop
    for c in range(g.cells):
        end = p.end[c]
        p.begin[c] = end
        while end < g.cell_ptr[c + 1] and g.places[end].position < stop:
            end += 1
        p.end[c] = end
    place_arrivals(p, g)
    return True


cdef void patches_free(patches_t* p) noexcept nogil:
    free(p.ptr)
    free(p.entries)
    free(p.instants)
    free(p.spikes)
    free(p.counts)
    free(p.begin)
    free(p.end)
    memset(p, 0, sizeof(patches_t))


cdef void list_spikes(patches_t* p, const geometry_t* g, const double* times, const int32_t* neurons) noexcept nogil:
    """Fill `spikes` and `instants`."""
    cdef int64_t e
    cdef int32_t channel, instant = -1, cells = <int32_t> g.cells
    cdef double per_cell = 1.0 / cells, before = NAN
    for e in range(p.n_spikes):
        # Whether a spike comes at the time of the one before could not be foretold: no branch.
        instant += times[e] != before
        before = times[e]
        p.instants[instant] = before
        channel = channel_of(neurons[e], per_cell)
        p.spikes[e].instant = instant
        p.spikes[e].row = channel * <int32_t> g.area
        p.spikes[e].cell = neurons[e] - channel * cells if channel < g.channels else -1
    p.n_instants = instant + 1


cdef void count_arrivals(patches_t* p, const geometry_t* g) noexcept nogil:
    """Set ptr[s + 1] to where the arrivals of position s begin, and `longest`."""
    cdef int64_t e, k, s, biases = 0
    p.longest = 0
    memset(p.ptr, 0, (g.units + 2) * sizeof(int64_t))
    memset(p.counts, 0, g.cells * sizeof(int64_t))
    for e in range(p.n_spikes):
        if p.spikes[e].cell < 0:
            biases += 1
        else:
            p.counts[p.spikes[e].cell] += 1
    for e in range(g.cells):
        if p.counts[e]:
            for k in range(g.cell_ptr[e], g.cell_ptr[e + 1]):
                p.ptr[g.places[k].position + 2] += p.counts[e]
    for s in range(g.units):
        p.longest = max(p.longest, p.ptr[s + 2] + biases)
        p.ptr[s + 2] += biases + p.ptr[s + 1]


cdef void place_arrivals(patches_t* p, const geometry_t* g) noexcept nogil:
    """Fill `entries`; ptr[s + 1] becomes where the arrivals of position s end."""
    cdef int64_t e, k, at
    cdef int64_t* cursor = p.ptr + 1
    cdef const place_t* places = g.places
    cdef entry_t* entries = p.entries - p.ptr[p.first + 1]
    cdef spike_t spike
    for e in range(p.n_spikes):
        spike = p.spikes[e]
        if spike.cell < 0:
            for k in range(p.first, p.stop):
                entries[cursor[k]] = entry_t(spike.instant, spike.row)
                cursor[k] += 1
            continue
        for k in range(p.begin[spike.cell], p.end[spike.cell]):
            at = cursor[places[k].position]
            cursor[places[k].position] = at + 1
            fetch_entry(entries + at)
            entries[at] = entry_t(spike.instant, spike.row + places[k].place)


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
    cell_ptr : int32 (cells + 1,), places : int32 (cell_ptr[-1], 2)
        The positions that see source cell c, and where in their patches it is: places[cell_ptr[c] : cell_ptr[c + 1]].
    area : int
        Cells of a patch. Inputs of a position are numbered channel * area + place; the bias is the last.
    units : int
        Positions.
    """

    def __init__(self, const double[::1] times, const int32_t[::1] neurons, int64_t channels,
                 const int32_t[::1] cell_ptr, const int32_t[:, ::1] places, int64_t area, int64_t units):
        cdef int64_t n = times.shape[0]
        cdef geometry_t g = describe_geometry(channels, cell_ptr, places, area, units)
        cdef const double* t = &times[0] if n else NULL
        cdef const int32_t* i = &neurons[0] if n else NULL
        with nogil:
            patches_begin(&self.patches, &g, t, i, n)
            patches_next(&self.patches, &g, <int64_t> 1 << 62)
        self.units, self.longest = units, self.patches.longest

    def __dealloc__(self):
        patches_free(&self.patches)

    def expand(self):
        """All arrivals, position by position.

        Returns
        -------
        times : float64 (n,), neurons : int32 (n,), ptr : int64 (units + 1,)
            Numbers of inputs; position s is [ptr[s], ptr[s + 1]).
        """
        cdef const patches_t* patches = &self.patches
        cdef int64_t e, n = patches.ptr[self.units]
        times, neurons, ptr = np.empty(n), np.empty(n, np.int32), np.empty(self.units + 1, np.int64)
        cdef double[::1] t = times
        cdef int32_t[::1] row = neurons
        cdef int64_t[::1] p = ptr
        for e in range(n):
            t[e] = patches.instants[patches.entries[e].instant]
            row[e] = patches.entries[e].row
        for e in range(self.units + 1):
            p[e] = patches.ptr[e]
        return times, neurons, ptr


cdef int ready_begin(ready_t* r) except -1 nogil:
    """Make room for what `patches` has now, and compute its instants."""
    cdef int64_t before = r.room_arrivals, most = r.patches.longest + SWEEP_AHEAD
    r.filled = -1
    make_room(<void**> &r.instants, &r.room_instants, r.patches.n_instants + 1, sizeof(instant_t))
    ops64.instants(r.constants, r.patches.instants, r.patches.n_instants, r.instants)
    if most <= before:
        return 0
    make_room(<void**> &r.events, &r.room_arrivals, most, sizeof(event_t))
    memset(r.events, 0, most * sizeof(event_t))
    r.room_arrivals = before
    # In either precision: what comes next may have the other one.
    make_room(&r.table, &r.room_arrivals, most, TABLE_COLUMNS * sizeof(double))
    r.room_arrivals = before
    make_room(<void**> &r.times, &r.room_arrivals, most, sizeof(double))
    r.room_arrivals = before
    make_room(<void**> &r.sources, &r.room_arrivals, most, sizeof(int32_t))
    return 0


cdef void ready_free(ready_t* r) noexcept nogil:
    free(r.instants)
    free(r.events)
    free(r.table)
    free(r.times)
    free(r.sources)
    memset(r, 0, sizeof(ready_t))


cdef instant_t begin_at(const ready_t* r, double since) noexcept nogil:
    """The instant `since`, ms."""
    cdef instant_t at
    ops64.instants(r.constants, &since, 1, &at)
    return at


cdef int64_t ready_fill(ready_t* r, int64_t unit, double since) noexcept nogil:
    """Fill `events` and `table` with the arrivals of a position, from the interval that began at `since`, ms, on;
    returns how many they are."""
    cdef int64_t n = r.patches.ptr[unit + 1] - r.patches.ptr[unit]
    cdef const entry_t* entries = patches_entries(r.patches, unit)
    cdef instant_t before = begin_at(r, since)
    r.filled = -1
    if r.single:
        ops32.fill(r.constants, entries, n, r.instants, &before, r.events, <float*> r.table)
    else:
        ops64.fill(r.constants, entries, n, r.instants, &before, r.events, <double*> r.table)
    return n


cdef void ready_sources(ready_t* r, int64_t unit) noexcept nogil:
    """Fill `times`, `sources`, `table` with the arrivals of a position, from time 0 on, unless they are there."""
    cdef int64_t n = r.patches.ptr[unit + 1] - r.patches.ptr[unit]
    cdef const entry_t* entries = patches_entries(r.patches, unit)
    cdef instant_t before
    if r.filled == unit:
        return
    before = begin_at(r, 0.0)
    r.filled = unit
    if r.single:
        ops32.fill_sources(r.constants, entries, n, r.instants, &before, r.times, r.sources, <float*> r.table)
    else:
        ops64.fill_sources(r.constants, entries, n, r.instants, &before, r.times, r.sources, <double*> r.table)


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
        self.patches, self.constants = patches, constants
        self.ready.patches, self.ready.constants, self.ready.single = &patches.patches, &constants[0], single
        with nogil:
            ready_begin(&self.ready)

    def __dealloc__(self):
        ready_free(&self.ready)
