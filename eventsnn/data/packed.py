"""A whole data set in one file, which training reads faster than a folder of 60,000: ``.esp``.

`eventsnn.data.packed_file` describes the layout.

Recordings are read with ``pread`` rather than through a memory map. Both are served by the operating system's
page cache; but pages of a map count as resident memory of the process (2 GB for 250 million events, read in
random order), and a map of a file that another program cuts short ends the process with SIGBUS.
"""

from __future__ import annotations

import itertools
import json
import os
import weakref
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eventsnn._ext.records import Records, read_words
from eventsnn._util.arguments import check_path
from eventsnn._util.positioned import READ_ONLY, read_at
from eventsnn._util.ranks import find_ranks
from eventsnn.data.memory import EventTargetSequence, as_source
from eventsnn.data.packed_file import WORD, Recordings, read_index, write_packed
from eventsnn.data.shard import Shard, write_together
from eventsnn.data.source import BadFiles, LabelledSource, Source, choose_bad_files, describe_reading
from eventsnn.errors import EventFileError, EventStreamError
from eventsnn.events.origin import from_origin
from eventsnn.events.packed_events import from_packed_events, to_packed_events
from eventsnn.events.reading import ReadingOptions
from eventsnn.events.stream import EventStream


class Packed(Source):
    """A data set in one file, written by `pack`; a `LabelledSource`.

    Training from it gives the same bits as from the folder it was made of.

    Parameters
    ----------
    path : path
        The file.
    bad_files : {"error", "skip"}
        What `read_or_none` does with an unreadable recording, see `Folder`.
    on_bad : {"error", "skip"}, optional
        The former name of `bad_files`.

    Attributes
    ----------
    root : str
        The file.
    paths : list of str
        The file, class and name of each recording, as if the file were a folder.
    labels : ndarray of int64, shape (n,)
    classes : tuple of str
    sensor_size : tuple of 3 int
        Width, height, polarities.
    reading : ReadingOptions
        How the recordings were read when the file was made.
    origins_us : ndarray of int64, shape (n,)
        What was subtracted from the times of each recording, microseconds; `stream` adds it again.

    Raises
    ------
    EventFileError
        The file cannot be read, is not a packed data set, or is damaged or cut.
    TrainingError
        `bad_files` is none of the words above.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, bad_files: BadFiles | None = None, on_bad: str | None = None
    ) -> None:
        bad_files = choose_bad_files(bad_files, on_bad)
        self.root = check_path("path", path, EventStreamError)
        try:
            self._file = os.open(path, READ_ONLY)
        except FileNotFoundError:
            raise EventFileError(path, "no such file") from None
        except OSError as error:
            raise EventFileError(path, f"cannot be read: {error.strerror or error}") from error
        weakref.finalize(self, os.close, self._file)
        self.sensor_size, n, index = read_index(self.root, self._file)
        numbers = np.frombuffer(index, "<i8", count=2 * n + 1).astype(np.int64)
        self._starts = numbers[: n + 1]
        text = json.loads(index[numbers.nbytes :])
        self.classes = tuple(text["classes"])
        self.numbered = bool(text.get("numbered", False))
        self.reading = ReadingOptions.from_table(text.get("reading", {}))
        labels = numbers[n + 1 :]
        folders = [f"{self.root}/{name}" for name in self.classes]
        paths = [f"{folders[k]}/{name}" for k, name in zip(labels.tolist(), text["names"], strict=True)]
        self._crc32 = np.array(text["crc32"], np.uint32) if "crc32" in text else None
        self._checked = np.full(n, self._crc32 is None)
        self.origins_us = np.array(text.get("origins_us", [0] * n), np.int64)
        self.paths, self.labels, self.bad_files = paths, labels, bad_files

    @property
    def events(self) -> int:
        """Events of all recordings together."""
        return int(self._starts[-1] - self._starts[0]) // WORD

    def stream(self, index: int) -> EventStream:
        """Read recording `index`; raises EventFileError if it cannot be read."""
        index = range(len(self))[index]
        packed_events = self._read(index)
        try:
            events = from_packed_events(packed_events, self.sensor_size)
            events["t"] += self.origins_us[index]
            checked = EventStream(events, self.sensor_size)
            return EventStream._trusted(events, checked.sensor_size, int(self.origins_us[index]))
        except EventStreamError as error:
            raise self._damaged(index, str(error)) from None

    def _read(self, index: int) -> npt.NDArray[np.uint64]:
        """The words of a recording, whose checksum is right."""
        start, end = self._starts[index : index + 2].tolist()
        data = read_at(self._file, end - start, start)
        if len(data) != end - start:
            raise self._damaged(index, "the file has been cut")
        if not self._is_sound(index, data):
            raise self._damaged(index, "its checksum is wrong")
        return np.frombuffer(data, "<u8")

    def _damaged(self, index: int, why: str) -> EventFileError:
        problem = f"recording {index} ({self.paths[index]}) is damaged, pack the set again: {why}"
        return EventFileError(self.root, problem, offset=int(self._starts[index]))

    def recordings(self) -> Recordings:
        """Name, class number, words and origin of each recording, as `write_packed` takes them.

        Raises EventFileError at one that is damaged.
        """
        for index, (path, label) in enumerate(zip(self.paths, self.labels.tolist(), strict=True)):
            name = path.removeprefix(f"{self.root}/{self.classes[label]}/")
            yield name, label, self._read(index), int(self.origins_us[index])

    def load(self, indices: npt.NDArray[np.int64]) -> Records | None:
        """Read recordings undecoded; see `RecordSource.load`."""
        records = read_words(self._file, self._starts[indices], self._starts[indices + 1])
        if self._crc32 is not None and not self._checked[indices].all():
            sound = records.checksums() == self._crc32[indices]
            self._checked[indices[sound]] = True
            if not sound.all():
                return None  # `stream` raises the reason, naming the recording
        return records

    def _is_sound(self, index: int, data: bytes) -> bool:
        """Whether the bytes of a recording are those that were packed; computed once for each recording."""
        if not self._checked[index] and self._crc32 is not None:
            self._checked[index] = zlib.crc32(data) == self._crc32[index]
        return bool(self._checked[index])

    def __reduce__(self) -> tuple[object, ...]:
        # An open file cannot travel to another process; its name can.
        return (_reopen, (self.root, self.bad_files))


def pack(
    source: LabelledSource | EventTargetSequence,
    out: str | os.PathLike[str],
    *,
    shard: Shard | None = None,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Write a data set into one file, to be read by `Packed`.

    One recording is in memory at a time. The file appears complete or not at all. Processes that a launcher
    has started write it together.

    Parameters
    ----------
    source : LabelledSource
        What to write; recordings that it skips as unreadable are left out. A data set of tonic's, too.
    out : path
        The file, usually ``.esp``; one that exists is replaced.
    shard : Shard, optional
        This shard of the recordings only. `join_packed` makes one file of the files of all shards, the same
        byte for byte as that of the whole set.
    progress : callable, optional
        Called with 1 after each recording (``tqdm.update``).

    Returns
    -------
    int
        Events written.

    Raises
    ------
    EventFileError
        A recording cannot be read (unless the source is told to skip such), begins before 0 or is longer
        than a word can say, none is left, or the file cannot be written.
    TrainingError
        The shard holds no recording, or `source` is no data set.
    """
    labelled, ranks = as_source(source), find_ranks()
    if ranks.size > 1 and shard is None:
        return write_together(
            ranks, Path(out), lambda own, path: _pack(labelled, path, own, progress), join_packed
        )
    return _pack(labelled, out, shard, progress)


