"""Spikes of a simulation in windows (engine_windows.pyx) that several processes run, exchanged between them.

What a rank sends is an array of 8-byte words: how many they are, a word of the driver, whether its neurons are quiet,
spikes of each layer; then for each layer the times of its spikes and their neurons, two to a word.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

from eventsnn._ext.spikes cimport spikes_push, spikes_t
from eventsnn._ext.windows_state cimport WindowsState, enlarge, fired_t, layer_t, work_t

# Words before the spikes of the layers, and what they say.
cdef enum:
    SIZE = 0
    NOTE = 1
    QUIET = 2
    COUNTS = 3


def pack_spikes(WindowsState state, int64_t[::1] out, int64_t note):
    """Write what this rank has to say; returns how many words that needs.

    Where `out` has not that many, only the first words are written, for which it must have room: 3 and one per layer.
    """
    cdef int64_t needed = COUNTS + state.n_layers, place = needed
    cdef spikes_t* own
    cdef int32_t k
    for k in range(state.n_layers):
        own = &state.layers[k].own
        out[COUNTS + k] = own.n
        needed += own.n + (own.n + 1) // 2
    out[SIZE], out[NOTE], out[QUIET] = needed, note, state.quiet
    if needed > out.shape[0]:
        return needed
    for k in range(state.n_layers):
        own = &state.layers[k].own
        if own.n:
            memcpy(&out[place], own.times, own.n * sizeof(double))
            memcpy(&out[place + own.n], own.neurons, own.n * sizeof(int32_t))
        place += own.n + (own.n + 1) // 2
    return needed


def take_spikes(WindowsState state, const int64_t[:, ::1] found):
    """Take over what `pack_spikes` has written on every rank, this one included: int64 (ranks, words).

    Returns how many words the longest needs, and whether any rank has left a note. Where it needs more than there are,
    nothing is taken over.
    """
    cdef int32_t k, rank
    cdef bint quiet = True, noted = False
    cdef int64_t needed = 0
    for rank in range(state.ranks):
        needed = max(needed, found[rank, SIZE])
        noted = noted or found[rank, NOTE] != 0
        quiet = quiet and found[rank, QUIET] != 0
        state.work.places[rank] = COUNTS + state.n_layers
    if needed > found.shape[1]:
        return needed, noted
    if state.quiet >= 0:
        state.quiet = quiet
    for k in range(state.n_layers):
        take_layer(state, k, found)
    return needed, noted


cdef int take_layer(WindowsState s, int32_t layer, const int64_t[:, ::1] found) except -1:
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
        total += found[rank, COUNTS + layer]
    w.runs[s.ranks] = total
    if not total:
        return 0
    if 2 * total > w.fired_room:
        w.fired = <fired_t*> enlarge(w.fired, 4 * total * sizeof(fired_t))
        w.fired_room = 4 * total
    for rank in range(s.ranks):
        n = found[rank, COUNTS + layer]
        times = <const double*> &found[rank, 0] + w.places[rank]
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
