"""Sound to spikes: Lyon's cochlea and Ben's spiker algorithm. Python twin: eventsnn/reference/cochlea.py."""

from libc.math cimport fabs
from libc.stdint cimport uint8_t

cdef double STATE_LIMIT = 0.9  # the gain 1 - state never falls below a tenth


def cochleagram(const double[::1] signal, const double[:, ::1] sections, const double[:, ::1] gains,
                const double[::1] smooth, Py_ssize_t decimation, bint differ,
                double[:, ::1] state, double[:, ::1] out):
    """Fill `out` (frames, channels) with what the inner hair cells of a cochlea say of `signal` (samples).

    `sections` (2 + channels, 5) are the second-order sections of the cascade, numerator then denominator
    without its leading 1, the two of the outer and middle ear first. `gains` (stages, 2) are target and
    epsilon of each stage of gain control, none for no gain control. `smooth` (3) is the gain and the two
    feedback coefficients of the filter before decimation, not used if `decimation` is 1. `state`
    (5 + stages, 2 + channels) is scratch, zero at the start of the sound; `signal` has at least
    frames x decimation samples.
    """
    cdef Py_ssize_t n = sections.shape[0], stages = gains.shape[0]
    cdef Py_ssize_t frame, k, i, stage
    cdef double x, y, previous, here, above, share, per_target
    cdef double *z1 = &state[0, 0]
    cdef double *z2 = &state[1, 0]
    cdef double *s1 = &state[2, 0]
    cdef double *s2 = &state[3, 0]
    cdef double *value = &state[4, 0]
    cdef double *g
    with nogil:
        for frame in range(out.shape[0]):
            for k in range(decimation):
                x = signal[frame * decimation + k]
                for i in range(n):
                    y = sections[i, 0] * x + z1[i]
                    z1[i] = sections[i, 1] * x - sections[i, 3] * y + z2[i]
                    z2[i] = sections[i, 2] * x - sections[i, 4] * y
                    value[i] = y if y > 0.0 else 0.0
                    x = y
                if k == 0:
                    value[0] = 0.0
                    value[1] = 0.0
                for stage in range(stages):
                    g = &state[5 + stage, 0]
                    share = (1.0 - gains[stage, 1]) / 3.0
                    per_target = gains[stage, 1] / gains[stage, 0]
                    previous = g[0]
                    for i in range(n):
                        here = g[i]
                        above = g[i + 1] if i + 1 < n else here
                        value[i] = value[i] * (1.0 - here)
                        g[i] = min(value[i] * per_target + share * (previous + here + above), STATE_LIMIT)
                        previous = here
                if differ:
                    for i in range(n - 1, 0, -1):
                        y = value[i - 1] - value[i]
                        value[i] = y if y > 0.0 else 0.0
                if decimation > 1:
                    for i in range(n):
                        y = s1[i]
                        s1[i] = s2[i] - smooth[1] * y
                        s2[i] = smooth[0] * value[i] - smooth[2] * y
                        value[i] = y
            for i in range(2, n):
                out[frame, i - 2] = value[i]


def ben_spiker(double[:, ::1] rest, const double[::1] kernel, double threshold, bint multiplicative,
               uint8_t[:, ::1] spikes):
    """Set `spikes` (channels, steps) to 1 where taking the kernel away leaves less; see `BSA`.

    `rest` (channels, steps + taps of the kernel) holds the signal, zeros after it, and becomes what the
    spikes do not explain.
    """
    cdef Py_ssize_t c, i, k, taps = kernel.shape[0]
    cdef double with_spike, without, limit
    with nogil:
        for c in range(spikes.shape[0]):
            for i in range(spikes.shape[1]):
                with_spike = 0.0
                without = 0.0
                for k in range(taps):
                    with_spike += fabs(rest[c, i + k] - kernel[k])
                    without += fabs(rest[c, i + k])
                limit = without * threshold if multiplicative else without - threshold
                if with_spike < limit or (multiplicative and with_spike == limit):
                    spikes[c, i] = 1
                    for k in range(taps):
                        rest[c, i + k] -= kernel[k]
                else:
                    spikes[c, i] = 0
