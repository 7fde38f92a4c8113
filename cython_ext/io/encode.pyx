"""Records of event files, for their writers; those of N-MNIST are in aer.pyx. Callers check that the events fit."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from eventsnn._ext.aer cimport Event


cdef inline uint8_t* put16(uint8_t* b, uint32_t word) noexcept nogil:
    b[0] = <uint8_t> word
    b[1] = <uint8_t> (word >> 8)
    return b + 2


cdef inline uint8_t* put32(uint8_t* b, uint32_t word) noexcept nogil:
    return put16(put16(b, word), word >> 16)


def encode_dat(const Event[::1] events, uint8_t[::1] out):
    """Prophesee's DAT, 8 bytes an event, times modulo 2^32; return the number of bytes written."""
    cdef uint8_t* b
    cdef Py_ssize_t k
    if events.shape[0] == 0:
        return 0
    b = &out[0]
    with nogil:
        for k in range(events.shape[0]):
            b = put32(b, <uint32_t> events[k].t)
            b = put32(b, <uint32_t> events[k].x | <uint32_t> events[k].y << 14 | <uint32_t> events[k].p << 28)
    return b - &out[0]


def encode_aedat3(const Event[::1] events, uint8_t[::1] out):
    """Events of an AEDAT 3.1 packet, 8 bytes each, times modulo 2^31; return the number of bytes written."""
    cdef uint8_t* b
    cdef Py_ssize_t k
    if events.shape[0] == 0:
        return 0
    b = &out[0]
    with nogil:
        for k in range(events.shape[0]):
            b = put32(b, 1 | <uint32_t> events[k].p << 1 | <uint32_t> events[k].y << 2 | <uint32_t> events[k].x << 17)
            b = put32(b, <uint32_t> events[k].t & 0x7FFFFFFF)
    return b - &out[0]


def encode_evt2(const Event[::1] events, int64_t high, uint8_t[::1] out):
    """EVT2, at most 8 bytes an event; `high` are the high bits written last (-1: none).

    Returns (bytes written, high bits). Jumps of time by 2^33 us or more are for the caller to refuse.
    """
    cdef uint8_t* b
    cdef Py_ssize_t k
    cdef int64_t now
    if events.shape[0] == 0:
        return 0, high
    b = &out[0]
    with nogil:
        for k in range(events.shape[0]):
            now = events[k].t >> 6
            if now != high:
                b = put32(b, <uint32_t> 0x8 << 28 | <uint32_t> (now & 0xFFFFFFF))
                high = now
            b = put32(b, <uint32_t> events[k].p << 28 | <uint32_t> (events[k].t & 0x3F) << 22
                      | <uint32_t> events[k].x << 11 | <uint32_t> events[k].y)
    return b - &out[0], high


def encode_evt3(const Event[::1] events, int64_t before, int64_t row, uint8_t[::1] out, Py_ssize_t start):
    """EVT3 without vectors; `before` is the time written last (us, -1: none), `row` the y (-1: none).

    Encodes from event `start` on, until the next might not fit into `out`. Every high bits of time are written,
    as cameras do, so that any reader can count the wraps. Returns (bytes written, time, y, next event).
    """
    cdef uint8_t* b = &out[0]
    cdef uint8_t* end = b + out.shape[0]
    cdef Py_ssize_t k = start
    cdef int64_t t
    with nogil:
        while k < events.shape[0] and end - b >= 10:
            t = events[k].t
            if before < 0:
                # A reader's clock starts at the first high bits: they must not hide a wrap.
                b = put16(put16(b, 0x8000), 0x6000)
                before = 0
                continue
            if t >> 12 != before >> 12:
                if t >> 12 != (before >> 12) + 1:
                    before = ((before >> 12) + 1) << 12
                    b = put16(b, 0x8000 | <uint32_t> (before >> 12 & 0xFFF))
                    continue
                b = put16(b, 0x8000 | <uint32_t> (t >> 12 & 0xFFF))
                b = put16(b, 0x6000 | <uint32_t> (t & 0xFFF))
            elif t != before:
                b = put16(b, 0x6000 | <uint32_t> (t & 0xFFF))
            before = t
            if events[k].y != row:
                row = events[k].y
                b = put16(b, <uint32_t> row)
            b = put16(b, 0x2000 | <uint32_t> events[k].p << 11 | <uint32_t> events[k].x)
            k += 1
    return b - &out[0], before, row, k


def encode_es(const Event[::1] events, int64_t before, int64_t height, uint8_t[::1] out, Py_ssize_t start):
    """Event Stream; `before` is the time reached, us. Encodes from event `start` on, until the next might not fit.

    Returns (bytes written, time, next event).
    """
    cdef uint8_t* b = &out[0]
    cdef uint8_t* end = b + out.shape[0]
    cdef Py_ssize_t k = start
    cdef int64_t step
    with nogil:
        while k < events.shape[0] and end - b >= 5:
            step = events[k].t - before
            if step >= 127:
                b[0] = 0xFF
                b += 1
                before += 127
                continue
            b[0] = <uint8_t> (step << 1 | events[k].p)
            b = put16(b + 1, events[k].x)
            b = put16(b, <uint32_t> (height - 1 - events[k].y))
            before = events[k].t
            k += 1
    return b - &out[0], before, k
