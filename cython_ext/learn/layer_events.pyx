"""A layer in a mini-batch as what learns from it sees it: what arrived, and its spikes, unit by unit."""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc

from eventsnn._ext.arrivals cimport arrivals_of, arrivals_t
from eventsnn._ext.block cimport TABLE_COLUMNS
from eventsnn._ext.dtypes cimport WIDTH
from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.patches cimport Ready, ready_sources
from eventsnn._ext.spikes cimport spikes_t
from eventsnn._ext.store cimport ForcedSpikes, SpikeStore
from eventsnn._ext.work_counter cimport WorkCounter, work_take


cdef class LayerEvents:
    """What arrived at a layer, and its spikes, in the units of a mini-batch: where all walks over them begin.

    Parameters
    ----------
    constants : RECORD (1,)
    times, neurons, unit_ptr, grid, scale
        Arrivals as `eventsnn._ext.arrivals.fill_tables` has them.
    table : uint8 (arrivals, bytes of a row)
        Bytes of the table, real (arrivals, TABLE_COLUMNS), in the precision of the kernels that read it.
    post_times, post_neurons, post_ptr, after
        The layer's spikes in the order block, unit, time, as `SpikeStore.collect` returns them; `after` may be empty.
    ready : Ready, optional
        The arrivals of a layer with many positions, the units; what else is said of arrivals is not read then, and one
        thread alone may walk.

    Attributes
    ----------
    units : int
    longest : int
        The most spikes of any block in any unit.
    single : bool
        Whether the table is in single precision.
    """

    def __init__(self, const lif_t[::1] constants, const double[::1] times, const int32_t[::1] neurons,
                 const int64_t[::1] unit_ptr, const int32_t[::1] grid, const double[::1] scale,
                 const uint8_t[:, ::1] table, const double[::1] post_times, const int32_t[::1] post_neurons,
                 const int64_t[::1] post_ptr, const int32_t[::1] after, Ready ready=None):
        cdef int64_t k
        self.constants, self.times, self.neurons, self.unit_ptr = constants, times, neurons, unit_ptr
        self.grid, self.scale, self.table = grid, scale, table
        self.post_times, self.post_neurons, self.post_ptr, self.after = post_times, post_neurons, post_ptr, after
        self.ready = ready
        self.units = unit_ptr.shape[0] - 1 if ready is None else ready.patches.units
        self.single = table.shape[1] == TABLE_COLUMNS * sizeof(float) if ready is None else ready.ready.single
        for k in range(post_ptr.shape[0] - 1):
            self.longest = max(self.longest, post_ptr[k + 1] - post_ptr[k])

    @staticmethod
    def coming(const lif_t[::1] constants, const double[::1] times, const int32_t[::1] neurons,
               const int64_t[::1] unit_ptr, const int32_t[::1] grid, const double[::1] scale,
               const uint8_t[:, ::1] table,
               SpikeStore store, ForcedSpikes forced):
        """The same before the layer has fired: spikes are those that are in the store, where a sample is a part by
        itself, when a unit is asked for. Of how many there will be nothing is known, so the charges of a unit are held
        here: `take_charges` makes room for them.
        """
        cdef LayerEvents e = LayerEvents.__new__(LayerEvents)
        e.constants, e.times, e.neurons, e.unit_ptr = constants, times, neurons, unit_ptr
        e.grid, e.scale, e.table = grid, scale, table
        e.store, e.forced = store, forced
        e.units, e.single = store.samples, table.shape[1] == TABLE_COLUMNS * sizeof(float)
        e.charges = <double**> calloc(max(1, store.blocks * store.samples), sizeof(double*))
        if e.charges == NULL:
            raise MemoryError("no memory for charges")
        return e

    def __dealloc__(self):
        cdef int64_t k
        if self.charges != NULL:
            for k in range(self.store.blocks * self.store.samples):
                free(self.charges[k])
        free(self.charges)

    cdef double* take_charges(self, int64_t block, int64_t s, int64_t n_spikes) except? NULL nogil:
        """Room for the charges of a unit's spikes; NULL if there are none."""
        cdef double** charges = &self.charges[block * self.units + s]
        free(charges[0])
        charges[0] = <double*> malloc(2 * n_spikes * sizeof(double)) if n_spikes else NULL
        if charges[0] == NULL and n_spikes:
            with gil:
                raise MemoryError(f"no memory for the charges of {n_spikes} spikes")
        return charges[0]

    cdef const lif_t* first_constants(self) noexcept nogil:
        return &self.constants[0]

    cdef unit_t spikes(self, int64_t block, int64_t s) noexcept nogil:
        """The spikes of one block in unit s, without what arrived."""
        cdef unit_t u
        cdef int64_t k = block * self.units + s
        cdef const spikes_t* spikes
        if self.charges != NULL:
            spikes = &self.store.units[k]
            u.after = spikes.after
            if self.forced.units[s].n and self.forced.block[s] == block:
                spikes = &self.forced.units[s]
                u.after = NULL
            u.first_spike, u.n_spikes, u.times, u.neurons = 0, spikes.n, spikes.times, spikes.neurons
            u.charges = self.charges[k]
        else:
            u.first_spike = self.post_ptr[k]
            u.n_spikes = self.post_ptr[k + 1] - u.first_spike
            u.times = &self.post_times[u.first_spike] if u.n_spikes else NULL
            u.neurons = &self.post_neurons[u.first_spike] if u.n_spikes else NULL
            u.after = &self.after[u.first_spike] if u.n_spikes and self.after.shape[0] else NULL
            u.charges = NULL
        u.first_neuron = <int32_t> (block * WIDTH)
        u.arrivals = arrivals_t(0, NULL, NULL, NULL, 0.0)
        u.table = NULL
        u.first_arrival = 0
        return u

    cdef unit_t unit(self, int64_t block, int64_t s) noexcept nogil:
        """One block in unit s; where there are many positions, what arrived is there if it fired."""
        cdef unit_t u = self.spikes(block, s)
        if self.ready is None:
            u.arrivals = arrivals_of(self.times, self.neurons, self.unit_ptr, self.grid, self.scale, s)
            u.first_arrival = self.unit_ptr[s]
            u.table = &self.table[u.first_arrival, 0] if u.arrivals.n else NULL
        else:
            if u.n_spikes:
                ready_sources(&self.ready.ready, s)
            u.first_arrival = self.ready.patches.patches.ptr[s]
            u.arrivals = arrivals_t(self.ready.patches.patches.ptr[s + 1] - u.first_arrival, self.ready.ready.times,
                                    self.ready.ready.sources, NULL, 0.0)
            u.table = self.ready.ready.table
        return u

    cdef bint next_unit(self, WorkCounter counter, walk_t* walk, unit_t* u) noexcept nogil:
        """Go on to the next unit in which something arrived and fired, block after block that this thread takes; False
        if none is left. A walk begins with `walk_t(0, self.units)`."""
        while True:
            if walk.s >= self.units:
                walk.block, walk.s = work_take(&counter.next), 0
                if walk.block >= counter.count:
                    return False
            while walk.s < self.units:
                u[0] = self.unit(walk.block, walk.s)
                walk.s += 1
                if u.arrivals.n and u.n_spikes:
                    return True

    cdef int check(self, int64_t real_size) except -1:
        """Refuse a table of another precision than the kernel's."""
        if self.single != (real_size == sizeof(float)):
            raise TypeError("the table of arrivals has another precision than the weights")
        return 0
