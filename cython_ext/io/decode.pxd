"""What the decoders of event files share: their state, and the check of every event.

A decoder reads whole records from the start of some bytes and says how many bytes that were, so that its caller can
put the rest before the bytes that come next. Python twins: eventsnn/reference/decode_records.py, twin_evt.py.
"""

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from eventsnn._ext.aer cimport Event

cdef enum Policy:      # about an event outside the sensor, or earlier than the one before
    STOP
    SKIP
    CLAMP              # to the nearest pixel; to the time of the event before
    SORT               # outside: stop; earlier: hand on as it is, whoever takes the events sorts them

cdef enum Status:
    MORE               # every whole record was read
    OUTSIDE            # stopped at an event outside the sensor
    BACKWARDS          # stopped at an event earlier than the one before
    FULL               # no room for the events of another record
    DAMAGED            # stopped at bytes that are no record of the format


# An array of int64 in Python; eventsnn/events/formats/decoder.py has the names.
cdef struct State:
    int64_t width, height    # of the sensor, pixels
    int64_t policy
    int64_t before           # us, of the last event; no event may be earlier
    int64_t outside          # events outside the sensor so far, left out or clamped
    int64_t backwards        # events earlier than the one before so far
    int64_t ignored          # records so far that are no events
    int64_t status
    int64_t x, y, t          # of the event at which decoding stopped
    int64_t own[8]           # what the format needs to remember


cdef struct Result:
    Py_ssize_t consumed      # bytes
    Py_ssize_t written       # events

ctypedef Result (*decoder_t)(const uint8_t* data, Py_ssize_t size, State* state, Event* events,
                             Py_ssize_t room) noexcept nogil


cdef inline tuple run(decoder_t decoder, const uint8_t[::1] data, int64_t[::1] state, Event[::1] events):
    """Decode `data` into `events`; return (bytes read, events written, status)."""
    cdef Result result = Result(0, 0)
    cdef State* s = <State*> &state[0]
    s.status = MORE
    if data.shape[0] and events.shape[0]:
        with nogil:
            result = decoder(&data[0], data.shape[0], s, &events[0], events.shape[0])
    return result.consumed, result.written, s.status


cdef inline int put_bad(State* s, Event* event, int64_t x, int64_t y, int64_t t, uint8_t p) noexcept nogil:
    """What the policy makes of a bad event: 1 written, 0 left out, -1 stop."""
    cdef bint inside = 0 <= x < s.width and 0 <= y < s.height
    if s.policy == STOP or s.policy == SORT and not inside:
        s.x, s.y, s.t = x, y, t
        s.status = BACKWARDS if inside else OUTSIDE
        return -1
    if inside:
        s.backwards += 1
    else:
        s.outside += 1
    if s.policy == SKIP:
        return 0
    event.x = <int16_t> min(max(x, 0), s.width - 1)
    event.y = <int16_t> min(max(y, 0), s.height - 1)
    event.t = t
    if s.policy == CLAMP:
        event.t = s.before = max(t, s.before)
    event.p = p
    return 1


cdef inline bint lenient(State* s) noexcept nogil:
    """Whether records of no known type are passed over."""
    return s.policy == SKIP or s.policy == CLAMP


cdef inline int put(State* s, Event* event, int64_t x, int64_t y, int64_t t, uint8_t p) noexcept nogil:
    """Write an event; 1 written, 0 left out, -1 stop."""
    if <uint64_t> x < <uint64_t> s.width and <uint64_t> y < <uint64_t> s.height and t >= s.before:
        event.x = <int16_t> x
        event.y = <int16_t> y
        event.t = t
        event.p = p
        s.before = t
        return 1
    return put_bad(s, event, x, y, t, p)


cdef inline int64_t unwrap(int64_t t, int64_t* before, int64_t* base, int64_t period) noexcept nogil:
    """A counter's time on a clock that does not wrap: a fall by more than half its period is a wrap."""
    if before[0] - t > period >> 1:
        base[0] += period
    before[0] = t
    return base[0] + t


cdef inline uint16_t little16(const uint8_t* b) noexcept nogil:
    return <uint16_t> (b[0] | b[1] << 8)


cdef inline uint32_t little32(const uint8_t* b) noexcept nogil:
    return b[0] | <uint32_t> b[1] << 8 | <uint32_t> b[2] << 16 | <uint32_t> b[3] << 24


cdef inline uint32_t big32(const uint8_t* b) noexcept nogil:
    return b[3] | <uint32_t> b[2] << 8 | <uint32_t> b[1] << 16 | <uint32_t> b[0] << 24
