"""Training as a whole: it learns, writes what it says, and gives the same bits for the same seed."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest

from eventsnn.data import NMNIST, Augmentation, ListDataset
from eventsnn.data.splits import split_validation
from eventsnn.errors import EventFileError, SimulationError, TrainingError
from eventsnn.events import EventStream
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.learn.optimisers import Optimiser
from eventsnn.model import Connection, Dense, Input, Network
from eventsnn.simulate.run import simulate
from eventsnn.train.evaluate import evaluate
from eventsnn.train.trainer import peak_rss_mb
from tests.train.toy import (
    CLASSES,
    CLOCKS,
    RULE,
    SENSOR,
    assert_same_weights,
    timeless,
    toy_data,
    toy_network,
    toy_stream,
    toy_train,
    write_toy_folder,
)

KEYS = {
    "epoch",
    "samples",
    "loss",
    "accuracy",
    "no_decision",
    "silent_fraction",
    "forced_spikes",
    "spikes_per_neuron",
    "gradient_norms",
    "learning_rate",
    "valid_accuracy",
    "valid_loss",
    "train_seconds",
    "seconds",
    "cpu_seconds",
}


def empty_stream() -> EventStream:
    return EventStream.from_arrays([], [], [], [], sensor_size=SENSOR)


def validation_part(data: ListDataset, fraction: float, seed: int) -> ListDataset:
    """What `train` sets aside for validation."""
    _, aside = split_validation(data.labels, fraction, seed)
    return ListDataset([data.stream(k) for k in aside], data.labels[aside])


def test_it_learns(trained):
    history = trained.result.history
    assert history[-1]["loss"] < history[0]["loss"] / 10
    assert history[-1]["accuracy"] >= 0.95
    untrained = evaluate(toy_network(), toy_data(seed=100)).accuracy
    learned = evaluate(trained.result.network, toy_data(seed=100)).accuracy
    assert untrained < 0.6
    assert learned >= 0.9


def test_sgd_and_the_softmax_head_learn_too(tmp_path):
    optimiser = Optimiser(name="sgd", learning_rate=0.05, schedule="constant")
    rule = dataclasses.replace(RULE, head="softmax", boosting=True)
    result = toy_train(tmp_path / "run", epochs=6, optimiser=optimiser, rule=rule)
    assert result.history[-1]["loss"] < result.history[0]["loss"] / 2
    assert result.history[-1]["accuracy"] >= 0.9


def test_metrics_have_a_line_per_epoch(trained):
    lines = [json.loads(line) for line in (trained.folder / "metrics.jsonl").read_text().splitlines()]
    assert lines == trained.result.history
    assert [line["epoch"] for line in lines] == list(range(1, 9))
    for line in lines:
        assert line.keys() == KEYS
        assert line["samples"] == 27
        assert 0 < line["train_seconds"] <= line["seconds"]
    rates = [line["learning_rate"] for line in lines]
    assert rates == pytest.approx([0.02 / max(1, epoch) ** 0.5 for epoch in range(8)], rel=1e-12)


def test_gradient_norms_are_those_of_the_steps(tmp_path):
    """Gradient descent without momentum moves the weights by the rate times the gradient."""
    data, network = toy_data(12), toy_network()
    rate = 1e-3
    optimiser = Optimiser(name="sgd", learning_rate=rate, momentum=0.0, schedule="constant")
    once = {"network": network, "data": data, "epochs": 1, "valid_fraction": 0, "optimiser": optimiser}
    result = toy_train(tmp_path / "whole", batch_size=12, **once)
    norms = result.history[0]["gradient_norms"]
    assert norms.keys() == network.weights.keys()
    for key, before in network.weights.items():
        moved = result.network.weights[key].astype(np.float64) - before
        assert norms[key] == pytest.approx(np.linalg.norm(moved) / rate, rel=2e-3)  # float32 weights
    threads = [
        toy_train(tmp_path / str(n), batch_size=5, threads=n, **once).history[0]["gradient_norms"]
        for n in (1, 3)
    ]
    assert threads[0] == threads[1]
    assert threads[0] != norms


def test_the_numbers_of_the_first_epoch_are_those_of_its_recordings(tmp_path):
    """One batch holds all, so every recording meets the initial network."""
    data, network = toy_data(12), toy_network()
    result = toy_train(
        tmp_path / "run", network=network, data=data, epochs=1, batch_size=12, valid_fraction=0
    )
    runs = [simulate(network, data.stream(k), dtype="float32") for k in range(12)]
    labels = data.labels.tolist()
    hidden = np.array([run["hidden"].counts for run in runs])
    losses, _ = RULE.losses(np.array([run.output.counts for run in runs]), np.array(labels))
    assert result.history[0] | dict.fromkeys(CLOCKS, 0) == {
        "epoch": 1,
        "samples": 12,
        "loss": pytest.approx(np.mean(losses), rel=1e-12),
        "accuracy": np.mean([run.decision == label for run, label in zip(runs, labels, strict=True)]),
        "no_decision": sum(run.decision is None for run in runs),
        "silent_fraction": (hidden == 0).mean(),
        "forced_spikes": sum(run.output.counts[label] == 0 for run, label in zip(runs, labels, strict=True)),
        "spikes_per_neuron": hidden.mean(),
        "gradient_norms": result.history[0]["gradient_norms"],
        "learning_rate": 0.02,
        "valid_accuracy": None,
        "valid_loss": None,
        "train_seconds": 0,
        "seconds": 0,
        "cpu_seconds": 0,
    }
    assert 0 < result.history[0]["no_decision"] < 12, "the example should hold both kinds"


def test_the_model_is_that_of_the_best_epoch(trained, tmp_path):
    result = trained.result
    order = [(line["valid_accuracy"], -line["valid_loss"]) for line in result.history]
    best = int(np.argmax([accuracy * 1e6 + loss for accuracy, loss in order]))
    assert 0 < best < 7, "the example should have its best epoch in the middle"
    assert result.best_epoch == best + 1
    assert result.valid_accuracy == order[best][0]
    aside = validation_part(toy_data(), 0.25, seed=7)
    assert evaluate(result.network, aside).accuracy == result.valid_accuracy
    runs = [simulate(result.network, aside.stream(k), dtype="float32").output.counts for k in range(9)]
    losses, _ = RULE.losses(np.array(runs), np.asarray(aside.labels))
    assert np.mean(losses) == pytest.approx(-order[best][1], rel=1e-12)
    # Epochs do not know how many there are to be: stopping at the best one gives its network as the last.
    stopped = toy_train(tmp_path / "stopped", epochs=best + 1)
    assert_same_weights(stopped.network, result.network)


@pytest.mark.parametrize("threads", [2, 3])
def test_same_bits_for_any_number_of_threads(trained, tmp_path, threads):
    other = toy_train(tmp_path / "run", epochs=8, threads=threads)
    assert timeless(other.history) == timeless(trained.result.history)
    assert_same_weights(other.network, trained.result.network)


def test_deep_networks_and_augmentation_give_the_same_bits_too(tmp_path):
    network = Network(
        Input(*SENSOR),
        Dense(40, threshold=2.0, tau_m=30.0, tau_s=6.0, delay=0.5),
        Dense(35, threshold=2.0, tau_m=30.0, tau_s=6.0),
        Dense(CLASSES, threshold=2.0, tau_m=30.0, tau_s=6.0),
        seed=1,
    )
    more = {"network": network, "augmentation": Augmentation(shift=1, drop=0.1, time_scale=0.1), "epochs": 2}
    one = toy_train(tmp_path / "1", threads=1, **more)
    three = toy_train(tmp_path / "3", threads=3, **more)
    assert timeless(one.history) == timeless(three.history)
    assert_same_weights(one.network, three.network)
    assert all(np.any(one.network.weights[key] != network.weights[key]) for key in network.weights)


def test_another_seed_gives_other_bits(tmp_path):
    one = toy_train(tmp_path / "1", epochs=1, seed=7)
    two = toy_train(tmp_path / "2", epochs=1, seed=8)
    assert np.any(one.network.weights["hidden"] != two.network.weights["hidden"])


def test_boosting_tells_on_the_weights(tmp_path):
    """Its divisor is chosen to make wrong samples count much more."""
    plain = toy_train(tmp_path / "plain", epochs=2)
    rule = dataclasses.replace(RULE, boosting=True, boosting_divisor=0.5)
    boosted = toy_train(tmp_path / "boosted", epochs=2, rule=rule)
    assert timeless(plain.history)[0] == timeless(boosted.history)[0]
    assert np.any(plain.network.weights["output"] != boosted.network.weights["output"])


def test_weight_decay_shrinks_the_weights(tmp_path):
    plain = toy_train(tmp_path / "plain", epochs=2, valid_fraction=0)
    decayed = toy_train(
        tmp_path / "decayed", epochs=2, valid_fraction=0, rule=dataclasses.replace(RULE, weight_decay=0.5)
    )
    for key in plain.network.weights:
        before, after = (np.square(run.network.weights[key]).mean() for run in (plain, decayed))
        assert after < 0.9 * before


def test_a_batch_of_empty_recordings_changes_nothing_but_the_optimiser(tmp_path):
    """No events, no gradient: Adam's first step is 0 for every weight."""
    data = ListDataset([empty_stream()] * 3, [0, 1, 2])
    result = toy_train(tmp_path / "run", data=data, epochs=2, valid_fraction=0)
    assert_same_weights(result.network, toy_network())
    assert [line["no_decision"] for line in result.history] == [3, 3]
    assert [line["forced_spikes"] for line in result.history] == [3, 3]


