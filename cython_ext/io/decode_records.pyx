"""Decoders of records of fixed size, of Event Stream and of AEDAT 3.1's packets; see decode.pxd.

The layouts are described in eventsnn/events/formats/, one module each.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from eventsnn._ext.aer cimport OVERFLOW_ROW, OVERFLOW_US, RECORD, Event
from eventsnn._ext.decode cimport (
    DAMAGED, FULL, Result, State, big32, little16, little32, put, run, unwrap,
)

cdef extern from "event_bytes.h":
    uint32_t load_little32(const uint8_t* bytes) noexcept nogil
    uint64_t load_little64(const uint8_t* bytes) noexcept nogil
    void store_event(Event* event, uint64_t x, uint64_t y, int64_t t, uint64_t p) noexcept nogil

cdef enum:
    DAT_BLOCK = 32           # records that are checked together
    ATIS_MARKER_COLUMN = 305
    PACKET_HEADER = 28
    PACKED = 16


cdef Result nmnist(const uint8_t* data, Py_ssize_t size, State* state, Event* events, Py_ssize_t room) noexcept nogil:
    """own: [0] us added by the overflow markers so far."""
    cdef State s = state[0]
    cdef Py_ssize_t at = 0, n = 0
    cdef const uint8_t* b
    cdef int64_t t
    cdef int found
    while at + RECORD <= size:
        if n == room:
            s.status = FULL
            break
        b = data + at
        if b[1] == OVERFLOW_ROW:
            s.own[0] += OVERFLOW_US
        else:
            t = (((b[2] & 0x7F) << 16) | (b[3] << 8) | b[4]) + s.own[0]
            found = put(&s, events + n, b[0], b[1], t, b[2] >> 7)
            if found < 0:
                break
            n += found
        at += RECORD
    state[0] = s
    return Result(at, n)


cdef Result slayer(const uint8_t* data, Py_ssize_t size, State* state, Event* events, Py_ssize_t room) noexcept nogil:
    """SLAYER's .bs1."""
    cdef State s = state[0]
    cdef Py_ssize_t at = 0, n = 0
    cdef const uint8_t* b
    cdef int found
    while at + RECORD <= size:
        if n == room:
            s.status = FULL
            break
        b = data + at
        found = put(&s, events + n, b[0] << 8 | b[1], 0, ((b[2] & 0x7F) << 16) | (b[3] << 8) | b[4], b[2] >> 7)
        if found < 0:
            break
        n += found
        at += RECORD
    state[0] = s
    return Result(at, n)


cdef Result atis(const uint8_t* data, Py_ssize_t size, State* state, Event* events, Py_ssize_t room) noexcept nogil:
    """own: [0] us added by the overflow markers so far."""
    cdef State s = state[0]
    cdef Py_ssize_t at = 0, n = 0
    cdef const uint8_t* b
    cdef int64_t x
    cdef int found
    while at + 4 <= size:
        if n == room:
            s.status = FULL
            break
        b = data + at
        x = (b[1] & 0x20) << 3 | b[2]
        if b[3] == OVERFLOW_ROW and x == ATIS_MARKER_COLUMN:
            s.own[0] += OVERFLOW_US
        elif b[1] & 0x40:
            s.ignored += 1      # grey levels
        else:
            found = put(&s, events + n, x, b[3], ((b[1] & 0x1F) << 8 | b[0]) + s.own[0], b[1] >> 7)
            if found < 0:
                break
            n += found
        at += 4
    state[0] = s
    return Result(at, n)


cdef inline bint dat_all_good(const uint8_t* data, int x_bits, int y_bits, int32_t width,
                              int32_t height) noexcept nogil:
    """Whether DAT_BLOCK records lie on the sensor and their counters never fall: then none wraps or is bad.

    Bitwise and in 32 bits, so that compilers vectorise it: a difference below 0 leaves its sign in `bad`. Modulo 2^32
    a fall by up to 2^31 is below 0 (and a jump by more, which is looked at one by one); halved, all deeper falls are.
    """
    cdef int32_t bad = 0
    cdef int k
    cdef uint32_t word, before
    for k in range(DAT_BLOCK):
        word = load_little32(data + 8 * k + 4)
        bad |= width - 1 - <int32_t> (word & ((1 << x_bits) - 1))
        bad |= height - 1 - <int32_t> (word >> x_bits & ((1 << y_bits) - 1))
    for k in range(1, DAT_BLOCK):
        word = load_little32(data + 8 * k)
        before = load_little32(data + 8 * k - 8)
        bad |= <int32_t> (word - before) | (<int32_t> (word >> 1) - <int32_t> (before >> 1))
    return bad >= 0


