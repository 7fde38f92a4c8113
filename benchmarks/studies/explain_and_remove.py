"""What the contributions that `explain` gives say about removing an event, and what they do not.

Trains a network and looks at one spike (the first, or the middle one) of the most active output neuron,
explained through the hidden layer, and at one of the most active hidden neuron, whose events contribute
directly. Removes every event before it in turn, simulates anew, and prints Spearman's rank correlation of the
contributions with the delays of that spike (by its number among the neuron's). One that is gone counts as
latest.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from common import EXPERIMENT, describe_machine, find_nmnist
from scipy.stats import spearmanr

import eventsnn as es
from eventsnn.train.experiment import Experiment


def spike_time(network: es.Network, stream: es.EventStream, layer: str, neuron: int, number: int) -> float:
    """Time of a spike of a neuron, ms; infinite if there are fewer."""
    times = es.simulate(network, stream)[layer].of(neuron)
    return float(times[number]) if len(times) > number else np.inf


def compare(
    network: es.Network, stream: es.EventStream, trace: Path, layer: str, middle: bool
) -> dict[str, float]:
    """The correlation over all events before a spike of a layer's most active neuron."""
    counts = es.simulate(network, stream, trace=trace)[layer].counts
    neuron = int(counts.argmax())
    spike = int(counts[neuron]) // 2 if middle else 0
    explanation = es.explain(trace, layer=layer, neuron=neuron, spike=spike)
    numbers = {(e["t"], e["x"], e["y"], e["p"]): number for number, e in enumerate(stream.events)}
    contributions, delays = [], []
    for t, x, y, p, contribution in explanation.events.tolist():
        rest = es.EventStream(np.delete(stream.events, numbers[t, x, y, p]), stream.sensor_size)
        contributions.append(contribution)
        delays.append(spike_time(network, rest, layer, neuron, spike) - explanation.time_ms)
    return {
        "spike": spike,
        "events": len(delays),
        "spearman": float(spearmanr(contributions, delays).statistic),
        "gone": int(np.isinf(delays).sum()),
    }


def main() -> None:
    """Train, compare, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--middle", action="store_true", help="the middle spike instead of the first")
    options = parser.parse_args()
    data = es.data.NMNIST(find_nmnist())
    with tempfile.TemporaryDirectory() as folder:
        trained = Experiment.load(EXPERIMENT).run(data, out=f"{folder}/run", epochs=options.epochs)
        result: dict[str, object] = {"training_accuracy": trained.history[-1]["accuracy"]}
        chosen = np.linspace(0, len(data) - 1, options.recordings).astype(int)
        for layer in trained.network.names:
            result[layer] = [
                compare(
                    trained.network,
                    data.stream(int(index)),
                    Path(folder) / f"{layer}{index}.h5",
                    layer,
                    options.middle,
                )
                for index in chosen
            ]
    print(json.dumps({**result, **describe_machine()}))


if __name__ == "__main__":
    main()
