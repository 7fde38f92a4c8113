"""The arrivals at a layer in one sample, and what all its blocks share about them."""

from libc.stdint cimport int32_t, int64_t


cdef struct arrivals_t:
    int64_t n
    const double* times      # [n] ms, ascending
    const int32_t* neurons   # [n] source neuron of each
    const int32_t* grid      # [n + 1] grid[k]: arrivals before time k / scale; see arrivals_after
    double scale             # grid cells per ms


cdef inline int64_t arrivals_after(const arrivals_t* a, double t) noexcept nogil:
    """The first arrival later than `t`, else n; t >= 0. One cell of the grid holds one arrival on average."""
    cdef double cell = t * a.scale
    cdef int64_t low, high, middle
    if a.n == 0:
        return 0
    if not cell < a.n - 1:
        low = a.grid[a.n - 1]
        high = a.n
    else:
        low = a.grid[<int64_t> cell]
        high = a.grid[<int64_t> cell + 1]
    # An arrival and `t` are put into cells by the same operations, so that rounding cannot part them. Most cells hold
    # less than three: two steps that no branch hangs on, for which way one went could not be foretold.
    low += (low < high) & (a.times[low - (low == a.n)] <= t)
    low += (low < high) & (a.times[low - (low == a.n)] <= t)
    while low < high and a.times[low] <= t:
        middle = (low + high) >> 1
        if a.times[middle] > t:
            high = middle
        else:
            low = middle + 1
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
