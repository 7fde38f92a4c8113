"""Training on many machines: measured phases and bytes of a step, and the speed-up that follows from them.

Trains 2312-800-10 on real N-MNIST recordings with one thread, alone and, where mpi4py and mpiexec are there,
with two processes. A step of a mini-batch of B recordings takes, with R ranks and N blocks of 32 neurons,

    blocks ceil(N/R)/N + samples ceil(B/R)/B + whole + received/bandwidth + exchanges latency log2 R

with `blocks` what ranks divide by neurons (the sweeps through the hidden layer, the update of its weights),
`samples` what they divide by recordings (merging, output layer, errors), and `whole` what every rank does:
reading, tables. Beside it stands the other way to divide a step, by recordings with
gradients exchanged, which would not give the bits of one process: step ceil(B/R)/B + 2 gradient
bytes/bandwidth + the same latency; at best, for the update of the weights takes as long on every rank.
docs/scaling.md says what was found.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from common import command, comparison, emit, find_nmnist, options, row

BATCHES = (16, 64, 256)
RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
HIDDEN = (800, 3200, 32768)
NETWORKS = {1: 50e-6, 10: 15e-6, 100: 3e-6}
"""Latency of an exchange between two machines, s, by Gb/s: Ethernet, faster Ethernet, InfiniBand."""
CONTENDERS = ("1 rank", "2 ranks", "1 rank of 2 threads")
MEASURED_HIDDEN, INPUTS, WIDTH = 800, 2312, 32


@dataclass(frozen=True)
class Measured:
    """A step of a mini-batch of `batch` recordings on one rank of `ranks`, seconds and bytes.

    Attributes
    ----------
    step : float
        From one step to the next; `blocks` and `samples` are the parts that ranks share out.
    received : float
        Bytes that all ranks but this one send it.
    exchanges : float
        Times that it waits for others.
    """

    batch: int
    ranks: int
    step: float
    blocks: float
    samples: float
    received: float
    exchanges: float


def measure(batch: int, quick: bool, threads: int) -> Measured | None:
    """Train for some epochs; None on other ranks than the first."""
    import eventsnn as es
    from eventsnn._ext.team import Together
    from eventsnn._util import ranks as processes
    from eventsnn._util.threads import Pool
    from eventsnn.simulate.engines import batch as batches
    from eventsnn.simulate.engines import layer_run
    from eventsnn.train import exact_errors, run
    from eventsnn.train.experiment import Experiment

    plan = Experiment.load(Path(__file__).parents[2] / "datasets/nmnist/dense.toml")
    recordings = es.data.Folder(find_nmnist() / "Train")
    found = processes.find_ranks()
    seconds, starts, exchanges = {"blocks": [0.0], "samples": [0.0]}, list[float](), [0]
    within: list[str] = []

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if within:
                return function(*arguments, **more)
            within.append(name)
            start = time.perf_counter()
            result = function(*arguments, **more)
            seconds[name][-1] += time.perf_counter() - start
            within.clear()
            return result

        return call

    learn, begin = run.TrainingRun._learn, Pool.begin

    def learn_timed(*arguments: Any) -> None:
        starts.append(time.perf_counter())
        for each in seconds.values():
            each.append(0.0)
        learn(*arguments)

    def begin_timed(pool: Any, work: Any, *more: Any, **named: Any) -> None:
        # What ends a step: with one thread it is done at once.
        call = timed("blocks", begin) if isinstance(work, Together) else begin
        call(pool, work, *more, **named)

    until = processes.Ranks.until

    def counted(self: Any, test: Any) -> Any:
        exchanges[0] += 1
        return until(self, test)

    sweep = layer_run.sweep_all

    def sweep_hidden(packed: Any, number: int, *arguments: Any, **more: Any) -> Any:
        return (timed("blocks", sweep) if number == 0 else sweep)(packed, number, *arguments, **more)

    epochs = 1 if quick else 3
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(run.TrainingRun, "_learn", learn_timed),
        patch.object(layer_run, "sweep_all", sweep_hidden),
        patch.object(Pool, "begin", begin_timed),
        patch.object(batches.Held, "begin", timed("samples", batches.Held.begin)),
        patch.object(exact_errors.ExactErrors, "begin", timed("samples", exact_errors.ExactErrors.begin)),
        patch.object(
            exact_errors.ExactErrors,
            "finish_stages",
            timed("samples", exact_errors.ExactErrors.finish_stages),
        ),
        patch.object(processes.Ranks, "until", counted),
    ):
        es.train(
            plan.make_network(),
            recordings,
            rule=plan.rule,
            optimiser=plan.optimiser,
            augmentation=plan.augmentation,
            epochs=epochs,
            batch_size=batch,
            valid_fraction=0.0,
            per_class=8 if quick else None,
            threads=threads,
            out=Path(found.of_first(lambda: folder)) / "run",
        )
        found.collect(None)  # the folder goes with the first rank's
    if not found.first:
        return None
    # Medians are not thrown off by other work on the machine, nor by what is done between epochs.
    return Measured(
        batch,
        found.size,
        float(np.median(np.diff(starts))),
        float(np.median(seconds["blocks"][1:])),
        float(np.median(seconds["samples"][1:])),
        found.received / len(starts),
        exchanges[0] / len(starts),
    )


def ask(batch: int, ranks: int, quick: bool, threads: int = 1) -> Measured | None:
    """`measure` in processes of their own; None where nothing can be launched."""
    told = ("--child", str(batch), "--threads", str(threads), *(["--quick"] if quick else []))
    line = command("speed/scaling", *told)
    if ranks > 1:
        launcher = Path(sys.executable).with_name("mpiexec")
        if not launcher.exists():
            return None
        line = [str(launcher), "-n", str(ranks), *line]
    done = subprocess.run(line, capture_output=True, text=True, timeout=600)
    if done.returncode:
        return None
    return Measured(**json.loads(done.stdout.strip().splitlines()[-1]))


def blocks_of(hidden: int) -> int:
    return -(-hidden // WIDTH)


def by_neurons(one: Measured, two: Measured, hidden: int, ranks: int, gigabits: float) -> float:
    """Seconds of a step whose neurons are divided; `two` says how much is exchanged."""
    wider, blocks = hidden / MEASURED_HIDDEN, blocks_of(hidden)
    divided = one.blocks * math.ceil(blocks / min(ranks, blocks)) / blocks
    divided += one.samples * math.ceil(one.batch / ranks) / one.batch
    whole = one.step - one.blocks - one.samples
    # Errors and counts go to all; of the spikes two ranks are sent a quarter: other blocks, own samples.
    errors = 16.0 * one.batch * MEASURED_HIDDEN
    spikes = 4.0 * max(0.0, two.received - errors / 2)
    received = (errors + spikes / min(ranks, one.batch)) * (1.0 - 1.0 / ranks)
    return (divided + whole) * wider + exchange_seconds(received * wider, two.exchanges, ranks, gigabits)


def by_recordings(one: Measured, two: Measured, hidden: int, ranks: int, gigabits: float) -> float:
    """Seconds of a step whose recordings are divided: each rank holds and updates all weights."""
    wider, gradient = hidden / MEASURED_HIDDEN, 4.0 * hidden * (INPUTS + 10)
    taken = one.step * wider * math.ceil(one.batch / ranks) / one.batch
    return taken + exchange_seconds(2.0 * gradient * (1.0 - 1.0 / ranks), 2.0, ranks, gigabits)


def exchange_seconds(received: float, exchanges: float, ranks: int, gigabits: float) -> float:
    if ranks == 1:
        return 0.0
    return received / (gigabits * 1e9 / 8) + exchanges * NETWORKS[int(gigabits)] * math.log2(ranks)


def tables(measured: dict[int, tuple[Measured, Measured]]) -> list[dict[str, Any]]:
    """Speed-ups over one rank, a row for every mini-batch, layer, network and way."""
    found = []
    for batch, (one, two) in measured.items():
        for hidden in HIDDEN:
            for gigabits in NETWORKS:
                for way in (by_neurons, by_recordings):
                    alone = way(one, two, hidden, 1, gigabits)
                    gains = {str(n): round(alone / way(one, two, hidden, n, gigabits), 2) for n in RANKS}
                    found.append(
                        {
                            "batch": batch,
                            "hidden": hidden,
                            "gbit_per_s": gigabits,
                            "way": way.__name__,
                            **gains,
                        }
                    )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(
        __doc__,
        arguments,
        child={"type": int, "help": "one measurement, for this program"},
        threads={"type": int, "default": 1, "help": "of that measurement"},
    )
    if given.child is not None:
        one = measure(given.child, given.quick, given.threads)
        if one is not None:
            print(json.dumps(asdict(one)))
        return
    measured, rows, checks, notes = {}, [], [], []
    for batch in BATCHES[: 1 if given.quick else None]:
        turns = [
            (ask(batch, 1, given.quick), ask(batch, 2, given.quick), ask(batch, 1, given.quick, 2))
            for _ in range(given.repeats)
        ]
        kept = [each for each in turns if None not in each]
        if not kept:
            notes.append("needs mpi4py and its mpiexec: pip install 'eventsnn[mpi]'")
            break
        for name, each in zip(CONTENDERS, zip(*kept, strict=True), strict=True):
            rates = [batch / found.step for found in each]
            rows.append(row(name, f"batch {batch}", "samples/s", rates, **asdict(each[0])))
        one, two, threads = (min(each, key=lambda found: found.step) for each in zip(*kept, strict=True))
        measured[batch] = one, two
        # On one machine nothing goes through a network.
        expected = one.step / (by_neurons(one, two, MEASURED_HIDDEN, 2, 100) - two.exchanges * 3e-6)
        checks.append(comparison(f"batch {batch}: 2 ranks / 1 rank, measured", one.step / two.step, None))
        checks.append(comparison(f"batch {batch}: 2 ranks / 1 rank, from the model", expected, None))
        shared = threads.step / two.step
        checks.append(comparison(f"batch {batch}: 2 ranks of 1 thread / 1 rank of 2 threads", shared, 0.9))
    emit("scaling", rows=rows, comparisons=checks, notes=notes, model=tables(measured))


if __name__ == "__main__":
    main()
