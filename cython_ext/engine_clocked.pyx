"""The clocked engine: one sample through all layers, step by step. Twin: eventsnn/engines/clocked_twin.py.

A chain runs layer by layer, since a spike needs a step to the next: each layer goes through all steps with its state in
the cache. A network with further connections runs step by step, all layers in each, since spikes may come back.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

import numpy as np

from eventsnn._ext import block

cdef extern from "clocked_isa.h":
    clocked_ops_t clocked_ops(int isa) noexcept nogil

LANES = CLOCK_LANES
KINDS = {"dense": CLOCK_DENSE, "conv": CLOCK_CONV, "pool": CLOCK_POOL}
cdef int64_t GROUP = 16    # states are kept in multiples of it: the widest vector


cdef clocked_ops_t current_ops():
    return clocked_ops(block.ISAS.index(block.selected))


cdef class ClockedLayer:
    """What the kernel needs of a layer; made by `eventsnn.engines.clocked`, which checks everything.

    Parameters
    ----------
    numbers : int64 array (9,)
        kind, positions, width, channels, rows, area, source_width, source_channels, source_size; see clocked.h.
    constants : float32 array (4,)
        Threshold, tau_m, tau_s, strength of lateral inhibition.
    refractory : int
        Steps.
    exact : bool
        Both time constants are powers of two, so that multiplying by the inverse divides exactly.
    ptr, patch, offset, cells : int32 arrays
        Of a spatial layer.
    row_of, id_of : int32 arrays
        Of a dense layer.
    weights : float32 array
        Flat; read at every run, so that changing it in place changes the layer.
    parts : list of ClockedLayer
        The same in consecutive ranges of its positions, each of which stays in the first cache through all steps.
    """

    def __cinit__(self, const int64_t[::1] numbers, const float[::1] constants, int32_t refractory, bint exact,
                  const int32_t[::1] ptr, const int32_t[::1] patch, const int32_t[::1] offset,
                  const int32_t[::1] cells, const int32_t[::1] row_of, const int32_t[::1] id_of,
                  const float[::1] weights, list parts):
        cdef clocked_layer_t* c = &self.c
        self.keep = (ptr, patch, offset, cells, row_of, id_of, weights)
        self.parts = parts
        c.kind, c.positions, c.width, c.channels = numbers[0], numbers[1], numbers[2], numbers[3]
        c.rows, c.area, c.source_width, c.source_channels = numbers[4], numbers[5], numbers[6], numbers[7]
        c.source_size = numbers[8]
        c.ptr = &ptr[0] if ptr.shape[0] else NULL
        c.patch = &patch[0] if patch.shape[0] else NULL
        c.offset = &offset[0] if offset.shape[0] else NULL
        c.cells = &cells[0] if cells.shape[0] else NULL
        c.row_of = &row_of[0] if row_of.shape[0] else NULL
        c.id_of = &id_of[0] if id_of.shape[0] else NULL
        c.weights = &weights[0] if weights.shape[0] else NULL
        c.threshold, c.tau_m, c.tau_s, c.lateral = constants[0], constants[1], constants[2], constants[3]
        c.refractory = refractory
        c.exact = exact

    @property
    def size(self):
        """Neurons with padding."""
        return <int64_t> self.c.positions * self.c.width


cdef class ClockedLink:
    """A further connection, sparse; made by `eventsnn.engines.clocked`, which checks everything.

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


cdef int fail(int64_t size) except -1 nogil:
    with gil:
        raise MemoryError(f"no memory for the clocked engine: {size} bytes")


cdef int make_room(clocked_spikes_t* s, int64_t n) except -1 nogil:
    """Room for `n` spikes in all."""
    cdef int32_t* larger
    if n <= s.room:
        return 0
    s.room = n + n // 2
    larger = <int32_t*> realloc(s.ids, s.room * sizeof(int32_t))
    if larger == NULL:
        return fail(s.room * sizeof(int32_t))
    s.ids = larger
    return 0


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


cdef void inhibit(const clocked_layer_t* l, clocked_state_t* s, const int32_t* ids, int64_t n) noexcept nogil:
    """The spikes of the step before on all others of the layer."""
    cdef int64_t k
    for k in range(n):
        s.own[ids[k]] = 1
    for k in range(l.channels):
        s.current[k] -= l.lateral * <float> (n - s.own[k])
    for k in range(n):
        s.own[ids[k]] = 0


