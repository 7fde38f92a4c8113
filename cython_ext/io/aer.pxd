"""N-MNIST's 5-byte records, and events as all readers hand them on."""

from libc.stdint cimport int16_t, int64_t, uint8_t

cdef enum:
    RECORD = 5
    OVERFLOW_ROW = 240     # y of a time-overflow marker
    OVERFLOW_US = 1 << 13  # what a marker adds to all later times
    LAST_TIME = (1 << 23) - 1


# Must match eventsnn.events.stream.EVENT_DTYPE, natural alignment included.
cdef struct Event:
    int16_t x
    int16_t y
    int64_t t
    uint8_t p


cdef enum Found:
    MARKER       # a time-overflow marker
    EVENT
    OUTSIDE      # an event outside the sensor
    BACKWARDS    # an event earlier than the one before it


# Where a reader is in the records of a recording.
cdef struct Clock:
    int64_t overflow    # us, added to the times of records
    int64_t before      # us, of the last event


cdef inline Found read_nmnist(const uint8_t* bytes, int64_t width, int64_t height, Clock* clock,
                              Event* event) noexcept nogil:
    """The record at `bytes`."""
    cdef int64_t t
    if bytes[1] == OVERFLOW_ROW:
        clock.overflow += OVERFLOW_US
        return MARKER
    t = (((bytes[2] & 0x7F) << 16) | (bytes[3] << 8) | bytes[4]) + clock.overflow
    if bytes[0] >= width or bytes[1] >= height:
        return OUTSIDE
    if t < clock.before:
        return BACKWARDS
    clock.before = t
    event.x = bytes[0]
    event.y = bytes[1]
    event.t = t
    event.p = bytes[2] >> 7
    return EVENT
