"""S-PSPs e_{i|j} of a block of neurons in one unit, as a matrix: what rules that send errors down are given.

A rule knows `SpspMatrix` alone (rule.pyx). `ExactSpsp` sums charges at arrivals in exact time (spsp.pyx), `ClockedSpsp`
(spsp_clocked.pyx) takes the sums over steps of the authors of HM2-BP.
"""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from eventsnn._ext.dtypes cimport WIDTH
from eventsnn._ext.layer_events cimport LayerEvents, unit_t
from eventsnn._ext.lif cimport decay_rise, lif_t
from eventsnn._ext.spsp cimport points_create, points_free, reverse_add


cdef class SpspMatrix:
    """The S-PSPs of a layer; an object serves one thread.

    Attributes
    ----------
    units, positions : int
        Units are the positions of each sample.
    rows, width : int
        Inputs of a neuron, and neurons of a block with padding, a multiple of 8.
    """

    cdef int create(self, int64_t units, int64_t positions, int64_t rows, int32_t width, bint single) except -1:
        """Take memory for the matrix of a block."""
        self.units, self.positions, self.rows, self.width, self.single = units, positions, rows, width, single
        self.e = malloc((rows + 1) * width * (sizeof(float) if single else sizeof(double)))
        self.post_counts = <int64_t*> calloc(width, sizeof(int64_t))
        if not (self.e and self.post_counts):
            raise MemoryError(f"no memory for the S-PSPs of {rows} neurons")
        return 0

    cdef int fill(self, int64_t block, int64_t unit) except -1 nogil:
        """Compute the matrix of a block in a unit, and all that belongs to it."""
        return 0

    cdef void add_resting(self, double* total) noexcept nogil:
        """Add the resting potential's share, in the block and unit that `fill` was called for, to the total PSPs."""

    def __dealloc__(self):
        free(self.e)
        free(self.post_counts)


cdef class ExactSpsp(SpspMatrix):
    """S-PSPs in exact time.

    Parameters
    ----------
    events : LayerEvents
        Arrivals and spikes of the layer, forced ones included.
    charges : float64 (spikes, 2)
        Of the S-PSPs; see `eventsnn._ext.charges.charge_counts`.
    sources : int64 (units, inputs)
        Spikes of each input in each unit.
    """

    def __init__(self, LayerEvents events, const double[:, ::1] charges, const int64_t[:, ::1] sources):
        self.events, self.charges, self.sources = events, charges, sources
        self.create(events.units, 1, sources.shape[1], WIDTH, events.single)
        points_create(&self.points, events.longest, 0)

    def __dealloc__(self):
        points_free(&self.points)

    cdef int fill(self, int64_t block, int64_t unit) except -1 nogil:
        cdef const lif_t* c = &self.events.constants[0]
        cdef unit_t u = self.events.unit(block, unit)
        cdef const double* charges = u.charges
        cdef int64_t f
        if charges == NULL and u.n_spikes:
            charges = &self.charges[u.first_spike, 0]
        if u.n_spikes > self.points.capacity:    # more than the events knew of when this was made
            points_free(&self.points)
            points_create(&self.points, 2 * u.n_spikes, 0)
        self.u, self.of_unit = u, charges
        self.pre_counts = &self.sources[unit, 0] if self.rows else NULL
        memset(self.e, 0, self.rows * self.width * (sizeof(float) if self.single else sizeof(double)))
        if u.arrivals.n and u.n_spikes:
            if self.single:
                reverse_add(c, &u, charges, &self.points, NULL, <const float*> NULL, <float*> NULL, <float*> self.e)
            else:
                reverse_add(c, &u, charges, &self.points, NULL, <const double*> NULL, <double*> NULL,
                            <double*> self.e)
        memset(self.post_counts, 0, self.width * sizeof(int64_t))
        for f in range(u.n_spikes):
            self.post_counts[u.neurons[f] - u.first_neuron] += 1
        return 0

    cdef void add_resting(self, double* total) noexcept nogil:
        add_resting_share(&self.events.constants[0], &self.u, self.of_unit, total)


cdef void add_resting_share(const lif_t* c, const unit_t* u, const double* charges, double* total) noexcept nogil:
    """What the resting potential has of the total PSPs of a block in a unit."""
    cdef int64_t f
    if c.reset == 0.0:    # potentials are counted from the resting potential
        return
    # It acts like an input of that weight whose PSP at time t is 1 - exp(-t/tau_m).
    for f in range(u.n_spikes):
        total[u.neurons[f] - u.first_neuron] -= c.reset * (
            charges[2 * f] * decay_rise(u.times[f] * c.rate_m)
            + charges[2 * f + 1] * decay_rise((u.times[f] + c.refractory) * c.rate_m)
        )
