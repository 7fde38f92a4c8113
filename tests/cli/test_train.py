"""eventsnn train and evaluate"""

import json
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.train.experiment import Experiment
from tests.cli.conftest import EXPERIMENT, SENSOR, Cli, interrupt_when, write_recordings


@pytest.fixture
def training(tmp_path: Path) -> Path:
    return write_recordings(tmp_path / "train", 8)


def test_training_starts_from_the_weights_of_a_model(
    cli: Cli, experiment: Path, training: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    options = ["train", experiment, "--train", training, "--valid-fraction", 0]
    assert cli(*options, "--out", first, "--epochs", 2).code == 0
    more = [*options, "--out", second, "--start-from", first / "model.h5"]
    outcome = cli(*more, "--epochs", 1)
    assert outcome.code == 0, outcome.err
    # The same steps by hand.
    plan = Experiment.load(experiment)
    start = es.Network.load(first / "model.h5")
    expected = plan.run(
        es.data.NMNIST(training, sensor=SENSOR),
        out=tmp_path / "third",
        valid_fraction=0.0,
        epochs=1,
        start_from=start,
    )
    found = es.Network.load(second / "model.h5")
    for name, weights in found.weights.items():
        np.testing.assert_array_equal(weights, expected.network.weights[name])
        assert not np.array_equal(weights, start.weights[name])
        assert not np.array_equal(weights, plan.make_network().weights[name])
    assert "--start-from first/model.h5" in (second / "command.txt").read_text()
    assert cli(*more, "--epochs", 2, "--resume").code == 0
    # Without the model it would not be the same run; and weights of another network do not fit.
    outcome = cli(*options, "--out", second, "--epochs", 2, "--resume")
    assert outcome.code == 1
    assert "initial_weights" in outcome.err
    experiment.write_text(EXPERIMENT.replace("neurons = 8", "neurons = 9"))
    outcome = cli(*more, "--epochs", 1)
    assert outcome.code == 1
    assert "layer 'hidden' needs (9, 60), and there are (8, 60)" in outcome.err


def test_train_and_evaluate(
    cli: Cli, experiment: Path, training: Path, recordings: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    outcome = cli("train", experiment, "--train", training, "--out", run, "--epochs", 12, "--json")
    assert outcome.code == 0, outcome.err
    result = outcome.json
    assert {"epochs", "valid_accuracy", "seconds", "samples_per_s", "peak_rss_mb"} <= set(result)
    assert (result["epochs"], result["skipped"], result["out"]) == (12, 0, str(run))
    assert result["valid_accuracy"] == 1.0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 13))
    assert lines[0]["samples"] == 12  # a quarter of 16 is set aside
    assert {"model.h5", "metrics.jsonl", "checkpoint.h5", "command.txt"} == {
        path.name for path in run.iterdir()
    }
    assert es.Network.load(run / "model.h5").input.sensor_size == SENSOR
    command = (run / "command.txt").read_text()
    assert command == "eventsnn train experiment.toml --train train --epochs 12\n"  # no places, no --json

    # A command that is refused leaves the folder as it is.
    outcome = cli("train", experiment, "--train", training, "--out", run, "--epochs", 13)
    assert outcome.code == 1
    assert (run / "command.txt").read_text() == command

    evaluation = cli("evaluate", run / "model.h5", "--data", recordings, "--json").json
    assert {"n", "accuracy", "no_decision", "confusion", "seconds"} <= set(evaluation)
    assert (evaluation["n"], evaluation["accuracy"], evaluation["skipped"]) == (6, 1.0, 0)
    assert evaluation["confusion"] == [[3, 0], [0, 3]]


def test_options_override_the_file(
    cli: Cli, experiment: Path, training: Path, recordings: Path, tmp_path: Path
) -> None:
    options = ["--epochs", 1, "--seed", 5, "--threads", 1, "--valid", recordings]
    outcome = cli("train", experiment, "--train", training, "--out", tmp_path / "run", *options)
    assert outcome.code == 0, outcome.err
    assert "weights\n1 epoch in " in outcome.out
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["samples"] == 16  # with --valid nothing is set aside

    options = ["--epochs", 1, "--valid-fraction", 0]
    outcome = cli("train", experiment, "--train", training, "--out", tmp_path / "run2", *options, "--json")
    assert outcome.json["valid_accuracy"] is None


def test_train_takes_the_train_folder(cli: Cli, experiment: Path, tmp_path: Path) -> None:
    write_recordings(tmp_path / "both" / "Train", 4)
    write_recordings(tmp_path / "both" / "Test", 1)
    outcome = cli(
        "train", experiment, "--train", tmp_path / "both", "--out", tmp_path / "run", "--epochs", 1, "--json"
    )
    assert outcome.json["epochs"] == 1
    assert f"taking the recordings in {tmp_path / 'both' / 'Train'}" in outcome.err


def test_split_of_evaluate(cli: Cli, model: Path, tmp_path: Path) -> None:
    write_recordings(tmp_path / "both" / "Train", 4)
    write_recordings(tmp_path / "both" / "Test", 1)
    outcome = cli("evaluate", model, "--data", tmp_path / "both")
    assert outcome.code == 1
    assert "holds Train and Test" in outcome.err
    assert cli("evaluate", model, "--data", tmp_path / "both", "--split", "Test", "--json").json["n"] == 2


