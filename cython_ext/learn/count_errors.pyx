"""Losses by spike counts, errors of the output layer and forced spikes, as a stage of what is done sample by sample.

Twins: eventsnn/learn/heads/count.py, `Rule.output_errors`, `ExactErrors.force_spikes`. Counts are whole numbers, so the
sum of their squares has no rounding, and the bits are those of the twins.
"""

from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.spikes cimport spikes_append, spikes_no_memory, spikes_sort_tail, spikes_t
from eventsnn._ext.store cimport ForcedSpikes, SpikeStore
from eventsnn._ext.team cimport Stage
from eventsnn._ext.work_counter cimport WorkCounter


cdef class CountErrors(Stage):
    """Losses, errors and forced spikes of samples; made by `count_errors`."""

    cdef object arrays              # the arrays that the pointers below lead into
    cdef SpikeStore store
    cdef ForcedSpikes forced
    cdef bint single, forces
    cdef int64_t neurons, size
    cdef double desired, undesired, margin, threshold
    cdef const int64_t* labels      # [samples]
    cdef const double* weights      # [samples]
    cdef const double* durations    # [samples]
    cdef int64_t* counts            # [samples][neurons]
    cdef double* loss               # [samples]
    cdef double* delta              # [samples][size]
    cdef void* there                # real [samples][size]

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        cdef int64_t* counts = self.counts + number * self.neurons
        cdef double* delta = self.delta + number * self.size
        cdef int64_t label = self.labels[number], n
        self.count(number, counts)
        self.loss[number] = self.errors(counts, label, self.weights[number], delta)
        for n in range(self.size):
            if self.single:
                (<float*> self.there)[number * self.size + n] = delta[n] != 0.0
            else:
                (<double*> self.there)[number * self.size + n] = delta[n] != 0.0
        if self.forces and not counts[label]:
            self.force(number, label)
        return 0

    cdef void count(self, int64_t s, int64_t* counts) noexcept nogil:
        """The spikes of all neurons in a sample."""
        cdef const spikes_t* spikes
        cdef int64_t block, f
        memset(counts, 0, self.neurons * sizeof(int64_t))
        for block in range(self.store.blocks):
            spikes = &self.store.units[block * self.store.samples + s]
            for f in range(spikes.n):
                counts[spikes.neurons[f]] += 1

    cdef double errors(self, const int64_t* counts, int64_t label, double weight, double* delta) noexcept nogil:
        """The loss of a sample; sets `delta`, 0 for padding."""
        cdef double d, total = 0.0
        cdef int64_t n
        for n in range(self.size):
            delta[n] = 0.0
            if n < self.neurons:
                d = counts[n] - (self.desired if n == label else self.undesired)
                if fabs(d) <= self.margin:
                    d = 0.0
                total += d * d
                delta[n] = weight * d / self.threshold
        return 0.5 * total

    cdef int force(self, int64_t s, int64_t label) except -1 nogil:
        """Give the silent label neuron of a sample as many spikes as desired, evenly spaced."""
        cdef int64_t block = label // WIDTH, f
        cdef const spikes_t* true = &self.store.units[block * self.store.samples + s]
        cdef spikes_t* spikes = &self.forced.units[s]
        cdef double interval = self.durations[s] / self.desired
        for f in range(true.n + <int64_t> self.desired):
            if f < true.n:
                if spikes_append(spikes, true.times[f], true.neurons[f], -1) < 0:
                    spikes_no_memory(f)
            elif spikes_append(spikes, (f - true.n + 1) * interval, <int32_t> label, -1) < 0:
                spikes_no_memory(f)
        spikes_sort_tail(spikes, 0)
        self.forced.block[s] = block
        return 0


def count_errors(SpikeStore store, ForcedSpikes forced, const int64_t[::1] labels, const double[::1] weights,
                 const double[::1] durations, int64_t desired, int64_t undesired, double margin, bint forces,
                 double threshold, int64_t[:, ::1] counts, double[::1] loss, double[:, ::1] delta,
                 real_t[:, ::1] there):
    """Losses, errors and forced spikes, as a task whose units are samples.

    Parameters
    ----------
    store : SpikeStore
        Spikes of the output layer, where a sample is a part by itself.
    forced : ForcedSpikes
        Filled: spikes of the label's block with those that a silent label neuron is given.
    labels : int64 (samples,), weights : float64 (samples,), durations : float64 (samples,), ms
    desired, undesired, margin, forces
        Of the rule; see `eventsnn.learn.hm2bp.HM2BP`.
    threshold : float
        Of the output layer.
    counts : int64 (samples, neurons)
        Set: true spikes.
    loss : float64 (samples,)
        Set.
    delta : float64 (samples, blocks * WIDTH), there : real (samples, blocks * WIDTH)
        Set: errors of the neurons, 0 for padding, and 1 where there is one.
    """
    cdef CountErrors w = CountErrors()
    if store.parts < store.samples:
        raise ValueError("a sample is no part of the store by itself")
    w.arrays = (labels, weights, durations, counts, loss, delta, there)
    w.store, w.forced, w.single, w.forces = store, forced, real_t is float, forces
    w.counter, w.neurons, w.size = WorkCounter(store.samples), counts.shape[1], delta.shape[1]
    w.desired, w.undesired, w.margin, w.threshold = desired, undesired, margin, threshold
    w.labels, w.weights, w.durations, w.counts, w.loss, w.delta, w.there = NULL, NULL, NULL, NULL, NULL, NULL, NULL
    if store.samples:
        w.labels, w.weights, w.durations, w.counts = &labels[0], &weights[0], &durations[0], &counts[0, 0]
        w.loss, w.delta, w.there = &loss[0], &delta[0, 0], &there[0, 0]
    return w
