"""The spikes of a layer for a batch of samples: gathered block by block, then merged sample by sample."""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

import numpy as np

from eventsnn._ext.dtypes cimport WIDTH
from eventsnn._ext.event_queue cimport heap_create, heap_free, heap_t, heap_top, heap_update
from eventsnn._ext.spikes cimport spikes_free
from eventsnn._ext.team cimport Stage
from eventsnn._ext.work_counter cimport WorkCounter

cdef enum:
    # More spikes in a bucket than this are not sorted by insertion.
    CROWD = 48


cdef class SpikeStore:
    """Spikes by unit of work, one block and one of `parts` consecutive parts of the samples.

    Attributes
    ----------
    neurons, blocks, samples, parts : int
        Neurons of a sample, in blocks of WIDTH.
    """

    def __cinit__(self, int64_t neurons, int64_t samples, int64_t parts):
        cdef int64_t blocks = (neurons + WIDTH - 1) // WIDTH
        self.neurons = neurons
        self.blocks = blocks
        self.samples = samples
        self.parts = max(1, min(parts, samples))
        self.units = <spikes_t*> calloc(max(1, self.blocks * self.parts), sizeof(spikes_t))
        self.counts = <int64_t*> calloc(max(1, blocks * samples), sizeof(int64_t))
        if self.units == NULL or self.counts == NULL:
            raise MemoryError(f"no memory for the spikes of {blocks} blocks")

    def __dealloc__(self):
        cdef int64_t k
        if self.units != NULL:
            for k in range(self.blocks * self.parts):
                spikes_free(&self.units[k])
        free(self.units)
        free(self.counts)

    def collect(self, bint copy=True):
        """All spikes in the order block, sample, time.

        Parameters
        ----------
        copy : bool
            Fill `times`, `neurons` and `after`. Otherwise they only have the right sizes: `merge_trains` fills them,
            which threads can share out.

        Returns
        -------
        times : float64, ms, neurons : int32, ptr : int64 (blocks * samples + 1,)
            Block b's spikes of sample s are [ptr[k], ptr[k + 1]) with k = b * samples + s.
        after : int32
            Number of the last arrival of the sample that is not later than the spike, -1 for none.
        sample_ptr : int64 (samples + 1,)
            Sample s has sample_ptr[s + 1] - sample_ptr[s] spikes.
        """
        cdef int64_t k, s, n = self.blocks * self.samples
        ptr = np.empty(n + 1, dtype=np.int64)
        sample_ptr = np.zeros(self.samples + 1, dtype=np.int64)
        cdef int64_t[::1] ends = ptr, totals = sample_ptr
        ends[0] = 0
        for k in range(self.blocks):
            for s in range(self.samples):
                ends[k * self.samples + s + 1] = ends[k * self.samples + s] + self.counts[k * self.samples + s]
                totals[s + 1] += self.counts[k * self.samples + s]
        for s in range(self.samples):
            totals[s + 1] += totals[s]
        times = np.empty(ends[n], dtype=np.float64)
        neurons = np.empty(ends[n], dtype=np.int32)
        after = np.empty(ends[n], dtype=np.int32)
        cdef double[::1] t = times
        cdef int32_t[::1] i = neurons, a = after
        if copy and ends[n]:
            with nogil:
                for s in range(self.samples):
                    self.copy_sample(s, &ends[0], &t[0], &i[0], &a[0])
        return times, neurons, ptr, after, sample_ptr

    cdef void copy_sample(self, int64_t s, const int64_t* ptr, double* times, int32_t* neurons,
                          int32_t* after) noexcept nogil:
        """Copy the spikes of one sample to where `collect` has them."""
        # The last part that does not begin after the sample.
        cdef int64_t part = ((s + 1) * self.parts - 1) // self.samples
        cdef int64_t block, to, n, k
        cdef const spikes_t* unit
        for block in range(self.blocks):
            to = ptr[block * self.samples + s]
            n = ptr[block * self.samples + s + 1] - to
            if n:
                unit = &self.units[block * self.parts + part]
                k = to - ptr[block * self.samples + self.first_sample(part)]
                memcpy(times + to, unit.times + k, n * sizeof(double))
                memcpy(neurons + to, unit.neurons + k, n * sizeof(int32_t))
                memcpy(after + to, unit.after + k, n * sizeof(int32_t))


