"""eventsnn demo"""

import json
import sys
from pathlib import Path

import pytest

import eventsnn as es
import eventsnn.cli.demo as demo_module
from eventsnn._util.lock import Lock
from tests.cli.conftest import Cli, interrupt_when


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even smaller than --small: what is tested is that everything is made, not how well it learns."""
    monkeypatch.setattr(demo_module, "SMALL_LIMIT", 100)
    monkeypatch.setattr(demo_module, "SMALL_EPOCHS", 2)


@pytest.mark.usefixtures("short")
def test_demo(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    outcome = cli("demo", "--small", "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    result = outcome.json
    assert {"test_accuracy", "seconds", "out"} <= set(result)
    assert result["out"] == str(out)
    assert result["n_train"] == result["n_test"] == 100
    assert 0.0 < result["test_accuracy"] <= 1.0
    # The contributions of the input events add up to the threshold, up to rounding.
    assert result["explained"]["sum"] == pytest.approx(result["explained"]["threshold"], rel=1e-9)
    pictures = {"raster.png", "potential.png", "spsp.png", "explanation.png"}
    assert pictures == {path.name for path in (out / "pictures").iterdir()}
    assert es.data.NMNIST(out / "recordings", split="Test", sensor=(20, 20, 2)).labels.size == 100
    assert json.loads((out / "demo.json").read_text())["test_accuracy"] == result["test_accuracy"]

    # What it made works with the other commands, as its closing text says.
    recording = result["traced"]["file"]
    again = cli("simulate", out / "run" / "model.h5", recording, "--json").json
    assert again["decision"] == result["traced"]["decision"]
    assert cli("info", out / "trace.h5", "--json").json["recorded"] == ["spikes", "potential", "spsp"]

    # A second run makes the folder anew: same seed, same numbers; what others put there stays.
    (out / "notes.txt").write_text("mine")
    second = cli("demo", "--small", "--out", out)
    assert second.code == 0, second.err
    assert f"Test accuracy {100 * result['test_accuracy']:.1f} %" in second.out
    assert f"eventsnn simulate {out / 'run' / 'model.h5'} {recording}" in second.out
    assert (out / "notes.txt").read_text() == "mine"


def test_a_demo_at_work_is_left_alone(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text("{}")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.h5").write_text("being written")
    with Lock(tmp_path, RuntimeError):
        outcome = cli("demo", "--out", tmp_path)
    assert outcome.code == 1
    assert f"{tmp_path}: another run is writing it" in outcome.err
    assert (tmp_path / "run" / "model.h5").exists()
    (tmp_path / "file").touch()
    outcome = cli("demo", "--out", tmp_path / "file")
    assert outcome.code == 1
    assert "file: the folder cannot be made" in outcome.err


def test_demo_leaves_other_folders_alone(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious.h5").write_text("")
    outcome = cli("demo", "--out", tmp_path)
    assert outcome.code == 1
    assert "not empty and not of an earlier demo; choose another --out" in outcome.err
    assert (tmp_path / "run" / "precious.h5").exists()


@pytest.mark.parametrize("module", ["sklearn", "matplotlib"])
def test_missing_library_is_told_before_anything_is_made(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    outcome = cli("demo", "--out", tmp_path / "demo")
    assert outcome.code == 1
    assert "pip install 'eventsnn[demo]'" in outcome.err
    assert not (tmp_path / "demo").exists()


def test_ctrl_c(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    outcome = interrupt_when((folder / "recordings" / "Train").exists, "demo", "--out", folder)
    assert outcome.code == 130
    assert f"files made so far are in {folder}; the same command starts again" in outcome.err
    assert "Traceback" not in outcome.err


def test_settings_of_the_demo_are_an_experiment() -> None:
    path = Path(demo_module.__file__).with_name("demo.toml")
    experiment = es.Experiment.load(path)
    assert experiment.make_network().input.sensor_size == es.data.DIGITS_CAMERA.sensor_size
