"""Convolution and pooling layers as stages: what is done in one sample, apart from all others.

Twin: `eventsnn.simulate.engines.layer_run.run_layer`, layer by layer and sample by sample, with Python between; the
same bits. A thread makes what the positions of a layer see in memory of its own, which it keeps for the next layer and
sample: it is several times as large as the cache, and what was written last is still there. How many spikes there will
be nobody knows before: they are held in memory that grows, sample by sample.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc, qsort
from libc.string cimport memcpy

import threading

import numpy as np

from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.engine_sweep cimport sweep_unit
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.patches cimport (
    describe_geometry,
    patches_begin,
    patches_free,
    patches_next,
    ready_begin,
    ready_fill,
    ready_free,
)
from eventsnn._ext.spikes cimport spikes_free, spikes_no_memory, spikes_push
from eventsnn._ext.store cimport (
    merger_create,
    merger_extend,
    merger_free,
    merger_merge,
    merger_t,
    trains_t,
)
from eventsnn._ext.sweep cimport SWEEP_AHEAD, block_t, event_t
from eventsnn._ext.team cimport Stage
from eventsnn._ext.work_counter cimport WorkCounter

cdef enum:
    LARGE = 1 << 22     # a thread does not keep room for so many spikes or arrivals


cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident() noexcept nogil


cdef extern from *:
    """
    #include <pthread.h>
    #include <stdlib.h>
    static pthread_key_t seen_key;
    static int seen_key_create(void (*drop)(void*)) { return pthread_key_create(&seen_key, drop); }
    static void* seen_key_value(size_t size) {
        void* value = pthread_getspecific(seen_key);
        if (value == NULL) {
            value = calloc(1, size);
            if (value != NULL && pthread_setspecific(seen_key, value)) {
                free(value);
                value = NULL;
            }
        }
        return value;
    }
    """
    int seen_key_create(void (*drop)(void*) noexcept nogil)
    void* seen_key_value(size_t size) noexcept nogil


cdef void drop_seen(void* seen) noexcept nogil:
    seen_free(<seen_t*> seen)
    free(seen)


if seen_key_create(drop_seen):
    raise MemoryError("no memory for what threads keep")

cdef unsigned long MAIN = threading.main_thread().ident


cdef seen_t* seen_of_thread() except NULL nogil:
    """The calling thread's own, until it ends."""
    cdef seen_t* seen = <seen_t*> seen_key_value(sizeof(seen_t))
    if seen == NULL:
        spikes_no_memory(0)
    # Of a sample on a large sensor it may be much.
    if seen.patches.room_entries > LARGE or seen.patches.room_spikes > LARGE:
        seen_free(seen)
    return seen


cdef int be_patient(WorkCounter counter, int64_t* updates) except -1 nogil:
    """After so many `updates` of neurons, look whether to go on: raise what Ctrl-C does, or if another thread has met
    an error."""
    if updates[0] < PATIENCE:
        return 0
    updates[0] = 0
    if counter.cancelled:
        with gil:
            raise KeyboardInterrupt
    if PyThread_get_thread_ident() == MAIN:
        with gil:
            PyErr_CheckSignals()
    return 0