cdef int run_steps(clocked_ops_t* ops, const clocked_layer_t* l, clocked_state_t* state, int64_t size,
                   const clocked_spikes_t* given, clocked_spikes_t* fired, int32_t steps) except -1 nogil:
    cdef int32_t t
    cdef int64_t n = 0, before
    fired.step_ptr[0] = 0
    if steps > 0:
        fired.step_ptr[1] = 0
    for t in range(1, steps):
        before = given.step_ptr[t - 1]
        ops.deliver(l, state.current, given.ids + before, given.step_ptr[t] - before)
        if l.lateral != 0.0 and fired.step_ptr[t] > fired.step_ptr[t - 1]:
            inhibit(l, state, fired.ids + fired.step_ptr[t - 1], fired.step_ptr[t] - fired.step_ptr[t - 1])
        make_room(fired, n + size)
        n += ops.step(l, state, size, t, fired.ids + n)
        fired.step_ptr[t + 1] = <int32_t> n
    return 0


cdef void follow_link(const clocked_link_t* link, const clocked_spikes_t* given, int32_t t,
                      float* current) noexcept nogil:
    """What arrives over a connection in step t."""
    cdef int32_t fired = t - link.latency, id
    cdef int64_t k, j
    if fired < 0:
        return
    for k in range(given.step_ptr[fired], given.step_ptr[fired + 1]):
        id = given.ids[k]
        if id >= link.size:    # the bias neuron
            continue
        for j in range(link.ptr[id], link.ptr[id + 1]):
            current[link.ids[j]] += link.weights[j]


cdef int state_make(clocked_state_t* state, int64_t size) except -1 nogil:
    """A layer at rest; `state.v` is to be freed."""
    cdef char* memory = <char*> calloc(size, 13)
    if memory == NULL:
        return fail(size * 13)
    state.v = <float*> memory
    state.current = <float*> (memory + 4 * size)
    state.until = <int32_t*> (memory + 8 * size)
    state.own = <uint8_t*> (memory + 12 * size)
    return 0


cdef inline int64_t padded_size(const clocked_layer_t* l) noexcept nogil:
    return (<int64_t> l.positions * l.width + GROUP - 1) // GROUP * GROUP


cdef int step_together(clocked_ops_t* ops, const clocked_layer_t** layers, int32_t count, clocked_state_t* states,
                       const clocked_link_t** links, int32_t n_links, clocked_spikes_t* spikes, const int32_t* bias,
                       int64_t biases, int32_t steps) except -1 nogil:
    """All layers in step 0, then all in step 1, ...; `biases` is -1 in a network without the bias neuron."""
    cdef int32_t t, k, j
    cdef int64_t n, before, size, at = 0
    cdef bint fires, fired = False    # the bias neuron, now and in the step before
    cdef const clocked_layer_t* l
    cdef clocked_spikes_t* given
    cdef clocked_spikes_t* own
    for t in range(steps):
        fires = at < biases and bias[at] == t
        for k in range(1, count + 1):
            l, given, own = layers[k - 1], spikes + k - 1, spikes + k
            size, n = padded_size(l), own.step_ptr[t]
            make_room(own, n + size + 1)
            if t:
                before = given.step_ptr[t - 1]
                ops.deliver(l, states[k - 1].current, given.ids + before, given.step_ptr[t] - before)
                for j in range(n_links):
                    if links[j].target == k:
                        follow_link(links[j], spikes + links[j].source, t, states[k - 1].current)
                before = own.step_ptr[t - 1]
                # The bias neuron is the last of a step, and inhibits nobody.
                if l.lateral != 0.0 and n - (fired and k < count) > before:
                    inhibit(l, states + k - 1, own.ids + before, n - (fired and k < count) - before)
                n += ops.step(l, states + k - 1, size, t, own.ids + n)
            if fires and k < count:
                own.ids[n] = <int32_t> own.size
                n += 1
            own.step_ptr[t + 1] = <int32_t> n
        fired = fires
        at += fires
    return 0


cdef int run_together(clocked_ops_t* ops, const clocked_layer_t** layers, int32_t count, const clocked_link_t** links,
                      int32_t n_links, clocked_spikes_t* spikes, const int32_t* bias, int64_t biases,
                      int32_t steps) except -1 nogil:
    """All layers of a network with further connections, from rest through all steps; spikes by step only."""
    cdef int32_t k
    cdef clocked_state_t* states = <clocked_state_t*> calloc(count, sizeof(clocked_state_t))
    if states == NULL:
        return fail(count * sizeof(clocked_state_t))
    try:
        for k in range(1, count + 1):
            state_make(states + k - 1, padded_size(layers[k - 1]))
            spikes[k].size = <int64_t> layers[k - 1].positions * layers[k - 1].width
            spikes[k].step_ptr = <int32_t*> malloc((steps + 1) * sizeof(int32_t))
            if spikes[k].step_ptr == NULL:
                fail(steps * sizeof(int32_t))
            spikes[k].step_ptr[0] = 0
        step_together(ops, layers, count, states, links, n_links, spikes, bias, biases, steps)
        for k in range(1, count):
            spikes[k].size += biases >= 0
    finally:
        for k in range(count):
            free(states[k].v)
        free(states)
    return 0


