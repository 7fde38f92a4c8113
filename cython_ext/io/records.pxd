"""Bytes of recordings, read ahead of their preparation."""

from libc.stdint cimport uint8_t

from eventsnn._ext.aer cimport RECORD, Event

cdef enum Kind:
    NMNIST                 # 5-byte records, see aer.pxd
    WORDS                  # 8 bytes, from the lowest bit: x, y, p, t; each address as wide as the sensor needs
    EVENTS                 # eventsnn.events.stream.EVENT_DTYPE


cdef class Records:
    cdef Kind kind
    cdef Py_ssize_t n
    cdef const uint8_t** start      # [n] into `owned`, or into the buffers of `keep`
    cdef Py_ssize_t* size           # [n] bytes; negative: unreadable
    cdef uint8_t* owned
    cdef Py_ssize_t room            # bytes of `owned`
    cdef object keep


cdef inline Py_ssize_t record_size(Kind kind) noexcept nogil:
    if kind == NMNIST:
        return RECORD
    return 8 if kind == WORDS else sizeof(Event)


cdef int make_room(Records records, Py_ssize_t size) except -1 nogil

cdef void point(Records records) noexcept nogil