def _pack(
    source: LabelledSource,
    out: str | os.PathLike[str],
    shard: Shard | None,
    progress: Callable[[int], object] | None,
) -> int:
    names = _name_recordings(source)
    wanted = range(len(source)) if shard is None else shard.part(len(source))

    def recordings() -> Recordings:
        for index in wanted:
            stream = source.read_or_none(index)
            if stream is not None:
                name = names[index]
                try:
                    origin = stream.origin_us
                    events = from_origin(stream.events, origin)
                except EventStreamError as error:
                    raise EventFileError(source.paths[index], str(error)) from None
                packed_events = to_packed_events(events, stream.sensor_size, out, name)
                yield name, int(source.labels[index]), packed_events, origin
            if progress is not None:
                progress(1)

    return write_packed(
        recordings(),
        out,
        classes=source.classes,
        sensor_size=source.sensor_size,
        numbered=getattr(source, "numbered", False),
        reading=describe_reading(source),
    )


def join_packed(paths: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> int:
    """Write the recordings of several packed files, one file after the other, into one.

    Parameters
    ----------
    paths : sequence of path
        Files that `pack` made, at least one.
    out : path
        The file to write; it appears complete or not at all.

    Returns
    -------
    int
        Events written.

    Raises
    ------
    EventFileError
        A file cannot be read or is damaged, differs from the first in its sensor, its classes or how its
        recordings were read, or the file cannot be written.
    """
    parts = [Packed(path) for path in paths]
    first = parts[0]
    for part in parts[1:]:
        for name in ("sensor_size", "classes", "numbered", "reading"):
            if getattr(part, name) != getattr(first, name):
                what = f"has another {name.replace('_', ' ')} than {first.root}"
                raise EventFileError(part.root, f"{what}: they are of different sets")
    return write_packed(
        itertools.chain.from_iterable(part.recordings() for part in parts),
        out,
        classes=first.classes,
        sensor_size=first.sensor_size,
        numbered=first.numbered,
        reading=describe_reading(first),
    )


def _name_recordings(source: LabelledSource) -> list[str]:
    """Names of the files; with the folders that they lie in where two of a class have the same."""
    parts = [Path(path).parts for path in source.paths]
    labels = np.asarray(source.labels).tolist()
    deep, deepest = 1, max((len(names) for names in parts), default=1)
    while deep < deepest and len({(k, names[-deep:]) for k, names in zip(labels, parts, strict=True)}) < len(
        parts
    ):
        deep += 1
    # The depth at which all differ may be that of the file's place itself: then the names stay alike.
    return ["/".join(names[-deep:] if deep < deepest else names[-1:]) for names in parts]


def _reopen(path: str, bad_files: BadFiles) -> Packed:
    return Packed(path, bad_files=bad_files)
