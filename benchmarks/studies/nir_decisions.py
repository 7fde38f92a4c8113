"""Decisions of a trained N-MNIST network in snnTorch and Norse, through NIR, against the step.

Trains 2312-N-10 on 900 real recordings, and runs the other 100 in exact time and in the other simulator with
ever shorter steps. If the difference is the simulator's error of a step, it falls in proportion to it. Prints
one JSON object: for each step, the row of `eventsnn verify`, and the recordings that are decided otherwise,
with the lead of the decision in exact time: spikes of the neuron that fired most less those of the next.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from common import describe_machine, find_nmnist, spread, versions

import eventsnn as es
from eventsnn.interop.verify import Recording, verify

NEURON = {"threshold": 15.0, "tau_m": 64.0, "tau_s": 8.0, "refractory": 0.0}
"""That of datasets/nmnist/dense.toml without a refractory period, which NIR does not have."""


def train(data: Any, hidden: int, head: str, epochs: int) -> es.Network:
    """A network trained with this head of HM2-BP."""
    layers = es.Dense(hidden, name="hidden", **NEURON), es.Dense(10, name="output", **NEURON)
    network = es.Network(es.Input(34, 34, 2), *layers, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        fit = es.train(
            network,
            data,
            rule=es.HM2BP(head=head),
            epochs=epochs,
            out=folder,
            overwrite=True,
            valid_fraction=0.0,
            optimiser=es.Optimiser(learning_rate=0.01, schedule="inverse_sqrt"),
            augmentation=es.Augmentation(shift=1, drop=0.1, time_scale=0.1),
        )
    return fit.network


def measure(
    network: es.Network, recordings: list[Recording], against: str, steps: list[float]
) -> dict[str, Any]:
    """Leads in exact time, and rows of `Verification.rows` with the decisions that differ."""
    counts = np.sort([es.simulate(network, each.events).output.counts for each in recordings])
    leads = counts[:, -1] - counts[:, -2]
    found = verify(network, recordings, against, steps)
    rows = found.rows()
    for row in rows:
        changes = found.comparisons[row["dt_s"]].decisions
        row["other_decisions"] = [{**asdict(each), "lead": int(leads[each.sample_a])} for each in changes]
    return {"median_lead": float(np.median(leads)), "rows": rows}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, verify, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--head", choices=["count", "softmax"], default="softmax")
    parser.add_argument("--hidden", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--recordings", type=int, default=100)
    parser.add_argument("--against", choices=["snntorch", "norse"], default="snntorch")
    parser.add_argument("--dt", type=float, nargs="+", default=[1e-3, 2e-4, 1e-4, 5e-5, 2e-5])
    given = parser.parse_args(arguments)
    data = es.data.NMNIST(find_nmnist())
    tested = spread(given.recordings, len(data))
    network = train(
        data.subset(np.setdiff1d(np.arange(len(data)), tested)), given.hidden, given.head, given.epochs
    )
    recordings = [
        Recording(str(data.paths[n]), data.stream(int(n)), int(data.labels[n])) for n in tested.tolist()
    ]
    accuracy = es.evaluate(network, data.subset(tested)).accuracy
    found = measure(network, recordings, given.against, given.dt)
    facts = {"network": repr(network), "head": given.head, "epochs": given.epochs, "accuracy": accuracy}
    print(json.dumps({**facts, "against": given.against, **found, **describe_machine(), **versions()}))


if __name__ == "__main__":
    main()
