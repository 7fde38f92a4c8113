"""The arrivals at a layer in one sample, and what all its blocks share about them."""

from libc.stdint cimport int32_t, int64_t

cdef enum:
    # Arrivals that are looked at together, where the one looked for is known to be near.
    NEAR = 8


cdef struct arrivals_t:
    int64_t n
    const double* times      # [n] ms, ascending
    const int32_t* neurons   # [n] source neuron of each
    const int32_t* grid      # [n + 1] grid[k]: arrivals before time k / scale; see arrivals_about
    double scale             # grid cells per ms


cdef inline void arrivals_about(const arrivals_t* a, double t, int32_t* low, int32_t* high) noexcept nogil:
    """Where the first arrival later than `t` >= 0 is: `low` at the earliest, `high` at the latest; a.n > 0.

    One cell of the grid holds one arrival on average.
    """
    cdef double cell = t * a.scale
    cdef int64_t k = <int64_t> cell if cell < a.n - 1 else a.n - 1
    # An arrival and `t` are put into cells by the same operations, so that rounding cannot part them.
    low[0] = a.grid[k]
    high[0] = a.grid[k + 1] if k < a.n - 1 else <int32_t> a.n


cdef inline int64_t arrivals_between(const arrivals_t* a, double t, int64_t low, int64_t high) noexcept nogil:
    """The first arrival later than `t`, else n, from what `arrivals_about` found."""
    cdef int64_t middle
    # Most cells hold less than three: two steps that no branch hangs on, for which way one went could not be foretold.
    low += (low < high) & (a.times[low - (low == a.n)] <= t)
    low += (low < high) & (a.times[low - (low == a.n)] <= t)
    while low < high and a.times[low] <= t:
        middle = (low + high) >> 1
        if a.times[middle] > t:
            high = middle
        else:
            low = middle + 1
    return low


cdef inline int64_t arrivals_from(const arrivals_t* a, double t, int64_t low) noexcept nogil:
    """The first arrival later than `t`, else n; all before `low` are not later, and it is not far from there."""
    cdef const double* near
    cdef int64_t later = 0
    cdef int32_t k
    while low + NEAR < a.n and a.times[low + NEAR] <= t:
        low += NEAR
    if low + NEAR <= a.n:
        # Counted: how far it is could not be foretold.
        near = a.times + low
        for k in range(NEAR):
            later += near[k] <= t
        return low + later
    while low < a.n and a.times[low] <= t:
        low += 1
    return low


cdef inline arrivals_t arrivals_of(const double[::1] times, const int32_t[::1] neurons, const int64_t[::1] sample_ptr,
                                   const int32_t[::1] grid, const double[::1] scale, int64_t s) noexcept nogil:
    """Those of sample s of a batch; its arrays are as `eventsnn._ext.arrivals.fill_tables` has them."""
    cdef arrivals_t a
    cdef int64_t first = sample_ptr[s]
    a.n = sample_ptr[s + 1] - first
    a.times = &times[first] if a.n else NULL
    a.neurons = &neurons[first] if a.n else NULL
    a.grid = &grid[first + s]
    a.scale = scale[s]
    return a
