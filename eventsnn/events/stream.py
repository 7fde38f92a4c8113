"""`EventStream`: a recording in memory, the same for every file format, data set and camera."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from eventsnn._util import html
from eventsnn._util.arguments import check_whole, to_float
from eventsnn._util.numbers import describe
from eventsnn._util.words import number_of
from eventsnn.errors import EventStreamError
from eventsnn.events.checks import SensorSize as SensorSize
from eventsnn.events.checks import check_events, find_sensor, to_polarities, to_vector, to_whole_numbers
from eventsnn.events.checks import check_sensor_size as check_sensor_size
from eventsnn.events.fields import REMEDY, find_fields, to_microseconds
from eventsnn.events.origin import find_origin

# Field names and order are tonic's. Aligned, so that a C struct of the same members describes one event.
EVENT_DTYPE = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.uint8)], align=True)
"""One event: x, y (pixels, origin top left), t (microseconds), p (polarity, 1 = brighter)."""


@dataclass(frozen=True, eq=False)
class EventStream:
    """Address events of one recording, in order of time.

    Parameters
    ----------
    events : ndarray of shape (n,), dtype EVENT_DTYPE
        Times are microseconds and never decrease; 0 <= x < width, 0 <= y < height, 0 <= p < polarities.
        The stream makes this array read-only. `n` may be 0.
    sensor_size : tuple of 3 int
        Width, height and number of polarities of the sensor.

    Raises
    ------
    EventStreamError
        The events break one of these rules; the text names the first event that does.

    Notes
    -----
    The constructor takes the array as it is. `from_arrays` and `from_structured` convert and copy.
    """

    events: np.ndarray
    sensor_size: SensorSize
    # The origin of the recording that this is a part of; None: that of the events here.
    _begun: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        if (
            not isinstance(self.events, np.ndarray)
            or self.events.dtype != EVENT_DTYPE
            or self.events.ndim != 1
        ):
            raise EventStreamError(
                "events must be a one-dimensional array of EVENT_DTYPE; "
                "use EventStream.from_structured or EventStream.from_arrays to convert"
            )
        object.__setattr__(self, "sensor_size", check_sensor_size(self.sensor_size))
        check_events(self.events, self.sensor_size)
        self.events.flags.writeable = False

    @classmethod
    def from_arrays(
        cls,
        t: npt.ArrayLike,
        x: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        p: npt.ArrayLike | None = None,
        *,
        sensor_size: tuple[int, ...] | None = None,
    ) -> EventStream:
        """Build a stream from one array per field, which are copied.

        Parameters
        ----------
        t : array_like of shape (n,) or (n, 1)
            Times, microseconds, whole numbers, never decreasing.
        x, y : array_like of shape (n,) or (n, 1)
            Pixel addresses. Without `y` the sensor is a line of height 1 (a silicon cochlea).
        p : array_like of shape (n,) or (n, 1), optional
            Polarities: OFF and ON as 0 and 1, -1 and 1 (also unsigned, 255), 1 and 2, bool, or words such as
            "OFF" and "ON". Without it there is one polarity.
        sensor_size : tuple of 3 int, optional
            Width, height, polarities. Left out, the smallest sensor that holds the events, with 2
            polarities when `p` is given. A sensor with one polarity keeps no `p`: it must be the same
            for all events and becomes 0 (as in tonic's SHD, whose polarity is 1 throughout); see
            `merge_polarities` for other events. With more than two, `p` are their numbers from 0.

        Raises
        ------
        EventStreamError
            Arrays of different lengths, numbers that are not whole, or events that break the stream's rules.
        """
        columns = {"t": to_whole_numbers("t", t), "x": to_whole_numbers("x", x)}
        n = len(columns["t"])
        columns["y"] = np.zeros(n, np.int64) if y is None else to_whole_numbers("y", y)
        columns["p"] = np.zeros(n, np.int64) if p is None else to_vector("p", p)
        for name, column in columns.items():
            if len(column) != n:
                raise EventStreamError(f"one {name} per event is needed: {len(column)} {name} for {n} t")
        size = None if sensor_size is None else check_sensor_size(sensor_size)
        if p is not None:
            columns["p"] = to_polarities(columns["p"], None if size is None else size[2])
        if size is None:
            size = find_sensor(columns, polarities=1 if p is None else 2)
        check_events(columns, size)
        events = np.empty(n, EVENT_DTYPE)
        for name, column in columns.items():
            events[name] = column
        return cls._trusted(events, size)

    @classmethod
    def from_structured(cls, array: npt.ArrayLike, sensor_size: tuple[int, ...] | None = None) -> EventStream:
        """Build a stream from a structured array with fields t, x and perhaps y and p, as tonic gives it.

        Fields are found by name; their order and dtypes do not matter, and the usual other names will do
        (``ts``, ``timestamp``, ``t_us``, ``x_addr``, ``pol``, ``polarity``, ``on``: docs/formats.md). Times
        are microseconds unless the name says otherwise. Other fields are ignored, but not if none is the
        polarity: then one of them may be it. A pandas table will do as well. The array is copied. For
        `sensor_size` and the errors raised see `from_arrays`.
        """
        # pandas' tables are not arrays of fields, but can be converted to one.
        try:
            events = np.asarray(array.to_records(index=False) if hasattr(array, "to_records") else array)
        except ValueError:
            raise EventStreamError(
                f"a structured array with the fields t, x, [y], [p] is needed, got {type(array).__name__}"
            ) from None
        names = events.dtype.names or ()
        fields_by_role = find_fields(names, remedy=REMEDY)
        if fields_by_role is None:
            fields = ", ".join(names) if names else f"none (dtype {events.dtype}, shape {events.shape})"
            raise EventStreamError(
                f"a structured array with the fields t, x, [y], [p] is needed; fields here: {fields}"
                + ("" if names else "; from_arrays(t, x, y, p) takes one array per field")
            )
        columns = {role: events[names[k]] for role, k in fields_by_role.place.items()}
        if fields_by_role.unit not in (None, "us"):
            columns["t"] = to_microseconds(to_vector("t", columns["t"]), fields_by_role.unit)
        return cls.from_arrays(
            columns["t"], columns["x"], columns.get("y"), columns.get("p"), sensor_size=sensor_size
        )

    @classmethod
    def _trusted(cls, events: np.ndarray, sensor_size: SensorSize, begun: int | None = None) -> EventStream:
        """Wrap events whose maker has checked them already (a file decoder, a part of a stream).

        `begun` is the recording's origin, where its first events have been left out.
        """
        stream = object.__new__(cls)
        events.flags.writeable = False
        object.__setattr__(stream, "events", events)
        object.__setattr__(stream, "sensor_size", sensor_size)
        if begun is not None:
            object.__setattr__(stream, "_begun", begun)
        return stream

    def __len__(self) -> int:
        return len(self.events)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        # Without copy=True the caller gets the array itself; it is read-only, so the stream stays as it is.
        return np.array(self.events, dtype=dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EventStream):
            return NotImplemented
        return self.sensor_size == other.sensor_size and np.array_equal(self.events, other.events)

    __hash__ = None  # type: ignore[assignment]

    def __setstate__(self, state: dict[str, Any]) -> None:
        # NumPy forgets the read-only flag when it pickles an array.
        state["events"].flags.writeable = False
        self.__dict__.update(state)

    def __repr__(self) -> str:
        width, height, polarities = self.sensor_size
        span = "" if len(self) == 0 else f", t {self.t_first} .. {self.t_last} us"
        return f"EventStream({number_of(len(self), 'event')}, sensor {width} x {height} x {polarities}{span})"

    def _repr_html_(self) -> str:
        width, height, polarities = self.sensor_size
        length = 0.0 if self.t_first is None or self.t_last is None else (self.t_last - self.t_first) / 1000.0
        is_on = self.events["p"] > 0 if polarities > 1 else np.ones(len(self), bool)
        pixel = self.events["y"].astype(np.int64) * width + self.events["x"]
        maps = [
            np.bincount(pixel[chosen], minlength=width * height).reshape(height, width)
            for chosen in (is_on, ~is_on)
        ]
        table = [
            ("sensor", f"{width} x {height} x {polarities}"),
            ("events", f"{len(self):,}"),
            ("length (ms)", f"{length:,.3f}"),
            ("events/ms", f"{len(self) / length:,.1f}" if length else "-"),
        ]
        return html.describe("EventStream: events per pixel", table, html.paint(*maps), head=False)

    @property
    def t_first(self) -> int | None:
        """Time of the first event, microseconds; None for an empty stream."""
        return int(self.events["t"][0]) if len(self) else None

    @property
    def t_last(self) -> int | None:
        """Time of the last event, microseconds; None for an empty stream."""
        return int(self.events["t"][-1]) if len(self) else None

    @property
    def duration(self) -> int:
        """Microseconds from the first event to the last; 0 for an empty stream."""
        return int(self.events["t"][-1]) - int(self.events["t"][0]) if len(self) else 0

    @property
    def first_ms(self) -> float | None:
        """Time of the first event, ms; None for an empty stream."""
        return None if self.t_first is None else self.t_first / 1000.0

    @property
    def last_ms(self) -> float | None:
        """Time of the last event, ms; None for an empty stream."""
        return None if self.t_last is None else self.t_last / 1000.0

    @property
    def duration_ms(self) -> float:
        """Time from the first event to the last, ms; 0 for an empty stream."""
        return self.duration / 1000.0

    @property
    def on_fraction(self) -> float | None:
        """Fraction of the events with p = 1; None for an empty stream."""
        return float(np.mean(self.events["p"] == 1)) if len(self) else None

    @property
    def n_inputs(self) -> int:
        """Number of input addresses, width * height * polarities."""
        width, height, polarities = self.sensor_size
        return width * height * polarities

    def window(self, t_from: float, t_until: float) -> EventStream:
        """Events with t_from <= t < t_until (microseconds); times are kept. A view, not a copy."""
        if not t_from <= t_until:
            raise EventStreamError(f"a window must not end before it starts: got {t_from} .. {t_until} us")
        first, last = np.searchsorted(self.events["t"], (t_from, t_until))
        return EventStream._trusted(self.events[first:last], self.sensor_size)

    def merge_polarities(self) -> EventStream:
        """The same events on a sensor of one polarity, p = 0 throughout; a copy."""
        events = self.events.copy()
        events["p"] = 0
        return EventStream._trusted(events, (*self.sensor_size[:2], 1), self._begun)

    @property
    def origin_us(self) -> int:
        """What simulation and training subtract from the times, microseconds: 0 for a recording that begins
        within the first second of its clock, else the time of its first event; see
        `eventsnn.events.origin`. What was read of a part has the origin of the whole recording.

        Raises EventStreamError if the recording begins before 0.
        """
        if self._begun is not None and (self.t_first is None or self.t_first >= self._begun):
            return self._begun
        return find_origin(self.events["t"])

    def shifted(self, start: int = 0) -> EventStream:
        """The same events, all moved by the same time so that the first is at `start` (microseconds).

        Raises EventStreamError if a time would leave the range of int64.
        """
        start = check_whole("start", start, EventStreamError, -(2**63), 2**63 - 1, "microseconds")
        if self.t_first is None:
            return self
        if start > 2**63 - 1 - self.duration:
            raise EventStreamError(
                f"a recording of {self.duration} us cannot begin at {start} us: int64 does not hold its end"
            )
        events = self.events.copy()
        # Either may wrap around int64 on the way; in the end all is inside again.
        events["t"] -= self.events["t"][0]
        events["t"] += np.int64(start)
        return EventStream._trusted(events, self.sensor_size)

    def between(self, from_ms: float, until_ms: float = math.inf) -> EventStream:
        """Events with from_ms <= t < until_ms, in ms; times are kept. A view, not a copy."""
        if not to_float(from_ms) <= to_float(until_ms):
            raise EventStreamError(
                "between needs two times in ms, the second not before the first: "
                f"got {describe(from_ms)} and {describe(until_ms)}"
            )
        # 4.035 ms are 4035 us, and 1000 * 4.035 is a little more in floating point.
        times_us = (1000.0 * t - 1e-6 for t in (from_ms, until_ms))
        first, last = (math.ceil(t) if math.isfinite(t) else t for t in times_us)
        return self.window(first, last)

    def chunks(self, n: int) -> Iterator[EventStream]:
        """Iterate over consecutive parts of `n` events each (the last may be shorter); views, not copies."""
        if n < 1:
            raise EventStreamError(f"a chunk must hold at least one event: got n={n}")
        for start in range(0, len(self), n):
            yield EventStream._trusted(self.events[start : start + n], self.sensor_size, self._begun)

    def input_indices(self) -> npt.NDArray[np.int32]:
        """Input neuron of each event, ``p*W*H + y*W + x``; int32 of shape (n,)."""
        width, height, _ = self.sensor_size
        indices = self.events["p"].astype(np.int32)
        indices *= height
        indices += self.events["y"]
        indices *= width
        indices += self.events["x"]
        return indices

    def times_ms(self, origin_us: int = 0) -> npt.NDArray[np.float64]:
        """Times in milliseconds from `origin_us` (microseconds) on, ``(t - origin_us) / 1000``.

        float64 of shape (n,). Without an origin, times since 1970 lose their last digits.
        """
        t = self.events["t"]
        return (t - np.int64(origin_us) if origin_us else t) / 1000.0
