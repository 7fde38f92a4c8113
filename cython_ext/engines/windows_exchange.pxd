"""Spikes of a simulation in windows, exchanged between processes; see windows_exchange.pyx."""

from libc.stdint cimport int32_t

from eventsnn._ext.windows_state cimport WindowsState

# What `swap_spikes` returns.
cpdef enum:
    SWAPPED = 0
    WAITING = 1
    NO_ROOM = 2
    NOTED = 3


cdef int32_t swap_shared(WindowsState s) except -1 nogil
