"""Random numbers that are named, not drawn in turn; see eventsnn/data/draws.py, the twin."""

from libc.stdint cimport uint64_t


cdef inline uint64_t draw(uint64_t key, uint64_t number) noexcept nogil:
    """Draw `number` of the stream `key`."""
    cdef uint64_t bits = key + (number + 1) * <uint64_t> 0x9E3779B97F4A7C15
    bits = (bits ^ (bits >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    bits = (bits ^ (bits >> 27)) * <uint64_t> 0x94D049BB133111EB
    return bits ^ (bits >> 31)
