"""Files as tonic's data sets lay them out on disk, few and small, and what they hold.

Written from the formats' descriptions, with no reader of tonic's or of ours. Each class of tonic's finds its
files complete because `_check_exists` of a subclass says so; so nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eventsnn.events import EventStream
from tests.events.helpers import random_stream
from tests.events.several import write_aedat4

Sensor = tuple[int, int, int]
N = 60
"""Events of a recording."""


@dataclass(frozen=True)
class Layout:
    """One of tonic's classes: its sensor, and what makes it over files with these recordings.

    ``write(folder, streams)`` writes one recording per class; `classes` are those of the recordings,
    `arguments` go to tonic's class.
    """

    name: str
    sensor: Sensor
    classes: Sequence[str]
    write: Callable[[Path, Sequence[EventStream]], None]
    arguments: dict[str, Any]
    step_us: int = 1
    """The resolution of the files, microseconds."""
    within: Sensor | None = None
    """Part of the sensor in which events are, if not all."""

    def streams(self) -> list[EventStream]:
        """The recordings: the same at every call."""
        found = []
        for seed in range(len(self.classes)):
            events = random_stream(N, seed, self.within or self.sensor).events.copy()
            events["t"] -= events["t"] % self.step_us
            if self.name == "NCALTECH101":  # the class moves events to the corner
                for field in "xy":
                    events[field] -= events[field].min()
            found.append(EventStream(events, self.sensor))
        return found

    def make(self, to: Path, **arguments: Any) -> Any:
        """tonic's data set over files in ``to / name``, written if not there."""
        import tonic

        base = getattr(tonic.datasets, self.name)
        cls = type(self.name, (base,), {"_check_exists": lambda _: True, "download": _refuse})
        folder = to / self.name
        if not folder.exists():
            folder.mkdir(parents=True)
            self.write(folder, self.streams())
        return cls(save_to=str(to), **{**self.arguments, **arguments})


def _refuse(_: object) -> None:
    raise AssertionError("a test must not download")


def _bin(events: np.ndarray) -> bytes:
    """Five bytes per event, big-endian: x, y, polarity in the highest bit and 23 bits of time."""
    rows = [
        bytes((x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255))
        for x, y, t, p in ((int(e["x"]), int(e["y"]), int(e["t"]), int(e["p"])) for e in events)
    ]
    return b"".join(rows)


def _write_bins(*folders: str) -> Callable[[Path, Sequence[EventStream]], None]:
    def write(folder: Path, streams: Sequence[EventStream]) -> None:
        for place, stream in zip(folders, streams, strict=True):
            (folder / place).mkdir(parents=True)
            (folder / place / "00001.bin").write_bytes(_bin(stream.events))

    return write


