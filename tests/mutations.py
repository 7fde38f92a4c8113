"""Files of our own, damaged in every way we can think of, and a harness that survives a crash.

``python -m tests.mutations model pack checkpoint --n 1000`` makes so many changed copies of a small file of
each kind and reads each in a process of its own. What becomes of a copy is one of

- refused: an error of eventsnn's;
- same: what was read is what was written (the change hit nothing that matters);
- other: something else was read, silently;
- error: an exception that is none of ours;
- crash, hang: the process died, or had not ended after ``SLOWEST`` seconds.

Exit code 1 if there was any of the last three kinds. A new kind of file is a line in `KINDS`.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import shutil
import signal
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import eventsnn as es
from eventsnn.errors import EventSNNError
from tests.changes import mutate_bytes, mutate_hdf5
from tests.sanitized import limit_memory

SLOWEST = 20
MOST_MEMORY = 4 << 30
BAD = ("other", "error", "crash", "hang")


# -- the harness -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A kind of file: `make` writes one into a folder, `load` reads all of it, to bytes to be compared."""

    make: Callable[[Path], Path]
    load: Callable[[Path], bytes]
    mutate: Callable[[Path, random.Random], str] | None = None  # besides bytes, half of the copies


def mutants(original: Path, kind: Kind, n: int, seed: int) -> Iterator[tuple[str, Path]]:
    """What was changed, and the changed copy (one file that is written anew each time)."""
    data = original.read_bytes()
    folder = original.parent / "mutants"
    folder.mkdir(exist_ok=True)
    near, path = folder / "near.h5", folder / original.name
    shutil.copyfile(original, near)
    for number in range(n):
        rng = random.Random(f"{seed} {number}")
        if kind.mutate is not None and number % 2:
            shutil.copyfile(original, path)
            what = kind.mutate(path, rng)
        else:
            what, changed = mutate_bytes(data, rng)
            path.write_bytes(changed)
        yield f"{number} ({what})", path


def outcome(path: Path, kind: Kind, right: bytes) -> str:
    """Read a copy in a process of its own."""
    end, begin = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        limit_memory(MOST_MEMORY)
        signal.alarm(SLOWEST)
        try:
            found = kind.load(path)
            text = "same" if found == right else "other"
        except EventSNNError as error:
            text = f"refused {error}"
        except BaseException as error:
            text = f"error {type(error).__name__} {error}"
        os.write(begin, text.encode("utf-8", "replace")[:4000])
        os._exit(0)
    os.close(begin)
    with os.fdopen(end, "rb") as pipe:
        text = pipe.read().decode()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return "hang" if os.WTERMSIG(status) == signal.SIGALRM else f"crash signal {os.WTERMSIG(status)}"
    return text


def try_kind(name: str, n: int, seed: int) -> tuple[collections.Counter[str], list[str]]:
    """How many copies met which fate, and the bad ones."""
    kind = KINDS[name]
    fates: collections.Counter[str] = collections.Counter()
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        original = kind.make(Path(folder))
        right = kind.load(original)
        for what, path in mutants(original, kind, n, seed):
            text = outcome(path, kind, right)
            fate = text.split()[0]
            fates[fate] += 1
            if fate in BAD:
                bad.append(f"{name} {what}: {text[:300]}")
    return fates, bad


# -- kinds of files ----------------------------------------------------------------------------------


def _make_model(folder: Path) -> Path:
    network = es.Network(
        es.Input(4, 4, 2), es.Dense(6, lateral_inhibition=0.5), es.Dense(3, threshold=1.0), seed=1
    )
    network.save(folder / "model.h5", training='{"config": {"seed": 1}}')
    return folder / "model.h5"


def _load_model(path: Path) -> bytes:
    return _load_network(es.Network.load(path))


def _load_network(network: es.Network) -> bytes:
    weights = [f"{key} {w.dtype} {w.shape}".encode() + w.tobytes() for key, w in network.weights.items()]
    return str(network.to_table()).encode() + b"".join(weights)


def _make_checkpoint(folder: Path) -> Path:
    from eventsnn.train.checkpoint import Checkpoint, save_checkpoint

    arrays = {
        "weights/a": np.arange(6.0).reshape(2, 3),
        "moment0/a": np.ones((2, 3), "f4"),
        "boost": np.ones(4),
    }
    saved = Checkpoint(
        3, 12, arrays | {"boost": np.ones(4)}, [{"epoch": 1, "loss": 0.1}], {"epoch": 1}, {"seed": 1}
    )
    save_checkpoint(folder / "checkpoint.h5", saved)
    return folder / "checkpoint.h5"