@pytest.mark.parametrize("options", [["--engine", "queue"], ["--engine", "sweep", "--dtype", "float64"]])
def test_evaluate_engines_agree(cli: Cli, model: Path, recordings: Path, options: list[str]) -> None:
    result = cli("evaluate", model, "--data", recordings, *options, "--json").json
    assert (result["n"], result["accuracy"], result["no_decision"]) == (6, 1.0, 0)


def test_evaluate_text(cli: Cli, model: Path, recordings: Path) -> None:
    text = cli("evaluate", model, "--data", recordings).out
    assert "accuracy 100.00 % of 6 recordings; no decision: 0" in text
    assert text.splitlines()[-2:] == ["     0   3   0", "     1   0   3"]


def test_bad_recordings_are_counted(
    cli: Cli, model: Path, experiment: Path, training: Path, tmp_path: Path
) -> None:
    bad = training / "1" / "00003.bin"
    bad.write_bytes(b"123")
    train = ["train", experiment, "--train", training, "--out", tmp_path / "run", "--epochs", 1, "--json"]
    outcome = cli(*train)
    assert outcome.code == 1
    assert "00003.bin, byte 0: the last record is cut" in outcome.err

    outcome = cli(*train, "--bad-files", "skip")
    assert outcome.json["skipped"] == 1
    assert "skipped 1 unreadable recording" in outcome.err

    outcome = cli("evaluate", model, "--data", training, "--bad-files", "skip", "--json")
    assert (outcome.json["skipped"], outcome.json["n"]) == (1, 15)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("epochs = 3", "epoch = 3"), "training: unknown field 'epoch'"),
        (("threshold = 5.0 }]", "thresh = 5.0 }]"), "layers[1]: unknown field 'thresh'"),
        (("[rule]", "[rules]"), "unknown table 'rules'"),
        (("[rule]", "[rule"), "is not TOML"),
        (("neurons = 2", "neurons = 1"), "needs"),
    ],
)
def test_bad_experiment(
    cli: Cli, experiment: Path, training: Path, tmp_path: Path, change: tuple[str, str], text: str
) -> None:
    experiment.write_text(EXPERIMENT.replace(*change))
    outcome = cli("train", experiment, "--train", training, "--out", tmp_path / "run")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert text in outcome.err


def test_run_folder_in_use(cli: Cli, experiment: Path, training: Path, tmp_path: Path) -> None:
    train = ["train", experiment, "--train", training, "--out", tmp_path / "run", "--epochs", 1]
    assert cli(*train).code == 0
    outcome = cli(*train)
    assert outcome.code == 1
    assert "already holds a training run" in outcome.err


def test_data_of_another_sensor(cli: Cli, experiment: Path, training: Path, tmp_path: Path) -> None:
    options = ["--sensor", "34x34x2", "--out", tmp_path / "run"]
    outcome = cli("train", experiment, "--train", training, *options)
    assert outcome.code == 1
    assert "(34, 34, 2)" in outcome.err
    assert "(6, 5, 2)" in outcome.err


def test_ctrl_c_keeps_the_last_epoch_and_resume_goes_on(
    cli: Cli, experiment: Path, training: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    metrics = run / "metrics.jsonl"
    train = ["train", experiment, "--train", training, "--out", run, "--threads", 1]
    outcome = interrupt_when(metrics.exists, *train, "--epochs", 100_000)
    assert outcome.code == 130
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    done = len(metrics.read_text().splitlines())
    assert f"epoch {done} is kept in {run / 'checkpoint.h5'}; the same command with --resume" in outcome.err

    resumed = cli(*train, "--epochs", done + 1, "--resume", "--json").json
    assert resumed["epochs"] == done + 1
    straight = [
        "train",
        experiment,
        "--train",
        training,
        "--out",
        tmp_path / "straight",
        "--epochs",
        done + 1,
    ]
    assert cli(*straight, "--json").json["valid_accuracy"] == resumed["valid_accuracy"]
    first, second = (es.Network.load(folder / "model.h5").weights for folder in (run, tmp_path / "straight"))
    assert all((first[key] == second[key]).all() for key in first)


def test_training_writes_a_trace(cli: Cli, experiment: Path, training: Path, tmp_path: Path) -> None:
    trace, run = tmp_path / "t.h5", tmp_path / "run"
    command = ["train", experiment, "--train", training, "--valid-fraction", 0, "--out", run, "--epochs", 2]
    options = ["--trace", trace, "--levels", "weights,learning", "--trace-samples", "2-3"]
    result = cli(*command, *options, "--json").json
    assert result["trace"] == str(trace)
    with es.Trace(trace) as found:
        assert sorted((Path(s.source).name, s.epoch) for s in found.samples) == [
            ("00002.bin", 1),
            ("00002.bin", 2),
            ("00003.bin", 1),
            ("00003.bin", 2),
        ]
        assert [snapshot.epoch for snapshot in found.snapshots] == [0, 1, 2]
        np.testing.assert_array_equal(
            found.weights("hidden"), es.Network.load(run / "model.h5").weights["hidden"]
        )
        assert found.learning("output", "errors").any()
    outcome = cli(*command, "--resume", *options)
    assert outcome.code == 2
    assert "holds what came before; name another file" in " ".join(outcome.err.split())
    assert cli("inspect", trace, "--json").json["samples"] == 4
