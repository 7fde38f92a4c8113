"""One recurrent network divided over processes: several ranks against one, at several levels of activity.

The network of `speed/recurrent`, 10,000 neurons with 100 recurrent inputs each, and an input train for every
neuron. One rank and all ranks take turns in the same processes, on one machine: a figure of one rank is that
of rank 0 while the others wait. Ranks of one machine exchange spikes through memory; "messages" is how they
do between machines, here through the same memory, with bytes and time of an exchange. It needs as many
cores as there are ranks, and a quiet machine: ranks wait for each other every 1.5 ms of the network's time.

    python benchmarks speed/recurrent_ranks
    python benchmarks speed/recurrent_ranks --ranks 4 --neurons 40000
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from common import command, comparison, emit, options, row

LEVELS = {"37 Hz, strong input": (2.0, 13.5), "9 Hz, weak input": (0.1, 19.0), "silent": (0.02, 13.5)}
"""Rate of the input trains, kHz, and resting potential of the neurons (their threshold is 20)."""
BAR = 1.7


def measure(level: str, neurons: int, duration: float, repeats: int) -> dict[str, Any]:
    """Seconds of one rank and of all, in turns: of the run alone, and of the whole call of `simulate`."""
    import eventsnn as es
    from eventsnn._util.ranks import find_ranks
    from eventsnn.simulate.engines import divided, windows
    from speed.recurrent import Setting, draw_trains, make_network

    ranks, (rate, resting) = find_ranks(), LEVELS[level]
    setting = Setting(
        neurons=neurons, inputs=100, weight=0.4 * 2.0**0.5, input_rate_khz=rate, resting=resting
    )
    network, trains = make_network(setting, 0), draw_trains(setting, duration, 0)
    seconds: dict[str, list[float]] = {
        name: [] for name in ("one", "all", "messages", "one, whole", "all, whole", "swap")
    }
    sent, spikes, kept = 0, [], (trains[0], trains[1].astype(np.int32))

    def turn(name: str, call: Any, everybody: bool) -> None:
        ranks.collect(None)
        if everybody or ranks.first:
            start = time.perf_counter()
            spikes.append(call())
            seconds[name].append(time.perf_counter() - start)
        ranks.collect(None)

    for number in range(repeats):
        one, every = windows.WindowsRun(network), divided.DividedRun(network, ranks)
        turn("one", lambda one=one: one.advance(kept, math.inf, duration)[0], False)
        with patch.object(divided, "make_exchange", divided.Exchange):
            apart = divided.DividedRun(network, ranks)
        # Who comes second finds caches that are filled.
        for name, run in [("all", every), ("messages", apart)][:: 1 if number % 2 else -1]:
            received = ranks.received
            turn(name, lambda run=run: run.advance(kept, math.inf, duration)[0], True)
            sent = ranks.received - received if name == "messages" else sent
        turn("one, whole", lambda: _train(es.simulate(network, trains, t_stop=duration)), False)
        turn("all, whole", lambda: _train(es.simulate(network, trains, t_stop=duration, ranks=True)), True)
    if ranks.first:
        for times, which in spikes[1:]:
            assert np.array_equal(times, spikes[0][0])
            assert np.array_equal(which, spikes[0][1])
    # Once more, with a clock at every exchange, which costs a little.
    swap = divided.Exchange.swap

    def timed(*given: Any) -> Any:
        start = time.perf_counter()
        found = swap(*given)
        seconds["swap"].append(time.perf_counter() - start)
        return found

    with (
        patch.object(divided.Exchange, "swap", timed),
        patch.object(divided, "make_exchange", divided.Exchange),
    ):
        divided.DividedRun(network, ranks).advance(kept, math.inf, duration)
    return {"seconds": seconds, "received": sent, "spikes": len(spikes[0][0])}


def _train(record: Any) -> tuple[np.ndarray, np.ndarray]:
    return record.output.times, record.output.neurons


def ask(level: str, ranks: int, given: Any) -> dict[str, Any] | None:
    """`measure` in `ranks` processes; None where nothing can be launched."""
    launcher = Path(sys.executable).with_name("mpiexec")
    if not launcher.exists():
        return None
    told = {"neurons": given.neurons, "duration": given.duration, "repeats": given.repeats}
    more = [part for name, value in told.items() for part in (f"--{name}", str(value))]
    line = [str(launcher), "-n", str(ranks), *command("speed/recurrent_ranks", "--child", level, *more)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=600)
    if done.returncode:
        sys.stderr.write(done.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(
        __doc__,
        arguments,
        neurons={"type": int, "default": 10_000},
        duration={"type": float, "default": 100.0, "help": "ms"},
        ranks={"type": int, "default": 2},
        child={"choices": list(LEVELS), "help": "one measurement, for this program"},
    )
    if given.child is not None:
        from eventsnn._util.ranks import find_ranks

        found = measure(given.child, given.neurons, given.duration, given.repeats)
        if find_ranks().first:
            print(json.dumps(found))
        return
    if given.quick:
        given.neurons, given.duration, given.repeats = 500, 20.0, 1
    rows, checks, notes = [], [], []
    for level in LEVELS:
        found = ask(level, given.ranks, given)
        if found is None:
            notes.append("needs mpi4py and its mpiexec: pip install 'eventsnn[mpi]'")
            break
        seconds = found["seconds"]
        exchanges = len(seconds["swap"])
        for name, times in seconds.items():
            if name != "swap":
                rows.append(row(name, level, "s", times, spikes=found["spikes"]))
        microseconds = [1e6 * each for each in seconds["swap"]]
        received = found["received"] / exchanges
        rows.append(row("exchange", level, "us", microseconds, count=exchanges, bytes_received=received))
        for whole in ("", ", whole"):
            gain = statistics.median(seconds[f"one{whole}"]) / statistics.median(seconds[f"all{whole}"])
            bar = BAR if given.ranks == 2 and not whole and not given.quick else None
            checks.append(comparison(f"{given.ranks} ranks / 1 rank, {level}{whole}", gain, bar))
        gain = statistics.median(seconds["one"]) / statistics.median(seconds["messages"])
        checks.append(comparison(f"{given.ranks} ranks / 1 rank, {level}, by messages", gain, None))
    emit("recurrent_ranks", rows=rows, comparisons=checks, notes=notes)


if __name__ == "__main__":
    main()
