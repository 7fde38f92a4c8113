"""Random bytes and mutated files into readers: what to try, and a harness that survives a crash.

``python -m tests.events.fuzzing --seconds 600 [FORMAT ...]`` tries each format that long in a process of its
own (``--share`` divides the seconds among the formats). A process that crashes, hangs, fails or asks for too
much memory leaves its file and options in ``--keep``, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from eventsnn.errors import EventFileError, EventStreamError, MissingExtraError
from eventsnn.events import open_events, write
from eventsnn.events.formats import FORMATS, WRITERS
from tests.events.helpers import random_stream
from tests.events.streams_of_bytes import CASES
from tests.sanitized import limit_memory

SENSOR = (40, 30, 2)
NAMES = [known.name for known in FORMATS.values()]
HDF5 = ("shd", "dsec", "prophesee-h5", "hdf5", "packed-h5")
SLOWEST = float(os.environ.get("EVENTSNN_FUZZ_SLOWEST", "20"))
"""Seconds of processor time for one file of some kilobytes, beyond which a reader hangs; of wall time ten
times as many, since other work may leave little of a processor."""

MOST_MEMORY = 4 << 30
"""Bytes of address space of a process of the harness."""

ROOT = Path(__file__).resolve().parents[2]

LIBRARIES = {"aedat4": "lz4", "rosbag": "rosbags"}
"""Formats that cannot be tried without a library."""

CORPUS = Path(__file__).with_name("corpus")
"""Files of formats that we do not write; ``corpus/README.md`` says how they were made."""


_ROWS = "100,5,6,1\n200,7,8,0\n300,9,1,1\n" * 9
_TABLES = (
    (f",t,x,y,p\n{_ROWS}", "utf-8-sig"),
    (f"# size 40x30\ntimestamp (us),x_addr,y_addr,on\n{_ROWS}", "utf-16"),
    ("40 30\n" + "0.0001 5 6 1\n0.0002 7 8 0\n" * 9, "ascii"),
    ("t [ms];x;y;p\n" + "0,1;5;6;ON\n0,2;7;8;OFF\n" * 9, "latin-1"),
    ('"timestamps","node_ids","population"\n' + '0.1,5,"LGN"\n0.2,7,LGN\n' * 9, "ascii"),
)


def seeds(name: str, folder: Path) -> list[bytes]:
    """Valid files to mutate."""
    events = random_stream(300, sensor_size=SENSOR).events
    found = [case.header + random.Random(1).randbytes(400) for case in CASES if case.format == name]
    if name in WRITERS:
        write(folder / "seed", random_stream(300, sensor_size=SENSOR), format=name)
        found.append((folder / "seed").read_bytes())
    if name in HDF5 and name not in WRITERS:
        layouts = ("esim", "table", "words", "m3ed") if name == "hdf5" else (name,)
        found += [
            _hdf5_seed(layout, events, folder / "seed.h5", **more)
            for layout in layouts
            for more in ({}, {"compression": "gzip"})
        ]
    if name == "csv":
        found += [text.encode(encoding) for text, encoding in _TABLES]
    if name == "npy":
        for table in (np.stack([events[c] for c in "txyp"]), np.stack([events[c] for c in "txyp"], axis=1)):
            np.save(folder / "seed.npy", table)
            found.append((folder / "seed.npy").read_bytes())
        np.save(folder / "seed.npy", events)
        found.append((folder / "seed.npy").read_bytes())
    if name == "matlab":
        columns = {"x": events["x"], "y": events["y"], "ts": events["t"] * 1.0, "pol": events["p"]}
        for values in (columns, {"TD": columns}):
            scipy.io.savemat(folder / "seed.mat", values, do_compression=values is columns)
            found.append((folder / "seed.mat").read_bytes())
    if name == "st-mnist":
        table = np.zeros((101, 9))
        table[3], table[100] = 1, np.arange(9)
        scipy.io.savemat(folder / "seed.mat", {"spiketrain": table}, do_compression=True)
        found.append((folder / "seed.mat").read_bytes())
    found += [path.read_bytes() for path in sorted(CORPUS.glob(f"{name}*.*"))]
    return [*found, b"", b"% a\n", b"#!AER-DAT4.0\r\n", b"#ROSBAG V2.0\n"]


def _hdf5_seed(name: str, events: np.ndarray, path: Path, **more: Any) -> bytes:
    """A file of one of the HDF5 formats; `more` goes to ``create_dataset``."""
    with h5py.File(path, "w") as file:
        if name == "dsec":
            for column in "xytp":
                file.create_dataset(f"events/{column}", data=events[column], **more)
            file["t_offset"] = 5
        elif name in ("esim", "m3ed"):
            place, suffix = ("events", "s") if name == "esim" else ("prophesee/left", "")
            for column in "xytp":
                values = events[column] / 1e6 if name == "esim" and column == "t" else events[column]
                file.create_dataset(f"{place}/{column}{suffix}", data=values, **more)
            file[place].attrs["units"] = "s" if name == "esim" else "us"
        elif name == "table":
            table = np.stack([events[column].astype("f8") for column in "xytp"], axis=1)
            file.create_dataset("davis/left/events", data=table, **more)
            file.create_dataset("davis/right/events", data=table, **more)
        elif name == "words":
            for column in "xyt":
                file[column] = events[column]
            words = np.array(["ON" if p else "OFF" for p in events["p"]], object)
            file.create_dataset("p", data=words, dtype=h5py.string_dtype(), chunks=(64,), **more)
        elif name == "shd":
            for column, dtype in (("times", np.float16), ("units", np.uint16)):
                data = file.create_dataset(f"spikes/{column}", (1,), h5py.vlen_dtype(dtype))
                data[0] = np.arange(9).astype(dtype)
        else:
            file.create_dataset("CD/events", data=events, **more)
    return path.read_bytes()


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


def choose(name: str, corpus: list[bytes], rng: random.Random) -> tuple[bytes, dict[str, Any]]:
    """The next file to try with the reader `name`, and the options to open it with."""
    data = rng.randbytes(rng.randrange(200)) if rng.random() < 0.1 else mutate(rng.choice(corpus), rng)
    return data, {
        "format": rng.choice((name, name, name, None)),
        "on_bad": rng.choice(("error", "skip", "clamp")),
        "sensor": rng.choice((None, SENSOR)),
        "columns": rng.choice((None, None, "t[s],x,y,p")),
        "stream": rng.choice((None, 0)),
    }


def attempt(path: Path, options: dict[str, Any]) -> None:
    """Read a file: what comes out keeps its promises, or it is refused with one of our errors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_events(path, **options) as recording:
                check(list(recording), recording.sensor_size)
    except (EventFileError, EventStreamError, MissingExtraError):
        pass


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


