"""Pixels of the simulated event camera. Python twin: eventsnn/reference/camera.py."""

from libc.math cimport exp
from libc.stdint cimport int32_t, int64_t, uint8_t


def low_pass(const float[:, ::1] light, const double[::1] times_us, double tau_us,
             double[::1] state, float[:, ::1] seen):
    """Let the light pass a first-order low-pass of time constant `tau_us` (us, > 0) into `seen`.

    `light` and `seen` (steps, pixels); the light is linear between the `times_us` (steps), and `seen` exact at
    them: tau seen' = light - seen. `state` (pixels) is what is seen at the first of the times, and then at the
    last: a recording begins with its light there, and goes on with what was left, from the last light on.
    """
    cdef Py_ssize_t k, i
    cdef double dt, kept, mean, of_start, of_end
    with nogil:
        for i in range(light.shape[1]):
            seen[0, i] = <float>state[i]
        for k in range(light.shape[0] - 1):
            dt = times_us[k + 1] - times_us[k]
            kept = exp(-dt / tau_us)
            mean = tau_us / dt * (1.0 - kept)
            of_start = mean - kept
            of_end = 1.0 - mean
            for i in range(light.shape[1]):
                state[i] = kept * state[i] + of_start * light[k, i] + of_end * light[k + 1, i]
                seen[k + 1, i] = <float>state[i]


def detect_changes(const float[:, ::1] light, const double[::1] times_us,
                   const double[::1] rise, const double[::1] fall, double refractory_us,
                   double[:, ::1] state, int32_t[::1] pixels, int64_t[::1] t, uint8_t[::1] p):
    """Turn the light on each pixel into events; return how many there are.

    `light` (steps, pixels) is taken to be linear between the `times_us` (steps). Each pixel remembers a
    reference, at first the light it starts with. When the light leaves the reference by the pixel's factor
    `rise` (ON) or `fall` (OFF), there is an event and the reference moves by that factor. For `refractory_us`
    after an event the pixel stays silent; a change of that time that is still there is reported at its end.
    `state` (3, pixels) is the reference times `rise`, times `fall`, and the end of the pixel's silence (negative:
    not silent); it is left as it is at the last of the times, where a recording goes on. If there are more events
    than the outputs are long, the rest is only counted: call again with longer ones and the former state.
    """
    cdef Py_ssize_t k, i, n = 0, capacity = t.shape[0]
    cdef double t0, t1, v0, v1, start, at_start, now, reference
    cdef bint on
    cdef double *upper = &state[0, 0]
    cdef double *lower = &state[1, 0]
    cdef double *silent_until = &state[2, 0]
    with nogil:
        for k in range(light.shape[0] - 1):
            t0 = times_us[k]
            t1 = times_us[k + 1]
            for i in range(light.shape[1]):
                v1 = light[k + 1, i]
                if silent_until[i] < 0.0 and lower[i] < v1 < upper[i]:
                    continue
                v0 = light[k, i]
                start = t0
                while True:
                    if silent_until[i] > t1:
                        break
                    if silent_until[i] >= 0.0:
                        start = silent_until[i]
                        silent_until[i] = -1.0
                    at_start = v0 + (v1 - v0) * ((start - t0) / (t1 - t0))
                    on = at_start >= upper[i] or (at_start > lower[i] and v1 >= upper[i])
                    if not on and at_start > lower[i] and v1 > lower[i]:
                        break
                    reference = upper[i] if on else lower[i]
                    if lower[i] < at_start < upper[i]:
                        now = min(t0 + (t1 - t0) * ((reference - v0) / (v1 - v0)), t1)
                    else:
                        now = start
                    if n < capacity:
                        pixels[n] = <int32_t>i
                        t[n] = <int64_t>now
                        p[n] = on
                    n += 1
                    upper[i] = reference * rise[i]
                    lower[i] = reference * fall[i]
                    silent_until[i] = now + refractory_us
    return n
