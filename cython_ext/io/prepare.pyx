"""From recordings as they lie in files to the input of a mini-batch: read, augment, sort, without the GIL.

Twins: eventsnn/data/draws.py (random numbers), eventsnn/data/augment.py (changes), eventsnn/events/origin.py (where
time begins), eventsnn/reference/prepare.py `to_arrays` (order), eventsnn/reference/decode_records.py (5-byte
records), eventsnn/events/packed_events.py (64-bit words).
"""

from libc.math cimport fabs, rint
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport qsort

from eventsnn._ext cimport aer
from eventsnn._ext.aer cimport RECORD, Clock, Event, Found, read_nmnist
from eventsnn._ext.draws cimport draw
from eventsnn._ext.records cimport NMNIST, WORDS, Records, record_size

cdef enum:
    SHORT_RUN = 24         # simultaneous events up to which insertion beats qsort

cdef enum Status:
    DONE
    OUTSIDE                # an event outside the sensor
    BACKWARDS              # an event earlier than the one before it
    CUT                    # no bytes, or no whole number of records
    UNREADABLE
    BEFORE_ZERO            # the recording begins before time 0

cdef enum Purpose:         # draws of a recording, see eventsnn/data/augment.py
    SHIFT_X
    SHIFT_Y
    TIME
    DROP

cdef struct Sensor:
    int64_t width, height, polarities
    int x_bits, y_bits, p_bits      # width of the address fields of a word

# What is asked for, of all recordings.
cdef struct Asked:
    uint64_t key                    # of (seed, AUGMENT, epoch)
    int64_t shift                   # pixels, >= 0
    uint64_t drop                   # an event is dropped if the upper 53 bits of its draw are below this
    double time_scale
    int64_t latest                  # recordings that begin later count from their first event, microseconds

# What happens to one recording, and where its events go.
cdef struct Work:
    int64_t dx, dy
    uint64_t drop, drop_key
    uint64_t number                 # of the next event, those that are dropped counted too
    int64_t latest, origin          # microseconds; eventsnn/events/origin.py
    double* times
    int32_t* neurons
    Py_ssize_t n                    # events written


cdef inline int64_t draw_shift(uint64_t bits, int64_t shift, int64_t size) noexcept nogil:
    return <int64_t> (((bits >> 32) * <uint64_t> (2 * shift + 1)) >> 32) - shift if size > 1 else 0


cdef inline void place(Work* work, const Sensor* sensor, int64_t x, int64_t y, int64_t p, int64_t t) noexcept nogil:
    """Write the next event down, and count it only if it is kept: no branch to mispredict."""
    cdef bint keep
    if work.number == 0 and t > work.latest:
        work.origin = t
    x += work.dx
    y += work.dy
    keep = (<uint64_t> x < <uint64_t> sensor.width) & (<uint64_t> y < <uint64_t> sensor.height)
    if work.drop:
        keep &= (draw(work.drop_key, work.number) >> 11) >= work.drop
    work.times[work.n] = <double> (t - work.origin)
    work.neurons[work.n] = <int32_t> ((p * sensor.height + y) * sensor.width + x)
    work.n += keep
    work.number += 1


cdef Status place_nmnist(const uint8_t* bytes, Py_ssize_t n, const Sensor* sensor, Work* work) noexcept nogil:
    cdef Clock clock = Clock(0, 0)
    cdef const uint8_t* end = bytes + RECORD * n
    cdef Event event
    cdef Found found
    while bytes < end:
        found = read_nmnist(bytes, sensor.width, sensor.height, &clock, &event)
        if found == aer.EVENT:
            place(work, sensor, event.x, event.y, event.p, event.t)
        elif found != aer.MARKER:
            return OUTSIDE if found == aer.OUTSIDE else BACKWARDS
        bytes += RECORD
    return DONE


cdef Status place_words(const uint8_t* bytes, Py_ssize_t n, const Sensor* sensor, Work* work) noexcept nogil:
    cdef uint64_t word
    cdef int64_t x, y, p, t, before = 0
    cdef const uint8_t* end = bytes + 8 * n
    cdef int k
    while bytes < end:
        word = 0
        for k in range(8):
            word |= <uint64_t> bytes[k] << (8 * k)    # little-endian on any machine; compiles to one load
        x = word & ((<uint64_t> 1 << sensor.x_bits) - 1)
        word >>= sensor.x_bits
        y = word & ((<uint64_t> 1 << sensor.y_bits) - 1)
        word >>= sensor.y_bits
        p = word & ((<uint64_t> 1 << sensor.p_bits) - 1)
        t = <int64_t> (word >> sensor.p_bits)
        if x >= sensor.width or y >= sensor.height or p >= sensor.polarities:
            return OUTSIDE
        if t < before:
            return BACKWARDS
        before = t
        place(work, sensor, x, y, p, t)
        bytes += 8
    return DONE


cdef Status place_events(const Event* events, Py_ssize_t n, const Sensor* sensor, Work* work) noexcept nogil:
    cdef Py_ssize_t i
    if n and events[0].t < 0:
        return BEFORE_ZERO
    for i in range(n):
        if i and events[i].t < events[i - 1].t:
            return BACKWARDS
        if (events[i].x < 0 or events[i].x >= sensor.width or events[i].y < 0 or events[i].y >= sensor.height
                or events[i].p >= sensor.polarities):
            return OUTSIDE
        place(work, sensor, events[i].x, events[i].y, events[i].p, events[i].t)
    return DONE


