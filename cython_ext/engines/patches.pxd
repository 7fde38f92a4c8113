"""What the positions of a convolution or pooling layer see of a spike train; see patches.pyx."""

from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.sweep cimport event_t

cdef extern from "patches.h":
    ctypedef struct entry_t:
        int32_t instant
        int32_t row
    ctypedef struct instant_t:
        double time
    ctypedef struct place_t:
        int32_t position
        int32_t place
    int32_t channel_of(int32_t neuron, double per_cell) noexcept nogil
    void fetch_entry(const entry_t* at) noexcept nogil


cdef struct geometry_t:
    # The positions of a layer, and what they see of the source.
    int64_t channels            # of the source
    int64_t cells               # of a channel
    int64_t area                # cells of a patch
    int64_t units               # positions
    const int32_t* cell_ptr     # [cells + 1] positions that see a cell are [cell_ptr[c], cell_ptr[c + 1])
    const place_t* places       # these positions, and where in their patches the cell is


cdef struct spike_t:
    # A spike on its way to the positions that see it.
    int32_t instant
    int32_t row                 # of its channel's first input; of the bias neuron that input
    int32_t cell                # -1: the bias neuron, which every position sees


cdef struct patches_t:
    # What each position sees of one sample after the other, in memory that grows: of some positions at a time, so that
    # it is still in the cache when it is read.
    int64_t units               # positions
    int64_t longest             # the most arrivals of any position
    int64_t n_instants
    int64_t first, stop         # the positions that there are entries of
    int64_t* ptr                # [units + 2] arrivals of a position are [ptr[s], ptr[s + 1]), those of `stop` or later
    #                             positions excepted
    entry_t* entries            # [ptr[stop] - ptr[first]]; see patches_entries
    double* instants            # [n_instants] ms
    spike_t* spikes             # [n_spikes]
    int64_t n_spikes
    int64_t* counts             # [cells] room to work in
    int32_t* begin              # [cells] of the positions that see a cell, numbers in `places` of those from `first`
    int32_t* end                # [cells] to `stop`
    int64_t room_units, room_entries, room_instants, room_spikes, room_counts, room_begin, room_end


cdef inline const entry_t* patches_entries(const patches_t* p, int64_t unit) noexcept nogil:
    """The arrivals of a position."""
    return p.entries + (p.ptr[unit] - p.ptr[p.first])


cdef struct ready_t:
    # The arrivals of one position at a time as kernels read them.
    patches_t* patches
    const lif_t* constants
    bint single
    instant_t* instants         # [n_instants]
    event_t* events             # [longest + SWEEP_AHEAD], for a sweep
    void* table                 # real [longest][TABLE_COLUMNS]
    double* times               # [longest] ms, for the way back
    int32_t* sources            # [longest]
    int64_t filled              # the position of which these and the table are, -1: none
    int64_t room_instants, room_arrivals


cdef geometry_t describe_geometry(int64_t channels, const int32_t[::1] cell_ptr, const int32_t[:, ::1] places,
                                  int64_t area, int64_t units) noexcept
cdef int patches_begin(patches_t* p, const geometry_t* g, const double* times, const int32_t* neurons,
                       int64_t n) except -1 nogil
cdef bint patches_next(patches_t* p, const geometry_t* g, int64_t most) except -1 nogil
cdef void patches_free(patches_t* p) noexcept nogil
cdef int ready_begin(ready_t* r) except -1 nogil
cdef int64_t ready_fill(ready_t* r, int64_t unit, double since) noexcept nogil
cdef void ready_sources(ready_t* r, int64_t unit) noexcept nogil
cdef void ready_free(ready_t* r) noexcept nogil


cdef class Patches:
    cdef patches_t patches
    cdef readonly int64_t units         # positions
    cdef readonly int64_t longest       # the most arrivals of any position


cdef class Ready:
    # Of one thread.
    cdef readonly Patches patches
    cdef const lif_t[::1] constants
    cdef ready_t ready
