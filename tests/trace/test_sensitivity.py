"""Derivatives of spike times against central differences of the exact engine, and what is said about them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import TraceError
from eventsnn.model import Conv, Dense, Input, Network
from eventsnn.trace import Trace, format_sensitivity, membrane_potential
from eventsnn.trace.record import ExitReason, SpikeRecord
from eventsnn.trace.sensitivity import GRAZING
from tests.trace.graphs import KINDS, T_STOP, make_graph
from tests.trace.spike_differences import SpikeTime

RELATIVE = 1e-6


def target_of(run: SpikeRecord, layer: str = "output") -> tuple[int, int]:
    """(neuron, spike) of a layer's spike at a third of them."""
    row = len(run[layer]) // 3
    neuron = int(run[layer].neurons[row])
    return neuron, int(np.count_nonzero(run[layer].neurons[:row] == neuron))


def assert_close(found: float, expected: float, scale: float = 1.0) -> None:
    assert abs(found - expected) <= RELATIVE * max(abs(expected), 1e-3 * scale)


@pytest.fixture(scope="module", params=KINDS)
def case(request: pytest.FixtureRequest) -> tuple[Network, SpikeTime, es.Sensitivity]:
    network, given = make_graph(request.param, 1)
    run = es.simulate(network, given, t_stop=T_STOP, engine="queue")
    neuron, spike = target_of(run)
    found = es.sensitivity(run, layer="output", neuron=neuron, spike=spike, network=network)
    assert len(found.spikes) > 10  # so it does not end at the spike's own neuron
    return network, SpikeTime(network, given, "output", neuron, spike, T_STOP), found


