"""Reading options: one set for `read`, `open_events`, data folders and every command."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

import numpy as np

from eventsnn._util.arguments import check_choice, check_path, describe_unknown, is_whole
from eventsnn._util.numbers import check_magnitudes, describe
from eventsnn.errors import EventStreamError
from eventsnn.events.formats import OnBad, Options
from eventsnn.events.region import Region
from eventsnn.events.stream import EventStream, SensorSize, check_sensor_size

if TYPE_CHECKING:
    from eventsnn.events.recording import Recording

OnCut = Literal["warn", "error"]


class ReadingFields(TypedDict, total=False):
    """The fields of `ReadingOptions`, for functions that take them as keyword arguments."""

    sensor: tuple[int, ...] | None
    format: str | None
    columns: str | None
    stream: str | int | None
    sample: int | None
    on_bad: OnBad
    on_cut: OnCut | None
    t_from: float
    t_until: float
    crop: tuple[int, int, int, int] | None
    downsample: int
    merge_polarities: bool


# In experiment files and on the command line; "from" cannot be the name of a Python argument.
TABLE_NAMES = {"t_from": "from", "t_until": "until"}
_FIELD_NAMES = {text: name for name, text in TABLE_NAMES.items()}


@dataclass(frozen=True)
class ReadingOptions:
    """How recordings are read; the keyword arguments of `eventsnn.read` and `eventsnn.events.open_events`.

    Parameters
    ----------
    sensor : tuple of 3 int, optional
        Width, height, polarities of the recording, before `crop` and `downsample`. Left out, what the file
        says; else the format's own default (34 x 34 x 2 for N-MNIST); else the smallest sensor that holds
        the events.
    format : str, optional
        Name of the format; left out, it is told from the file's first bytes and its name.
    columns : str, optional
        Order and units of the columns of a table of text or an array without names: ``"t[s],x,y,p"``;
        units of t are s, ms, us (the default), ns.
    stream : str or int, optional
        Name or number of a stream of events, in files that hold several (cameras, topics, data sets).
    sample : int, optional
        Number of the recording, in files that hold several (SHD).
    on_bad : {"error", "skip", "clamp", "sort"}
        What to do about an event outside the sensor, or earlier than the one before it: raise; leave it
        out; take the nearest pixel, and the time of the event before; or put the events in order of time
        (stable, needs memory for the whole recording; an event outside the sensor still raises). The last
        three warn (EventFileWarning).
    on_cut : {"warn", "error"}, optional
        What to do about a record that is cut at the end of the file: leave it out with an EventFileWarning,
        or raise. Left out, "warn"; in data sets "error", as there a cut file is more likely a failed copy
        than the end of a recording.
    t_from, t_until : float
        ms from the recording's origin (`eventsnn.events.origin`: 0, or the first event of a recording that
        begins late); events with t_from <= t < t_until are kept, their times unchanged.
    crop : (x0, y0, x1, y1), optional
        Pixels x0 <= x < x1, y0 <= y < y1 are kept and counted from (x0, y0).
    downsample : int
        After that, squares of this many pixels a side become one pixel; every event is kept.
    merge_polarities : bool
        Whether the events are put on a sensor of one polarity, with p = 0.

    Raises
    ------
    EventStreamError
        A field that makes no sense; the text names it.
    """

    sensor: tuple[int, ...] | None = None
    format: str | None = None
    columns: str | None = None
    stream: str | int | None = None
    sample: int | None = None
    on_bad: OnBad = "error"
    on_cut: OnCut | None = None
    t_from: float = 0.0
    t_until: float = math.inf
    crop: tuple[int, int, int, int] | None = None
    downsample: int = 1
    merge_polarities: bool = False

    def __post_init__(self) -> None:
        check_magnitudes(self, EventStreamError)
        if self.sensor is not None:
            object.__setattr__(self, "sensor", check_sensor_size(self.sensor))
        if isinstance(self.crop, list | np.ndarray):
            object.__setattr__(self, "crop", tuple(self.crop))
        for name, value in (("format", self.format), ("columns", self.columns)):
            if value is not None and not isinstance(value, str):
                raise EventStreamError(f"{name} must be a text, got {describe(value)}")
        if self.stream is not None and not isinstance(self.stream, str) and not is_whole(self.stream):
            raise EventStreamError(f"stream must be a name or a number, got {describe(self.stream)}")
        if self.sample is not None and not is_whole(self.sample):
            raise EventStreamError(f"sample must be a whole number, got {describe(self.sample)}")
        check_choice("on_bad", self.on_bad, get_args(OnBad), EventStreamError)
        if self.on_cut is not None:
            check_choice("on_cut", self.on_cut, get_args(OnCut), EventStreamError)
        _ = self.region, self.decoding  # they check their fields

    @cached_property
    def region(self) -> Region:
        """The part of a recording that is kept."""
        return Region(self.crop, self.downsample, self.t_from, self.t_until, self.merge_polarities)

    @cached_property
    def decoding(self) -> Options:
        """The choices that concern the readers of file formats."""
        return Options(
            self._size,
            self.on_bad,
            self.on_cut or "warn",
            columns=self.columns,
            sample=self.sample,
            stream=self.stream,
        )

    @property
    def _size(self) -> SensorSize | None:
        return None if self.sensor is None else check_sensor_size(self.sensor)

    @property
    def whole_sensor(self) -> bool:
        """Whether events keep their addresses: no `crop`, `downsample` or `merge_polarities`."""
        return self.crop is None and self.downsample == 1 and not self.merge_polarities

    def for_input(self, size: SensorSize) -> ReadingOptions:
        """The same for a network with this input: the sensor of recordings that do not state theirs."""
        return replace(self, sensor=size) if self.sensor is None and self.whole_sensor else self

    def kept_sensor(self, size: SensorSize | None) -> SensorSize | None:
        """Sensor size after crop and downsampling, for recordings whose files state `size`; None if unknown.

        Raises EventStreamError if the crop reaches beyond the sensor.
        """
        known = self._size or size
        if known is None and self.crop is not None:
            known = (self.crop[2], self.crop[3], 2)
        return None if known is None else self.region.sensor(known)

    def open(self, path: str | os.PathLike[str]) -> Recording:
        """See `eventsnn.events.open_events`."""
        from eventsnn.events.formats import find_format
        from eventsnn.events.recording import Recording
        from eventsnn.events.unpack import unpack

        check_path("path", path, EventStreamError)
        options, unpacked = self.decoding, unpack(path, self.decoding)
        if unpacked is None:
            return Recording(path, find_format(path, self.format), options, self.region)
        if unpacked.chosen:
            options = replace(options, stream=None)
        try:
            known = find_format(unpacked.path, self.format)
            return Recording(unpacked.path, known, options, self.region, unpacked)
        except BaseException:
            unpacked.close()
            raise

    def read(self, path: str | os.PathLike[str]) -> EventStream:
        """See `eventsnn.read`."""
        with self.open(path) as recording:
            return recording.read()

    def given(self) -> ReadingFields:
        """The fields that are not the defaults, as keyword arguments: ``Folder(root, **options.given())``."""
        chosen = {known.name: getattr(self, known.name) for known in fields(self)}
        defaults = {known.name: known.default for known in fields(self)}
        return {name: value for name, value in chosen.items() if value != defaults[name]}  # type: ignore[return-value]

    def to_table(self) -> dict[str, Any]:
        """The fields that are not the defaults, as the table ``[reading]`` of an experiment file has them."""
        return {
            TABLE_NAMES.get(name, name): list(value) if isinstance(value, tuple) else value
            for name, value in self.given().items()
        }

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> ReadingOptions:
        """The inverse of `to_table`; raises EventStreamError for an unknown field or a value of the wrong
        type.
        """
        known = {TABLE_NAMES.get(known.name, known.name) for known in fields(cls)}
        for name, value in table.items():
            if name not in known:
                raise EventStreamError(describe_unknown(name, sorted(known)))
            if not _fits(name, value):
                raise EventStreamError(f"{name} must be {_KINDS[name][1]}, got {value!r}")
        given: dict[str, Any] = {
            _FIELD_NAMES.get(name, name): tuple(value) if isinstance(value, list) else value
            for name, value in table.items()
        }
        return cls(**given)


_WHOLE_NUMBERS = (list, tuple)
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "sensor": (_WHOLE_NUMBERS, "three whole numbers, [width, height, polarities]"),
    "crop": (_WHOLE_NUMBERS, "four whole numbers, [x0, y0, x1, y1]"),
    "format": ((str,), "a name of a format"),
    "columns": ((str,), "names of columns in a string"),
    "stream": ((str, int), "a name or a number"),
    "sample": ((int,), "a whole number"),
    "on_bad": ((str,), f"one of {', '.join(get_args(OnBad))}"),
    "on_cut": ((str,), f"one of {', '.join(get_args(OnCut))}"),
    "from": ((int, float), "a time in ms"),
    "until": ((int, float), "a time in ms"),
    "downsample": ((int,), "a whole number"),
    "merge_polarities": ((bool,), "true or false"),
}
"""Of each field of a table: the types that it may have, and what to call them."""


def _fits(name: str, value: Any) -> bool:
    kinds, _ = _KINDS[name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return False
    if isinstance(value, list | tuple):
        return all(map(is_whole, value)) and len(value) == (3 if name == "sensor" else 4)
    return True
