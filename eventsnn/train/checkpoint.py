"""A checkpoint holds all that training needs to go on as if it had never stopped.

Random numbers are drawn from generators named by (seed, purpose, epoch, recording), so no generator state has
to be kept: the epoch number is enough.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from eventsnn._util.atomic import replace_text
from eventsnn._util.hdf5 import open_own, replace_hdf5
from eventsnn._util.ranks import Ranks
from eventsnn.errors import TrainingError

LAYOUT_VERSION = 1


@dataclass
class Checkpoint:
    """State after a whole epoch.

    Attributes
    ----------
    epoch : int
        Epochs done.
    step : int
        Optimiser steps done.
    arrays : dict of str to array
        Packed weights (``weights/<key>``), optimiser moments (``moment<n>/<key>``), boosting weights, and the
        best epoch's weights as the model holds them (``best/<key>``).
    history : list of dict
        Metrics of the epochs done.
    best : dict
        ``epoch``, ``valid_accuracy``, ``valid_loss`` of the best epoch.
    config : dict
        What a run must share to go on from here.
    """

    epoch: int
    step: int
    arrays: dict[str, np.ndarray]
    history: list[dict[str, Any]]
    best: dict[str, Any]
    config: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write it, complete and on the disk before it takes the name: a kill leaves the old one."""
    with replace_hdf5(
        path, lambda text: TrainingError(f"{path}: the checkpoint cannot be written ({text})")
    ) as file:
        file.attrs["eventsnn_checkpoint"] = LAYOUT_VERSION
        file.attrs["epoch"] = checkpoint.epoch
        file.attrs["step"] = checkpoint.step
        file.attrs["crc32"] = _checksum(checkpoint)
        # Texts as data sets: an attribute holds no more than 64 KiB.
        for name in ("history", "best", "config"):
            file[name] = json.dumps(getattr(checkpoint, name))
        arrays = file.create_group("arrays")
        for name, array in checkpoint.arrays.items():
            # A group that HDF5 makes on the way holds the time of day: same state, other bytes.
            folder, _, last = name.rpartition("/")
            (arrays.require_group(folder) if folder else arrays)[last] = array


def load_checkpoint(path: Path, into: Mapping[str, np.ndarray] = MappingProxyType({})) -> Checkpoint:
    """Read a file that `save_checkpoint` wrote; TrainingError names the file and the fault.

    Arrays that `into` has by their name, in the same shape and dtype, are read into it, to save a copy of the
    whole state; after an error they hold anything.
    """
    import h5py

    def failure(text: str) -> TrainingError:
        return TrainingError(f"{path}: not a checkpoint of eventsnn, or a damaged one ({text})")

    with open_own(path, failure) as (file, _):
        if int(file.attrs["eventsnn_checkpoint"]) > LAYOUT_VERSION:
            raise TrainingError(f"{path}: written by a newer eventsnn; install that one to resume")
        arrays: dict[str, np.ndarray] = {}

        def collect(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                arrays[name] = _read(item, into.get(name))

        file["arrays"].visititems(collect)
        texts = {name: json.loads(file[name].asstr()[()]) for name in ("history", "best", "config")}
        saved = Checkpoint(int(file.attrs["epoch"]), int(file.attrs["step"]), arrays, **texts)
        if _checksum(saved) != int(file.attrs["crc32"]):
            raise failure("its checksum is wrong")
        return saved


def _read(item: Any, place: np.ndarray | None) -> np.ndarray:
    """A data set, in `place` if it fits there."""
    if place is None or not _fits(place, item.shape, item.dtype):
        return np.asarray(item[()])
    item.read_direct(place)
    return place


def _fits(place: np.ndarray, shape: Any, dtype: Any) -> bool:
    return place.size > 0 and place.flags.c_contiguous and (place.shape, place.dtype) == (shape, dtype)


def _checksum(checkpoint: Checkpoint) -> int:
    """CRC-32 of everything in a checkpoint, so that a damaged array is not trained on."""
    texts = [checkpoint.epoch, checkpoint.step, checkpoint.history, checkpoint.best, checkpoint.config]
    checksum = zlib.crc32(json.dumps(texts, sort_keys=True).encode())
    for name in sorted(checkpoint.arrays):
        array = checkpoint.arrays[name]
        checksum = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), checksum)
        checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    return checksum


def load_for_all(path: Path, into: Mapping[str, np.ndarray], ranks: Ranks) -> Checkpoint | None:
    """What `load_checkpoint` returns on the first rank, for all ranks; None where there is no file.

    Array by array, each in its place: no rank holds the whole state twice.
    """
    saved = load_checkpoint(path, into) if ranks.first and path.exists() else None
    if ranks.size == 1:
        return saved
    head, forms = ranks.of_first(lambda: _split(saved))
    if head is None:
        return None
    for name, (shape, dtype) in forms.items():
        if saved is not None:
            array = saved.arrays[name]
        elif name in into and _fits(into[name], shape, dtype):
            array = into[name]
        else:
            array = np.empty(shape, dtype)
        if array.size:
            ranks.spread(np.atleast_1d(array), 0)
        head.arrays[name] = array
    return head


def _split(saved: Checkpoint | None) -> tuple[Checkpoint | None, dict[str, tuple[Any, Any]]]:
    """A checkpoint without its arrays, and their shapes and dtypes."""
    if saved is None:
        return None, {}
    return replace(saved, arrays={}), {name: (each.shape, each.dtype) for name, each in saved.arrays.items()}


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write JSON lines: the file appears complete or not at all."""
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))


def write_text(path: Path, text: str) -> None:
    """Write a text file of a run: it appears complete or not at all."""
    replace_text(path, text, lambda problem: TrainingError(f"{path}: cannot be written ({problem})"))
