"""The sweep engine: one feed-forward layer, block by block, each block through all input spikes.

Same arithmetic as the queue engine (lif.h, block_template.h), hence the same bits; the whole input of the layer is
known, so a search for spikes reaches exactly to the next arrival, and a block's state and weights stay in the cache.

The sweep of a block that stands alone is one operation (sweep_template.h). A block whose neurons inhibit each other is
driven from one spike to the next (lateral.pyx).
"""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from eventsnn._ext.block cimport TABLE_COLUMNS, ops32, ops64
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.lateral cimport sweep_lateral
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.patches cimport Ready, ready_fill
from eventsnn._ext.spikes cimport spikes_no_memory, spikes_refuse
from eventsnn._ext.store cimport SpikeStore
from eventsnn._ext.sweep cimport (
    SWEEP_AHEAD,
    SWEEP_DONE,
    SWEEP_NO_MEMORY,
    block_rest,
    block_resume,
    block_t,
    event_t,
)
from eventsnn._ext.team cimport Stage
from eventsnn._ext.work_counter cimport WorkCounter, work_take


cdef int sweep_block(block_t* k, real_t* u, real_t* i, const real_t* weights, const real_t* table) except -1 nogil:
    """One block, its neurons independent of each other, through all arrivals of its sample."""
    cdef int status
    if real_t is float:
        status = ops32.sweep(k, u, i, weights, table)
    else:
        status = ops64.sweep(k, u, i, weights, table)
    if status == SWEEP_NO_MEMORY:
        spikes_no_memory(k.spikes.n)
    if status != SWEEP_DONE:
        spikes_refuse(k.spikes.times[k.spikes.n - 1], k.spikes.neurons[k.spikes.n - 1])
    return 0


cdef int check_finite(const real_t* u, const real_t* i) except -1 nogil:
    """Refuse a state that has left the range of `real_t`; without a branch for each neuron."""
    cdef int32_t n
    cdef int bad = 0
    for n in range(WIDTH):
        bad |= (u[n] - u[n] != 0) | (i[n] - i[n] != 0)
    if bad:
        with gil:
            raise FloatingPointError("the state is not finite")
    return 0


cdef int sweep_unit(block_t* k, const real_t* lateral, const real_t* weights, const real_t* table, real_t* u, real_t* i,
                    double* end, double* now, double until, int64_t* count) except -1 nogil:
    """One block through the arrivals of a sample or a position, from rest, or, unless `now` is NULL, from the state
    that `u`, `i`, `end` and `now` have, which becomes the state at the last arrival. Sets `count`: the spikes."""
    cdef real_t rest[2 * WIDTH]
    cdef int32_t n
    cdef int64_t before = k.spikes.n
    if now != NULL:
        memcpy(&k.end[0], end, WIDTH * sizeof(double))
        block_resume(k, now[0], until)
    else:
        u = &rest[0]
        i = &rest[WIDTH]
        for n in range(WIDTH):
            u[n] = <real_t> k.lif.reset
            i[n] = 0
        block_rest(k)
    if k.n or now != NULL:
        if lateral != NULL:
            sweep_lateral(k, u, i, lateral, weights, table)
        else:
            sweep_block(k, u, i, weights, table)
        check_finite(u, i)
    if now != NULL:
        memcpy(end, &k.end[0], WIDTH * sizeof(double))
        now[0] = k.now
    count[0] = k.spikes.n - before
    return 0


cdef struct room_t:
    # Of one thread.
    block_t block
    event_t own[1 + SWEEP_AHEAD]