cdef class ForcedSpikes:
    """Spikes that are added to those of a `SpikeStore`, in some samples, to one block; the store has only true ones.

    Parameters
    ----------
    samples : int
    """

    def __cinit__(self, int64_t samples):
        self.samples = samples
        self.units = <spikes_t*> calloc(max(1, samples), sizeof(spikes_t))
        self.block = <int64_t*> calloc(max(1, samples), sizeof(int64_t))
        if self.units == NULL or self.block == NULL:
            raise MemoryError(f"no memory for forced spikes in {samples} samples")

    def __dealloc__(self):
        cdef int64_t s
        if self.units != NULL:
            for s in range(self.samples):
                spikes_free(&self.units[s])
        free(self.units)
        free(self.block)


cdef int64_t fill_buckets(const trains_t* b, int32_t* count, double first, double scale) noexcept nogil:
    """count[k + 1] = spikes in bucket k, for as many buckets as spikes; returns the largest."""
    cdef int64_t q, f, crowd = 0, cell
    memset(count, 0, (b.spikes + 1) * sizeof(int32_t))
    for q in range(b.n):
        for f in range(b.start[q * b.stride], b.start[q * b.stride + 1]):
            cell = min(<int64_t> ((b.times[f] - first) * scale), b.spikes - 1)
            count[cell + 1] += 1
    for q in range(b.spikes):
        crowd = max(crowd, <int64_t> count[q + 1])
        count[q + 1] += count[q]
    return crowd


cdef void merge_buckets(const trains_t* b, int32_t* count, double first, double scale, double* out_t,
                        int32_t* out_n) noexcept nogil:
    """Into buckets of time, each in the order of the trains, that of the neurons; then each bucket is sorted."""
    cdef int64_t q, f, k, cell
    cdef double t
    cdef int32_t n
    for q in range(b.n):
        for f in range(b.start[q * b.stride], b.start[q * b.stride + 1]):
            cell = min(<int64_t> ((b.times[f] - first) * scale), b.spikes - 1)
            out_t[count[cell]] = b.times[f]
            out_n[count[cell]] = b.neurons[f]
            count[cell] += 1
    # Equal times stay in the order of their neurons.
    for k in range(1, b.spikes):
        t = out_t[k]
        n = out_n[k]
        f = k
        while f > 0 and out_t[f - 1] > t:
            out_t[f] = out_t[f - 1]
            out_n[f] = out_n[f - 1]
            f -= 1
        out_t[f] = t
        out_n[f] = n


cdef void merge_heap(const trains_t* b, heap_t* heap, int64_t* cursor, double* out_t, int32_t* out_n) noexcept nogil:
    """The same for spikes that crowd in time, train by train."""
    cdef int32_t q
    cdef int64_t k
    for q in range(b.n):
        cursor[q] = b.start[q * b.stride]
        heap_update(heap, q, b.times[cursor[q]] if cursor[q] < b.start[q * b.stride + 1] else INFINITY)
    for k in range(b.spikes):
        q = heap_top(heap)
        out_t[k] = b.times[cursor[q]]
        out_n[k] = b.neurons[cursor[q]]
        cursor[q] += 1
        heap_update(heap, q, b.times[cursor[q]] if cursor[q] < b.start[q * b.stride + 1] else INFINITY)


cdef int merger_create(merger_t* m, int32_t trains, int64_t spikes) except -1 nogil:
    """What merges so many trains, with room for so many spikes; `m` is zeros."""
    m.trains = max(1, trains)
    m.cursor = <int64_t*> malloc(m.trains * sizeof(int64_t))
    if m.cursor == NULL:
        with gil:
            raise MemoryError(f"no memory to merge {trains} spike trains")
    heap_create(&m.heap, m.trains)
    m.room = -1
    return merger_extend(m, spikes)


cdef int merger_extend(merger_t* m, int64_t spikes) except -1 nogil:
    """Make room for so many spikes."""
    if spikes <= m.room:
        return 0
    free(m.count)
    m.room = -1
    m.count = <int32_t*> malloc((spikes + 1) * sizeof(int32_t))
    if m.count == NULL:
        with gil:
            raise MemoryError(f"no memory to merge {spikes} spikes")
    m.room = spikes
    return 0


cdef void merger_merge(merger_t* m, const trains_t* b, double* out_t, int32_t* out_n) noexcept nogil:
    """All spikes of the trains by time, at equal times in the order of the trains."""
    cdef double first = INFINITY, latest = 0.0, scale
    cdef int64_t k
    if not b.spikes:
        return
    for k in range(b.n):
        if b.start[k * b.stride + 1] > b.start[k * b.stride]:
            latest = max(latest, b.times[b.start[k * b.stride + 1] - 1])
            first = min(first, b.times[b.start[k * b.stride]])
    # The product must not overflow; a scale of 0 puts all into one bucket.
    scale = b.spikes / (latest - first) if latest - first > 1e-200 else 0.0
    if fill_buckets(b, m.count, first, scale) <= CROWD:
        merge_buckets(b, m.count, first, scale, out_t, out_n)
    else:
        merge_heap(b, &m.heap, m.cursor, out_t, out_n)


