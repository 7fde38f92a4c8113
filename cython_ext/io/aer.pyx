"""Writer of N-MNIST's 5-byte records. Python twin: eventsnn/reference/decode_records.py."""

from libc.stdint cimport int64_t, uint8_t


def encode_nmnist(const Event[::1] events, uint8_t[::1] out):
    """Encode events into `out`, which must hold exactly their records and overflow markers."""
    cdef Py_ssize_t i
    cdef int64_t overflow = 0, t
    cdef uint8_t *bytes
    if out.shape[0] == 0:
        return
    bytes = &out[0]
    with nogil:
        for i in range(events.shape[0]):
            while events[i].t - overflow > LAST_TIME:
                bytes[0] = bytes[2] = bytes[3] = bytes[4] = 0
                bytes[1] = OVERFLOW_ROW
                bytes += RECORD
                overflow += OVERFLOW_US
            t = events[i].t - overflow
            bytes[0] = <uint8_t>events[i].x
            bytes[1] = <uint8_t>events[i].y
            bytes[2] = <uint8_t>((events[i].p << 7) | (t >> 16))
            bytes[3] = <uint8_t>(t >> 8)
            bytes[4] = <uint8_t>t
            bytes += RECORD