def test_weights(case: tuple[Network, SpikeTime, es.Sensitivity]) -> None:
    network, at, found = case
    assert set(found.weights) == set(network.weights)
    for key, derivatives in found.weights.items():
        assert derivatives.shape == network.weights[key].shape
        strongest = found.strongest_weights(key, 10**6)
        for place, value in (strongest[0], strongest[len(strongest) // 2]):
            assert_close(value, at.by_weight(key, place), abs(strongest[0][1]))
            assert value == derivatives[place]


def test_event_times(case: tuple[Network, SpikeTime, es.Sensitivity]) -> None:
    _, at, found = case
    order = np.argsort(-np.abs(found.events["derivative"]))
    scale = abs(found.events["derivative"][order[0]])
    for event in order[[0, 1, 7, 20]].tolist():
        assert_close(found.events["derivative"][event], at.by_event(event), scale)


def test_thresholds_delays_and_the_like(case: tuple[Network, SpikeTime, es.Sensitivity]) -> None:
    network, at, found = case
    for layer in network.layers:
        name = str(layer.name)
        assert_close(found.thresholds[name], at.by_field(name, "threshold"))
        assert_close(found.refractory[name], at.by_field(name, "refractory"))
        if isinstance(layer, Dense):
            assert_close(found.resting[name], at.by_field(name, "resting"))
        if layer.delay and name not in found.several_delays:
            assert_close(found.delays[name], at.by_field(name, "delay"))
        if layer.lateral_inhibition:
            assert_close(found.lateral[name], at.by_field(name, "lateral_inhibition"))
    for connection in network.connections:
        if connection.delay and connection.key not in found.several_delays:
            assert_close(found.delays[connection.key], at.by_field(connection.key, "delay"))
    assert set(found.lateral) == {str(la.name) for la in network.layers if la.lateral_inhibition}
    assert set(found.delays) == {p.key for p in network.projections if not p.lateral and p.source != -2}


def test_delays_of_synapses_and_of_source_neurons(case: tuple[Network, SpikeTime, es.Sensitivity]) -> None:
    network, at, found = case
    several = [*network.delays, *(la.name for la in network.layers if la.each_delay is not None)]
    assert set(found.several_delays) == set(several)
    for key in several:
        each = found.delays[key].data if key in network.delays else found.delays[key]
        assert (
            each.shape
            == (network.delays[key] if key in network.delays else np.array(network[key].delay)).shape
        )
        order = np.argsort(-np.abs(each))
        assert each[order[0]] != 0.0
        for place in order[[0, len(order) // 4]].tolist():
            assert_close(each[place], at.by_delay(key, place), abs(each[order[0]]))
        strongest = found.strongest_delays(key, 1)
        assert strongest[0][1] == each[order[0]]
        text = format_sensitivity(found, top=1)
        assert f"Delays of {key!r}" in text
        assert found.to_dict(1)["delays"][key] == [
            {"place": list(strongest[0][0]), "derivative": strongest[0][1]}
        ]


@pytest.mark.parametrize("kind", ["recurrent", "spatial"])
def test_later_input_moves_the_spike_along(kind: str) -> None:
    """A neuron at rest knows no time: if all input comes later, so does the spike."""
    network, given = make_graph(kind, 2)
    run = es.simulate(network, given, t_stop=T_STOP)
    for layer in network.names:
        neuron, spike = target_of(run, layer)
        found = es.sensitivity(run, layer=layer, neuron=neuron, spike=spike, network=network)
        assert found.events["derivative"].sum() == pytest.approx(1.0, rel=1e-9)


def test_strength_is_what_a_factor_on_its_synapses_does() -> None:
    """Of an event that has an input neuron for itself it is one on the neuron's weights."""
    network, (times, neurons) = make_graph("recurrent", 0)
    event = 20
    neurons = np.where(neurons == neurons[event], (neurons[event] + 1) % 40, neurons)
    neurons[event] = original = make_graph("recurrent", 0)[1][1][event]
    run = es.simulate(network, (times, neurons), t_stop=T_STOP)
    neuron, spike = target_of(run)
    found = es.sensitivity(run, layer="output", neuron=neuron, spike=spike, network=network)
    expected = sum(
        float(network.weights[key][:, original] @ found.weights[key][:, original])
        for key in ("first", "input->output")
    )
    assert found.events["strength"][event] == pytest.approx(expected, rel=1e-12)
    assert abs(expected) > 1e-3


def test_a_trace_and_a_run_say_the_same(trace_path: Path, network: Network, run: SpikeRecord) -> None:
    place = {"layer": "output", "neuron": int(run["output"].counts.argmax()), "spike": 3}
    of_run = es.sensitivity(run, network=network, **place)
    with Trace(trace_path) as trace:
        for source in (trace, trace_path):
            found = es.sensitivity(source, sample=1, **place)
            np.testing.assert_array_equal(found.events, of_run.events)
            assert found.thresholds == of_run.thresholds
            assert found.time_ms == run["output"].of(place["neuron"])[3]


def line(weights: list[float], **more: float) -> Network:
    """One neuron, an input for each weight."""
    layer = Dense(1, threshold=1.0, tau_m=20.0, tau_s=5.0, refractory=2.0, **more)
    return Network(Input(len(weights)), layer, weights={"output": np.array([weights])})


def test_spikes_on_the_way_and_their_slopes(case: tuple[Network, SpikeTime, es.Sensitivity]) -> None:
    spikes, found = case[2].spikes, case[2]
    assert (np.diff(spikes["t_ms"]) >= 0).all()
    last = spikes[-1]
    assert (last["neuron"], last["t_ms"], last["derivative"]) == (found.neuron, found.time_ms, 1.0)
    assert (spikes["slope"] > 0).all()
    assert last["slope"] == found.slope


def test_slope_of_a_first_spike() -> None:
    """1/u' is the derivative by the threshold, if the neuron has not fired before."""
    network = line([3.0, 2.0])
    run = es.simulate(network, (np.array([0.0, 1.0]), np.array([0, 1])))
    found = es.sensitivity(run, layer="output", neuron=0, spike=0, network=network)
    assert found.thresholds["output"] == pytest.approx(1.0 / found.slope, rel=1e-14)
    before = es.simulate(
        network.replace("output", threshold=1.0 - 1e-6), (np.array([0.0, 1.0]), np.array([0, 1]))
    )
    assert found.slope == pytest.approx(1e-6 / (found.time_ms - before["output"].times[0]), rel=1e-5)
    assert not found.is_grazing


def test_a_grazing_spike_is_marked() -> None:
    """A neuron whose potential would have risen by a little more, or less, than 1 % of the threshold."""
    given = (np.array([0.0]), np.array([0]))
    peak = (1.0 / 4.0) ** (1.0 / 3.0)  # of the PSP: k (x - x^4), x = e^{-t/20}, k = 4/3, x^3 = 1/4
    unit = 4.0 / 3.0 * (peak - peak**4)
    for over, marked in ((0.5 * GRAZING, True), (2.0 * GRAZING, False)):
        network = line([(1.0 + over) / unit])
        run = es.simulate(network, given)
        found = es.sensitivity(run, layer="output", neuron=0, spike=0, network=network)
        assert found.is_grazing is marked
        assert found.spikes["grazing"].tolist() == [marked]
        assert ("grazing, a small change" in format_sensitivity(found)) is marked


def test_an_arrival_at_the_instant_of_a_spike_counts_as_later() -> None:
    network = line([3.0, 2.0])
    first = es.simulate(network, (np.array([0.0]), np.array([0])))["output"].times[0]
    given = (np.array([0.0, first]), np.array([0, 1]))
    run = es.simulate(network, given)
    assert run["output"].times[0] == first
    found = es.sensitivity(run, layer="output", neuron=0, spike=0, network=network)
    assert found.events["derivative"].tolist() == pytest.approx([1.0])  # the other is not before the spike
    assert found.weights["output"][0, 1] == 0.0


def test_an_arrival_at_the_end_of_a_refractory_period_counts_as_later() -> None:
    network = line([4.0, 3.0])
    times = es.simulate(network, (np.array([0.0]), np.array([0])))["output"].times
    end = float(times[0]) + 2.0
    later = np.nextafter(end, 100.0)
    for at in (end, later):
        run = es.simulate(network, (np.array([0.0, at]), np.array([0, 1])))
        found = es.sensitivity(run, layer="output", neuron=0, spike=1, network=network)
        if at == end:
            expected = found.events["derivative"]
    np.testing.assert_allclose(found.events["derivative"], expected, rtol=1e-12)


def test_spikes_at_one_instant_do_not_move_each_other() -> None:
    """Two neurons in one state inhibit each other from their spike on, which does not move these."""
    layer = Dense(2, threshold=1.0, tau_m=20.0, tau_s=5.0, lateral_inhibition=0.5)
    network = Network(Input(1), layer, weights={"output": np.full((2, 1), 4.0)})
    run = es.simulate(network, (np.array([0.0]), np.array([0])))
    assert run["output"].times[0] == run["output"].times[1]
    found = es.sensitivity(run, layer="output", neuron=1, spike=0, network=network)
    assert found.lateral == {"output": 0.0}
    assert len(found.spikes) == 1
    assert found.weights["output"][0, 0] == 0.0


def test_an_event_that_comes_twice_and_reaches_several_neurons() -> None:
    """Two equal events share their effect, and one event's derivative is that through all its synapses."""
    network, (times, neurons) = make_graph("chain", 0)
    times, neurons = times.copy(), neurons.copy()
    times[21], neurons[21] = times[20], neurons[20]
    run = es.simulate(network, (times, neurons))
    neuron, spike = target_of(run)
    found = es.sensitivity(run, layer="output", neuron=neuron, spike=spike, network=network).events
    assert found["derivative"][20] == found["derivative"][21] != 0.0
    at = SpikeTime(network, (times, neurons), "output", neuron, spike, None)
    both = np.isin(np.arange(len(times)), (20, 21))
    moved = at.difference(lambda d: (network, (times + d * both, neurons)))
    assert 2.0 * found["derivative"][20] == pytest.approx(moved, rel=1e-6)


def test_rows_of_events_are_input_events() -> None:
    network, given = make_graph("spatial", 0)
    run = es.simulate(network, given)
    neuron, spike = target_of(run)
    found = es.sensitivity(run, layer="output", neuron=neuron, spike=spike, network=network)
    n = len(found.events)
    np.testing.assert_array_equal(found.events["t_us"], np.rint(1000 * run.input.times[:n]).astype(int))
    place = (found.events["p"] * 4 + found.events["y"]) * 5 + found.events["x"]
    np.testing.assert_array_equal(place, run.input.neurons[:n])
    assert run.input.times[n - 1] < found.time_ms <= run.input.times[n]


def test_as_json_and_text(case: tuple[Network, SpikeTime, es.Sensitivity]) -> None:
    network, _, found = case
    plain = json.loads(json.dumps(found.to_dict(top=3), allow_nan=False))
    assert plain["events"][0].keys() == {"t_us", "x", "y", "p", "derivative", "strength"}
    assert len(plain["weights"]["output"]) == 3
    assert plain["slope"] == found.slope
    assert plain["spikes"] == len(found.spikes)
    text = format_sensitivity(found, top=3)
    for name in (*network.names, *network.weights, *(c.key for c in network.connections)):
        assert name in text
    assert f"{found.thresholds['output']:+.6g}" in text


def test_large_networks_take_memory_for_their_weights_only() -> None:
    network = Network(Input(3000), Dense(1000, threshold=0.5), seed=0)
    run = es.simulate(network, (np.arange(5.0), np.arange(5)))
    first = int(run.output.neurons[0])
    found = es.sensitivity(run, layer="output", neuron=first, spike=0, network=network)
    assert found.weights["output"].nbytes == 8 * 3000 * 1000
    assert set(np.flatnonzero(found.weights["output"].any(axis=1)).tolist()) == {first}


# -- at the door


@pytest.fixture(scope="module")
def small() -> tuple[Network, SpikeRecord]:
    network = Network(Input(4), Dense(3, threshold=0.5, name="hidden"), Dense(2, threshold=0.5), seed=3)
    weights = {key: np.abs(w) + 0.5 for key, w in network.weights.items()}
    network = network.with_weights(weights)
    return network, es.simulate(network, (np.arange(8.0), np.arange(8) % 4))


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ({"layer": "outptu"}, "no layer 'outptu'; there are hidden, output"),
        ({"layer": "input"}, "the input has no neurons; there are hidden, output"),
        ({"layer": "bias"}, "the bias has no neurons"),
        ({"neuron": 2}, r"layer 'output' has the neurons 0\.\.1, got 2"),
        ({"neuron": True}, "got True"),
        ({"spike": 10**6}, r"no spike 1000000: neuron 0 of 'output' has the spikes 0\.\.\d+"),
        ({"spike": -1}, "no spike -1"),
        ({"spike": 0.0}, "no spike 0.0"),
        ({"sample": 1}, "sample: a run is one simulation, number 0, got 1"),
        ({"network": None}, "network: a run holds no weights; give the network that ran"),
    ],
)
def test_what_there_is_not(small: tuple[Network, SpikeRecord], place: dict, text: str) -> None:
    network, run = small
    with pytest.raises(TraceError, match=text):
        es.sensitivity(run, **{"layer": "output", "neuron": 0, "spike": 0, "network": network} | place)


def test_another_network_is_refused(small: tuple[Network, SpikeRecord]) -> None:
    network, run = small
    place = {"layer": "output", "neuron": 0, "spike": 0}
    with pytest.raises(TraceError, match=r"the run's layers are \{'hidden': 3, 'output': 2\}, those of this"):
        es.sensitivity(run, network=Network(Input(4), Dense(2)), **place)
    louder = network.with_weights({key: 1.5 * w for key, w in network.weights.items()})
    with pytest.raises(TraceError, match="does not follow from weights and input"):
        es.sensitivity(run, network=louder, **place)
    part = replace(run, exit_reason=ExitReason.PART)
    with pytest.raises(TraceError, match="simulate the recording whole"):
        es.sensitivity(part, network=network, **place)


def test_a_trace_needs_no_network(trace_path: Path, network: Network) -> None:
    with pytest.raises(TraceError, match="a trace holds its network; leave it out"):
        es.sensitivity(trace_path, layer="output", neuron=0, spike=0, network=network)


def test_only_exact_times_have_derivatives(small: tuple[Network, SpikeRecord]) -> None:
    network, _ = small
    given, place = (np.arange(8.0), np.arange(8) % 4), {"layer": "output", "neuron": 0, "spike": 0}
    clocked = es.simulate(network, given, engine="clocked")
    with pytest.raises(TraceError, match="computes in steps; simulate again with engine='queue'"):
        es.sensitivity(clocked, network=network, **place)
    narrow = es.simulate(network, given, dtype="float32")
    with pytest.raises(TraceError, match="simulate again with dtype='float64'"):
        es.sensitivity(narrow, network=network, **place)


def test_a_spike_where_the_potential_does_not_rise_is_refused() -> None:
    """Where the falling potential comes back to the threshold: no neuron fires there."""
    network = line([4.0])
    given = (np.array([0.0]), np.array([0]))
    unit = network.replace("output", threshold=1e6)
    run = es.simulate(network, given)
    low, high = 10.0, 200.0  # above the threshold, and below it
    for _ in range(100):
        middle = 0.5 * (low + high)
        above = membrane_potential(unit, es.simulate(unit, given), "output", 0, np.array([middle]))[0] > 1
        low, high = (middle, high) if above else (low, middle)
    fallen = replace(run.output, times=np.array([low]), neurons=np.array([0], np.int32))
    with pytest.raises(TraceError, match=r"neuron 0 of layer 'output' at \d+\.\d+ ms does not rise through"):
        es.sensitivity(
            replace(run, layers={"output": fallen}), layer="output", neuron=0, spike=0, network=network
        )


def test_shared_weights_are_counted_once() -> None:
    """A 1 x 1 kernel of one channel: its derivative is that over all places."""
    conv = Conv(1, 1, name="conv", threshold=0.5, tau_m=20.0, tau_s=5.0)
    network = Network(
        Input(3, 2), conv, Dense(1, threshold=0.5, tau_m=20.0, tau_s=5.0),
        weights={"conv": np.full((1, 1, 1, 1), 2.0), "output": np.ones((1, 6))},
    )  # fmt: skip
    given = (np.array([0.0, 1.3, 2.1]), np.array([0, 3, 5]))
    run = es.simulate(network, given)
    found = es.sensitivity(run, layer="output", neuron=0, spike=0, network=network)
    at = SpikeTime(network, given, "output", 0, 0, None)
    assert found.weights["conv"].shape == (1, 1, 1, 1)
    assert found.weights["conv"].item() == pytest.approx(at.by_weight("conv", (0, 0, 0, 0)), rel=1e-6)