cdef class PositionSpikes:
    """The spikes of a layer of many positions in the samples of a mini-batch.

    Parameters
    ----------
    channels, positions, samples : int

    Attributes
    ----------
    counts : int64 array (samples, channels * positions)
        Spikes of each neuron.
    """

    def __cinit__(self, int64_t channels, int64_t positions, int64_t samples):
        self.channels, self.positions, self.samples = channels, positions, samples
        self.blocks = (channels + WIDTH - 1) // WIDTH
        self.fired = <spikes_t*> calloc(max(1, samples), sizeof(spikes_t))
        self.merged = <spikes_t*> calloc(max(1, samples), sizeof(spikes_t))
        self.ptr = <int64_t*> calloc(max(1, samples) * (positions * self.blocks + 1), sizeof(int64_t))
        if self.fired == NULL or self.merged == NULL or self.ptr == NULL:
            raise MemoryError(f"no memory for the spikes of {positions} positions in {samples} samples")
        self.counts = np.zeros((max(1, samples), channels * positions), np.int64)
        cdef int64_t[:, ::1] counts = self.counts
        self.count = &counts[0, 0]
        self.counts = self.counts[:samples]

    def __dealloc__(self):
        cdef int64_t s
        for s in range(self.samples):
            if self.fired != NULL:
                spikes_free(&self.fired[s])
            if self.merged != NULL:
                spikes_free(&self.merged[s])
        free(self.fired)
        free(self.merged)
        free(self.ptr)

    cdef int64_t* starts(self, int64_t sample) noexcept nogil:
        return self.ptr + sample * (self.positions * self.blocks + 1)

    def join(self, int64_t first, int64_t stop):
        """The spikes of consecutive samples, sorted by (time, neuron) in each.

        Returns
        -------
        times : float64, ms, neurons : int32, ptr : int64 (stop - first + 1,)
        """
        cdef int64_t s, n
        ptr = np.zeros(stop - first + 1, np.int64)
        cdef int64_t[::1] ends = ptr
        for s in range(first, stop):
            ends[s - first + 1] = ends[s - first] + self.merged[s].n
        times, neurons = np.empty(ends[stop - first]), np.empty(ends[stop - first], np.int32)
        cdef double[::1] t = times
        cdef int32_t[::1] i = neurons
        for s in range(first, stop):
            n = self.merged[s].n
            if n:
                memcpy(&t[ends[s - first]], self.merged[s].times, n * sizeof(double))
                memcpy(&i[ends[s - first]], self.merged[s].neurons, n * sizeof(int32_t))
        return times, neurons, ptr

    def by_block(self, int64_t sample):
        """The spikes of a sample in the order block, position, time.

        Returns
        -------
        times : float64, ms, channels : int32, ptr : int64 (blocks * positions + 1,), after : int32
            See `eventsnn.simulate.engines.layer_run.LayerRun`.
        """
        cdef const spikes_t* spikes = &self.fired[sample]
        cdef const int64_t* starts = self.starts(sample)
        cdef int64_t block, s, k, n, to = 0
        times, channels, after = np.empty(spikes.n), np.empty(spikes.n, np.int32), np.empty(spikes.n, np.int32)
        ptr = np.zeros(self.blocks * self.positions + 1, np.int64)
        cdef double[::1] t = times
        cdef int32_t[::1] i = channels, a = after
        cdef int64_t[::1] p = ptr
        for block in range(self.blocks):
            for s in range(self.positions):
                k = s * self.blocks + block
                n = starts[k + 1] - starts[k]
                if n:
                    memcpy(&t[to], spikes.times + starts[k], n * sizeof(double))
                    memcpy(&i[to], spikes.neurons + starts[k], n * sizeof(int32_t))
                    memcpy(&a[to], spikes.after + starts[k], n * sizeof(int32_t))
                to += n
                p[block * self.positions + s + 1] = to
        return times, channels, ptr, after


