"""Two traces, models or runs side by side, against counts by hand and pairs of trains one by one."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import SimulationError, TraceError
from eventsnn.reference.spike_trains import match, van_rossum, victor_purpura
from eventsnn.simulate.comparison_text import format_comparison
from eventsnn.trace import TraceWriter
from eventsnn.trace.record import make_record
from tests.cli.conftest import make_network, make_stream

SENSOR = (6, 5, 2)


def shaken(network: es.Network, by: float) -> es.Network:
    """The network with other weights."""
    rng = np.random.default_rng(5)
    return network.with_weights(
        {key: w * (1.0 + by * rng.standard_normal(w.shape)) for key, w in network.weights.items()}
    )


def write_trace(
    path: Path, network: es.Network, numbers: list[int], *, named: bool = True, labelled: bool = True
) -> Path:
    with TraceWriter(path, network) as writer:
        for number in numbers:
            run = es.simulate(network, make_stream(number % 2, number))
            source = f"{number}.bin" if named else ""
            writer.append(run, source=source, label=number % 2 if labelled else -1)
    return path


@pytest.fixture
def network() -> es.Network:
    return make_network()


@pytest.fixture
def other(network: es.Network) -> es.Network:
    return shaken(network, 0.3)


@pytest.fixture
def traces(tmp_path: Path, network: es.Network, other: es.Network) -> tuple[Path, Path]:
    """Five recordings, by two networks."""
    numbers = [3, 4, 5, 6, 7]
    return write_trace(tmp_path / "a.h5", network, numbers), write_trace(tmp_path / "b.h5", other, numbers)


def test_layers_are_compared_neuron_by_neuron(traces: tuple[Path, Path]) -> None:
    within, tau = 2.0, 3.0
    found = es.compare(*traces, within_ms=within, tau_ms=tau)
    with es.Trace(traces[0]) as a, es.Trace(traces[1]) as b:
        for name, neurons in (("hidden", 4), ("output", 2)):
            equal = moved = lost = new = 0
            most = purpura = rossum = 0.0
            for sample in range(5):
                squares = 0.0
                trains = [trace.spikes(name, sample) for trace in (a, b)]
                for neuron in range(neurons):
                    before, after = (train.of(neuron).tolist() for train in trains)
                    for t, s in match(before, after, within):
                        lost += math.isnan(s)
                        new += math.isnan(t)
                        equal += abs(t - s) <= 1e-9
                        moved += abs(t - s) > 1e-9
                        most = max(most, 0.0 if math.isnan(t - s) else abs(t - s))
                    purpura += victor_purpura(before, after, 2.0 / within)
                    squares += van_rossum(before, after, tau) ** 2
                rossum += math.sqrt(squares)
            layer = found.layers[name]
            assert moved > 20
            assert lost + new > 5
            assert (layer.equal, layer.moved, layer.only_a, layer.only_b) == (equal, moved, lost, new)
            assert layer.most_ms == pytest.approx(most, rel=1e-12)
            assert layer.victor_purpura == pytest.approx(purpura, rel=1e-9)
            assert layer.van_rossum == pytest.approx(rossum, rel=1e-9)
            assert (layer.spikes_a, layer.spikes_b) == (a.n_spikes(name), b.n_spikes(name))
    assert not found.layers["input"].differs
    assert found.layers["input"].equal == 5 * 120
    assert not found.same


def test_the_first_difference(traces: tuple[Path, Path]) -> None:
    first = es.compare(*traces).first
    assert first is not None
    assert (first.sample_a, first.sample_b, first.source) == (0, 0, "3.bin")
    with es.Trace(traces[0]) as a, es.Trace(traces[1]) as b:
        spikes = {
            side: {
                (name, int(i), float(t))
                for name in ("hidden", "output")
                for t, i in zip(trace.spikes(name).times, trace.spikes(name).neurons, strict=True)
            }
            for side, trace in (("a", a), ("b", b))
        }
        alone = spikes["a"] ^ spikes["b"]
        layer, neuron, time = min(alone, key=lambda spike: spike[2])
        assert (first.layer, first.neuron) == (layer, neuron)
        assert min(t for t in (first.time_a, first.time_b) if t is not None) == time
        for trace, index, t in ((a, first.index_a, first.time_a), (b, first.index_b, first.time_b)):
            if index is not None:
                assert trace.spike_time(layer, neuron, index) == t


def test_a_trace_is_the_same_as_itself(traces: tuple[Path, Path]) -> None:
    found = es.compare(traces[0], traces[0])
    assert found.same
    assert found.first is None
    assert found.to_dict()["layers"]["hidden"]["victor_purpura"] == 0.0
    assert "every spike and decision is the same" in format_comparison(found)
    assert repr(found) == "<Comparison of 5 recordings: the same>"


def test_decisions(tmp_path: Path, network: es.Network) -> None:
    swapped = network.with_weights({**network.weights, "output": network.weights["output"][::-1].copy()})
    a = write_trace(tmp_path / "a.h5", network, [0, 1, 2])
    b = write_trace(tmp_path / "b.h5", swapped, [0, 1, 2])
    found = es.compare(a, b)
    assert [(d.source, d.label, d.decision_a, d.decision_b) for d in found.decisions] == [
        ("0.bin", 0, 0, 1),
        ("1.bin", 1, 1, 0),
        ("2.bin", 0, 0, 1),
    ]
    assert found.accuracy() == (1.0, 0.0)
    assert found.right == {(True, False): 3}
    text = format_comparison(found, top=2)
    assert "  recording 0 (0.bin): A 0, B 1, label 0\n" in text
    assert "  and 1 more\n" in text
    assert text.endswith("A 100.00 %, B 0.00 %; A alone right 3, B alone 0")
    silent = network.replace("output", threshold=1e6)
    found = es.compare(a, write_trace(tmp_path / "s.h5", silent, [0, 1, 2]))
    assert [d.decision_b for d in found.decisions] == [None] * 3
    assert found.layers["output"].only_a == found.layers["output"].spikes_a > 0


def test_classes_are_compared_by_name(tmp_path: Path, network: es.Network) -> None:
    """Output neuron 0 is "left" in A and "right" in B."""
    named = network.with_classes(["left", "right"])
    turned = network.with_weights(
        {**network.weights, "output": network.weights["output"][::-1].copy()}
    ).with_classes(["right", "left"])
    a = write_trace(tmp_path / "a.h5", named, [0, 1], labelled=False)
    b = write_trace(tmp_path / "b.h5", turned, [0, 1], labelled=False)
    found = es.compare(a, b)
    assert found.layers["output"].differs
    assert found.decisions == []
    assert found.accuracy() is None


def test_recordings_go_together_by_source(tmp_path: Path, network: es.Network) -> None:
    a = write_trace(tmp_path / "a.h5", network, [3, 4, 5, 6])
    b = write_trace(tmp_path / "b.h5", network, [9, 6, 4, 3])
    found = es.compare(a, b)
    assert found.samples == 3
    assert not found.same
    assert not any(layer.differs for layer in found.layers.values())
    assert found.remarks == ["recordings go together by their sources; 1 of A and 1 of B have no partner"]
    c = write_trace(tmp_path / "c.h5", network, [4, 3, 5], named=False)
    found = es.compare(a, c)
    assert found.samples == 3
    assert found.first is not None
    assert found.first.layer == "input"
    assert found.remarks == [
        "recordings go together by their numbers; 1 of A have no partner",
        "2 recordings have another label in B: are they the same recordings?",
    ]


def test_different_networks(tmp_path: Path, network: es.Network) -> None:
    a = write_trace(tmp_path / "a.h5", network, [0, 1])
    larger = es.Network(
        es.Input(*SENSOR), es.Dense(7, threshold=2.0), es.Dense(5, threshold=2.0), es.Dense(2), seed=1
    )
    b = write_trace(tmp_path / "b.h5", larger, [0, 1])
    found = es.compare(a, b)
    assert found.remarks == [
        "the size of layer 'hidden' is 4 in A and 7 in B: only the numbers of spikes are compared",
        "layer 'hidden2' is in B only",
    ]
    layer = found.to_dict()["layers"]["hidden"]
    with es.Trace(a) as trace:
        assert layer["spikes_a"] == trace.n_spikes("hidden")
    assert layer["equal"] is layer["victor_purpura"] is None
    assert "hidden  " in format_comparison(found)


def test_models_run_the_recordings(tmp_path: Path, network: es.Network, other: es.Network) -> None:
    streams = [make_stream(number % 2, number) for number in range(6)]
    data = es.data.ListDataset(streams, [number % 2 for number in range(6)])
    other.save(tmp_path / "other.h5")
    found = es.compare(network, tmp_path / "other.h5", data=data)
    assert found.samples == 6
    runs = [[es.simulate(x, stream) for stream in streams] for x in (network, other)]
    assert found.layers["hidden"].spikes_a == sum(len(run["hidden"]) for run in runs[0])
    assert found.layers["hidden"].spikes_b == sum(len(run["hidden"]) for run in runs[1])
    assert found.accuracy() == (1.0, sum(run.decision == n % 2 for n, run in enumerate(runs[1])) / 6)
    assert found.b.name == str(tmp_path / "other.h5")
    assert es.compare(network, network, data=data, per_class=2).samples == 4
    alone = es.compare(runs[0][1], runs[1][1])
    assert alone.samples == 1
    assert 0 < alone.layers["hidden"].spikes_a < found.layers["hidden"].spikes_a


def test_what_cannot_be_compared(tmp_path: Path, network: es.Network, traces: tuple[Path, Path]) -> None:
    network.save(tmp_path / "m.h5")
    with pytest.raises(
        SimulationError, match=r"a\.h5 is a trace and .*m\.h5 is a model; compare two traces, two models"
    ):
        es.compare(traces[0], tmp_path / "m.h5")
    with pytest.raises(SimulationError, match="data: two models are compared on recordings; give data"):
        es.compare(network, network)
    with pytest.raises(SimulationError, match="data is for two models"):
        es.compare(*traces, data=[])
    with pytest.raises(SimulationError, match="a trace, a model or a run can be compared, got int"):
        es.compare(3, traces[0])  # type: ignore[arg-type]
    with pytest.raises(SimulationError, match="within_ms must be a finite number of ms > 0, got 0"):
        es.compare(*traces, within_ms=0)
    with pytest.raises(SimulationError, match="tau_ms must be a finite number of ms > 0, got nan"):
        es.compare(*traces, tau_ms=math.nan)
    with pytest.raises(TraceError, match=r"none\.h5: no such file"):
        es.compare(traces[0], tmp_path / "none.h5")
    with pytest.raises(TraceError, match=r"empty\.h5: holds no complete sample to compare"):
        es.compare(traces[0], write_trace(tmp_path / "empty.h5", network, []))


def test_memory_does_not_grow_with_the_recordings(tmp_path: Path) -> None:
    network = es.Network(es.Input(10, 10, 1), es.Dense(50), es.Dense(2), seed=1)

    def write(path: Path, samples: int, shift: float) -> Path:
        rng = np.random.default_rng(3)
        with TraceWriter(path, network) as writer:
            for _ in range(samples):
                trains = [np.sort(rng.uniform(0.0, 900.0, n)) + shift for n in (5000, 100)]
                neurons = [
                    rng.integers(0, size, len(t), np.int32) for size, t in zip((50, 2), trains, strict=True)
                ]
                spikes = list(zip(trains, neurons, strict=True))
                given = np.sort(rng.uniform(0.0, 900.0, 8000)), rng.integers(0, 100, 8000, np.int32)
                writer.append(make_record(network, spikes, given, math.inf, "queue", "float64"))
        return path

    peaks = []
    for samples in (3, 30):
        a, b = (write(tmp_path / f"{shift}-{samples}.h5", samples, shift) for shift in (0.0, 0.5))
        tracemalloc.start()
        found = es.compare(a, b)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.layers["hidden"].moved > 4000 * samples
        assert not found.layers["input"].differs
    assert peaks[1] < 1.3 * peaks[0]


def test_readouts(tmp_path: Path) -> None:
    """The same spikes, and another readout of them: the same decisions need not be the same trace."""
    network = es.Network(es.Input(*SENSOR), es.Dense(8, threshold=2.0), es.Readout(2), seed=1)
    scaled = network.with_weights({**network.weights, "output": 1.5 * network.weights["output"]})
    runs = [[es.simulate(x, make_stream(0, n), t_stop=60.0) for n in range(3)] for x in (network, scaled)]
    for name, side in zip("ab", runs, strict=True):
        with TraceWriter(tmp_path / f"{name}.h5", network if name == "a" else scaled) as writer:
            for run in side:
                writer.append(run)
    found = es.compare(tmp_path / "a.h5", tmp_path / "b.h5")
    expected = max(np.abs(a.readout - b.readout).max() for a, b in zip(*runs, strict=True))
    assert expected > 0.0
    assert found.readout_most == pytest.approx(expected, rel=1e-12)
    assert found.first is None
    assert not found.same
    assert f"Readouts differ by {expected:.3g} at most." in format_comparison(found)
    assert es.compare(tmp_path / "a.h5", tmp_path / "a.h5").same
    assert es.compare(runs[0][0], runs[1][0]).readout_most > 0.0


def test_weights_and_delays_are_compared(tmp_path: Path) -> None:
    from scipy.sparse import csr_array

    from eventsnn.simulate.weight_comparison import compare_weights, format_weights

    def make(weights: dict[str, object], delays: dict[str, np.ndarray]) -> es.Network:
        layers = es.Dense(2, name="hidden"), es.Dense(2, name="out")
        return es.Network(es.Input(2), *layers, weights=weights, delays=delays)

    sparse = csr_array(np.array([[1.0, 0.0], [0.0, 2.0]]))
    other = csr_array(np.array([[1.0, 0.0], [0.0, 2.5]]))
    dense = np.array([[3.0, 4.0], [0.0, 0.0]])
    a = make({"hidden": dense, "out": sparse}, {"out": np.array([1.0, 2.0])})
    changed = dense + np.array([[0.0, 0.0], [0.3, -0.4]])
    b = make({"hidden": changed, "out": other}, {"out": np.array([1.0, 2.25])})
    hidden, out, delays = compare_weights(a, b)
    assert (hidden.key, hidden.what, hidden.synapses_a, hidden.differ) == ("hidden", "weights", 4, 2)
    assert hidden.most == pytest.approx(0.4)
    assert hidden.relative == pytest.approx(0.5 / 5.0)
    assert (out.synapses_a, out.synapses_b, out.differ, out.most) == (2, 2, 1, 0.5)
    assert out.relative == pytest.approx(0.5 / np.sqrt(5.0))
    assert (delays.what, delays.differ, delays.most) == ("delays", 1, 0.25)
    moved = csr_array(np.array([[0.0, 1.0], [0.0, 2.0]]))
    _, out, delays = compare_weights(a, make({"hidden": dense, "out": moved}, {"out": np.array([1.0, 2.0])}))
    assert (out.differ, out.most, delays.differ) == (2, 1.0, None)
    assert format_weights(compare_weights(a, a)) == ["weights and delays: the same"]
    text = format_weights(compare_weights(a, b))
    assert text[1].split() == ["weights", "of", "hidden", "4", "4", "2", "0.4", "0.1"]
    assert text[3].startswith("delays of out (ms)")


def test_a_comparison_has_the_weights(traces: tuple[Path, Path], network: es.Network) -> None:
    found = es.compare(*traces)
    assert {each.key: each.differ for each in found.weights}.keys() == network.weights.keys()
    assert not all(each.same for each in found.weights)
    assert found.to_dict()["weights"][0]["key"] == found.weights[0].key
    assert "weights of" in format_comparison(found)
    assert all(each.same for each in es.compare(traces[0], traces[0]).weights)