cdef void to_ms(double* times, Py_ssize_t n, double factor) noexcept nogil:
    """Whole microseconds, in order, times `factor` (1: none), rounded to whole microseconds, to ms."""
    cdef double magic = 6755399441055744.0    # 1.5 * 2^52: adding it leaves no bits behind the point
    cdef Py_ssize_t i
    if n == 0:
        return
    if factor != 1.0:
        if fabs(times[0]) < 1e15 and fabs(times[n - 1]) < 1e15:    # below 2^51 even when doubled
            for i in range(n):
                times[i] = (times[i] * factor + magic) - magic
        else:
            for i in range(n):
                times[i] = rint(times[i] * factor) + 0.0    # no negative zeros
    for i in range(n):
        times[i] = times[i] / 1000.0


cdef int compare(const void* a, const void* b) noexcept nogil:
    cdef int32_t x = (<const int32_t*> a)[0], y = (<const int32_t*> b)[0]
    return (x > y) - (x < y)


cdef void order_ties(const double* times, int32_t* neurons, Py_ssize_t n) noexcept nogil:
    """Sort simultaneous events by neuron; times are in order already."""
    cdef Py_ssize_t i = 1, j, first, last
    cdef int32_t neuron
    while i < n:
        if times[i] != times[i - 1] or neurons[i] >= neurons[i - 1]:
            i += 1
            continue
        first, last = i - 1, i + 1
        while first > 0 and times[first - 1] == times[i]:
            first -= 1
        while last < n and times[last] == times[i]:
            last += 1
        if last - first > SHORT_RUN:
            qsort(neurons + first, last - first, sizeof(int32_t), compare)
        else:
            for i in range(first + 1, last):
                neuron = neurons[i]
                j = i
                while j > first and neurons[j - 1] > neuron:
                    neurons[j] = neurons[j - 1]
                    j -= 1
                neurons[j] = neuron
        i = last + 1


cdef Status prepare_one(Records records, Py_ssize_t k, uint64_t index, const Sensor* sensor,
                        const Asked* asked, double* times, int32_t* neurons, Py_ssize_t* written) noexcept nogil:
    """Prepare recording k of a batch, number `index` of its data set."""
    cdef uint64_t key = draw(asked.key, index)
    cdef double factor = 1.0
    cdef Py_ssize_t n = records.size[k] // record_size(records.kind)
    cdef Work work
    cdef Status status
    written[0] = 0
    if records.size[k] < 0:
        return UNREADABLE
    if records.size[k] != n * record_size(records.kind) or (n == 0 and records.kind == NMNIST):
        return CUT
    work.dx = draw_shift(draw(key, SHIFT_X), asked.shift, sensor.width)
    work.dy = draw_shift(draw(key, SHIFT_Y), asked.shift, sensor.height)
    work.drop = asked.drop
    work.drop_key = draw(key, DROP)
    work.times, work.neurons = times, neurons
    work.n, work.number = 0, 0
    # Words and arrays count from their recording's origin already, whenever their first event is.
    work.latest, work.origin = asked.latest if records.kind == NMNIST else INT64_MAX, 0
    if records.kind == NMNIST:
        status = place_nmnist(records.start[k], n, sensor, &work)
    elif records.kind == WORDS:
        status = place_words(records.start[k], n, sensor, &work)
    else:
        status = place_events(<const Event*> records.start[k], n, sensor, &work)
    if status != DONE:
        return status
    if asked.time_scale > 0.0:
        factor = 1.0 + asked.time_scale * (2.0 * (<double> (draw(key, TIME) >> 11) * 2.0**-53) - 1.0)
    to_ms(times, work.n, factor)
    order_ties(times, neurons, work.n)
    written[0] = work.n
    return DONE


cdef int bits_below(int64_t n) noexcept nogil:
    """Bits that the numbers 0 .. n - 1 need."""
    cdef int bits = 0
    while (<int64_t> 1 << bits) < n:
        bits += 1
    return bits


def prepare(Records records, tuple sensor_size, const int64_t[::1] indices, uint64_t key, int64_t shift,
            uint64_t drop, double time_scale, int64_t latest, double[::1] times, int32_t[::1] neurons,
            int64_t[::1] ptr, int32_t[::1] status):
    """Augment and sort recordings into one batch.

    `indices` are their numbers in the data set, `key` that of (seed, AUGMENT, epoch), `drop` the threshold of
    the probability (eventsnn/data/draws.py). N-MNIST's files that begin later than `latest` (microseconds) count from
    their first event, be it dropped or not; words and arrays count from the recording's origin already.

    Writes events of recording k as float64 ms and input neurons, sorted by (time, neuron), to
    ``ptr[k]:ptr[k + 1]`` of `times` and `neurons`, which have room for `records.most_events`; and to status[k]
    0, or else why recording k is bad, and left empty.
    """
    cdef Sensor sensor
    cdef Asked asked
    cdef Py_ssize_t k, at = 0, written
    cdef double* time = &times[0] if times.shape[0] else NULL
    cdef int32_t* neuron = &neurons[0] if neurons.shape[0] else NULL
    sensor.width, sensor.height, sensor.polarities = sensor_size
    sensor.x_bits = bits_below(sensor.width)
    sensor.y_bits = bits_below(sensor.height)
    sensor.p_bits = bits_below(sensor.polarities)
    asked.key, asked.shift, asked.drop, asked.time_scale = key, shift, drop, time_scale
    asked.latest = latest
    with nogil:
        ptr[0] = 0
        for k in range(records.n):
            status[k] = prepare_one(records, k, <uint64_t> indices[k], &sensor, &asked,
                                    time + at, neuron + at, &written)
            at += written
            ptr[k + 1] = at
