"""What the positions of a convolution or pooling layer see of a spike train; see patches.pyx."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.sweep cimport event_t

cdef extern from "patches.h":
    ctypedef struct entry_t:
        int32_t instant
        int32_t row
    ctypedef struct instant_t:
        double time
    double instant_place(const lif_t* c, double time, instant_t* at) noexcept nogil
    void instant_decays(instant_t* at, double e_m, double e_s) noexcept nogil


cdef class Patches:
    cdef readonly int64_t units         # positions
    cdef readonly int64_t longest       # the most arrivals of any position
    cdef int64_t* ptr                   # [units + 1] arrivals of a position are [ptr[s], ptr[s + 1])
    cdef entry_t* entries               # [ptr[units]]
    cdef double* instants               # [n_instants] ms
    cdef int64_t n_instants

    cdef void count(self, const int32_t[::1] neurons, int64_t channels, const int32_t[::1] cell_ptr,
                    const int32_t[::1] cell_patch, int64_t* spikes) noexcept nogil
    cdef void place(self, const double[::1] times, const int32_t[::1] neurons, int64_t channels,
                    const int32_t[::1] cell_ptr, const int32_t[::1] cell_patch, const int32_t[::1] cell_offset,
                    int64_t area) noexcept nogil


cdef class Ready:
    # Of one thread: the arrivals of one position at a time as kernels read them.
    cdef readonly Patches patches
    cdef const lif_t[::1] constants
    cdef readonly bint single
    cdef instant_t* instants            # [n_instants]
    cdef event_t* events                # [longest + SWEEP_AHEAD], for a sweep
    cdef void* table                    # real [longest][TABLE_COLUMNS]
    cdef double* times                  # [longest] ms, for the way back
    cdef int32_t* sources               # [longest]
    cdef int64_t filled                 # the position of which these and the table are, -1: none

    cdef int64_t fill(self, int64_t unit, double since) noexcept nogil
    cdef instant_t begin(self, double since) noexcept nogil
    cdef void list_sources(self, int64_t unit) noexcept nogil
