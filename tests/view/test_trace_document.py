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
    shown._show_table()
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
    shown._verdict.value = "wrong"
    assert shown._samples.data["index"] == [1]
    assert shown._samples.selected.indices == [0]
    shown._verdict.value = "all"
    shown._samples.selected.indices = [2]
    assert shown.page.view.sample == 2


def test_text_of_files_is_escaped(shown: TraceDocument) -> None:
    shown._samples.selected.indices = [2]
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
