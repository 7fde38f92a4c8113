"""Class names, nested folders and hints on the command line."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import eventsnn as es
from eventsnn.cli.app import main
from tests.train.test_labels import network, stream, write_folder

EXPERIMENT = """
[network]
input = { width = 9 }
[[network.layers]]
neurons = 3
threshold = 3
[optimiser]
learning_rate = 0.05
[training]
epochs = 3
valid_fraction = 0
"""


@pytest.fixture
def trained(tmp_path, capsys):
    """A folder with a model trained on ant, bee and cat, and recordings of the last two."""
    (tmp_path / "exp.toml").write_text(EXPERIMENT)
    write_folder(tmp_path / "Train", {"ant": 0, "bee": 1, "cat": 2}, n=8)
    write_folder(tmp_path / "Test", {"bee": 1, "cat": 2})
    network(["ant", "bee", "cat"]).save(tmp_path / "model.h5")
    return tmp_path


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    caught = capsys.readouterr()
    return code, caught.out, caught.err


def evaluate(trained, capsys, *options):
    return run(capsys, "evaluate", trained / "model.h5", "--data", trained / "Test", *options)


def test_a_part_of_the_classes(trained, capsys):
    (trained / "Test" / "__MACOSX").mkdir()
    code, out, err = evaluate(trained, capsys, "--predictions", trained / "p.csv")
    assert code == 0
    assert "left out the folder '__MACOSX': no class" in err
    assert "accuracy 100.00 % of 4 recordings" in out
    assert out.splitlines()[-6:-2] == [
        "          0   1   2",
        "  ant 0   0   0   0",
        "  bee 1   0   2   0",
        "  cat 2   0   0   2",
    ]
    with open(trained / "p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label_name"] for row in rows] == ["bee", "bee", "cat", "cat"]
    assert rows[0]["source"].endswith("bee/0.npz")
    assert rows[2] | {"source": ""} == {
        "source": "", "label": "2", "decision": "2", "label_name": "cat", "decision_name": "cat",
        "correct": "1", "spikes_0": "0", "spikes_1": "0", "spikes_2": rows[2]["spikes_2"],
    }  # fmt: skip
    assert int(rows[2]["spikes_2"]) > 0


def test_predictions_as_json(trained, capsys):
    code, out, _ = evaluate(trained, capsys, "--predictions", trained / "p.json", "--json")
    assert code == 0
    result, rows = json.loads(out), json.loads((trained / "p.json").read_text())
    assert (result["classes"], result["predictions"]) == (["ant", "bee", "cat"], str(trained / "p.json"))
    assert rows[0]["decision_name"] == "bee"
    assert rows[0]["counts"][1] > 0
    code, _, err = evaluate(trained, capsys, "--predictions", trained / "p.txt")
    assert code == 1
    assert "predictions are written to a file that ends in .csv or .json" in err


def test_unknown_classes(trained, capsys):
    write_folder(trained / "Test", {"dog": 0})
    code, out, err = evaluate(trained, capsys)
    assert (code, out) == (1, "")
    assert "class 'dog' not among the network's: 'ant', 'bee', 'cat'" in err


def test_decisions_have_names(trained, capsys):
    bee, cat = trained / "Test" / "bee" / "0.npz", trained / "Test" / "cat" / "0.npz"
    assert "decision 1 (bee)" in run(capsys, "simulate", trained / "model.h5", bee)[1]
    lines = run(capsys, "simulate", trained / "model.h5", bee, cat)[1].splitlines()
    assert [line.split("  ")[1] for line in lines] == ["decision 1 (bee)", "decision 2 (cat)"]
    result = json.loads(run(capsys, "simulate", trained / "model.h5", cat, "--json")[1])
    assert (result["decision"], result["class"]) == (2, "cat")
    es.Network.load(trained / "model.h5").with_classes(None).save(trained / "plain.h5")
    assert "class" not in json.loads(run(capsys, "simulate", trained / "plain.h5", cat, "--json")[1])
    assert "classes 3: 'ant', 'bee', 'cat'" in run(capsys, "info", trained / "model.h5")[1]


def test_an_old_model_takes_the_order(trained, capsys):
    network().save(trained / "old.h5")
    code, out, err = run(capsys, "evaluate", trained / "old.h5", "--data", trained / "Train")
    assert code == 0
    assert "accuracy 100.00 %" in out
    assert "the network holds no class names; its classes 'ant', 'bee', 'cat' are taken for output" in err


def test_training_keeps_names_and_goes_on_with_them(trained, capsys):
    arguments = ("train", trained / "exp.toml", "--train", trained / "Train", "--out", trained / "run")
    assert run(capsys, *arguments)[0] == 0
    assert es.Network.load(trained / "run" / "model.h5").classes == ("ant", "bee", "cat")
    code, _, err = run(capsys, *arguments)
    assert code == 1
    assert "resume it (resume=True, --resume), begin it again (overwrite=True, --overwrite)" in err
    assert run(capsys, *arguments, "--overwrite", "--epochs", 1)[0] == 0
    # A part of the classes, with the weights of a model that has all of them.
    again = ("train", trained / "exp.toml", "--train", trained / "Test", "--out", trained / "again")
    assert run(capsys, *again, "--start-from", trained / "run" / "model.h5")[0] == 0
    assert es.Network.load(trained / "again" / "model.h5").classes == ("ant", "bee", "cat")
    write_folder(trained / "Other", {"dog": 0, "eel": 1}, n=3)
    other = ("train", trained / "exp.toml", "--train", trained / "Other", "--out", trained / "other")
    code, _, err = run(capsys, *other, "--start-from", trained / "run" / "model.h5")
    assert code == 1
    assert "the training set: classes 'dog', 'eel' not among the network's: 'ant', 'bee', 'cat'" in err
    named = EXPERIMENT.replace("[[network", 'classes = ["eel", "dog"]\n[[network')
    (trained / "exp.toml").write_text(named)
    assert run(capsys, *other, "--start-from", trained / "run" / "model.h5")[0] == 0
    assert es.Network.load(trained / "other" / "model.h5").classes == ("eel", "dog")


def test_training_without_out(trained, capsys, monkeypatch):
    (trained / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(trained / "tmp"))
    code, out, _ = run(capsys, "train", trained / "exp.toml", "--train", trained / "Train", "--json")
    assert code == 0
    folder = json.loads(out)["out"]
    assert [str(path) for path in (trained / "tmp").iterdir()] == [folder]
    assert run(capsys, "evaluate", f"{folder}/model.h5", "--data", trained / "Test")[0] == 0
    code, _, err = run(capsys, "train", trained / "exp.toml", "--train", trained / "Train", "--resume")
    assert code == 2
    assert "--resume continues the run in --out: give its folder." in err
    assert run(capsys, "train", trained / "exp.toml", "--train", trained / "none")[0] == 1
    assert len(list((trained / "tmp").iterdir())) == 1  # a run that never began leaves no folder


def test_class_folders_below_subjects(trained, capsys):
    for subject in ("s1", "s2"):
        write_folder(trained / "People" / subject, {"cat": 2, "bee": 1}, n=3)
    arguments = ("--data", trained / "People", "--label-from", "parent")
    code, out, _ = run(capsys, "evaluate", trained / "model.h5", *arguments)
    assert code == 0
    assert "accuracy 100.00 % of 12 recordings" in out
    code, _, err = run(capsys, "evaluate", trained / "model.h5", "--data", trained / "People")
    assert code == 1
    assert "classes 's1', 's2' not among the network's" in err
    assert run(capsys, "pack", trained / "People", trained / "set.esp", "--label-from", "parent")[0] == 0
    assert "classes     2: 'bee', 'cat'" in run(capsys, "info", trained / "set.esp")[1]
    code, out, _ = run(capsys, "evaluate", trained / "model.h5", "--data", trained / "set.esp")
    assert "accuracy 100.00 % of 12 recordings" in out
    code, _, err = run(
        capsys, "evaluate", trained / "model.h5", "--data", trained / "set.esp", "--label-from", "parent"
    )
    assert code == 2
    assert "--label-from is for folders" in err


def test_a_recurrent_network_is_evaluated_up_to_a_time(trained, capsys):
    model = network(["ant", "bee", "cat"])
    loop = es.Network(
        model.input,
        *model.layers,
        connections=[es.Connection("output", "output", delay=1.0)],
        weights={**model.weights, "output->output": np.eye(3, dtype=np.float32)},
        classes=model.classes,
    )
    loop.save(trained / "loop.h5")
    code, out, _ = run(capsys, "evaluate", trained / "loop.h5", "--data", trained / "Test", "--json")
    assert (code, json.loads(out)["accuracy"]) == (0, 1.0), "each recording runs until its end"
    found = es.evaluate(loop, es.data.Folder(trained / "Test"), dtype="float64")
    one = es.simulate(loop, stream(1), t_stop=stream(1).duration_ms)
    assert found.predictions[0].counts == tuple(one.output.counts.tolist())
    code, out, _ = run(
        capsys, "evaluate", trained / "loop.h5", "--data", trained / "Test", "--t-stop", 30, "--json"
    )
    assert (code, json.loads(out)["accuracy"]) == (0, 1.0)
    found = es.evaluate(loop, es.data.Folder(trained / "Test"), t_stop=30.0, dtype="float64")
    one = es.simulate(loop, stream(1), t_stop=30.0)
    assert found.predictions[0].counts == tuple(one.output.counts.tolist())
    data = es.data.Folder(trained / "Test")
    for engine in ("sweep", "gpu"):
        with pytest.raises(
            es.SimulationError, match=f"'{engine}' takes no t_stop for data sets; use engine='q"
        ):
            es.evaluate(model, data, t_stop=30.0, engine=engine)
        for t_stop in (None, 30.0):  # nobody asked for the end that evaluate gives to loops
            with pytest.raises(
                es.SimulationError, match="cannot run this network: connection 'output->output'"
            ):
                es.evaluate(loop, data, t_stop=t_stop, engine=engine)


def test_silence_gets_a_hint(trained, capsys):
    silent = network(["ant", "bee", "cat"]).replace("output", threshold=1e6)
    silent.save(trained / "silent.h5")
    recording = trained / "Test" / "bee" / "0.npz"
    code, out, err = run(capsys, "simulate", trained / "silent.h5", recording)
    assert (code, "no decision" in out) == (0, True)
    assert err == (
        "hint: no output neuron fired: layer 'output' is the first without a spike; lower its threshold "
        "(network.replace('output', threshold=...)) or give it larger weights (initial_weight)\n"
    )
    code, out, err = run(capsys, "evaluate", trained / "silent.h5", "--data", trained / "Test")
    assert "warning: no output neuron fired in 4 recordings" in err
    with pytest.warns(es.SilentOutputWarning, match="no output neuron fired in 4 recordings"):
        es.evaluate(silent, es.data.Folder(trained / "Test"))
    assert run(capsys, "simulate", trained / "model.h5", recording)[2] == ""


def test_predictions_in_python(trained):
    found = es.evaluate(es.Network.load(trained / "model.h5"), es.data.Folder(trained / "Test"))
    assert len(found.predictions) == 4
    first = found.predictions[0]
    assert (first.label, first.decision, first.label_name, first.decision_name, first.correct) == (
        1, 1, "bee", "bee", True,
    )  # fmt: skip
    assert found.predictions.decisions.tolist() == [1, 1, 2, 2]
    assert found.predictions.labels.tolist() == [1, 1, 2, 2]
    assert found.predictions.counts.shape == (4, 3)
    assert [p.source for p in found.predictions[-2:]] == found.predictions.sources[2:]
    assert repr(found) == ("<Evaluation of 4 recordings: accuracy 100.00 %, no decision 0, engine 'sweep'>")
    assert repr(found.predictions) == "<4 predictions, 4 correct>"
    assert "predictions" not in found.to_dict()
    with pytest.raises(IndexError):
        found.predictions[4]
