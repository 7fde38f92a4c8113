"""Yin-Yang: points in the plane in three classes, as first-spike times; generated, nothing is read."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eventsnn._ext.records import Records, from_events
from eventsnn._util.arguments import check_choice, check_time, check_whole
from eventsnn.data.source import Source
from eventsnn.errors import TrainingError
from eventsnn.events.stream import EventStream

RADIUS, DOT = 0.5, 0.1
CLASSES = ("yin", "yang", "dot")
SPLITS = {"train": (5000, 42), "valid": (1000, 41), "test": (1000, 40)}
"""Points and seed of each split."""


class YinYang(Source):
    """The Yin-Yang data set, coded as five spikes per point; a `LabelledSource`.

    Inputs 0 to 3 fire at ``early + (late - early) v`` for v = x, y, 1 - x, 1 - y, in whole microseconds;
    input 4 fires at `bias` in every sample. Each point's class is drawn first, all three being equally
    likely, then points until one is of that class.

    Parameters
    ----------
    split : {"train", "valid", "test"}
        In place of a path: different points from the same distribution.
    samples : int, optional
        How many; 5000, 1000 and 1000 by default.
    early, late, bias : float
        Times of spikes, ms.

    Raises
    ------
    TrainingError
        Naming the parameter.

    References
    ----------
    L. Kriener, J. Goltz, M. A. Petrovici: The Yin-Yang dataset, NICE 2022.
    """

    def __init__(
        self,
        split: str | os.PathLike[str] = "train",
        samples: int | None = None,
        *,
        early: float = 10.0,
        late: float = 40.0,
        bias: float = 20.0,
    ) -> None:
        split = os.fspath(split)
        check_choice("split of yinyang", split, SPLITS, TrainingError)
        usual, seed = SPLITS[split]
        n = check_whole("samples", usual if samples is None else samples, TrainingError, 1)
        early, late, bias = (
            check_time(name, value, TrainingError)
            for name, value in (("early", early), ("late", late), ("bias", bias))
        )
        self.points, self.labels = draw_points(n, seed)
        values = np.column_stack([self.points, 1.0 - self.points])
        times = np.column_stack([early + (late - early) * values, np.full(n, bias)])
        self.times_us: npt.NDArray[np.int64] = np.rint(1000.0 * times).astype(np.int64)
        self.sensor_size, self.classes = (5, 1, 1), CLASSES
        self.paths: Sequence[str] = [f"yinyang/{split}[{index}]" for index in range(n)]
        self._streams = [self._make(row) for row in self.times_us]

    def _make(self, times: npt.NDArray[np.int64]) -> EventStream:
        order = np.argsort(times, kind="stable")
        return EventStream.from_arrays(
            times[order], order, np.zeros_like(order), sensor_size=self.sensor_size
        )

    def stream(self, index: int) -> EventStream:
        """Return the spikes of point `index`."""
        return self._streams[index]

    def load(self, indices: npt.NDArray[np.int64]) -> Records:
        """See `RecordSource.load`."""
        return from_events([self._streams[index].events for index in indices.tolist()])


def draw_points(n: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """(points in the unit square, (n, 2); their classes, (n,)), one third of each class on average."""
    random = np.random.RandomState(seed)  # whose numbers are the same in every version of NumPy
    points, labels = np.empty((n, 2)), np.empty(n, np.int64)
    for index in range(n):
        labels[index] = random.randint(len(CLASSES))
        while True:
            x, y = random.rand(2)
            if find_class(x, y) == labels[index]:
                break
        points[index] = x, y
    return points, labels


def find_class(x: float, y: float) -> int | None:
    """Class of a point, index of `CLASSES`; None outside the circle of radius 0.5 around (0.5, 0.5).

    A point is a dot within 0.1 of (0.25, 0.5) or (0.75, 0.5). Yang is the upper half, less the half disc
    around the right dot, with the one around the left dot; both have radius 0.25.
    """
    if np.hypot(x - RADIUS, y - RADIUS) > RADIUS:
        return None
    left, right = np.hypot(x - 0.5 * RADIUS, y - RADIUS), np.hypot(x - 1.5 * RADIUS, y - RADIUS)
    if min(left, right) < DOT:
        return 2
    yang = left <= 0.5 * RADIUS or (y > RADIUS and right > 0.5 * RADIUS)
    return int(yang)
