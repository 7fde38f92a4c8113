"""The pixels of the simulated event camera: light in, some frames at a time, and events out.

Only the last frame and the state of each pixel are kept from block to block, so the memory of a recording
does not grow with its length. The events are the same however the frames are divided.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn._ext import camera as kernel


@dataclass(frozen=True)
class Pattern:
    """How the pixels of a camera differ; all arrays (pixels) float64, shared and read only.

    `rise` and `fall` are the factors of light that make an event, `noise_share` the share of the background
    events that come from this pixel and those before it.
    """

    rise: np.ndarray
    fall: np.ndarray
    noise_share: np.ndarray


class Pixels:
    """The pixels of a camera in one recording.

    Parameters
    ----------
    pattern : Pattern
    low_pass_us : float
        Time constant of a pixel's response to light, microseconds; 0: it follows at once.
    refractory_us : float
        Least time between two events of a pixel, microseconds.
    """

    def __init__(self, pattern: Pattern, low_pass_us: float, refractory_us: float) -> None:
        self._pattern = pattern
        self._low_pass_us = low_pass_us
        self._refractory_us = refractory_us
        self._before: tuple[np.ndarray, np.ndarray] | None = None  # the last frame and its time
        self._response = np.empty(0)
        self._state = np.empty((3, 0))
        self._buffers = _make_buffers(8 * len(pattern.rise))
        self._events: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def see(self, light: np.ndarray, times_us: np.ndarray) -> None:
        """Take the next frames.

        Parameters
        ----------
        light : ndarray of shape (frames, pixels), float32, C-contiguous
        times_us : ndarray of shape (frames,), float64
            All later than the frames seen before.
        """
        if self._before is None:
            first = light[0].astype(np.float64)
            self._response = first
            self._state = np.stack(
                (first * self._pattern.rise, first * self._pattern.fall, -np.ones_like(first))
            )
        else:
            light = np.concatenate((self._before[0], light))
            times_us = np.concatenate((self._before[1], times_us))
        self._before = light[-1:].copy(), times_us[-1:].copy()
        if self._low_pass_us > 0:
            seen = np.empty_like(light)
            kernel.low_pass(light, times_us, self._low_pass_us, self._response, seen)
            light = seen
        self._detect(light, times_us)

    def events(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixels (int32), times (int64, us) and polarities (uint8) of all events so far, in no order."""
        pixels, t, p = zip(*self._events, strict=True)
        return np.concatenate(pixels), np.concatenate(t), np.concatenate(p)

    def _detect(self, light: np.ndarray, times_us: np.ndarray) -> None:
        """Keep the events of these frames; where they exceed the buffers, longer ones are made."""
        before = self._state.copy()
        while True:
            n = kernel.detect_changes(
                *(light, times_us, self._pattern.rise, self._pattern.fall, self._refractory_us),
                *(self._state, *self._buffers),
            )
            if n <= len(self._buffers[0]):
                break
            self._buffers = _make_buffers(n)
            self._state[:] = before
        pixels, t, p = (buffer[:n].copy() for buffer in self._buffers)
        self._events.append((pixels, t, p))


def _make_buffers(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.empty(n, np.int32), np.empty(n, np.int64), np.empty(n, np.uint8)