cdef inline Result dat_words(const uint8_t* data, Py_ssize_t size, State* state, Event* events, Py_ssize_t room,
                             int x_bits, int y_bits) noexcept nogil:
    """Inlined for each pair of widths, so that shifts are by constants.

    Nearly all events are good and do not wrap the counter: they are checked and written by the block. Where a block
    holds another one, its records are looked at one by one.
    """
    cdef State* s = state
    cdef Py_ssize_t at = 0, n = 0, end
    cdef int64_t count, base
    cdef uint32_t word
    cdef int found, k
    cdef uint32_t x_mask = (1 << x_bits) - 1, y_mask = (1 << y_bits) - 1
    while at + 8 <= size:
        count = load_little32(data + at)
        if at + 8 * DAT_BLOCK <= size and n + DAT_BLOCK <= room and count >= s.own[1] and s.own[0] + count >= s.before \
                and dat_all_good(data + at, x_bits, y_bits, <int32_t> s.width, <int32_t> s.height):
            base = s.own[0]
            for k in range(DAT_BLOCK):
                word = load_little32(data + at + 8 * k + 4)
                store_event(events + n + k, word & x_mask, word >> x_bits & y_mask,
                            base + load_little32(data + at + 8 * k), word >> (x_bits + y_bits) & 1)
            at += 8 * DAT_BLOCK
            n += DAT_BLOCK
            s.own[1] = load_little32(data + at - 8)
            s.before = s.own[0] + s.own[1]
            continue
        end = min(at + 8 * DAT_BLOCK, size)
        while at + 8 <= end:
            if n == room:
                s.status = FULL
                return Result(at, n)
            word = load_little32(data + at + 4)
            found = put(s, events + n, word & x_mask, word >> x_bits & y_mask,
                        unwrap(load_little32(data + at), &s.own[1], &s.own[0], <int64_t> 1 << 32),
                        word >> (x_bits + y_bits) & 1)
            if found < 0:
                return Result(at, n)
            n += found
            at += 8
    return Result(at, n)


cdef Result dat(const uint8_t* data, Py_ssize_t size, State* state, Event* events, Py_ssize_t room) noexcept nogil:
    """own: [0] wraps so far, us; [1] counter before; [2] bits of x and y; 14, or 9 and 8 before version 2."""
    if state.own[2] == 14:
        return dat_words(data, size, state, events, room, 14, 14)
    return dat_words(data, size, state, events, room, 9, 8)


cdef Result jaer(const uint8_t* data, Py_ssize_t size, State* state, Event* events, Py_ssize_t room) noexcept nogil:
    """own: [0] wraps so far, us; [1] counter before; [2] bytes of an address, 2 or 4; [3] 0 DVS128, 1 DAVIS.

    jAER has x = 0 on the right of what the camera sees and y = 0 at the bottom.
    """
    cdef State s = state[0]
    cdef Py_ssize_t at = 0, n = 0
    cdef Py_ssize_t address_bytes = s.own[2], record = s.own[2] + 4
    cdef bint davis = s.own[3] == 1
    cdef uint32_t a
    cdef int64_t t
    cdef int found
    while at + record <= size:
        if n == room:
            s.status = FULL
            break
        if address_bytes == 4:
            a = big32(data + at)
        else:
            a = data[at] << 8 | data[at + 1]
        if a & (0x80000400U if davis else 0x80008000U):
            s.ignored += 1      # samples of frames and of the inertial sensor, external inputs
        else:
            t = unwrap(big32(data + at + address_bytes), &s.own[1], &s.own[0], <int64_t> 1 << 32)
            if davis:
                found = put(&s, events + n, s.width - 1 - (a >> 12 & 0x3FF), s.height - 1 - (a >> 22 & 0x1FF), t,
                            a >> 11 & 1)
            else:
                found = put(&s, events + n, s.width - 1 - (a >> 1 & 0x7F), s.height - 1 - (a >> 8 & 0x7F), t,
                            1 - (a & 1))
            if found < 0:
                break
            n += found
        at += record
    state[0] = s
    return Result(at, n)


cdef Result event_stream(const uint8_t* data, Py_ssize_t size, State* state, Event* events,
                         Py_ssize_t room) noexcept nogil:
    """own: [0] us so far. y = 0 at the bottom."""
    cdef State s = state[0]
    cdef Py_ssize_t at = 0, n = 0
    cdef const uint8_t* b
    cdef int64_t t
    cdef int found
    while at < size:
        b = data + at
        if b[0] >= 0xFE:
            if b[0] == 0xFF:
                s.own[0] += 127
            else:
                s.ignored += 1
            at += 1
            continue
        if at + 5 > size:
            break
        if n == room:
            s.status = FULL
            break
        t = s.own[0] + (b[0] >> 1)
        found = put(&s, events + n, little16(b + 1), s.height - 1 - little16(b + 3), t, b[0] & 1)
        if found < 0:
            break
        s.own[0] = t
        n += found
        at += 5
    state[0] = s
    return Result(at, n)


