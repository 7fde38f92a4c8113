"""The event-driven engine: one priority queue of arrivals and of the layers' next spikes.

Twin: eventsnn/reference/queue.py. Any graph of projections. Where the synapses of one share a delay, its arrivals are
a FIFO: a cursor into the spikes of its source. Where source neurons or synapses have delays of their own, they are a
heap of the spikes under way, each at its next branch. The queue holds one entry per projection (its next arrival) and
one per layer (its next spike, found by certificates); at equal times arrivals come before spikes and lower numbers
before higher ones. A network in the middle of a run is in queue_state.pyx, its heaps in branches.pxd.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

import numpy as np

from eventsnn._ext.block cimport ops32, ops64
from eventsnn._ext.branches cimport arrive_next, send
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.event_queue cimport heap_top, heap_update
from eventsnn._ext.lif cimport (
    LIF_CANDIDATE,
    lif_after_refractory,
    lif_next_spike,
    lif_reach,
    lif_respond,
    lif_tangent,
)
from eventsnn._ext.queue_state cimport QueueState, layer_t, projection_t
from eventsnn._ext.spikes cimport spikes_push, spikes_refuse, spikes_t


cdef enum:
    BIAS = -2             # eventsnn/model/layers/connection.py
    # How many neuron updates take as long as one search for a next spike, and as one look at a candidate.
    SEARCH = 128
    LOOK = 4
    MARKED = 2            # of a block: none of its neurons may fire but marked ones


cdef struct view_t:
    # What a chunk works on: arrays owned by Python.
    const double* times       # input spikes, ms
    const int32_t* indices
    int64_t n_input
    double* end               # end of the last refractory period, ms
    double* next              # time of the next spike of each candidate, ms
    int32_t* refractory       # per layer, from layer.first: the neurons in their refractory period
    int32_t* candidates       # per layer, from layer.first: the neurons with a known next spike
    uint8_t* marked           # neurons of the layer at hand to be looked at closely; none outside `deliver`
    double t_stop


cdef inline double next_sent(QueueState s, const view_t* v, const projection_t* q) noexcept nogil:
    """Time of the source's spike at the cursor, INFINITY if there is none."""
    if q.source == BIAS:
        return s.bias[q.cursor] if q.cursor < s.bias.shape[0] else INFINITY
    if q.source < 0:
        return v.times[q.cursor] if q.cursor < v.n_input else INFINITY
    cdef spikes_t* spikes = &s.layers[q.source].spikes
    return spikes.times[q.cursor] if q.cursor < spikes.n else INFINITY


cdef double next_arrival(QueueState s, const view_t* v, int32_t p) noexcept nogil:
    """Time of the projection's next arrival, INFINITY if none is known."""
    cdef projection_t* q = &s.projections[p]
    if q.branches.ptr != NULL:
        return q.branches.pending[0].time if q.branches.n_pending else INFINITY
    return next_sent(s, v, q) + q.delay


cdef inline int32_t arriving_neuron(QueueState s, const view_t* v, const projection_t* q) noexcept nogil:
    if q.source < 0:
        return 0 if q.source == BIAS else v.indices[q.cursor]
    return s.layers[q.source].spikes.neurons[q.cursor]


cdef int admit(QueueState s, const view_t* v, projection_t* q) except -1 nogil:
    """Send those spikes of the source through their branches that may arrive before all that are under way."""
    cdef double t
    cdef int32_t neuron
    if q.branches.ptr == NULL:
        return 0
    while True:
        t = next_sent(s, v, q)
        if t == INFINITY or (q.branches.n_pending and t + q.delay > q.branches.pending[0].time):
            return 0
        neuron = arriving_neuron(s, v, q)
        q.cursor += 1
        if q.branches.ptr[neuron] < q.branches.ptr[neuron + 1]:
            send(&q.branches, t, q.branches.ptr[neuron], q.branches.ptr[neuron + 1])


cdef double horizon(QueueState s, const view_t* v, int32_t layer) noexcept nogil:
    """Next known arrival at a layer: what a search for its next spike needs to cover."""
    cdef double soonest = INFINITY
    cdef int32_t p
    for p in range(s.n_projections):
        if s.projections[p].target == layer:
            soonest = min(soonest, next_arrival(s, v, p))
    return soonest


cdef void add_candidates(layer_t* l, const view_t* v, const real_t* u, const real_t* i, int32_t block,
                         double until, bint marked) noexcept nogil:
    """Find the next spike of all neurons of a block, or the `marked` ones, that may fire by `until`."""
    cdef int32_t n
    cdef double t, level = l.lif.threshold * LIF_CANDIDATE
    for n in range(block * WIDTH, min((block + 1) * WIDTH, l.size)):
        if (marked and not v.marked[n]) or lif_reach(&l.lif, u[n], i[n]) < level:
            continue
        t = lif_next_spike(&l.lif, u[n], i[n], l.now, v.end[l.first + n], until)
        if t < INFINITY:
            v.next[l.first + n] = t
            v.candidates[l.first + l.n_candidates] = n
            l.n_candidates += 1


