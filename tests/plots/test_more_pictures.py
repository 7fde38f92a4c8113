"""Pictures of networks, training and activity: what is drawn against values computed on their own."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

import eventsnn as es
from eventsnn.errors import TraceError
from eventsnn.plots.fields import choose_columns, tile_maps
from eventsnn.plots.figure import shorten
from eventsnn.plots.raster import _visible
from eventsnn.plots.space_time import thin_events
from eventsnn.trace import TraceWriter
from eventsnn.trace.operations import count_additions
from eventsnn.train.predictions import count_confusion, read_predictions
from tests.cli.conftest import make_network, make_stream
from tests.plots.conftest import check_picture


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings, the last one shorter than the others."""
    network, path = make_network(), tmp_path_factory.mktemp("more") / "t.h5"
    with TraceWriter(path, network) as writer:
        for label, n in ((0, 120), (1, 120), (1, 40)):
            stream = make_stream(label, 7)
            writer.append(
                es.simulate(network, es.EventStream(stream.events[:n], stream.sensor_size)), label=label
            )
    return path


def test_rates(trace: Path, tmp_path: Path, figures: list[Figure]) -> None:
    es.plots.plot_rates(trace, tmp_path / "rates.png")
    check_picture(tmp_path / "rates.png")
    axes = np.array(figures[0].axes).reshape(3, 2)
    with es.Trace(trace) as reader:
        longest = max(sample.length for sample in reader.samples)
        seconds = sum(sample.length for sample in reader.samples) / 1000.0
        for name, (left, right) in zip(("input", "hidden", "output"), axes, strict=True):
            rate, edges, _ = left.patches[0].get_data()
            size = reader.spikes(name).size
            assert edges[0] == 0.0
            assert edges[-1] == longest
            for at in (3, 50, 100):
                inside = sum(
                    int(((t >= edges[at]) & (t < edges[at + 1])).sum())
                    for t in (reader.spikes(name, sample).times for sample in range(3))
                )
                width = (edges[at + 1] - edges[at]) / 1000.0
                assert rate[at] == pytest.approx(inside / (size * 3 * width))
            shown = right.patches[0].get_data()
            neurons = Counter(i for sample in range(3) for i in reader.spikes(name, sample).neurons.tolist())
            own = sorted((neurons[i] / seconds for i in range(size)), reverse=True)
            stairs = np.repeat(shown.values, np.diff(shown.edges).astype(int))
            assert stairs.tolist() == pytest.approx(own)
            assert len(shown.values) == len(set(own))  # neurons of the same rate share one
            assert f"of {size} silent" in right.get_title("left")
    assert axes[-1, 0].get_xlabel() == "time (ms)"
    es.plots.plot_rates(trace, tmp_path / "one.png", sample=1, layers=["hidden"])
    assert figures[1].axes[0].get_title("left").startswith("hidden: ")


def test_intervals(trace: Path, tmp_path: Path, figures: list[Figure]) -> None:
    es.plots.plot_intervals(trace, tmp_path / "intervals.png")
    check_picture(tmp_path / "intervals.png")
    with es.Trace(trace) as reader:
        for name, panel in zip(("hidden", "output"), figures[0].axes, strict=True):
            found = np.concatenate(
                [
                    np.diff(reader.spikes(name, sample).of(neuron))
                    for sample in range(3)
                    for neuron in range(reader.spikes(name).size)
                ]
            )
            share, edges, _ = panel.patches[0].get_data()
            assert share.sum() == pytest.approx(100.0)
            for at in np.flatnonzero(share)[:3]:
                inside = ((found >= edges[at]) & (found < edges[at + 1])).mean()
                assert share[at] == pytest.approx(100.0 * inside)
            variation = found.std() / found.mean()
            text = f"{name}: {len(found):,} intervals, mean {found.mean():.3g} ms, coefficient of variation"
            assert panel.get_title("left") == f"{text} {variation:.3g}"
            left, right = panel.get_xlim()
            assert left < reader.network[name].refractory < found.min()
            assert found.max() < right


