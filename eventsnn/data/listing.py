"""Listing of a folder of labelled recordings: files and their classes. No file is opened."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_choice
from eventsnn.errors import EventFileError, EventFileWarning, TrainingError
from eventsnn.events.formats import FORMATS
from eventsnn.events.unpack import SUFFIXES

LabelFrom = Literal["top", "parent"]
"""Which folder names the class of a recording: the top one, below the root, or the one that it lies in."""

SPLITS = ("Train", "Test")
_LIKE_SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev")
_LARGEST_CLASS = 65535
# Left behind by archive programs, file managers, network drives and file systems; names in lower case.
_STRAY = (
    "__macosx",
    "__pycache__",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "lost+found",
    "system volume information",
)
# Texts lie about in folders of recordings, and an HDF5 file may hold several: they are taken for recordings
# where there is nothing else, or where the format is given.
_NO_SAMPLES = (".txt", ".h5", ".hdf5")
_SHOWN = 6


def recording_suffixes(everything: bool = False) -> tuple[str, ...]:
    """Endings of the names of recordings.

    With `everything` also those of other packages' formats, and those that other files may have.
    """
    known = dict.fromkeys(suffix for format in FORMATS.values(everything) for suffix in format.suffixes)
    return tuple(suffix for suffix in known if everything or suffix not in _NO_SAMPLES)


@dataclass(frozen=True)
class Listing:
    """The recordings of a folder, by class, then by their place below the class's folder.

    Attributes
    ----------
    paths : list of str
    labels : ndarray of int64, shape (n,)
    classes : tuple of str
    """

    paths: list[str]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]


def find_root(root: str, split: str | None) -> str:
    """The folder that holds the label folders: `root`, or the split in it."""
    folders, _ = _folders(root)
    splits = [name for wanted in SPLITS for name in folders if name.lower() == wanted.lower()]
    if split is not None:
        if str(split).capitalize() not in SPLITS:
            check_choice("split", split, SPLITS, TrainingError)
        for name in splits:
            if name.lower() == split.lower():
                return os.path.join(root, name)
        raise EventFileError(
            root, f"no folder {split!r} in it; leave split out if it holds the label folders itself"
        )
    if not folders:
        raise EventFileError(root, "no label folders in it; expected <label>/<recordings>, e.g. 0/00002.bin")
    others = [name for name in folders if name.lower() not in _LIKE_SPLITS]
    if not splits or any(_has_recordings(os.path.join(root, name)) for name in others):
        return root
    if len(splits) == 1 and len(folders) - len(others) == 1:
        return os.path.join(root, splits[0])
    parts = [name for name in folders if name not in others]
    if len(parts) > len(splits):
        raise EventFileError(root, f"holds {' and '.join(parts)}; name the folder of one of them")
    advice = "name one of these folders, or pass split='Train' or split='Test' in Python"
    raise EventFileError(root, f"holds {' and '.join(splits)}; {advice}")


def list_recordings(root: str, label_from: str = "top", *, everything: bool = False) -> Listing:
    """List the recordings below `root`.

    Parameters
    ----------
    root : str
        The folder of the label folders.
    label_from : {"top", "parent"}
        Recordings may lie at any depth. ``"top"``: the class is the folder below `root`, as in
        ``left/subject1/000.npy``; ``"parent"``: the folder that the recording lies in, as in
        ``subject1/left/000.npy``.
    everything : bool
        Also files that may be something else: texts and HDF5 files. They are taken in any case where there is
        nothing else.

    Raises
    ------
    EventFileError
        No label folders, no recordings in them, or a number too large for a class.
    TrainingError
        `label_from` is neither of the two words.
    """
    check_choice("label_from", label_from, get_args(LabelFrom), TrainingError)
    folders, stray = _folders(root)
    if not folders:
        raise EventFileError(root, "no label folders in it; expected <label>/<recordings>, e.g. 0/00002.bin")
    places = _find_all(root, folders, recording_suffixes(everything)) or _find_all(
        root, folders, recording_suffixes(True)
    )
    if not places:
        raise EventFileError(
            root, f"no recordings in its folders; expected files ending in {', '.join(recording_suffixes())}"
        )
    _check_depth(root, places)
    used = {place.parts[0] for place in places}
    _warn_of_stray(root, stray, [name for name in folders if name not in used])
    named: dict[str, list[_Place]] = {}
    for place in places:
        named.setdefault(place.parts[0 if label_from == "top" else -1], []).append(place)
    numbered, classes = _number_classes(root, sorted(named))
    paths: list[str] = []
    labels: list[int] = []
    for number, name in numbered:
        for place in named[name]:
            folder = os.path.join(root, *place.parts, "")
            paths += [folder + file for file in place.files]
        labels += [number] * (len(paths) - len(labels))
    return Listing(paths, np.array(labels, np.int64), classes)


@dataclass(frozen=True)
class _Place:
    """A folder that holds recordings: the names of the folders that lead to it, and of its files, sorted."""

    parts: tuple[str, ...]
    files: list[str]


def _number_classes(root: str, names: list[str]) -> tuple[list[tuple[int, str]], tuple[str, ...]]:
    """(class number, folder), sorted, and the names of all classes up to the largest number."""
    if not all(name.isdecimal() for name in names):
        return list(enumerate(names)), tuple(names)
    numbered = sorted((int(name), name) for name in names)
    if numbered[-1][0] > _LARGEST_CLASS:
        raise EventFileError(
            root, f"folder {numbered[-1][1]!r} is not a class number: larger than {_LARGEST_CLASS}"
        )
    return numbered, tuple(str(number) for number in range(numbered[-1][0] + 1))


def _check_depth(root: str, places: list[_Place]) -> None:
    """Raise EventFileError if the folders are splits of a set, or hold splits, instead of classes."""
    tops = sorted({place.parts[0] for place in places})
    below = sorted({place.parts[1] for place in places if len(place.parts) > 1})
    if below and all(name.lower() in _LIKE_SPLITS for name in tops):
        raise EventFileError(root, f"holds {' and '.join(tops)}; name the folder of one of them")
    splits = [name for name in below if name.lower() in _LIKE_SPLITS]
    if len(tops) == 1 and splits:
        place = os.path.join(root, tops[0])
        raise EventFileError(root, f"holds no label folders; name {place}, which holds {', '.join(splits)}")


def _find_all(root: str, folders: list[str], suffixes: tuple[str, ...]) -> list[_Place]:
    """Where the recordings in these folders and below are: a folder before those in it, else in order."""
    endings, places = frozenset(suffixes), []
    for folder in folders:
        places += list(_walk(root, (folder,), endings, frozenset()))
    return places


def _walk(
    root: str, parts: tuple[str, ...], endings: frozenset[str], above: frozenset[tuple[int, int]]
) -> Iterator[_Place]:
    """Recordings of a folder and its subfolders; a link to a folder that contains it is not followed
    again.
    """
    folder = os.path.join(root, *parts)
    status = os.stat(folder)
    identity = status.st_dev, status.st_ino
    if identity in above:
        return
    files, folders = [], []
    for entry in _entries(folder):
        if entry.is_dir():
            folders.append(entry.name)
        elif _ends_with(entry.name, endings):
            files.append(entry.name)
    if files:
        yield _Place(parts, sorted(files))
    for name in sorted(folders):
        if not _is_stray(name):
            yield from _walk(root, (*parts, name), endings, above | {identity})


def _has_recordings(folder: str) -> bool:
    """Whether recordings lie in the folder itself."""
    endings = frozenset(recording_suffixes())
    return any(_ends_with(entry.name, endings) for entry in _entries(folder))


def _ends_with(name: str, endings: frozenset[str]) -> bool:
    """Whether a file is a recording, by its name alone: opening each of 60,000 would be slow."""
    stem, suffix = os.path.splitext(name.lower())
    return suffix in endings or (suffix in SUFFIXES and os.path.splitext(stem)[1] in endings)


def _folders(root: str) -> tuple[list[str], list[str]]:
    """Names of the folders in `root`, sorted: those that may be classes, and those that are none."""
    names = sorted(entry.name for entry in _entries(root, hidden=True) if entry.is_dir())
    return [name for name in names if not _is_stray(name)], [name for name in names if _is_stray(name)]


def _is_stray(name: str) -> bool:
    return name.startswith(".") or name.lower() in _STRAY


def _entries(root: str, *, hidden: bool = False) -> list[os.DirEntry[str]]:
    """Entries of a folder."""
    try:
        with os.scandir(root) as entries:
            return [entry for entry in entries if hidden or not entry.name.startswith(".")]
    except FileNotFoundError:
        raise EventFileError(root, "no such folder") from None
    except NotADirectoryError:
        raise EventFileError(root, "is a file; a folder of <label>/<recordings> is needed") from None
    except OSError as error:
        raise EventFileError(root, f"cannot be listed: {error.strerror or error}") from error


def _warn_of_stray(root: str, stray: list[str], empty: list[str]) -> None:
    """Warn about folders that are not classes."""
    for names, reason in ((stray, "no class"), (empty, "holds no recordings")):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            shown = ", ".join(repr(name) for name in names[:_SHOWN]) + more
            warnings.warn(
                f"{root}: left out the folder{'s' if len(names) > 1 else ''} {shown}: {reason}",
                EventFileWarning,
                stacklevel=4,
            )