cdef Result aedat3(const uint8_t* data, Py_ssize_t size, State* state, Event* events, Py_ssize_t room) noexcept nogil:
    """own: [0] events left in the packet; [1] bytes to pass over; [2] us added to the packet's times."""
    cdef State s = state[0]
    cdef Py_ssize_t at = 0, n = 0
    cdef const uint8_t* b
    cdef uint32_t word
    cdef int64_t step
    cdef int found
    while True:
        b = data + at
        if s.own[0] > 0:
            if at + 8 > size:
                break
            word = little32(b)
            if word & 1:
                if n == room:
                    s.status = FULL
                    break
                found = put(&s, events + n, word >> 17, word >> 2 & 0x7FFF, little32(b + 4) + s.own[2], word >> 1 & 1)
                if found < 0:
                    break
                n += found
            else:
                s.ignored += 1      # an event that a filter has struck out
            s.own[0] -= 1
            at += 8
        elif s.own[1] > 0:
            step = min(s.own[1], <int64_t> (size - at))
            if step == 0:
                break
            s.own[1] -= step
            at += step
        else:
            if at + PACKET_HEADER > size:
                break
            # A packet of polarity events holds events of 8 bytes; sizes and numbers are signed and not negative.
            if (little16(b) == 1 and little32(b + 4) != 8) or <int32_t> little32(b + 4) < 0 \
                    or <int32_t> little32(b + 12) < 0 or <int32_t> little32(b + 20) < 0:
                s.status = DAMAGED
                break
            if little16(b) == 1:
                s.own[0] = little32(b + 20)
                s.own[2] = <int64_t> (<uint64_t> little32(b + 12) << 31)
            else:
                s.own[1] = <int64_t> little32(b + 20) * little32(b + 4)
                s.ignored += little32(b + 20)
            at += PACKET_HEADER
    state[0] = s
    return Result(at, n)


def decode_nmnist(const uint8_t[::1] data, int64_t[::1] state, Event[::1] events):
    """N-MNIST's 5-byte records; (bytes read, events written, status)."""
    return run(nmnist, data, state, events)


def decode_bs1(const uint8_t[::1] data, int64_t[::1] state, Event[::1] events):
    """SLAYER's one-dimensional 5-byte records; (bytes read, events written, status)."""
    return run(slayer, data, state, events)


def decode_atis(const uint8_t[::1] data, int64_t[::1] state, Event[::1] events):
    """4-byte records of the ATIS; (bytes read, events written, status)."""
    return run(atis, data, state, events)


def decode_dat(const uint8_t[::1] data, int64_t[::1] state, Event[::1] events):
    """Prophesee's DAT; (bytes read, events written, status)."""
    return run(dat, data, state, events)


def decode_jaer(const uint8_t[::1] data, int64_t[::1] state, Event[::1] events):
    """jAER's AEDAT 1 and 2; (bytes read, events written, status)."""
    return run(jaer, data, state, events)


def decode_es(const uint8_t[::1] data, int64_t[::1] state, Event[::1] events):
    """Event Stream; (bytes read, events written, status)."""
    return run(event_stream, data, state, events)


def decode_aedat3(const uint8_t[::1] data, int64_t[::1] state, Event[::1] events):
    """AEDAT 3.1; (bytes read, events written, status)."""
    return run(aedat3, data, state, events)


def take_packed(const uint8_t[::1] data, int64_t width, int64_t height, int64_t before, Event[::1] events):
    """Whether all records are good events: their times fall nowhere and are no earlier than `before`, us, which is not
    negative. Then `events` are filled. Twin: `EventValidator.admit`, which also says what is bad.

    Parameters
    ----------
    data : bytes
        Of each event: time (64 bits, us), x, y (16 bits), polarity (8 bits, 0 or 1), 3 unused bytes, little-endian.
    """
    cdef Py_ssize_t n = events.shape[0], k
    cdef const uint8_t* b
    cdef int64_t t, latest = before, bad = 0
    cdef uint32_t address, x, y, p
    if data.shape[0] != n * PACKED:
        return False
    with nogil:
        for k in range(n):
            b = &data[k * PACKED]
            t = <int64_t> load_little64(b)
            address = load_little32(b + 8)
            x = address & 0xFFFF
            y = address >> 16
            p = b[12]
            # Without branches: a difference below 0 leaves its sign, and a time beyond 2^62 its bit.
            bad |= (width - 1 - x) | (height - 1 - y) | (1 - <int64_t> p) | (t - latest) | (t << 1)
            latest = t
            store_event(&events[k], x, y, t, p)
    return bad >= 0
