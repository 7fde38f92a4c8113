"""Experiment files: the one that is shipped, what is refused and where, what arguments override."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from eventsnn.data import Augmentation
from eventsnn.errors import NetworkError, TrainingError
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.learn.optimisers import Optimiser
from eventsnn.train.experiment import Experiment, TrainingOptions
from tests.train.toy import assert_same_weights, timeless, toy_data, toy_train

DENSE = Path(__file__).resolve().parents[2] / "datasets" / "nmnist" / "dense.toml"

TOY = """
[network]
input = { width = 6, height = 5, polarities = 2 }
layers = [
  { neurons = 40, threshold = 2.0, tau_m = 30.0, tau_s = 6.0 },
  { neurons = 3, threshold = 2.0, tau_m = 30.0, tau_s = 6.0, lateral_inhibition = 0.5 },
]

[rule]
desired = 8
undesired = 1
margin = 1

[optimiser]
learning_rate = 0.02

[training]
epochs = 2
batch_size = 4
seed = 3
valid_fraction = 0.25
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "toy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_experiment_is_the_published_network():
    experiment = Experiment.load(DENSE)
    network = experiment.make_network()
    assert repr(network) == "<Network 2312-800-10 (hidden, output)>"
    assert network.input.sensor_size == (34, 34, 2)
    for layer in network.layers:
        assert (layer.threshold, layer.tau_m, layer.tau_s, layer.refractory) == (15.0, 64.0, 8.0, 2.0)
    assert [layer.lateral_inhibition for layer in network.layers] == [0.0, 1.0]
    assert (experiment.rule.desired, experiment.rule.undesired, experiment.rule.margin) == (35, 5, 5)
    weights = network.weights["hidden"]
    assert 0.99 < np.abs(weights).max() <= 1.0
    assert_same_weights(network, experiment.make_network(experiment.training.seed))


def test_the_transfer_experiment_is_the_same_network():
    dense, transfer = Experiment.load(DENSE), Experiment.load(DENSE.with_name("transfer.toml"))
    assert_same_weights(dense.make_network(), transfer.make_network())
    assert (transfer.rule, transfer.optimiser) == (dense.rule, dense.optimiser)
    # Of the 11,000 recordings that its commands make, 10,000 train.
    assert round(transfer.training.valid_fraction * 11_000) == 1000


def test_defaults(tmp_path):
    experiment = Experiment.load(write(tmp_path, TOY.split("[rule]")[0]))
    assert experiment.rule == HM2BP()
    assert experiment.optimiser == Optimiser()
    assert experiment.training == TrainingOptions()
    assert experiment.augmentation is None


def test_running_an_experiment_is_training(tmp_path):
    experiment = Experiment.load(write(tmp_path, TOY))
    found = experiment.run(toy_data(), out=tmp_path / "found", threads=1)
    expected = toy_train(
        tmp_path / "expected", network=experiment.make_network(), epochs=2, batch_size=4, seed=3
    )
    assert timeless(found.history) == timeless(expected.history)
    assert_same_weights(found.network, expected.network)


def test_arguments_override_the_file(tmp_path):
    experiment = Experiment.load(write(tmp_path, TOY))
    result = experiment.run(toy_data(), out=tmp_path / "run", epochs=1, seed=5, valid_fraction=0)
    assert [line["samples"] for line in result.history] == [36]
    expected = toy_train(
        tmp_path / "expected", network=experiment.make_network(5), epochs=1, seed=5, valid_fraction=0
    )
    assert_same_weights(result.network, expected.network)
    valid = experiment.run(toy_data(), out=tmp_path / "valid", epochs=1, valid=toy_data(6, seed=50))
    assert [line["samples"] for line in valid.history] == [36]
    assert valid.valid_accuracy is not None
    experiment.run(toy_data(), out=tmp_path / "run", epochs=2, seed=5, valid_fraction=0, resume=True)
    with pytest.raises(TrainingError, match="training: epochs must be a whole number >= 1, got 0"):
        experiment.run(toy_data(), out=tmp_path / "more", epochs=0)


def test_every_table_reaches_its_object(tmp_path):
    text = TOY + "\n[augmentation]\nshift = 1\ndrop = 0.25\ntime_scale = 0.5\n"
    experiment = Experiment.load(write(tmp_path, text))
    assert experiment.rule == dataclasses.replace(HM2BP(), desired=8, undesired=1, margin=1)
    assert experiment.optimiser == Optimiser(learning_rate=0.02)
    assert experiment.training == TrainingOptions(epochs=2, batch_size=4, seed=3, valid_fraction=0.25)
    assert experiment.augmentation == Augmentation(shift=1, drop=0.25, time_scale=0.5)


