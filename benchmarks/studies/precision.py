"""Spikes in float32 beside float64: real recordings through a trained 2312-800-10 network.

Trains with datasets/nmnist/dense.toml on all but the recordings that are compared, simulates these in both
precisions, and prints one JSON object: quantiles of the differences of hidden spike times, ms, over all
trains (recording and neuron) with equal numbers of spikes, and how many trains that are.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import EXPERIMENT, describe_machine, find_nmnist, spread

import eventsnn as es


def compare(network: es.Network, streams: Sequence[es.EventStream]) -> dict[str, Any]:
    """Differences of the first layer's spike times between the two precisions."""
    first, differences, equal = network.layers[0].name, [], 0
    for stream in streams:
        single, double = (
            es.simulate(network, stream, dtype=dtype)[first] for dtype in ("float32", "float64")
        )
        for neuron in range(network.layers[0].neurons):
            a, b = single.of(neuron), double.of(neuron)
            if len(a) == len(b):
                equal += 1
                differences.append(np.abs(a - b))
    every = np.concatenate(differences)
    return {
        "trains": len(streams) * network.layers[0].neurons,
        "trains_with_equal_counts": equal,
        "spikes": len(every),
        "median_ms": float(np.median(every)),
        "percentile_99_ms": float(np.percentile(every, 99)),
        "largest_ms": float(every.max()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--recordings", type=int, default=10)
    parser.add_argument("--data", type=Path, help="$EVENTSNN_DATA/nmnist-1k by default")
    given = parser.parse_args(arguments)
    data = es.data.NMNIST(given.data or find_nmnist())
    compared = spread(given.recordings, len(data))
    learn = data.subset(np.setdiff1d(np.arange(len(data)), compared))
    with tempfile.TemporaryDirectory() as folder:
        fit = es.Experiment.load(EXPERIMENT).run(
            learn, out=Path(folder) / "run", epochs=given.epochs, valid_fraction=0.0
        )
    found = compare(fit.network, [data.stream(int(index)) for index in compared])
    print(json.dumps({**found, "epochs": given.epochs, **describe_machine()}))


if __name__ == "__main__":
    main()
