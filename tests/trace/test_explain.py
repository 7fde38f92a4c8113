from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eventsnn.errors import TraceError
from eventsnn.model import LIF, Dense, Input, Network
from eventsnn.simulate.engines import queue
from eventsnn.trace import Trace, TraceWriter, explain, format_explanation
from eventsnn.trace.record import SpikeRecord
from tests.trace.conftest import busy_input

SAMPLE = 1  # of the recorded trace: the fixture `run`


def eps(t: np.ndarray, lif: LIF) -> np.ndarray:
    """Unit post-synaptic potential, as the paper writes it."""
    k = 1.0 / (1.0 - lif.tau_s / lif.tau_m)
    return k * (np.exp(-t / lif.tau_m) - np.exp(-t / lif.tau_s))


def test_sums_reach_the_threshold(trace_path: Path, network: Network, run: SpikeRecord) -> None:
    """Spikes of every neuron: with lateral inhibition, delays, feedback and a skip connection."""
    worst, spread = 0.0, 0.0
    with Trace(trace_path) as trace:
        for layer in network.layers:
            name = str(layer.name)
            for neuron, count in enumerate(run[name].counts):
                for spike in range(0, count, 6):
                    found = explain(trace, layer=name, neuron=neuron, spike=spike, sample=SAMPLE)
                    direct = found.causes["contribution"].sum() + found.direct_input
                    worst = max(
                        worst, abs(found.sum / layer.threshold - 1.0), abs(direct / layer.threshold - 1.0)
                    )
                    spread = max(spread, np.abs(found.events["contribution"]).sum())
                    assert found.time_ms == run[name].of(neuron)[spike]
    assert spread > 10.0  # so the sums are no sums of small numbers
    assert worst < 1e-9


