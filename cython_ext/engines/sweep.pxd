"""One block of a feed-forward layer on its way through the arrivals of a sample; see sweep.h."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from eventsnn._ext.lif cimport lif_t
from eventsnn._ext.spikes cimport spikes_t

cdef extern from "sweep.h":
    enum: SWEEP_AHEAD
    enum: SWEEP_TIED
    ctypedef struct event_t:
        double time
        uint32_t row
        int32_t release
    ctypedef struct block_t:
        const lif_t* lif
        const event_t* events
        event_t* own
        int64_t n
        int64_t next
        double now
        double t_stop
        double until
        int32_t first
        int32_t neurons
        double* end
        uint32_t refractory
        int32_t n_waiting
        spikes_t* spikes
    const int SWEEP_DONE
    const int SWEEP_NO_MEMORY
    const double BURIED
    int lowest_bit(uint32_t x) noexcept nogil
    uint32_t event_row(const event_t* e) noexcept nogil
    void block_rest(block_t* k) noexcept nogil
    void block_resume(block_t* k, double now, double until) noexcept nogil
    int block_fire(block_t* k, int32_t n, double t) noexcept nogil
    int32_t block_waiting(const block_t* k, int32_t j) noexcept nogil
    bint block_wakes(const block_t* k, double t) noexcept nogil
    void block_wait(block_t* k, int32_t n) noexcept nogil
    int32_t block_wake(block_t* k) noexcept nogil
    void block_rejoin(block_t* k, int32_t n) noexcept nogil
    int64_t block_release(block_t* k) noexcept nogil
