"""Stopped at whatever moment and resumed, training ends with the bits of a run that was never stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn._util.lock import Lock
from eventsnn.data import Augmentation, ListDataset
from eventsnn.errors import TrainingError
from eventsnn.learn.optimisers import Optimiser
from eventsnn.model import Dense, Input, Network, Reservoir
from eventsnn.train import run_config
from eventsnn.train.checkpoint import load_checkpoint, save_checkpoint
from tests.train.children import INTERRUPTED, die_at_replace, epochs_done, start, train_on, wait_for_epochs
from tests.train.toy import (
    RULE,
    SENSOR,
    assert_same_weights,
    timeless,
    toy_data,
    toy_network,
    toy_stream,
    toy_train,
)


class Kill(BaseException):
    """Ends training at once: nothing in it catches this."""


def read_metrics(folder: Path):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def read_training(folder: Path):
    """What the model's file says about how it came to be."""
    with h5py.File(folder / "model.h5", "r") as file:
        return json.loads(file.attrs["training"])


def assert_same_run(folder: Path, other: Path) -> None:
    """Two finished runs agree in everything but the time they took; nothing half-written is left."""
    assert_same_weights(Network.load(folder / "model.h5"), Network.load(other / "model.h5"))
    assert read_training(folder) == read_training(other)
    assert timeless(read_metrics(folder)) == timeless(read_metrics(other))
    a, b = load_checkpoint(folder / "checkpoint.h5"), load_checkpoint(other / "checkpoint.h5")
    assert (a.epoch, a.step, a.best, a.config) == (b.epoch, b.step, b.best, b.config)
    assert timeless(a.history) == timeless(b.history) == timeless(read_metrics(folder))
    assert a.arrays.keys() == b.arrays.keys()
    for name in a.arrays:
        assert a.arrays[name].dtype == b.arrays[name].dtype
        assert a.arrays[name].tobytes() == b.arrays[name].tobytes(), f"array {name!r} differs"
    names = {"model.h5", "metrics.jsonl", "checkpoint.h5"}
    assert {path.name for path in folder.iterdir()} == names


def test_the_comparison_can_fail(tmp_path):
    toy_train(tmp_path / "a", epochs=2)
    toy_train(tmp_path / "b", epochs=2)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    saved = load_checkpoint(tmp_path / "b" / "checkpoint.h5")
    saved.arrays["moment1/output"][0, 0, 0] = np.nextafter(saved.arrays["moment1/output"][0, 0, 0], 1.0)
    save_checkpoint(tmp_path / "b" / "checkpoint.h5", saved)
    with pytest.raises(AssertionError, match="array 'moment1/output' differs"):
        assert_same_run(tmp_path / "a", tmp_path / "b")


OPTIONS = {
    "adam": {},
    "sgd": {"optimiser": Optimiser(name="sgd", learning_rate=0.01)},
    "everything": {
        "rule": dataclasses.replace(
            RULE, boosting=True, boosting_divisor=2.0, weight_decay=0.01, penalty_lambda=0.1
        ),
        "augmentation": Augmentation(shift=1, drop=0.1, time_scale=0.1),
        "valid_fraction": 0,
        "threads": 2,
    },
}


@pytest.mark.parametrize("name", OPTIONS)
def test_two_and_three_epochs_are_five(tmp_path, name):
    toy_train(tmp_path / "whole", epochs=5, **OPTIONS[name])
    first = toy_train(tmp_path / "parts", epochs=2, **OPTIONS[name])
    assert first.epochs == 2
    second = toy_train(tmp_path / "parts", epochs=5, resume=True, **OPTIONS[name])
    assert (second.epochs, len(second.history)) == (5, 5)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_the_number_of_threads_may_change(tmp_path):
    toy_train(tmp_path / "whole", epochs=4)
    toy_train(tmp_path / "parts", epochs=2, threads=2)
    toy_train(tmp_path / "parts", epochs=4, threads=3, resume=True)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_resuming_a_finished_run_changes_nothing(trained, tmp_path):
    toy_train(tmp_path / "run", epochs=2)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    result = toy_train(tmp_path / "run", epochs=2, resume=True)
    assert result.epochs == 2
    assert_same_weights(result.network, Network.load(tmp_path / "run" / "model.h5"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_resuming_nothing_starts_afresh(trained, tmp_path):
    toy_train(tmp_path / "run", epochs=8, resume=True)
    assert_same_run(tmp_path / "run", trained.folder)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 10))
