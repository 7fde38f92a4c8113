from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from eventsnn.errors import MissingExtraError, TraceError
from eventsnn.model import Dense, Input, Network
from eventsnn.plots import plot_explanation, plot_potential, plot_raster, plot_sensitivity, plot_spsp
from eventsnn.plots.potential import curve
from eventsnn.simulate.engines import twin
from eventsnn.trace import Trace, TraceWriter, explain, membrane_potential, sensitivity
from eventsnn.trace.record import SpikeRecord
from tests.plots.conftest import check_picture


@pytest.fixture(scope="module")
def network() -> Network:
    network = Network(
        Input(6, 5, 2), Dense(8, threshold=1.5), Dense(3, threshold=2.0, lateral_inhibition=0.5), seed=3
    )
    return network.with_weights({key: 2.0 * (w + 0.3) for key, w in network.weights.items()})


@pytest.fixture(scope="module")
def run(network: Network) -> SpikeRecord:
    rng = np.random.default_rng(1)
    record = twin.run(network, np.sort(rng.uniform(0.0, 60.0, 200)), rng.integers(0, 60, 200))
    assert all(len(spikes) > 10 for spikes in record.layers.values())
    return record


@pytest.fixture(scope="module")
def trace(network: Network, run: SpikeRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plots") / "run.h5"
    with TraceWriter(path, network) as writer:
        writer.append(run, source="folder/00002.bin", label=(run.decision or 0) + 1)
    return path


def test_raster(trace: Path, run: SpikeRecord, tmp_path: Path, figures: list[Figure]) -> None:
    plot_raster(trace, 0, tmp_path / "raster.png")
    check_picture(tmp_path / "raster.png")
    (figure,) = figures
    decision = run.decision
    assert decision is not None
    assert figure.get_suptitle() == f"Sample 0 (00002.bin): decision {decision}, label {decision + 1} (wrong)"
    panels = figure.axes
    assert [panel.get_title("left").split(":")[0] for panel in panels] == ["input", "hidden", "output"]
    assert panels[-1].get_xlabel() == "time (ms)"
    dots = sum(len(collection.get_offsets()) for collection in panels[0].collections)
    assert dots == 200
    counts = [text.get_text() for text in panels[-1].texts]
    assert counts[:3] == [str(n) for n in run.output.counts]
    colours = {tuple(lines.get_color()[0]) for lines in panels[-1].collections if len(lines.get_segments())}
    assert len(colours) == np.count_nonzero(run.output.counts)


def test_potential(trace: Path, run: SpikeRecord, tmp_path: Path, figures: list[Figure]) -> None:
    plot_potential(trace, 0, "output", path=tmp_path / "u.png")
    plot_potential(trace, 0, "hidden", [5], path=tmp_path / "one.png")
    check_picture(tmp_path / "u.png")
    check_picture(tmp_path / "one.png")
    assert len(figures[0].axes) == 3
    (panel,) = figures[1].axes
    assert panel.get_title("left") == f"hidden, neuron 5: {run['hidden'].counts[5]} spikes"
    spikes = [line for line in panel.lines if line.get_marker() == "v"]
    np.testing.assert_array_equal(spikes[0].get_xdata(), run["hidden"].of(5))


def test_curve_jumps_at_resets(network: Network, run: SpikeRecord) -> None:
    neuron = int(np.argmax(run["hidden"].counts))
    grid = np.linspace(0.0, 60.0, 50)
    times, values = curve(network, run, "hidden", neuron, grid)
    assert (np.diff(times) >= 0).all()
    spikes = run["hidden"].of(neuron)
    assert spikes[-1] > grid[-1]  # the curve ends before the spikes do
    for t in spikes[spikes < grid[-1]]:
        at = np.flatnonzero(times == t)
        np.testing.assert_allclose(values[at], [1.5, 0.0], rtol=1e-12, atol=0)
        assert (values[(times > t) & (times <= t + 2.0)] == 0.0).all()
    on_grid = np.searchsorted(times, grid)
    np.testing.assert_array_equal(times[on_grid], grid)
    expected = membrane_potential(network, run, "hidden", neuron, grid)
    np.testing.assert_allclose(values[on_grid], expected, rtol=1e-12, atol=1e-14)


def test_spsp_map_of_the_sensor(trace: Path, run: SpikeRecord, tmp_path: Path, figures: list[Figure]) -> None:
    neuron = int(np.argmax(run["hidden"].counts))
    plot_spsp(trace, 0, "hidden", neuron, tmp_path / "spsp.png")
    check_picture(tmp_path / "spsp.png")
    maps = [panel.images[0].get_array() for panel in figures[0].axes[:2]]
    assert [np.shape(values) for values in maps] == [(5, 6), (5, 6)]
    total = 1.5 * run["hidden"].counts[neuron]  # threshold times spikes: nothing else feeds the layer
    assert sum(float(np.sum(values)) for values in maps) == pytest.approx(total, rel=1e-12)
    assert f"{total:.4g} in all" in figures[0].get_suptitle()


def test_spsp_of_a_deeper_layer(trace: Path, run: SpikeRecord, tmp_path: Path, figures: list[Figure]) -> None:
    plot_spsp(trace, 0, "output", int(np.argmax(run.output.counts)), tmp_path / "bars.png")
    plot_spsp(trace, 0, "output", None, tmp_path / "pairs.png", weighted=False)
    check_picture(tmp_path / "bars.png")
    check_picture(tmp_path / "pairs.png")
    heights = [bar.get_height() for bar in figures[0].axes[0].patches]
    assert heights == sorted(heights, reverse=True)
    assert np.shape(figures[1].axes[0].images[0].get_array()) == (3, 8)


def test_line_sensor(tmp_path: Path, figures: list[Figure]) -> None:
    network = Network(Input(20), Dense(2, threshold=0.5), weights={"output": np.full((2, 20), 1.0)})
    run = twin.run(network, np.arange(20.0), np.arange(20))
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        writer.append(run)
    plot_spsp(tmp_path / "t.h5", 0, "output", 1, tmp_path / "line.png")
    plot_raster(tmp_path / "t.h5", 0, tmp_path / "raster.png")
    check_picture(tmp_path / "line.png")
    check_picture(tmp_path / "raster.png")
    assert len(figures[0].axes[0].patches) == 20


def test_explanation(trace: Path, run: SpikeRecord, tmp_path: Path, figures: list[Figure]) -> None:
    neuron = int(run.output.neurons[-1])
    found = explain(trace, layer="output", neuron=neuron, spike=int(run.output.counts[neuron]) - 1)
    plot_explanation(found, tmp_path / "why.png")
    check_picture(tmp_path / "why.png")
    maps = [panel.images[0].get_array() for panel in figures[0].axes if panel.images]
    assert sum(float(np.sum(values)) for values in maps) == pytest.approx(2.0, rel=1e-9)
    assert (
        f"{found.events.size} input events; contributions sum to the threshold, 2"
        in figures[0].get_suptitle()
    )


def test_sensitivity(trace: Path, run: SpikeRecord, tmp_path: Path, figures: list[Figure]) -> None:
    """Contributions and derivatives side by side; all input moved together moves the spike as much."""
    neuron = int(run.output.neurons[-1])
    place = {"layer": "output", "neuron": neuron, "spike": int(run.output.counts[neuron]) - 1}
    plot_sensitivity(sensitivity(trace, **place), explain(trace, **place), tmp_path / "moves.png")
    check_picture(tmp_path / "moves.png")
    maps = [panel.images[0].get_array() for panel in figures[0].axes if panel.images]
    sums = sorted({round(float(np.sum(values)), 6) for values in (sum(maps[:2]), sum(maps[2:]))})
    assert sums == pytest.approx([1.0, 2.0])
    assert "slope" in figures[0].get_suptitle()


def test_silent_sample(network: Network, tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        writer.append(twin.run(network, np.zeros(0), np.zeros(0, int)))
    with Trace(tmp_path / "t.h5") as silent:
        plot_raster(silent, 0, tmp_path / "raster.png")
        plot_potential(silent, 0, "hidden", path=tmp_path / "u.png")
        plot_spsp(silent, 0, "hidden", 0, tmp_path / "spsp.png")
        plot_spsp(silent, 0, "output", 0, tmp_path / "bars.png")
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_errors(trace: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    with pytest.raises(TraceError, match=r"p\.jpeg: a picture's name must end in \.png, \.pdf, \.svg"):
        plot_raster(trace, 0, tmp_path / "p.jpeg")
    with pytest.raises(TraceError, match=r"none/p\.png: cannot be written"):
        plot_raster(trace, 0, tmp_path / "none" / "p.png")
    with pytest.raises(TraceError, match="no sample 4"):
        plot_raster(trace, 4, path)
    with pytest.raises(TraceError, match="the input has no membrane potential"):
        plot_potential(trace, 0, "input", path=path)
    with pytest.raises(TraceError, match="a picture holds 1 to 8 membrane potentials, got 9"):
        plot_potential(trace, 0, "hidden", [0] * 9, path=path)
    with pytest.raises(TraceError, match=r"layer 'hidden' has the neurons 0\.\.7, got 8"):
        plot_potential(trace, 0, "hidden", [8], path=path)
    with pytest.raises(
        TraceError, match="layer 'hidden' is fed by the sensor: give the neuron to draw its map"
    ):
        plot_spsp(trace, 0, "hidden", None, path)
    with pytest.raises(TraceError, match="nothing feeds the input"):
        plot_spsp(trace, 0, "input", 0, path)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib(trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        MissingExtraError, match=r"drawing a picture needs matplotlib.*pip install 'eventsnn\[plot\]'"
    ):
        plot_raster(trace, 0, tmp_path / "p.png")
