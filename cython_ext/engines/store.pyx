"""The spikes of a layer for a batch of samples: gathered block by block, then merged sample by sample."""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

from eventsnn._ext.event_queue cimport heap_create, heap_free, heap_t, heap_top, heap_update
from eventsnn._ext.spikes cimport spikes_free
from eventsnn._ext.work_counter cimport WorkCounter, work_take

cdef enum:
    # More spikes in a bucket than this are not sorted by insertion.
    CROWD = 48


cdef class SpikeStore:
    """Spikes by unit of work, one block and one of `parts` consecutive parts of the samples.

    Attributes
    ----------
    blocks, samples, parts : int
    """

    def __cinit__(self, int64_t blocks, int64_t samples, int64_t parts):
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

    def collect(self):
        """All spikes in the order block, sample, time.

        Returns
        -------
        times : float64, ms, neurons : int32, ptr : int64 (blocks * samples + 1,)
            Block b's spikes of sample s are [ptr[k], ptr[k + 1]) with k = b * samples + s.
        after : int32
            Number of the last arrival of the sample that is not later than the spike, -1 for none.
        """
        cdef int64_t k, at = 0, n = self.blocks * self.samples
        ptr = np.zeros(n + 1, dtype=np.int64)
        cdef int64_t[::1] ends = ptr
        for k in range(n):
            ends[k + 1] = ends[k] + self.counts[k]
        times = np.empty(ends[n], dtype=np.float64)
        neurons = np.empty(ends[n], dtype=np.int32)
        cdef double[::1] t = times
        cdef int32_t[::1] i = neurons
        after = np.empty(ends[n], dtype=np.int32)
        cdef int32_t[::1] a = after
        with nogil:
            for k in range(self.blocks * self.parts):
                if self.units[k].n:
                    memcpy(&t[at], self.units[k].times, self.units[k].n * sizeof(double))
                    memcpy(&i[at], self.units[k].neurons, self.units[k].n * sizeof(int32_t))
                    memcpy(&a[at], self.units[k].after, self.units[k].n * sizeof(int32_t))
                    at += self.units[k].n
        return times, neurons, ptr, after


cdef struct trains_t:
    # The trains of one sample: `n` of them, [start[stride k], start[stride k + 1]) each.
    const double* times
    const int32_t* neurons
    const int64_t* start
    int64_t stride
    int32_t n
    int64_t spikes
    double first      # time of the first spike, ms


cdef int64_t fill_buckets(const trains_t* b, int32_t* count, double scale) noexcept nogil:
    """count[k + 1] = spikes in bucket k, for as many buckets as spikes; returns the largest."""
    cdef int64_t q, f, crowd = 0, cell
    memset(count, 0, (b.spikes + 1) * sizeof(int32_t))
    for q in range(b.n):
        for f in range(b.start[q * b.stride], b.start[q * b.stride + 1]):
            cell = min(<int64_t> ((b.times[f] - b.first) * scale), b.spikes - 1)
            count[cell + 1] += 1
    for q in range(b.spikes):
        crowd = max(crowd, <int64_t> count[q + 1])
        count[q + 1] += count[q]
    return crowd


cdef void merge_buckets(const trains_t* b, int32_t* count, double scale, double* out_t, int32_t* out_n) noexcept nogil:
    """Into buckets of time, each in the order of the trains, that of the neurons; then each bucket is sorted."""
    cdef int64_t q, f, k, cell
    cdef double t
    cdef int32_t n
    for q in range(b.n):
        for f in range(b.start[q * b.stride], b.start[q * b.stride + 1]):
            cell = min(<int64_t> ((b.times[f] - b.first) * scale), b.spikes - 1)
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


def merge_trains(const double[::1] times, const int32_t[::1] neurons, const int64_t[::1] ptr,
                 const int64_t[::1] sample_ptr, double[::1] out_times, int32_t[::1] out_neurons,
                 int64_t[:, ::1] counts, WorkCounter turns):
    """Merge the blocks' spike trains into the order (time, neuron), for the samples that this thread takes.

    Parameters
    ----------
    times, neurons, ptr
        As `SpikeStore.collect` returns them.
    sample_ptr : int64 (samples + 1,)
        Where each sample's spikes go in `out_times` (float64, ms) and `out_neurons` (int32).
    counts : int64 (samples, neurons)
        Filled: spike counts.
    turns : WorkCounter
        Over the samples.
    """
    cdef int64_t n_samples = sample_ptr.shape[0] - 1, s, k, most = 1
    cdef int32_t blocks = <int32_t> ((ptr.shape[0] - 1) // max(1, n_samples))
    cdef heap_t heap
    cdef trains_t b
    cdef double latest, scale
    for s in range(n_samples):
        most = max(most, sample_ptr[s + 1] - sample_ptr[s])
    cdef int32_t[::1] count = np.empty(most + 1, dtype=np.int32)
    cdef int64_t[::1] cursor = np.empty(max(1, blocks), dtype=np.int64)
    heap_create(&heap, max(1, blocks))
    with nogil:
        s = work_take(&turns.next)
        while s < turns.count:
            b.spikes = sample_ptr[s + 1] - sample_ptr[s]
            memset(&counts[s, 0], 0, counts.shape[1] * sizeof(int64_t))
            if b.spikes:
                b.times = &times[0]
                b.neurons = &neurons[0]
                b.start = &ptr[s]
                b.stride = n_samples
                b.n = blocks
                latest = 0.0
                b.first = INFINITY
                for k in range(blocks):
                    if ptr[k * n_samples + s + 1] > ptr[k * n_samples + s]:
                        latest = max(latest, times[ptr[k * n_samples + s + 1] - 1])
                        b.first = min(b.first, times[ptr[k * n_samples + s]])
                # The product must not overflow; a scale of 0 puts all into one bucket.
                scale = b.spikes / (latest - b.first) if latest - b.first > 1e-200 else 0.0
                if fill_buckets(&b, &count[0], scale) <= CROWD:
                    merge_buckets(&b, &count[0], scale, &out_times[sample_ptr[s]], &out_neurons[sample_ptr[s]])
                else:
                    merge_heap(&b, &heap, &cursor[0], &out_times[sample_ptr[s]], &out_neurons[sample_ptr[s]])
                for k in range(sample_ptr[s], sample_ptr[s + 1]):
                    counts[s, out_neurons[k]] += 1
            s = work_take(&turns.next)
        heap_free(&heap)
