"""The sweep in reverse time that every learning rule uses: charges at points, summed at arrivals.

The points p of a neuron are its spikes and the ends of its refractory periods; a rule gives each a charge q_p
(charges.pyx). With

    G_i(t) = sum_{p >= t} q_p eps(p - t),    P_i(t) = sum_{p >= t} q_p e^{-(p - t)/tau_m}

the gradient of a weight is the sum of G_i over the arrivals at its synapse, and the derivative by the time of an
arrival is its weight times G'_i = (G_i - P_i)/tau_s. (P, G) obeys the forward propagators in reverse: G(t - d) =
G(t) b + P(t) h, P(t - d) = P(t) a. Twin: eventsnn/reference/spsp.py, `sum_charges`.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from eventsnn._ext.arrivals cimport arrivals_about, arrivals_between, arrivals_from, arrivals_t
from eventsnn._ext.block cimport TABLE_COLUMNS, ops32, ops64, rows_t
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.layer_events cimport LayerEvents, unit_t, walk_t
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.optimiser cimport Update
from eventsnn._ext.patches cimport entry_t, patches_entries
from eventsnn._ext.team cimport Stage
from eventsnn._ext.work_counter cimport WorkCounter


cdef int points_create(points_t* p, int64_t capacity, int64_t times) except -1 nogil:
    """Room for the points of `capacity` spikes, and for as many `times` of arrivals as any `rows_t` holds."""
    cdef int64_t n = 2 * capacity + 1
    p.capacity = capacity
    p.time = <double*> malloc(n * sizeof(double))
    p.lag = <double*> malloc(n * sizeof(double))
    p.charge = <double*> malloc(n * sizeof(double))
    p.which = <int64_t*> malloc(n * sizeof(int64_t))
    p.lane = <int32_t*> malloc(n * sizeof(int32_t))
    p.at = <int32_t*> malloc(n * sizeof(int32_t))
    p.until = <int32_t*> malloc(n * sizeof(int32_t))
    p.rows = malloc(n * TABLE_COLUMNS * sizeof(double))
    p.dp = malloc(n * sizeof(double))
    p.dg = malloc(n * sizeof(double))
    p.g = malloc(max(times, 1) * WIDTH * sizeof(double))
    if not (p.time and p.lag and p.charge and p.which and p.lane and p.at and p.until and p.rows and p.dp and p.dg
            and p.g):
        points_free(p)
        with gil:
            raise MemoryError(f"no memory for the points of {capacity} spikes")
    return 0


cdef void points_free(points_t* p) noexcept nogil:
    free(p.time)
    free(p.lag)
    free(p.charge)
    free(p.which)
    free(p.lane)
    free(p.at)
    free(p.until)
    free(p.rows)
    free(p.dp)
    free(p.dg)
    free(p.g)
    memset(p, 0, sizeof(points_t))


cdef int64_t merge_points(double refractory, const unit_t* u, const double* charges, points_t* p) noexcept nogil:
    """Both kinds of points in one list, latest first; those without a charge are left out if there are charges."""
    cdef int64_t f = u.n_spikes - 1, q = u.n_spikes - 1, n = 0
    while f >= 0 or q >= 0:
        if q < 0 or (f >= 0 and u.times[f] >= u.times[q] + refractory):
            p.time[n] = u.times[f]
            p.which[n] = 2 * f
            p.lane[n] = u.neurons[f] - u.first_neuron
            p.at[n] = u.after[f] if u.after != NULL else 0
            f -= 1
        else:
            p.time[n] = u.times[q] + refractory
            p.which[n] = 2 * q + 1
            p.lane[n] = u.neurons[q] - u.first_neuron
            p.at[n] = u.after[q] if u.after != NULL else 0
            q -= 1
        p.charge[n] = charges[p.which[n]] if charges != NULL else 1.0
        n += p.charge[n] != 0.0
    return n


cdef int64_t place_points(const arrivals_t* a, int64_t n, points_t* p, bint noted) noexcept nogil:
    """The arrivals at or before the points; those before all arrivals are left out. Returns how many are left.

    If `noted`, p.at are those before the spikes that the points belong to.
    """
    cdef int64_t k, at
    # In two loops, so that what either waits for, all of it in no order, comes at once.
    if not noted:
        for k in range(n):
            arrivals_about(a, p.time[k], &p.at[k], &p.until[k])
    for k in range(n):
        if not noted:
            at = arrivals_between(a, p.time[k], p.at[k], p.until[k]) - 1
        elif p.which[k] & 1:
            at = arrivals_from(a, p.time[k], p.at[k] + 1) - 1
        else:
            at = p.at[k]
        if at < 0:
            n = k
            break
        p.lag[k] = p.time[k] - a.times[at]
        p.at[k] = <int32_t> at
    p.at[n] = -1
    return n


cdef int64_t prepare_points(const lif_t* constants, const unit_t* u, const double* charges, const real_t* precision,
                            points_t* p) noexcept nogil:
    """The points, and the propagators from the arrivals before them; `precision` is not read."""
    cdef int64_t n = place_points(&u.arrivals, merge_points(constants.refractory, u, charges, p), p, u.after != NULL)
    if n:
        if real_t is float:
            ops32.table(<float*> p.rows, p.lag, n, constants)
        else:
            ops64.table(<double*> p.rows, p.lag, n, constants)
    return n


cdef void reverse_add(const lif_t* constants, const unit_t* u, const double* charges, points_t* p,
                      const rows_t* by_row, const real_t* weights, real_t* down, real_t* out) noexcept nogil:
    """Add the sums of G of one block in one unit to `out` (pre, WIDTH).

    With `weights` (pre, WIDTH) also add the derivatives by the times of the arrivals to `down`. `by_row` is for many
    arrivals at the same time, and NULL with `weights`.
    """
    cdef real_t* rows = <real_t*> p.rows
    cdef real_t* dp = <real_t*> p.dp
    cdef real_t* dg = <real_t*> p.dg
    cdef const real_t* table = <const real_t*> u.table
    cdef const int32_t* sources = u.arrivals.neurons
    cdef int64_t k, n = prepare_points(constants, u, charges, table, p)
    if n == 0:
        return
    for k in range(n):
        dp[k] = <real_t> p.charge[k] * rows[k * TABLE_COLUMNS]
        dg[k] = <real_t> p.charge[k] * rows[k * TABLE_COLUMNS + 1]
    if weights != NULL:
        if real_t is float:
            ops32.reverse_down(out, sources, table, p.at, p.lane, dp, dg, weights, <float> constants.rate_s, down)
        else:
            ops64.reverse_down(out, sources, table, p.at, p.lane, dp, dg, weights, constants.rate_s, down)
    elif by_row != NULL and by_row.n_times:
        if real_t is float:
            ops32.reverse_rows(out, by_row, table, p.at, p.lane, dp, dg, <real_t*> p.g)
        else:
            ops64.reverse_rows(out, by_row, table, p.at, p.lane, dp, dg, <real_t*> p.g)
    elif real_t is float:
        ops32.reverse(out, sources, table, p.at, p.lane, dp, dg)
    else:
        ops64.reverse(out, sources, table, p.at, p.lane, dp, dg)


cdef int64_t distinct(const entry_t* arrivals, int64_t n, uint8_t* seen, int32_t* rows) noexcept nogil:
    """List which inputs the arrivals have in `rows`, and return how many; `seen` is all 0, and is left so."""
    cdef int64_t e, found = 0
    for e in range(n):
        rows[found] = arrivals[e].row
        found += not seen[arrivals[e].row]
        seen[arrivals[e].row] = 1
    for e in range(found):
        seen[rows[e]] = 0
    return found


cdef void add_silent(real_t* out, const int32_t* rows, int64_t n, const real_t* silent) noexcept nogil:
    """Add what silent neurons have, (WIDTH,), to the rows listed."""
    if real_t is float:
        ops32.add_rows(out, rows, n, silent)
    else:
        ops64.add_rows(out, rows, n, silent)


cdef bint any_of(const real_t* values) noexcept nogil:
    cdef real_t found = 0
    cdef int32_t k
    for k in range(WIDTH):
        found += values[k] != 0
    return found != 0


cdef class Reverse(Stage):
    """Sums of G of all units; made by `reverse_blocks`."""

    cdef object arrays              # the arrays that the pointers below lead into
    cdef LayerEvents events
    cdef Update update              # or None
    cdef bint updates
    cdef int64_t inputs, size, most_times, arrivals
    cdef void* out                  # real [blocks][inputs][WIDTH]
    cdef const double* charges      # [spikes][2]
    cdef const void* silent         # real [units][size]
    cdef const int32_t* rows
    cdef const int64_t* n_rows
    cdef const int32_t* ends
    cdef const int32_t* when
    cdef const int32_t* last
    cdef const int64_t* n_times
    cdef const void* weights        # real [blocks][inputs][WIDTH]
    cdef void* down                 # real [blocks][arrivals], or NULL

    cdef void* take_room(self) except NULL nogil:
        cdef points_t* points = <points_t*> calloc(1, sizeof(points_t))
        cdef bint ready = False
        if points == NULL:
            with gil:
                raise MemoryError("no memory for points")
        try:
            points_create(points, self.events.longest, self.most_times)
            ready = True
        finally:
            if not ready:
                free(points)
        return points

    cdef void return_room(self, void* room) noexcept nogil:
        points_free(<points_t*> room)
        free(room)

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        if self.events.single:
            reverse_units(self, number, <points_t*> room, <const float*> NULL)
        else:
            reverse_units(self, number, <points_t*> room, <const double*> NULL)
        if self.updates:
            self.update.block(<int32_t> number)
        return 0


cdef void reverse_units(Reverse w, int64_t block, points_t* points, const real_t* precision) noexcept nogil:
    """One block in all units; `precision` is not read."""
    cdef rows_t by_row
    cdef unit_t u
    cdef int64_t s, first
    cdef real_t* out = <real_t*> w.out + block * w.inputs * WIDTH
    cdef const real_t* silent
    for s in range(w.events.units):
        u = w.events.unit(block, s)
        first = u.first_arrival
        if u.arrivals.n and u.n_spikes:
            by_row = rows_t(w.n_times[s], w.last + first, w.n_rows[s], w.rows + first, w.ends + first, w.when + first)
            reverse_add(w.events.first_constants(), &u, w.charges + 2 * u.first_spike, points, &by_row,
                        <const real_t*> w.weights + block * w.inputs * WIDTH if w.down != NULL else
                        <const real_t*> NULL,
                        <real_t*> w.down + block * w.arrivals + first if w.down != NULL else <real_t*> NULL, out)
        silent = <const real_t*> w.silent + s * w.size + block * WIDTH
        if w.n_rows[s] and any_of(silent):
            add_silent(out, w.rows + first, w.n_rows[s], silent)


def reverse_blocks(real_t[:, :, ::1] out, LayerEvents events, const double[:, ::1] charges, const real_t[:, ::1] silent,
                   const int32_t[::1] rows, const int64_t[::1] n_rows, const int32_t[::1] ends, const int32_t[::1] when,
                   const int32_t[::1] last, const int64_t[::1] n_times, const real_t[:, :, ::1] weights,
                   real_t[:, ::1] down, Update update, WorkCounter counter):
    """Add the sums of G of all units, in their order, to each block, and update it, as a task.

    Parameters
    ----------
    out : real (blocks, pre, WIDTH)
        Gradient; added to.
    events : LayerEvents
    charges : float64 (spikes, 2)
        At each spike, and at the end of the refractory period that follows it.
    silent : real (units, blocks * WIDTH)
        Added once for every pre-synaptic neuron that fired in the unit.
    rows, n_rows, ends, when, last, n_times
        Those neurons, and the times of arrivals where many come at once, from `eventsnn._ext.arrivals.list_rows`.
    weights : real (blocks, pre, WIDTH), down : real (blocks, arrivals)
        The derivatives of each block by the times of the arrivals are added to `down`; both empty: nobody wants them.
    update : Update or None
        What to do with a block when its gradient is complete.
    counter : WorkCounter
        Over the blocks.
    """
    cdef Reverse w = Reverse()
    cdef int64_t s
    events.check(sizeof(real_t))
    w.arrays = (out, charges, silent, rows, n_rows, ends, when, last, n_times, weights, down)
    w.counter, w.events, w.update, w.updates = counter, events, update, update is not None
    w.inputs, w.size, w.most_times, w.arrivals = out.shape[1], silent.shape[1], 0, down.shape[1]
    for s in range(events.units):
        w.most_times = max(w.most_times, n_times[s])
    w.out = &out[0, 0, 0] if out.shape[0] and out.shape[1] else NULL
    w.charges = &charges[0, 0] if charges.shape[0] else NULL
    w.silent = &silent[0, 0] if silent.shape[0] and silent.shape[1] else NULL
    w.rows, w.ends, w.when, w.last = NULL, NULL, NULL, NULL
    if rows.shape[0]:
        w.rows, w.ends, w.when, w.last = &rows[0], &ends[0], &when[0], &last[0]
    w.n_rows = &n_rows[0] if n_rows.shape[0] else NULL
    w.n_times = &n_times[0] if n_times.shape[0] else NULL
    w.weights = &weights[0, 0, 0] if weights.shape[0] and weights.shape[1] else NULL
    w.down = &down[0, 0] if down.shape[0] and down.shape[1] else NULL
    return w


def reverse_patches(real_t[:, :, ::1] out, LayerEvents events, const double[:, ::1] charges,
                    const real_t[:, ::1] silent, const real_t[:, :, ::1] weights, real_t[:, ::1] down):
    """The same for a layer with many positions, whose arrivals are made for one position at a time."""
    cdef unit_t u
    cdef int64_t block, s, n
    cdef points_t points
    cdef bint derive = down.shape[0] > 0
    cdef uint8_t* seen = <uint8_t*> calloc(out.shape[1] + 1, sizeof(uint8_t))
    cdef int32_t* rows = <int32_t*> malloc((out.shape[1] + 1) * sizeof(int32_t))
    if seen == NULL or rows == NULL:
        free(seen)
        free(rows)
        raise MemoryError(f"no memory for {out.shape[1]} inputs")
    events.check(sizeof(real_t))
    points_create(&points, events.longest, 0)
    with nogil:
        for s in range(events.units):
            n = 0
            for block in range(out.shape[0]):
                u = events.unit(block, s)
                if u.arrivals.n == 0:
                    break
                if u.n_spikes:
                    reverse_add(&events.constants[0], &u, &charges[u.first_spike, 0], &points, NULL,
                                &weights[block, 0, 0] if derive else NULL,
                                &down[block, u.first_arrival] if derive else NULL, &out[block, 0, 0])
                if any_of(&silent[s, block * WIDTH]):
                    n = n or distinct(patches_entries(&events.ready.patches.patches, s), u.arrivals.n, seen, rows)
                    add_silent(&out[block, 0, 0], rows, n, &silent[s, block * WIDTH])
        points_free(&points)
        free(seen)
        free(rows)


def point_currents(const real_t[:, :, ::1] weights, LayerEvents events, double[:, ::1] currents, WorkCounter counter):
    """Synaptic currents at the points, for the blocks that this thread takes; exact derivatives need them.

    Parameters
    ----------
    weights : real (blocks, pre, WIDTH)
    events : LayerEvents
    currents : float64 (spikes, 2)
        Of the spike's neuron at the spike, and at the end of the refractory period that follows; 0 at first.
    counter : WorkCounter
        Over the blocks.
    """
    cdef unit_t u
    cdef points_t points
    cdef const real_t* table
    cdef real_t* values
    cdef double* current
    cdef walk_t walk = walk_t(0, events.units)
    cdef int64_t k, n
    events.check(sizeof(real_t))
    points_create(&points, events.longest, 0)
    with nogil:
        while events.next_unit(counter, &walk, &u):
            current = &currents[u.first_spike, 0]
            table = <const real_t*> u.table
            n = prepare_points(&events.constants[0], &u, NULL, table, &points)
            values = <real_t*> points.dp
            if real_t is float:
                ops32.currents(values, u.arrivals.neurons, table, &weights[walk.block, 0, 0], points.at, points.lane,
                               <float*> points.rows, n)
            else:
                ops64.currents(values, u.arrivals.neurons, table, &weights[walk.block, 0, 0], points.at, points.lane,
                               <double*> points.rows, n)
            for k in range(n):
                current[points.which[k]] = values[k]
        points_free(&points)
