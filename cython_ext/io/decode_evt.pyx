"""Decoders of Prophesee's EVT2, EVT2.1 and EVT3; see decode.pxd.

The layouts are described in eventsnn/events/formats/evt2.py and evt3.py.
"""

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from eventsnn._ext.aer cimport Event
from eventsnn._ext.decode cimport (
    DAMAGED,
    FULL,
    MORE,
    Result,
    State,
    lenient,
    little16,
    little32,
    put,
    run,
    unwrap,
)

cdef enum:
    # Types of EVT2 and EVT2.1
    CD_OFF = 0x0
    CD_ON = 0x1
    TIME_HIGH = 0x8         # in EVT3 too
    EXT_TRIGGER = 0xA       # in EVT3 too
    OTHERS = 0xE            # in EVT3 too
    CONTINUED = 0xF         # in EVT3 too
    # Types of EVT3
    ADDR_Y = 0x0
    ADDR_X = 0x2
    BASE_X = 0x3
    VECT_12 = 0x4
    VECT_8 = 0x5
    TIME_LOW = 0x6
    CONTINUED_4 = 0x7
    # Most events of a word
    MOST_EVT21 = 32
    MOST_EVT3 = 12
    # us; cameras write low bits that are ahead by some us after new high bits, and correct them at once
    GLITCH = 1 << 12


cdef inline bint take_other(State* s, uint32_t word) noexcept nogil:
    """A word of EVT2 or EVT2.1 that is no event: high bits of time, or passed over; False if there is no such type."""
    cdef uint32_t kind = word >> 28
    if kind == TIME_HIGH:
        s.own[3] = unwrap(<int64_t> (word & 0xFFFFFFF) << 6, &s.own[1], &s.own[0], <int64_t> 1 << 34)
        s.own[2] = 1
    elif kind <= CD_ON or kind == EXT_TRIGGER or kind >= OTHERS or lenient(s):
        s.ignored += 1
    else:
        s.status = DAMAGED
        return False
    return True


cdef Result evt2(const uint8_t* data, Py_ssize_t size, State* state, Event* events, Py_ssize_t room) noexcept nogil:
    """own: [0] wraps so far, us; [1] high bits of time, us; [2] whether there were any; [3] time base, us."""
    cdef State s = state[0]
    cdef Py_ssize_t at = 0, n = 0
    cdef uint32_t word, kind
    cdef int found
    while at + 4 <= size:
        word = little32(data + at)
        kind = word >> 28
        if kind <= CD_ON and s.own[2]:
            if n == room:
                s.status = FULL
                break
            found = put(&s, events + n, word >> 11 & 0x7FF, word & 0x7FF, s.own[3] + (word >> 22 & 0x3F),
                        <uint8_t> kind)
            if found < 0:
                break
            n += found
        elif not take_other(&s, word):
            break
        at += 4
    state[0] = s
    return Result(at, n)


cdef Result evt21(const uint8_t* data, Py_ssize_t size, State* state, Event* events, Py_ssize_t room) noexcept nogil:
    """own: as in `evt2`; [4] 1 if the halves of a word are swapped."""
    cdef State s = state[0]
    cdef Py_ssize_t at = 0, n = 0
    cdef int upper = 0 if s.own[4] else 4
    cdef uint32_t word, valid, kind
    cdef int64_t x, y, t
    cdef int found = 0
    while at + 8 <= size:
        word = little32(data + at + upper)
        valid = little32(data + at + 4 - upper)
        kind = word >> 28
        if kind <= CD_ON and s.own[2]:
            if room - n < MOST_EVT21:
                s.status = FULL
                break
            x, y, t = word >> 11 & 0x7FF, word & 0x7FF, s.own[3] + (word >> 22 & 0x3F)
            while valid:
                if valid & 1:
                    found = put(&s, events + n, x, y, t, <uint8_t> kind)
                    if found < 0:
                        break
                    n += found
                valid >>= 1
                x += 1
            if valid:
                break
        elif not take_other(&s, word):
            break
        at += 8
    state[0] = s
    return Result(at, n)


cdef inline void set_clock(State* s, int64_t t) noexcept nogil:
    """EVT3's clock stands still rather than go back by a little."""
    if t < s.own[3] and s.own[3] - t < GLITCH:
        s.ignored += 1
    else:
        s.own[3] = t


