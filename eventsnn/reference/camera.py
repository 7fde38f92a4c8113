"""Readable twin of ``eventsnn._ext.camera``: the oracle of its tests."""

from __future__ import annotations

import math

import numpy as np


def low_pass(light: np.ndarray, times_us: np.ndarray, tau_us: float) -> np.ndarray:
    """Return the light (steps, pixels) after a first-order low-pass; float32, arguments as in the kernel.

    Within a step the light is light0 + slope t, so that
    seen(t) = light(t) - slope tau + (seen0 - light0 + slope tau) exp(-t / tau).
    """
    seen = light.copy()
    for pixel in range(light.shape[1]):
        value = float(light[0, pixel])
        for k, dt in enumerate(np.diff(times_us)):
            light0, light1 = float(light[k, pixel]), float(light[k + 1, pixel])
            lag = (light1 - light0) / dt * tau_us
            value = light1 - lag + (value - light0 + lag) * math.exp(-dt / tau_us)
            seen[k + 1, pixel] = value
    return seen


def detect_changes(
    light: np.ndarray, times_us: np.ndarray, rise: np.ndarray, fall: np.ndarray, refractory_us: float
) -> list[tuple[int, int, int]]:
    """Return the events (t in us, pixel, polarity) of every pixel, one pixel after the other.

    `light` (steps, pixels) is linear between the `times_us`; the other arguments as in the kernel.
    """
    events: list[tuple[int, int, int]] = []
    for pixel, trace in enumerate(light.astype(np.float64).T):
        reference = trace[0]
        upper, lower = reference * rise[pixel], reference * fall[pixel]
        silent_until = times_us[0]
        for t0, t1, v0, v1 in zip(times_us[:-1], times_us[1:], trace[:-1], trace[1:], strict=True):
            while silent_until <= t1:
                start = max(t0, silent_until)
                at_start = v0 + (v1 - v0) * ((start - t0) / (t1 - t0))
                if at_start >= upper or at_start <= lower:  # a change made while the pixel was silent
                    reference = upper if at_start >= upper else lower
                    now = start
                elif v1 >= upper or v1 <= lower:
                    reference = upper if v1 >= upper else lower
                    now = min(t0 + (t1 - t0) * ((reference - v0) / (v1 - v0)), t1)
                else:
                    break
                events.append((int(now), pixel, int(reference == upper)))
                upper, lower = reference * rise[pixel], reference * fall[pixel]
                silent_until = now + refractory_us
    return events
