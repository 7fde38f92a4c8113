"""A trace's document: what its widgets do, without a browser."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("bokeh")

from bokeh.document import Document
from bokeh.events import SelectionGeometry, Tap
from bokeh.models import Model

import eventsnn as es
from eventsnn.errors import MissingExtraError, TraceError, ViewError
from eventsnn.trace import Trace
from eventsnn.view import export_page
from eventsnn.view.open import open_viewed
from eventsnn.view.trace_document import TraceDocument


@pytest.fixture
def shown(trace: Trace) -> TraceDocument:
    return TraceDocument(Document(), trace, {"sample": "1"})


def find(shown: TraceDocument, name: str) -> Model:
    found = shown.document.get_model_by_name(name)
    assert found is not None
    return found


def click(shown: TraceDocument, layer: str, row: int) -> None:
    """Click on a spike of the raster."""
    plot = find(shown, f"raster-{layer}")
    spikes = shown.page.record[layer]
    plot._trigger_event(Tap(plot, x=float(spikes.times[row]), y=float(spikes.neurons[row])))


def test_click_shows_the_spike(shown: TraceDocument) -> None:
    assert "No spike chosen" in shown.spike.facts.text
    click(shown, "output", 3)
    panels = shown.page.panels
    assert f"spike {panels.name.number} at {panels.time_ms:.4f} ms" in shown.spike.facts.text
    assert "add up to 1.5; threshold 1.5" in shown.spike.facts.text
    causes = shown.spike._cause_source.data
    assert causes["value"][0] == np.abs(panels.causes["contribution"]).max()
    assert shown.frame._address.value.startswith("step sample=1&path=output")


def test_cause_and_back(shown: TraceDocument) -> None:
    click(shown, "output", 3)
    causes = shown.spike._cause_source
    row = next(k for k, name in enumerate(causes.data["cause"]) if name.startswith("middle"))
    causes.selected.indices = [row]
    way = shown._way
    assert len(way.labels) == 2
    assert way.active == 1
    assert shown.page.view.spike.layer == "middle"
    way.active = 0
    assert shown.page.view.spike.layer == "output"
    assert not way.visible
    click(shown, "output", 4)
    row = next(k for k, name in enumerate(causes.data["cause"]) if name.startswith("middle"))
    causes.selected.indices = [row]
    assert way.visible
    names = [f"{name.layer} {name.neuron}" for name in shown.page.view.path]
    assert way.labels == [names[0], f"1: {names[1]}"]
    assert way.active == 1


def test_a_click_leaves_the_hidden_way_alone(shown: TraceDocument) -> None:
    changed = []
    shown.document.on_change(lambda event: changed.append(getattr(event, "model", None)))
    click(shown, "output", 3)
    assert shown.spike.facts in changed
    assert shown._way not in changed


def test_box_selects_events_and_the_button_removes_them(shown: TraceDocument) -> None:
    click(shown, "output", 3)
    plot = find(shown, "raster-input")
    box = {"type": "rect", "x0": 0.0, "x1": 20.0, "y0": 0.0, "y1": 30.0}
    plot._trigger_event(SelectionGeometry(plot, geometry=box, final=True))
    rows = shown.page.select_events(0.0, 20.0, 0.0, 30.0)
    assert rows.size > 1
    assert shown._marked.tolist() == rows.tolist()
    assert len(shown.raster._layers["input"].selected.data["t"]) == rows.size
    shown.obey("remove")
    assert shown.page.view.removed == frozenset(rows.tolist())
    assert "decision" in shown._outcome.text
    assert "remove=" in shown.frame._address.value
    shown.obey("undo")
    assert shown._outcome.text == ""


def test_keys(shown: TraceDocument) -> None:
    shown.samples.show()
    for command, sample in (("previous-sample", 0), ("previous-sample", 0), ("next-sample", 1)):
        shown.frame._command.value = f"{command} {np.random.default_rng().integers(10**9)}"
        assert shown.page.view.sample == sample
    shown.obey("next-spike")
    assert shown.page.view.spike.layer == "output"
    shown.obey("mode")
    assert shown._mode.active == 1
    assert "Slope" in shown.spike.facts.text
    shown.obey("silence")
    assert shown.page.view.silenced
    shown.frame._command.value = "look 1"
    assert shown.frame.look == "dark"
    assert shown.frame._address.value.endswith("theme=dark")


def test_filter_keeps_the_choice(shown: TraceDocument) -> None:
    shown.samples._verdict.value = "wrong"
    assert shown.samples._samples.data["index"] == [1]
    assert shown.samples._samples.selected.indices == [0]
    shown.samples._verdict.value = "all"
    shown.samples._samples.selected.indices = [2]
    assert shown.page.view.sample == 2


def test_text_of_files_is_escaped(shown: TraceDocument) -> None:
    shown.samples._samples.selected.indices = [2]
    assert "(&lt;b&gt;.bin)" in shown.frame.title.text


def test_exported_page(trace_path: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    export_page(trace_path, page, state="?sample=1&path=output:0:0")
    text = page.read_text()
    assert text.startswith("\n<!DOCTYPE html>")
    assert "spike 0 at" in text
    assert "remove selected" not in text
    assert not re.search(r"<script[^>]* src=", text)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_exported_page_has_what_if_simulations_made_in_advance(trace: Trace) -> None:
    """Every row is what `eventsnn.what_if` says, and what the browser is to draw for it."""
    shown = TraceDocument(Document(), trace, {"sample": "1", "path": "output:0:0"})
    page = shown.page
    source = find(shown, "removals").source
    assert source.data["name"][0] == "nothing"
    (show,) = source.selected.js_property_callbacks["change:indices"]
    names, strongest = source.data["name"], page.strongest_events(5)
    edits = {
        names.index("5 strongest events"): {"remove": strongest.tolist()},
        1: {"remove": strongest[:1].tolist()},
        len(names) - 1: {"silence": [(names[-1].split()[0], int(names[-1].split()[1]))]},
    }
    targets = show.args["targets"]
    for row, edit in edits.items():
        expected = es.what_if(trace, sample=1, **edit)
        assert source.data["changed"][row] == sum(map(len, expected.changes.values()))
        decisions = [str(run.decision) for run in (expected.before, expected.after)]
        assert source.data["decision"][row].split(" → ") == list(dict.fromkeys(decisions))
        after = expected.after["output"].of(0)
        told = source.data["effect"][row]
        moved = [t - page.panels.time_ms for t in after[:1]]
        assert told in ("lost", "same") or [float(told)] == pytest.approx(moved, abs=6e-4)
        data = dict(zip((target.id for target in targets), show.args["rows"][row], strict=True))
        layer = shown.raster._layers["output"]
        changes = expected.changes["output"]
        lost = changes["before_ms"][np.isnan(changes["after_ms"])]
        np.testing.assert_array_equal(data[layer.lost.id]["t"], lost)
        removed = data[shown.raster._layers["input"].lost.id]["t"]
        np.testing.assert_array_equal(removed, page.record.input.times[sorted(edit.get("remove", []))])
        t, u = data[shown.spike.edited.id].values()
        potential = es.trace.membrane_potential(page.network, expected.after, "output", 0, t[[5, 60]])
        np.testing.assert_allclose(u[[5, 60]], potential, rtol=1e-9, atol=1e-12)


def test_readout_layer(tmp_path: Path) -> None:
    """Its potentials are drawn where other layers have spikes, those of a what-if simulation dashed."""
    network = es.Network(es.Input(12), es.Dense(20, threshold=1.0), es.Readout(4, name="out"), seed=3)
    network = network.with_weights({k: w + 0.15 * (k != "out") for k, w in network.weights.items()})
    rng = np.random.default_rng(1)
    events = np.sort(rng.integers(0, 50_000, 200)) / 1000.0, rng.integers(0, 12, 200)
    run = es.simulate(network, events, t_stop=80.0, trace=tmp_path / "t.h5")
    assert len(run["hidden"]) > 20
    with Trace(tmp_path / "t.h5") as trace:
        shown = TraceDocument(Document(), trace, {"window": "10 30"})
        assert [plot.name for plot in shown.raster.figures] == [
            "raster-input",
            "raster-hidden",
            "readout-out",
        ]
        plot = shown.raster._readout
        lines = plot._lines.data
        assert lines["name"] == ["0", "1", "2", "3"]
        assert lines["value"] == run.readout.tolist()
        assert f"decision {run.decision} (blue)" in plot.figure.title.text
        for neuron in range(4):
            t, u = lines["t"][neuron], lines["u"][neuron]
            assert (t[0], t[-1]) == (10.0, 30.0)
            expected = es.trace.membrane_potential(network, run, "out", neuron, t)
            np.testing.assert_allclose(u, expected, rtol=1e-9, atol=1e-12)
        assert plot._edited.data["t"] == []
        click(shown, "hidden", int(np.searchsorted(run["hidden"].times, 10.0)))
        shown.obey("silence")
        after = shown.page.difference.after
        dashed = dict(zip(plot._edited.data["name"], plot._edited.data["u"], strict=True))
        assert set(dashed) == {str(run.decision), str(after.decision)}
        expected = es.trace.membrane_potential(network, after, "out", run.decision, plot._edited.data["t"][0])
        np.testing.assert_allclose(dashed[str(run.decision)], expected, rtol=1e-9, atol=1e-12)
        assert f"readout of {run.decision}: {run.readout[run.decision]:.6g}" in shown._outcome.text


def test_what_has_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.odt").write_text("hello")
    with pytest.raises(
        ViewError, match=r"notes\.odt: neither a trace, a training run nor a recording of a known format"
    ):
        open_viewed(tmp_path / "notes.odt")
    with pytest.raises(ViewError, match=r"none\.bin: no such file"):
        open_viewed(tmp_path / "none.bin")
    with pytest.raises(TraceError, match=r"none\.h5: no such file"):
        open_viewed(tmp_path / "none.h5")
    monkeypatch.setitem(sys.modules, "bokeh", None)
    with pytest.raises(MissingExtraError, match=r"needs bokeh.*pip install 'eventsnn\[view\]'"):
        open_viewed(tmp_path / "none.h5")


@pytest.mark.parametrize(
    ("source", "layers"),
    [
        (es.Input(12, 12), [es.Conv(4, kernel=3, threshold=1.0, bias=True), es.Pool(2, threshold=2.0)]),
        (es.Input(40), [es.Dense(6, threshold=1.0, resting=0.2)]),
        (es.Input(4, 4, 3), [es.Dense(6, threshold=1.0)]),
    ],
    ids=["convolution with biases", "line sensor", "three polarities"],
)
def test_spikes_of_any_layer(tmp_path: Path, source: es.Input, layers: list) -> None:
    """A click, its sensitivity, and what-if, in every layer of networks of all kinds."""
    network = es.Network(source, *layers, es.Dense(30, threshold=1.0), seed=1)
    network = network.with_weights({key: 2.0 * abs(weights) for key, weights in network.weights.items()})
    rng = np.random.default_rng(1)
    events = np.sort(rng.integers(0, 50_000, 200)) / 1000.0, rng.integers(0, source.neurons, 200)
    es.simulate(network, events, t_stop=80.0, trace=tmp_path / "t.h5")
    with Trace(tmp_path / "t.h5") as trace:
        shown = TraceDocument(Document(), trace, {"mode": "sensitivity"})
        for name in network.names:
            click(shown, name, len(shown.page.record[name]) // 2)
            explanation = shown.page.panels.explanation
            contributions = shown.page.panels.causes["contribution"].sum() + explanation.direct_resting
            assert contributions == pytest.approx(network[name].threshold, rel=1e-9)
            assert "Slope" in shown.spike.facts.text
            shown._remove_strongest()
            shown.obey("silence")
            assert shown.page.message == ""
            assert name in shown.page.describe_edits()
            assert not len(shown.page.difference.after[name].of(shown.page.view.spike.neuron))
            shown.obey("undo")