cdef void merger_free(merger_t* m) noexcept nogil:
    heap_free(&m.heap)
    free(m.count)
    free(m.cursor)
    memset(m, 0, sizeof(merger_t))


cdef class Merge(Stage):
    """Spike trains of blocks merged sample by sample; made by `merge_trains`."""

    cdef object arrays              # the arrays that the pointers below lead into
    cdef SpikeStore store           # or None
    cdef bint copies
    cdef int64_t samples, neurons, longest
    cdef int32_t blocks
    cdef double* times
    cdef int32_t* sources
    cdef int32_t* after
    cdef const int64_t* ptr         # [blocks * samples + 1]
    cdef const int64_t* sample_ptr  # [samples + 1]
    cdef double* out_times
    cdef int32_t* out_neurons
    cdef int64_t* counts            # [samples][neurons]

    cdef void* take_room(self) except NULL nogil:
        cdef merger_t* room = <merger_t*> calloc(1, sizeof(merger_t))
        cdef bint ready = False
        if room == NULL:
            with gil:
                raise MemoryError(f"no memory to merge {self.longest} spikes")
        try:
            merger_create(room, self.blocks, self.longest)
            ready = True
        finally:
            if not ready:
                self.return_room(room)
        return room

    cdef void return_room(self, void* room) noexcept nogil:
        merger_free(<merger_t*> room)
        free(room)

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        if self.copies:
            self.store.copy_sample(number, self.ptr, self.times, self.sources, self.after)
        merge_sample(self, number, <merger_t*> room)
        return 0


cdef void merge_sample(Merge w, int64_t s, merger_t* room) noexcept nogil:
    cdef int64_t first = w.sample_ptr[s], k
    cdef int64_t* counts = w.counts + s * w.neurons
    cdef trains_t b = trains_t(w.times, w.sources, w.ptr + s, w.samples, w.blocks, w.sample_ptr[s + 1] - first)
    merger_merge(room, &b, w.out_times + first, w.out_neurons + first)
    memset(counts, 0, w.neurons * sizeof(int64_t))
    for k in range(first, w.sample_ptr[s + 1]):
        counts[w.out_neurons[k]] += 1


def merge_trains(double[::1] times, int32_t[::1] neurons, const int64_t[::1] ptr, const int64_t[::1] sample_ptr,
                 double[::1] out_times, int32_t[::1] out_neurons, int64_t[:, ::1] counts, SpikeStore store=None,
                 int32_t[::1] after=None):
    """Merge the blocks' spike trains into the order (time, neuron), as a task whose units are samples.

    Parameters
    ----------
    times, neurons, ptr
        As `SpikeStore.collect` returns them.
    sample_ptr : int64 (samples + 1,)
        Where each sample's spikes go in `out_times` (float64, ms) and `out_neurons` (int32).
    counts : int64 (samples, neurons)
        Filled: spike counts.
    store : SpikeStore, optional
        Fill `times`, `neurons` and `after` from it first, which it has not copied the spikes to.
    """
    cdef Merge w = Merge()
    cdef int64_t s
    w.arrays = (times, neurons, ptr, sample_ptr, out_times, out_neurons, counts, after)
    w.samples, w.neurons, w.longest = sample_ptr.shape[0] - 1, counts.shape[1], 1
    w.counter, w.blocks = WorkCounter(w.samples), <int32_t> ((ptr.shape[0] - 1) // max(1, w.samples))
    w.ptr, w.sample_ptr = &ptr[0], &sample_ptr[0]
    for s in range(w.samples):
        w.longest = max(w.longest, w.sample_ptr[s + 1] - w.sample_ptr[s])
    w.counts = &counts[0, 0] if counts.shape[0] and counts.shape[1] else NULL
    w.times, w.sources, w.out_times, w.out_neurons, w.after = NULL, NULL, NULL, NULL, NULL
    w.store, w.copies = store, store is not None and times.shape[0] > 0
    if times.shape[0]:
        w.times, w.sources, w.out_times, w.out_neurons = &times[0], &neurons[0], &out_times[0], &out_neurons[0]
    if w.copies:
        w.after = &after[0]
    return w
