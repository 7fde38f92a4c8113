"""`train(..., device="cuda")` in emulation: what the CPU learns, resumed, divided, stopped and refused."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as es
from eventsnn._util.ranks import ALONE
from eventsnn.cli import main
from eventsnn.errors import ResumeWarning, TrainingError
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.learn.optimisers import OPTIMISERS, Method
from eventsnn.model import Conv, Dense, Input, Network, Pool, Readout, Reservoir
from eventsnn.train.checkpoint import load_checkpoint
from eventsnn.train.device import DeviceLearner
from eventsnn.train.device_check import check_device
from eventsnn.train.trainer import TrainResult
from tests.gpu.emulation import needs_emulation
from tests.train.toy import (
    OPTIMISER,
    RULE,
    SENSOR,
    assert_same_weights,
    timeless,
    toy_data,
    toy_network,
    toy_train,
    write_toy_folder,
)

pytestmark = needs_emulation


@pytest.fixture(autouse=True)
def emulate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSNN_GPU", "emulate")


def device_train(out: Path, **changes: Any) -> TrainResult:
    return toy_train(out, **{"device": "cuda", "data": toy_data(20), "epochs": 2} | changes)


def assert_close_history(found, expected):
    for line, other in zip(timeless(found), timeless(expected), strict=True):
        norms, others = line.pop("gradient_norms"), other.pop("gradient_norms")
        assert norms == pytest.approx(others, rel=1e-9)
        assert line == pytest.approx(other, rel=1e-9)


def spatial_network() -> Network:
    """A convolution with borders, and pooling, below the output layer."""
    return Network(
        Input(*SENSOR, bias_interval=10.0),
        Conv(4, 3, padding=1, threshold=1.5, tau_m=30.0, tau_s=6.0),
        Pool(2, threshold=0.8, tau_m=30.0, tau_s=6.0),
        Dense(3, threshold=2.0, tau_m=30.0, tau_s=6.0, lateral_inhibition=0.5),
        seed=5,
    )


def exact_network(make):
    """A network without lateral inhibition, which exact derivatives do not take on a device."""
    network = make()
    return network.replace(network.output.name, lateral_inhibition=0.0)


def readout_network() -> Network:
    return Network(
        Input(*SENSOR), Dense(40, threshold=1.0, **LIF), Readout(3, value="max", delay=0.5, **LIF), seed=3
    )


LIF = {"tau_m": 30.0, "tau_s": 6.0}
EXACT = es.EventProp(scale=4.0, early=0.01, silent_share=0.5, spikes_pull=0.001)
TRAINED = [
    {"network": toy_network()},
    {"network": spatial_network()},
    {"network": exact_network(toy_network), "rule": EXACT},
    {"network": exact_network(spatial_network), "rule": EXACT},
    {"network": readout_network(), "rule": EXACT},
]
names = ["dense", "spatial", "exact, dense", "exact, spatial", "exact, readout"]
each = pytest.mark.parametrize("given", TRAINED, ids=names)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "network": spatial_network(),
            "rule": dataclasses.replace(RULE, penalty_lambda=1.0, penalty_beta=0.04, silent_post_spsp=0.1),
        },
        {
            "rule": HM2BP(head="softmax", weight_decay=0.01),
            "optimiser": dataclasses.replace(OPTIMISER, name="sgd"),
        },
        {
            "rule": dataclasses.replace(RULE, boosting=True, penalty_lambda=1.0, penalty_beta=0.04),
            "optimiser": dataclasses.replace(OPTIMISER, name="adamw", warmup=3.0),
            "augmentation": es.Augmentation(shift=1, drop=0.1),
        },
        {"network": exact_network(toy_network), "rule": EXACT},
        {"network": readout_network(), "rule": EXACT, "valid_fraction": 0.2},
        {
            "network": exact_network(spatial_network),
            "rule": EXACT,
            "optimiser": dataclasses.replace(OPTIMISER, name="nesterov", learning_rate=0.002),
        },
    ],
    ids=[
        *("plain", "convolution, penalty", "softmax, sgd", "boosting, penalty, adamw, augmentation"),
        *("exact", "exact, readout", "exact, convolution, nesterov"),
    ],
)
def test_learns_what_the_cpu_learns(tmp_path, changes):
    found = device_train(tmp_path / "device", dtype="float64", **changes)
    expected = device_train(tmp_path / "cpu", device="cpu", dtype="float64", **changes)
    assert_close_history(found.history, expected.history)
    for key, weights in expected.network.weights.items():
        np.testing.assert_allclose(found.network.weights[key], weights, rtol=1e-9, atol=1e-9)


def test_reaches_the_accuracy_of_the_cpu(tmp_path):
    data, valid = toy_data(30), toy_data(12, seed=500)
    found = toy_train(tmp_path / "device", device="cuda", data=data, valid=valid)
    expected = toy_train(tmp_path / "cpu", data=data, valid=valid)
    assert found.valid_accuracy == expected.valid_accuracy == 1.0
    assert es.evaluate(found.network, valid).accuracy == 1.0


@each
def test_resuming_gives_the_bits_of_an_uninterrupted_run(tmp_path, given):
    whole = device_train(tmp_path / "whole", epochs=3, **given)
    device_train(tmp_path / "parts", epochs=1, **given)
    parts = device_train(tmp_path / "parts", epochs=3, resume=True, **given)
    assert_same_weights(whole.network, parts.network)
    assert timeless(whole.history) == timeless(parts.history)
    checkpoint = (tmp_path / "whole" / "checkpoint.h5").stat().st_size
    assert checkpoint == (tmp_path / "parts" / "checkpoint.h5").stat().st_size


def test_an_interrupt_keeps_the_last_whole_epoch(tmp_path, monkeypatch):
    whole = device_train(tmp_path / "whole", epochs=2)
    calls, accumulate = [], DeviceLearner.accumulate

    def stop_in_second_epoch(self, *arguments, **more):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return accumulate(self, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(DeviceLearner, "accumulate", stop_in_second_epoch)
        with pytest.raises(KeyboardInterrupt):
            device_train(tmp_path / "stopped", epochs=2)
    found = device_train(tmp_path / "stopped", epochs=2, resume=True)
    assert_same_weights(whole.network, found.network)


@each
def test_a_mini_batch_in_parts_changes_no_bit(tmp_path, monkeypatch, given):
    whole = device_train(tmp_path / "whole", epochs=1, batch_size=8, **given)
    monkeypatch.setattr(DeviceLearner, "most", 3)
    divided = device_train(tmp_path / "divided", epochs=1, batch_size=8, **given)
    assert_same_weights(whole.network, divided.network)
    assert timeless(whole.history) == timeless(divided.history)


def test_a_run_may_go_on_on_another_device_and_says_so(tmp_path):
    device_train(tmp_path, device="cpu", epochs=1)
    with pytest.warns(ResumeWarning, match="trained on device cpu, and this run uses cuda"):
        device_train(tmp_path, epochs=2, resume=True)
    with pytest.warns(ResumeWarning, match="trained on device cpu, cuda, and this run uses cpu"):
        last = device_train(tmp_path, device="cpu", epochs=3, resume=True)
    whole = device_train(tmp_path / "whole", device="cpu", epochs=3)
    for line, other in zip(timeless(last.history), timeless(whole.history), strict=True):
        assert line["loss"] == pytest.approx(other["loss"], rel=1e-3)
    device_train(tmp_path, device="cpu", epochs=3, resume=True)  # the same device as before: no warning
    assert load_checkpoint(tmp_path / "checkpoint.h5").config["device"] == "cpu, cuda, cpu"


def test_weights_that_overflow_are_an_error(tmp_path):
    with pytest.raises(TrainingError, match="overflowed"):
        device_train(tmp_path, optimiser=es.Optimiser("sgd", learning_rate=1e15))


def test_the_command_line_trains_on_a_device(tmp_path):
    folder = write_toy_folder(tmp_path / "data", 12)
    experiment = tmp_path / "toy.toml"
    experiment.write_text(
        "[network.input]\nwidth = 6\nheight = 5\npolarities = 2\n"
        '[[network.layers]]\ntype = "dense"\nneurons = 8\nthreshold = 2.0\n'
        '[[network.layers]]\ntype = "dense"\nneurons = 3\nthreshold = 2.0\n'
        "[training]\nepochs = 1\nbatch_size = 4\n"
    )
    out = tmp_path / "run"
    arguments = ["train", str(experiment), "--train", str(folder), "--out", str(out), "--device", "cuda"]
    assert main(arguments) == 0
    assert "--device cuda" in (out / "command.txt").read_text()


def network(*layers: object, **more: object) -> Network:
    return Network(Input(*SENSOR, **more), *layers)


class Later(HM2BP):
    """Other charges than those of spike counts."""

    def charges(self, layer, above):
        return super().charges(layer, above)


class Gentle(es.EventProp):
    """Another pull on silent neurons."""

    def silent_gradients(self, layer, labels):
        return 0.5 * super().silent_gradients(layer, labels)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"network": network(Dense(40), Dense(33, lateral_inhibition=0.5))}, "lateral inhibition"),
        ({"rule": es.EventProp()}, "chains without lateral inhibition, and layer 'output' has some"),
        (
            {"rule": EXACT, "network": network(Dense(3, learn=("delay", "tau_m")))},
            "trains weights alone, and layer 'output' is to learn delay, tau_m",
        ),
        (
            {"rule": EXACT, "network": network(Readout(3))},
            "and there is none below 'output'",
        ),
        ({"rule": Later()}, "whose charges kernels know, .* and not with 'hm2bp'"),
        ({"rule": Gentle()}, "whose charges kernels know, .* and not with 'eventprop'"),
        ({"engine": "clocked"}, "in exact time, and engine clocked takes steps"),
        ({"trace": "trace.h5"}, "writes no trace of training; leave trace out"),
        ({"device": "tpu"}, "device must be one of cpu, cuda, got 'tpu'"),
    ],
)
def test_what_a_device_does_not_do_is_said_at_once(tmp_path, changes, text):
    with pytest.raises(TrainingError, match=text) as caught:
        device_train(tmp_path / "run", **changes)
    assert "cpu" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_engine_of_simulations_trains_nothing(tmp_path):
    with pytest.raises(
        TrainingError, match=r"to train on a graphics card give device='cuda' \(--device cuda\)"
    ):
        toy_train(tmp_path / "run", engine="gpu")
    table = {"network": {"input": {"width": 4}, "layers": []}, "training": {"engine": "gpu"}}
    with pytest.raises(TrainingError, match=r"training: .* give device='cuda' \(--device cuda\)"):
        es.Experiment.from_table(table)
    assert not list(tmp_path.iterdir())


def test_without_cupy_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.delenv("EVENTSNN_GPU")
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(es.MissingExtraError, match="CuPy"):
        device_train(tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Slow(Method):
    """An optimiser without a compiled step."""

    moments = 0

    def step(self, weights, gradient, moments, rate, number):
        return (weights - rate * gradient,)


def test_optimisers_and_launchers_that_a_device_does_not_know():
    OPTIMISERS.register("slow", Slow)
    try:
        with pytest.raises(TrainingError, match="no kernel for optimiser 'slow'"):
            check_device(toy_network(), RULE, es.Optimiser("slow"), None, ALONE)
    finally:
        OPTIMISERS.unregister("slow")

    class Two:
        size = 2

    with pytest.raises(TrainingError, match="in one process, and there are 2"):
        check_device(toy_network(), RULE, OPTIMISER, None, Two())  # type: ignore[arg-type]


def test_reservoirs_come_first_on_the_cpu(tmp_path):
    reservoir = Network(Input(*SENSOR), Reservoir(), Dense(3, threshold=2.0), seed=1)
    found = device_train(tmp_path / "device", network=reservoir, epochs=1, dtype="float64")
    expected = device_train(tmp_path / "cpu", network=reservoir, epochs=1, dtype="float64", device="cpu")
    assert_close_history(found.history, expected.history)
