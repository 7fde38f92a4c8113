"""Derivatives of a loss by the time constants of a layer's neurons: the sweep of spsp.pyx with three states more.

With the charges q_p of charges.pyx, and c_r (t - r)/tau_m^2 at each reset r, t being the next spike, which only act on
P_m, the states in reverse time are

    P, G          as there                                     P_m = dP/dtau_m
    G_m, G_s      derivatives of G by tau_m and by tau_s

The sums over arrivals of w G_m and w G_s are the derivatives; going back by d takes the derivatives of the propagators
a, b and h over d. A resting potential E adds what does not depend on arrivals, see the twin:
eventsnn/reference/time_constants.py.
"""

from libc.math cimport fabs
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc

from eventsnn._ext.block cimport ops32, ops64
from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.layer_events cimport LayerEvents, unit_t, walk_t
from eventsnn._ext.lif cimport decay_e, lif_respond, lif_t
from eventsnn._ext.spsp cimport points_create, points_free, points_t, prepare_points
from eventsnn._ext.work_counter cimport WorkCounter, work_take

BY_COLUMNS = 4
cdef enum:
    BY = 4        # derivatives of a by tau_m, of b by tau_s, of h by tau_m and by tau_s
    STATES = 5    # P, P_m, G, G_m, G_s
    TERMS = 13    # of the series of phi, up to |z| = 1/2


cdef double curved(double e, double other, double z) noexcept nogil:
    """e z^2 phi(z) with phi(z) = (e^z - 1 - z)/z^2, where other = e e^z."""
    cdef double series = 0.0
    cdef int k
    if fabs(z) > 0.5:
        return other - e * (1.0 + z)
    for k in range(TERMS - 1, -1, -1):
        series = (1.0 + series * z) / (k + 2)
    return e * z * z * series


cdef void respond_by(const lif_t* c, double d, double* by) noexcept nogil:
    """The derivatives of the propagators over d by the time constants, `BY` of them."""
    cdef double a, h, b, rho, by_m, by_s
    lif_respond(c, d, &a, &h, &b)
    rho = (c.tau_m - c.tau_s) * c.rate_m * c.rate_s
    if rho == 0.0:
        by_m = a * d * d * 0.5
        by_s = by_m
    else:
        by_m = curved(a, b, -d * rho) / (rho * rho)
        by_s = curved(b, a, d * rho) / (rho * rho)
    by[0] = a * d * c.rate_m * c.rate_m
    by[1] = b * d * c.rate_s * c.rate_s
    by[2] = by_m * c.rate_m * c.rate_m * c.rate_s
    by[3] = by_s * c.rate_s * c.rate_s * c.rate_s - h * c.rate_s


def fill_changes(const double[::1] times, const int64_t[::1] unit_ptr, const lif_t[::1] constants,
                 real_t[:, ::1] changes, WorkCounter counter):
    """Derivatives of the propagators between arrivals, for the units that this thread takes.

    Parameters
    ----------
    times, unit_ptr
        Arrivals as for `eventsnn._ext.spsp.reverse_blocks`.
    changes : real (n, BY_COLUMNS)
        Set, for the time from each arrival's predecessor; those of a unit's first are not.
    counter : WorkCounter
        Over the units.
    """
    cdef int64_t s, e
    cdef int k
    cdef double by[BY]
    with nogil:
        s = work_take(&counter.next)
        while s < counter.count:
            for e in range(unit_ptr[s] + 1, unit_ptr[s + 1]):
                respond_by(&constants[0], times[e] - times[e - 1], by)
                for k in range(BY):
                    changes[e, k] = <real_t> by[k]
            s = work_take(&counter.next)


