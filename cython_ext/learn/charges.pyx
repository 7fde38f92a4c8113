"""Charges at points, which the sweep of spsp.pyx sums: those of spike counts, and those of exact derivatives.

`charge_counts` gives 1 at each spike at t, and -exp(-(t - r)/tau_m) at the end r of the refractory period before it.
With these the sum of G is the spike-train level post-synaptic potential (S-PSP) e_{i|j} of Jin, Zhang & Li (2018).
Twin: eventsnn/reference/spsp.py.
"""

from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.dtypes cimport WIDTH, real_t
from eventsnn._ext.layer_events cimport LayerEvents, unit_t
from eventsnn._ext.lif cimport decay_e, lif_t
from eventsnn._ext.team cimport Stage
from eventsnn._ext.work_counter cimport WorkCounter, work_take


cdef void charge_block(const lif_t* constants, const unit_t* u, const real_t* coefficient,
                       double* charges) noexcept nogil:
    """Charges of one block in one unit; a forced spike within a refractory period had no time to integrate: none."""
    cdef double end[WIDTH]
    cdef int64_t last[WIDTH]
    cdef int64_t f
    cdef int32_t lane
    for lane in range(WIDTH):
        end[lane] = -1.0
    for f in range(u.n_spikes):
        lane = u.neurons[f] - u.first_neuron
        charges[2 * f] = 0.0
        charges[2 * f + 1] = 0.0
        if coefficient[lane] != 0 and end[lane] <= u.times[f]:
            charges[2 * f] = coefficient[lane]
            if end[lane] >= 0.0:
                charges[2 * last[lane] + 1] = -coefficient[lane] * decay_e((u.times[f] - end[lane]) * constants.rate_m)
        end[lane] = u.times[f] + constants.refractory
        last[lane] = f


cdef class ChargeCounts(Stage):
    """Charges of spike counts; made by `charge_counts`."""

    cdef object arrays              # the arrays that the pointers below lead into
    cdef LayerEvents events
    cdef bint single, by_unit
    cdef int64_t size
    cdef const void* coefficient    # real [units][size]
    cdef double* charges            # [spikes][2]

    cdef int unit(self, int64_t number, void* room) except -1 nogil:
        cdef int64_t k
        if self.by_unit:
            for k in range(self.size // WIDTH):
                self.block(k, number)
        else:
            for k in range(self.events.units):
                self.block(number, k)
        return 0

    cdef int block(self, int64_t block, int64_t s) except -1 nogil:
        """One block in unit s."""
        cdef unit_t u = self.events.spikes(block, s)
        cdef int64_t first = s * self.size + u.first_neuron
        cdef double* charges
        if not u.n_spikes:
            return 0
        charges = self.charges + 2 * u.first_spike if self.charges != NULL else self.events.take_charges(block, s,
                                                                                                         u.n_spikes)
        if self.single:
            charge_block(self.events.first_constants(), &u, <const float*> self.coefficient + first, charges)
        else:
            charge_block(self.events.first_constants(), &u, <const double*> self.coefficient + first, charges)
        return 0


def charge_counts(LayerEvents events, const real_t[:, ::1] coefficient, double[:, ::1] charges, WorkCounter counter,
                  bint by_unit=False):
    """Charges of spike counts times a coefficient of each neuron, as a task.

    Parameters
    ----------
    events : LayerEvents
    coefficient : real (units, blocks * WIDTH)
    charges : float64 (spikes, 2)
        Set: at each spike, and at the end of the refractory period that follows it. (0, 2) for `LayerEvents.coming`,
        which holds the charges itself.
    counter : WorkCounter
        Over the blocks, or with `by_unit` over the units.
    """
    cdef ChargeCounts w = ChargeCounts()
    w.arrays, w.events, w.single, w.by_unit = (coefficient, charges), events, real_t is float, by_unit
    w.counter, w.size = counter, coefficient.shape[1]
    w.coefficient = &coefficient[0, 0] if coefficient.shape[0] and coefficient.shape[1] else NULL
    w.charges = &charges[0, 0] if charges.shape[0] else NULL
    return w


def charge_derivatives(const double[::1] post_times, const int32_t[::1] post_neurons, const int64_t[::1] post_ptr,
                       const double[:, ::1] currents, const double[::1] derivatives, double height, double resting,
                       double tau_m, double tau_s, double refractory, double least_slope, double[:, ::1] charges,
                       int64_t units, WorkCounter counter):
    """Charges of exact derivatives, for the blocks that this thread takes. Twin: eventsnn/reference/spsp.py.

    Parameters
    ----------
    post_times, post_neurons, post_ptr
        As `LayerEvents` has them.
    currents : float64 (spikes, 2)
        See `point_currents`.
    derivatives : float64 (spikes,)
        Of the loss by the times of the spikes.
    height, resting, tau_m, tau_s, refractory : float
        Threshold above the resting potential, and the parameters of the neurons.
    least_slope : float
        Slopes of the potential below this count as this.
    charges : float64 (spikes, 2)
        Set, as those of `charge_counts`.
    units : int
        Samples, or positions of one.
    counter : WorkCounter
        Over the blocks.
    """
    cdef double following[WIDTH]    # time of the neuron's next spike
    cdef double pending[WIDTH]      # its derivative in all over its slope
    cdef double total, slope, left
    cdef int64_t k, f
    cdef int32_t lane
    with nogil:
        k = work_take(&counter.next) * units
        while k < counter.count * units:
            for k in range(k, k + units):
                for lane in range(WIDTH):
                    pending[lane] = 0.0
                    following[lane] = 0.0
                for f in range(post_ptr[k + 1] - 1, post_ptr[k] - 1, -1):
                    lane = post_neurons[f] % WIDTH
                    total = derivatives[f]
                    charges[f, 1] = 0.0
                    if pending[lane] != 0.0:
                        left = pending[lane] * decay_e((following[lane] - post_times[f] - refractory) / tau_m)
                        charges[f, 1] = left
                        total += left * (currents[f, 1] / tau_s + resting / tau_m)
                    slope = max(currents[f, 0] / tau_s - height / tau_m, least_slope)
                    charges[f, 0] = -total / slope
                    pending[lane] = total / slope
                    following[lane] = post_times[f]
            k = work_take(&counter.next) * units
