"""Spikes of a simulation in windows (engine_windows.pyx) that several processes run, exchanged between them.

What a rank sends is an array of 8-byte words: how many they are, a word of the driver, whether its neurons are quiet,
spikes of each layer; then for each layer the times of its spikes and their neurons, two to a word.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

from eventsnn._ext.spikes cimport spikes_push, spikes_t
from eventsnn._ext.windows_state cimport MARK, WindowsState, enlarge, fired_t, layer_t, work_t

# Words before the spikes of the layers, and what they say.
cdef enum:
    SIZE = 0
    NOTE = 1
    QUIET = 2
    COUNTS = 3


cdef extern from *:
    """
    #include <stdint.h>
    static inline int64_t mark_read(const int64_t* mark) { return __atomic_load_n(mark, __ATOMIC_ACQUIRE); }
    static inline void mark_write(int64_t* mark, int64_t n) { __atomic_store_n(mark, n, __ATOMIC_RELEASE); }
    #if defined(__x86_64__)
    #define SPIN_PAUSE() __builtin_ia32_pause()
    #else
    #define SPIN_PAUSE() ((void)0)
    #endif
    """
    int64_t mark_read(const int64_t* mark) nogil
    void mark_write(int64_t* mark, int64_t n) nogil
    void SPIN_PAUSE() nogil

# Looks at another rank's mark, some 50 microseconds, before the caller is asked to let others have the processor.
cdef enum:
    LOOKS = 2000


def pack_spikes(WindowsState state, int64_t[::1] out, int64_t note):
    """Write what this rank has to say; returns how many words that needs.

    Where `out` has not that many, only the first words are written, for which it must have room: 3 and one per layer.
    """
    return pack(state, &out[0], out.shape[0], note)


def take_spikes(WindowsState state, const int64_t[:, ::1] found):
    """Take over what `pack_spikes` has written on every rank, this one included: int64 (ranks, words).

    Returns how many words the longest needs, and whether any rank has left a note. Where it needs more than there are,
    nothing is taken over.
    """
    cdef bint noted = take(state, &found[0, 0], found.shape[1], found.shape[1])
    return state.needed, noted


cpdef int32_t swap_spikes(WindowsState state) except -1:
    """One exchange through the memory that all ranks see (`WindowsState.share`), or the rest of one begun before.

    Returns `SWAPPED`; `WAITING` where another rank is late: call again; `NO_ROOM` where the longest, `state.needed`
    words, has none, and nothing is taken over; `NOTED` where a rank has left a note, as `state.note` does. All ranks
    are returned the same in the end, and stop within `run_windows` for all but the first.
    """
    cdef int32_t result = state.pending
    state.pending = SWAPPED
    return result if result != SWAPPED else swap_shared(state)


cdef int32_t swap_shared(WindowsState s) except -1 nogil:
    """See `swap_spikes`. Places are used in turns: who writes the next exchange but one knows that this one is read."""
    cdef int64_t stride = MARK + s.words, k
    cdef int64_t* place = s.shared
    cdef int32_t rank
    cdef bint noted
    if not s.posted:
        s.number[0] += 1
    if s.number[0] % 2:
        place += s.ranks * stride
    if not s.posted:
        pack(s, place + s.rank * stride + MARK, s.words, s.note)
        mark_write(place + s.rank * stride, s.number[0])
        s.posted = True
    for rank in range(s.ranks):
        k = 0
        while mark_read(place + rank * stride) != s.number[0]:
            k += 1
            if k > LOOKS:
                return WAITING
            SPIN_PAUSE()
    s.posted = False
    noted = take(s, place + MARK, stride, s.words)
    return NO_ROOM if s.needed > s.words else NOTED if noted else SWAPPED


cdef int64_t pack(WindowsState state, int64_t* out, int64_t room, int64_t note) noexcept nogil:
    """See `pack_spikes`."""
    cdef int64_t needed = COUNTS + state.n_layers, place = needed
    cdef spikes_t* own
    cdef int32_t k
    for k in range(state.n_layers):
        own = &state.layers[k].own
        out[COUNTS + k] = own.n
        needed += own.n + (own.n + 1) // 2
    out[SIZE], out[NOTE], out[QUIET] = needed, note, state.quiet
    if needed > room:
        return needed
    for k in range(state.n_layers):
        own = &state.layers[k].own
        if own.n:
            memcpy(&out[place], own.times, own.n * sizeof(double))
            memcpy(&out[place + own.n], own.neurons, own.n * sizeof(int32_t))
        place += own.n + (own.n + 1) // 2
    return needed


cdef int32_t take(WindowsState state, const int64_t* found, int64_t stride, int64_t room) except -1 nogil:
    """See `take_spikes`; each rank's words begin `stride` after those of the one before. Whether one left a note."""
    cdef const int64_t* words
    cdef int32_t k, rank
    cdef bint quiet = True, noted = False
    state.needed = 0
    for rank in range(state.ranks):
        words = found + rank * stride
        state.needed = max(state.needed, words[SIZE])
        noted = noted or words[NOTE] != 0
        quiet = quiet and words[QUIET] != 0
        state.work.places[rank] = COUNTS + state.n_layers
    if state.needed > room:
        return noted
    if state.quiet >= 0:
        state.quiet = quiet
    for k in range(state.n_layers):
        take_layer(state, k, found, stride)
    state.exchanges += 1
    return noted


