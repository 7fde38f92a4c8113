"""S-PSPs of clocked spikes, position by position. Twin: eventsnn/reference/spsp_clocked.py.

The authors' S-PSP of a pre-synaptic spike in step t on a post-synaptic one in step p, whose neuron was refractory until
step l (1 at first), is k e^{-max(x - s, 0)/tau_s} (e^{-min(s, x)/tau_m} - e^{-min(s, x)/tau_s}) with s = p - l,
x = p - (t + refractory), for x >= 0 and 1, p - 4 tau_m <= t. As a function of a = t + refractory the sum over p is
G(a) = m + y: going back, m begins with k at each p and decays with tau_m, y takes up -k there and decays with tau_s;
at l the rest of m goes over into y. S-PSPs are sums of G over pre-synaptic spikes; G serves all inputs of a position.
"""

from libc.math cimport exp, floor
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

from eventsnn._ext.engine_clocked cimport (
    CLOCK_POOL,
    ClockedLayer,
    ClockedRun,
    clocked_layer_t,
    clocked_ops_t,
    clocked_spikes_t,
    current_ops,
)

cdef enum:
    LAST = 0    # the refractory period before a spike ends
    SPIKE = 1
    CUT = 2     # 4 tau_m before a spike


cdef void work_free(work_t* w) noexcept nogil:
    free(w.g)
    free(w.m)
    free(w.head)
    free(w.events)
    free(w.forced)
    memset(w, 0, sizeof(work_t))


cdef int work_make(work_t* w, const clocked_layer_t* l, int32_t steps) except -1 nogil:
    memset(w, 0, sizeof(work_t))
    w.g = <float*> malloc((<int64_t> steps + l.refractory + l.latency) * l.width * sizeof(float))
    w.m = <float*> malloc(2 * l.width * sizeof(float))
    w.head = <int32_t*> malloc((steps + 1) * sizeof(int32_t))
    w.forced = <int32_t*> malloc((steps + 1) * sizeof(int32_t))
    if w.g == NULL or w.m == NULL or w.head == NULL or w.forced == NULL:
        work_free(w)
        with gil:
            raise MemoryError("no memory for the gradients of a clocked layer")
    w.y = w.m + l.width
    w.decay[0] = <float> exp(-1.0 / l.tau_m)
    w.decay[1] = <float> exp(-1.0 / l.tau_s)
    w.k = 1.0 / (1.0 - <double> l.tau_s / l.tau_m)
    w.reach = <int32_t> floor(4.0 * l.tau_m) - l.refractory
    return 0


cdef inline int add_event(work_t* w, int32_t step, int32_t channel, int32_t kind, int32_t s) except -1 nogil:
    cdef event_t* larger
    if w.n == w.room:
        w.room = 2 * w.room + 256
        larger = <event_t*> realloc(w.events, w.room * sizeof(event_t))
        if larger == NULL:
            with gil:
                raise MemoryError("no memory for the gradients of a clocked layer")
        w.events = larger
    w.events[w.n] = event_t(w.head[step], channel, kind, s)
    w.head[step] = <int32_t> w.n
    w.n += 1
    return 0


cdef int list_events(work_t* w, const clocked_layer_t* l, const int32_t* times, int64_t n,
                     int32_t channel) except -1 nogil:
    """Where G of a neuron bends, from its spikes."""
    cdef int64_t f
    cdef int32_t last = 1, t
    if w.reach <= 0:
        return 0
    for f in range(n):
        t = times[f]
        if f:
            last = times[f - 1] + l.refractory
            if last >= t:
                continue    # spikes that were forced may be so close: nothing can act
            add_event(w, last, channel, LAST, 0)
        add_event(w, t, channel, SPIKE, 0)
        # What is left of a response that ended long before is nothing in float32: e^-20.
        if t - w.reach >= 1 and w.reach - (t - last) < 20.0 * l.tau_s:
            add_event(w, t - w.reach, channel, CUT, t - last)
    return 0


