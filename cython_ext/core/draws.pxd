"""Random numbers that are named, not drawn in turn; see eventsnn/data/draws.py, the twin."""

from libc.stdint cimport uint64_t


cdef extern from "draws.h" nogil:
    uint64_t draw(uint64_t key, uint64_t number)