cdef void announce(QueueState s, const view_t* v, int32_t number) noexcept nogil:
    """Put a layer's next spike into the queue: the first of its candidates."""
    cdef layer_t* l = &s.layers[number]
    cdef double soonest = INFINITY
    cdef int32_t k
    for k in range(l.n_candidates):
        soonest = min(soonest, v.next[l.first + v.candidates[l.first + k]])
    heap_update(&s.heap, s.n_projections + number, soonest)


cdef void search(QueueState s, const view_t* v, int32_t number, const real_t* u, const real_t* i, double until,
                 const uint8_t* found) noexcept nogil:
    """Find a layer's next spikes anew, in the blocks that were `found` to have candidates (NULL: in all)."""
    cdef layer_t* l = &s.layers[number]
    cdef int32_t block
    l.n_candidates = 0
    for block in range(l.blocks):
        if found == NULL or found[block]:
            add_candidates(l, v, u, i, block, until, found != NULL and found[block] == MARKED)
    announce(s, v, number)


cdef int32_t release_refractory(layer_t* l, const view_t* v, const real_t* i, double t, real_t* released,
                                int32_t* which) noexcept nogil:
    """Membrane potentials at `t` of the neurons that are, or were until then, in their refractory period; how many."""
    cdef int32_t k, kept = 0, n, count = l.n_refractory
    cdef double end
    for k in range(count):
        n = which[k] = v.refractory[l.first + k]
        end = v.end[l.first + n]
        if end >= t:
            released[k] = <real_t> l.lif.reset
            v.refractory[l.first + kept] = n
            kept += 1
        else:
            released[k] = <real_t> lif_after_refractory(&l.lif, i[n], l.now, end, t)
    l.n_refractory = kept
    return count


cdef const real_t* take_next(QueueState s, const view_t* v, projection_t* q, double t, const real_t* weights,
                             real_t* reached, int64_t* stride) except NULL nogil:
    """Weights of what arrives next at `t`, by neuron of the target, and from block to block `stride` apart.

    Where each synapse has a branch, as many as arrive at the same instant, no two at the same neuron: their sum must
    not depend on what else arrives then. `reached` is zero, and takes them.
    """
    cdef int64_t row
    cdef int32_t post
    stride[0] = q.n_pre * WIDTH
    if q.branches.ptr == NULL:
        row = arriving_neuron(s, v, q)
        q.cursor += 1
        return weights + q.weights + row * WIDTH
    if q.branches.post == NULL:
        row = q.branches.pending[0].branch
        arrive_next(&q.branches)
        admit(s, v, q)
        return weights + q.weights + row * WIDTH
    stride[0] = WIDTH
    while q.branches.n_pending and q.branches.pending[0].time == t:
        post = q.branches.post[q.branches.pending[0].branch]
        if reached[post] != 0.0:
            break
        reached[post] = weights[q.weights + q.branches.pending[0].branch]
        arrive_next(&q.branches)
        admit(s, v, q)
    return reached


