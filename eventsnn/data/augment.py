"""Augmentation: small random changes to recordings, which make few recordings go further.

In training the kernel ``cython_ext/io/prepare.pyx`` computes shift, drop and time_scale; `Augmentation.apply`
is its twin and gives the same bits. The changes before them (`Augmentation.prepare`) are NumPy for both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, asdict, dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from eventsnn._util.arguments import check_number, check_numbers, check_whole
from eventsnn._util.numbers import check_magnitudes
from eventsnn.data.draws import AUGMENT, draw, draw_many, make_key, threshold, to_range, to_unit, to_whole
from eventsnn.data.transforms import Transforms, check_transforms
from eventsnn.errors import TrainingError
from eventsnn.events.origin import from_origin
from eventsnn.events.stream import SensorSize

SHIFT_X, SHIFT_Y, TIME, DROP, JITTER, FLIP, TRANSFORMS, TIME_SHIFT, MASK_X, MASK_TIME = range(10)
"""Draws of a recording, by number: what each decides. DROP's and JITTER's are keys of one draw per event,
those of the masks are keys of a draw for the width and one for the place."""

_LARGEST_SHIFT = 2**15
_BOUNDS: dict[str, dict[str, float]] = {
    "drop": {"least": 0.0, "below": 1.0},
    "time_scale": {"least": 0.0, "below": 1.0},
    "jitter": {"least": 0.0, "most": 1e6},
    "flip": {"least": 0.0, "most": 1.0},
    "time_shift": {"least": 0.0, "most": 1e12},
    "mask_time": {"least": 0.0, "most": 1e12},
}


@dataclass(frozen=True)
class Augmentation:
    """Random changes of recordings, drawn again for every recording and epoch.

    In this order: `transforms`, `jitter`, `flip`, `time_shift`, `mask_x`, `mask_time`, `shift`, `drop`,
    `time_scale`.

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
    jitter : float
        Standard deviation, microseconds, of what is added to the time of each event: a sum of four uniform
        numbers, near to a Gaussian and at most 3.5 standard deviations. No time becomes less than 0; events
        are sorted again.
    flip : float
        Probability of a recording to have ON and OFF exchanged, 0 .. 1.
    time_shift : float
        Largest shift in time, microseconds: all events of a recording move by one whole number, uniform in
        -time_shift .. time_shift. Events that would be before 0 are dropped.
    mask_x : int
        Most columns to mask, such as channels of a cochlea: events of 0 .. mask_x neighbouring columns are
        dropped, all widths equally likely, at any place within the sensor.
    mask_time : float
        Longest time to mask, microseconds: the same for 0 .. mask_time microseconds, anywhere between 0 and
        the last event. Both masks as in SpecAugment (Park et al., Interspeech 2019).
    transforms : sequence of dict
        Transforms of tonic with their arguments, ``{"name": "SpatialJitter", "var_x": 0.5, "var_y": 0.5}``;
        see `eventsnn.data.transforms`.
    jitter_ms, time_shift_ms, mask_time_ms : float, optional
        Instead of `jitter`, `time_shift` and `mask_time`, ms.

    Raises
    ------
    TrainingError
        A parameter is out of its range.
    """

    shift: int = 0
    drop: float = 0.0
    time_scale: float = 0.0
    jitter: float = 0.0
    flip: float = 0.0
    transforms: Sequence[Mapping[str, Any]] = field(default=(), hash=False)
    jitter_ms: InitVar[float | None] = None
    time_shift: float = 0.0
    mask_x: int = 0
    mask_time: float = 0.0
    time_shift_ms: InitVar[float | None] = None
    mask_time_ms: InitVar[float | None] = None

    def __post_init__(
        self, jitter_ms: float | None, time_shift_ms: float | None, mask_time_ms: float | None
    ) -> None:
        check_magnitudes(self, TrainingError, "augmentation: ")
        times_ms = {"jitter": jitter_ms, "time_shift": time_shift_ms, "mask_time": mask_time_ms}
        for name, value in times_ms.items():
            if value is not None:
                value_ms = check_number(f"augmentation: {name}_ms", value, TrainingError)
                object.__setattr__(self, name, 1000.0 * value_ms)
        for name in ("shift", "mask_x"):
            most = _LARGEST_SHIFT
            check_whole(f"augmentation: {name}", getattr(self, name), TrainingError, 0, most, "pixels")
        check_numbers(self, _BOUNDS, TrainingError, "augmentation: ")
        check_transforms(self.transforms)
        # Plain lists and dicts compare equal to what a checkpoint gives back.
        object.__setattr__(self, "transforms", [dict(transform) for transform in self.transforms])

    def to_table(self) -> dict[str, Any]:
        """The fields; those that checkpoints of earlier versions do not have only where they are used."""
        later = ("time_shift", "mask_x", "mask_time")
        return {name: value for name, value in asdict(self).items() if value or name not in later}

    def make_transforms(self, sensor_size: SensorSize) -> Transforms:
        """The `transforms` for a sensor; TrainingError for an unknown transform."""
        return _find_transforms(json.dumps(self.transforms), sensor_size)

    @property
    def prepares(self) -> bool:
        """Whether `prepare` changes anything."""
        early = (self.transforms, self.jitter, self.flip, self.time_shift, self.mask_x, self.mask_time)
        return any(early)

    def prepare(
        self, events: np.ndarray, sensor_size: SensorSize, seed: int, epoch: int = 0, index: int = 0
    ) -> np.ndarray:
        """The steps of `apply` before the shift. Same arguments, same errors."""
        key = make_key(seed, AUGMENT, epoch, index)
        changed = events
        if self.transforms:
            changed = self.make_transforms(sensor_size)(changed, draw(key, TRANSFORMS))
        if self.jitter and len(changed):
            changed = _shake(changed, self.jitter, draw(key, JITTER))
        if sensor_size[2] == 2 and (draw(key, FLIP) >> 11) < threshold(self.flip):
            changed = changed.copy()
            changed["p"] = 1 - changed["p"]
        if self.time_shift:
            changed = _shift_time(changed, int(self.time_shift), draw(key, TIME_SHIFT))
        if self.mask_x:
            changed = _mask(changed, "x", sensor_size[0], self.mask_x, draw(key, MASK_X))
        if self.mask_time and len(changed):
            changed = _mask(
                changed, "t", int(changed["t"][-1]) + 1, int(self.mask_time), draw(key, MASK_TIME)
            )
        return changed

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
            Same dtype, still sorted by t, which is counted from the recording's origin
            (`eventsnn.events.origin`).

        Raises
        ------
        TrainingError
            A transform of tonic's cannot be made, or fails.
        EventStreamError
            The recording begins before 0.
        """
        events = self.prepare(from_origin(events), sensor_size, seed, epoch, index)
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


