"""The branches through which source neurons reach their targets, each with a delay of its own, and what is under way.

A spike goes from branch to branch of its neuron, in the order of their delays; the spikes under way are a heap, by time
of arrival. Laid out by `eventsnn.model.layers.branches`.
"""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport realloc


cdef struct pending_t:
    # A spike under way through the branches of its neuron, by time of arrival.
    double time           # of the next arrival, ms
    double sent           # of the spike, ms
    int64_t branch, last  # the next, and the end of the neuron's branches


cdef struct branches_t:
    const int64_t* ptr    # [n_pre + 1] first branch of each source neuron; NULL: it has none, but one delay
    const double* delays  # of the branches, ms, ascending within a source neuron
    const int32_t* post   # the neuron that each branch reaches; NULL: the whole layer
    pending_t* pending    # [room] heap-ordered by (time, branch)
    int64_t n_pending, room


cdef inline bint comes_first(const pending_t* a, const pending_t* b) noexcept nogil:
    return a.time < b.time or (a.time == b.time and a.branch < b.branch)


cdef inline int send(branches_t* b, double sent, int64_t branch, int64_t last) except -1 nogil:
    """Put a spike under way."""
    cdef pending_t* larger
    cdef pending_t x = pending_t(sent + b.delays[branch], sent, branch, last)
    cdef int64_t place = b.n_pending, parent
    if place == b.room:
        larger = <pending_t*> realloc(b.pending, (2 * b.room + 64) * sizeof(pending_t))
        if larger == NULL:
            with gil:
                raise MemoryError(f"no memory for more than {place} spikes under way")
        b.pending, b.room = larger, 2 * b.room + 64
    b.n_pending += 1
    while place > 0:
        parent = (place - 1) // 2
        if not comes_first(&x, &b.pending[parent]):
            break
        b.pending[place] = b.pending[parent]
        place = parent
    b.pending[place] = x
    return 0


cdef inline void arrive_next(branches_t* b) noexcept nogil:
    """Move the spike that has arrived first on to its next branch."""
    cdef pending_t x = b.pending[0]
    cdef int64_t place = 0, child
    x.branch += 1
    if x.branch < x.last:
        x.time = x.sent + b.delays[x.branch]
    else:
        b.n_pending -= 1
        x = b.pending[b.n_pending]
    while True:
        child = 2 * place + 1
        if child >= b.n_pending:
            break
        if child + 1 < b.n_pending and comes_first(&b.pending[child + 1], &b.pending[child]):
            child += 1
        if not comes_first(&b.pending[child], &x):
            break
        b.pending[place] = b.pending[child]
        place = child
    b.pending[place] = x