cdef int deliver(QueueState s, const view_t* v, int32_t p, real_t* all_u, real_t* all_i, const real_t* weights,
                 real_t* released, real_t* reached, int32_t* which, uint8_t* found) except -1 nogil:
    """Commit the target layer of projection `p` at its next arrival, apply that, and search for the next spike.

    Further arrivals at the same instant find a layer that is there already: an elapsed time of 0 changes no bit.
    """
    cdef projection_t* q = &s.projections[p]
    cdef layer_t* l = &s.layers[q.target]
    cdef real_t* u = all_u + l.first
    cdef real_t* i = all_i + l.first
    cdef double t = s.heap.key[p], until, da, dh, db, by_u, by_i
    cdef real_t a, h, b, c_u = 0, c_i = 0, level = <real_t> (l.lif.threshold * LIF_CANDIDATE)
    cdef int64_t stride
    cdef const real_t* row = take_next(s, v, q, t, weights, reached, &stride)
    cdef int32_t n_which, k
    heap_update(&s.heap, p, next_arrival(s, v, p))
    until = min(horizon(s, v, q.target), v.t_stop)
    n_which = release_refractory(l, v, i, t, released, which)
    lif_respond(&l.lif, t - l.now, &da, &dh, &db)
    a = <real_t> da
    h = <real_t> dh
    b = <real_t> db
    if until < INFINITY:
        lif_tangent(&l.lif, until - t, &by_u, &by_i)
        c_u = <real_t> by_u
        c_i = <real_t> by_i
    if real_t is float:
        ops32.step(u, i, row, stride, l.blocks, a, h, b, c_u, c_i, level, found)
    else:
        ops64.step(u, i, row, stride, l.blocks, a, h, b, c_u, c_i, level, found)
    if q.branches.post != NULL:
        memset(reached, 0, l.blocks * WIDTH * sizeof(real_t))
    for k in range(n_which):
        # The step took these for free neurons: correct them, and look at them closely.
        u[which[k]] = released[k]
        v.marked[which[k]] = True
        if not found[which[k] // WIDTH]:
            found[which[k] // WIDTH] = MARKED
    l.now = t
    search(s, v, q.target, u, i, until, NULL if until == INFINITY else found)
    for k in range(n_which):
        v.marked[which[k]] = False
    return 0


cdef int64_t fire(QueueState s, const view_t* v, int32_t number, const real_t* u, const real_t* i) except -1 nogil:
    """Fire every neuron of a layer whose spike time has come, in neuron order, and look for its next spike.

    Returns what that cost, in neuron updates.
    """
    cdef layer_t* l = &s.layers[number]
    cdef double t = s.heap.key[s.n_projections + number], until
    cdef int32_t k, n, kept = 0, p
    cdef int64_t cost = WIDTH + LOOK * <int64_t> l.n_candidates, fired = l.spikes.n
    until = min(horizon(s, v, number), v.t_stop)
    for k in range(l.n_candidates):
        n = v.candidates[l.first + k]
        if v.next[l.first + n] == t:
            spikes_push(&l.spikes, t, n)
            if not v.end[l.first + n] >= l.now:
                v.refractory[l.first + l.n_refractory] = n
                l.n_refractory += 1
            v.end[l.first + n] = t + l.lif.refractory
            v.next[l.first + n] = lif_next_spike(&l.lif, u[l.first + n], i[l.first + n], l.now,
                                                 v.end[l.first + n], until)
            if v.next[l.first + n] == t:
                spikes_refuse(t, n)
        if v.next[l.first + n] < INFINITY:
            v.candidates[l.first + kept] = n
            kept += 1
    l.n_candidates = kept
    announce(s, v, number)
    for p in range(s.n_projections):
        if s.projections[p].source == number:
            admit(s, v, &s.projections[p])
            heap_update(&s.heap, p, next_arrival(s, v, p))
    return cost + SEARCH * (l.spikes.n - fired)


def run_queue(QueueState state, const real_t[::1] weights, const double[::1] times, const int32_t[::1] indices,
              real_t[::1] u, real_t[::1] i, double[::1] end, double[::1] next_spike, int32_t[::1] refractory,
              int32_t[::1] candidates, double t_stop, int64_t budget, bint known=True):
    """Run until nothing is left to happen by `t_stop`, or about `budget` neuron updates are spent.

    All arrays but the weights and the input hold `state.neurons` items and belong to the state: pass the same ones
    again. Returns True when done; until then, call again. Not `known` are the next spikes, but at rest, where there
    is more input or a later `t_stop` than before: they are looked for first.
    """
    cdef view_t v
    cdef layer_t* target
    cdef int32_t top, k
    cdef bint done = False
    # Scratch of one delivery: what the refractory neurons of its layer become, the weights of synapses that arrive
    # apart, and the blocks with candidates.
    cdef real_t[::1] released = np.empty_like(u), reached = np.zeros_like(u)
    cdef int32_t[::1] which = np.empty_like(candidates)
    cdef uint8_t[::1] found = np.empty(u.shape[0], dtype=np.uint8), marked = np.zeros(u.shape[0], dtype=np.uint8)
    v.times = &times[0] if times.shape[0] else NULL
    v.indices = &indices[0] if times.shape[0] else NULL
    v.n_input = times.shape[0]
    v.end = &end[0]
    v.next = &next_spike[0]
    v.refractory = &refractory[0]
    v.candidates = &candidates[0]
    v.marked = &marked[0]
    v.t_stop = t_stop
    with nogil:
        for k in range(state.n_projections):
            if not known or state.projections[k].source < 0:
                admit(state, &v, &state.projections[k])
                heap_update(&state.heap, k, next_arrival(state, &v, k))
        for k in range(0 if known else state.n_layers):
            target = &state.layers[k]
            search(state, &v, k, &u[target.first], &i[target.first], min(horizon(state, &v, k), t_stop), NULL)
        while budget > 0:
            top = heap_top(&state.heap)
            done = state.heap.key[top] > t_stop or state.heap.key[top] == INFINITY
            if done:
                break
            state.now = state.heap.key[top]
            if top < state.n_projections:
                deliver(state, &v, top, &u[0], &i[0], &weights[0], &released[0], &reached[0], &which[0], &found[0])
                target = &state.layers[state.projections[top].target]
                budget -= target.blocks * WIDTH + SEARCH * <int64_t> target.n_candidates
            else:
                budget -= fire(state, &v, top - state.n_projections, &u[0], &i[0])
    return done
