"""What convolution and pooling layers learn, as stages: what is done in one sample, apart from all others.

Twins: `learn_units` of rule.pyx, `direct_factors` and `reverse_patches` of spsp.pyx, layer by layer and sample by
sample with Python between; the same bits. Errors go down from the neurons of a layer to those of its source: float64
(samples, neurons), neuron ``channel * positions + position``.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from eventsnn._ext.arrivals cimport arrivals_t
from eventsnn._ext.charges cimport charge_block
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.layer_events cimport unit_t
from eventsnn._ext.patches cimport entry_t, patches_entries, ready_sources
from eventsnn._ext.positions cimport PositionInput, PositionSpikes, be_patient, seen_of_thread, seen_t
from eventsnn._ext.rule cimport (
    any_error,
    direct_factor,
    flag_return,
    flag_take,
    learn_unit,
    options_t,
    scratch_create,
    scratch_t,
)
from eventsnn._ext.spikes cimport spikes_t
from eventsnn._ext.spsp cimport add_silent, any_of, distinct, points_create, points_free, points_t, reverse_add
from eventsnn._ext.spsp_matrix cimport SpspMatrix, add_resting_share
from eventsnn._ext.team cimport Stage
from eventsnn._ext.work_counter cimport WorkCounter


@cython.final
cdef class PositionSpsp(SpspMatrix):
    """S-PSPs in exact time of a layer of many positions, in one sample after the other.

    Parameters
    ----------
    input : PositionInput
    spikes : PositionSpikes
    rows : int
        Inputs of a position.
    """

    cdef PositionInput input
    cdef PositionSpikes spikes
    cdef seen_t* seen           # of the thread that is at work
    cdef points_t points
    cdef double* charges        # [room][2]
    cdef int64_t room
    cdef int64_t* arrived       # [rows] arrivals of each input at position `counted`
    cdef int64_t sample, counted
    cdef unit_t u               # the present block and position

    def __init__(self, PositionInput input, PositionSpikes spikes, int64_t rows):
        self.input, self.spikes = input, spikes
        self.create(spikes.positions, spikes.positions, rows, WIDTH, input.single)
        self.arrived = <int64_t*> calloc(rows + 1, sizeof(int64_t))
        if self.arrived == NULL:
            raise MemoryError(f"no memory for the arrivals from {rows} inputs")
        self.pre_counts = self.arrived
        points_create(&self.points, 0, 0)

    def __dealloc__(self):
        points_free(&self.points)
        free(self.charges)
        free(self.arrived)

    cdef int take(self, int64_t sample) except -1 nogil:
        """Go on to a sample."""
        self.seen = seen_of_thread()
        self.input.see(sample, self.seen)
        self.sample, self.counted = sample, -1
        return 0

    cdef int place(self, int64_t block, int64_t position) except -1 nogil:
        """Go on to a block at a position, of which only the number of arrivals is there if it has not fired."""
        cdef const spikes_t* spikes = &self.spikes.fired[self.sample]
        cdef const int64_t* ends = self.spikes.starts(self.sample) + position * self.spikes.blocks + block
        cdef int64_t n = ends[1] - ends[0]
        cdef const int64_t* ptr = self.seen.patches.ptr + position
        cdef unit_t* u = &self.u
        u.first_spike, u.n_spikes, u.first_neuron = 0, n, <int32_t> (block * WIDTH)
        u.times, u.neurons, u.after = spikes.times + ends[0], spikes.neurons + ends[0], spikes.after + ends[0]
        if n:
            ready_sources(&self.seen.ready, position)
        u.first_arrival, u.table = ptr[0], self.seen.ready.table
        u.arrivals = arrivals_t(ptr[1] - ptr[0], self.seen.ready.times, self.seen.ready.sources, NULL, 0.0)
        if n > self.points.capacity:
            points_free(&self.points)
            points_create(&self.points, 2 * n, 0)
        if n > self.room:
            free(self.charges)
            self.room = 0
            self.charges = <double*> malloc(4 * n * sizeof(double))
            if self.charges == NULL:
                with gil:
                    raise MemoryError(f"no memory for the charges of {n} spikes")
            self.room = 2 * n
        return 0

    cdef void charge(self, const double* coefficient) noexcept nogil:
        """Give the spikes their charges: of spike counts, times a coefficient of each neuron of the block."""
        charge_block(self.input.constants, &self.u, coefficient, self.charges)

    cdef void sum_charges(self, real_t* out) noexcept nogil:
        """Add the charges, summed at the arrivals, to `out` (rows, WIDTH)."""
        if self.u.arrivals.n and self.u.n_spikes:
            reverse_add(self.input.constants, &self.u, self.charges, &self.points, NULL, <const real_t*> NULL,
                        <real_t*> NULL, out)

    cdef int fill(self, int64_t block, int64_t position) except -1 nogil:
        """Compute the matrix of the block and position that the charges are there of."""
        cdef const entry_t* entries
        cdef int64_t f
        if self.single:
            memset(self.e, 0, self.rows * WIDTH * sizeof(float))
            self.sum_charges(<float*> self.e)
        else:
            memset(self.e, 0, self.rows * WIDTH * sizeof(double))
            self.sum_charges(<double*> self.e)
        memset(self.post_counts, 0, WIDTH * sizeof(int64_t))
        for f in range(self.u.n_spikes):
            self.post_counts[self.u.neurons[f] - self.u.first_neuron] += 1
        if self.counted != position:
            self.counted = position
            memset(self.arrived, 0, self.rows * sizeof(int64_t))
            entries = patches_entries(&self.seen.patches, position)
            for f in range(self.u.arrivals.n):
                self.arrived[entries[f].row] += 1
        return 0

    cdef void add_resting(self, double* total) noexcept nogil:
        add_resting_share(self.input.constants, &self.u, self.charges, total)


cdef struct room_t:
    # Of one thread.
    scratch_t scratch
    int64_t updates             # since it last looked whether to go on
    int64_t matrix              # number of the matrix that it works with
    double* delta               # [blocks * WIDTH] errors at a position
    double* factor              # [blocks * WIDTH] coefficients of the charges
    void* fill                  # real [blocks * WIDTH]
    double* below               # [rows] errors of the inputs
    void* gradient              # real [blocks][rows][WIDTH], which nobody wants
    uint8_t* seen               # [rows + 1], zeros
    int32_t* rows               # [rows + 1]


cdef class LearnPositions(Stage):
    """Gradients of a layer and errors of its source; made by `learn_positions`."""

    cdef object arrays              # the arrays that the pointers below lead into
    cdef PositionSpikes spikes
    cdef list matrices              # PositionSpsp, one for each thread
    cdef void** matrix              # the same, for threads without the interpreter's lock
    cdef int32_t* taken             # which of them are in use
    cdef options_t options
    cdef bint single, first
    cdef int64_t n_matrices, inputs, patch, sources
    cdef const void* weights        # real [blocks][inputs][WIDTH]
    cdef const double* above        # [samples][above_step]
    cdef int64_t above_step
    cdef const double* row_sum      # [1 or positions][blocks][WIDTH]
    cdef int64_t row_sum_step       # from position to position; 0: the same for all
    cdef const int64_t* targets     # [positions][patch] source neurons, -1 beyond the edge
    cdef void* gradient             # real [samples][blocks][inputs][WIDTH], or NULL: nobody wants it
    cdef double* below              # [samples][sources]; not used by the first layer

    def __dealloc__(self):
        free(self.matrix)
        free(self.taken)

    cdef void* take_room(self) except NULL nogil:
        cdef room_t* r = <room_t*> calloc(1, sizeof(room_t))
        cdef int64_t size = self.spikes.blocks * WIDTH
        cdef bint ready = False
        try:
            if r != NULL:
                while r.matrix < self.n_matrices and flag_take(&self.taken[r.matrix]):
                    r.matrix += 1
                r.delta = <double*> calloc(size, sizeof(double))
                r.factor = <double*> calloc(size, sizeof(double))
                r.fill = calloc(size, sizeof(double))
                r.below = <double*> calloc(self.inputs + 1, sizeof(double))
                r.seen = <uint8_t*> calloc(self.inputs + 1, sizeof(uint8_t))
                r.rows = <int32_t*> calloc(self.inputs + 1, sizeof(int32_t))
                r.gradient = calloc(1 if self.gradient != NULL else self.inputs * size, sizeof(double))
            if not (r and r.delta and r.factor and r.fill and r.below and r.seen and r.rows and r.gradient):
                with gil:
                    raise MemoryError(f"no memory for the errors of {self.inputs} inputs")
            if r.matrix == self.n_matrices:
                with gil:
                    raise RuntimeError("more threads than matrices of S-PSPs")
            scratch_create(&r.scratch, self.inputs, WIDTH)
            ready = True
        finally:
            if r != NULL and not ready:
                self.return_room(r)
        return r

    cdef void return_room(self, void* room) noexcept nogil:
        cdef room_t* r = <room_t*> room
        if r.matrix < self.n_matrices:
            flag_return(&self.taken[r.matrix])
        free(r.scratch.total)
        free(r.delta)
        free(r.factor)
        free(r.fill)
        free(r.below)
        free(r.seen)
        free(r.rows)
        free(r.gradient)
        free(r)

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        cdef void* matrix = self.matrix[(<room_t*> room).matrix]
        if self.single:
            return LEARN32(<void*> self, matrix, number, <room_t*> room)
        return LEARN64(<void*> self, matrix, number, <room_t*> room)


cdef bint gather_errors(LearnPositions w, int64_t sample, int64_t position, double* delta) noexcept nogil:
    """The errors at a position; whether there are any."""
    cdef int64_t n, positions = w.spikes.positions, channels = w.spikes.channels
    cdef const double* above = w.above + sample * w.above_step + position
    for n in range(channels):
        delta[n] = above[n * positions]
    return any_error(delta, channels)


cdef int learn_sample(LearnPositions w, PositionSpsp m, int64_t sample, room_t* r,
                      const real_t* precision) except -1 nogil:
    """All positions of a sample; `precision` is not read."""
    cdef int64_t s, size = w.spikes.blocks * w.inputs * WIDTH
    cdef real_t* gradient = <real_t*> r.gradient
    cdef bint begun = False
    if w.gradient != NULL:
        gradient = <real_t*> w.gradient + sample * size
        memset(gradient, 0, size * sizeof(real_t))
    if not w.first:
        memset(w.below + sample * w.sources, 0, w.sources * sizeof(double))
    for s in range(w.spikes.positions):
        if not gather_errors(w, sample, s, r.delta):
            continue
        if not begun:
            m.take(sample)
            begun = True
        while s >= m.seen.patches.stop:
            m.input.see_next(m.seen)
        if w.first:
            learn_first(w, m, sample, s, r, gradient)
        else:
            learn_position(w, m, sample, s, r, gradient)
        r.updates += (w.inputs + m.seen.patches.ptr[s + 1] - m.seen.patches.ptr[s]) * w.spikes.blocks * WIDTH
        be_patient(w.counter, &r.updates)
    return 0


cdef int learn_position(LearnPositions w, PositionSpsp m, int64_t sample, int64_t s, room_t* r,
                        real_t* gradient) except -1 nogil:
    """A position through its S-PSP matrices; the errors go down to the neurons that its inputs are."""
    cdef const int64_t* targets = w.targets + s * w.patch
    cdef double* below = w.below + sample * w.sources
    cdef double* delta
    cdef int64_t block, j, size = w.inputs * WIDTH
    memset(r.below, 0, w.inputs * sizeof(double))
    for block in range(w.spikes.blocks):
        delta = r.delta + block * WIDTH
        if not any_error(delta, WIDTH):
            continue
        m.place(block, s)
        # Of a neuron without an error nobody asks for S-PSPs.
        for j in range(WIDTH):
            r.factor[j] = delta[j] != 0.0
        m.charge(r.factor)
        m.fill(block, s)
        learn_unit(&w.options, m, delta, NULL, w.row_sum + s * w.row_sum_step + block * WIDTH,
                   <const real_t*> w.weights + block * size, &r.scratch, gradient + block * size, r.below, NULL)
    for j in range(w.patch):
        if targets[j] >= 0:
            below[targets[j]] += r.below[j]
    return 0


cdef int learn_first(LearnPositions w, PositionSpsp m, int64_t sample, int64_t s, room_t* r,
                     real_t* gradient) except -1 nogil:
    """A position of the first layer, which needs no matrices, and hands nothing down."""
    cdef const int64_t* counts = w.spikes.count + sample * w.spikes.channels * w.spikes.positions + s
    cdef const double* row_sum = w.row_sum + s * w.row_sum_step
    cdef real_t* fill = <real_t*> r.fill
    cdef real_t* out
    cdef real_t factor
    cdef int64_t block, n, rows = 0
    for n in range(w.spikes.channels):
        factor = fill[n] = 0
        direct_factor(&w.options, r.delta[n], counts[n * w.spikes.positions], row_sum[n], &factor, &fill[n])
        r.factor[n] = factor
    for block in range(w.spikes.blocks):
        out = gradient + block * w.inputs * WIDTH
        m.place(block, s)
        if m.u.arrivals.n == 0:
            break
        if m.u.n_spikes:
            m.charge(r.factor + block * WIDTH)
            m.sum_charges(out)
        if any_of(fill + block * WIDTH):
            rows = rows or distinct(patches_entries(&m.seen.patches, s), m.u.arrivals.n, r.seen, r.rows)
            add_silent(out, r.rows, rows, fill + block * WIDTH)
    return 0


cdef int learn_single(LearnPositions w, PositionSpsp m, int64_t number, room_t* r) except -1 nogil:
    return learn_sample(w, m, number, r, <const float*> NULL)


cdef int learn_double(LearnPositions w, PositionSpsp m, int64_t number, room_t* r) except -1 nogil:
    return learn_sample(w, m, number, r, <const double*> NULL)


# A thread without the lock has no reference to its matrix: the task keeps it.
ctypedef int (*learn_sample_t)(void* w, void* m, int64_t number, room_t* r) except -1 nogil
cdef learn_sample_t LEARN32 = <learn_sample_t> <void*> learn_single
cdef learn_sample_t LEARN64 = <learn_sample_t> <void*> learn_double


def learn_positions(PositionInput input, PositionSpikes spikes, int64_t threads, const real_t[:, :, ::1] weights,
                    const double[:, :] above, const double[:, :, ::1] row_sum, double threshold, double divisor,
                    double silent_spsp, double silent_ratio, bint effect_ratio, bint first,
                    real_t[:, :, :, ::1] gradient, const int64_t[:, ::1] targets, double[:, ::1] below,
                    WorkCounter counter):
    """Gradients of a layer and errors of its source, as a task whose units are samples.

    Parameters
    ----------
    input : PositionInput
    spikes : PositionSpikes
        Of the layer.
    threads : int
        How many take part at most.
    weights : real (blocks, inputs, WIDTH)
    above : float64 (samples, neurons)
        Errors of the layer; the rows may lie apart.
    row_sum : float64 (1 or positions, blocks, WIDTH)
        Sums of the weights of each neuron, at each position if they differ.
    threshold, divisor, silent_spsp, silent_ratio, effect_ratio
        As for `eventsnn._ext.rule.learn_units`.
    first : bool
        The layer needs no matrices of S-PSPs, since nobody wants errors of its source; see
        `eventsnn._ext.rule.direct_factors`.
    gradient : real (samples, blocks, inputs, WIDTH), or (0, 0, 0, 0): nobody wants it
        Set: that of each sample.
    targets : int64 (positions, patch)
        Source neurons of the inputs of each position, -1 beyond the edge; without the bias neuron.
    below : float64 (samples, sources), or (0, 0) for the first layer
        Set: errors of the source.
    counter : WorkCounter
        Over the samples.
    """
    cdef LearnPositions w = LearnPositions()
    cdef int64_t k
    if input.single != (sizeof(real_t) == sizeof(float)):
        raise TypeError("arrivals of another precision than the weights")
    w.arrays = (weights, above, row_sum, gradient, targets, below)
    w.spikes, w.counter, w.single, w.first = spikes, counter, input.single, first
    w.inputs, w.patch, w.sources = weights.shape[1], targets.shape[1], below.shape[1]
    w.matrices, w.n_matrices = [PositionSpsp(input, spikes, w.inputs) for _ in range(threads)], threads
    w.matrix = <void**> calloc(threads, sizeof(void*))
    w.taken = <int32_t*> calloc(threads, sizeof(int32_t))
    if w.matrix == NULL or w.taken == NULL:
        raise MemoryError("no memory for errors")
    for k in range(threads):
        w.matrix[k] = <void*> (<PositionSpsp> w.matrices[k])
    w.options = options_t(threshold, divisor, silent_spsp, silent_ratio, effect_ratio)
    w.weights, w.row_sum, w.targets = &weights[0, 0, 0], &row_sum[0, 0, 0], &targets[0, 0]
    w.row_sum_step = row_sum.shape[1] * row_sum.shape[2] if row_sum.shape[0] > 1 else 0
    w.above, w.gradient, w.below = NULL, NULL, NULL
    if above.shape[1] > 1 and above.strides[1] != sizeof(double):
        raise ValueError("the errors of a sample must lie side by side")
    w.above_step = above.strides[0] // <int64_t> sizeof(double)
    if above.shape[0]:
        w.above = &above[0, 0]
    if gradient.shape[0]:
        w.gradient = &gradient[0, 0, 0, 0]
    if below.shape[0]:
        w.below = &below[0, 0]
    return w