def test_empty_recordings_among_others_do_no_harm(tmp_path):
    streams = [toy_stream(k % 3, k) for k in range(9)] + [empty_stream()] * 3
    data = ListDataset(streams, [k % 3 for k in range(12)])
    result = toy_train(tmp_path / "run", data=data, epochs=4, batch_size=2, valid_fraction=0)
    assert result.history[-1]["no_decision"] == 3
    assert result.history[-1]["loss"] < result.history[0]["loss"]


def test_folders_give_the_bits_of_memory(tmp_path):
    folder = NMNIST(write_toy_folder(tmp_path / "toy"), sensor=SENSOR)
    # A folder is listed class by class.
    memory = ListDataset([folder.stream(k) for k in range(36)], folder.labels)
    one = toy_train(tmp_path / "folder", data=folder, epochs=2)
    two = toy_train(tmp_path / "memory", data=memory, epochs=2)
    assert timeless(one.history) == timeless(two.history)
    assert_same_weights(one.network, two.network)


def damaged_folder(tmp_path):
    root = write_toy_folder(tmp_path / "toy", 12)
    bad = root / "1" / "00004.bin"
    bad.write_bytes(b"\xff\xff\xff\xff\xff")  # x = 255 on a sensor 6 wide
    return root, bad


def test_unreadable_recordings_are_skipped_and_counted(tmp_path):
    root, bad = damaged_folder(tmp_path)
    data = NMNIST(root, sensor=SENSOR, bad_files="skip")
    result = toy_train(tmp_path / "run", data=data, epochs=2, valid_fraction=0, batch_size=1)
    assert result.skipped == 1
    assert [line["samples"] for line in result.history] == [11, 11]
    assert [path for path, _ in data.skipped] == [str(bad)]
    assert evaluate(result.network, data).skipped == 1


