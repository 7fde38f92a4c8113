"""A network in the middle of a simulation in windows; see engine_windows.pyx."""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy

import numpy as np

from eventsnn._ext import block
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.spikes cimport spikes_arrays, spikes_drop, spikes_free, spikes_push

cdef extern from "windows_isa.h":
    windows_ops_t windows_ops(int isa) noexcept nogil


cdef void* enlarge(void* memory, int64_t size) except NULL nogil:
    cdef void* larger = realloc(memory, size)
    if larger == NULL:
        with gil:
            raise MemoryError(f"no memory for a window of the simulation: {size} bytes")
    return larger


cdef int enlarge_table(work_t* w, int64_t rows) except -1 nogil:
    """Make room for `rows` arrivals; what is there is kept."""
    cdef double* memory = <double*> enlarge(NULL, 4 * rows * sizeof(double))
    if w.rows:
        memcpy(memory, w.table.h, w.rows * sizeof(double))
        memcpy(memory + rows, w.table.b, w.rows * sizeof(double))
        memcpy(memory + 2 * rows, w.table.a, w.rows * sizeof(double))
        memcpy(memory + 3 * rows, w.table.t, w.rows * sizeof(double))
    free(w.table.h)
    w.table = table_t(memory, memory + rows, memory + 2 * rows, memory + 3 * rows)
    w.sent = <double*> enlarge(w.sent, rows * sizeof(double))
    w.sender = <int32_t*> enlarge(w.sender, rows * sizeof(int32_t))
    w.rows = rows
    return 0