def test_additions_are_counted_synapse_by_synapse(tmp_path: Path, figures: list[Figure]) -> None:
    """A padded convolution, pooling, a dense layer with lateral inhibition; every spike by hand."""
    network = es.Network(
        es.Input(5, 4, 2),
        es.Conv(3, kernel=3, stride=2, padding=1, threshold=0.4),
        es.Pool(2, stride=1, threshold=0.5),
        es.Dense(4, threshold=0.3, lateral_inhibition=0.1),
        seed=3,
    )
    rng = np.random.default_rng(2)
    n = 300
    stream = es.EventStream.from_arrays(
        np.sort(rng.integers(0, 50_000, n)),
        rng.integers(0, 5, n),
        rng.integers(0, 4, n),
        rng.integers(0, 2, n),
        sensor_size=(5, 4, 2),
    )
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        runs = [es.simulate(network, stream), es.simulate(network, stream)]
        for run in runs:
            writer.append(run)
    run = runs[0]
    conv = pool = 0
    for event in stream.events:
        positions = sum(
            abs(2 * row - int(event["y"])) <= 1 and abs(2 * column - int(event["x"])) <= 1
            for row in range(2)  # (4 + 2 - 3) // 2 + 1
            for column in range(3)
        )
        conv += 3 * positions
    height, width = network["conv"].shape[1:]
    for neuron in run["conv"].neurons.tolist():
        row, column = divmod(neuron % (height * width), width)
        pool += sum(
            0 <= row - y < height - 1 and 0 <= column - x < width - 1 for y in range(2) for x in range(2)
        )
    dense = 4 * len(run["pool"]) + 3 * len(run["output"])
    assert min(conv, pool, dense) > 50
    with es.Trace(tmp_path / "t.h5") as reader:
        assert count_additions(reader) == {"conv": 2 * conv, "pool": 2 * pool, "output": 2 * dense}
    es.plots.plot_network(tmp_path / "t.h5", tmp_path / "network.png")
    check_picture(tmp_path / "network.png")
    panels = {panel.get_xlabel(): panel for panel in figures[0].axes}
    widths = [bar.get_width() for bar in panels["additions per recording"].patches]
    assert widths == [0, conv, pool, dense]
    spikes = [bar.get_width() for bar in panels["spikes per recording"].patches]
    assert spikes == [n, len(run["conv"]), len(run["pool"]), len(run["output"])]
    assert f"{conv + pool + dense:,} additions per recording" in figures[0].get_suptitle()
    names = [tick.get_text() for tick in figures[0].axes[0].get_yticklabels()]
    assert names == ["input\n5 x 4 x 2", "conv\nconv 3 x 3 x 2", "pool\npool 3 x 2 x 1", "output\ndense 4"]


def test_network_without_a_trace(tmp_path: Path, figures: list[Figure]) -> None:
    network = es.Network(es.Input(6, 5, 2), es.Conv(4, kernel=3), es.Dense(10), seed=1)
    network.save(tmp_path / "m.h5")
    es.plots.plot_network(tmp_path / "m.h5", tmp_path / "network.png")
    panels = {panel.get_xlabel(): panel for panel in figures[0].axes}
    drawn = {name: [bar.get_width() for bar in panel.patches] for name, panel in panels.items()}
    assert drawn == {
        "neurons": [60, 48, 10],
        "synapses": [0, 48 * 18, 480],
        "weights": [0, 4 * 18, 480],
    }