def test_unreadable_recordings_stop_training_by_default(tmp_path):
    root, _ = damaged_folder(tmp_path)
    data = NMNIST(root, sensor=SENSOR)
    with pytest.raises(EventFileError, match=r"00004\.bin, byte 0: .*255"):
        toy_train(tmp_path / "run", data=data, epochs=1, valid_fraction=0)


@pytest.mark.parametrize("what", ["training", "validation"])
def test_nothing_readable(tmp_path, what):
    root = write_toy_folder(tmp_path / "toy", 3)
    for path in root.rglob("*.bin"):
        path.write_bytes(b"\xff\xff\xff\xff\xff")
    bad = NMNIST(root, sensor=SENSOR, bad_files="skip")
    sets = {"data": bad} if what == "training" else {"valid": bad}
    with pytest.raises(TrainingError, match=f"the {what} set holds no readable recording"):
        toy_train(tmp_path / "run", valid_fraction=0, **sets)


def test_without_validation_the_last_epoch_is_the_best(tmp_path):
    result = toy_train(tmp_path / "run", epochs=3, valid_fraction=0)
    assert result.best_epoch == 3
    assert result.valid_accuracy is None
    assert [line["valid_accuracy"] for line in result.history] == [None] * 3
    assert [line["samples"] for line in result.history] == [36] * 3


def test_a_validation_set_of_its_own(tmp_path):
    result = toy_train(tmp_path / "run", epochs=2, valid=toy_data(9, seed=100))
    assert [line["samples"] for line in result.history] == [36, 36]
    best = result.history[result.best_epoch - 1]
    assert evaluate(result.network, toy_data(9, seed=100)).accuracy == best["valid_accuracy"]


def small(*layers, **more):
    return Network(Input(*SENSOR), *layers, **more)


