"""The spikes of a layer for a batch of samples, while several threads find them."""

from libc.stdint cimport int32_t, int64_t

from eventsnn._ext.dtypes cimport WIDTH
from eventsnn._ext.event_queue cimport heap_t
from eventsnn._ext.spikes cimport spikes_t


cdef class SpikeStore:
    cdef readonly int64_t neurons, blocks, samples
    cdef readonly int64_t parts  # into which the samples are cut; a unit of work is one block and one part
    cdef spikes_t* units         # [blocks * parts] spikes in the order sample, time
    cdef int64_t* counts         # [blocks * samples]

    cdef inline int64_t first_sample(self, int64_t part) noexcept nogil:
        return self.samples * part // self.parts

    cdef inline int32_t block_neurons(self, int64_t block) noexcept nogil:
        """Neurons of a block."""
        return <int32_t> min(<int64_t> WIDTH, self.neurons - block * WIDTH)

    cdef void copy_sample(self, int64_t s, const int64_t* ptr, double* times, int32_t* neurons,
                          int32_t* after) noexcept nogil


cdef class ForcedSpikes:
    # Spikes of one block in a sample with others among them; none where a sample has no others.
    cdef int64_t samples
    cdef spikes_t* units         # [samples]
    cdef int64_t* block          # [samples] whose they are


cdef struct trains_t:
    # The trains of one sample: `n` of them, [start[stride k], start[stride k + 1]) each.
    const double* times
    const int32_t* neurons
    const int64_t* start
    int64_t stride
    int32_t n
    int64_t spikes


cdef struct merger_t:
    # Of one thread.
    heap_t heap
    int32_t* count      # [room + 1]
    int64_t* cursor     # [trains]
    int64_t room        # spikes
    int32_t trains


cdef int merger_create(merger_t* m, int32_t trains, int64_t spikes) except -1 nogil
cdef int merger_extend(merger_t* m, int64_t spikes) except -1 nogil
cdef void merger_merge(merger_t* m, const trains_t* b, double* out_t, int32_t* out_n) noexcept nogil
cdef void merger_free(merger_t* m) noexcept nogil
