"""Small random changes to recordings, so that training sees more than it has.

Training itself uses the kernel ``cython_ext/prepare.pyx``; `Augmentation.apply` is its twin, to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eventsnn.data.draws import AUGMENT, draw, draw_many, make_key, threshold, to_range, to_unit
from eventsnn.errors import TrainingError
from eventsnn.events.stream import SensorSize

SHIFT_X, SHIFT_Y, TIME, DROP = range(4)
"""Draws of a recording, by number: what each decides. That of DROP is the key of one draw per event."""

_LARGEST_SHIFT = 2**15


@dataclass(frozen=True)
class Augmentation:
    """Random shift, loss of events and stretching of time, drawn anew for every recording and epoch.

    All draws are independent and named by (seed, epoch, recording, purpose, event): see
    `eventsnn.data.draws`. Events are numbered from 0 in the order of the recording, before any is dropped.

    Parameters
    ----------
    shift : int
        Largest shift, pixels, at most 32768; one whole number per recording and axis, uniform in
        -shift..shift. Events that leave the sensor are dropped. An axis of one pixel is not shifted.
    drop : float
        Probability of an event to be dropped, 0 <= drop < 1; one draw per event.
    time_scale : float
        All times are multiplied by a factor uniform in 1 - time_scale .. 1 + time_scale (one per recording),
        0 <= time_scale < 1, and rounded to whole microseconds, ties to even.

    Raises
    ------
    TrainingError
        A parameter is out of its range.
    """

    shift: int = 0
    drop: float = 0.0
    time_scale: float = 0.0

    def __post_init__(self) -> None:
        if not (isinstance(self.shift, int) and 0 <= self.shift <= _LARGEST_SHIFT):
            raise TrainingError(
                f"augmentation: shift must be a whole number of pixels, 0 or more: got {self.shift} "
                f"(the largest is {_LARGEST_SHIFT})"
            )
        for name in ("drop", "time_scale"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and 0 <= value < 1):
                raise TrainingError(f"augmentation: {name} must be 0 or more and less than 1: got {value!r}")

    def apply(
        self, events: np.ndarray, sensor_size: SensorSize, seed: int, epoch: int = 0, index: int = 0
    ) -> np.ndarray:
        """Return changed events: those that training sees of recording `index` in this epoch under this seed.

        Parameters
        ----------
        events : structured ndarray of shape (n,)
            Fields x, y, t (microseconds) and more, sorted by t; left as it is.
        sensor_size : tuple of 3 int
            Width, height, polarities.
        seed, epoch, index : int
            Name the draws (0 or more): the same three give the same changes.

        Returns
        -------
        structured ndarray of shape (m,), m <= n
            Same dtype, still sorted by t.
        """
        key = make_key(seed, AUGMENT, epoch, index)
        keep = np.ones(len(events), bool)
        moved = {}
        for name, size, purpose in zip("xy", sensor_size, (SHIFT_X, SHIFT_Y), strict=False):
            moved[name] = events[name].astype(np.int64) + self._shift(size, draw(key, purpose))
            keep &= (moved[name] >= 0) & (moved[name] < size)
        if self.drop:
            keep &= draw_many(draw(key, DROP), len(events)) >> np.uint64(11) >= threshold(self.drop)
        changed = events[keep]
        for name in "xy":
            changed[name] = moved[name][keep]
        if self.time_scale:
            # Rounding keeps the order: a positive factor and rounding are both monotone.
            factor = 1.0 + self.time_scale * (2.0 * to_unit(draw(key, TIME)) - 1.0)
            changed["t"] = np.rint(changed["t"] * factor)
        return changed

    def _shift(self, size: int, bits: int) -> int:
        """Pixels by which an axis of `size` pixels is shifted under a draw."""
        return to_range(bits, 2 * self.shift + 1) - self.shift if size > 1 else 0
