"""The clocked engine: one sample through all layers, in the steps of clocked_steps.pyx."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

import numpy as np

from eventsnn._ext import block
from eventsnn._ext.clocked_steps cimport fail, go_on, make_room, run_layer, run_together

cdef extern from "clocked_isa.h":
    clocked_ops_t clocked_ops(int isa) noexcept nogil

LANES = CLOCK_LANES
KINDS = {"dense": CLOCK_DENSE, "conv": CLOCK_CONV, "pool": CLOCK_POOL}


cdef clocked_ops_t current_ops():
    return clocked_ops(block.ISAS.index(block.selected))


cdef const int32_t* start(const int32_t[::1] array):
    if array is None or not array.shape[0]:
        return NULL
    return &array[0]


cdef class ClockedLayer:
    """What the kernel needs of a layer; made by `eventsnn.simulate.engines.clocked_network`, which checks everything.

    Parameters
    ----------
    kind : one of `KINDS`
    positions, width, channels, rows, area, source_width, source_channels, source_size : int
        See clocked.h.
    threshold, tau_m, tau_s, leak, lateral : float
        In steps; the potential tends to ``leak tau_m``; strength of lateral inhibition.
    refractory : int
        Steps.
    latency : int
        Steps from a spike of the layer below to its effect, >= 1.
    exact : bool
        Both time constants are powers of two, so that multiplying by the inverse divides exactly.
    weights : float32 array
        Flat; read at every run, so that changing it in place changes the layer.
    parts : list of ClockedLayer
        The same in consecutive ranges of its positions, each of which stays in the first cache through all steps.
    ptr, patch, offset, cells : int32 arrays
        Of a spatial layer.
    row_of, id_of : int32 arrays
        Of a dense layer.
    """

    def __cinit__(self, *, int32_t kind, int32_t positions, int32_t width, int32_t channels, int32_t rows, int32_t area,
                  int32_t source_width, int32_t source_channels, int64_t source_size, float threshold, float tau_m,
                  float tau_s, float leak, float lateral, int32_t refractory, int32_t latency, bint exact,
                  const float[::1] weights, list parts, const int32_t[::1] ptr=None, const int32_t[::1] patch=None,
                  const int32_t[::1] offset=None, const int32_t[::1] cells=None, const int32_t[::1] row_of=None,
                  const int32_t[::1] id_of=None):
        self.keep = (ptr, patch, offset, cells, row_of, id_of, weights)
        self.parts = parts
        self.c = clocked_layer_t(
            kind=kind, positions=positions, width=width, channels=channels, rows=rows, area=area,
            source_width=source_width, source_channels=source_channels, source_size=source_size,
            ptr=start(ptr), patch=start(patch), offset=start(offset), cells=start(cells),
            row_of=start(row_of), id_of=start(id_of), weights=NULL,
            threshold=threshold, tau_m=tau_m, tau_s=tau_s, leak=leak, lateral=lateral,
            refractory=refractory, latency=latency, exact=exact,
        )
        if weights.shape[0]:
            self.c.weights = &weights[0]

    @property
    def size(self):
        """Neurons with padding."""
        return <int64_t> self.c.positions * self.c.width


cdef class ClockedLink:
    """A further connection, sparse; made by `eventsnn.simulate.engines.clocked_network`, which checks everything.

    Parameters
    ----------
    source, target : int
        Numbers of the layers, the input being 0.
    latency : int
        Steps from a spike to its effect, >= 1.
    ptr : int32 array (source neurons with padding + 1,)
    ids : int32 array (n,), weights : float32 array (n,)
        Target neurons of source neuron k, and weights, are those from ptr[k] to ptr[k + 1].
    """

    def __cinit__(self, int32_t source, int32_t target, int32_t latency, const int32_t[::1] ptr,
                  const int32_t[::1] ids, const float[::1] weights):
        self.keep = (ptr, ids, weights)
        self.c.source, self.c.target, self.c.latency = source, target, latency
        self.c.size = ptr.shape[0] - 1
        self.c.ptr = &ptr[0]
        self.c.ids = &ids[0] if ids.shape[0] else NULL
        self.c.weights = &weights[0] if weights.shape[0] else NULL


cdef int order_by_neuron(clocked_spikes_t* s, int32_t steps) except -1 nogil:
    """Fill `times` and `ptr` from `ids` and `step_ptr`."""
    cdef int64_t n = s.step_ptr[steps], k
    cdef int32_t t
    s.ptr = <int32_t*> calloc(s.size + 2, sizeof(int32_t))
    s.times = <int32_t*> malloc((n + 1) * sizeof(int32_t))
    if s.ptr == NULL or s.times == NULL:
        return fail((s.size + n) * sizeof(int32_t))
    for k in range(n):
        s.ptr[s.ids[k] + 2] += 1
    for k in range(s.size):
        s.ptr[k + 2] += s.ptr[k + 1]
    for t in range(steps):
        for k in range(s.step_ptr[t], s.step_ptr[t + 1]):
            s.times[s.ptr[s.ids[k] + 1]] = t
            s.ptr[s.ids[k] + 1] += 1
    return 0


cdef int add_bias(clocked_spikes_t* s, const int32_t* bias, int64_t n, int32_t steps) except -1 nogil:
    """The bias neuron as one more, the last, of a layer; it fires in the `n` steps `bias`, which are ascending."""
    cdef int64_t k, total = s.step_ptr[steps] + n, last = s.step_ptr[steps]
    cdef int32_t t
    make_room(s, total + 1)
    k = n - 1
    for t in range(steps - 1, -1, -1):    # from the end, in place
        s.step_ptr[t + 1] = <int32_t> total
        if k >= 0 and bias[k] == t:
            total -= 1
            s.ids[total] = <int32_t> s.size
            k -= 1
        while last > s.step_ptr[t]:
            last -= 1
            total -= 1
            s.ids[total] = s.ids[last]
    s.size += 1
    return 0


cdef void silence(clocked_spikes_t* s, const uint8_t* silent, int32_t steps) noexcept nogil:
    """Take the spikes of `silent` neurons out of a layer's."""
    cdef int64_t k, n = 0, start = 0, end
    cdef int32_t t
    for t in range(steps):
        end = s.step_ptr[t + 1]
        for k in range(start, end):
            if not silent[s.ids[k]]:
                s.ids[n] = s.ids[k]
                n += 1
        start = end
        s.step_ptr[t + 1] = <int32_t> n


