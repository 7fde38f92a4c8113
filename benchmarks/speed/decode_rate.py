"""Million events decoded per second on one core, from files, part by part, beside other libraries.

Each file holds the same synthetic events (1280 x 720, 1 million a second; 240 x 180 for N-MNIST's layout)
and is in the page cache. Everybody's events are consumed as they come and counted; rates are by processor
time. Libraries: pip install ".[dev]".
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import comparison, emit, missing_row, options, row, use_cores

import eventsnn as es
from eventsnn.events import open_events

FORMATS = {"nmnist": ".bin", "dat": ".dat", "evt2": ".raw", "evt3": ".raw", "es": ".es", "aedat3": ".aedat"}
OURS = "eventsnn"
BARS = {"nmnist": 150.0}
BAR = 100.0


def synthetic(n: int, width: int, height: int) -> es.EventStream:
    """`n` events at 1 million a second, anywhere on the sensor."""
    rng = np.random.default_rng(0)
    t = np.cumsum(rng.integers(0, 3, n))
    columns = (rng.integers(0, size, n) for size in (width, height, 2))
    return es.EventStream.from_arrays(t, *columns, sensor_size=(width, height, 2))


def ours(path: Path, name: str) -> int:
    """Events decoded by eventsnn; the largest sensor where the file does not say."""
    sensor = (240, 180, 2) if name == "nmnist" else None
    with open_events(path, format=name, sensor=sensor) as recording:
        return sum(len(part) for part in recording)


def by_faery(path: Path, name: str) -> int:
    import faery

    return sum(len(packet) for packet in faery.events_stream_from_file(path))


def by_expelliarmus(path: Path, name: str) -> int:
    from expelliarmus import Wizard

    wizard = Wizard(encoding=name, chunk_size=1 << 17)
    wizard.set_file(path)
    return sum(len(chunk) for chunk in wizard.read_chunk())


RIVALS: dict[str, tuple[Callable[[Path, str], int], tuple[str, ...]]] = {
    "faery": (by_faery, ("dat", "evt2", "evt3", "es")),
    "expelliarmus": (by_expelliarmus, ("dat", "evt2", "evt3")),
}


def rate(decode: Callable[[Path, str], int], path: Path, name: str, n: int) -> float:
    """Million events per second of processor time."""
    start = time.process_time()
    count = decode(path, name)
    seconds = time.process_time() - start
    if count != n:
        raise RuntimeError(f"decoded {count} of {n} events")
    return n / seconds / 1e6


def race(
    decoders: dict[str, Callable[[Path, str], int]], path: Path, name: str, n: int, repeats: int
) -> tuple[dict[str, list[float]], list[dict[str, str]]]:
    """Rates of everybody, in turns, and why some have none; a first round, which fills the caches, is not
    counted.
    """
    found: dict[str, list[float]] = {who: [] for who in decoders}
    missing = []
    for turn in range(repeats + 1):
        for who in list(found):
            try:
                measured = rate(decoders[who], path, name, n)
            except Exception as error:  # a rival that fails is a line with the reason
                if who == OURS:
                    raise
                missing.append(missing_row(who, f"{name}: {error}", "failed"))
                del found[who]
                continue
            if turn:
                found[who].append(measured)
    return found, missing


def measure_aedat4(folder: Path, n: int, repeats: int) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """AEDAT 4 is read through the library aedat: what that costs beside the library alone."""
    try:
        aedat, faery = importlib.import_module("aedat"), importlib.import_module("faery")
    except ImportError as error:
        return [], [missing_row("aedat", str(error))]
    events = synthetic(n, 1280, 720).events
    array = np.empty(n, [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), (("p", "on"), "?")])
    for to, source in (("t", "t"), ("x", "x"), ("y", "y"), ("on", "p")):
        array[to] = events[source]
    path = folder / "a.aedat4"
    faery.events_stream_from_array(array, dimensions=(1280, 720)).to_file(path)

    def alone(path: Path, _: str) -> int:
        return sum(len(packet["events"]) for packet in aedat.Decoder(str(path)) if "events" in packet)

    unit = "million events/s"
    decoders = {OURS: ours, "aedat": alone, "faery": by_faery}
    found, missing = race(decoders, path, "aedat4", n, repeats)
    return [row(who, "aedat4", unit, rates) for who, rates in found.items()], missing


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments, events={"type": int, "default": 10_000_000})
    n = 200_000 if given.quick else given.events
    use_cores(1)
    rows: list[dict[str, Any]] = []
    missing: list[dict[str, str]] = []
    compared = []
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        for name, suffix in FORMATS.items():
            stream = synthetic(n, 240, 180) if name == "nmnist" else synthetic(n, 1280, 720)
            path = folder / f"{name}{suffix}"
            es.write(path, stream, format=name)
            del stream
            size = path.stat().st_size / n
            rivals = {rival: decode for rival, (decode, formats) in RIVALS.items() if name in formats}
            found, failed = race({OURS: ours, **rivals}, path, name, n, given.repeats)
            missing += failed
            unit = "million events/s"
            rows.append(row(OURS, name, unit, found.pop(OURS), bytes=size))
            median = rows[-1]["median"]
            rows += [row(rival, name, unit, rates) for rival, rates in found.items()]
            best = max((r["median"] for r in rows[-len(found) :]), default=0.0) if found else 0.0
            compared.append(comparison(f"{name}: million events/s", median, BARS.get(name, BAR)))
            if best:
                compared.append(comparison(f"{name}: ratio to the best rival", median / best, 1.0))
            path.unlink()
        more, reasons = measure_aedat4(folder, n, given.repeats)
        rows += more
        missing += reasons
    emit("decode_rate", rows=rows, missing=missing, comparisons=compared)


if __name__ == "__main__":
    main()