cdef class PositionInput:
    """What arrives at a layer of many positions in the samples of a mini-batch.

    Parameters
    ----------
    below : PositionSpikes or None
        The source; None: the spikes in the following arrays are.
    times, neurons, ptr
        As in `eventsnn._ext.arrivals.fill_tables`.
    delay : float
        Of all spikes, ms.
    bias_times, bias_ptr, bias
        As for `eventsnn._ext.arrivals.deliver_spikes`; the number of the bias neuron is that of the source neurons.
    kept : uint8 (samples, source neurons) or (0, 0)
        Neurons whose spikes arrive; all of them.
    channels, cell_ptr, places, area, positions
        As for `eventsnn._ext.patches.Patches`.
    constants : `eventsnn.reference.lif.RECORD` array (1,)
        Of the layer.
    single : bool
        Tables in float32, else in float64.
    most : int
        So many arrivals at positions are placed at a time, so that they are still in the cache when they are read.
    """

    def __init__(self, PositionSpikes below, const double[::1] times, const int32_t[::1] neurons,
                 const int64_t[::1] ptr, double delay, const double[::1] bias_times, const int64_t[::1] bias_ptr,
                 int32_t bias, const uint8_t[:, ::1] kept, int64_t channels, const int32_t[::1] cell_ptr,
                 const int32_t[:, ::1] places, int64_t area, int64_t positions,
                 const lif_t[::1] constants, bint single, int64_t most):
        self.arrays = (times, neurons, ptr, bias_times, bias_ptr, kept, cell_ptr, places, constants)
        self.geometry = describe_geometry(channels, cell_ptr, places, area, positions)
        self.constants, self.single, self.below, self.most = &constants[0], single, below, most
        self.delay, self.bias, self.ptr, self.bias_ptr = delay, bias, &ptr[0], &bias_ptr[0]
        if times.shape[0]:
            self.times, self.neurons = &times[0], &neurons[0]
        if bias_times.shape[0]:
            self.bias_times = &bias_times[0]
        if kept.shape[0]:
            self.kept = &kept[0, 0]

    cdef int see(self, int64_t sample, seen_t* seen) except -1 nogil:
        """Begin with a sample; `see_next` then goes to the first positions."""
        cdef const double* times
        cdef const int32_t* neurons
        cdef int64_t n
        self.arrive(sample, seen, &times, &neurons, &n)
        patches_begin(&seen.patches, &self.geometry, times, neurons, n)
        seen.ready.patches, seen.ready.constants, seen.ready.single = &seen.patches, self.constants, self.single
        ready_begin(&seen.ready)
        return 0

    cdef bint see_next(self, seen_t* seen) except -1 nogil:
        """Go to the next positions; whether there are any."""
        return patches_next(&seen.patches, &self.geometry, self.most)

    cdef int arrive(self, int64_t sample, seen_t* seen, const double** times, const int32_t** neurons,
                    int64_t* n) except -1 nogil:
        """The spikes of the source that arrive, sorted by (time, neuron), those of the bias neuron among them."""
        cdef int64_t b = self.bias_ptr[sample], last = self.bias_ptr[sample + 1], k = 0, end
        cdef spikes_t* arrived = &seen.arrived
        cdef const uint8_t* kept = NULL
        if self.below is not None:
            times[0], neurons[0] = self.below.merged[sample].times, self.below.merged[sample].neurons
            end = self.below.merged[sample].n
        else:
            times[0], neurons[0] = self.times + self.ptr[sample], self.neurons + self.ptr[sample]
            end = self.ptr[sample + 1] - self.ptr[sample]
        n[0] = end
        if self.delay == 0.0 and b == last and self.kept == NULL:
            return 0
        if self.kept != NULL:
            kept = self.kept + sample * self.bias
        arrived.n = 0
        while k < end or b < last:
            if k < end and kept != NULL and not kept[neurons[0][k]]:
                k += 1
            # At equal times the bias neuron, which has the largest number, comes last.
            elif k < end and (b >= last or times[0][k] + self.delay <= self.bias_times[b]):
                spikes_push(arrived, times[0][k] + self.delay, neurons[0][k])
                k += 1
            else:
                spikes_push(arrived, self.bias_times[b], self.bias)
                b += 1
        times[0], neurons[0], n[0] = arrived.times, arrived.neurons, arrived.n
        return 0

    def arrivals(self, int64_t sample):
        """(times, neurons) of what arrives in a sample: float64, ms; int32."""
        cdef const double* times
        cdef const int32_t* neurons
        cdef int64_t n
        self.arrive(sample, seen_of_thread(), &times, &neurons, &n)
        out_times, out_neurons = np.empty(n), np.empty(n, np.int32)
        cdef double[::1] t = out_times
        cdef int32_t[::1] i = out_neurons
        if n:
            memcpy(&t[0], times, n * sizeof(double))
            memcpy(&i[0], neurons, n * sizeof(int32_t))
        return out_times, out_neurons


cdef void seen_free(seen_t* seen) noexcept nogil:
    """Hand back the memory, and have none."""
    patches_free(&seen.patches)
    ready_free(&seen.ready)
    spikes_free(&seen.arrived)


cdef extern from *:
    """
    static int compare_numbers(const void* a, const void* b) {
        return (*(const int32_t*)a > *(const int32_t*)b) - (*(const int32_t*)a < *(const int32_t*)b);
    }
    """
    int compare_numbers(const void* a, const void* b) noexcept nogil


cdef struct room_t:
    # Of one thread.
    merger_t merger
    int64_t updates         # since it last looked whether to go on
    int32_t* numbers        # [room] neurons of the spikes
    int64_t room
    block_t block
    event_t own[1 + SWEEP_AHEAD]


cdef class SweepPositions(Stage):
    """Spikes of a layer of many positions; made by `sweep_positions`."""

    cdef object arrays              # the arrays that the pointers below lead into
    cdef PositionInput input
    cdef PositionSpikes spikes
    cdef const void* weights        # real [blocks][rows][WIDTH]
    cdef int64_t rows
    cdef double t_stop
    cdef readonly bint failed       # whether it has raised an error

    cdef void* take_room(self) except NULL nogil:
        cdef room_t* room = <room_t*> calloc(1, sizeof(room_t))
        cdef bint ready = False
        if room == NULL:
            spikes_no_memory(0)
        room.block.lif = self.input.constants
        room.block.t_stop = self.t_stop
        room.block.own = &room.own[0]
        try:
            merger_create(&room.merger, <int32_t> (self.spikes.positions * self.spikes.blocks), 0)
            ready = True
        finally:
            if not ready:
                self.return_room(room)
        return room

    cdef void return_room(self, void* room) noexcept nogil:
        cdef room_t* r = <room_t*> room
        merger_free(&r.merger)
        free(r.numbers)
        free(r)

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        cdef room_t* r = <room_t*> room
        cdef seen_t* seen = seen_of_thread()
        cdef bint done = False
        try:
            self.input.see(number, seen)
            if self.input.single:
                sweep_sample(self, number, r, seen, <const float*> self.weights)
            else:
                sweep_sample(self, number, r, seen, <const double*> self.weights)
            merge_positions(self.spikes, number, r)
            done = True
        finally:
            self.failed = self.failed or not done
        return 0


