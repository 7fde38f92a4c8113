"""What a page of training runs shows, without a browser."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import TrainingError, ViewError
from eventsnn.train.history import find_runs, parse_metrics
from eventsnn.view.open import find_kind, open_viewed
from eventsnn.view.run_page import RunPage, tile


def write_epochs(folder: Path, epochs: int, **more: object) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [
        {"epoch": k, "loss": 10.0 / k, "accuracy": 0.1 * k, "valid_accuracy": 0.09 * k, "samples": 5, **more}
        for k in range(1, epochs + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_curves_grow_with_the_file(tmp_path: Path) -> None:
    page = RunPage([write_epochs(tmp_path / "first", 2)])
    assert not page.refresh()
    (curve,) = page.panels()["loss"]
    np.testing.assert_array_equal(curve.epochs, [1.0, 2.0])
    np.testing.assert_array_equal(curve.values, [10.0, 5.0])
    write_epochs(tmp_path / "first", 4)
    assert page.refresh()
    assert page.panels()["accuracy"][0].values.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert page.describe() == "first: epoch 4, validation 36.00 % (best 36.00 % in epoch 4)"


def test_several_runs(tmp_path: Path) -> None:
    folders = [write_epochs(tmp_path / name, epochs) for name, epochs in (("a", 3), ("b", 5))]
    page = RunPage(folders)
    assert [(c.run, c.metric, len(c.epochs)) for c in page.panels()["accuracy"]] == [
        ("a", "accuracy", 3),
        ("a", "valid_accuracy", 3),
        ("b", "accuracy", 5),
        ("b", "valid_accuracy", 5),
    ]
    assert find_runs(tmp_path) == folders
    assert find_runs(folders[0]) == find_runs(folders[0] / "metrics.jsonl") == folders[:1]
    assert find_kind(tmp_path, {}) == "training run"


def test_metrics_of_layers_share_a_plot(tmp_path: Path) -> None:
    page = RunPage([write_epochs(tmp_path / "a", 2, gradient_norm={"hidden": 0.5, "output": 2.0})])
    curves = page.panels()["gradient norm"]
    assert [curve.metric for curve in curves] == ["gradient_norm hidden", "gradient_norm output"]
    assert curves[1].values.tolist() == [2.0, 2.0]


def test_a_line_that_is_being_written_is_left_out() -> None:
    assert parse_metrics('{"epoch": 1, "loss": 2}\n{"epoch": 2, "lo') == [{"epoch": 1.0, "loss": 2.0}]
    for text in ("hello\n", "[1]\n", '{"loss": 1}\n', '{"epoch": "x"}\n'):
        with pytest.raises(TrainingError, match="line 1 is not an epoch's metrics"):
            parse_metrics(text)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    page = RunPage([write_epochs(tmp_path / "a", 2)])
    (tmp_path / "a" / "metrics.jsonl").write_text("what is this\n")
    assert page.refresh()
    assert "metrics.jsonl: line 1" in page.runs[0].problem
    assert len(page.runs[0].lines) == 2


def test_confusion(tmp_path: Path) -> None:
    page = RunPage([write_epochs(tmp_path / "a", 1)])
    (run,) = page.runs
    assert run.confusion() is None
    rows = ["source,label,decision", "x,0,0", "y,0,2", "z,2,2", "w,1,"]
    (tmp_path / "a" / "predictions.csv").write_text("\n".join(rows) + "\n")
    np.testing.assert_array_equal(run.confusion(), [[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    (tmp_path / "a" / "predictions.csv").write_text("nothing\n1\n")
    assert run.confusion() is None
    assert "not a table of 'eventsnn evaluate --predictions'" in run.problem


def test_tiles_stand_side_by_side() -> None:
    fields = np.arange(3 * 2 * 4 * 5, dtype=float).reshape(3, 2, 4, 5)
    picture = tile(fields, 2)
    assert picture.shape == (9, 21)
    np.testing.assert_array_equal(picture[:4, :5], fields[0, 0])
    np.testing.assert_array_equal(picture[:4, 16:21], fields[1, 1])
    assert np.isnan(picture[4]).all()


def test_a_run_shows_its_strongest_fields(tmp_path: Path) -> None:
    run = RunPage([write_epochs(tmp_path / "a", 1)]).runs[0]
    assert run.fields() is None
    network = es.Network(es.Input(5, 4, 2), es.Dense(30), seed=1)
    network.save(tmp_path / "a" / "model.h5")
    norms = np.linalg.norm(network.weights["output"], axis=1)
    found = np.linalg.norm(run.fields().reshape(24, -1), axis=1)
    np.testing.assert_allclose(found, np.sort(norms)[::-1][:24], rtol=1e-6)


def test_document_follows_a_run(tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    from bokeh.document import Document

    from eventsnn.view.run_document import RunDocument

    folders = [write_epochs(tmp_path / name, 2) for name in ("a", "b")]
    es.Network(es.Input(5, 4, 2), es.Dense(3), seed=1).save(folders[1] / "model.h5")
    shown = RunDocument(Document(), folders, {"run": "1"})
    assert len(shown._weights.data["image"]) == 1
    source = shown._plots["loss"]._sources["a", "loss"]
    assert len(source.data["epoch"]) == 2
    write_epochs(folders[0], 6)
    shown.tick()
    assert len(source.data["epoch"]) == 6
    shown.obey("next-run")
    assert shown.page.shown == 0
    assert shown._weights.data["image"] == []


def test_only_the_run_that_goes_on_is_sent_again(tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    from bokeh.document import Document

    from eventsnn.view.run_document import RunDocument

    folders = [write_epochs(tmp_path / name, 2) for name in "ab"]
    shown = RunDocument(Document(), folders, {})
    sent = []
    for plot in shown._plots.values():
        for key, source in plot._sources.items():
            source.on_change("data", lambda attribute, old, new, key=key: sent.append(key))
    write_epochs(folders[1], 3)
    shown.tick()
    assert {run for run, metric in sent} == {"b"}
    assert ("b", "loss") in sent


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = []
    for number, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        folders.append(write_epochs(tmp_path / name / "run", 2 + number))
    page = RunPage(folders)
    assert [run.name for run in page.runs] == ["a/run", "b/run"]
    assert [(curve.run, len(curve.epochs)) for curve in page.panels()["loss"]] == [("a/run", 2), ("b/run", 3)]
    assert [run.name for run in RunPage([folders[0], folders[0]]).runs] == [
        f"{folders[0]} ({k})" for k in range(2)
    ]


def test_metrics_that_come_later_get_a_plot(tmp_path: Path) -> None:
    """A page that is opened before the first epoch ends."""
    pytest.importorskip("bokeh")
    from bokeh.document import Document

    from eventsnn.view.run_document import RunDocument

    folder = write_epochs(tmp_path / "a", 0)
    shown = RunDocument(Document(), [folder], {})
    assert list(shown._plots) == ["loss", "accuracy"]
    write_epochs(folder, 3, gradient_norms={"hidden": 0.5, "output": 2.0}, learning_rate=0.01)
    shown.tick()
    assert [(plot.name, *place) for plot, *place in shown._grid.children] == [
        ("curves-loss", 0, 0),
        ("curves-accuracy", 0, 1),
        ("curves-learning rate", 0, 2),
        ("curves-gradient norms", 1, 0),
    ]
    norms = shown._plots["gradient norms"]
    assert [item.label.value for item in norms.figure.legend[0].items] == ["hidden", "output"]
    assert norms._sources["a", "gradient_norms output"].data["value"].tolist() == [2.0, 2.0, 2.0]


def test_what_cannot_be_shown_together(tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    run = write_epochs(tmp_path / "a", 2)
    es.write(tmp_path / "r.bin", es.EventStream.from_arrays([1], [1], [1], [1], sensor_size=(34, 34, 2)))
    with pytest.raises(ViewError, match=r"r\.bin: a recording; only training runs are shown together"):
        open_viewed([run, tmp_path / "r.bin"])
    with pytest.raises(ViewError, match=r"a: a training run; --on-bad, --sensor: for recordings only"):
        open_viewed(run, {"sensor": (3, 3, 2), "on_bad": "skip"})
