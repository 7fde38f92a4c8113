"""Public data sets, downloaded through tonic and packed for training.

A set is fetched part by part. tonic keeps archives and unpacked files in ``NAME/download``; a finished part
is one file, ``NAME/train.esp``, which appears complete or not at all. tonic mistakes a folder for complete if
it was interrupted while unpacking. So a marker file is in ``download`` while tonic works, and a run that
finds the marker removes the unpacked files. Archives stay, because tonic checks them before it unpacks them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eventsnn.data.memory import EventTargetSequence, TonicDataset, from_tonic
from eventsnn.data.packed import Packed, pack
from eventsnn.data.sequences import find_sensor_size
from eventsnn.errors import FetchError, MissingExtraError
from eventsnn.events.stream import SensorSize

MARK = "unfinished"
"""Name of the file that stands in ``download`` while tonic works there."""


Progress = Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], object]]]

_ARCHIVES = (".zip", ".gz", ".tar", ".tgz")
_HALVES = {"train": {"train": True}, "test": {"train": False}}


@dataclass(frozen=True)
class PublicSet:
    """Facts about a data set that tonic does not state.

    Attributes
    ----------
    name : str
        That of tonic's class.
    about : str
        What it shows, on what sensor.
    parts : mapping of str to dict
        Part -> arguments that tonic wants for it.
    folder : str, optional
        Where tonic puts its files, if not in a folder of its class's name.
    """

    name: str
    about: str
    parts: Mapping[str, dict[str, Any]]
    folder: str | None = None


_SSC = {part: {"split": part} for part in ("train", "valid", "test")}
_DIGITS = {part: {**given, "single_digits": True} for part, given in _HALVES.items()}

PUBLIC_SETS: dict[str, PublicSet] = {
    known.name: known
    for known in (
        PublicSet("NMNIST", "digits in three saccades, 34 x 34, 10 classes", _HALVES),
        PublicSet("NCALTECH101", "objects, up to 240 x 180, 101 classes", {"all": {}}),
        PublicSet("CIFAR10DVS", "CIFAR-10 on a screen, 128 x 128, 10 classes", {"all": {}}),
        PublicSet("DVSGesture", "gestures of hands and arms, 128 x 128, 11 classes", _HALVES),
        PublicSet("ASLDVS", "letters of sign language, 240 x 180, 24 classes", {"all": {}}),
        PublicSet("DVSLip", "words read from lips, 128 x 128, 100 classes; by hand only", _HALVES),
        PublicSet("SHD", "spoken digits, 700 cochlear channels, 20 classes", _HALVES),
        PublicSet("SSC", "spoken commands, 700 cochlear channels, 35 classes", _SSC),
        PublicSet("NTIDIGITS18", "single spoken digits, 64 cochlear channels, 11 classes", _DIGITS),
        PublicSet("SMNIST", "MNIST pixel by pixel, 99 channels, 10 classes", _HALVES, folder="smnist"),
    )
}
"""Data sets of tonic with a class for every recording, by name."""


@dataclass(frozen=True)
class Fetched:
    """Result of `fetch`: its folder, and the packed file and number of recordings of each part."""

    name: str
    folder: str
    files: dict[str, str] = field(default_factory=dict)
    recordings: dict[str, int] = field(default_factory=dict)
    sensor: SensorSize = (1, 1, 1)
    classes: int = 0


def find_set(name: str) -> PublicSet:
    """The data set of this name in any case; raises FetchError, listing the names, if it does not exist."""
    for known in PUBLIC_SETS.values():
        if known.name.lower() == name.lower():
            return known
    raise FetchError(f"no data set is called {name!r}; there are {', '.join(PUBLIC_SETS)}")


def fetch(
    name: str,
    to: str | os.PathLike[str] = "data",
    *,
    progress: Progress | None = None,
) -> Fetched:
    """Download a public data set through tonic and pack its parts for training.

    What is there already is kept, so that a call that was interrupted, or failed, is simply repeated.

    Parameters
    ----------
    name : str
        One of `PUBLIC_SETS`, in whatever case.
    to : path
        Folder of data sets; this one gets ``to/NAME``.
    progress : callable, optional
        Called with what is done and the number of recordings; gives a context whose value is called with 1
        after each recording.

    Returns
    -------
    Fetched

    Raises
    ------
    FetchError
        The name is unknown, or tonic could not get the data; then `FetchError.steps` says what to do by hand.
    MissingExtraError
        tonic is not installed.
    EventFileError
        A file cannot be written.
    EventStreamError, TrainingError
        tonic's samples break the rules of event streams, or have no class.
    """
    known = find_set(name)
    folder = Path(to) / known.name
    files, counts, last = {}, {}, None
    for part in known.parts:
        target = folder / f"{part}.esp"
        if not target.exists():
            show = progress or _show_nothing
            source = _open_part(known, part, folder, show)
            with show(f"packing {part}", len(source)) as advance:
                pack(source, target, progress=advance)
        packed_set = Packed(target)
        named = last is not None and not all(name.isdecimal() for name in packed_set.classes)
        if named and last is not None and packed_set.classes != last.classes:
            raise FetchError(
                f"{target} has other classes than the parts before it; it cannot be a test of them"
            )
        last = packed_set
        files[part], counts[part] = str(target), len(last)
    assert last is not None
    return Fetched(known.name, str(folder), files, counts, last.sensor_size, len(last.classes))


class _Tidy:
    """tonic's samples in order of time, none before 0, and all targets, also where tonic has no list."""

    def __init__(self, dataset: EventTargetSequence, part: str, show: Progress) -> None:
        self._dataset = dataset
        for name in ("classes", "class_map"):
            setattr(self, name, getattr(dataset, name, None))
        self.targets = getattr(dataset, "targets", None)
        if self.targets is None or len(self.targets) != len(dataset):
            self.targets = []
            with show(f"labels of {part}", len(dataset)) as advance:
                for index in range(len(dataset)):
                    self.targets.append(dataset[index][1])
                    advance(1)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int, /) -> tuple[Any, Any]:
        events, target = self._dataset[index]
        t = events["t"]
        if len(t) and (np.diff(t) < 0).any():
            events = events[np.argsort(t, kind="stable")]
            t = events["t"]
        if len(t) and t[0] < 0:
            events = events.copy()
            events["t"] -= t[0]
        return events, target


