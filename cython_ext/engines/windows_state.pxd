"""A network in the middle of a simulation in windows, and what the schedule (engine_windows.pyx) works with."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.spikes cimport spikes_t

cdef extern from "windows.h":
    ctypedef struct arrival_t:
        double h, b, a, t
    ctypedef struct table_t:
        double* h
        double* b
        double* a
        double* t
    ctypedef struct delivery_t:
        double weight
        int32_t target, arrival
    ctypedef struct gathered_t:
        double u, i, reach, unused
    ctypedef struct windows_ops_t:
        void (*tabulate)(const double*, int64_t, double, double, const lif_t*, table_t) noexcept nogil
        void (*begin)(int64_t, const double*, const double*, const arrival_t*, gathered_t*) noexcept nogil
        void (*scatter)(const int32_t*, const double*, int64_t, int64_t, double, double, gathered_t*) noexcept nogil
        void (*scatter_one)(const int32_t*, const double*, const int32_t*, int64_t, const double*, const double*,
                            gathered_t*) noexcept nogil
        int64_t (*sift)(const int32_t*, const double*, int64_t, int32_t, const uint8_t*, delivery_t*) noexcept nogil
        int64_t (*sift_one)(const int32_t*, const double*, const int32_t*, int64_t, int32_t, const uint8_t*,
                            delivery_t*) noexcept nogil
        int64_t (*finish)(int64_t, double*, double*, const double*, const gathered_t*, double, double, double, double,
                          uint8_t*, int32_t*) noexcept nogil


cdef struct layer_t:
    lif_t lif
    int32_t size          # neurons of this rank
    int64_t first         # position of its first neuron in the state arrays
    spikes_t spikes       # of all ranks
    int64_t taken         # of them, by `WindowsState.take`
    spikes_t own          # of this rank, since the last exchange
    double since          # start of the first window run since the last exchange, ms; INFINITY: none


cdef struct projection_t:
    int32_t source        # layer, or -1 for the input
    int32_t target        # layer
    double delay          # ms; the shortest, where there are several
    double longest        # ms
    const int64_t* branch_ptr    # [n_pre + 1] first branch of each source neuron; NULL: none, but one delay
    const double* branch_delays  # ms, ascending within a source neuron
    bint single           # every sender, which is a source neuron or its branch, has one target at most
    const int64_t* ptr    # [senders + 1] first synapse of each sender, from `targets`; not if single
    const int64_t* split  # [senders] its first synapse with a weight < 0; not if single
    const int32_t* targets
    const double* weights
    const uint8_t* reached  # [n_pre] whether a source neuron reaches this rank's neurons; NULL: all do
    int64_t cursor        # first spike of the source of which something is to be delivered
    int64_t passed        # where the cursor goes after the window; not through branches
    int64_t arrivals      # in the window
    int64_t row           # of the first of them in the table


cdef struct fired_t:
    double time
    int32_t neuron


cdef struct work_t:
    # What one layer's window needs, kept from window to window.
    table_t table             # [rows] every projection's arrivals, one projection after the other
    int64_t rows
    double* sent              # [rows] times of arrivals through branches, ms
    int32_t* sender           # [rows] their branches
    gathered_t* gathered      # [largest layer + 1]; the last belongs to synapses that do not exist
    uint8_t* hot              # [largest layer + 1] neurons that may fire
    int32_t* list             # [largest layer + 1] the same as a list
    int64_t* bucket           # [largest layer + 1] end of each hot neuron's deliveries in `sorted`
    delivery_t* sifted        # [room] deliveries to hot neurons, as they come
    delivery_t* sorted        # [room] by neuron
    int64_t room
    fired_t* fired            # [fired_room] spikes of the window
    int64_t n_fired, fired_room
    int64_t* runs             # [ranks + 1] where each rank's spikes begin while they are merged
    int64_t* places           # [ranks] where each rank's next ones are


# Words before a rank's spikes in shared memory, so that no two ranks write to one line of a cache.
cdef enum:
    MARK = 8


cdef void* enlarge(void* memory, int64_t size) except NULL nogil
cdef int enlarge_table(work_t* w, int64_t rows) except -1 nogil


cdef inline table_t table_from(const work_t* w, int64_t row) noexcept nogil:
    return table_t(w.table.h + row, w.table.b + row, w.table.a + row, w.table.t + row)


cdef class WindowsState:
    cdef int32_t n_layers, n_projections, largest
    cdef int32_t rank, ranks        # neuron n of this rank's part of a layer is number n * ranks + rank
    cdef int32_t layer              # the next one to be run in the window
    cdef int32_t quiet              # whether no neuron of any rank can fire at `now` without input; -1: unknown
    cdef layer_t* layers
    cdef projection_t* projections
    cdef work_t work
    cdef windows_ops_t ops
    cdef object keep                # keeps the memory of the synapses
    cdef int64_t neurons            # of this rank
    cdef double[::1] u, i, end      # [neurons] state at `now`; end of the last refractory period, ms
    cdef double length
    cdef readonly double now        # start of the next window, ms
    cdef readonly int64_t updates   # neurons times windows so far
    cdef readonly int64_t followed  # of these, how many were followed from arrival to arrival
    cdef readonly int64_t deliveries, sifted  # synaptic events so far; of these, how many went to followed neurons

    # Memory that all ranks see, if there is some: in turns two places of each rank, MARK words and `words` for spikes.
    # The first word of a place is the number of the exchange that is complete there.
    cdef int64_t* shared            # [2][ranks][MARK + words], or NULL
    cdef int64_t words
    cdef int64_t* number            # of exchanges begun in this memory
    cdef object keep_shared
    cdef bint posted                # whether this rank's part of the exchange is there for all to see
    cdef int32_t pending            # what an exchange within `run_windows` has returned, if not SWAPPED
    cdef public int64_t note        # left with every exchange; 0: none
    cdef readonly int64_t needed    # words of the longest part of the last exchange
    cdef readonly int64_t exchanges  # so far

    cdef int make_room(self) except -1
    cdef int64_t pass_over(self, int32_t source, int64_t n)
