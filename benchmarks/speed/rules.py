"""Time and peak memory of each learning rule: training of 2312-800-10 on recordings like those of N-MNIST.

Every run is a process of its own on one core; the rules take turns. The first epoch warms up and does not
count. Recordings are 4000 events uniform over 300 ms, made from a fixed seed; all rules begin with the same
weights. "learned" is EventProp that also learns the delays of single neurons, time constants and thresholds;
"recurrent" networks have a trained connection of the hidden layer to itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import comparison, emit, options, row, use_cores

import eventsnn as es
from eventsnn.train.trainer import peak_rss_mb
from speed.figures import recordings

LEARNED = ("delays", "tau_m", "tau_s", "threshold")
CONTENDERS = {
    "hm2bp": ("hm2bp", (), False),
    "eventprop": ("eventprop", (), False),
    "eventprop, learned": ("eventprop", LEARNED, False),
    "hm2bp, recurrent": ("hm2bp", (), True),
    "eventprop, recurrent": ("eventprop", (), True),
}


def train_once(name: str, samples: int, hidden: int, batch: int) -> dict[str, Any]:
    """Seconds of wall and of processor time of the second epoch, and MiB at the peak."""
    rule, learn, recurrent = CONTENDERS[name]
    layers = [es.Dense(n, threshold=5.0, learn=learn) for n in (hidden, 10)]
    loops = [es.Connection("hidden", "hidden", delay=1.0, initial_weight=0.05)] if recurrent else []
    network = es.Network(es.Input(34, 34, 2), *layers, connections=loops, seed=1)
    kind = {"hm2bp": es.HM2BP, "eventprop": es.EventProp}[rule]
    with tempfile.TemporaryDirectory() as folder:
        result = es.train(
            network,
            recordings(samples),
            rule=kind(),
            epochs=2,
            batch_size=batch,
            valid_fraction=0.0,
            threads=1,
            out=Path(folder) / "run",
        )
    last = result.history[-1]
    return {
        "wall": last["train_seconds"],
        "cpu": last["cpu_seconds"],
        "peak_mib": peak_rss_mb(),
        "spikes_per_neuron": last["spikes_per_neuron"],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(
        __doc__,
        arguments,
        samples={"type": int, "default": None, "help": "recordings: 128, with --quick 8"},
        hidden={"type": int, "default": 800},
        batch={"type": int, "default": 16},
        one={"choices": list(CONTENDERS), "help": "measure this one in this process, once"},
    )
    samples = given.samples or (8 if given.quick else 128)
    size = samples, given.hidden, given.batch
    cores = use_cores(1)
    if given.one:
        print(json.dumps(train_once(given.one, *size)))
        return
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for _ in range(given.repeats):
        for name in CONTENDERS:
            found[name].append(_in_process(name, size))
    rows = [
        row(
            name,
            "training",
            "ms of processor time per recording",
            [1e3 * each["cpu"] / samples for each in runs],
            wall=[1e3 * each["wall"] / samples for each in runs],
            peak_mib=max(each["peak_mib"] or 0.0 for each in runs),
            spikes_per_neuron=runs[-1]["spikes_per_neuron"],
        )
        for name, runs in found.items()
    ]
    times = {each["contender"]: each["median"] for each in rows}
    ratios = [
        comparison(f"{name} / hm2bp", times[name] / times["hm2bp"], None, at_least=False)
        for name in CONTENDERS
        if name != "hm2bp"
    ]
    emit(
        "rules", rows=rows, comparisons=ratios, notes=[f"pinned to core(s) {cores}, batches of {given.batch}"]
    )


def _in_process(name: str, size: tuple[int, int, int]) -> dict[str, Any]:
    numbers = zip(("--samples", "--hidden", "--batch"), size, strict=True)
    own = [str(Path(__file__).parents[1]), "speed/rules", "--one", name]
    flags = [text for option, number in numbers for text in (option, str(number))]
    done = subprocess.run([sys.executable, *own, *flags], capture_output=True, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


if __name__ == "__main__":
    main()
