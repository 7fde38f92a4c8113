"""How recordings are read as an experiment file and a model say."""

from pathlib import Path

import numpy as np

import eventsnn as es
from tests.cli.conftest import EXPERIMENT, SENSOR, Cli, make_stream, write_table

READING = """
[reading]
crop = [3, 0, 9, 5]
columns = "p,x,y,t[ms]"
until = 1000
"""


def write_tables(root: Path, per_class: int = 4) -> Path:
    """Recordings as tables without names, three pixels to the right."""
    for label in (0, 1):
        for number in range(per_class):
            events = make_stream(label, number).events
            columns = (events["p"], events["x"] + 3.0, events["y"], events["t"] / 1000.0)
            write_table(root / str(label) / f"{number:05d}.npy", np.stack(columns, axis=1))
    return root


def test_an_experiment_says_how_recordings_are_read(cli: Cli, tmp_path: Path) -> None:
    experiment, folder, run = tmp_path / "experiment.toml", write_tables(tmp_path / "set"), tmp_path / "run"
    experiment.write_text(EXPERIMENT + READING)
    train = ("train", experiment, "--train", folder, "--out", run)
    outcome = cli(*train, "--valid", folder, "--until", "500")
    assert outcome.code == 0, outcome.err
    words = (run / "command.txt").read_text()
    assert "--until 500" in words
    assert "--crop" not in words
    plain = tmp_path / "plain"
    for label in (0, 1):
        (plain / str(label)).mkdir(parents=True)
        for number in range(4):
            es.write(plain / str(label) / f"{number:05d}.es", make_stream(label, number))
    experiment.write_text(EXPERIMENT)
    assert cli("train", experiment, "--train", plain, "--valid", plain, "--out", tmp_path / "other").code == 0
    networks = [es.Network.load(tmp_path / name / "model.h5") for name in ("run", "other")]
    assert all(
        np.array_equal(weights, networks[1].weights[key]) for key, weights in networks[0].weights.items()
    )

    # What the model was trained with holds for evaluating and simulating, unless an option says otherwise.
    outcome = cli("evaluate", run / "model.h5", "--data", folder, "--json")
    assert outcome.code == 0, outcome.err
    assert (
        "reading recordings as in training: --columns 'p,x,y,t[ms]' --until 500 --crop 3,0,9,5" in outcome.err
    )
    first = outcome.json
    other = cli("evaluate", tmp_path / "other" / "model.h5", "--data", plain, "--json").json
    assert first["confusion"] == other["confusion"]
    outcome = cli("simulate", run / "model.h5", folder / "0" / "00000.npy", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["events"] == 120
    outcome = cli("evaluate", run / "model.h5", "--data", folder, "--crop", "0,0,9,5")
    assert outcome.code == 1


def test_runs_go_on_with_the_same_reading_only(cli: Cli, tmp_path: Path) -> None:
    experiment, folder, run = tmp_path / "experiment.toml", write_tables(tmp_path / "set"), tmp_path / "run"
    experiment.write_text(EXPERIMENT + READING)
    train = ("train", experiment, "--out", run, "--valid-fraction", "0")
    assert cli(*train, "--train", folder, "--epochs", "1").code == 0
    outcome = cli(*train, "--train", folder, "--resume", "--until", "20")
    assert outcome.code == 1
    assert "training_set.reading" in outcome.err
    packing = ("--crop", "3,0,9,5", "--columns", "p,x,y,t[ms]", "--until", "1000")
    assert cli("pack", folder, tmp_path / "a.esp", *packing).code == 0
    outcome = cli(*train, "--train", tmp_path / "a.esp", "--resume")
    assert outcome.code == 0, outcome.err


def test_packed_files_must_be_made_as_the_experiment_reads(cli: Cli, tmp_path: Path) -> None:
    experiment, folder = tmp_path / "experiment.toml", write_tables(tmp_path / "set")
    experiment.write_text(EXPERIMENT + READING)
    train = ("train", experiment, "--valid-fraction", "0", "--epochs", "1", "--train")
    model = tmp_path / "run" / "model.h5"
    assert cli(*train, folder, "--out", tmp_path / "run").code == 0
    packing = ("--crop", "3,0,9,5", "--columns", "p,x,y,t[ms]", "--until", "10")
    assert cli("pack", folder, tmp_path / "a.esp", *packing).code == 0
    for command in ((*train, tmp_path / "a.esp"), ("evaluate", model, "--data", tmp_path / "a.esp")):
        outcome = cli(*command)
        assert outcome.code == 2
        assert "a.esp was made without --until 1000, which the experiment or the model" in outcome.err


def test_polarities_are_merged(cli: Cli, recordings: Path, tmp_path: Path) -> None:
    path = recordings / "1" / "00000.bin"
    whole = es.read(path, sensor=SENSOR)
    merged = es.read(path, sensor=SENSOR, merge_polarities=True)
    assert merged == whole.merge_polarities()
    assert (merged.sensor_size, len(merged)) == ((6, 5, 1), len(whole))
    arguments = (path, "--sensor", "6x5x2", "--merge-polarities", "--json")
    assert cli("info", *arguments).json["sensor"] == [6, 5, 1]
    network = es.Network(es.Input(6, 5, 1), es.Dense(4, threshold=2.0), es.Dense(2, threshold=2.0), seed=1)
    network.save(tmp_path / "one.h5")
    outcome = cli("simulate", tmp_path / "one.h5", *arguments)
    assert outcome.code == 0, outcome.err
    assert outcome.json["counts"] == es.simulate(network, merged).summary()["counts"]
    outcome = cli("simulate", tmp_path / "one.h5", path)
    assert outcome.code == 1
    assert "--merge-polarities" in outcome.err
    experiment, run = tmp_path / "experiment.toml", tmp_path / "run"
    experiment.write_text(
        EXPERIMENT.replace("polarities = 2", "polarities = 1")
        + "[reading]\nsensor = [6, 5, 2]\nmerge_polarities = true\n"
    )
    train = (
        "train",
        experiment,
        "--train",
        recordings,
        "--out",
        run,
        "--valid-fraction",
        "0",
        "--epochs",
        "1",
    )
    assert cli(*train).code == 0
    outcome = cli("evaluate", run / "model.h5", "--data", recordings)
    assert outcome.code == 0, outcome.err
    assert "reading recordings as in training: --sensor 6x5x2 --merge-polarities" in outcome.err


def test_a_wrong_table_is_told(cli: Cli, tmp_path: Path) -> None:
    experiment = tmp_path / "experiment.toml"
    experiment.write_text(EXPERIMENT + "[reading]\nt_from = 5\n")
    outcome = cli("train", experiment, "--train", tmp_path, "--out", tmp_path / "run")
    assert outcome.code == 1
    assert "experiment.toml: reading: unknown field 't_from'; there are" in outcome.err
