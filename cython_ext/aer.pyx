"""Decoder and encoder of N-MNIST's 5-byte records. Python twin: eventsnn/events/formats/twin.py."""

from libc.stdint cimport int64_t, uint8_t


def decode_nmnist(const uint8_t[::1] data, int width, int height, Event[::1] events):
    """Decode whole records into `events`; return (events written, records read, status).

    Status 0: all records were read. 1: record number `records read` lies outside the sensor.
    2: that record is earlier than the event before it. `events` must have room for every record.
    """
    cdef Py_ssize_t records = data.shape[0] // RECORD
    cdef Py_ssize_t record = 0, written = 0
    cdef Clock clock = Clock(0, 0)
    cdef Found found = MARKER
    cdef const uint8_t* bytes
    cdef Event* event
    if records == 0:
        return 0, 0, 0
    bytes = &data[0]
    event = &events[0]
    with nogil:
        while record < records:
            found = read_nmnist(bytes, width, height, &clock, event + written)
            if found > EVENT:
                break
            written += found == EVENT
            bytes += RECORD
            record += 1
    status = 1 if found == OUTSIDE else 2 if found == BACKWARDS else 0
    return written, record, status


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