cdef int take_input(clocked_spikes_t* s, const double* times, const int32_t* neurons, int64_t n, int32_t area,
                    int32_t polarities, int32_t steps) except -1 nogil:
    """Input spikes as spikes of a layer: by step, then pixel, then polarity, each once; by step only."""
    cdef int64_t k = 0, m = 0, start, j
    cdef int32_t t, id
    make_room(s, n + 1)
    s.size = <int64_t> area * polarities
    s.step_ptr = <int32_t*> malloc((steps + 1) * sizeof(int32_t))
    if s.step_ptr == NULL:
        return fail(steps * sizeof(int32_t))
    for t in range(steps):
        start = s.step_ptr[t] = <int32_t> m
        while k < n and <int64_t> times[k] == t:
            id = neurons[k] % area * polarities + neurons[k] // area
            k += 1
            j = m
            while j > start and s.ids[j - 1] > id:
                j -= 1
            if j > start and s.ids[j - 1] == id:
                continue
            if j < m:
                for start in range(m, j, -1):
                    s.ids[start] = s.ids[start - 1]
                start = s.step_ptr[t]
            s.ids[j] = id
            m += 1
    s.step_ptr[steps] = <int32_t> m
    return 0


cdef int take_state(clocked_state_t* s, float[::1] v, float[::1] current, int32_t[::1] until) except -1:
    """Point to the state of a layer."""
    s.v, s.current, s.until = &v[0], &current[0], &until[0]
    return 0


cdef int take_spikes(clocked_spikes_t* s, const int32_t[::1] when, const int32_t[::1] ids, int64_t size,
                     const int32_t[::1] bias, bint biased, int32_t first, int32_t steps) except -1:
    """Spikes of a layer before step `first`, and among them those of the bias neuron, the last of each step."""
    cdef int64_t k = 0, at = 0, n = 0
    cdef int32_t t
    make_room(s, ids.shape[0] + first + 1)
    s.size = size
    s.step_ptr = <int32_t*> calloc(steps + 1, sizeof(int32_t))
    if s.step_ptr == NULL:
        return fail(steps * sizeof(int32_t))
    for t in range(first):
        while k < ids.shape[0] and when[k] == t:
            s.ids[n] = ids[k]
            k += 1
            n += 1
        if biased and bias is not None and at < bias.shape[0] and bias[at] == t:
            s.ids[n] = <int32_t> size
            at += 1
            n += 1
        s.step_ptr[t + 1] = <int32_t> n
    return 0


