"""The steps of the clocked engine: layers from rest through all steps. Twin: eventsnn/reference/clocked.py.

A chain runs layer by layer, since a spike needs a step or more to the next: each layer goes through all steps with its
state in the cache. A network with further connections runs step by step, all layers in each, since spikes may come
back.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc, realloc

from eventsnn._ext.engine_clocked cimport (
    clocked_layer_t,
    clocked_link_t,
    clocked_ops_t,
    clocked_spikes_t,
    clocked_state_t,
)

cdef int64_t GROUP = 16    # states are kept in multiples of it: the widest vector


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


cdef void inhibit(const clocked_layer_t* l, clocked_state_t* s, const int32_t* ids, int64_t n) noexcept nogil:
    """The spikes of the step before on all others of the layer."""
    cdef int64_t k
    for k in range(n):
        s.own[ids[k]] = 1
    for k in range(l.channels):
        s.current[k] -= l.lateral * <float> (n - s.own[k])
    for k in range(n):
        s.own[ids[k]] = 0


cdef inline void deliver_step(clocked_ops_t* ops, const clocked_layer_t* l, const clocked_spikes_t* given, int32_t t,
                              float* current) noexcept nogil:
    """What arrives from the layer below in step t."""
    cdef int32_t fired = t - l.latency
    if fired >= 0:
        ops.deliver(l, current, given.ids + given.step_ptr[fired],
                    given.step_ptr[fired + 1] - given.step_ptr[fired])


cdef int run_steps(clocked_ops_t* ops, const clocked_layer_t* l, clocked_state_t* state, int64_t size,
                   const clocked_spikes_t* given, clocked_spikes_t* fired, int32_t steps) except -1 nogil:
    cdef int32_t t
    cdef int64_t n = 0
    fired.step_ptr[0] = 0
    if steps > 0:
        fired.step_ptr[1] = 0
    for t in range(1, steps):
        deliver_step(ops, l, given, t, state.current)
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


cdef int check_finite(const clocked_state_t* state, int64_t size) except -1 nogil:
    """Refuse a state that has left the range of float32."""
    cdef int64_t k
    cdef int bad = 0
    for k in range(size):
        bad |= (state.v[k] - state.v[k] != 0) | (state.current[k] - state.current[k] != 0)
    if bad:
        with gil:
            raise FloatingPointError("the state is not finite")
    return 0


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
                       int64_t biases, int32_t first, int32_t steps) except -1 nogil:
    """All layers in step `first`, then all in the next, ...; `biases` is -1 in a network without the bias neuron."""
    cdef int32_t t, k, j
    cdef int64_t n, before, size, at = 0
    cdef bint fires, fired = False    # the bias neuron, now and in the step before
    cdef const clocked_layer_t* l
    cdef clocked_spikes_t* given
    cdef clocked_spikes_t* own
    while at < biases and bias[at] < first:
        fired = bias[at] == first - 1
        at += 1
    for t in range(first, steps):
        fires = at < biases and bias[at] == t
        for k in range(1, count + 1):
            l, given, own = layers[k - 1], spikes + k - 1, spikes + k
            size, n = padded_size(l), own.step_ptr[t]
            make_room(own, n + size + 1)
            if t:
                deliver_step(ops, l, given, t, states[k - 1].current)
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


cdef int go_on(clocked_ops_t* ops, const clocked_layer_t** layers, int32_t count, clocked_state_t* states,
               const clocked_link_t** links, int32_t n_links, clocked_spikes_t* spikes, const int32_t* bias,
               int64_t biases, int32_t first, int32_t steps) except -1 nogil:
    """All layers of a network from step `first` on, before which their `spikes` are known; spikes by step only.

    Of the states, all is the caller's but `own`.
    """
    cdef int32_t k
    cdef int64_t largest = 0
    cdef uint8_t* own
    for k in range(count):
        largest = max(largest, padded_size(layers[k]))
    own = <uint8_t*> calloc(largest, 1)
    if own == NULL:
        return fail(largest)
    try:
        for k in range(count):
            states[k].own = own
        step_together(ops, layers, count, states, links, n_links, spikes, bias, biases, first, steps)
        for k in range(count):
            check_finite(states + k, padded_size(layers[k]))
        for k in range(1, count):
            spikes[k].size += biases >= 0
    finally:
        free(own)
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
        step_together(ops, layers, count, states, links, n_links, spikes, bias, biases, 0, steps)
        for k in range(count):
            check_finite(states + k, padded_size(layers[k]))
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
        check_finite(&state, size)
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