cdef int take_layer(WindowsState s, int32_t layer, const int64_t* found, int64_t stride) except -1 nogil:
    """Take over the spikes of one layer, which stand at the places of every rank; these move on."""
    cdef work_t* w = &s.work
    cdef layer_t* l = &s.layers[layer]
    cdef const double* times
    cdef const int32_t* neurons
    cdef fired_t* merged
    cdef int64_t k, n, total = 0
    cdef int32_t rank
    l.own.n, l.since = 0, INFINITY
    for rank in range(s.ranks):
        w.runs[rank] = total
        total += found[rank * stride + COUNTS + layer]
    w.runs[s.ranks] = total
    if not total:
        return 0
    if 2 * total > w.fired_room:
        w.fired = <fired_t*> enlarge(w.fired, 4 * total * sizeof(fired_t))
        w.fired_room = 4 * total
    for rank in range(s.ranks):
        n = found[rank * stride + COUNTS + layer]
        times = <const double*> (found + rank * stride) + w.places[rank]
        neurons = <const int32_t*> (times + n)
        for k in range(n):
            w.fired[w.runs[rank] + k] = fired_t(times[k], neurons[k])
        w.places[rank] += n + (n + 1) // 2
    merged = merge_runs(w.fired, w.fired + total, w.runs, s.ranks)
    for k in range(total):
        spikes_push(&l.spikes, merged[k].time, merged[k].neuron)
    return 0


cdef fired_t* merge_runs(fired_t* a, fired_t* b, int64_t* runs, int64_t n) noexcept nogil:
    """Merge `n` runs of spikes in order, neighbours in turn; run r of `a` is [runs[r], runs[r + 1])."""
    cdef int64_t total = runs[n], r
    while n > 1:
        for r in range(0, n, 2):
            merge_two(a + runs[r], a + runs[r + 1], a + runs[min(r + 2, n)], b + runs[r])
            runs[r // 2] = runs[r]
        n = (n + 1) // 2
        runs[n] = total
        a, b = b, a
    return a


cdef void merge_two(const fired_t* x, const fired_t* y, const fired_t* end, fired_t* out) noexcept nogil:
    """Merge the spikes from x up to y with those from y up to `end`, by (time, neuron)."""
    cdef const fired_t* middle = y
    cdef bint later
    while x < middle and y < end:
        # Either may come next, equally often: without a branch.
        later = (y.time < x.time) | ((y.time == x.time) & (y.neuron < x.neuron))
        out[0] = (y if later else x)[0]
        x += not later
        y += later
        out += 1
    memcpy(out, x, (middle - x) * sizeof(fired_t))
    memcpy(out + (middle - x), y, (end - y) * sizeof(fired_t))
