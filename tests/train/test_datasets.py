"""The experiments of ``datasets/`` on small files made here: they run, and are the networks of the paper."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from tests.data.test_idx import idx_bytes

DATASETS = Path(__file__).parents[2] / "datasets"


def write_images(folder: Path, name: str, classes: int, per_class: int) -> Path:
    """An IDX file of 28 x 28 images, one bright bar per class, and that of their labels beside it."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(classes)
    labels = np.repeat(np.arange(classes, dtype=np.uint8), per_class)
    images = rng.integers(0, 30, (len(labels), 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 + label % 20, 4:24] = 255
        image[4:24, 4 + label // 20] = 255
    path = folder / f"{name}-images-idx3-ubyte"
    path.write_bytes(idx_bytes(images))
    (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return path


CNN_PARTS = ("", "_refine", "_finish")


@pytest.mark.parametrize(
    ("experiment", "weights"),
    [
        ("mnist/dense.toml", 784 * 800 + 800 * 10),
        *((f"mnist/cnn{part}.toml", 15 * 25 + 40 * 15 * 25 + 640 * 300 + 300 * 10) for part in CNN_PARTS),
        ("emnist/dense.toml", 665_647),  # the figure of the paper, biases included
        ("nmnist/dense.toml", 2312 * 800 + 800 * 10),
        ("yinyang/dense.toml", 5 * 200 + 200 * 3),
        ("spoken_digits/recurrent.toml", 208 * 400 + 400 * 400 + 400 * 10),
        ("yinyang/delays.toml", 5 * 120 + 120 * 3),
        ("yinyang/readout.toml", 5 * 200 + 200 * 3),
        ("spoken_digits/eventprop.toml", 78 * 300 + 300 * 10),
        ("nmnist/authors.toml", 2312 * 800 + 800 * 10),
        ("nmnist/cnn.toml", 32 * 50 + 64 * 32 * 16 + 1024 * 10),
        ("nmnist/transfer_cnn.toml", 32 * 50 + 64 * 32 * 16 + 1024 * 10),
        *((f"nmnist/transfer_{part}.toml", 2312 * 800 + 800 * 10) for part in ("all", "finish")),
        ("mnist/eventprop.toml", 784 * 350 + 350 * 10),
    ],
)
def test_number_of_weights(experiment: str, weights: int) -> None:
    network = es.Experiment.load(DATASETS / experiment).make_network()
    assert sum(array.size for array in network.weights.values()) == weights


def test_the_authors_setting_for_nmnist() -> None:
    # Their configuration (NMnistConfig.txt) counts in steps, 540 of them: tau_m 64, tau_s 8, T_REFRAC 2.
    plan = es.Experiment.load(DATASETS / "nmnist" / "authors.toml")
    training = plan.training
    assert (training.engine, training.step_ms, training.stabilise) == ("clocked", 0.6, "nmnist")
    assert training.duration_ms == pytest.approx(540 * 0.6)
    for layer in plan.make_network().layers:
        assert (layer.tau_m, layer.tau_s, layer.refractory) == pytest.approx((64 * 0.6, 8 * 0.6, 2 * 0.6))
        assert layer.threshold == 15.0
    assert (plan.rule.desired, plan.rule.undesired, plan.rule.margin) == (35, 5, 5)
    assert (plan.rule.penalty_lambda, plan.rule.penalty_beta, plan.rule.boosting) == (10.0, 0.01, True)


def test_the_authors_speech_network(tmp_path: Path) -> None:
    # SpokenLetterConfig.txt: 78 inputs, reservoir 3 x 3 x 15, 64, 26; thresholds 20, 20, 5; levels 45, 15.
    plan = es.Experiment.load(DATASETS / "ti46" / "authors.toml")
    network = plan.make_network()
    assert [layer.neurons for layer in network.layers] == [135, 64, 26]
    assert [layer.threshold for layer in network.layers] == [20.0, 20.0, 5.0]
    assert (plan.rule.desired, plan.rule.undesired) == (45, 15)
    assert ((network.weights["reservoir"] != 0).sum(axis=1) == 32).all()
    assert {*np.unique(network.weights["reservoir"])} == {-8.0, 0.0, 8.0}
    rng = np.random.default_rng(1)
    streams = [
        es.EventStream.from_arrays(
            np.sort(rng.integers(0, 400_000, 1500)),
            (rng.integers(0, 20, 1500) + 3 * label) % 78,
            sensor_size=(78, 1, 1),
        )
        for label in range(26)
    ]
    data = es.data.ListDataset(streams, np.arange(26))
    fit = plan.run(data, out=tmp_path / "run", epochs=1, valid_fraction=0, threads=1)
    assert fit.history[0]["spikes_per_neuron"] > 0.1
    assert fit.network.settings == es.RunSettings("clocked", 1.0, 1000.0)
    assert (fit.network.weights["hidden"] != network.weights["hidden"]).any()


def test_parts_of_the_convolutional_networks_training_are_of_one_network_and_one_validation_set() -> None:
    plans = [es.Experiment.load(DATASETS / "mnist" / f"cnn{part}.toml") for part in CNN_PARTS]
    for plan in plans[1:]:
        assert (plan.network, plan.rule, plan.coding) == (plans[0].network, plans[0].rule, plans[0].coding)
        for name in ("seed", "valid_fraction", "engine"):
            assert getattr(plan.training, name) == getattr(plans[0].training, name)


def test_emnist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from eventsnn.cli import main

    # As the real files: images lie on their side, which their name tells.
    images = write_images(tmp_path / "emnist", "emnist-balanced-train", 47, 3)
    experiment, run = str(DATASETS / "emnist" / "dense.toml"), tmp_path / "run"
    options = ["--train", str(images), "--out", str(run), "--epochs", "1", "--valid-fraction", "0.34"]
    assert main(["train", experiment, *options]) == 0
    printed = capsys.readouterr().out
    assert "784-800-47 (hidden, output)>, 665,647 synaptic weights, biases included\n" in printed
    upright = es.data.Images.open(images)
    assert upright.images[3, 4:24, 5].min() == 255  # the bar of class 1, written as row 5, is column 5
    before = es.Experiment.load(experiment).make_network().weights["output"]
    after = es.Network.load(run / "model.h5").weights["output"]
    assert (after[:, -1] != before[:, -1]).any()  # the biases have learned
    assert main(["evaluate", str(run / "model.h5"), "--data", str(images), "--limit", "20", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 20


@pytest.mark.parametrize("experiment", ["mnist/dense.toml", "mnist/cnn.toml"])
def test_mnist(tmp_path: Path, experiment: str) -> None:
    images = es.data.Images.open(write_images(tmp_path, "train", 10, 1))
    plan = es.Experiment.load(DATASETS / experiment)
    fit = plan.run(images, out=tmp_path / "run", epochs=1, valid_fraction=0)
    assert fit.history[0]["samples"] == 10
    assert fit.history[0]["spikes_per_neuron"] > 0.1