cdef class WindowsState:
    """A network in the middle of a simulation. Created by `eventsnn.simulate.engines.windows`, which checks everything.

    Parameters
    ----------
    constants : `eventsnn.reference.lif.RECORD` array (layers,)
    sizes : int32 array (layers,)
    graph : int64 array (projections, 8)
        source, target, single, place in `ptr` and `split`, place in `targets` and `weights`, place in `branch_ptr`
        (-1: all have one delay) and in `branch_delays`, place in `reached` (-1: every source neuron reaches some).
    delays : float64 array (projections, 2), ms
        The shortest and the longest.
    branch_ptr : int64 array, branch_delays : float64 array, ms
        Of every projection that has some; see `eventsnn.model.layers.branches.Branches`.
    ptr, split : int64 arrays
        Of every projection that is not single, its senders + 1 items; one item of `split` is not used.
    targets : int32 array, weights : float64 array
        Synapses, by sender; within one, weights >= 0 first. Of single ones one per sender, with weight 0 to the
        neuron beyond the last where it has none.
    length : float
        Of a window, ms; at most the shortest delay that leads back and every time constant.
    rank, ranks : int
        Of several processes that run the network together this one has neurons `rank`, `rank + ranks`, ... of every
        layer, which `sizes` and `targets` count from 0; source neurons and spikes have the network's numbers.
    reached : uint8 array
        For the projections whose place in it (column 7 of `graph`) is not -1: whether each source neuron reaches one.
    """

    def __cinit__(self, const lif_t[::1] constants, const int32_t[::1] sizes, const int64_t[:, ::1] graph,
                  const double[:, ::1] delays, const int64_t[::1] branch_ptr,
                  const double[::1] branch_delays, const int64_t[::1] ptr, const int64_t[::1] split,
                  const int32_t[::1] targets, const double[::1] weights, const uint8_t[::1] reached, double length,
                  int32_t rank=0, int32_t ranks=1):
        cdef int32_t k
        cdef int64_t first = 0
        cdef layer_t* l
        cdef projection_t* q
        self.keep = (branch_ptr, branch_delays, ptr, split, targets, weights, reached)
        self.ops = windows_ops(block.ISAS.index(block.selected))
        self.length = length
        self.rank, self.ranks, self.quiet = rank, ranks, -1
        self.now = 0.0
        self.n_layers = <int32_t> sizes.shape[0]
        self.n_projections = <int32_t> delays.shape[0]
        self.layers = <layer_t*> calloc(self.n_layers, sizeof(layer_t))
        self.projections = <projection_t*> calloc(self.n_projections, sizeof(projection_t))
        if self.layers == NULL or self.projections == NULL:
            raise MemoryError("no memory for the network")
        for k in range(self.n_layers):
            l = &self.layers[k]
            l.lif = constants[k]
            l.size = sizes[k]
            l.first = first
            l.since = INFINITY
            first += sizes[k]
            self.largest = max(self.largest, sizes[k])
        for k in range(self.n_projections):
            q = &self.projections[k]
            q.source = <int32_t> graph[k, 0]
            q.target = <int32_t> graph[k, 1]
            q.single = graph[k, 2] != 0
            q.ptr = &ptr[0] + graph[k, 3]
            q.split = &split[0] + graph[k, 3]
            q.targets = &targets[0] + graph[k, 4]
            q.weights = &weights[0] + graph[k, 4]
            q.delay, q.longest = delays[k, 0], delays[k, 1]
            if graph[k, 5] >= 0:
                q.branch_ptr, q.branch_delays = &branch_ptr[0] + graph[k, 5], &branch_delays[0] + graph[k, 6]
            if graph[k, 7] >= 0:
                q.reached = &reached[0] + graph[k, 7]
        self.neurons = first
        # One item more: a place to point to for a rank that has no neurons.
        self.u, self.i, self.end = np.empty(first + 1), np.zeros(first + 1), np.full(first + 1, -np.inf)
        for k in range(self.n_layers):
            self.u[self.layers[k].first : self.layers[k].first + self.layers[k].size] = constants[k].reset
        self.make_room()

    cdef int make_room(self) except -1:
        cdef work_t* w = &self.work
        cdef int64_t n = self.largest + 1
        w.gathered = <gathered_t*> enlarge(NULL, n * sizeof(gathered_t))
        w.hot = <uint8_t*> enlarge(NULL, n * sizeof(uint8_t))
        w.list = <int32_t*> enlarge(NULL, n * sizeof(int32_t))
        w.bucket = <int64_t*> enlarge(NULL, n * sizeof(int64_t))
        w.runs = <int64_t*> enlarge(NULL, (self.ranks + 1) * sizeof(int64_t))
        w.places = <int64_t*> enlarge(NULL, self.ranks * sizeof(int64_t))
        return 0

    def __dealloc__(self):
        cdef int32_t k
        if self.layers != NULL:
            for k in range(self.n_layers):
                spikes_free(&self.layers[k].spikes)
                spikes_free(&self.layers[k].own)
        free(self.layers)
        free(self.projections)
        free(self.work.table.h)
        free(self.work.sent)
        free(self.work.sender)
        free(self.work.gathered)
        free(self.work.hot)
        free(self.work.list)
        free(self.work.bucket)
        free(self.work.runs)
        free(self.work.places)
        free(self.work.sifted)
        free(self.work.sorted)
        free(self.work.fired)

    def share(self, int64_t[:, :, ::1] memory, int64_t[::1] number):
        """Exchange spikes through memory that all ranks see: int64 (2, ranks, MARK + words), and their count so far.

        At the start both are 0. All ranks must do so at the same time.
        """
        if memory.shape[1] != self.ranks or memory.shape[2] < MARK + 3 + self.n_layers:
            raise ValueError("no room for what the ranks have to say")
        self.keep_shared = (memory, number)
        self.shared, self.words, self.number = &memory[0, 0, 0], memory.shape[2] - MARK, &number[0]
        self.posted, self.pending = False, 0

    def is_finite(self):
        """Whether all membrane potentials and synaptic currents are finite."""
        return all(bool(np.isfinite(array).all()) for array in self.arrays()[:2])

    @property
    def complete(self):
        """The time before which `spikes` holds those of all ranks, ms."""
        cdef double complete = self.now
        cdef int32_t k
        for k in range(self.n_layers):
            complete = min(complete, self.layers[k].since)
        return complete

    def spikes(self, int32_t layer):
        """(times float64 ms, neurons int32) fired by a layer since `take`, copies."""
        cdef layer_t* l = &self.layers[layer]
        times, neurons = spikes_arrays(&l.spikes)
        return times[l.taken:], neurons[l.taken:]

    def take(self, int32_t layer):
        """`spikes`, once: of these spikes, those that have arrived everywhere are dropped."""
        fired = self.spikes(layer)
        cdef layer_t* l = &self.layers[layer]
        spikes_drop(&l.spikes, self.pass_over(layer, l.spikes.n))
        l.taken = l.spikes.n
        return fired

    def drop_input(self, int64_t n):
        """Forget those of `n` input spikes that have arrived everywhere; returns how many, to be left out."""
        return self.pass_over(-1, n)

    cdef int64_t pass_over(self, int32_t source, int64_t n):
        """Count the spikes of a source, of which there are `n`, from the first that is still under way."""
        cdef int32_t p
        for p in range(self.n_projections):
            if self.projections[p].source == source:
                n = min(n, self.projections[p].cursor)
        for p in range(self.n_projections):
            if self.projections[p].source == source:
                self.projections[p].cursor -= n
        return n

    def arrays(self):
        """(u, i, end), float64 (neurons,): the state's own; `end` are the ends of refractory periods, ms."""
        cdef int64_t n = self.neurons
        return np.asarray(self.u)[:n], np.asarray(self.i)[:n], np.asarray(self.end)[:n]

    def ways(self):
        """Of the projections: sources int64, longest delays float64 (ms), cursors int64."""
        cdef int32_t k
        sources = np.array([self.projections[k].source for k in range(self.n_projections)], np.int64)
        delays = np.array([self.projections[k].longest for k in range(self.n_projections)], np.float64)
        return sources, delays, np.array([self.projections[k].cursor for k in range(self.n_projections)], np.int64)

    def under_way(self):
        """For each layer (times, neurons) of the spikes held, all of them taken."""
        cdef int32_t k
        return [spikes_arrays(&self.layers[k].spikes) for k in range(self.n_layers)]

    def go_back(self, double now, const int64_t[::1] cursors):
        """To a time, ms, and the projections' cursors then, all spikes having been taken then."""
        cdef int32_t k
        self.now, self.quiet, self.layer = now, -1, 0
        for k in range(self.n_projections):
            self.projections[k].cursor = cursors[k]
        for k in range(self.n_layers):
            self.layers[k].spikes.n = self.layers[k].taken
            self.layers[k].own.n, self.layers[k].since = 0, INFINITY

    def hold(self, int32_t layer, const double[::1] times, const int32_t[::1] neurons):
        """Add taken spikes of a layer: those still under way."""
        cdef int64_t n
        for n in range(times.shape[0]):
            spikes_push(&self.layers[layer].spikes, times[n], neurons[n])
        self.layers[layer].taken = self.layers[layer].spikes.n
