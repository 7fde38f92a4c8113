"""Parts of a recording: a region of its sensor, coarser pixels, one polarity, an interval of time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eventsnn._util.arguments import check_flag, check_whole, is_whole, to_float
from eventsnn._util.numbers import describe
from eventsnn.errors import EventStreamError
from eventsnn.events.stream import EventStream, SensorSize

MOST_PIXELS = 2**15 - 1
"""Of a sensor in one direction: addresses are int16."""


def _is_rectangle(crop: object) -> bool:
    """Whether this is (x0, y0, x1, y1), with a pixel between the two corners."""
    if not isinstance(crop, tuple) or len(crop) != 4 or not all(is_whole(value) for value in crop):
        return False
    x0, y0, x1, y1 = crop
    return bool(0 <= x0 < x1 and 0 <= y0 < y1)


@dataclass(frozen=True)
class Region:
    """The part of a recording that is kept, and the sensor that remains.

    Parameters
    ----------
    crop : (x0, y0, x1, y1), optional
        Pixels x0 <= x < x1, y0 <= y < y1 are kept and counted from (x0, y0).
    downsample : int
        After that, squares of this many pixels a side become one pixel; every event is kept.
    t_from, t_until : float
        ms from the recording's origin (`eventsnn.events.origin`); events with t_from <= t < t_until are kept,
        their times unchanged.
    merge_polarities : bool
        Whether the events then lie on a sensor of one polarity, with p = 0.

    Raises
    ------
    EventStreamError
        Naming the parameter that makes no sense.
    """

    crop: tuple[int, int, int, int] | None = None
    downsample: int = 1
    t_from: float = 0.0
    t_until: float = math.inf
    merge_polarities: bool = False

    def __post_init__(self) -> None:
        if self.crop is not None and not _is_rectangle(self.crop):
            raise EventStreamError(
                f"crop must be x0,y0,x1,y1 with 0 <= x0 < x1 and 0 <= y0 < y1, got {describe(self.crop)}"
            )
        check_whole("downsample", self.downsample, EventStreamError, 1, MOST_PIXELS)
        check_flag("merge_polarities", self.merge_polarities, EventStreamError)
        if not 0.0 <= to_float(self.t_from) < to_float(self.t_until):
            raise EventStreamError(
                "from and until must be times with 0 <= from < until, "
                f"got {describe(self.t_from)} and {describe(self.t_until)} ms"
            )

    @property
    def is_whole(self) -> bool:
        """Whether everything is kept as it is."""
        return self == _WHOLE

    def sensor(self, size: SensorSize) -> SensorSize:
        """The sensor that the events of a sensor of `size` then lie on.

        Raises EventStreamError if the crop reaches beyond it.
        """
        width, height, polarities = size
        if self.crop is not None:
            x0, y0, x1, y1 = self.crop
            if x1 > width or y1 > height:
                raise EventStreamError(
                    f"crop {x0},{y0},{x1},{y1} reaches beyond the {width} x {height} sensor"
                )
            width, height = x1 - x0, y1 - y0
        n = self.downsample
        return -(-width // n), -(-height // n), 1 if self.merge_polarities else polarities

    def cut(self, part: EventStream, origin_us: int | None = None) -> EventStream:
        """Those events of a stream that are kept, on the new sensor; `origin_us` is the recording's."""
        if self.is_whole:
            return part
        events = part.events
        if self.t_from > 0.0 or self.t_until < math.inf:
            times = part.times_ms(origin_us or 0)
            first, last = np.searchsorted(times, [self.t_from, self.t_until])
            events = events[first:last]
        if self.crop is not None:
            x0, y0, x1, y1 = self.crop
            x, y = events["x"], events["y"]
            events = events[(x >= x0) & (x < x1) & (y >= y0) & (y < y1)]
            events["x"] -= x0
            events["y"] -= y0
        if self.downsample > 1:
            events = events.copy()
            events["x"] //= self.downsample
            events["y"] //= self.downsample
        if self.merge_polarities:
            events = events.copy()
            events["p"] = 0
        begun = part._begun if origin_us is None else origin_us
        return EventStream._trusted(events, self.sensor(part.sensor_size), begun)


_WHOLE = Region()
