"""The authors' clock on the command line: import, train and evaluate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import eventsnn as es
from tests.cli.conftest import SENSOR, Cli, experiment_text, make_network, write_recordings

EXPERIMENT = experiment_text(hidden=4, threshold=4.0, epochs=2, optimiser="")


def test_import_of_a_text_file(cli: Cli, tmp_path: Path) -> None:
    experiment = tmp_path / "experiment.toml"
    experiment.write_text(EXPERIMENT)
    numbers = [*np.arange(240.0), *np.zeros(4), *np.arange(8.0), *np.zeros(2)]
    (tmp_path / "weights.txt").write_text(" ".join(str(number) for number in numbers))
    model = tmp_path / "net.h5"
    outcome = cli("import", tmp_path / "weights.txt", "-o", model, "--network", experiment, "--json")
    assert outcome.code == 0, outcome.err
    weights = {"hidden": 240, "output": 8}
    assert outcome.json == {"model": str(model), "weights": weights, "engine": "clocked", "step_ms": 1.0}
    network = es.Network.load(model)
    assert network.settings == es.RunSettings("clocked", 1.0)
    np.testing.assert_array_equal(network.weights["hidden"], np.arange(240.0).reshape(4, 60))
    # Without --network it would have to be the published one.
    refused = cli("import", tmp_path / "weights.txt", "-o", tmp_path / "other.h5")
    assert refused.code == 1
    assert "holds 254 numbers" in refused.err
    assert "needs 210840" in refused.err
    assert not (tmp_path / "other.h5").exists()


def test_train_and_evaluate(cli: Cli, tmp_path: Path) -> None:
    experiment = tmp_path / "experiment.toml"
    experiment.write_text(EXPERIMENT)
    recordings, run = write_recordings(tmp_path / "recordings", 8), tmp_path / "run"
    trained = cli("train", experiment, "--train", recordings, "--engine", "clocked", "--out", run, "--json")
    assert trained.code == 0, trained.err
    assert "--engine clocked" in (run / "command.txt").read_text()  # without it the run is another
    outcome = cli("evaluate", run / "model.h5", "--data", recordings, "--engine", "clocked", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["n"] == 16
    resumed = cli("train", experiment, "--train", recordings, "--out", run, "--resume", "--epochs", 3)
    assert resumed.code == 1
    assert "cannot resume, engine was" in resumed.err


def test_models_of_the_clock_run_on_it(cli: Cli, tmp_path: Path) -> None:
    experiment, data, run = tmp_path / "experiment.toml", tmp_path / "recordings", tmp_path / "run"
    experiment.write_text(EXPERIMENT + 'engine = "clocked"\nstep_ms = 0.5\nduration_ms = 30\n')
    write_recordings(data, 6)
    options = ("--train", data, "--out", run)
    trained = cli("train", experiment, *options, "--step-ms", 2, "--per-class", 4, "--json")
    assert trained.code == 0, trained.err
    command = (run / "command.txt").read_text()
    assert "--step-ms 2.0" in command
    assert "--per-class 4" in command
    assert es.Network.load(run / "model.h5").settings == es.RunSettings("clocked", 2.0, 30.0)
    text = cli("evaluate", run / "model.h5", "--data", data).out
    assert "engine clocked, steps of 2 ms;" in text
    found = cli("evaluate", run / "model.h5", "--data", data, "--json").json
    assert (found["engine"], found["step_ms"]) == ("clocked", 2.0)
    exact = cli("evaluate", run / "model.h5", "--data", data, "--engine", "sweep", "--per-class", 2, "--json")
    assert [exact.json[name] for name in ("engine", "step_ms", "n")] == ["sweep", None, 4]
    assert (
        "engine sweep, exact time;"
        in cli("evaluate", run / "model.h5", "--data", data, "--engine", "sweep").out
    )
    recording = next((data / "0").iterdir())
    simulated = cli("simulate", run / "model.h5", recording, "--json").json
    assert [simulated[name] for name in ("engine", "step_ms", "dtype")] == ["clocked", 2.0, "float32"]
    assert simulated["t_end_ms"] == 30.0
    other = cli("simulate", run / "model.h5", recording, "--step-ms", 0.5, "--trace", tmp_path / "t.h5")
    assert "through engine clocked, steps of 0.5 ms, float32" in other.out
    record = es.Trace(tmp_path / "t.h5").record()
    assert (record.engine, record.step_ms) == ("clocked", 0.5)
    text = cli("simulate", run / "model.h5", recording, "--engine", "queue").out
    assert "engine queue, exact time" in text
    info = cli("info", run / "model.h5")
    assert "samples run in steps of 2 ms (engine clocked), for 30 ms" in info.out


def test_bad_settings_are_one_clear_error(cli: Cli, tmp_path: Path) -> None:
    experiment, data = tmp_path / "experiment.toml", write_recordings(tmp_path / "recordings", 2)
    train = ("train", experiment, "--train", data, "--out", tmp_path / "run")
    for lines, options, text in (
        ("", ("--step-ms", 2), "training: step_ms is for engine 'clocked'"),
        ('engine = "clocked"', ("--step-ms", -2), "step_ms must be a finite number of ms > 0, got -2.0"),
        ('engine = "clocked"', ("--step-ms", 0.7), "refractory must be whole steps of 0.7 ms, got 2 ms"),
        ('engine = "clocked"', ("--duration-ms", 1e8), "duration_ms: engine 'clocked' takes up to 1000000"),
        ('duration_ms = "long"', (), "duration_ms must be a finite number of ms > 0, got 'long'"),
        ("per_class = 0", (), "per_class must be a whole number >= 1, got 0"),
        ('stabilise = "yes"', (), "stabilise must be one of nmnist, got 'yes'"),
    ):
        experiment.write_text(EXPERIMENT + lines + "\n")
        outcome = cli(*train, *options)
        assert outcome.code == 1
        assert text in outcome.err
        assert len(outcome.err.strip().splitlines()) == 1
    experiment.write_text(EXPERIMENT + 'engine = "clocked"\nstep_ms = 2.0\n')
    exact = cli(*train, "--engine", "exact")
    assert exact.code == 0, exact.err  # the file's step is not for it
    stopped = cli("evaluate", tmp_path / "run" / "model.h5", "--data", data, "--step-ms", 1)
    assert (stopped.code, "step_ms is for engine 'clocked'" in stopped.err) == (1, True)
    model = make_network().with_settings(es.RunSettings("clocked"))
    model.save(tmp_path / "net.h5")
    recording = next((data / "0").iterdir())
    parts = cli("simulate", tmp_path / "net.h5", recording, "--spikes", tmp_path / "s.csv")
    assert (parts.code, "engine clocked" in parts.out) == (0, True)


def test_evaluate_counts_the_decisions_of_clocked_runs(cli: Cli, tmp_path: Path) -> None:
    recordings = write_recordings(tmp_path / "recordings", 4)
    network = make_network()
    network.save(tmp_path / "net.h5")
    expected = 0
    for label in (0, 1):
        for path in sorted((recordings / str(label)).iterdir()):
            stream = es.read(path, sensor=SENSOR)
            last = float(stream.times_ms()[-1])
            record = es.simulate(network, stream, engine="clocked", dtype="float32", t_stop=last)
            expected += record.decision == label
    outcome = cli("evaluate", tmp_path / "net.h5", "--data", recordings, "--engine", "clocked", "--json")
    assert outcome.code == 0, outcome.err
    assert expected > 4
    assert outcome.json["accuracy"] == expected / 8
    refused = cli(
        "evaluate", tmp_path / "net.h5", "--data", recordings, "--engine", "clocked", "--dtype", "float64"
    )
    assert refused.code == 1
    assert "float32 only" in refused.err