def _load_checkpoint(path: Path) -> bytes:
    from eventsnn.train.checkpoint import load_checkpoint

    saved = load_checkpoint(path)
    arrays = [f"{k} {a.dtype} {a.shape}".encode() + a.tobytes() for k, a in sorted(saved.arrays.items())]
    return repr((saved.epoch, saved.step, saved.history, saved.best, saved.config)).encode() + b"".join(
        arrays
    )


def _make_pack(folder: Path) -> Path:
    from eventsnn.data import pack
    from eventsnn.data.memory import ListDataset
    from tests.events.helpers import random_stream

    streams = [random_stream(40, seed=k, sensor_size=(10, 8, 2)) for k in range(6)]
    pack(ListDataset(streams, np.arange(6) % 3), folder / "set.esp")
    return folder / "set.esp"


def _load_pack(path: Path) -> bytes:
    from eventsnn.data import Packed
    from eventsnn.train.batches import BatchLoader

    data = Packed(path)
    texts = repr((data.sensor_size, data.classes, data.labels.tolist(), [Path(p).name for p in data.paths]))
    streams = [data.stream(k) for k in range(len(data))]
    events = b"".join(stream.events[name].tobytes() for stream in streams for name in "txyp")
    batch = BatchLoader(data, 160, None, 1).prepare(np.arange(len(data)), 0)
    read = batch.times.tobytes() + batch.neurons.tobytes() + batch.ptr.tobytes()
    return texts.encode() + events + str(zlib.crc32(read)).encode()


def _make_trace(folder: Path) -> Path:
    from eventsnn.trace import TraceWriter
    from tests.trace.conftest import busy_input, busy_network

    network = busy_network()
    with TraceWriter(folder / "trace.h5", network, record=("potential", "spsp"), seed=5) as writer:
        for seed in (1, 2):
            run = es.simulate(network, busy_input(seed, 60), engine="twin", t_stop=60.0)
            writer.append(run, source=f"{seed}.bin", label=seed, epoch=7)
    return folder / "trace.h5"


def _load_trace(path: Path) -> bytes:
    from eventsnn.trace import Trace, explain, summarise

    found: list[object] = []
    with Trace(path) as trace:
        summary = summarise(trace)
        del summary["file"], summary["file_mb"]
        found += [summary, trace.samples, trace.config, trace.versions, _load_network(trace.network)]
        for number in range(len(trace)):
            record = trace.record(number)
            for name, spikes in (("input", record.input), *record.layers.items()):
                found += [name, spikes.times.tobytes(), spikes.neurons.tobytes()]
            for name in trace.network.names:
                potential = trace.potential(name, number)
                parts = (potential.times, potential.neurons, potential.values, potential.kinds)
                found += [part.tobytes() for part in parts]
            for projection in trace.network.projections:
                layer, key = trace.network.names[projection.target], projection.key
                found += [part.tobytes() for part in trace.spsp_total(layer, number, projection=key)]
                for neuron in np.flatnonzero(record[layer].counts).tolist():
                    pair = trace.spsp(layer, neuron, 0, number, projection=key)
                    found += [part.tobytes() for part in pair]
            neuron = int(record["output"].neurons[0])
            why = explain(trace, layer="output", neuron=neuron, spike=0, sample=number)
            found += [why.events.tobytes(), why.causes.tobytes()]
    return repr(found).encode()


KINDS = {
    "model": Kind(_make_model, _load_model, mutate_hdf5),
    "checkpoint": Kind(_make_checkpoint, _load_checkpoint, mutate_hdf5),
    "pack": Kind(_make_pack, _load_pack),
    "trace": Kind(_make_trace, _load_trace, mutate_hdf5),
}


def main() -> int:
    """Command line; see the top of this module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    worst = 0
    for name in arguments.kinds:
        fates, bad = try_kind(name, arguments.n, arguments.seed)
        print(f"{name}: {', '.join(f'{count} {fate}' for fate, count in fates.most_common())}", flush=True)
        for line in bad:
            print(f"  {line}")
        worst = max(worst, int(bool(bad)))
    return worst


if __name__ == "__main__":
    sys.exit(main())