cdef void measure_spans(const lif_t* c, const unit_t* u, const double* charges, double* spans,
                        double* at_rest) noexcept nogil:
    """From the end of each spike's refractory period to its neuron's next spike, over tau_m^2; spans (n,).

    Adds the share of the resting potential E to `at_rest` (WIDTH,).
    """
    cdef int64_t last[WIDTH]
    cdef int64_t f
    cdef int32_t lane
    cdef double square = c.rate_m * c.rate_m
    for lane in range(WIDTH):
        last[lane] = -1
    for f in range(u.n_spikes):
        lane = u.neurons[f] - u.first_neuron
        if last[lane] < 0:
            at_rest[lane] += c.reset * charges[2 * f] * decay_e(u.times[f] * c.rate_m) * u.times[f] * square
        else:
            spans[last[lane]] = (u.times[f] - u.times[last[lane]] - c.refractory) * square
            at_rest[lane] -= c.reset * charges[2 * last[lane] + 1] * spans[last[lane]]
        spans[f] = 0.0
        last[lane] = f


cdef void add_states(const lif_t* c, const points_t* p, int64_t n, const double* spans, const real_t* table,
                     real_t* add) noexcept nogil:
    """What the points add to the states at the arrivals before them, (n, STATES); `table` only tells the precision."""
    cdef double by[BY]
    cdef double a, h, b, q, turned
    cdef int64_t k
    for k in range(n):
        q = p.charge[k]
        turned = q * spans[p.which[k] // 2] if p.which[k] % 2 else 0.0
        lif_respond(c, p.lag[k], &a, &h, &b)
        respond_by(c, p.lag[k], by)
        add[k * STATES] = <real_t> (q * a)
        add[k * STATES + 1] = <real_t> (q * by[0] + turned * a)
        add[k * STATES + 2] = <real_t> (q * h)
        add[k * STATES + 3] = <real_t> (q * by[2] + turned * h)
        add[k * STATES + 4] = <real_t> (q * by[3])


def derive_blocks(const real_t[:, :, ::1] weights, LayerEvents events, const real_t[:, ::1] changes,
                  const double[:, ::1] charges, double[:, :, ::1] found, WorkCounter counter):
    """Add the derivatives by the time constants, of all units in their order, for the blocks that this thread takes.

    Parameters
    ----------
    weights : real (blocks, pre, WIDTH)
    events : LayerEvents
    changes : real (arrivals, BY_COLUMNS)
        See `fill_changes`.
    charges : float64 (spikes, 2)
        As for `eventsnn._ext.spsp.reverse_blocks`.
    found : float64 (blocks, 2, WIDTH)
        Added to: derivatives by tau_m and by tau_s of each neuron.
    counter : WorkCounter
        Over the blocks.
    """
    cdef unit_t u
    cdef points_t points
    cdef const real_t* table
    cdef const double* charge
    cdef const lif_t* c = &events.constants[0]
    cdef real_t* add
    cdef double* spans
    cdef walk_t walk = walk_t(0, events.units)
    cdef int64_t n, first
    events.check(sizeof(real_t))
    points_create(&points, events.longest, 0)
    add = <real_t*> malloc((2 * events.longest + 1) * STATES * sizeof(real_t))
    spans = <double*> malloc((events.longest + 1) * sizeof(double))
    if add == NULL or spans == NULL:
        points_free(&points)
        free(add)
        free(spans)
        raise MemoryError(f"no memory for the points of {events.longest} spikes")
    with nogil:
        while events.next_unit(counter, &walk, &u):
            first, charge = u.first_arrival, &charges[u.first_spike, 0]
            table = <const real_t*> u.table
            measure_spans(c, &u, charge, spans, &found[walk.block, 0, 0])
            n = prepare_points(c, &u, charge, table, &points)
            if n == 0:
                continue
            add_states(c, &points, n, spans, table, add)
            if real_t is float:
                ops32.reverse_taus(u.arrivals.neurons, table, &changes[first, 0], points.at, points.lane, add,
                                   &weights[walk.block, 0, 0], &found[walk.block, 0, 0])
            else:
                ops64.reverse_taus(u.arrivals.neurons, table, &changes[first, 0], points.at, points.lane, add,
                                   &weights[walk.block, 0, 0], &found[walk.block, 0, 0])
        points_free(&points)
        free(add)
        free(spans)