cdef int slow_evt3(State* s, uint16_t word, Event* events, Py_ssize_t room) noexcept nogil:
    """Any word of EVT3; the number of events written, -1 stop."""
    cdef int kind = word >> 12, found = 0, n = 0
    cdef uint32_t valid
    cdef int64_t high, x
    # Before the first high bits of time nothing has a time.
    if kind == ADDR_X and s.own[2]:
        return put(s, events, word & 0x7FF, s.own[4], s.own[3], word >> 11 & 1)
    elif kind == TIME_LOW:
        set_clock(s, s.own[7] + (word & 0xFFF))
    elif kind == ADDR_Y:
        s.own[4] = word & 0x7FF
    elif kind == BASE_X:
        s.own[5] = word & 0x7FF
        s.own[6] = word >> 11 & 1
    elif kind == VECT_12 or kind == VECT_8:
        valid = word & (0xFFF if kind == VECT_12 else 0xFF)
        x = s.own[5]
        if not s.own[2]:
            s.ignored += 1
            valid = 0
        elif room < MOST_EVT3:
            s.status = FULL
            return -1
        while valid:
            if valid & 1:
                found = put(s, events + n, x, s.own[4], s.own[3], <uint8_t> s.own[6])
                if found < 0:
                    return -1
                n += found
            valid >>= 1
            x += 1
        s.own[5] += 12 if kind == VECT_12 else 8
    elif kind == TIME_HIGH:
        high = <int64_t> (word & 0xFFF) << 12
        # Said again, the high bits leave the low ones as they are.
        if high != s.own[1] or not s.own[2]:
            s.own[7] = unwrap(high, &s.own[1], &s.own[0], 1 << 24)
            set_clock(s, s.own[7])
            s.own[2] = 1
    elif kind == ADDR_X or kind == EXT_TRIGGER or kind >= OTHERS or kind == CONTINUED_4 or lenient(s):
        s.ignored += 1
    else:
        s.status = DAMAGED
        return -1
    return n


cdef Result evt3(const uint8_t* data, Py_ssize_t size, State* state, Event* events, Py_ssize_t room) noexcept nogil:
    """own: [0] wraps so far, us; [1] high bits of time, us; [2] whether there were any; [3] time, us; [4] y;
    [5] x of the next vector; [6] its polarity; [7] time without the low bits, us.

    Whether an event follows a new time, a new row, both or none cannot be foreseen, so that a branch on it would cost
    more than all else: four words are loaded, those two shifted out if they are there, and if an event follows that
    is good it is written. Anything else takes the slow way, word by word.
    """
    cdef State* s = state
    cdef Py_ssize_t at = 0, n = 0
    cdef uint64_t words, is_low, is_y, row, x, y = s.own[4], width = s.width, height = s.height
    cdef int64_t t, now = s.own[3], base = s.own[7], before = s.before
    cdef bint started = s.own[2] != 0
    cdef int found
    while at + 2 <= size:
        if n == room:
            s.status = FULL
            break
        if started and at + 8 <= size:
            words = little32(data + at) | <uint64_t> little32(data + at + 4) << 32
            is_low = (words & 0xF000) == TIME_LOW << 12
            t = now ^ ((now ^ (base + <int64_t> (words & 0xFFF))) & -<int64_t> is_low)
            words >>= is_low << 4
            is_y = (words & 0xF000) == ADDR_Y << 12
            row = y ^ ((y ^ (words & 0x7FF)) & (0 - is_y))
            words >>= is_y << 4
            x = words & 0x7FF
            if (words & 0xF000) == ADDR_X << 12 and x < width and row < height and t >= now and t >= before:
                events[n].x = <int16_t> x
                events[n].y = <int16_t> row
                events[n].t = now = before = t
                events[n].p = words >> 11 & 1
                y = row
                n += 1
                at += 2 + <Py_ssize_t> ((is_low + is_y) << 1)
                continue
        s.own[3], s.own[4], s.before = now, <int64_t> y, before
        found = slow_evt3(s, little16(data + at), events + n, room - n)
        if found < 0:
            break
        n += found
        now, y, base, before, started = s.own[3], <uint64_t> s.own[4], s.own[7], s.before, s.own[2] != 0
        at += 2
    if s.status == MORE or n == room:
        s.own[3], s.own[4], s.before = now, <int64_t> y, before
    return Result(at, n)


def decode_evt2(const uint8_t[::1] data, int64_t[::1] state, Event[::1] events):
    """EVT2; (bytes read, events written, status)."""
    return run(evt2, data, state, events)


def decode_evt21(const uint8_t[::1] data, int64_t[::1] state, Event[::1] events):
    """EVT2.1; (bytes read, events written, status)."""
    return run(evt21, data, state, events)


def decode_evt3(const uint8_t[::1] data, int64_t[::1] state, Event[::1] events):
    """EVT3; (bytes read, events written, status)."""
    return run(evt3, data, state, events)