REFUSALS = {
    "the training set: its sensor is (6, 5, 2), the network's input (5, 6, 2)": {
        "network": Network(Input(5, 6, 2), Dense(CLASSES))
    },
    "the training set: class 2 needs an output neuron, but layer 'output' has 2": {
        "network": small(Dense(2))
    },
    "the validation set: class 3 needs an output neuron, but layer 'output' has 3": {
        "valid": ListDataset([toy_stream(0, 0)], [3])
    },
    "the validation set: its sensor is (4, 4, 2), the network's input (6, 5, 2)": {
        "valid": ListDataset([EventStream.from_arrays([0], [0], [0], [0], sensor_size=(4, 4, 2))], [0])
    },
    "network cannot be trained: connection 'output->hidden' leads back to an earlier layer": {
        "network": small(Dense(4), Dense(3), connections=[Connection("output", "hidden", delay=1.0)])
    },
    "layer 'hidden' cannot be trained: HM2-BP knows lateral inhibition in the output layer only": {
        "network": small(Dense(4, lateral_inhibition=1.0), Dense(3))
    },
    "layer 'output': classification needs at least 2 output neurons": {
        "network": small(Dense(1)),
        "data": ListDataset([toy_stream(0, 0), toy_stream(0, 1)], [0, 0]),
        "valid_fraction": 0,
    },
    "rule must be a Rule, got dict": {"rule": {"desired": 3}},
    "optimiser must be an Optimiser, got str": {"optimiser": "adam"},
    "epochs must be a whole number >= 1, got 0": {"epochs": 0},
    "epochs must be a whole number >= 1, got True": {"epochs": True},
    "batch_size must be a whole number >= 1, got 2.5": {"batch_size": 2.5},
    "seed must be a whole number >= 0, got -1": {"seed": -1},
    "threads must be a whole number from 1 to 1024, got 0": {"threads": 0},
    "threads must be a whole number from 1 to 1024, got 1000000": {"threads": 10**6},
    "valid_fraction must be a finite number >= 0 and < 1, got 1.0": {"valid_fraction": 1.0},
    "valid_fraction must be a finite number >= 0 and < 1, got '0.1'": {"valid_fraction": "0.1"},
    "a validation fraction of 0.001 of 36 samples leaves one part empty": {"valid_fraction": 0.001},
}


@pytest.mark.parametrize("text", REFUSALS)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(tmp_path, text):
    folder = tmp_path / "run"
    with pytest.raises(TrainingError) as caught:
        toy_train(folder, **REFUSALS[text])
    assert str(caught.value).startswith(text)
    assert not folder.exists() or not list(folder.iterdir())


@pytest.mark.parametrize("lateral", [0.0, 1.0])
@pytest.mark.parametrize("threads", [1, 2])
def test_firing_without_end_stops_training(tmp_path, threads, lateral):
    network = toy_network(refractory=0.0, lateral_inhibition=lateral)
    weights = {"hidden": network.weights["hidden"], "output": np.full((CLASSES, 40), 1e20)}
    with pytest.raises(SimulationError, match=r"neuron \d fires again at .* ms.*give its layer a refractory"):
        toy_train(tmp_path / "run", network=network.with_weights(weights), threads=threads)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_weights_that_overflow_are_never_saved(tmp_path):
    optimiser = Optimiser(name="sgd", learning_rate=1e15, schedule="constant")
    with pytest.raises(TrainingError, match=r"epoch 1: the weights of '\w+' .* lower the learning rate"):
        toy_train(tmp_path / "run", optimiser=optimiser, rule=HM2BP(weight_decay=1e15))
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"file/run: the folder cannot be made \(Not a directory\)"):
        toy_train(tmp_path / "file" / "run", epochs=1)


def test_the_summary_is_plain_values(trained):
    summary = trained.result.summary()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["epochs"] == 8
    assert summary["samples_per_s"] > 1
    assert summary["peak_rss_mb"] > 10


def test_systems_that_do_not_say_how_much_memory_was_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_rss_mb() is None


def test_the_default_rule_is_hm2bp(tmp_path):
    """Nothing but the loss tells, with a target of 35 spikes."""
    result = toy_train(tmp_path / "run", epochs=1, rule=None)
    named = toy_train(tmp_path / "named", epochs=1, rule=HM2BP())
    assert timeless(result.history) == timeless(named.history)


def test_the_rate_rises_over_the_mini_batches_of_the_warm_up(tmp_path):
    def learned(folder: str, epochs: int, **options: float) -> Network:
        optimiser = Optimiser(name="sgd", schedule="constant", **options)
        run = toy_train(
            tmp_path / folder, epochs=epochs, optimiser=optimiser, batch_size=36, valid_fraction=0.0
        )
        return run.network

    first = learned("warm", 1, learning_rate=0.02, warmup=4)
    assert_same_weights(first, learned("quarter", 1, learning_rate=0.005))
    assert_same_weights(
        learned("over", 4, learning_rate=0.02, warmup=1), learned("without", 4, learning_rate=0.02)
    )