@pytest.mark.parametrize("spike", [0, 1])
def test_first_layer_follows_the_formula(tmp_path: Path, spike: int) -> None:
    """Contributions as written down: w [eps(t - g) - e^{-(t-r)/tau_m} eps(r - g)]."""
    network = Network(Input(6, 5, 2), Dense(4, name="hidden", threshold=2.0), Dense(2), seed=1)
    times, indices = busy_input(4)
    run = queue.run(network, times, indices)
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        writer.append(run)
    neuron = int(np.argmax(run["hidden"].counts))
    found = explain(tmp_path / "t.h5", layer="hidden", neuron=neuron, spike=spike)
    lif = network["hidden"].lif
    t = run["hidden"].of(neuron)[spike]
    before = run.input.times < t
    g, i = run.input.times[before], run.input.neurons[before]
    expected = eps(t - g, lif)
    if spike:
        r = run["hidden"].of(neuron)[spike - 1] + lif.refractory
        expected -= np.where(g <= r, np.exp(-(t - r) / lif.tau_m) * eps(np.maximum(r - g, 0.0), lif), 0.0)
    expected *= network.weights["hidden"][neuron, i].astype(float)
    np.testing.assert_allclose(found.events["contribution"], expected, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(found.events["t_us"], np.rint(1000 * g).astype(int))
    np.testing.assert_array_equal(
        found.events["p"] * 30 + found.events["y"] * 6 + found.events["x"], i, err_msg="p*W*H + y*W + x"
    )
    assert (found.events["x"].max(), found.events["y"].max(), found.events["p"].max()) == (5, 4, 1)
    assert found.causes.size == 0


def attribute_forward(network: Network, run: SpikeRecord) -> dict[tuple[int, int], np.ndarray]:
    """Events' shares of every spike, built up in order of time: the other way round than `explain`."""
    spikes = sorted(
        (t, layer, k)
        for layer, name in enumerate(network.names)
        for k, t in enumerate(run[name].times.tolist())
    )
    shares: dict[tuple[int, int], np.ndarray] = {}
    for t, layer, row in spikes:
        lif, own = network.layers[layer].lif, run[network.names[layer]]
        neuron = own.neurons[row]
        earlier = own.times[:row][own.neurons[:row] == neuron]
        total = np.zeros(len(run.input))
        for projection in network.projections:
            if projection.target != layer:
                continue
            source = run["input" if projection.source < 0 else network.names[projection.source]]
            weights = network.projection_weights(projection)[neuron].astype(float)
            for k, (s, j) in enumerate(zip(source.times, source.neurons, strict=True)):
                g = s + projection.delay
                if g >= t:
                    continue
                c = psp_limit(t - g, lif)
                if earlier.size and g <= earlier[-1] + lif.refractory:
                    r = earlier[-1] + lif.refractory
                    c -= np.exp(-(t - r) / lif.tau_m) * psp_limit(r - g, lif)
                if projection.source < 0:
                    total[k] += weights[j] * c
                elif weights[j]:
                    total += (
                        weights[j]
                        * c
                        * shares[projection.source, k]
                        / network.layers[projection.source].threshold
                    )
        shares[layer, row] = total
    return shares


def psp_limit(t: float, lif: LIF) -> float:
    return t / lif.tau_s * np.exp(-t / lif.tau_m) if lif.tau_m == lif.tau_s else float(eps(np.array(t), lif))


def test_deep_attribution_equals_forward_recursion(
    trace_path: Path, network: Network, run: SpikeRecord
) -> None:
    expected = attribute_forward(network, run)
    with Trace(trace_path) as trace:
        for layer, name in enumerate(network.names):
            row = len(run[name]) - 1
            neuron = int(run[name].neurons[row])
            spike = int(np.count_nonzero(run[name].neurons == neuron)) - 1
            found = explain(trace, layer=name, neuron=neuron, spike=spike, sample=SAMPLE).events[
                "contribution"
            ]
            np.testing.assert_allclose(found, expected[layer, row][: found.size], rtol=0, atol=1e-9)
            assert (expected[layer, row][found.size :] == 0.0).all()
            assert np.abs(found).max() > 0.01


def test_direct_causes(trace_path: Path, network: Network, run: SpikeRecord) -> None:
    neuron = int(np.argmax(run["output"].counts))
    spike = int(run["output"].counts[neuron]) - 1
    found = explain(trace_path, layer="output", neuron=neuron, spike=spike, sample=SAMPLE)
    t = found.time_ms
    by_layer = {name: found.causes[found.causes["layer"] == n] for n, name in enumerate(found.layer_names)}
    assert by_layer["hidden"].size == 0
    np.testing.assert_array_equal(
        by_layer["middle"]["t_ms"], run["middle"].times[run["middle"].times + 0.0 < t]
    )
    lateral = (run["output"].times < t) & (run["output"].neurons != neuron)
    np.testing.assert_array_equal(by_layer["output"]["t_ms"], run["output"].times[lateral])
    assert (by_layer["output"]["contribution"] < 0).all()
    assert found.direct_input != 0.0
    assert (np.diff(found.causes["t_ms"]) >= 0).all()


def test_delay_postpones_causes(tmp_path: Path) -> None:
    network = Network(
        Input(1), Dense(1, name="hidden", threshold=0.5), Dense(1, threshold=0.5, delay=4.0), weights={
            "hidden": np.array([[2.0]]), "output": np.array([[2.0]])
        }
    )  # fmt: skip
    run = queue.run(network, np.array([10.0, 13.0, 30.0]), np.zeros(3, int))
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        writer.append(run)
    found = explain(tmp_path / "t.h5", layer="output", neuron=0, spike=0)
    hidden = run["hidden"].times
    np.testing.assert_array_equal(found.causes["t_ms"], hidden[hidden + 4.0 < found.time_ms])
    assert found.causes.size < np.count_nonzero(hidden < found.time_ms) + 1
    assert found.sum == pytest.approx(0.5, rel=1e-12)
    assert found.events["t_us"].tolist() == [10_000, 13_000][: found.events.size]


def test_float32_run(tmp_path: Path, network: Network) -> None:
    run = queue.run(network, *busy_input(1), dtype="float32", t_stop=80.0)
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        writer.append(run)
    neuron = int(run["output"].neurons[-1])
    found = explain(
        tmp_path / "t.h5", layer="output", neuron=neuron, spike=int(run["output"].counts[neuron]) - 1
    )
    # The spike time carries float32 rounding of potentials of order 10: some 1e-6 of the threshold, no more.
    assert found.sum == pytest.approx(network["output"].threshold, rel=1e-5)


def test_dictionary(trace_path: Path) -> None:
    found = explain(trace_path, layer="output", neuron=2, spike=1, sample=SAMPLE)
    table = json.loads(json.dumps(found.to_dict()))
    assert (table["layer"], table["neuron"], table["spike"], table["sample"]) == ("output", 2, 1, 1)
    assert (table["time_ms"], table["threshold"], table["sum"]) == (found.time_ms, 1.5, found.sum)
    assert set(table["events"][0]) == {"t_us", "x", "y", "p", "contribution"}
    assert set(table["presynaptic"][0]) == {"layer", "neuron", "t_ms", "contribution"}
    assert [event["t_us"] for event in table["events"]] == sorted(event["t_us"] for event in table["events"])
    assert sum(event["contribution"] for event in table["events"]) == pytest.approx(1.5, rel=1e-9)
    assert all(isinstance(event["t_us"], int) for event in table["events"])


def test_text(trace_path: Path) -> None:
    found = explain(trace_path, layer="output", neuron=2, spike=1, sample=SAMPLE)
    text = format_explanation(found, top=3)
    assert text.startswith("Spike 1 of neuron 2 in layer 'output', sample 1, at ")
    assert "threshold 1.5; contributions add up to 1.5\n" in text
    strongest = found.events[np.argsort(-np.abs(found.events["contribution"]))[:3]]
    for event in strongest:
        assert f"{event['t_us']:>12d} {event['x']:>5d} {event['y']:>5d} {event['p']:>2d}" in text
    rest = found.sum - strongest["contribution"].sum()
    assert text.endswith(f"and {found.events.size - 3} more, together {rest:+.5f}")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"layer": "nope"}, "no layer 'nope'; there are hidden, middle, output"),
        ({"layer": "input"}, "an input event has no cause"),
        ({"sample": 2}, r"no sample 2; the trace holds the samples 0\.\.1"),
        ({"neuron": 3}, r"layer 'output' has the neurons 0\.\.2, got 3"),
        ({"neuron": -1}, r"layer 'output' has the neurons 0\.\.2, got -1"),
        ({"spike": 10_000}, r"no spike 10000: neuron 0 of 'output' has the spikes 0\.\.\d+ in sample 1"),
        ({"spike": -1}, "no spike -1: neuron 0 of 'output' has"),
    ],
)
def test_what_there_is_not(trace_path: Path, arguments: dict, text: str) -> None:
    with pytest.raises(TraceError, match=text):
        explain(trace_path, **{"layer": "output", "neuron": 0, "spike": 0, "sample": 1, **arguments})


def test_clocked_run_is_refused(tmp_path: Path, network: Network, run: SpikeRecord) -> None:
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        writer.append(replace(run, engine="clocked"))
    with pytest.raises(TraceError, match="an explanation needs spikes in exact time"):
        explain(tmp_path / "t.h5", layer="output", neuron=0, spike=0)