cdef int run_part(clocked_ops_t* ops, const clocked_layer_t* l, const clocked_spikes_t* given,
                  clocked_spikes_t* fired, int32_t steps) except -1 nogil:
    """A layer, or a range of its positions, from rest through all steps; spikes by step only."""
    cdef int64_t size = padded_size(l)
    cdef clocked_state_t state
    state_make(&state, size)
    fired.size = <int64_t> l.positions * l.width
    fired.step_ptr = <int32_t*> malloc((steps + 1) * sizeof(int32_t))
    try:
        if fired.step_ptr == NULL:
            fail(steps * sizeof(int32_t))
        run_steps(ops, l, &state, size, given, fired, steps)
    finally:
        free(state.v)
    return 0


cdef int join_parts(const clocked_layer_t** parts, clocked_spikes_t* own, int32_t count, clocked_spikes_t* fired,
                    int32_t steps) except -1 nogil:
    """The spikes of consecutive ranges of positions as those of the layer."""
    cdef int32_t t, k
    cdef int64_t n = 0, first, j
    for k in range(count):
        n += own[k].step_ptr[steps]
        fired.size += own[k].size
    make_room(fired, n + 1)
    fired.step_ptr = <int32_t*> malloc((steps + 1) * sizeof(int32_t))
    if fired.step_ptr == NULL:
        return fail(steps * sizeof(int32_t))
    n = fired.step_ptr[0] = 0
    for t in range(steps):
        first = 0
        for k in range(count):
            for j in range(own[k].step_ptr[t], own[k].step_ptr[t + 1]):
                fired.ids[n] = <int32_t> (own[k].ids[j] + first)
                n += 1
            first += own[k].size
        fired.step_ptr[t + 1] = <int32_t> n
    return 0


cdef int run_layer(clocked_ops_t* ops, const clocked_layer_t** parts, int32_t count, const clocked_spikes_t* given,
                   clocked_spikes_t* fired, int32_t steps) except -1 nogil:
    """A layer, given in parts, from rest through all steps; spikes by step only."""
    cdef int32_t k
    cdef clocked_spikes_t* own
    if count == 1:
        return run_part(ops, parts[0], given, fired, steps)
    own = <clocked_spikes_t*> calloc(count, sizeof(clocked_spikes_t))
    if own == NULL:
        return fail(count * sizeof(clocked_spikes_t))
    try:
        for k in range(count):
            run_part(ops, parts[k], given, own + k, steps)
        join_parts(parts, own, count, fired, steps)
    finally:
        for k in range(count):
            free(own[k].ids)
            free(own[k].step_ptr)
        free(own)
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
    """

    def __cinit__(self, list layers, const double[::1] times, const int32_t[::1] neurons, int32_t area,
                  int32_t polarities, int32_t steps, const int32_t[::1] bias=None, list links=None):
        cdef int32_t k, n = len(layers), at = 0, n_links = len(links or ())
        cdef clocked_ops_t ops = current_ops()
        # All layers at once have no use for parts of one.
        cdef list parts = [[layer] if links else (<ClockedLayer> layer).parts or [layer] for layer in layers]
        cdef int32_t[::1] counts = np.array([len(own) for own in parts] + [0], np.int32)
        cdef bint biased = bias is not None
        cdef int64_t biases = bias.shape[0] if biased else 0
        cdef const int32_t* when = &bias[0] if biases else NULL
        cdef const clocked_layer_t** each = <const clocked_layer_t**> malloc((sum(counts) + 1) * sizeof(void*))
        cdef const clocked_link_t** ways = <const clocked_link_t**> malloc((n_links + 1) * sizeof(void*))
        self.steps, self.count = steps, n + 1
        self.spikes = <clocked_spikes_t*> calloc(n + 1, sizeof(clocked_spikes_t))
        if self.spikes == NULL or each == NULL or ways == NULL:
            free(each)
            free(ways)
            raise MemoryError("no memory for the clocked engine")
        for k in range(n_links):
            ways[k] = &(<ClockedLink> links[k]).c
        for own in parts:
            for part in own:
                each[at] = &(<ClockedLayer> part).c
                at += 1
        at = 0
        try:
            with nogil:
                take_input(self.spikes, &times[0] if times.shape[0] else NULL,
                           &neurons[0] if times.shape[0] else NULL, times.shape[0], area, polarities, steps)
                if biased:
                    add_bias(self.spikes, when, biases, steps)
                if n_links:
                    run_together(&ops, each, n, ways, n_links, self.spikes, when, biases if biased else -1, steps)
                for k in range(n + 1):
                    if k and not n_links:
                        run_layer(&ops, each + at, counts[k - 1], self.spikes + k - 1, self.spikes + k, steps)
                        at += counts[k - 1]
                        if biased and k < n:
                            add_bias(self.spikes + k, when, biases, steps)
                    order_by_neuron(self.spikes + k, steps)
        finally:
            free(each)
            free(ways)

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
