"""Motion of an image over the sensor of the simulated camera: saccades, and arbitrary paths.

Flash, Hogan (1985). The coordination of arm movements: an experimentally confirmed mathematical model.
Journal of Neuroscience 5:1688 (minimum jerk).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_number
from eventsnn.errors import SimulationError

# A movement of exactly n steps must not be cut into n + 1 by the rounding of its times.
_STEP_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Saccade:
    """One movement of the image over the sensor.

    Parameters
    ----------
    start_ms, duration_ms : float
        When it begins, and how long it takes, milliseconds.
    dx_px, dy_px : float
        Where the image has moved when it ends, sensor pixels to the right and downwards.
    """

    start_ms: float
    duration_ms: float
    dx_px: float
    dy_px: float


@dataclass(frozen=True, init=False)
class MotionPath:
    """Displacement of an image over time: straight between the given points, at rest after the last.

    Parameters
    ----------
    times_ms : array_like of float, shape (n,), n >= 1
        Times of the points, milliseconds; the first is 0, each is later than the one before.
    dx_px, dy_px : array_like of float, shape (n,)
        Displacement at these times, sensor pixels to the right and downwards.

    Attributes
    ----------
    times_ms, dx_px, dy_px : tuple of float

    Raises
    ------
    SimulationError
        The three are not of one length, not finite, or the times do not increase from 0.
    """

    times_ms: tuple[float, ...]
    dx_px: tuple[float, ...]
    dy_px: tuple[float, ...]

    def __init__(self, times_ms: npt.ArrayLike, dx_px: npt.ArrayLike, dy_px: npt.ArrayLike) -> None:
        points = {"times_ms": times_ms, "dx_px": dx_px, "dy_px": dy_px}
        columns = {name: _as_column(name, values) for name, values in points.items()}
        times = columns["times_ms"]
        lengths = ", ".join(str(len(column)) for column in columns.values())
        if len({len(column) for column in columns.values()}) != 1:
            raise SimulationError(
                f"MotionPath: times_ms, dx_px and dy_px have {lengths} values; one each is needed"
            )
        if len(times) == 0 or times[0] != 0 or not (np.diff(times) > 0).all():
            raise SimulationError("MotionPath: times_ms must begin with 0 and increase from point to point")
        for name, column in columns.items():
            object.__setattr__(self, name, tuple(column.tolist()))

    @classmethod
    def standing_still(cls) -> MotionPath:
        """The path of an image that does not move."""
        return cls([0.0], [0.0], [0.0])

    @classmethod
    def minimum_jerk(cls, saccades: Sequence[Saccade], step_ms: float = 1.0) -> MotionPath:
        """A path of movements, one after the other, each of the smoothest form (Flash & Hogan).

        Parameters
        ----------
        saccades : sequence of Saccade
            In order of time; none starts before the one before it has ended.
        step_ms : float
            Largest distance of the points on a movement, milliseconds.

        Raises
        ------
        SimulationError
            Movements overlap or take no time, or `step_ms` is not positive.
        """
        check_number("MotionPath: step_ms", step_ms, SimulationError, above=0.0)
        times, dx, dy = [np.zeros(1)], [np.zeros(1)], [np.zeros(1)]
        end = 0.0
        for saccade in saccades:
            if not saccade.start_ms >= end or not saccade.duration_ms > 0:
                raise SimulationError(f"saccades must follow one another: {saccade} starts before {end} ms")
            end = saccade.start_ms + saccade.duration_ms
            u = np.linspace(0.0, 1.0, math.ceil(saccade.duration_ms / step_ms) + 1)
            form = u**3 * (10.0 - 15.0 * u + 6.0 * u**2)
            times.append(saccade.start_ms + saccade.duration_ms * u)
            dx.append(dx[-1][-1] + saccade.dx_px * form)
            dy.append(dy[-1][-1] + saccade.dy_px * form)
        joined = np.concatenate(times)
        # A movement that starts where the one before ends has that point twice.
        keep = np.concatenate(([True], np.diff(joined) > 0))
        return cls(joined[keep], np.concatenate(dx)[keep], np.concatenate(dy)[keep])

    def sample(self, end_ms: float, step_ms: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return times (us) and displacements in x and y (pixels), float64, from 0 to `end_ms`.

        All points of the path are among them, and more in between, `step_ms` apart or less; while the image
        stands still there are none, for nothing changes. `end_ms` is not before the path's last point.
        """
        times = np.append(self.times_ms, end_ms)
        dx, dy = np.append(self.dx_px, self.dx_px[-1]), np.append(self.dy_px, self.dy_px[-1])
        parts = np.ceil(np.diff(times) / step_ms - _STEP_TOLERANCE).astype(int)
        parts[(np.diff(dx) == 0) & (np.diff(dy) == 0)] = 1
        # Samples as fractional numbers of points: 0, 0.5, 1, ... if the first stretch is cut in two.
        at = np.concatenate(
            [k + np.arange(n) / n for k, n in enumerate(parts)] + [np.array([float(len(parts))])]
        )
        numbers = np.arange(len(times))
        sampled, x, y = (np.interp(at, numbers, column) for column in (times, dx, dy))
        keep = np.concatenate(([True], np.diff(sampled) > 0))  # the end may be the last point once more
        return 1000.0 * sampled[keep], x[keep], y[keep]


def _as_column(name: str, values: npt.ArrayLike) -> np.ndarray:
    try:
        column = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise SimulationError(f"MotionPath: {name} must be numbers") from None
    if column.ndim != 1 or not np.isfinite(column).all():
        raise SimulationError(f"MotionPath: {name} must be a row of finite numbers: got shape {column.shape}")
    return column
