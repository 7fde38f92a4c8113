"""N-MNIST, and any other data set kept as a folder of ``<label>/<recordings>``."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eventsnn._ext.records import Records, read_files
from eventsnn.data.source import FileSource, OnBad, check_on_bad
from eventsnn.errors import EventFileError, TrainingError
from eventsnn.events.files import read
from eventsnn.events.formats import FORMATS
from eventsnn.events.formats.nmnist import NMNISTFormat
from eventsnn.events.stream import EventStream, check_sensor_size

_SPLITS = ("Train", "Test")
_LARGEST_CLASS = 65535
_RAW_SUFFIXES = NMNISTFormat.suffixes
# Texts lie about in folders of recordings, and an HDF5 file holds several.
_NO_SAMPLES = (".txt", ".h5", ".hdf5")
_SUFFIXES = tuple(
    dict.fromkeys(suffix for known in FORMATS for suffix in known.suffixes if suffix not in _NO_SAMPLES)
)


@dataclass(frozen=True)
class _Listing:
    """The recordings of a folder, by label, then file name."""

    paths: list[str]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]


class NMNIST(FileSource):
    """Labelled recordings in a folder of ``<label>/<recordings>``.

    The folder is listed once, contents are read on access: ``source[i]`` is ``(events, label)`` with a
    structured array of EVENT_DTYPE, as tonic's data sets and wrappers have it. The order is that of the
    labels, then of the file names.

    Parameters
    ----------
    root : path
        The folder of label folders, or one that holds ``Train`` or ``Test``.
    split : {"Train", "Test"}, optional
        Which of the two to take. Left out, `root` itself if it has label folders, else the only one there.
    sensor : tuple of 3 int
        Width, height, polarities; (240, 180, 2) for N-Caltech101.
    on_bad : {"error", "skip"}
        What `read_or_none` does with an unreadable recording: raise, or note it in `skipped` and give None.
        `source[i]` and `stream` always raise.

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
        As given by `sensor`.

    Raises
    ------
    EventFileError
        No such folder, no label folders, or no recordings in them.
    TrainingError
        `split` or `on_bad` is none of the words above.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        split: str | None = None,
        sensor: tuple[int, ...] = (34, 34, 2),
        on_bad: OnBad = "error",
    ) -> None:
        check_on_bad(on_bad)
        self.sensor_size = check_sensor_size(sensor)
        self.root = _find_root(os.fspath(root), split)
        listing = _list_recordings(self.root)
        self.classes = listing.classes
        super().__init__(listing.paths, listing.labels, on_bad)

    def stream(self, index: int) -> EventStream:
        """Read recording `index`; raises EventFileError if it cannot be read."""
        # In training, a cut file is more likely a failed copy than the end of a recording.
        return read(self.paths[index], sensor=self.sensor_size, on_cut="error")

    def load(self, indices: npt.NDArray[np.int64]) -> Records | None:
        """Read recordings undecoded; see `RecordSource.load`.

        A subclass whose `stream` gives other events than the files must return None here.
        """
        paths = [self.paths[index] for index in indices.tolist()]
        if self.sensor_size[2] != 2 or not all(path.lower().endswith(_RAW_SUFFIXES) for path in paths):
            return None
        return read_files(paths)


def _find_root(root: str, split: str | None) -> str:
    """Return the folder that holds the label folders."""
    folders = _list_folders(root)
    splits = [name for wanted in _SPLITS for name in folders if name.lower() == wanted.lower()]
    if split is not None:
        if split.lower() not in (known.lower() for known in _SPLITS):
            raise TrainingError(f"split must be one of {', '.join(_SPLITS)}: got {split!r}")
        for name in splits:
            if name.lower() == split.lower():
                return os.path.join(root, name)
        raise EventFileError(
            root, f"no folder {split!r} in it; leave split out if it holds the label folders itself"
        )
    if not folders:
        raise EventFileError(root, "no label folders in it; expected <label>/<recordings>, e.g. 0/00002.bin")
    others = [os.path.join(root, name) for name in folders if name not in splits]
    if not splits or any(_names_of_recordings(folder) for folder in others):
        return root
    if len(splits) == 1:
        return os.path.join(root, splits[0])
    raise EventFileError(root, f"holds {' and '.join(splits)}; pass split='Train' or split='Test'")


def _list_folders(root: str) -> list[str]:
    """Return the names of the folders in `root`."""
    return [entry.name for entry in _entries(root) if entry.is_dir()]


def _names_of_recordings(folder: str) -> list[str]:
    """Return the sorted names of the files in `folder` whose suffix is that of a known format."""
    # Told by the name alone: asking the file system about each of 60,000 files would be slow.
    return sorted(entry.name for entry in _entries(folder) if entry.name.lower().endswith(_SUFFIXES))


def _entries(root: str) -> list[os.DirEntry[str]]:
    """Return what a folder holds, hidden entries left out."""
    try:
        with os.scandir(root) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        raise EventFileError(root, "no such folder") from None
    except NotADirectoryError:
        raise EventFileError(root, "is a file; a folder of <label>/<recordings> is needed") from None
    except OSError as error:
        raise EventFileError(root, f"cannot be listed: {error.strerror or error}") from error


def _list_recordings(root: str) -> _Listing:
    """List the recordings below `root`, without opening them."""
    numbered = _number_classes(root, sorted(_list_folders(root)))
    if not numbered:
        raise EventFileError(root, "no label folders in it; expected <label>/<recordings>, e.g. 0/00002.bin")
    paths: list[str] = []
    labels: list[int] = []
    for number, folder in numbered:
        path = os.path.join(root, folder)
        paths += [os.path.join(path, name) for name in _names_of_recordings(path)]
        labels += [number] * (len(paths) - len(labels))
    if not paths:
        raise EventFileError(
            root, f"no recordings in its folders; expected files ending in {', '.join(_SUFFIXES)}"
        )
    if all(folder.isdecimal() for _, folder in numbered):
        classes = tuple(str(number) for number in range(numbered[-1][0] + 1))
    else:
        classes = tuple(folder for _, folder in numbered)
    return _Listing(paths, np.array(labels, np.int64), classes)


def _number_classes(root: str, folders: list[str]) -> list[tuple[int, str]]:
    """Return (class number, folder), sorted."""
    if not all(folder.isdecimal() for folder in folders):
        return list(enumerate(folders))
    numbered = sorted((int(folder), folder) for folder in folders)
    if numbered and numbered[-1][0] > _LARGEST_CLASS:
        raise EventFileError(
            root, f"folder {numbered[-1][1]!r} is no class number: larger than {_LARGEST_CLASS}"
        )
    return numbered
