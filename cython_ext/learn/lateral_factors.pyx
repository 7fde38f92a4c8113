"""Lateral factors of the output layer: how its neurons, which inhibit each other, change each other's errors.

Formulas, and twin: eventsnn/reference/macro.py.
"""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc

from eventsnn._ext.rule cimport any_error
from eventsnn._ext.spsp_matrix cimport SpspMatrix
from eventsnn._ext.work_counter cimport WorkCounter, work_take


cdef void factors_of(const double* e, int64_t size, int32_t width, const int64_t* counts, int64_t label,
                     double threshold, double strength, double* lateral) noexcept nogil:
    """lambda_i = 1 / (1 - w0^2 sum_{l != i} q_il q_li); `e` (blocks, size, width) is e_{i|l} at [i // width][l][i]."""
    cdef int64_t i, l
    cdef double loops, there, back
    for i in range(size):
        loops = 0.0
        if counts[i] or i == label:
            for l in range(size):
                if l != i and (counts[l] or l == label):
                    there = back = 1.0
                    if counts[i] and counts[l]:
                        there = e[((l // width) * size + i) * width + l % width] / counts[i]
                        back = e[((i // width) * size + l) * width + i % width] / counts[l]
                    loops += (there / threshold) * (back / threshold)
        loops = 1.0 - strength * strength * loops
        lateral[i] = 1.0 / loops if loops > 0.0 else 1.0


def lateral_factors(SpspMatrix spsp, const int64_t[::1] labels, const double[:, ::1] delta, double threshold,
                    double strength, double[:, ::1] lateral, WorkCounter counter):
    """Lateral factors of the output layer, for the samples with an error that this thread takes.

    Where effects grow on every round (denominator <= 0) their sum does not exist, and the factor is 1.

    Parameters
    ----------
    spsp : SpspMatrix
        S-PSPs of the layer's own true spikes, undelayed, on its neurons; units are samples.
    labels : int64 (samples,)
    delta : float64 (samples, blocks * width)
    threshold : float
    strength : float
        w0, that of the mutual inhibition.
    lateral : float64 (samples, blocks * width)
        Filled for the neurons of samples with an error.
    counter : WorkCounter
        Over the samples.
    """
    cdef int64_t size = spsp.rows, blocks = delta.shape[1] // spsp.width, s, block, j, k
    cdef int32_t n, width = spsp.width
    cdef double* e = <double*> malloc(blocks * size * width * sizeof(double))
    if e == NULL:
        raise MemoryError(f"no memory for the S-PSPs of {size} neurons")
    try:
        with nogil:
            s = work_take(&counter.next)
            while s < counter.count:
                if any_error(&delta[s, 0], blocks * width):
                    for block in range(blocks):
                        spsp.fill(block, s)
                        for j in range(size):
                            for n in range(width):
                                k = j * width + n
                                e[block * size * width + k] = 0.0 if not spsp.pre_counts[j] else (
                                    (<float*> spsp.e)[k] if spsp.single else (<double*> spsp.e)[k]
                                )
                    factors_of(e, size, width, spsp.pre_counts, labels[s], threshold, strength, &lateral[s, 0])
                s = work_take(&counter.next)
    finally:
        free(e)