def test_receptive_fields(tmp_path: Path, figures: list[Figure]) -> None:
    network = es.Network(es.Input(5, 4, 2), es.Dense(30), es.Dense(3), seed=1)
    weights = np.asarray(network.weights["hidden"], float)
    es.plots.plot_receptive_fields(network, tmp_path / "f.png")
    check_picture(tmp_path / "f.png")
    panels = [panel for panel in figures[0].axes if panel.images and panel.get_title()]
    strongest = sorted(np.argsort(-np.linalg.norm(weights, axis=1))[:24].tolist())
    assert [panel.get_title() for panel in panels] == [f"neuron {k}" for k in strongest]
    shown = np.ma.filled(panels[3].images[0].get_array(), np.nan)
    assert shown.shape == (4, 11)
    np.testing.assert_array_equal(shown[:, :5], weights[strongest[3]].reshape(2, 4, 5)[0])
    np.testing.assert_array_equal(shown[:, 6:], weights[strongest[3]].reshape(2, 4, 5)[1])
    assert np.isnan(shown[:, 5]).all()
    limits = panels[0].images[0].get_clim()
    assert limits == (-np.abs(weights).max(), np.abs(weights).max())
    corner = next(panel for panel in panels if panel.get_xlabel())
    assert [tick.get_text() for tick in corner.get_xticklabels()] == ["0", "4"]
    es.plots.plot_receptive_fields(network, tmp_path / "m.png", layer="output")
    np.testing.assert_array_equal(figures[1].axes[0].images[0].get_array(), network.weights["output"])
    es.plots.plot_receptive_fields(network, tmp_path / "n.png", neurons=[7, 2])
    assert [panel.get_title() for panel in figures[2].axes[:2]] == ["neuron 7", "neuron 2"]


def test_kernels_of_a_deeper_convolution(tmp_path: Path, figures: list[Figure]) -> None:
    network = es.Network(es.Input(9, 9), es.Conv(5, kernel=3), es.Conv(2, kernel=3), es.Dense(2), seed=1)
    es.plots.plot_receptive_fields(network, tmp_path / "f.png", layer="conv2")
    panel = figures[0].axes[1]
    assert panel.get_title() == "channel 1"
    kernels = np.asarray(network.weights["conv2"], float).reshape(2, 5, 3, 3)
    np.testing.assert_array_equal(np.ma.filled(panel.images[0].get_array(), np.nan), tile_maps(kernels[1], 3))
    tiled = tile_maps(kernels[1], 3)
    assert tiled.shape == (7, 11)
    np.testing.assert_array_equal(tiled[4:, 4:7], kernels[1, 4])
    network = es.Network(es.Input(8, 8), es.Pool(2), es.Dense(2), seed=1)
    with pytest.raises(TraceError, match="layer 'pool' has no weights of its own to draw"):
        es.plots.plot_receptive_fields(network, tmp_path / "p.png")
    with pytest.raises(TraceError, match=r"layer 'output' has the neurons 0\.\.1, got 2"):
        es.plots.plot_receptive_fields(network, tmp_path / "p.png", layer="output", neurons=[2])


def test_fields_fill_the_picture() -> None:
    assert choose_columns(24, 1.0) == 6
    assert choose_columns(2, 0.2) == 2
    assert choose_columns(4, 10.0) == 1


def test_confusion(tmp_path: Path, figures: list[Figure]) -> None:
    counts = np.array([[8, 2, 0], [1, 0, 3]])
    es.plots.plot_confusion(counts, tmp_path / "c.png", classes=["cat", "a dog with a very long name"])
    check_picture(tmp_path / "c.png")
    panel = figures[0].axes[0]
    shares = [[80.0, 20.0, 0.0], [25.0, 0.0, 75.0]]
    np.testing.assert_allclose(panel.images[0].get_array(), shares)
    texts = {text.get_position(): text.get_text() for text in panel.texts}
    assert texts == {(0, 0): "8", (1, 0): "2", (0, 1): "1", (2, 1): "3"}
    assert [tick.get_text() for tick in panel.get_yticklabels()] == ["cat", "a dog wi…long name"]
    assert panel.get_xticklabels()[-1].get_text() == "none"
    assert figures[0].get_suptitle() == "Decisions: 57.14 % of 14 correct"
    es.plots.plot_confusion(np.eye(100, dtype=int), tmp_path / "large.png")
    assert not figures[1].axes[0].texts
    with pytest.raises(TraceError, match=r"a row and a column for each class, got shape \(2, 5\)"):
        es.plots.plot_confusion(np.zeros((2, 5)), tmp_path / "c.png")


