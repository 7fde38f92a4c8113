"""Spikes of a mini-batch as the rows of a trace; twin: reference/spike_rows.py."""

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

cdef extern from "crc32.h" nogil:
    void crc32_prepare()
    uint32_t crc32_of(uint32_t crc, const void* data, size_t n)

cdef extern from *:
    """
    /* Timestamps and lower bits of n spike times of a sample that begins at `start`; nonzero if some are far. */
    static int split_times(const double *times, size_t n, double start, double *timestamps, uint32_t *low) {
        const uint64_t half = ((uint64_t)1 << 31) - 1;
        uint64_t far = 0;
        for (size_t k = 0; k < n; k++) {
            double stamp = start + times[k], back = stamp - start;
            uint64_t bits, near;
            memcpy(&bits, times + k, 8);
            memcpy(&near, &back, 8);
            timestamps[k] = stamp;
            low[k] = (uint32_t)bits;
            far |= (near - bits + half) >> 32 | (uint64_t)(near - bits + half == 0xFFFFFFFF);
        }
        return far != 0;
    }
    """
    int split_times(const double* times, size_t n, double start, double* timestamps, uint32_t* low) nogil

ctypedef fused neuron_t:
    uint16_t
    uint32_t

crc32_prepare()


def fill_rows(
    const double[::1] times,
    const int32_t[::1] neurons,
    const int64_t[::1] ptr,
    const double[::1] starts,
    double[::1] timestamps,
    neuron_t[::1] node_ids,
    uint32_t[::1] low,
    uint32_t[:, ::1] crcs,
    uint8_t[::1] far,
):
    """Rows of a train of spikes in some samples; `eventsnn.trace.clock.split` says what they hold.

    Parameters
    ----------
    times, neurons, ptr : arrays (n,), (n,), (samples + 1,)
        Spikes, ms of local time; those of sample s are [ptr[s], ptr[s + 1]), and ptr[0] is 0.
    starts : array (samples,)
        Where each sample begins on the clock of the file, ms.
    timestamps, node_ids, low : arrays (n,), written
    crcs : array (samples, 3), continued
        CRC-32 of each sample's timestamps, node_ids and low.
    far : array (samples,), written
        1 where some local time is not told by the rows.
    """
    cdef Py_ssize_t s, k
    cdef int64_t a, n
    with nogil:
        for s in range(ptr.shape[0] - 1):
            a, n = ptr[s], ptr[s + 1] - ptr[s]
            far[s] = 0
            if n == 0:
                continue
            far[s] = split_times(&times[a], n, starts[s], &timestamps[a], &low[a])
            for k in range(a, a + n):
                node_ids[k] = <neuron_t> neurons[k]
            # Now, while the rows are in the cache.
            crcs[s, 0] = crc32_of(crcs[s, 0], &timestamps[a], n * sizeof(double))
            crcs[s, 1] = crc32_of(crcs[s, 1], &node_ids[a], n * sizeof(neuron_t))
            crcs[s, 2] = crc32_of(crcs[s, 2], &low[a], n * sizeof(uint32_t))
