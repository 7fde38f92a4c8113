"""Small random changes to recordings, so that training sees more than it has."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eventsnn.errors import TrainingError
from eventsnn.events.stream import SensorSize


@dataclass(frozen=True)
class Augmentation:
    """Random shift, loss of events and stretching of time, drawn anew for every recording.

    Parameters
    ----------
    shift : int
        Largest shift, pixels; drawn uniformly from -shift..shift for each axis. Events that leave the sensor
        are dropped. An axis of one pixel is not shifted.
    drop : float
        Probability of an event to be dropped, 0 <= drop < 1.
    time_scale : float
        All times are multiplied by a factor drawn uniformly from 1 - time_scale .. 1 + time_scale,
        0 <= time_scale < 1.

    Raises
    ------
    TrainingError
        A parameter is out of its range.
    """

    shift: int = 0
    drop: float = 0.0
    time_scale: float = 0.0

    def __post_init__(self) -> None:
        if not (isinstance(self.shift, int) and self.shift >= 0):
            raise TrainingError(
                f"augmentation: shift must be a whole number of pixels, 0 or more: got {self.shift}"
            )
        for name in ("drop", "time_scale"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and 0 <= value < 1):
                raise TrainingError(f"augmentation: {name} must be 0 or more and less than 1: got {value!r}")

    def apply(self, events: np.ndarray, sensor_size: SensorSize, rng: np.random.Generator) -> np.ndarray:
        """Return changed events.

        Parameters
        ----------
        events : structured ndarray of shape (n,)
            Fields x, y, t (microseconds) and more, sorted by t; left as it is.
        sensor_size : tuple of 3 int
            Width, height, polarities.
        rng : numpy.random.Generator
            Where chance comes from.

        Returns
        -------
        structured ndarray of shape (m,), m <= n
            Same dtype, still sorted by t.
        """
        moved = {
            name: self._move(events[name], size, rng) for name, size in zip("xy", sensor_size, strict=False)
        }
        keep = np.ones(len(events), bool)
        for name, size in zip("xy", sensor_size, strict=False):
            keep &= (moved[name] >= 0) & (moved[name] < size)
        if self.drop:
            keep &= rng.random(len(events)) >= self.drop
        changed = events[keep]
        for name in "xy":
            changed[name] = moved[name][keep]
        if self.time_scale:
            # Rounding keeps the order: a positive factor and rounding are both monotone.
            changed["t"] = np.rint(changed["t"] * rng.uniform(1 - self.time_scale, 1 + self.time_scale))
        return changed

    def _move(self, address: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """Return the addresses along one axis, shifted by a random number of pixels."""
        if not self.shift or size == 1:
            return address
        return address.astype(np.int64) + rng.integers(-self.shift, self.shift, endpoint=True)