cdef class Sweep(Stage):
    """Spikes of a layer for a batch of samples; made by `sweep_blocks`."""

    cdef object arrays              # the arrays that the pointers below lead into
    cdef SpikeStore store
    cdef bint single
    cdef bint by_sample             # a unit is all blocks in one sample, not one block in a part of the samples
    cdef int64_t rows, samples
    cdef const void* weights        # real [blocks][rows][WIDTH]
    cdef const void* lateral        # real [neurons][WIDTH], or NULL
    cdef const lif_t* constants
    cdef const event_t* events
    cdef const int64_t* sample_ptr
    cdef const void* table          # real [arrivals][TABLE_COLUMNS]
    cdef double t_stop, until
    cdef void* u                    # real [blocks][samples][WIDTH], or NULL: from rest
    cdef void* i
    cdef double* end
    cdef double* now

    cdef void* take_room(self) except NULL nogil:
        cdef room_t* room = <room_t*> calloc(1, sizeof(room_t))
        if room == NULL:
            spikes_no_memory(0)
        room.block.lif = self.constants
        room.block.t_stop = self.t_stop
        room.block.own = &room.own[0]
        return room

    cdef void return_room(self, void* room) noexcept nogil:
        free(room)

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        cdef block_t* k = &(<room_t*> room).block
        cdef int64_t block
        if not self.by_sample:
            return self.part(k, number // self.store.parts, number % self.store.parts)
        for block in range(self.store.blocks):
            self.part(k, block, number)
        return 0

    cdef int part(self, block_t* k, int64_t block, int64_t part) except -1 nogil:
        if self.single:
            return sweep_part(self, k, block, part, <const float*> NULL)
        return sweep_part(self, k, block, part, <const double*> NULL)


cdef int sweep_part(Sweep w, block_t* k, int64_t block, int64_t part, const real_t* precision) except -1 nogil:
    """One block in a part of the samples; `precision` is not read."""
    cdef int64_t s, at
    cdef bint resumes = w.u != NULL
    k.first = <int32_t> (block * WIDTH)
    k.neurons = w.store.block_neurons(block)
    k.spikes = &w.store.units[block * w.store.parts + part]
    for s in range(w.store.first_sample(part), w.store.first_sample(part + 1)):
        at = block * w.samples + s
        k.n = w.sample_ptr[s + 1] - w.sample_ptr[s]
        k.events = w.events + w.sample_ptr[s]
        sweep_unit(k, <const real_t*> w.lateral, <const real_t*> w.weights + block * w.rows * WIDTH,
                   <const real_t*> w.table + w.sample_ptr[s] * TABLE_COLUMNS,
                   <real_t*> w.u + at * WIDTH if resumes else <real_t*> NULL,
                   <real_t*> w.i + at * WIDTH if resumes else <real_t*> NULL,
                   w.end + at * WIDTH if resumes else <double*> NULL,
                   w.now + at if resumes else <double*> NULL, w.until, &w.store.counts[at])
    return 0


def sweep_blocks(const real_t[:, :, ::1] weights, const real_t[:, :, ::1] lateral, const lif_t[::1] constants,
                 const event_t[::1] events, const int64_t[::1] sample_ptr, const real_t[:, ::1] table, double t_stop,
                 SpikeStore store, WorkCounter counter, int64_t most=1 << 62, real_t[:, :, ::1] u=None,
                 real_t[:, :, ::1] i=None, double[:, :, ::1] end=None, double[:, ::1] now=None, double until=INFINITY,
                 bint by_sample=False):
    """Spikes of a layer for a batch of samples, as a task.

    Parameters
    ----------
    weights : real (blocks, pre, WIDTH)
    constants : `eventsnn.reference.lif.RECORD` array (1,)
    lateral : real (1, neurons, WIDTH) or (0, 0, 0)
        Packed weights of the lateral inhibition of a layer of one block; empty if there is none.
    events, table
        From `eventsnn._ext.arrivals.fill_tables`.
    sample_ptr : int64 (samples + 1,)
        Sample s is [sample_ptr[s], sample_ptr[s + 1]) of both.
    t_stop : float
        No spikes after it, ms.
    store : SpikeStore
        Takes the spikes, and knows which block and which samples make a unit.
    counter : WorkCounter
        Over the units; with `by_sample` over the samples.
    most : int
        Units in a piece of the work, between which Ctrl-C is heard.
    u, i : real (blocks, samples, WIDTH), end : float64 (blocks, samples, WIDTH), now : float64 (blocks, samples)
        The state that each sample begins in, and afterwards the state at its last arrival: membrane potentials (those
        of neurons in their refractory period mean nothing), synaptic currents, ends of the last refractory periods
        and the time (ms) of all that. Without them every sample begins at rest.
    until : float
        With them: no spikes at this time (ms) or later, which must be later than the arrivals.
    by_sample : bool
        A unit is all blocks in one sample, which is a part of the store by itself: for layers whose weights fit a
        cache, as a stage of what is done sample by sample.

    Raises
    ------
    FloatingPointError
        By the task: the state is not finite.
    OverflowError
        By the task: a neuron would fire without end at one instant.
    """
    cdef Sweep w = Sweep()
    w.arrays = (weights, lateral, constants, events, sample_ptr, table, u, i, end, now)
    w.counter, w.store, w.by_sample = counter, store, by_sample
    if by_sample and store.parts < store.samples:
        raise ValueError("a sample is no part of the store by itself")
    w.single = real_t is float
    w.most, w.rows, w.samples = most, weights.shape[1], store.samples
    w.weights = &weights[0, 0, 0] if weights.shape[0] and weights.shape[1] else NULL
    w.lateral = &lateral[0, 0, 0] if lateral.shape[0] else NULL
    w.constants = &constants[0]
    w.events = &events[0]
    w.sample_ptr = &sample_ptr[0]
    w.table = &table[0, 0] if table.shape[0] else NULL
    w.t_stop, w.until = t_stop, until
    w.u = w.i = NULL
    w.end = w.now = NULL
    if u is not None and u.shape[1]:
        w.u, w.i, w.end, w.now = &u[0, 0, 0], &i[0, 0, 0], &end[0, 0, 0], &now[0, 0]
    return w


def sweep_patches(const real_t[:, :, ::1] weights, Ready ready, double t_stop, SpikeStore store, WorkCounter turns,
                  int64_t most=1 << 62, real_t[:, :, ::1] u=None, real_t[:, :, ::1] i=None, double[:, :, ::1] end=None,
                  double[:, ::1] now=None, double until=INFINITY):
    """Spikes of a layer with many positions for one sample: as `sweep_blocks`, for one thread, a sample for each
    position.

    Parameters
    ----------
    ready : Ready
        The arrivals.
    store : SpikeStore
        Of one part.
    turns : WorkCounter
        Over the positions.
    """
    cdef block_t k
    cdef int64_t s
    cdef int32_t block
    cdef bint resumes = u is not None
    cdef event_t own[1 + SWEEP_AHEAD]
    if ready.ready.single != (sizeof(real_t) == sizeof(float)) or store.parts > 1:
        raise TypeError("arrivals of another precision than the weights, or spikes in parts")
    k.lif = &ready.constants[0]
    k.t_stop = t_stop
    memset(&own[0], 0, sizeof(own))
    k.own = &own[0]
    k.events = ready.ready.events
    with nogil:
        s = work_take(&turns.next) if most > 0 else turns.count
        while s < turns.count:
            # All its blocks have come to the same time.
            k.n = ready_fill(&ready.ready, s, now[0, s] if resumes else 0.0)
            for block in range(<int32_t> store.blocks):
                k.first = block * WIDTH
                k.neurons = store.block_neurons(block)
                k.spikes = &store.units[block]
                sweep_unit(&k, <const real_t*> NULL, &weights[block, 0, 0], <const real_t*> ready.ready.table,
                           &u[block, s, 0] if resumes else <real_t*> NULL,
                           &i[block, s, 0] if resumes else <real_t*> NULL,
                           &end[block, s, 0] if resumes else <double*> NULL,
                           &now[block, s] if resumes else <double*> NULL, until,
                           &store.counts[block * store.samples + s])
            most -= 1
            s = work_take(&turns.next) if most > 0 else turns.count