def _shake(events: np.ndarray, deviation: float, key: int) -> np.ndarray:
    """Events with a random number added to each time, sorted again; simultaneous events keep their order.

    A draw has four parts of 16 bits; the sum of four uniform numbers of variance 1/12 has the variance 1/3
    (Irwin 1927, Hall 1927). Whole numbers up to the last step: the same bits on every machine.
    """
    bits = draw_many(key, len(events))
    parts = [(bits >> np.uint64(16 * k) & np.uint64(0xFFFF)).astype(np.int64) for k in range(4)]
    deviates = (sum(parts) - 2 * 65535) * (math.sqrt(3.0) / 65536.0)
    changed = events.copy()
    moved = events["t"] + np.rint(deviation * deviates).astype(np.int64)
    changed["t"] = np.maximum(moved, 0)
    return changed[np.argsort(changed["t"], kind="stable")]


def _shift_time(events: np.ndarray, most: int, bits: int) -> np.ndarray:
    """Events moved by a whole number of microseconds, uniform in -most .. most; without those before 0."""
    shift = to_whole(bits, 2 * most + 1) - most
    changed = events[events["t"] >= -shift]
    changed["t"] += shift
    return changed


def _mask(events: np.ndarray, name: str, size: int, most: int, key: int) -> np.ndarray:
    """Events without those of a range of a field, of a width uniform in 0 .. most, within 0 .. size - 1."""
    width = min(to_whole(draw(key, 0), most + 1), size)
    first = to_whole(draw(key, 1), size - width + 1)
    place = events[name].astype(np.int64)
    return events[(place < first) | (place >= first + width)]


@lru_cache(maxsize=8)
def _find_transforms(text: str, sensor_size: SensorSize) -> Transforms:
    """The transforms of an augmentation, given as JSON, made once."""
    return Transforms(json.loads(text), sensor_size)
