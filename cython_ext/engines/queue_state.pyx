"""A network in the middle of a simulation by the queue; see engine_queue.pyx."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free

import numpy as np

from eventsnn._ext.branches cimport branches_t, send
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.event_queue cimport heap_create, heap_free
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.spikes cimport spikes_arrays, spikes_drop, spikes_free, spikes_push


cdef class QueueState:
    """A network in the middle of a simulation. Created by `eventsnn.simulate.engines.queue`, which checks everything.

    Parameters
    ----------
    constants : `eventsnn.reference.lif.RECORD` array (layers,)
    sizes : int32 array (layers,)
    graph : int64 array (projections, 7)
        source, target, position of the weights, number of source neurons, place in `branch_ptr` (-1: all have one
        delay), in `branch_delays`, in `branch_post` (-1: branches reach the whole layer).
    delays : float64 array (projections,), ms
        The shortest of each.
    branch_ptr : int64 array, branch_delays : float64 array (ms), branch_post : int32 array
        Of every projection that has some; see `eventsnn.model.layers.branches.Branches`.
    """

    def __cinit__(self, const lif_t[::1] constants, const int32_t[::1] sizes, const int64_t[:, ::1] graph,
                  const double[::1] delays, const int64_t[::1] branch_ptr, const double[::1] branch_delays,
                  const int32_t[::1] branch_post):
        cdef int32_t k
        self.n_layers = <int32_t> sizes.shape[0]
        self.n_projections = <int32_t> delays.shape[0]
        self.layers = <layer_t*> calloc(self.n_layers, sizeof(layer_t))
        self.projections = <projection_t*> calloc(self.n_projections, sizeof(projection_t))
        if self.layers == NULL or self.projections == NULL:
            raise MemoryError("no memory for the network")
        for k in range(self.n_layers):
            self.layers[k].lif = constants[k]
            self.layers[k].size = sizes[k]
            self.layers[k].blocks = (sizes[k] + WIDTH - 1) // WIDTH
            self.layers[k].first = self.neurons
            self.neurons += self.layers[k].blocks * WIDTH
        for k in range(self.n_projections):
            self.projections[k].source = <int32_t> graph[k, 0]
            self.projections[k].target = <int32_t> graph[k, 1]
            self.projections[k].weights = graph[k, 2]
            self.projections[k].n_pre = graph[k, 3]
            self.projections[k].delay = delays[k]
            if graph[k, 4] >= 0:
                self.projections[k].branches.ptr = &branch_ptr[0] + graph[k, 4]
                self.projections[k].branches.delays = &branch_delays[0] + graph[k, 5]
                if graph[k, 6] >= 0:
                    self.projections[k].branches.post = &branch_post[0] + graph[k, 6]
        self.keep = (branch_ptr, branch_delays, branch_post)
        self.bias = np.empty(0)
        heap_create(&self.heap, self.n_projections + self.n_layers)

    def __dealloc__(self):
        cdef int32_t k
        if self.layers != NULL:
            for k in range(self.n_layers):
                spikes_free(&self.layers[k].spikes)
        if self.projections != NULL:
            for k in range(self.n_projections):
                free(self.projections[k].branches.pending)
        free(self.layers)
        free(self.projections)
        heap_free(&self.heap)

    def begin(self, real_t[::1] u):
        """Fill in the membrane potentials at the start: the reset values; padding neurons stay as they are."""
        cdef int32_t k, n
        for k in range(self.n_layers):
            for n in range(self.layers[k].size):
                u[self.layers[k].first + n] = <real_t> self.layers[k].lif.reset

    def spikes(self, int32_t layer):
        """(times float64 ms, neurons int32) fired by a layer since `take`, copies."""
        cdef layer_t* l = &self.layers[layer]
        times, neurons = spikes_arrays(&l.spikes)
        return times[l.taken:], neurons[l.taken:]

    def take(self, int32_t layer):
        """`spikes`, once: of these spikes, those that have arrived everywhere are dropped."""
        fired = self.spikes(layer)
        cdef layer_t* l = &self.layers[layer]
        spikes_drop(&l.spikes, self.drop(layer, l.spikes.n))
        l.taken = l.spikes.n
        return fired

    def drop(self, int32_t source, int64_t n):
        """Forget those of the `n` spikes of a source that are needed no more; returns how many, to be left out from
        now on. Input and bias neuron are numbered as in `graph`."""
        cdef int32_t p
        for p in range(self.n_projections):
            if self.projections[p].source == source:
                n = min(n, self.projections[p].cursor)
        for p in range(self.n_projections):
            if self.projections[p].source == source:
                self.projections[p].cursor -= n
        return n

    def take_bias(self, const double[::1] times):
        """Spikes of the bias neuron that are still under way, float64 ms, ascending."""
        self.bias = times

    def graph(self):
        """(sizes int32 (layers,); source, target, source neurons int64 (projections, 3); delays float64, ms)."""
        cdef int32_t k
        sizes = np.array([self.layers[k].size for k in range(self.n_layers)], np.int32)
        rows = [(self.projections[k].source, self.projections[k].target, self.projections[k].n_pre)
                for k in range(self.n_projections)]
        delays = np.array([self.projections[k].delay for k in range(self.n_projections)], np.float64)
        return sizes, np.array(rows, np.int64).reshape(-1, 3), delays

    def under_way(self, int32_t projection):
        """What is under way through branches: (times of the spikes float64 ms, next branches int64), by both."""
        cdef branches_t* b = &self.projections[projection].branches
        cdef int64_t k
        times = np.array([b.pending[k].sent for k in range(b.n_pending)], np.float64)
        branches = np.array([b.pending[k].branch for k in range(b.n_pending)], np.int64)
        order = np.lexsort((branches, times))
        return times[order], branches[order]

    def put_under_way(self, int32_t projection, const double[::1] times, const int64_t[::1] branches,
                      const int64_t[::1] lasts):
        """Put back what `under_way` returned; `lasts` are the ends of the branches of the same source neurons."""
        cdef int64_t k
        self.projections[projection].branches.n_pending = 0
        for k in range(times.shape[0]):
            send(&self.projections[projection].branches, times[k], branches[k], lasts[k])

    def save(self):
        """What `restore` takes, between two parts of a run, all spikes being taken: times of the layers' states (ms),
        numbers of their refractory neurons, the projections' cursors, and for each layer the spikes still under way."""
        cdef int32_t k
        now = np.array([self.layers[k].now for k in range(self.n_layers)], np.float64)
        refractory = np.array([self.layers[k].n_refractory for k in range(self.n_layers)], np.int32)
        cursors = np.array([self.projections[k].cursor for k in range(self.n_projections)], np.int64)
        return now, refractory, cursors, [spikes_arrays(&self.layers[k].spikes) for k in range(self.n_layers)]

    def restore(self, const double[::1] now, const int32_t[::1] refractory, const int64_t[::1] cursors, list spikes):
        """Go on from what `save` returned; search before anything is run."""
        cdef int32_t k
        cdef int64_t n
        for k in range(self.n_layers):
            self.layers[k].now = now[k]
            self.layers[k].n_refractory = refractory[k]
            spikes_drop(&self.layers[k].spikes, self.layers[k].spikes.n)
            for n in range(len(spikes[k][0])):
                spikes_push(&self.layers[k].spikes, spikes[k][0][n], spikes[k][1][n])
            self.layers[k].taken = self.layers[k].spikes.n
        for k in range(self.n_projections):
            self.projections[k].cursor = cursors[k]