def run_child(name: str, seconds: float, seed: str, folder: Path) -> None:
    """Try files until the time is over; ``fuzzed`` and ``options.json`` are those of the last one."""
    import resource

    limit_memory(MOST_MEMORY)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    faulthandler.register(signal.SIGPROF, chain=True)  # says where, then the process ends
    rng, corpus, path = random.Random(seed), seeds(name, folder), folder / "fuzzed"
    tried, end = 0, time.monotonic() + seconds
    while time.monotonic() < end or tried < 20:
        data, options = choose(name, corpus, rng)
        path.write_bytes(data)
        (folder / "options.json").write_text(json.dumps(options))
        signal.setitimer(signal.ITIMER_PROF, SLOWEST)
        faulthandler.dump_traceback_later(10 * SLOWEST, exit=True)
        if os.environ.get("EVENTSNN_FUZZ_CRASH") == "abort":  # so that the harness itself can be tested
            os.abort()
        while os.environ.get("EVENTSNN_FUZZ_CRASH") == "hang":
            pass
        attempt(path, options)
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        tried += 1
        if tried % 64 == 0:
            (folder / "tried").write_text(str(tried))
    (folder / "tried").write_text(str(tried))


def fuzz(name: str, seconds: float, seed: str, keep: Path) -> dict[str, Any]:
    """Try a format so long in processes of its own; one that dies is replaced by the next.

    Returns
    -------
    dict
        format, seconds, files tried, failures (what was kept, and why), skipped (a missing library, or None).
    """
    library = LIBRARIES.get(name)
    if library is not None and find_spec(library) is None:
        return {
            "format": name,
            "seconds": 0.0,
            "tried": 0,
            "failures": [],
            "skipped": f"{library} is not installed",
        }
    end, tried, failures = time.monotonic() + seconds, 0, []
    while (left := end - time.monotonic()) > 0:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            arguments = [
                "--child",
                str(left),
                "--seed",
                f"{seed}-{len(failures)}",
                "--keep",
                str(folder),
                name,
            ]
            done = subprocess.run(
                [sys.executable, "-X", "faulthandler", "-m", "tests.events.fuzzing", *arguments],
                cwd=ROOT,
                capture_output=True,
                text=True,
            )
            tried += int((folder / "tried").read_text()) if (folder / "tried").exists() else 0
            if done.returncode:
                kept = keep / f"{name}-{seed}-{len(failures)}"
                keep.mkdir(parents=True, exist_ok=True)
                for source, suffix in (("fuzzed", ".bin"), ("options.json", ".json")):
                    if (folder / source).exists():
                        shutil.copy(folder / source, kept.with_suffix(suffix))
                kept.with_suffix(".txt").write_text(done.stderr)
                reason = f"signal {-done.returncode}" if done.returncode < 0 else done.stderr.strip()[-300:]
                failures.append({"kept": str(kept), "reason": reason})
    return {"format": name, "seconds": seconds, "tried": tried, "failures": failures, "skipped": None}


def main() -> int:
    """Run the harness, or one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="*", default=NAMES, metavar="FORMAT")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--share", action="store_true", help="the seconds are for all formats together")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        try:
            run_child(options.formats[0], options.child, options.seed, options.keep)
        except BaseException:
            traceback.print_exc()
            return 1
        return 0
    failed = False
    seconds = options.seconds / len(options.formats) if options.share else options.seconds
    for name in options.formats:
        result = fuzz(name, seconds, options.seed, options.keep)
        failed |= bool(result["failures"])
        print(json.dumps(result), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