def _write_gestures(folder: Path, streams: Sequence[EventStream]) -> None:
    """Rows x, y, p, t in ms, one file per gesture of a person under a light."""
    place = folder / "ibmGestureTrain" / "user01_fluorescent"
    place.mkdir(parents=True)
    for number, stream in enumerate(streams):
        e = stream.events
        columns = (e["x"], e["y"], e["p"], e["t"] // 1000)
        np.save(place / f"{number}.npy", np.stack(columns, axis=1).astype(np.int64))


def _write_poker(folder: Path, streams: Sequence[EventStream]) -> None:
    for suit, stream in zip(("cl", "he", "di", "sp"), streams, strict=True):
        place = folder / "pips_train" / suit
        place.mkdir(parents=True)
        e = stream.events
        np.save(place / "0.npy", np.stack([e[name].astype(np.int64) for name in "txyp"], axis=1))


def _write_letters(folder: Path, streams: Sequence[EventStream]) -> None:
    """Columns, y from the bottom."""
    from scipy.io import savemat

    for letter, stream in zip("abc", streams, strict=True):
        (folder / letter).mkdir()
        e = stream.events
        table = {"ts": e["t"].astype(np.uint32), "x": e["x"].astype(np.uint8)}
        table |= {"y": (179 - e["y"]).astype(np.uint8), "pol": e["p"].astype(np.uint8)}
        columns = {name: column.reshape(-1, 1) for name, column in table.items()}
        savemat(folder / letter / f"{letter}_0001.mat", columns)


def _write_cifar(folder: Path, streams: Sequence[EventStream]) -> None:
    for name, stream in zip(("airplane", "automobile", "bird"), streams, strict=True):
        (folder / name).mkdir()
        write_aedat4(folder / name / "0.aedat4", {0: ("EVTS", "DVS", stream)})


def _write_speech(file_name: str) -> Callable[[Path, Sequence[EventStream]], None]:
    def write(folder: Path, streams: Sequence[EventStream]) -> None:
        """Times in s of half precision, as the data sets have them, and channels; one row per recording."""
        import h5py

        with h5py.File(folder / file_name, "w") as file:
            for name, dtype in (("times", np.float16), ("units", np.int16)):
                rows = file.create_dataset(
                    f"spikes/{name}", (len(streams),), dtype=h5py.vlen_dtype(np.dtype(dtype))
                )
                for number, stream in enumerate(streams):
                    e = stream.events
                    rows[number] = (e["t"] / 1e6 if name == "times" else e["x"]).astype(dtype)
            file["labels"] = np.arange(len(streams), dtype=np.uint16)
            file["extra/keys"] = np.array([b"zero", b"one", b"two"])
            file["extra/speaker"] = np.zeros(len(streams), np.uint16)

    return write


def _write_digits(folder: Path, streams: Sequence[EventStream]) -> None:
    import h5py

    names = [f"woman-ac-{digit}" for digit in ("o", "1", "z")]
    with h5py.File(folder / "n-tidigits.hdf5", "w") as file:
        file["train_labels"] = np.array([name.encode() for name in names])
        for name, stream in zip(names, streams, strict=True):
            file[f"train_addresses/{name}"] = stream.events["x"].astype(np.int32)
            file[f"train_timestamps/{name}"] = stream.events["t"] / 1e6


def write_pixels(folder: Path) -> np.ndarray:
    """Four images as SMNIST takes them, of the digits 3, 1, 4, 1; returned (images, pixels)."""
    images = np.random.default_rng(1).integers(0, 256, (4, 28, 28)).astype(np.uint8)
    images[:, 5] = 255
    folder.mkdir(parents=True)
    head = np.array([2051, 4, 28, 28], ">u4").tobytes()
    (folder / "train-images-idx3-ubyte").write_bytes(head + images.tobytes())
    head = np.array([2049, 4], ">u4").tobytes()
    (folder / "train-labels-idx1-ubyte").write_bytes(head + bytes([3, 1, 4, 1]))
    return images.reshape(4, -1)


def _write_words(folder: Path, streams: Sequence[EventStream]) -> None:
    """Arrays with names, times as int32."""
    for word, stream in zip(("accused", "action", "young"), streams, strict=True):
        place = folder / "DVS-Lip" / "train" / word
        place.mkdir(parents=True)
        rows = np.empty(len(stream), [("t", "<i4"), ("x", "u1"), ("y", "u1"), ("p", "u1")])
        for name in "txyp":
            rows[name] = stream.events[name]
        np.save(place / "0.npy", rows)


GESTURES = ("Hand clapping", "Right hand wave", "Left hand wave")
# Of times that half precision and 1e6 give back: sums of powers of two, in whole microseconds.
_HALF = 15_625
LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("NMNIST", (34, 34, 2), ("0", "1", "2"), _write_bins("Train/0", "Train/1", "Train/2"), {}),
        Layout("DVSGesture", (128, 128, 2), GESTURES, _write_gestures, {}, step_us=1000),
        Layout("SHD", (700, 1, 1), ("zero", "one", "two"), _write_speech("shd_train.h5"), {}, _HALF),
        Layout(
            "SSC",
            (700, 1, 1),
            ("zero", "one", "two"),
            _write_speech("ssc_valid.h5"),
            {"split": "valid"},
            _HALF,
        ),
        Layout("CIFAR10DVS", (128, 128, 2), ("airplane", "automobile", "bird"), _write_cifar, {}),
        Layout(
            "NCALTECH101",
            (240, 180, 2),
            ("BACKGROUND_Google", "airplanes", "yin_yang"),
            _write_bins(*(f"Caltech101/{name}" for name in ("BACKGROUND_Google", "airplanes", "yin_yang"))),
            {},
            within=(233, 170, 2),
        ),
        Layout("ASLDVS", (240, 180, 2), ("a", "b", "c"), _write_letters, {}),
        Layout("POKERDVS", (35, 35, 2), ("cl", "he", "di", "sp"), _write_poker, {}),
        Layout("DVSLip", (128, 128, 2), ("accused", "action", "young"), _write_words, {}),
        Layout("NTIDIGITS18", (64, 1, 1), ("o", "1", "z"), _write_digits, {"single_digits": True}, _HALF),
    )
}
"""By the name of tonic's class."""