cdef int sweep_sample(SweepPositions w, int64_t sample, room_t* room, seen_t* seen,
                      const real_t* weights) except -1 nogil:
    """All positions of a sample, all blocks of each."""
    cdef block_t* k = &room.block
    cdef int64_t* starts = w.spikes.starts(sample)
    cdef int64_t s, block, count, blocks = w.spikes.blocks
    k.spikes = &w.spikes.fired[sample]
    k.events = seen.ready.events
    for s in range(w.spikes.positions):
        if s == seen.patches.stop:
            w.input.see_next(seen)
        k.n = ready_fill(&seen.ready, s, 0.0)
        for block in range(blocks):
            k.first = <int32_t> (block * WIDTH)
            k.neurons = <int32_t> min(<int64_t> WIDTH, w.spikes.channels - block * WIDTH)
            sweep_unit(k, <const real_t*> NULL, weights + block * w.rows * WIDTH, <const real_t*> seen.ready.table,
                       <real_t*> NULL, <real_t*> NULL, NULL, NULL, INFINITY, &count)
            starts[s * blocks + block + 1] = k.spikes.n
        room.updates += k.n * blocks * WIDTH
        be_patient(w.counter, &room.updates)
    return 0


cdef int merge_positions(PositionSpikes spikes, int64_t sample, room_t* room) except -1 nogil:
    """Sort the spikes of a sample by (time, neuron), and count them."""
    cdef const spikes_t* fired = &spikes.fired[sample]
    cdef spikes_t* merged = &spikes.merged[sample]
    cdef const int64_t* starts = spikes.starts(sample)
    cdef int64_t* counts = spikes.count + sample * spikes.channels * spikes.positions
    cdef int64_t s, k, first, n = fired.n, trains = spikes.positions * spikes.blocks
    cdef trains_t b
    if not n:
        return 0
    merger_extend(&room.merger, n)
    if n > room.room:
        free(room.numbers)
        room.room = 0
        room.numbers = <int32_t*> malloc(n * sizeof(int32_t))
        if room.numbers == NULL:
            spikes_no_memory(n)
        room.room = n
    merged.times = <double*> malloc(n * sizeof(double))
    merged.neurons = <int32_t*> malloc(n * sizeof(int32_t))
    if merged.times == NULL or merged.neurons == NULL:
        spikes_no_memory(n)
    merged.n = n
    for s in range(spikes.positions):
        for k in range(starts[s * spikes.blocks], starts[(s + 1) * spikes.blocks]):
            room.numbers[k] = fired.neurons[k] * <int32_t> spikes.positions + <int32_t> s
            counts[room.numbers[k]] += 1
    b = trains_t(fired.times, room.numbers, starts, 1, <int32_t> trains, n)
    merger_merge(&room.merger, &b, merged.times, merged.neurons)
    # Trains were merged by position; neurons that fire at one instant are to stand in their own order.
    first = 0
    for k in range(1, n + 1):
        if k == n or merged.times[k] != merged.times[first]:
            if k - first > 1:
                qsort(merged.neurons + first, k - first, sizeof(int32_t), compare_numbers)
            first = k
    return 0


def sweep_positions(const real_t[:, :, ::1] weights, PositionInput input, double t_stop, PositionSpikes spikes,
                    WorkCounter counter):
    """Spikes of a layer of many positions, as a task whose units are samples.

    Parameters
    ----------
    weights : real (blocks, inputs, WIDTH)
    input : PositionInput
    t_stop : float
        No spikes after it, ms.
    spikes : PositionSpikes
        Filled.
    counter : WorkCounter
        Over the samples.

    Raises
    ------
    FloatingPointError
        By the task: the state is not finite.
    OverflowError
        By the task: a neuron would fire without end at one instant.
    """
    cdef SweepPositions w = SweepPositions()
    if input.single != (sizeof(real_t) == sizeof(float)):
        raise TypeError("arrivals of another precision than the weights")
    w.arrays, w.input, w.spikes, w.counter, w.t_stop = weights, input, spikes, counter, t_stop
    w.weights, w.rows = &weights[0, 0, 0], weights.shape[1]
    return w
