"""The check of events in arrays: the NumPy twin of ``put`` in cython_ext/io/decode.pxd."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from eventsnn._ext.decode_records import take_packed
from eventsnn.errors import EventFileError
from eventsnn.events.formats.base import Anomalies, Options
from eventsnn.events.formats.columns import to_whole
from eventsnn.events.polarity import PolarityCode, PolarityError
from eventsnn.events.stream import EVENT_DTYPE, SensorSize

OTHER_SENSOR = (
    "for another sensor give its size (sensor=(1280, 720, 2), --sensor 1280x720x2), for a part of it a "
    "region (crop, --crop), or leave such events out (on_bad='skip', --on-bad skip)"
)
UNSORTED = (
    "sort the events (on_bad='sort', --on-bad sort), or leave such events out (on_bad='skip', --on-bad skip)"
)
"""What to do about a bad event, for texts."""

PACKED = np.dtype(
    {
        "names": ["t", "x", "y", "on"],
        "formats": ["<i8", "<i2", "<i2", "u1"],
        "offsets": [0, 8, 10, 12],
        "itemsize": 16,
    }
)
"""Events as AEDAT 4 has them."""

_LARGEST = 2**15
_NO_TIME = -(2**63)


class Validated:
    """What readers and decoders have in common whose events pass an `EventValidator`."""

    _validator: EventValidator

    @property
    def sensor(self) -> SensorSize | None:
        """Width, height, polarities; None if neither the file nor the caller states them."""
        return self._validator.sensor

    @property
    def anomalies(self) -> Anomalies:
        """Irregularities so far."""
        return self._validator.anomalies

    def close(self) -> None:
        """Nothing is open."""


class EventValidator:
    """Passes the good events of a recording on, and treats bad ones as the options say.

    Parameters
    ----------
    path : path
        Named in errors.
    options : Options
        `sensor` stands above the next parameter.
    sensor : tuple of 3 int, optional
        What the file says.
    """

    def __init__(self, path: str | os.PathLike[str], options: Options, sensor: SensorSize | None) -> None:
        self._path = path
        self._policy = options.on_bad
        self.sensor = options.sensor or sensor
        self.anomalies = Anomalies()
        self._before = _NO_TIME
        self._count = 0
        self._code: PolarityCode | None = None

    def admit(
        self, t: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike, p: npt.ArrayLike, unit: str = "event"
    ) -> np.ndarray:
        """Events that follow those before.

        Parameters
        ----------
        t, x, y : array_like of shape (n,)
            Whole numbers; times in microseconds.
        p : array_like of shape (n,)
            Polarities as the file has them; see `PolarityCode`.
        unit : str
            What the numbers in errors count.

        Returns
        -------
        ndarray of shape (m,), dtype EVENT_DTYPE
            With ``on_bad="skip"`` there may be fewer than n; with "sort" they are as yet unsorted.

        Raises
        ------
        EventFileError
            A bad event, with ``on_bad="error"``, or a polarity that is none; names its number.
        """
        columns = [np.asarray(column).astype(np.int64) for column in (t, x, y)]
        columns.append(self._polarities(p, unit))
        width, height = self.sensor[:2] if self.sensor else (_LARGEST, _LARGEST)
        inside = (columns[1] >= 0) & (columns[1] < width) & (columns[2] >= 0) & (columns[2] < height)
        if not inside.all():
            columns, inside = self._mend_addresses(columns, inside, width, height, unit)
        times = columns[0]
        latest = np.maximum.accumulate(np.concatenate(([self._before], times)))[:-1]
        late = times < latest
        if late.any():
            columns = self._mend_times(columns, late, latest, inside, unit)
        n = len(columns[0])
        events = np.empty(n, EVENT_DTYPE)
        events["t"], events["x"], events["y"], events["p"] = columns
        self._count += len(times)
        if n:
            self._before = max(self._before, int(events["t"].max()))
        return events

    def take_packed(self, records: np.ndarray, events: np.ndarray) -> bool:
        """Whether records of dtype `PACKED` are all good: then `events`, as many, are filled.

        If not, `admit_packed` says or mends what is wrong.
        """
        if self.sensor is None or self.sensor[2] != 2:
            return False
        width, height, _ = self.sensor
        good = take_packed(records.view(np.uint8), width, height, max(0, self._before), events)
        if good and len(events):
            self._count += len(events)
            self._before = int(events["t"][-1])
        return good

    def admit_packed(self, records: np.ndarray) -> np.ndarray:
        """Events of records of dtype `PACKED`, as `admit` has them."""
        t, x, y, p = (records[name] for name in PACKED.names or ())
        return self.admit(to_whole(self._path, "t", t), x, y, p)

    def admit_columns(
        self, columns: Mapping[str, np.ndarray], unit: str | None, offset: int = 0
    ) -> np.ndarray:
        """Events of columns t, x and perhaps y, p, as `admit` has them.

        Times are in `unit` (see `to_whole`), `offset` microseconds are added to them.
        """
        t = to_whole(self._path, "t", columns["t"], unit)
        if offset:
            t = to_whole(self._path, "t", t + offset)
        nothing = np.zeros(len(t), np.uint8)
        x, y = (to_whole(self._path, name, columns.get(name, nothing)) for name in "xy")
        return self.admit(t, x, y, columns.get("p", nothing))

    def _polarities(self, p: npt.ArrayLike, unit: str) -> np.ndarray:
        if self._code is None:  # a table of text knows its sensor only when its first line is read
            self._code = PolarityCode(self.sensor[2] if self.sensor else 2)
        try:
            return self._code.convert(p)
        except PolarityError as error:
            raise EventFileError(self._path, f"{unit} {self._count + error.at}: {error}") from None

    def _mend_addresses(
        self, columns: list[np.ndarray], inside: np.ndarray, width: int, height: int, unit: str
    ) -> tuple[list[np.ndarray], np.ndarray]:
        if self._policy in ("error", "sort"):
            at = int(np.argmin(inside))
            raise EventFileError(
                self._path,
                f"{unit} {self._count + at} at x={columns[1][at]}, y={columns[2][at]} is outside the "
                f"{width} x {height} sensor; {OTHER_SENSOR}",
            )
        self.anomalies.outside += int((~inside).sum())
        if self._policy == "skip":
            return [column[inside] for column in columns], np.ones(int(inside.sum()), bool)
        columns[1], columns[2] = columns[1].clip(0, width - 1), columns[2].clip(0, height - 1)
        return columns, inside

    def _mend_times(
        self, columns: list[np.ndarray], late: np.ndarray, latest: np.ndarray, inside: np.ndarray, unit: str
    ) -> list[np.ndarray]:
        if self._policy == "error":
            at = int(np.argmax(late))
            raise EventFileError(
                self._path,
                f"time runs backwards: {unit} {self._count + at} at {columns[0][at]} us is earlier than the "
                f"one before, at {latest[at]} us; {UNSORTED}",
            )
        # An event that is outside too has been counted.
        self.anomalies.backwards += int((late & inside).sum())
        if self._policy == "skip":
            return [column[~late] for column in columns]
        if self._policy == "sort":
            return columns
        return [np.maximum(columns[0], latest), *columns[1:]]
