"""Random bytes and mutated files into every reader: events, or an EventFileError. No crash, no hang.

EVENTSNN_FUZZ_SECONDS sets how long each format is tried (0.5 s by default; 600 for the long form).
"""

from __future__ import annotations

import os
import random
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from eventsnn.errors import EventFileError, EventStreamError, MissingExtraError
from eventsnn.events import open_events, write
from eventsnn.events.formats import ENCODERS, FORMATS
from tests.events.helpers import random_stream
from tests.events.streams_of_bytes import CASES

SECONDS = float(os.environ.get("EVENTSNN_FUZZ_SECONDS", "0.5"))
SLOWEST = 20.0  # seconds for one file of some kilobytes
SENSOR = (40, 30, 2)
NAMES = [known.name for known in FORMATS]


def seeds(name: str, folder: Path) -> list[bytes]:
    """Valid files to mutate."""
    stream = random_stream(300, sensor_size=SENSOR)
    found = [case.header + random.Random(1).randbytes(400) for case in CASES if case.format == name]
    if name in ENCODERS:
        write(folder / "seed", stream, format=name)
        found.append((folder / "seed").read_bytes())
    events = stream.events
    if name in ("dsec", "shd", "prophesee-h5"):
        with h5py.File(folder / "seed.h5", "w") as file:
            if name == "dsec":
                for column in "xytp":
                    file[f"events/{column}"] = events[column]
            elif name == "shd":
                for column, dtype in (("times", np.float16), ("units", np.uint16)):
                    data = file.create_dataset(f"spikes/{column}", (1,), h5py.vlen_dtype(dtype))
                    data[0] = np.arange(9).astype(dtype)
            else:
                file["CD/events"] = events
        found.append((folder / "seed.h5").read_bytes())
    if name == "npy":
        np.save(folder / "seed.npy", events)
        found.append((folder / "seed.npy").read_bytes())
    if name == "st-mnist":
        table = np.zeros((101, 9))
        table[3], table[100] = 1, np.arange(9)
        scipy.io.savemat(folder / "seed.mat", {"spiketrain": table}, do_compression=True)
        found.append((folder / "seed.mat").read_bytes())
    return [*found, b"", b"% a\n", b"#!AER-DAT4.0\r\n", b"#ROSBAG V2.0\n"]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, left out, doubled or added."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at : at + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"))
        elif kind == 2:
            del out[at : at + rng.randrange(1, 40)]
        elif kind == 3:
            del out[at:]
        elif kind == 4:
            out[at:at] = out[at : at + rng.randrange(1, 40)]
        else:
            out[at:at] = rng.randbytes(rng.randrange(1, 40))
    return bytes(out)


@pytest.mark.timeout(max(300, 2 * SECONDS))
@pytest.mark.parametrize("name", NAMES)
def test_no_file_breaks_a_reader(tmp_path: Path, name: str) -> None:
    rng = random.Random(os.environ.get("EVENTSNN_FUZZ_SEED", name))
    corpus = seeds(name, tmp_path)
    path = tmp_path / "fuzzed"
    # A damaged HDF5 file may crash HDF5 itself: the default run tries the same few files every time.
    few = name in ("shd", "dsec", "prophesee-h5") and "EVENTSNN_FUZZ_SECONDS" not in os.environ
    end, tried = time.monotonic() + (0 if few else SECONDS), 0
    while time.monotonic() < end or tried < 20:
        data = rng.randbytes(rng.randrange(200)) if rng.random() < 0.1 else mutate(rng.choice(corpus), rng)
        path.write_bytes(data)
        options = {
            "format": rng.choice((name, name, name, None)),
            "on_bad": rng.choice(("error", "skip", "clamp")),
            "sensor": rng.choice((None, SENSOR)),
            "columns": rng.choice((None, None, "t[s],x,y,p")),
        }
        tried += 1
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with open_events(path, **options) as recording:
                    check(list(recording), recording.sensor_size)
        except (EventFileError, EventStreamError):
            pass
        except MissingExtraError as error:
            pytest.skip(str(error))
        except BaseException:
            keep = tmp_path / "failed"
            keep.write_bytes(data)
            print(f"{name}: {options}, {data[:2000]!r}")
            raise
        assert time.monotonic() - start < SLOWEST, f"{name}: {options}, {data[:2000]!r}"


def check(parts: list, sensor: tuple[int, int, int]) -> None:
    """What every stream promises, over the parts."""
    before = None
    for part in parts:
        events = part.events
        t = events["t"]
        assert (np.diff(t) >= 0).all()
        assert before is None or t[0] >= before
        before = t[-1]
        assert 0 <= events["x"].min() <= events["x"].max() < sensor[0]
        assert 0 <= events["y"].min() <= events["y"].max() < sensor[1]
        assert events["p"].max() < sensor[2]
