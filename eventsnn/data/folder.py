"""Data sets that are folders of ``<label>/<recordings>``."""

from __future__ import annotations

import os
import warnings
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eventsnn._ext.records import Records, read_files
from eventsnn._util.arguments import check_path
from eventsnn.data.listing import LabelFrom, find_root, list_recordings
from eventsnn.data.source import BadFiles, Source, choose_bad_files
from eventsnn.errors import EventFileError, EventFileWarning, TrainingError
from eventsnn.events.formats.nmnist import NMNIST
from eventsnn.events.reading import ReadingOptions
from eventsnn.events.stream import EventStream, SensorSize

_RAW_SUFFIXES = NMNIST.suffixes
_DEFAULT = ReadingOptions()


class Folder(Source):
    """Labelled recordings in a folder of ``<label>/<recordings>``.

    The folder is listed once, contents are read on access: ``source[i]`` is ``(events, label)`` with a
    structured array of EVENT_DTYPE, as tonic's data sets and wrappers have it. The order is that of the
    classes, then of the file names.

    Recordings may lie deeper in their label folder. Hidden folders, folders without recordings and what
    archive programs and file managers leave behind (``__MACOSX``) are left out, with an EventFileWarning.

    Parameters
    ----------
    root : path
        The folder of label folders, or one that holds ``Train`` or ``Test``.
    split : {"Train", "Test"}, optional
        Which of the two to take. Left out, `root` itself if it has label folders, else the only one there.
    sensor : tuple of 3 int, optional
        Width, height, polarities, such as (240, 180, 2) for N-Caltech101. Left out, what the file of the
        first readable recording says; where files do not say, the smallest sensor that holds all recordings,
        which are read once for it (an EventFileWarning says so).
    bad_files : {"error", "skip"}
        What `read_or_none` does with an unreadable recording: raise, or note it in `skipped` and give None.
        `source[i]` and `stream` always raise.
    label_from : {"top", "parent"}
        Which folder names the class of a recording that lies deeper: the one below `root`, as in
        ``left/subject1/000.npy``, or the one that it lies in, as in ``subject1/left/000.npy``.
    reading : ReadingOptions, optional
        How to read the recordings, events that make no sense included: its `on_bad` is about single events.
    **options
        Fields of `reading`, instead: ``format="evt3"``, ``columns="t[s],x,y,p"``, ``crop=(0, 0, 64, 64)``.
        While `bad_files` is left out, ``on_bad="skip"`` also means ``bad_files="skip"``, once its name.

    Attributes
    ----------
    paths : list of str
        The recordings.
    labels : ndarray of int64, shape (n,)
        Class numbers. If all folder names are whole numbers they are the class numbers, else the position of
        the folder in the sorted names is.
    classes : tuple of str
        Names of the classes, by class number.
    sensor_size : tuple of 3 int

    Raises
    ------
    EventFileError
        No such folder, no label folders, or no recordings in them; or, without `sensor`, no readable one.
    EventStreamError
        An option for reading that makes no sense.
    TrainingError
        `split`, `bad_files` or `label_from` is none of the words above, or there is no such option.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        split: str | None = None,
        sensor: tuple[int, ...] | None = None,
        bad_files: BadFiles | None = None,
        label_from: LabelFrom = "top",
        reading: ReadingOptions | None = None,
        **options: Any,
    ) -> None:
        bad_files = choose_bad_files(bad_files, options.get("on_bad"), of_events=True)
        fields = options if sensor is None else {"sensor": sensor, **options}
        chosen = _make_reading(reading, fields)
        # In training, a cut file is more likely a failed copy than the end of a recording.
        self.reading = replace(chosen, on_cut=chosen.on_cut or "error")
        self.root = find_root(check_path("root", root, TrainingError), split)
        listing = list_recordings(self.root, label_from, everything=self.reading.format is not None)
        self.classes = listing.classes
        self.paths, self.labels, self.bad_files = listing.paths, listing.labels, bad_files
        self.sensor_size: SensorSize = (
            self.reading.kept_sensor(None) if self.reading.sensor else None
        ) or self._first_sensor()
        if self.reading.whole_sensor:
            # Files that do not state their size all have that of the first.
            self.reading = self.reading.for_input(self.sensor_size)

    def stream(self, index: int) -> EventStream:
        """Read recording `index`; raises EventFileError if it cannot be read."""
        return self.reading.read(self.paths[index])

    def _first_sensor(self) -> SensorSize:
        """Sensor size of the first readable recording after crop and downsampling, as its file states it."""
        problem: EventFileError | None = None
        for path in self.paths:
            try:
                with self.reading.open(path) as recording:
                    size = recording.stated_sensor
            except EventFileError as error:
                if self.bad_files == "error":
                    raise
                problem = error
                continue
            return size or self._smallest_sensor()
        raise EventFileError(self.root, f"no recording of it can be read; the last: {problem}")

    def _smallest_sensor(self) -> SensorSize:
        """The smallest sensor that holds all recordings, which are read for it; warns about the guess."""
        sizes = []
        for path in self.paths:
            try:
                with self.reading.open(path) as recording:
                    sizes.append(recording.sensor_size)
            except EventFileError:
                if self.bad_files == "error":
                    raise
        width, height, polarities = (max(numbers) for numbers in zip(*sizes, strict=True))
        warnings.warn(
            f"{self.root}: the files do not state the size of their sensor; taken as {width} x {height} "
            f"x {polarities}, the smallest that holds all events (sensor=, --sensor say otherwise)",
            EventFileWarning,
            stacklevel=4,
        )
        return width, height, polarities

    def load(self, indices: npt.NDArray[np.int64]) -> Records | None:
        """Read recordings undecoded; see `RecordSource.load`.

        A subclass whose `stream` gives other events than the files must return None here.
        """
        paths = [self.paths[index] for index in indices.tolist()]
        # What is wrong with a recording, the kernel that decodes it tells; then it is read as a stream.
        plain = replace(self.reading, sensor=None, on_bad="error", on_cut=None) == _DEFAULT
        if not plain or self.sensor_size[2] != 2:
            return None
        return read_files(paths) if all(path.lower().endswith(_RAW_SUFFIXES) for path in paths) else None


def _make_reading(reading: ReadingOptions | None, options: dict[str, Any]) -> ReadingOptions:
    """One set of options; TrainingError if there are two, or for a field that it does not have."""
    if reading is not None:
        if options:
            raise TrainingError(f"give reading or {', '.join(options)}, not both")
        return reading
    known = [field.name for field in fields(ReadingOptions)]
    for name in options:
        if name not in known:
            raise TrainingError(f"no option {name!r} for reading recordings; there are {', '.join(known)}")
    return ReadingOptions(**options)