cdef class ClockedRun:
    """The spikes of a sample in all layers, number 0 being the input.

    Parameters
    ----------
    layers : list of ClockedLayer
    times : float64 array (n,), ms
    neurons : int32 array (n,)
        Input spikes, sorted by time, none at or after `steps`.
    area, polarities : int
        Pixels of the input, and their polarities.
    steps : int
        Steps 0, 1, ..., steps - 1 are computed.
    bias : int32 array, optional
        Steps in which the bias neuron fires, ascending, below `steps`; None where there is none. It is one
        more neuron, the last, of the input and of every layer but the last.
    links : list of ClockedLink, optional
        Further connections.
    carried : (int, list, list), optional
        Of a run that goes on: the first step to be computed; potentials, currents (float32) and last refractory
        steps (int32) of every layer, padded, which are changed; and the spikes of every layer before that step, as
        `fired` gives them, without those of the bias neuron. From rest without it.
    silent : uint8 array, optional
        Not 0 where a neuron is not to fire, padding included, layer after layer without the input. Without links,
        and from rest; all may fire without it.
    """

    def __cinit__(self, list layers, const double[::1] times, const int32_t[::1] neurons, int32_t area,
                  int32_t polarities, int32_t steps, const int32_t[::1] bias=None, list links=None,
                  tuple carried=None, const uint8_t[::1] silent=None):
        cdef int32_t k, n = len(layers), at = 0, n_links = len(links or ())
        cdef clocked_ops_t ops = current_ops()
        # All layers at once have no use for parts of one.
        cdef bint together = bool(links) or carried is not None
        cdef list parts = [[layer] if together else (<ClockedLayer> layer).parts or [layer] for layer in layers]
        cdef int32_t[::1] counts = np.array([len(own) for own in parts] + [0], np.int32)
        cdef bint biased = bias is not None
        cdef int64_t biases = bias.shape[0] if biased else 0
        cdef const int32_t* when = &bias[0] if biases else NULL
        cdef const clocked_layer_t** each = <const clocked_layer_t**> malloc((sum(counts) + 1) * sizeof(void*))
        cdef const clocked_link_t** ways = <const clocked_link_t**> malloc((n_links + 1) * sizeof(void*))
        cdef clocked_state_t* states = <clocked_state_t*> calloc(n + 1, sizeof(clocked_state_t))
        cdef int32_t first = 0
        cdef const uint8_t* dropped = &silent[0] if silent is not None else NULL
        self.steps, self.count = steps, n + 1
        self.spikes = <clocked_spikes_t*> calloc(n + 1, sizeof(clocked_spikes_t))
        if self.spikes == NULL or each == NULL or ways == NULL or states == NULL:
            free(each)
            free(ways)
            free(states)
            raise MemoryError("no memory for the clocked engine")
        for k in range(n_links):
            ways[k] = &(<ClockedLink> links[k]).c
        for own in parts:
            for part in own:
                each[at] = &(<ClockedLayer> part).c
                at += 1
        at = 0
        try:
            if carried is not None:
                first = carried[0]
                for k in range(n):
                    v, current, until = carried[1][k]
                    take_state(states + k, v, current, until)
                    when_fired, ids = carried[2][k]
                    take_spikes(self.spikes + k + 1, when_fired, ids, layers[k].size, bias, k + 1 < n, first, steps)
            with nogil:
                take_input(self.spikes, &times[0] if times.shape[0] else NULL,
                           &neurons[0] if times.shape[0] else NULL, times.shape[0], area, polarities, steps)
                if biased:
                    add_bias(self.spikes, when, biases, steps)
                if first:
                    go_on(&ops, each, n, states, ways, n_links, self.spikes, when, biases if biased else -1, first,
                          steps)
                elif n_links:
                    run_together(&ops, each, n, ways, n_links, self.spikes, when, biases if biased else -1, steps)
                for k in range(n + 1):
                    if k and not together:
                        run_layer(&ops, each + at, counts[k - 1], self.spikes + k - 1, self.spikes + k, steps)
                        at += counts[k - 1]
                        if dropped != NULL:
                            silence(self.spikes + k, dropped, steps)
                            dropped += self.spikes[k].size
                        if biased and k < n:
                            add_bias(self.spikes + k, when, biases, steps)
                    order_by_neuron(self.spikes + k, steps)
        finally:
            free(each)
            free(ways)
            free(states)

    def __dealloc__(self):
        cdef int32_t k
        if self.spikes != NULL:
            for k in range(self.count):
                free(self.spikes[k].ids)
                free(self.spikes[k].step_ptr)
                free(self.spikes[k].times)
                free(self.spikes[k].ptr)
        free(self.spikes)

    def counts(self, int32_t number):
        """Spikes of each neuron, padding and bias neuron included, int32 array (size,)."""
        cdef clocked_spikes_t* s = &self.spikes[number]
        found = np.empty(s.size, np.int32)
        cdef int32_t[::1] view = found
        cdef int64_t k
        for k in range(s.size):
            view[k] = s.ptr[k + 1] - s.ptr[k]
        return found

    def fired(self, int32_t number):
        """(steps, neurons as numbered here), int32 arrays, sorted by both."""
        cdef clocked_spikes_t* s = &self.spikes[number]
        cdef int64_t n = s.step_ptr[self.steps]
        cdef int32_t t
        ids = np.empty(n, np.int32)
        cdef int32_t[::1] view = ids
        if n:
            memcpy(&view[0], s.ids, n * sizeof(int32_t))
        bounds = np.empty(self.steps + 1, np.int32)
        cdef int32_t[::1] ends = bounds
        for t in range(self.steps + 1):
            ends[t] = s.step_ptr[t]
        return np.repeat(np.arange(self.steps, dtype=np.int32), np.diff(bounds)), ids