def test_stopped_between_any_two_files(tmp_path, monkeypatch, whole_three, number, after):
    """Every epoch of these three improves: model, checkpoint and metrics take their names in turn."""
    replace, calls = os.replace, []

    def counted(source, target):
        calls.append(Path(target).name)
        if len(calls) == number and not after:
            raise Kill
        replace(source, target)
        if len(calls) == number:
            raise Kill

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", counted)
        with pytest.raises(Kill):
            toy_train(tmp_path / "run", epochs=3)
    assert calls == (["model.h5", "checkpoint.h5", "metrics.jsonl"] * 3)[:number]
    result = toy_train(tmp_path / "run", epochs=3, resume=True)
    assert result.best_epoch == 3
    assert_same_run(tmp_path / "run", whole_three)


@pytest.fixture(scope="module")
def whole_three(tmp_path_factory):
    """Three epochs, undisturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    toy_train(folder, epochs=3)
    return folder


@pytest.mark.parametrize(("number", "after"), [(4, True), (5, False)], ids=["model", "checkpoint"])
def test_a_process_that_vanishes_between_two_files(tmp_path, whole_three, number, after):
    child = start(die_at_replace, tmp_path / "run", 3, number, after)
    child.join(60)
    assert child.exitcode == 9
    assert epochs_done(tmp_path / "run") == 1
    toy_train(tmp_path / "run", epochs=3, resume=True)
    assert_same_run(tmp_path / "run", whole_three)


def test_killed_again_and_again(tmp_path):
    """Six kills at random moments; each process goes on from what the one before left."""
    rng = random.Random(11)
    folder, epochs, kills = tmp_path / "run", 16, 0
    while kills < 6:
        child = start(train_on, folder, epochs)
        wait_for_epochs(child, folder, epochs_done(folder) + rng.randint(0, 2))
        # An epoch takes 20-50 ms: the kill comes anywhere within the next one, its files included.
        time.sleep(rng.uniform(0.0, 0.06))
        child.kill()
        child.join()
        kills += 1
        assert child.exitcode in (-signal.SIGKILL, 0)
    assert epochs_done(folder) >= 2, "the kills should have come in the midst of it"
    toy_train(folder, epochs=epochs, resume=True)
    toy_train(tmp_path / "whole", epochs=epochs)
    for path in folder.glob("*.part"):
        path.unlink()  # of a kill while it was written; the next one would have replaced it
    assert_same_run(folder, tmp_path / "whole")


def test_ctrl_c_keeps_the_last_epoch(tmp_path):
    folder = tmp_path / "run"
    child = start(train_on, folder, 10_000)
    wait_for_epochs(child, folder, 2)
    os.kill(child.pid, signal.SIGINT)
    child.join(60)
    assert child.exitcode == INTERRUPTED
    done = epochs_done(folder)
    assert done >= 2
    assert load_checkpoint(folder / "checkpoint.h5").epoch == done
    toy_train(folder, epochs=done + 1, resume=True)
    toy_train(tmp_path / "whole", epochs=done + 1)
    assert_same_run(folder, tmp_path / "whole")


@pytest.mark.parametrize("fate", ["missing", "empty", "cut", "a bit", "another"])
def test_a_damaged_model_is_made_again_from_the_checkpoint(trained, tmp_path, fate):
    """Also where the best epoch was not the last one, and where there is nothing left to train."""
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    best = load_checkpoint(folder / "checkpoint.h5").best["epoch"]
    model = folder / "model.h5"
    data = model.read_bytes()
    if fate == "missing":
        model.unlink()
    elif fate == "another":
        toy_network(seed=9).save(model)
    else:
        at = len(data) // 2
        flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        model.write_bytes({"empty": b"", "cut": data[:at], "a bit": flipped}[fate])
    result = toy_train(folder, epochs=8, resume=True)
    assert model.read_bytes() == data
    assert result.best_epoch == best < 8


def test_a_checkpoint_without_the_best_weights_needs_the_model(tmp_path):
    """Written by an earlier version."""
    folder = tmp_path / "run"
    toy_train(folder, epochs=2)
    saved = load_checkpoint(folder / "checkpoint.h5")
    for name in [name for name in saved.arrays if name.startswith("best/")]:
        del saved.arrays[name]
    save_checkpoint(folder / "checkpoint.h5", saved)
    toy_train(folder, epochs=2, resume=True)
    (folder / "model.h5").unlink()
    with pytest.raises(
        TrainingError, match=r"model\.h5: no such file; the checkpoint was written by an earlier"
    ):
        toy_train(folder, epochs=2, resume=True)


def test_a_checkpoint_from_before_there_were_rates_of_constants_goes_on(tmp_path):
    folder = tmp_path / "run"
    toy_train(folder, epochs=1)
    saved = load_checkpoint(folder / "checkpoint.h5")
    for name in ("delay_rate", "constant_rate", "warmup"):
        del saved.config["optimiser"][name]
    save_checkpoint(folder / "checkpoint.h5", saved)
    assert toy_train(folder, epochs=2, resume=True).epochs == 2


def test_two_runs_into_one_folder_are_refused(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with Lock(folder, TrainingError), pytest.raises(TrainingError, match="another run is writing it"):
        toy_train(folder, epochs=1)
    toy_train(folder, epochs=1)


CHANGES = {
    "network.layers[1].threshold was 2.0 and is now 2.5": {"network": toy_network(threshold=2.5)},
    "initial_weights.hidden was ": {"network": toy_network(seed=4)},
    "rule.desired was 8 and is now 9": {"rule": dataclasses.replace(RULE, desired=9)},
    "optimiser.learning_rate was 0.02 and is now 0.03": {"optimiser": Optimiser(learning_rate=0.03)},
    'augmentation was null and is now {"shift": 0, "drop": 0.1, ': {"augmentation": Augmentation(drop=0.1)},
    "batch_size was 4 and is now 5": {"batch_size": 5},
    "seed was 7 and is now 8": {"seed": 8},
    # As with --seed: the weights follow from it, and so does what is named.
    "seed was 7 and is now 9": {"seed": 9, "network": toy_network(seed=9), "valid_fraction": 0.5},
    "training_set.recordings was 27 and is now 18": {"valid_fraction": 0.5},
    "training_set.names_crc32 was ": {
        "data": ListDataset([toy_stream(k % 3, k) for k in range(36)], np.arange(36) // 12)
    },
}


@pytest.mark.parametrize("text", CHANGES)
def test_other_settings_are_refused(trained, tmp_path, text):
    folder = tmp_path / "run"
    folder.mkdir()
    for path in trained.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(TrainingError, match="cannot resume") as caught:
        toy_train(folder, epochs=9, resume=True, **CHANGES[text])
    assert str(caught.value).startswith(f"{folder / 'checkpoint.h5'}: cannot resume, {text}")
    assert load_checkpoint(folder / "checkpoint.h5").epoch == 8


def test_a_run_of_another_build_is_refused_with_advice(trained, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    monkeypatch.setattr(run_config, "BITS", run_config.BITS + 1)
    with pytest.raises(TrainingError, match=r"cannot resume, bits was .*; continue with that build, or"):
        toy_train(folder, epochs=9, resume=True)
    assert load_checkpoint(folder / "checkpoint.h5").epoch == 8


def test_another_validation_set_is_refused(tmp_path):
    toy_train(tmp_path, epochs=1, valid=toy_data(9))
    with pytest.raises(TrainingError, match=r"validation_set\.recordings was 9 and is now 8"):
        toy_train(tmp_path, epochs=2, valid=toy_data(8), resume=True)
    with pytest.raises(TrainingError, match=r"validation_set was \{.*\} and is now null"):
        toy_train(tmp_path, epochs=2, valid_fraction=0, resume=True)


def test_a_folder_that_holds_a_run_is_not_overwritten(trained):
    before = (trained.folder / "checkpoint.h5").read_bytes()
    with pytest.raises(
        TrainingError, match=r"already holds a training run; resume it .*, begin it again \(overwrite=True, -"
    ):
        toy_train(trained.folder, epochs=1)
    assert (trained.folder / "checkpoint.h5").read_bytes() == before


def test_a_run_is_begun_anew_where_that_is_asked_for(tmp_path):
    first = toy_train(tmp_path, epochs=2)
    again = toy_train(tmp_path, epochs=1, overwrite=True)
    assert (again.epochs, len((tmp_path / "metrics.jsonl").read_text().splitlines())) == (1, 1)
    assert again.history[0]["loss"] == first.history[0]["loss"]
    assert toy_train(tmp_path, epochs=2, resume=True).history[1]["loss"] == first.history[1]["loss"]
    with pytest.raises(TrainingError, match="resume continues the run in out: give its folder, and not"):
        toy_train(tmp_path, epochs=2, resume=True, overwrite=True)
    with pytest.raises(TrainingError, match="resume continues the run in out: give its folder"):
        toy_train(None, epochs=2, resume=True)


def test_a_run_without_a_folder_has_a_temporary_one(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = toy_train(None, epochs=1)
    assert [str(path) for path in tmp_path.iterdir()] == [result.out]
    assert Network.load(Path(result.out, "model.h5")).classes == result.network.classes
    assert repr(result).endswith(f"in {result.out!r}>")


def test_a_run_with_sparse_weights_is_known_again_by_their_values(tmp_path):
    networks = [Network(Input(*SENSOR), Reservoir(grid=(3, 3, 2)), Dense(3), seed=n) for n in (1, 1, 2)]
    toy_train(tmp_path, network=networks[0], epochs=1)
    assert toy_train(tmp_path, network=networks[1], epochs=2, resume=True).epochs == 2
    with pytest.raises(TrainingError, match="cannot resume, initial_weights"):
        toy_train(tmp_path, network=networks[2], epochs=3, resume=True)