cdef void apply_events(work_t* w, const clocked_layer_t* l, int32_t step, float* m, float* y) noexcept nogil:
    """What happens in a step. Of one neuron the event noted last comes first: with no refractory period, its end
    before the spike that it follows."""
    cdef int32_t k = w.head[step]
    cdef event_t v
    while k >= 0:
        v = w.events[k]
        if v.kind == LAST:
            y[v.channel] += m[v.channel]
            m[v.channel] = 0.0
        elif v.kind == SPIKE:
            m[v.channel] = <float> w.k
            y[v.channel] -= <float> w.k
        elif v.s > w.reach:
            m[v.channel] = 0.0
            y[v.channel] += <float> (w.k * exp(-w.reach / <double> l.tau_s))
        else:
            y[v.channel] -= <float> (w.k * (exp(-v.s / <double> l.tau_m) - exp(-v.s / <double> l.tau_s))
                                     * exp(-(w.reach - v.s) / <double> l.tau_s))
        k = v.next


cdef int64_t train_of(work_t* w, const clocked_spikes_t* post, int64_t id, forced_t forced, int32_t steps,
                      const int32_t** times) noexcept nogil:
    """Spikes of a neuron, forced ones in their place; returns how many."""
    cdef int64_t n = 0
    cdef int32_t t = forced.interval
    if id != forced.id:
        times[0] = post.times + post.ptr[id]
        return post.ptr[id + 1] - post.ptr[id]
    while t < steps:
        w.forced[n] = t
        n += 1
        t += forced.interval
    times[0] = w.forced
    return n


cdef int fill_g(clocked_ops_t* ops, work_t* w, const clocked_layer_t* l, const clocked_spikes_t* post, int64_t first,
                forced_t forced, int32_t steps) except -1 nogil:
    """G of the neurons of a position; returns whether any fired."""
    cdef int32_t c, t, top = -1, now
    cdef int64_t n
    cdef const int32_t* times
    cdef float* m = w.m
    cdef float* y = w.y
    w.n = 0
    memset(w.head, 0xff, (steps + 1) * sizeof(int32_t))
    for c in range(l.width):
        n = train_of(w, post, first + c, forced, steps, &times)
        if n:
            top = max(top, times[n - 1])
            list_events(w, l, times, n, c)
    if top < 0:
        return 0
    memset(m, 0, 2 * l.width * sizeof(float))
    memset(w.g + <int64_t> top * l.width, 0,
           (<int64_t> steps + l.refractory + l.latency - top) * l.width * sizeof(float))
    now = top
    apply_events(w, l, top, m, y)
    for t in range(top - 1, 0, -1):
        if w.head[t] >= 0 or t == 1:
            ops.kernel(w.g, now - 1, t, l.width, w.decay, m, y)
            apply_events(w, l, t, m, y)
            now = t
    return 1


