"""Removal of the motion of N-MNIST's sensor: each event moves to its place on a sensor at rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn.errors import EventStreamError
from eventsnn.events.motion import MotionPath
from eventsnn.events.stream import EventStream, SensorSize

NMNIST_DRIFT = MotionPath(
    times_ms=[0.0, 105.0, 210.0, 315.0], dx_px=[0.0, 3.5, 7.0, 0.0], dy_px=[0.0, 7.0, 0.0, 0.0]
)
"""Three saccades of 105 ms at constant velocity, pixels to the right and downwards: the motion that the
program published with N-MNIST (Orchard et al., Frontiers in Neuroscience 9:437, 2015) takes out. HM2-BP's
authors and tonic's ``stabilize`` follow it."""

NMNIST_CENTRE = (4.0, 2.0)
"""Pixels to the right and downwards that bring the digit back to the middle, as tonic has them."""


@dataclass(frozen=True)
class Stabilisation:
    """Moves every event back by the image's displacement on the sensor at that time.

    An event of pixel (x, y) at time t goes to ``(x, y) - path(t) + centre``, rounded to the nearest pixel,
    halves to even; where that, before rounding, is beyond the first or last pixel, the event is dropped, as
    in tonic. Times, polarities and the order stay as they are.

    Parameters
    ----------
    path : MotionPath or "nmnist"
        Displacement of the image since time 0 of the recording, between the points in a straight line and
        after the last one as there; "nmnist" is `NMNIST_DRIFT` with the centre `NMNIST_CENTRE`.
    centre : (x, y)
        Pixels by which all events are moved besides.

    Raises
    ------
    EventStreamError
        The path is neither of the two.
    """

    path: MotionPath | str = "nmnist"
    centre: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        named = self.path == "nmnist"
        if not named and not isinstance(self.path, MotionPath):
            raise EventStreamError(f"stabilise: path must be a MotionPath or 'nmnist', got {self.path!r}")
        if named:
            object.__setattr__(self, "path", NMNIST_DRIFT)
        if self.centre is None:
            object.__setattr__(self, "centre", NMNIST_CENTRE if named else (0.0, 0.0))

    def check(self, sensor_size: SensorSize) -> None:
        """Raise EventStreamError for a sensor of one row, which has no y to move."""
        if sensor_size[1] == 1:
            raise EventStreamError(
                f"stabilise is for recordings of cameras, and the sensor is {tuple(sensor_size)}, one row"
            )

    def apply(self, events: np.ndarray, sensor_size: SensorSize) -> np.ndarray:
        """Events where they would be without the motion.

        Parameters
        ----------
        events : structured ndarray of shape (n,)
            Fields x, y, t (microseconds from the beginning of the recording) and more; left as it is.
        sensor_size : tuple of 3 int
            Width, height, polarities.

        Returns
        -------
        structured ndarray of shape (m,), m <= n
        """
        self.check(sensor_size)
        path, centre = self.path, self.centre
        assert isinstance(path, MotionPath)
        assert centre is not None
        times = np.asarray(events["t"]) / 1000.0
        changed, keep = events.copy(), np.ones(len(events), bool)
        for name, displacement, offset, size in zip(
            "xy", (path.dx_px, path.dy_px), centre, sensor_size, strict=False
        ):
            place = events[name] - np.interp(times, path.times_ms, displacement) + offset
            inside = (place >= 0) & (place <= size - 1)
            changed[name] = np.rint(np.where(inside, place, 0))
            keep &= inside
        kept: np.ndarray = changed[keep]
        return kept


def stabilise(
    stream: EventStream, path: MotionPath | str = "nmnist", centre: tuple[float, float] | None = None
) -> EventStream:
    """A recording without the motion of its sensor; see `Stabilisation` for the arguments.

    Raises
    ------
    EventStreamError
        The path is none, or the sensor has one row.
    """
    events = Stabilisation(path, centre).apply(stream.events, stream.sensor_size)
    return EventStream(events, stream.sensor_size)
