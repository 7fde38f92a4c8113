"""Questions about one recording: without one event at 90 % of it, and how sensitive its last output spike is.

In float64, one thread. 2312-800-10 with random weights that make it fire often, or seldom, on events uniform
over a 34 x 34 x 2 sensor, as many as an N-MNIST recording has (4200 in 300 ms), and ten times as long.
MNIST's convolutional network with its first weights, or with smaller ones, so that the second half of its
layers is silent, on a ring in the coding of HM2-BP's authors. Seconds of processor time, the smallest of each
repeat's calls: of a whole simulation of the edited recording; of `WhatIf.run` once its states exist, of
another event each time, which is checked to give the same bits; of that with all changes; of the first call,
which makes the states; of `sensitivity`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from common import comparison, emit, options, row, use_cores

import eventsnn as es
from eventsnn.model.authors import published_cnn
from speed.mnist import code

BAR = 0.25
CALLS = 60


def make(events: int, length_ms: float, hidden: float = 1.0) -> tuple[es.Network, es.EventStream]:
    """A network whose neurons fire some 20 times in 300 ms, less with smaller `hidden` weights, and a
    recording.
    """
    rng = np.random.default_rng(1)
    network = es.Network(es.Input(34, 34, 2), es.Dense(800, name="hidden"), es.Dense(10), seed=1)
    weights = {
        "hidden": hidden * rng.normal(0.13, 0.6, (800, 2312)),
        "output": rng.normal(0.03, 0.2, (10, 800)),
    }
    t = np.sort(rng.integers(0, int(1000 * length_ms), events))
    x, y = rng.integers(0, 34, (2, events))
    stream = es.EventStream.from_arrays(t, x, y, rng.integers(0, 2, events), sensor_size=(34, 34, 2))
    return network.with_weights(weights), stream


def make_spatial(gain: float) -> tuple[es.Network, es.EventStream]:
    """MNIST's convolutional network, its first weights times `gain`, and a ring as spikes."""
    network = published_cnn()
    weights = {key: gain * weights for key, weights in network.weights.items()}
    radius = np.hypot(*(np.mgrid[:28, :28] - 13.5))
    return network.with_weights(weights), code(
        255.0 * np.exp(-(((radius - 8.0) / 2.0) ** 2)), np.random.default_rng(1)
    )


def fastest(works: Sequence[Callable[[], Any]]) -> float:
    """Seconds of processor time of the fastest of some calls."""
    found = []
    for work in works:
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def measure(network: es.Network, stream: es.EventStream, calls: int) -> dict[str, float]:
    """Seconds of each kind of question."""
    record = es.simulate(network, stream)
    event = int(0.9 * len(stream))
    left = es.EventStream(np.delete(stream.events, event), stream.sensor_size)
    study = es.WhatIf(record, network=network)
    first = fastest([lambda: study.run(remove=event)])
    fresh, found = es.simulate(network, left), study.run(remove=event)
    for name in network.names:
        np.testing.assert_array_equal(fresh[name].times, found.after[name].times)
        np.testing.assert_array_equal(fresh[name].neurons, found.after[name].neurons)
    near = range(event - calls // 2, event - calls // 2 + calls)
    seconds = {
        "whole simulation": fastest([lambda: es.simulate(network, left)] * calls),
        "without one event": fastest([partial(study.run, remove=other) for other in near]),
        "with all changes": fastest([partial(changes_without, study, other) for other in near]),
        "the first time": first,
        "spikes": float(sum(len(spikes) for spikes in record.layers.values())),
    }
    if len(record.output):
        neuron = int(record.output.neurons[-1])
        spike = int(record.output.counts[neuron]) - 1
        ask = partial(es.sensitivity, record, layer="output", neuron=neuron, spike=spike, network=network)
        seconds["sensitivity"] = fastest([ask] * max(1, calls // 20))
    return seconds


def changes_without(study: es.WhatIf, event: int) -> dict[str, np.ndarray]:
    """All spikes that change without an event."""
    return study.run(remove=event).changes


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments)
    use_cores(1)
    rows, comparisons = [], []
    less = 10 if given.quick else 1
    calls = 2 if given.quick else CALLS
    for name, (network, stream) in {
        f"{4200 // less} events in 300 ms": make(4200 // less, 300.0),
        f"{42_000 // less} events in 3000 ms": make(42_000 // less, 3000.0),
        f"{4200 // less} events in 300 ms, few spikes": make(4200 // less, 300.0, 0.25),
        "convolutions, few spikes": make_spatial(0.6),
        "convolutions, many spikes": make_spatial(1.0),
    }.items():
        found = [measure(network, stream, calls) for _ in range(1 if given.quick else given.repeats)]
        rows += [
            row(kind, name, "s", [each[kind] for each in found], spikes=int(found[0]["spikes"]))
            for kind in found[0]
            if kind != "spikes"
        ]
        for kind in ("without one event", "with all changes"):
            ratio = float(np.median([each[kind] / each["whole simulation"] for each in found]))
            title = f"{kind} at 90 % / whole simulation, {name}"
            bar = BAR if kind == "without one event" else None
            comparisons.append(comparison(title, ratio, bar, at_least=False))
    emit("what_if", rows=rows, comparisons=comparisons)


if __name__ == "__main__":
    main()