REFUSALS = {
    "unknown table 'rules'; there are network, rule, optimiser, training, reading, augmentation": "[rules]",
    "rule must be a table, got 3": "rule = 3",
    "rule: unknown field 'desire'; there are desired, ": "[rule]\ndesire = 1",
    "rule: desired must be a whole number >= 1, got 0": "[rule]\ndesired = 0",
    "optimiser: unknown field 'rate'; there are name, ": "[optimiser]\nrate = 1",
    "optimiser: learning_rate must be a finite number > 0, got -1": "[optimiser]\nlearning_rate = -1",
    "training: unknown field 'batch'; there are epochs, batch_size, ": "[training]\nbatch = 1",
    "training: epochs must be a whole number >= 1, got 1.5": "[training]\nepochs = 1.5",
    "training: batch_size must be a whole number >= 1, got 0": "[training]\nbatch_size = 0",
    "training: seed must be a whole number >= 0, got -1": "[training]\nseed = -1",
    "training: valid_fraction must be a finite number >= 0 and < 1, got 'x'": (
        "[training]\nvalid_fraction = 'x'"
    ),
    "training: valid_fraction must be a finite number >= 0 and < 1, got nan": (
        "[training]\nvalid_fraction = nan"
    ),
    "augmentation: unknown field 'twist'; there are shift, drop, time_scale, "
    "jitter, flip, transforms": "[augmentation]\ntwist = true",
    "augmentation: drop must be a finite number >= 0 and < 1, got 'x'": "[augmentation]\ndrop = 'x'",
    "augmentation: shift must be a whole number of pixels, from 0 to 32768": "[augmentation]\nshift = -1",
}


@pytest.mark.parametrize("text", REFUSALS)
def test_errors_name_file_table_and_field(tmp_path, text):
    path = write(tmp_path, REFUSALS[text] + "\n" + TOY.split("[rule]")[0])
    with pytest.raises(TrainingError) as caught:
        Experiment.load(path)
    assert str(caught.value).startswith(f"{path}: {text}")


def test_errors_of_the_network_name_file_layer_and_field(tmp_path):
    path = write(tmp_path, TOY.replace("neurons = 40", "neurons = 0"))
    with pytest.raises(NetworkError, match=r"toy\.toml: .*layer.*neurons must be a whole number >= 1, got 0"):
        Experiment.load(path)
    path = write(tmp_path, TOY.replace("tau_m = 30.0, tau_s = 6.0 }", "tau = 30.0 }"))
    with pytest.raises(NetworkError, match=r"toy\.toml: network\.layers\[0\]: unknown field 'tau'"):
        Experiment.load(path)
    path = write(tmp_path, "[network]\n" + TOY.split("polarities = 2 }")[1])
    with pytest.raises(NetworkError, match=r"toy\.toml: network: field 'input' is missing"):
        Experiment.load(path)


@pytest.mark.parametrize(
    ("right", "wrong", "near"),
    [
        ("threshold", "thresold", "threshold"),
        ("[optimiser]", "[optimizer]", "optimiser"),
        ("learning_rate", "learning_Rate", "learning_rate"),
        ("margin", "margn", "margin"),
        ("polarities", "polarity", "polarities"),
        ("layers", "layer", "layers"),
        ("epochs", "epoch", "epochs"),
    ],
)
def test_misspelt_names_get_advice(tmp_path: Path, right: str, wrong: str, near: str) -> None:
    with pytest.raises((NetworkError, TrainingError), match=rf"toy\.toml: .*; did you mean '{near}'\?$"):
        Experiment.load(write(tmp_path, TOY.replace(right, wrong)))


def test_files_as_editors_on_windows_write_them(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TOY.replace("\n", "\r\n").encode())
    assert Experiment.load(path) == Experiment.load(write(tmp_path, TOY))
    for encoding, at in (("utf-16", 0), ("latin-1", 2)):
        path.write_bytes(("# ü" + TOY).encode(encoding))
        with pytest.raises(TrainingError, match=rf"toy.toml: is not text in UTF-8 \(byte {at}\)"):
            Experiment.load(path)


def test_files_that_are_no_experiments(tmp_path):
    with pytest.raises(TrainingError, match=r"no\.toml: cannot be read \(No such file or directory\)"):
        Experiment.load(tmp_path / "no.toml")
    with pytest.raises(TrainingError, match=r"toy\.toml: is not TOML \(.*line 2, column 5"):
        Experiment.load(write(tmp_path, "[network]\nx = = 1"))
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TrainingError, match=r"binary\.toml: is not text in UTF-8"):
        Experiment.load(path)
    with pytest.raises(TrainingError, match=r"toy\.toml: the table \[network\] is missing"):
        Experiment.load(write(tmp_path, "[rule]"))
