"""What a trace's page shows, without a browser."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.trace import Trace, TraceWriter, membrane_potential
from eventsnn.view.address import SpikeName, TraceView
from eventsnn.view.raster import Glyphs
from eventsnn.view.trace_page import TracePage
from tests.cli.conftest import SENSOR, make_network, make_stream
from tests.trace.conftest import busy_input, busy_network


def test_model_needs_no_browser() -> None:
    code = (
        "import sys, eventsnn.view.trace_page; print({'bokeh', 'tornado', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# -- samples --------------------------------------------------------------------------------------


def test_table_of_samples(page: TracePage) -> None:
    table = page.sample_table()
    assert table.index == [0, 1, 2]
    assert table.source == ["00002.bin", "00001.bin", "<b>.bin"]
    assert table.verdict == ["right", "wrong", "no decision"]
    assert table.label[2] == table.decision[2] == ""
    expected = [sum(len(s) for s in page.trace.record(k).layers.values()) for k in range(3)]
    assert table.spikes == expected


def filtered(page: TracePage, verdict: str, text: str) -> list[int]:
    page.set_filter(verdict, text)
    return page.sample_table().index


@pytest.mark.parametrize(
    ("verdict", "text", "kept"),
    [
        ("right", "", [0]),
        ("wrong", "", [1]),
        ("no decision", "", [2]),
        ("all", "00001", [1]),
        ("all", "FOLDER", [0, 1, 2]),
        ("wrong", "00002", []),
    ],
)
def test_filter(page: TracePage, verdict: str, text: str, kept: list[int]) -> None:
    assert filtered(page, verdict, text) == kept


def test_filter_by_class(page: TracePage) -> None:
    samples = page.trace.samples
    for word, name in (("label", "label"), ("decision", "prediction")):
        values = [getattr(sample, name) for sample in samples]
        kept = filtered(page, "all", f"{word} {values[0]}")
        assert kept == [k for k, value in enumerate(values) if value == values[0]]


def test_next_sample_follows_the_filter(page: TracePage) -> None:
    page.set_filter("all", "0000")
    assert page.select_sample(0)
    assert page.next_sample()
    assert page.view.sample == 1
    assert not page.next_sample()  # the last sample does not pass
    assert page.next_sample(-1)
    assert page.view.sample == 0
    assert not page.next_sample(-1)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("", [0, 1, 2]),
        ("-index", [2, 1, 0]),
        ("source", [1, 0, 2]),  # 00001.bin, 00002.bin, <b>.bin
        ("-spikes", [1, 0, 2]),
        ("spikes", [2, 0, 1]),
        ("verdict", [0, 1]),  # "right" comes before "wrong"
    ],
)
def test_next_sample_follows_the_sort(page: TracePage, sort: str, order: list[int]) -> None:
    page.set_sort(sort)
    assert [index for index in page.sample_table().index if index in order] == order
    page.select_sample(page.sample_table().index[0])
    visited = [page.view.sample]
    while page.next_sample():
        visited.append(page.view.sample)
    assert visited == page.sample_table().index
    while page.next_sample(-1):
        visited.pop()
        assert page.view.sample == visited[-1]
    assert len(visited) == 1


def test_sort_by_label_is_by_number_and_those_without_come_last(tmp_path: Path) -> None:
    network = busy_network()
    run = es.simulate(network, busy_input(1, 0), t_stop=10.0)
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        for label in (2, 10, -1, 2, 9):  # -1: none
            writer.append(run, source="a.bin", label=label)
    with Trace(tmp_path / "t.h5") as trace:
        page = TracePage(trace, TraceView(sort="label"))
        assert page.sample_table().index == [0, 3, 4, 1, 2]
        page.set_sort("-label")
        assert page.sample_table().index == [1, 4, 0, 3, 2]
        page.set_filter("all", "label 2")
        assert page.sample_table().index == [0, 3]
        page.select_sample(4)  # it does not pass: on from its place
        assert page.next_sample()
        assert page.view.sample == 0


def test_a_sample_that_there_is_not(page: TracePage) -> None:
    assert not page.select_sample(3)
    assert page.message.endswith("no sample 3; the trace holds the samples 0..2")
    assert page.view.sample == 1


# -- raster ---------------------------------------------------------------------------------------


def test_raster_shows_every_spike(page: TracePage) -> None:
    drawn = page.raster(0.0, page.end_ms)
    record = page.trace.record(1)
    assert list(drawn) == ["input", *record.layers]
    for name, part in drawn.items():
        assert isinstance(part, Glyphs)
        np.testing.assert_array_equal(part.times, record[name].times)


# -- a spike --------------------------------------------------------------------------------------


def pick_last(page: TracePage, layer: str = "output") -> SpikeName:
    """Click a little beside the last spike of a layer."""
    assert page.record is not None
    spikes = page.record[layer]
    assert page.pick(layer, spikes.times[-1] + 0.01, spikes.neurons[-1] + 0.1, (0.5, 0.5))
    assert page.view.spike is not None
    return page.view.spike


def test_click_finds_the_spike(page: TracePage) -> None:
    name = pick_last(page)
    assert page.trace.spike_time(name.layer, name.neuron, name.number, 1) == page.panels.time_ms
    assert not page.pick("output", 0.0, 0.0, (1e-6, 1e-6))
    assert not page.pick("input", 1.0, 1.0, (100.0, 100.0))
    assert page.view.path == (name,)


def test_panels_are_those_of_explain_and_sensitivity(page: TracePage) -> None:
    name = pick_last(page)
    place = {"layer": name.layer, "neuron": name.neuron, "spike": name.number, "sample": 1}
    explained, moves = es.explain(page.trace, **place), es.sensitivity(page.trace, **place)
    events = page.panels.events("contribution")
    for key in ("x", "y", "p"):
        np.testing.assert_array_equal(events[key], explained.events[key])
    np.testing.assert_array_equal(events["value"], explained.events["contribution"])
    np.testing.assert_array_equal(page.panels.events("sensitivity")["value"], moves.events["derivative"])
    np.testing.assert_allclose(events["t_ms"], page.record.input.times[events["row"]], rtol=0, atol=1e-9)
    assert page.panels.sensor_maps("contribution").shape == (2, 5, 6)
    assert page.panels.sensor_maps("contribution").sum() == pytest.approx(events["value"].sum(), rel=1e-12)


@pytest.mark.parametrize("layer", ["hidden", "middle", "output"])
def test_causes_and_bars_add_up_to_the_threshold(page: TracePage, layer: str) -> None:
    pick_last(page, layer)
    threshold = page.network[layer].threshold
    assert page.panels.causes["contribution"].sum() == pytest.approx(threshold, rel=1e-9)
    assert page.panels.bars["contribution"].sum() == pytest.approx(threshold, rel=1e-9)
    causes = page.panels.causes
    for source in np.unique(causes["source"]):
        train = page.record.input if source < 0 else list(page.record.layers.values())[source]
        own = causes[causes["source"] == source]
        np.testing.assert_array_equal(train.times[own["row"]], own["t_ms"])
        np.testing.assert_array_equal(train.neurons[own["row"]], own["neuron"])


def test_bars_are_s_psps_times_weight(tmp_path: Path) -> None:
    """Against what the writer of the trace recorded."""
    network = busy_network()
    run = es.simulate(network, busy_input(1), t_stop=80.0)
    with TraceWriter(tmp_path / "t.h5", network, record=("spsp",)) as writer:
        writer.append(run)
    with Trace(tmp_path / "t.h5") as trace:
        page = TracePage(trace)
        name = pick_last(page)
        pre, values = trace.spsp(name.layer, name.neuron, name.number)
        bars = {int(bar["neuron"]): bar for bar in page.panels.bars if bar["source"] == 1}
        projection = next(p for p in network.projections if p.key == "output")
        weights = network.afferent_weights(projection, name.neuron)
        assert len(bars) > 2
        for neuron, value in zip(pre.tolist(), values.tolist(), strict=True):
            # Of two connections from one layer, "middle" feeds the output by its own alone.
            assert bars[neuron]["spsp"] == pytest.approx(value, rel=1e-5)
            assert bars[neuron]["contribution"] == pytest.approx(value * weights[neuron], rel=1e-5)


def test_derivatives_of_causes_are_those_of_a_small_move(page: TracePage) -> None:
    """Move one direct input event of a hidden spike, and simulate."""
    pick_last(page, "hidden")
    causes = page.panels.sorted_causes("sensitivity")
    cause = causes[causes["source"] == -1][0]
    step = 1e-5
    study = es.WhatIf(page.trace, 1)
    time = page.record.input.times[cause["row"]]
    after = [study.run(move={int(cause["row"]): time + sign * step}).after for sign in (1, -1)]
    name = page.view.spike
    moved = [run["hidden"].of(name.neuron)[name.number] for run in after]
    assert (moved[0] - moved[1]) / (2 * step) == pytest.approx(cause["derivative"], rel=1e-4)


def test_from_a_spike_to_its_cause_and_back(page: TracePage) -> None:
    first = pick_last(page)
    causes = page.panels.causes
    row = int(np.flatnonzero(causes["source"] == 1)[0])
    assert page.follow(row)
    second = page.view.spike
    assert second.layer == "middle"
    assert page.panels.time_ms == causes["t_ms"][row]
    assert page.view.path == (first, second)
    inputs = np.flatnonzero(page.panels.causes["source"] == -1)
    assert not inputs.size or not page.follow(int(inputs[0]))  # an input event has no cause
    page.back()
    assert page.view.path == (first,)
    page.back()
    assert page.view.path == (first,)


def test_window_moves_to_a_spike_that_is_not_visible(page: TracePage) -> None:
    pick_last(page)
    assert page.window == (0.0, page.end_ms)
    time = page.panels.time_ms
    page.set_window(time - 2.0, time + 1.0)
    assert page.window == (time - 2.0, time + 1.0)
    causes = page.panels.causes
    spikes = np.flatnonzero(causes["source"] >= 0)
    early = int(spikes[causes["t_ms"][spikes].argmin()])
    assert page.follow(early)
    first = float(causes["t_ms"][early])
    assert first < time - 2.0
    np.testing.assert_allclose(page.window, (first - 1.5, first + 1.5))
    page.back()
    np.testing.assert_allclose(page.window, (time - 1.5, time + 1.5))
    page.set_window(0.0, page.end_ms)
    assert page.view.window is None


def test_next_spike_in_time(page: TracePage) -> None:
    assert page.next_spike()
    assert page.panels.time_ms == page.record.output.times[0]
    assert not page.next_spike(-1)
    assert page.next_spike()
    assert page.panels.time_ms == page.record.output.times[1]
    assert len(page.view.path) == 1


def test_potential_is_exact_in_the_window(page: TracePage) -> None:
    name = pick_last(page)
    times, values = page.potential(20.0, 30.0)
    assert times[0] >= 20.0
    assert times[-1] <= 30.0
    inside, first = np.unique(times, return_index=True)
    expected = membrane_potential(page.network, page.record, name.layer, name.neuron, inside)
    np.testing.assert_allclose(values[first], expected, rtol=1e-12, atol=1e-12)


def test_a_spike_that_there_is_not(page: TracePage) -> None:
    assert not page.go_to(SpikeName("output", 0, 10**6))
    assert "no spike 1000000: neuron 0 of 'output' has the spikes 0.." in page.message
    assert page.panels is None
    assert page.potential(0.0, 10.0)[0].size == 0


# -- what if --------------------------------------------------------------------------------------


def test_removed_events_change_what_what_if_says(page: TracePage) -> None:
    name = pick_last(page)
    rows = page.strongest_events(3)
    assert page.remove_events(rows)
    expected = es.what_if(page.trace, remove=rows.tolist(), sample=1)
    for layer, changes in page.difference.changes.items():
        for key in ("neuron", "before_ms", "after_ms"):  # NaN of a spike that is new or lost
            np.testing.assert_array_equal(changes[key], expected.changes[layer][key])
    assert page.describe_edits() == "removed: 3 input events"
    times, values = page.potential(0.0, page.end_ms, edited=True)
    inside, first = np.unique(times, return_index=True)
    again = membrane_potential(page.network, expected.after, name.layer, name.neuron, inside)
    np.testing.assert_allclose(values[first], again, rtol=1e-12, atol=1e-12)


def test_edits_add_up_and_are_undone(page: TracePage) -> None:
    name = pick_last(page)
    page.remove_events(np.array([5]))
    page.remove_events(np.array([6]))
    assert page.silence_neuron(name.layer, name.neuron)
    assert page.view.removed == {5, 6}
    assert page.describe_edits() == f"removed: 2 input events; silenced: output {name.neuron}"
    assert not len(page.difference.after["output"].of(name.neuron))
    assert page.potential(0.0, 10.0, edited=True)[0].size == 0  # silenced: it has no potential to compare
    page.clear_edits()
    assert page.difference is None
    assert page.view.removed == frozenset()


def test_selection_by_a_box(page: TracePage) -> None:
    rows = page.select_events(10.0, 30.0, 5.0, 40.0)
    times, neurons = page.record.input.times, page.record.input.neurons
    inside = (times >= 10.0) & (times <= 30.0) & (neurons >= 5) & (neurons <= 40)
    np.testing.assert_array_equal(rows, np.flatnonzero(inside))


# -- addresses and odd traces ---------------------------------------------------------------------


def test_a_page_opens_as_its_address_says(page: TracePage, trace: Trace) -> None:
    pick_last(page)
    page.follow(int(np.flatnonzero(page.panels.causes["source"] == 1)[0]))
    page.set_mode("sensitivity")
    page.remove_events(np.array([3, 4]))
    page.silence_neuron("hidden", 2)
    again = TracePage(trace, page.view)
    assert again.view == page.view
    assert again.difference.count() == page.difference.count()


def test_an_address_of_another_trace(trace: Trace) -> None:
    asked = TraceView(
        1, (SpikeName("nope", 0, 0),), removed=frozenset({10**6}), silenced=frozenset({("nope", 1)})
    )
    page = TracePage(trace, asked)
    assert page.view == TraceView(1)
    assert TracePage(trace, TraceView(17)).view == TraceView(0)


def test_silent_sample(page: TracePage) -> None:
    assert page.select_sample(2)
    assert page.describe_sample() == "sample 2 (<b>.bin): no decision; 0 spikes"
    assert not page.next_spike()
    assert page.raster(0.0, page.end_ms)["output"].spikes == 0


def test_empty_trace(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t.h5", busy_network()):
        pass
    with Trace(tmp_path / "t.h5") as trace:
        page = TracePage(trace)
        assert page.sample_table().index == []
        assert page.raster(0.0, page.end_ms) == {}
        assert not page.next_spike()
        assert not page.next_sample()
        assert page.describe_sample() == "no complete sample"


def test_trace_of_the_clock(tmp_path: Path) -> None:
    """Spikes are shown, and why they have no explanation."""
    network = busy_network()
    run = es.simulate(network, busy_input(1), t_stop=80.0)
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        writer.append(replace(run, engine="clocked"))
    with Trace(tmp_path / "t.h5") as trace:
        page = TracePage(trace)
        assert not page.next_spike()
        assert "needs spikes in exact time" in page.message


def test_trace_of_an_evaluation(tmp_path: Path) -> None:
    """The table says which recordings are classified wrongly, as the evaluation does."""
    streams, labels = [make_stream(int(n > 3), n).events for n in range(7)], [0, 1, 0, 0, 1, 1, 0]
    data = es.data.ListDataset(streams, labels, sensor_size=SENSOR)
    found = es.evaluate(make_network(), data, dtype="float64", trace=tmp_path / "t.h5")
    decisions = found.predictions.decisions.tolist()
    with Trace(tmp_path / "t.h5") as trace:
        page = TracePage(trace)
        table = page.sample_table()
        assert table.label == [str(label) for label in labels]
        verdicts = [
            "no decision" if decision < 0 else "right" if decision == label else "wrong"
            for decision, label in zip(decisions, labels, strict=True)
        ]
        assert table.verdict == verdicts
        assert table.verdict.count("right") == round(found.accuracy * len(labels))
        page.set_filter("wrong", "")
        assert page.sample_table().index == [n for n, verdict in enumerate(verdicts) if verdict == "wrong"]
        assert page.next_spike()
        page.set_mode("sensitivity")
        assert page.panels.no_sensitivity == ""


def test_float32_has_contributions_only(tmp_path: Path) -> None:
    network = busy_network()
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        writer.append(es.simulate(network, busy_input(1), t_stop=80.0, dtype="float32"))
    with Trace(tmp_path / "t.h5") as trace:
        page = TracePage(trace)
        assert page.next_spike()
        assert page.panels.events("contribution").size
        assert page.panels.events("sensitivity").size == 0
        assert "float64" in page.panels.no_sensitivity
