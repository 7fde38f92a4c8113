"""IDX files, the format of MNIST and similar sets: images and labels, plain or gzipped.

Layout: two zero bytes, one byte for the type (8 = uint8), one for the number of dimensions, each dimension as
a big-endian 32-bit number, then the values.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_choice
from eventsnn._util.words import number_of
from eventsnn.errors import EventFileError, TrainingError
from eventsnn.events.formats.base import read_bytes

Split = Literal["train", "test"]

_UINT8 = 8
# MNIST calls its test files t10k, EMNIST test.
_MARKS: dict[str, tuple[str, ...]] = {"train": ("train",), "test": ("t10k", "test")}


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Read an IDX file of bytes.

    Parameters
    ----------
    path : path
        The file; gzip is recognised by its contents.

    Returns
    -------
    ndarray of uint8
        Of the shape that the file states.

    Raises
    ------
    EventFileError
        The file cannot be read, is no IDX file of bytes, or is longer or shorter than it says.
    """
    data = read_bytes(path)
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise EventFileError(path, f"the gzip file is damaged or cut: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0":
        raise EventFileError(
            path, f"no IDX file: it starts with {data[:4]!r}, expected two zero bytes", offset=0
        )
    kind, n_dimensions = data[2], data[3]
    if kind != _UINT8:
        raise EventFileError(path, f"IDX type 0x{kind:02x}; only bytes (0x08) are read here", offset=2)
    start = 4 + 4 * n_dimensions
    if n_dimensions == 0 or len(data) < start:
        raise EventFileError(path, f"the IDX header is cut: {n_dimensions} dimensions announced", offset=3)
    shape = struct.unpack(f">{n_dimensions}I", data[4:start])
    if len(data) - start != math.prod(shape):
        raise EventFileError(
            path,
            f"shape {shape} needs {math.prod(shape)} bytes, the file has {len(data) - start}",
            offset=start,
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def load_idx(
    folder: str | os.PathLike[str], split: Split, *, transpose: bool | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read the images and labels of MNIST, EMNIST or Fashion-MNIST from a folder.

    Parameters
    ----------
    folder : path
        Holds one file each whose name contains ``train-images``, ``train-labels``, ``t10k-images`` (or
        ``test-images``) and ``t10k-labels`` (``test-labels``), as these data sets name them; gzipped or not.
    split : {"train", "test"}
        Which of the two.
    transpose : bool, optional
        Exchange rows and columns. EMNIST's IDX files hold each image transposed; left out, those whose name
        begins with ``emnist`` are put upright.

    Returns
    -------
    images : ndarray of uint8, shape (n, height, width)
    labels : ndarray of int64, shape (n,)

    Raises
    ------
    EventFileError
        A file is missing, ambiguous or damaged, or images and labels do not go together.
    TrainingError
        `split` is neither of the two.
    """
    check_choice("split", split, get_args(Split), TrainingError)
    return read_labelled(*find_idx(folder, split), transpose=transpose)


def find_idx(path: str | os.PathLike[str], split: Split) -> tuple[Path, Path]:
    """The files of images and labels: of a split in a folder, or the named file and the one beside it.

    Raises
    ------
    EventFileError
        A file is missing or ambiguous.
    """
    place = Path(path)
    if not place.is_file():
        return _find_file(place, split, "images"), _find_file(place, split, "labels")
    if "images" not in place.name:
        raise EventFileError(
            place,
            "the file of the images is wanted; its name contains 'images', that of the labels 'labels'",
        )
    name = place.name.replace("images", "labels").replace("idx3", "idx1")
    names = [name, name.removesuffix(".gz") if name.endswith(".gz") else name + ".gz"]
    for candidate in names:
        if place.with_name(candidate).is_file():
            return place, place.with_name(candidate)
    raise EventFileError(place, f"its labels are missing: no file {' or '.join(names)} beside it")


def read_labelled(
    images_path: Path, labels_path: Path, *, transpose: bool | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read a file of images and that of their labels; see `load_idx`."""
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3:
        raise EventFileError(images_path, f"images have three dimensions; the file has shape {images.shape}")
    if labels.shape != (len(images),):
        raise EventFileError(
            labels_path, f"labels of shape {labels.shape} for {number_of(len(images), 'image')}"
        )
    if is_transposed(images_path) if transpose is None else transpose:
        images = np.ascontiguousarray(images.transpose(0, 2, 1))
    return images, labels.astype(np.int64)


def is_transposed(path: str | os.PathLike[str]) -> bool:
    """Whether the images of an IDX file lie on their side, by its name: EMNIST's do."""
    return Path(path).name.lower().startswith("emnist")


def _find_file(folder: str | os.PathLike[str], split: Split, what: str) -> Path:
    """Return the one file of `folder` with the images or labels of a split."""
    wanted = [f"{mark}-{what}" for mark in _MARKS[split]]
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise EventFileError(folder, f"cannot be listed: {error.strerror or error}") from error
    matching = [name for name in names if any(part in name for part in wanted)]
    if not matching:
        raise EventFileError(folder, f"no file whose name contains {' or '.join(wanted)}")
    # The same file twice, gzipped and not, is common; two different data sets in one folder are a mistake.
    if len({name.removesuffix(".gz") for name in matching}) > 1:
        raise EventFileError(
            folder, f"several files of {split} {what}: {', '.join(matching)}; keep one data set per folder"
        )
    return Path(folder, matching[0])
