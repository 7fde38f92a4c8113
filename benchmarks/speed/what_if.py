"""Questions about one recording: without one event at 90 % of it, and how sensitive its last output spike is.

2312-800-10 with random weights, float64, one thread; events uniform over a 34 x 34 x 2 sensor, as many as an
N-MNIST recording has (4200 in 300 ms), and ten times as long. Seconds of wall time, the smallest of each
repeat's calls: of a whole simulation of the edited recording; of `WhatIf.run` once its states exist, which is
checked to give the same bits; of the first call, which makes them; of `sensitivity`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from common import comparison, emit, options, row, use_cores

import eventsnn as es

BAR = 0.25
CALLS = 20


def make(events: int, length_ms: float) -> tuple[es.Network, es.EventStream]:
    """A network whose neurons fire some 20 times in 300 ms, and a recording."""
    rng = np.random.default_rng(1)
    network = es.Network(es.Input(34, 34, 2), es.Dense(800, name="hidden"), es.Dense(10), seed=1)
    weights = {
        "hidden": rng.normal(0.13, 0.6, (800, 2312)),
        "output": rng.normal(0.03, 0.2, (10, 800)),
    }
    t = np.sort(rng.integers(0, int(1000 * length_ms), events))
    x, y = rng.integers(0, 34, (2, events))
    stream = es.EventStream.from_arrays(t, x, y, rng.integers(0, 2, events), sensor_size=(34, 34, 2))
    return network.with_weights(weights), stream


def fastest(work: Callable[[], Any], calls: int) -> float:
    """Seconds of wall time of the fastest of some calls."""
    found = []
    for _ in range(calls):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def measure(events: int, length_ms: float, calls: int) -> dict[str, float]:
    """Seconds of each kind of question."""
    network, stream = make(events, length_ms)
    record = es.simulate(network, stream)
    event = int(0.9 * events)
    left = es.EventStream(np.delete(stream.events, event), stream.sensor_size)
    study = es.WhatIf(record, network=network)
    first = fastest(lambda: study.run(remove=event), 1)
    fresh, found = es.simulate(network, left), study.run(remove=event)
    for name in network.names:
        np.testing.assert_array_equal(fresh[name].times, found.after[name].times)
        np.testing.assert_array_equal(fresh[name].neurons, found.after[name].neurons)
    neuron = int(record.output.neurons[-1])
    spike = int(record.output.counts[neuron]) - 1
    return {
        "whole simulation": fastest(lambda: es.simulate(network, left), calls),
        "without one event": fastest(lambda: study.run(remove=event), calls),
        "the first time": first,
        "sensitivity": fastest(
            lambda: es.sensitivity(record, layer="output", neuron=neuron, spike=spike, network=network),
            max(1, calls // 5),
        ),
        "spikes": float(sum(len(spikes) for spikes in record.layers.values())),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments)
    use_cores(1)
    rows, comparisons = [], []
    for events, length in ((4200, 300.0), (42_000, 3000.0)):
        if given.quick:
            events //= 10
        calls = 2 if given.quick else CALLS
        found = [measure(events, length, calls) for _ in range(1 if given.quick else given.repeats)]
        name = f"{events} events in {length:g} ms"
        rows += [
            row(kind, name, "s", [each[kind] for each in found], spikes=int(found[0]["spikes"]))
            for kind in ("whole simulation", "without one event", "the first time", "sensitivity")
        ]
        ratio = float(np.median([each["without one event"] / each["whole simulation"] for each in found]))
        title = f"without one event at 90 % / whole simulation, {name}"
        comparisons.append(comparison(title, ratio, BAR, at_least=False))
    emit("what_if", rows=rows, comparisons=comparisons)


if __name__ == "__main__":
    main()
