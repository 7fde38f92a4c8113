"""Training gives the same bits for any number of threads, and with kernels called one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eventsnn._ext.team import Pipeline
from eventsnn._util import threads
from eventsnn._util.threads import Pool
from eventsnn.learn.eventprop import EventProp
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.learn.optimisers import Optimiser
from eventsnn.model import Connection, Conv, Dense, Input, Network, Readout
from eventsnn.model import Pool as Pooling
from eventsnn.simulate.engines import layer_run
from eventsnn.train import trainer
from tests.train.toy import CLASSES, RULE, SENSOR, toy_data, toy_network, toy_train

LIF = {"threshold": 1.0, "tau_m": 20.0, "tau_s": 5.0}


def chain(*layers: Any, last: Any = None, **options: Any) -> Network:
    inputs = options.pop("inputs", Input(*SENSOR))
    return Network(inputs, *layers, last or Dense(CLASSES, **LIF), seed=5, **options)


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "two layers": dict,
    "no lateral inhibition": lambda: {"network": chain(Dense(40, **LIF))},
    "nobody is forced": lambda: {
        "rule": HM2BP(desired=8, undesired=1, force_label_spikes=False),
        "network": chain(Dense(40, **LIF)),
    },
    "float64": lambda: {"dtype": "float64"},
    "gradient descent": lambda: {"optimiser": Optimiser("sgd", learning_rate=0.001, momentum=0.9)},
    "softmax": lambda: {"rule": HM2BP(desired=8, undesired=1, head="softmax")},
    "weight decay": lambda: {"rule": HM2BP(desired=8, undesired=1, weight_decay=0.001)},
    "one layer": lambda: {"network": chain()},
    "three hidden layers": lambda: {"network": chain(*(Dense(n, **LIF) for n in (40, 70, 33)))},
    "a delay, no biases": lambda: {
        "network": chain(Dense(40, **LIF), last=Dense(CLASSES, delay=1.5, **LIF)),
    },
    "a delay of each synapse": lambda: {
        "network": chain(
            Dense(8, **LIF), last=Dense(CLASSES, delay=[0.5 * (k % 3) for k in range(8)], **LIF)
        ),
    },
    "many outputs": lambda: {"network": chain(Dense(40, **LIF), last=Dense(70, **LIF))},
    "refractory periods": lambda: {
        "network": chain(Dense(40, refractory=3.0, **LIF), last=Dense(CLASSES, refractory=2.0, **LIF))
    },
    "delays and biases": lambda: {
        "network": chain(
            Dense(40, delay=1.5, **LIF),
            Dense(35, delay=0.25, **LIF),
            inputs=Input(*SENSOR, bias_interval=10.0),
        )
    },
    "dropout": lambda: {"network": chain(Dense(40, dropout=0.5, **LIF))},
    "convolution": lambda: {
        "network": chain(Conv(3, 3, padding=1, **LIF), Pooling(2, **LIF), Dense(20, **LIF)),
    },
    "resting potential": lambda: {"network": chain(Dense(40, resting=0.2, **LIF))},
    "EventProp": lambda: {"rule": EventProp(), "network": chain(Dense(40, **LIF))},
    "EventProp, constants learned": lambda: {
        "rule": EventProp(),
        "network": chain(Dense(40, delay=1.0, learn=("delay", "tau_m", "threshold"), **LIF)),
    },
    "EventProp, convolution": lambda: {"rule": EventProp(), "network": chain(Conv(3, 3, **LIF))},
    "readout": lambda: {
        "rule": EventProp(),
        "network": chain(Dense(40, **LIF), last=Readout(CLASSES, tau_m=20.0, tau_s=5.0)),
    },
    "recurrent": lambda: {
        "network": chain(Dense(40, **LIF), connections=[Connection("hidden", "hidden", delay=1.0)])
    },
    "clock": lambda: {"engine": "clocked"},
}


class OneByOne(Pool):
    """The Python road: kernels are called by one thread, and each is done when its call returns."""

    def share(self, work, counter=None, items=None):
        work()

    begin = share


def run(folder: Path, case: str, threads: int) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    options = {"epochs": 2, "data": toy_data(21), "batch_size": 5, **CASES[case]()}
    fit = toy_train(folder, threads=threads, **options)
    clocks = ("train_seconds", "seconds", "cpu_seconds")
    return fit.network.weights, [{k: v for k, v in line.items() if k not in clocks} for line in fit.history]


@pytest.mark.parametrize("case", CASES)
def test_the_number_of_threads_changes_no_bit(case: str, tmp_path: Path, monkeypatch) -> None:
    runs = [run(tmp_path / str(threads), case, threads) for threads in (1, 2, 3, 5)]
    monkeypatch.setattr(trainer, "Pool", OneByOne)
    runs.append(run(tmp_path / "plain", case, 1))
    weights, lines = runs[0]
    first = toy_network() if "network" not in CASES[case]() else CASES[case]()["network"]
    assert any((weights[key] != first.weights[key]).any() for key in weights), "nothing was learned"
    for others, lines_of_others in runs[1:]:
        assert lines_of_others == lines
        for key in weights:
            np.testing.assert_array_equal(others[key], weights[key])


@pytest.mark.parametrize("case", CASES)
def test_going_sample_by_sample_changes_no_bit(case: str, tmp_path: Path, monkeypatch) -> None:
    """Small layers in one pipeline of stages, and the same step by step, with Python between."""
    found = run(tmp_path / "by sample", case, 3)
    monkeypatch.setattr(layer_run, "CACHED", 0)
    expected = run(tmp_path / "by block", case, 3)
    assert found[1] == expected[1]
    for key in found[0]:
        np.testing.assert_array_equal(found[0][key], expected[0][key])


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("two layers", ["Merge Tables Sweep", "ChargeCounts Learn DirectFactors"]),
        ("no lateral inhibition", ["Merge Tables Sweep CountErrors", "ChargeCounts Learn DirectFactors"]),
        ("delays and biases", ["Merge Delivery Tables Sweep", "ChargeCounts Learn DirectFactors"]),
        ("convolution", ["Merge Tables Sweep CountErrors", "ChargeCounts Learn"]),
        ("softmax", ["Merge Tables Sweep", "ChargeCounts Learn DirectFactors"]),
    ],
)
def test_the_last_layer_goes_sample_by_sample(case, expected, tmp_path: Path, monkeypatch) -> None:
    """In both passes, without Python between the stages."""
    seen = []
    begin = Pool.begin

    def note(self, work, counter=None, items=None):
        if isinstance(work, Pipeline):
            seen.append(" ".join(type(stage).__name__ for stage in work.stages))
        begin(self, work, counter, items)

    monkeypatch.setattr(threads, "FEW", 0)
    monkeypatch.setattr(Pool, "begin", note)
    run(tmp_path / "run", case, 2)
    assert set(expected) <= set(seen)


def test_an_error_in_a_kernel_comes_out_of_the_team(tmp_path: Path) -> None:
    """Weights beyond the range of float32 make the state overflow in every block."""
    network = toy_network()
    huge = network.with_weights({key: np.full(w.shape, 3e38) for key, w in network.weights.items()})
    with pytest.raises(Exception, match="float32") as found:
        toy_train(tmp_path / "run", network=huge, threads=3, rule=RULE)
    assert "hidden" in str(found.value)