@contextlib.contextmanager
def _show_nothing(what: str, n: int) -> Iterator[Callable[[int], object]]:
    yield lambda done: None


def _open_part(known: PublicSet, part: str, folder: Path, show: Progress) -> TonicDataset:
    """The part as tonic has it, downloaded if it is not there yet."""
    try:
        from tonic import datasets
    except ImportError:
        raise MissingExtraError("tonic", "tonic", f"fetching {known.name}") from None
    cls = getattr(datasets, known.name, None)
    if cls is None:
        raise FetchError(f"this version of tonic has no data set {known.name}; install another one")
    download = folder / "download"
    location = download / (known.folder or known.name)
    location.mkdir(parents=True, exist_ok=True)
    mark = download / MARK
    if mark.exists():
        _remove_unfinished(cls, location)
    mark.touch()
    try:
        dataset = _make_dataset(known, cls, part, download, location)
    except (Exception, SystemExit) as error:  # some of tonic's classes end the program
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, SystemExit):
            reason = "it can be downloaded by hand only"
        raise FetchError(
            f"{known.name}, part {part}: tonic could not get it ({reason})",
            steps=_say_by_hand(known, cls, part, folder, location),
        ) from error
    mark.unlink()
    return from_tonic(_Tidy(dataset, part, show), find_sensor_size(dataset))


def _make_dataset(known: PublicSet, cls: Any, part: str, download: Path, location: Path) -> Any:
    """tonic's data set of a part, downloaded and unpacked.

    Some of tonic's classes (SHD, SSC) take a part for unpacked once its archive is there and any part is
    unpacked, and then do not find its file. So with the archive there, a failure is tried once more with
    nothing unpacked.
    """

    def make() -> Any:
        # tonic prints what it does; standard output is for results.
        with contextlib.redirect_stdout(sys.stderr):
            return cls(save_to=str(download), **known.parts[part])

    try:
        return make()
    except Exception:
        if not any((location / name).exists() for name, _ in _archives(cls, part)):
            raise
        _remove_unfinished(cls, location)
        return make()


def _remove_unfinished(cls: Any, location: Path) -> None:
    """Remove incomplete results of a call of tonic that did not finish; archives stay."""
    named = {
        value: getattr(cls, f"{key.removesuffix('filename') or 'file_'}md5", None)
        for key, value in vars(cls).items()
        if key.endswith("filename") and isinstance(value, str)
    }
    for path in location.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix in _ARCHIVES:
            continue  # tonic, or unpacking, tells whether they are whole
        elif path.name not in named or named[path.name] not in (None, _md5(path)):
            path.unlink()


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _archives(cls: Any, part: str) -> list[tuple[str, str]]:
    """(file name, address) of the downloads of a part, if tonic's class states them."""
    base = getattr(cls, "base_url", "")
    address = getattr(cls, f"{part}_url", None) or getattr(cls, "url", None)
    images = getattr(cls, f"{part}_images_file", None)
    if images is not None:
        labels = getattr(cls, f"{part}_labels_file")
        return [(f"{name}.gz", f"{base}{name}.gz") for name in (images, labels)]
    packed_name = getattr(cls, f"{part}_zip", None)
    if packed_name is not None:
        return [(packed_name, address or base + packed_name)]
    name = getattr(cls, f"{part}_filename", None) or getattr(cls, "filename", None)
    return [] if name is None else [(name, address or base)]


def _say_by_hand(known: PublicSet, cls: Any, part: str, folder: Path, location: Path) -> list[str]:
    """Instructions for when tonic cannot download a part."""
    page = re.search(r"<(https?://[^>]+)>", cls.__doc__ or "")
    steps = [f"The data set's page: {page[1]}"] if page else []
    for name, address in _archives(cls, part):
        steps.append(f"Download {address} and save it as {location / name}, without unpacking it.")
    again = f"eventsnn fetch {known.name} --to {folder.parent}"
    steps.append(f"Then the same command continues with it: {again}")
    steps.append(f"Train with: {training_command(known.name, folder)}")
    return steps


def training_command(name: str, folder: str | os.PathLike[str]) -> str:
    """The command that trains on a fetched set."""
    known = find_set(name)
    experiment = {"NMNIST": "datasets/nmnist/dense.toml", "SHD": "datasets/shd/dense.toml"}.get(
        known.name, "EXPERIMENT.toml"
    )
    first = next(iter(known.parts))
    valid = f" --valid {Path(folder, 'valid.esp')}" if "valid" in known.parts else ""
    train = Path(folder, f"{first}.esp")
    return f"eventsnn train {experiment} --train {train}{valid} --out runs/{known.name}"
