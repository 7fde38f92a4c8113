"""The authors' clock on the command line: import, train and evaluate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import eventsnn as es
from tests.cli.conftest import SENSOR, Cli, make_network, write_recordings

EXPERIMENT = """
[network]
input = { width = 6, height = 5, polarities = 2 }
layers = [{ neurons = 4, threshold = 4.0 }, { neurons = 2, threshold = 4.0 }]

[rule]
desired = 6
undesired = 1
margin = 1

[training]
epochs = 2
batch_size = 2
valid_fraction = 0.25
"""


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
