"""A module that looks like tonic to `eventsnn.data.fetch`, and needs no network."""

from __future__ import annotations

import types
from pathlib import Path

import numpy as np

DTYPE = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
SAMPLES = 12


class NMNIST:
    """`N-MNIST <https://example.org/n-mnist>`_, of a kind: an archive, unpacked into twelve files."""

    train_url, test_url = "https://example.org/train.zip", "https://example.org/test.zip"
    train_filename, test_filename = "train.zip", "test.zip"
    sensor_size = (34, 34, 2)
    made: list[str]
    """What was done, in order."""

    fail: str | None = None
    """The part whose download fails, or stops half-way with Ctrl-C after ``stop-``."""

    def __init__(self, save_to: str, train: bool = True) -> None:
        part = "train" if train else "test"
        folder = Path(save_to, "NMNIST")
        folder.mkdir(parents=True, exist_ok=True)
        archive, unpacked = folder / f"{part}.zip", folder / part
        print("chatter of the library")
        if not archive.exists() or not unpacked.exists():
            if not archive.exists():
                if self.fail == part:
                    raise OSError("<urlopen error>\n no network")
                type(self).made.append(f"download {part}")
                archive.write_bytes(b"archive")
            type(self).made.append(f"unpack {part}")
            unpacked.mkdir()
            for index in range(SAMPLES):
                (unpacked / f"{index}.txt").write_text("x")
                if self.fail == f"stop-{part}" and index == 3:
                    raise KeyboardInterrupt
        # What tonic does: a folder that is there is taken for complete.
        self.files = sorted(unpacked.iterdir())
        self.targets = [index % 3 for index in range(len(self.files))]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        rng = np.random.default_rng(index)
        events = np.empty(50, DTYPE)
        events["x"] = 3 * self.targets[index] + rng.integers(0, 3, 50)
        events["y"], events["p"] = rng.integers(0, 34, 50), rng.integers(0, 2, 50)
        events["t"] = np.sort(rng.integers(0, 100_000, 50))
        if index == 1:
            events = events[::-1].copy()  # not in order of time
        if index == 2:
            events["t"] += 1_600_000_000_000_000  # since 1970
        return events, self.targets[index]


class SHD:
    """Takes a part for unpacked if its archive and any unpacked file are there, as tonic's class does."""

    base_url, train_zip, test_zip = "https://example.org/", "shd_train.h5.zip", "shd_test.h5.zip"
    sensor_size = (700, 1, 1)

    def __init__(self, save_to: str, train: bool = True) -> None:
        folder = Path(save_to, "SHD")
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / (self.train_zip if train else self.test_zip)
        if not archive.exists() or not list(folder.glob("*.h5")):
            if not archive.exists():
                raise OSError("no network")
            (folder / archive.stem).write_text("unpacked")
        (folder / archive.stem).read_text()
        self.classes = [b"zero", b"one", b"two"]
        self.targets = [index % 3 for index in range(SAMPLES)]

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        events = np.zeros(10, [("t", int), ("x", int), ("p", int)])
        events["t"], events["x"], events["p"] = np.arange(10), index, 1
        return events, self.targets[index]


class Unplayable:
    """No address in here, and it ends the program."""

    def __init__(self, save_to: str, train: bool = True) -> None:
        raise SystemExit


def make(fail: str | None = None) -> types.ModuleType:
    """The module; `fail` as of `NMNIST`."""
    NMNIST.made, NMNIST.fail = [], fail
    module = types.ModuleType("tonic")
    module.datasets = types.SimpleNamespace(NMNIST=NMNIST, SHD=SHD, DVSLip=Unplayable)  # type: ignore[attr-defined]
    return module