def test_predictions_are_read_back(tmp_path: Path) -> None:
    streams = [make_stream(label, 3) for label in (0, 1, 1)]
    network = make_network().with_classes(["left", "right"])
    data = es.data.ListDataset(streams, [0, 1, 0], classes=["left", "right"])
    found = es.evaluate(network, data)
    for name in ("p.csv", "p.json"):
        found.predictions.save(tmp_path / name)
        labels, decisions, classes = read_predictions(tmp_path / name)
        assert labels.tolist() == [0, 1, 0]
        assert decisions.tolist() == [0, 1, 1]
        assert classes == ("left", "right")
    assert count_confusion(labels, decisions, 3).tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert count_confusion(np.array([0, -1]), np.array([-1, 0])).tolist() == [[0, 1]]
    (tmp_path / "bad.csv").write_text("label,decision\n-5,1\n")
    with pytest.raises(es.TrainingError, match=r"bad\.csv: not a table of 'eventsnn evaluate --predictions'"):
        read_predictions(tmp_path / "bad.csv")


def write_run(folder: Path, losses: list[float]) -> Path:
    folder.mkdir(parents=True)
    lines = [
        {"epoch": k, "loss": loss, "valid_loss": loss / 2, "gradient_norm": {"hidden": 1.0, "output": k}}
        for k, loss in enumerate(losses, start=1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_curves(tmp_path: Path, figures: list[Figure]) -> None:
    first = write_run(tmp_path / "runs" / "first", [3.0, 2.0, 1.0])
    second = write_run(tmp_path / "runs" / ("second_" + 50 * "x"), [4.0, 3.5])
    es.plots.plot_curves([first, second], tmp_path / "c.png")
    check_picture(tmp_path / "c.png")
    panels = {panel.get_title("left"): panel for panel in figures[0].axes}
    assert list(panels) == ["loss", "gradient norm"]
    drawn = [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in panels["loss"].lines]
    assert drawn == [
        ([1, 2, 3], [3.0, 2.0, 1.0]),
        ([1, 2, 3], [1.5, 1.0, 0.5]),
        ([1, 2], [4.0, 3.5]),
        ([1, 2], [2.0, 1.75]),
    ]
    colours = [line.get_color() for line in panels["loss"].lines]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    names = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert names[0] == "first"
    assert len(names[1]) == 40
    assert all(tick == int(tick) for tick in panels["loss"].get_xticks())
    es.plots.plot_curves(tmp_path / "runs", tmp_path / "both.png")
    assert len(figures[1].axes[0].lines) == 4
    with pytest.raises(TraceError, match="no training run"):
        es.plots.plot_curves(tmp_path, tmp_path / "c.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "metrics.jsonl").write_text("")
    with pytest.raises(TraceError, match="has not finished an epoch yet"):
        es.plots.plot_curves(tmp_path / "empty", tmp_path / "c.png")


def points(panel: Any) -> set[tuple[float, ...]]:
    drawn = [c for c in panel.collections if isinstance(c, PathCollection)]
    return {tuple(row) for c in drawn for row in np.asarray(c.get_offsets()).tolist()}


def test_space_time(tmp_path: Path, figures: list[Figure]) -> None:
    stream = make_stream(1, 5)
    es.plots.plot_space_time(stream, tmp_path / "s.png", title="recording.bin")
    check_picture(tmp_path / "s.png")
    _, upper, lower = figures[0].axes
    events = stream.events
    times = (events["t"] - events["t"][0]) / 1000.0
    assert points(upper) == set(zip(times.tolist(), events["x"].tolist(), strict=True))
    assert points(lower) == set(zip(times.tolist(), events["y"].tolist(), strict=True))
    assert figures[0].get_suptitle() == "recording.bin: 120 events"
    assert lower.get_ylim() == (4.5, -0.5)  # y = 0 on top, as the sensor has it
    line = es.EventStream.from_arrays([5, 1005], [3, 9], sensor_size=(12, 1, 1))
    es.plots.plot_space_time(line, tmp_path / "line.png")
    (panel,) = figures[1].axes
    assert points(panel) == {(0.0, 3.0), (1.0, 9.0)}
    assert panel.get_ylabel() == "channel"


@pytest.mark.parametrize("cuts", [[], [1, 2, 700], [333, 334, 999]])
def test_long_recordings_are_thinned_evenly(cuts: list[int]) -> None:
    t = np.arange(1000)
    whole = es.EventStream.from_arrays(t, t % 7, t % 5, t % 2, sensor_size=(7, 5, 2))
    edges = [0, *cuts, 1000]
    parts = [es.EventStream(whole.events[a:b], whole.sensor_size) for a, b in pairwise(edges)]
    kept, count, size = thin_events(parts, 150)
    assert kept["t"].tolist() == list(range(0, 1000, 8))
    assert (count, size) == (1000, (7, 5, 2))
    kept, count, _ = thin_events([], 150)
    assert (len(kept), count) == (0, 0)


def test_names_are_shortened_in_the_middle() -> None:
    assert shorten("short", 10) == "short"
    assert shorten("abcdefghijkl", 7) == "abc…jkl"
    assert shorten("line\nend", 10) == "line?end"


def test_what_cannot_be_drawn(trace: Path, tmp_path: Path) -> None:
    path, network = tmp_path / "p.png", make_network()
    with pytest.raises(TraceError, match="trace: give a trace or its path, got int"):
        es.plots.plot_network(3, path)  # type: ignore[arg-type]
    with pytest.raises(TraceError, match="counts: a confusion matrix holds numbers of recordings"):
        es.plots.plot_confusion(np.array([["a"]]), path)
    with pytest.raises(TraceError, match="runs: give at least one folder of a training run"):
        es.plots.plot_curves([], path)
    with pytest.raises(TraceError, match=r"has the neurons 0\.\.3, got 1\.5"):
        es.plots.plot_receptive_fields(network, path, neurons=[1.5])  # type: ignore[list-item]
    with pytest.raises(TraceError, match="a picture holds 1 to 24 receptive fields, got 0"):
        es.plots.plot_receptive_fields(network, path, neurons=[])
    with pytest.raises(TraceError, match="layers: a picture holds 1 to 6 layers, got 0"):
        es.plots.plot_rates(trace, path, layers=[])
    with pytest.raises(TraceError, match="no layer 'hiden'; there are input, hidden, output"):
        es.plots.plot_intervals(trace, path, layers="hiden")
    assert list(tmp_path.iterdir()) == []


def test_silence_is_drawn_too(tmp_path: Path) -> None:
    nothing = es.EventStream.from_arrays([], [], [], [], sensor_size=(6, 5, 2))
    es.simulate(make_network(), nothing, trace=tmp_path / "t.h5")
    es.plots.plot_rates(tmp_path / "t.h5", tmp_path / "rates.png")
    es.plots.plot_intervals(tmp_path / "t.h5", tmp_path / "intervals.png")
    es.plots.plot_network(tmp_path / "t.h5", tmp_path / "network.png")
    es.plots.plot_space_time(nothing, tmp_path / "space-time.png")
    es.plots.plot_confusion(np.zeros((2, 3), int), tmp_path / "confusion.png")
    assert len(list(tmp_path.glob("*.png"))) == 5


def test_very_many_spikes_are_dots_of_a_grid() -> None:
    """Every spike has a dot within a pixel of it, and every dot a spike."""
    rng = np.random.default_rng(0)
    times, neurons = np.sort(rng.uniform(0, 900.0, 300_000)), rng.integers(0, 5000, 300_000)
    t, n = _visible(times, neurons, 5000)
    assert len(t) < len(times)
    cells = {
        (int(x * 3200 / times[-1]), int(y * 1000 / 5000)) for x, y in zip(t.tolist(), n.tolist(), strict=True)
    }
    own = np.minimum(np.floor(times * 3200 / times[-1]), 3199), np.floor(neurons * 1000 / 5000)
    assert cells == set(zip(own[0].astype(int).tolist(), own[1].astype(int).tolist(), strict=True))
    few = _visible(times[:1000], neurons[:1000], 5000)
    np.testing.assert_array_equal(few[0], times[:1000])