cdef class ClockedSpsp(SpspMatrix):
    """S-PSPs on a clock, float32.

    Blocks of a dense layer are its positions; units of another layer are the positions of each sample.

    Parameters
    ----------
    layer : ClockedLayer
        Layer `number` of the `runs`, counted from 1.
    forced : int64 (samples, 2)
        Neuron with forced spikes (-1: none), and the steps between them.
    within : bool
        Sources are the layer's own neurons, a dense layer's, whose spikes need one step.
    """

    def __cinit__(self, ClockedLayer layer, list runs, int32_t number, const int64_t[:, ::1] forced,
                  bint within=False):
        cdef clocked_layer_t* l = &layer.c
        cdef int64_t n = len(runs), s, row, rows = l.channels if within else l.rows
        cdef int64_t positions = l.positions if l.cells != NULL else 1
        cdef int32_t steps = 1
        cdef ClockedRun run
        self.layer, self.runs, self.within, self.ops = layer, runs, within, current_ops()
        self.latency = 1 if within else l.latency
        if l.kind == CLOCK_POOL:
            self.channels = l.channels
            rows = <int64_t> l.area * l.channels
        self.create(n * positions, positions, rows, l.width, True)
        self.samples = <sample_t*> malloc((n + 1) * sizeof(sample_t))
        self.source_of = <int32_t*> malloc((rows + 1) * sizeof(int32_t))
        self.source_counts = <int64_t*> malloc((rows + 1) * sizeof(int64_t))
        self.target_of = <int64_t*> malloc((rows + 1) * sizeof(int64_t))
        if not (self.samples and self.source_of and self.source_counts and self.target_of):
            raise MemoryError("no memory for the gradients of a clocked layer")
        for s in range(n):
            run = runs[s]
            steps = max(steps, run.steps)
            self.samples[s] = sample_t(run.spikes + (number if within else number - 1), run.spikes + number,
                                       forced_t(forced[s, 0], <int32_t> forced[s, 1]), run.steps)
        work_make(&self.w, l, steps)
        self.pre_counts = self.source_counts
        if l.cells != NULL and number > 1:    # the first layer hands nothing down
            self.targets = self.target_of
        if l.cells == NULL:
            for row in range(rows):
                self.source_of[row] = <int32_t> row if within else l.id_of[row]

    def __dealloc__(self):
        work_free(&self.w)
        free(self.samples)
        free(self.source_of)
        free(self.source_counts)
        free(self.target_of)

    cdef void take_sources(self) noexcept nogil:
        """Source neuron of each row of the present position, in the kernel's numbering and in that of networks, which
        is map after map."""
        cdef clocked_layer_t* l = &self.layer.c
        cdef const int32_t* cells = l.cells + self.position * l.area
        cdef int32_t* source_of = self.source_of
        cdef int64_t* target_of = self.target_of
        cdef int64_t n_cells = l.source_size // l.source_width
        cdef int32_t k, channel, cell, channels = l.source_channels
        for k in range(l.area):
            cell = cells[k]
            for channel in range(channels):
                source_of[channel] = cell * l.source_width + channel if cell >= 0 else -1
            if self.targets != NULL:
                for channel in range(channels):
                    target_of[channel] = cell + channel * n_cells if cell >= 0 else -1
            source_of += channels
            target_of += channels
        if l.area * channels < self.rows:    # the bias neuron, which takes no errors
            source_of[0] = <int32_t> l.source_size
            target_of[0] = -1

    cdef void add_up(self, bint any_fired) noexcept nogil:
        """Spikes of each source neuron, and the matrix: sums of G over them."""
        cdef clocked_layer_t* l = &self.layer.c
        cdef const int32_t* ptr = self.sample.pre.ptr
        cdef const int32_t* times
        cdef int32_t* source_of = self.source_of
        cdef int64_t* counts = self.source_counts
        cdef int32_t latency = self.latency, width = l.width, id, n
        # From a spike of the source to the step of G that is its S-PSP.
        cdef float* g = self.w.g + (<int64_t> l.refractory + latency - 1) * width
        cdef float* e = <float*> self.e
        cdef int64_t row, s
        cdef bint skip
        for row in range(self.rows):
            id = source_of[row]
            n = ptr[id + 1] - ptr[id] if id >= 0 else 0
            counts[row] = n
            if n == 0 or not any_fired:
                continue
            times = self.sample.pre.times + ptr[id]
            skip = times[0] + latency <= 1    # the clock begins with step 1
            if self.channels:
                e[row] = 0.0
                for s in range(skip, n):
                    e[row] += g[<int64_t> times[s] * width + row % self.channels]
            elif n > skip:
                self.ops.sum(g, width, times + skip, n - skip, e + row * width)
            else:
                memset(e + row * width, 0, width * sizeof(float))

    cdef int fill(self, int64_t block, int64_t unit) except -1 nogil:
        cdef clocked_layer_t* l = &self.layer.c
        cdef const int32_t* times
        cdef int64_t first
        cdef int32_t c
        cdef bint any_fired
        self.sample = self.samples + unit // self.positions
        self.position = block + unit % self.positions
        first = self.position * l.width
        any_fired = fill_g(&self.ops, &self.w, l, self.sample.post, first, self.sample.forced, self.sample.steps)
        if not any_fired:
            memset(self.e, 0, self.rows * (1 if self.channels else l.width) * sizeof(float))
        if l.cells != NULL:
            self.take_sources()
        self.add_up(any_fired)
        for c in range(l.width):
            self.post_counts[c] = train_of(&self.w, self.sample.post, first + c, self.sample.forced, self.sample.steps,
                                           &times)
        return 0

    cdef void add_resting(self, double* total) noexcept nogil:
        cdef clocked_layer_t* l = &self.layer.c
        cdef const int32_t* times
        cdef int64_t f, n
        cdef int32_t c, last
        cdef double psp
        if l.leak == 0.0:
            return
        # An input of weight leak tau_m whose PSP is 1 - exp(-s/tau_m) in s steps after the reset.
        for c in range(l.width):
            n = train_of(&self.w, self.sample.post, self.position * l.width + c, self.sample.forced, self.sample.steps,
                         &times)
            psp, last = 0.0, 1    # the clock begins with step 1
            for f in range(n):
                if times[f] > last:
                    psp += 1.0 - exp(-(times[f] - last) / <double> l.tau_m)
                last = times[f] + l.refractory
            total[c] += l.leak * l.tau_m * psp
