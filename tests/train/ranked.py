"""What tests run as several processes: training of all kinds of networks, and ways to fail.

python -m tests.train.ranked digest OUT.json     trains everything; rank 0 writes what came out
python -m tests.train.ranked fail HOW TRAIN...   the command line, which rank 1 does not survive
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from eventsnn._util.ranks import find_ranks
from eventsnn.data.augment import Augmentation
from eventsnn.errors import TrainingError
from eventsnn.learn.eventprop import EventProp
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.learn.optimisers import Optimiser
from eventsnn.model import Connection, Conv, Dense, Input, Network, Pool, Readout
from eventsnn.train import clocks
from eventsnn.train.run import TrainingRun
from eventsnn.train.trainer import TrainResult
from tests.train.toy import SENSOR, timeless, toy_train

NEURON: dict[str, Any] = {"threshold": 2.0, "tau_m": 30.0, "tau_s": 6.0}
LOOP = [Connection("hidden", "hidden", delay=1.0)]
FAILURE = "this recording is beyond help"


def chain(*layers: Any, **settings: Any) -> Network:
    """Layers between the toy recordings' sensor and three output neurons."""
    return Network(
        Input(*SENSOR, **settings.pop("sensor", {})), *layers, Dense(3, **NEURON), seed=3, **settings
    )


def cases() -> dict[str, dict[str, Any]]:
    """Arguments of `toy_train`; layers have several blocks of neurons, which ranks divide."""
    deep = chain(Dense(100, **NEURON), Dense(70, **NEURON))
    maps = chain(Conv(6, 3, **NEURON), Pool(2), Dense(70, **NEURON))
    learns = chain(Dense(100, delay=1.0, learn=("delay", "tau_m"), **NEURON), Dense(70, **NEURON))
    inhibited = Network(
        Input(*SENSOR), Dense(70, **NEURON), Dense(3, lateral_inhibition=1.0, **NEURON), seed=3
    )
    readout = Network(Input(*SENSOR), Dense(100, **NEURON), Readout(3, tau_m=30.0, tau_s=6.0), seed=3)
    return {
        "dense": {},
        "one recording a mini-batch": {"batch_size": 1, "epochs": 1},
        "deep": {"network": deep},
        "a small layer above one of several blocks": {
            "network": chain(Dense(100, **NEURON), Dense(20, delay=1.0, **NEURON))
        },
        "outputs that inhibit each other, two threads": {
            "network": inhibited,
            "threads": 2,
            "batch_size": 7,
        },
        "float64, biases": {
            "network": chain(Dense(100, bias=True, **NEURON), sensor={"bias_interval": 10.0}),
            "dtype": "float64",
        },
        "convolution": {"network": maps},
        "convolution, one recording a mini-batch": {"network": maps, "batch_size": 1, "epochs": 1},
        "dropout": {
            "network": chain(Dense(100, dropout=0.3, **NEURON), Dense(70, dropout=0.2, **NEURON)),
        },
        "augmented, gradient descent": {
            "augmentation": Augmentation(shift=1, drop=0.1),
            "optimiser": Optimiser(name="sgd", learning_rate=0.01),
        },
        "boosting, penalty": {
            "rule": HM2BP(desired=8, undesired=1, margin=1.0, boosting=True, penalty_lambda=1.0)
        },
        "derivatives": {"rule": EventProp(), "network": deep},
        "derivatives, convolution": {"rule": EventProp(), "network": maps},
        "derivatives, convolution, one recording a mini-batch": {
            "rule": EventProp(),
            "network": maps,
            "batch_size": 1,
            "epochs": 1,
        },
        "derivatives, learned constants": {"rule": EventProp(), "network": learns},
        "derivatives, readout": {"rule": EventProp(), "network": readout},
        "derivatives, recurrent": {
            "rule": EventProp(),
            "network": chain(Dense(70, **NEURON), connections=LOOP),
        },
        "recurrent": {"network": chain(Dense(70, **NEURON), connections=LOOP)},
        "clocked": {"engine": "clocked"},
    }


def digest(result: TrainResult) -> list[str]:
    """Checksums of the weights and of the metrics."""
    weights = hashlib.sha256()
    for key in sorted(result.network.weights):
        weights.update(key.encode() + np.asarray(result.network.weights[key]).tobytes())
    return [weights.hexdigest(), hashlib.sha256(json.dumps(timeless(result.history)).encode()).hexdigest()]


def digest_all() -> dict[str, list[str]]:
    """What comes out of each of the `cases`, on this rank."""
    ranks, found = find_ranks(), {}
    for number, (name, arguments) in enumerate(cases().items()):
        # Every second one divides the reading, too, from its second epoch on.
        share = patch.object(clocks, "SHARE", 0.0 if number % 2 else math.inf)
        with share, warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            shared = ranks.of_first(lambda folder=folder: folder)
            found[name] = digest(toy_train(Path(shared) / "run", **arguments))
            ranks.collect(None)  # the folder is the first rank's, and must stay until all are done
    return found


def fail(how: str, arguments: list[str]) -> int:
    """The command line; in the second epoch rank 1 raises an error, computes something else, or is killed."""
    from eventsnn.cli import main

    learn = TrainingRun._learn

    def learn_or_fail(run: TrainingRun, *rest: Any) -> None:
        if run.ranks.rank == 1 and run.epoch == 1:
            if how == "raise":
                raise TrainingError(FAILURE)
            if how == "differ":
                run.states["output"].weights[0, 0, 0] += 1e-3
                return learn(run, *rest)
            os.kill(os.getpid(), {"kill": signal.SIGKILL, "interrupt": signal.SIGINT}[how])
        learn(run, *rest)

    TrainingRun._learn = learn_or_fail  # type: ignore[method-assign]
    return main(arguments)


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "fail":
        sys.exit(fail(rest[0], rest[1:]))
    every = find_ranks().collect(digest_all())
    if find_ranks().first:
        Path(rest[0]).write_text(json.dumps(every))
