"""A delay for each source neuron: engines, parts of a run, traces and files."""

from __future__ import annotations

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import NetworkError, SimulationError
from eventsnn.model import Connection, Conv, Dense, Input, Network, Pool, Readout
from eventsnn.trace import membrane_potential
from eventsnn.trace.spsp import neuron_spsps

A = {"tau_m": 20.0, "tau_s": 5.0}


def make(bias=0.0, seed=0):
    rng = np.random.default_rng(seed)
    extra = int(bias > 0)
    network = Network(
        Input(9, bias_interval=bias),
        Dense(12, threshold=1.2, delay=rng.uniform(0.5, 5.0, 9 + extra), **A),
        Dense(3, threshold=1.0, delay=[*rng.uniform(0.0, 5.0, 12 + extra)], **A),
    )
    return network.with_weights({k: rng.normal(0.3, 0.8, s) for k, s in network.weight_shapes().items()})


def events(n=60):
    rng = np.random.default_rng(1)
    return np.sort(rng.uniform(0.0, 50.0, n)), rng.integers(0, 9, n).astype(np.int32)


def relayed(network):
    """The network without the first layer's delays, and the input delayed by hand."""
    times, neurons = events()
    times = times + np.array(network["hidden"].delay)[neurons]
    order = np.lexsort((neurons, times))
    return network.replace("hidden", delay=0.0), (times[order], neurons[order])


@pytest.mark.parametrize("bias", [0.0, 6.0])
def test_engines_agree_in_every_spike(bias):
    network = make(bias)
    swept, queued, twin = (es.simulate(network, events(), engine=e) for e in ("sweep", "queue", "twin"))
    for name in network.names:
        assert len(swept[name]) > 10
        np.testing.assert_array_equal(swept[name].neurons, twin[name].neurons)
        np.testing.assert_allclose(swept[name].times, twin[name].times, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(queued[name].neurons, twin[name].neurons)
        np.testing.assert_array_equal(queued[name].times, twin[name].times)


def test_delays_are_those_of_the_source_neurons():
    network = make()
    plain, moved = relayed(network)
    one, other = es.simulate(network, events()), es.simulate(plain, moved)
    np.testing.assert_array_equal(one["hidden"].times, other["hidden"].times)
    equal = network.replace("hidden", delay=[2.0] * 9)
    one, other = (es.simulate(n, events()) for n in (equal, network.replace("hidden", delay=2.0)))
    for name in network.names:
        np.testing.assert_array_equal(one[name].times, other[name].times)


@pytest.mark.parametrize("engine", ["sweep", "queue", "twin"])
@pytest.mark.parametrize("bias", [0.0, 6.0])
def test_parts_give_the_bits_of_the_whole(tmp_path, bias, engine):
    """And so does a state that is saved and taken up again."""
    network, (times, neurons) = make(bias), events()
    whole = es.simulate(network, (times, neurons), engine=engine)
    simulation, parts = es.Simulation(network, engine=engine), []
    for n in range(0, 60, 15):
        parts.append(simulation.feed((times[n : n + 15], neurons[n : n + 15])))
        simulation.save(tmp_path / "state")
        simulation = es.Simulation.resume(tmp_path / "state", network)
    parts.append(simulation.finish())
    assert sum(len(part["output"]) > 0 for part in parts) > 2
    for name in network.names:
        np.testing.assert_array_equal(np.concatenate([part[name].times for part in parts]), whole[name].times)


def test_the_clock_takes_one_delay():
    network = make()
    with pytest.raises(SimulationError, match=r"a delay for each source neuron is for exact time"):
        es.simulate(network, events(), engine="clocked")


def test_a_loop_and_an_early_end_take_them():
    network = make(6.0)
    cut = es.simulate(network, events(), t_stop=30.0)
    whole = es.simulate(network, events(), engine="twin")
    for name in network.names:
        early = whole[name].times <= 30.0
        np.testing.assert_array_equal(cut[name].times, whole[name].times[early])
    hidden, output = network.layers
    loop = Connection("output", "hidden", delay=1.0)
    weights = {**network.weights, loop.key: np.full((12, 3), 0.4)}
    looped = Network(network.input, hidden, output, connections=[loop], weights=weights)
    one, other = (es.simulate(looped, events(), t_stop=60.0, engine=engine) for engine in ("queue", "twin"))
    assert len(one["hidden"]) > len(whole["hidden"])
    for name in network.names:
        np.testing.assert_array_equal(one[name].times, other[name].times)


def test_wrong_delays_are_named():
    with pytest.raises(NetworkError, match=r"'hidden': delay must be one number or 9, .* of 'input', got 2"):
        Network(Input(9), Dense(4, delay=[1.0, 2.0]), Dense(3))
    with pytest.raises(
        NetworkError, match=r"10, one for each neuron of 'input', one for the bias neuron, got 9"
    ):
        Network(Input(9, bias_interval=5.0), Dense(4, delay=[1.0] * 9), Dense(3))
    with pytest.raises(NetworkError, match=r"delay must be"):
        Dense(4, delay=[1.0, -2.0])
    for kind, given in ((Conv, (2, 3)), (Pool, (2,)), (Readout, (3,))):
        with pytest.raises(NetworkError, match="only a dense layer can have a delay for each source neuron"):
            kind(*given, delay=[1.0])
        with pytest.raises(NetworkError, match="only a dense layer can have a delay for each source neuron"):
            kind(*given, learn=["delays"])
    with pytest.raises(NetworkError, match="either 'delay', one for all, or 'delays'"):
        Dense(4, learn=["delays", "delay"])


def test_files_keep_them(tmp_path):
    network = make(6.0)
    network.save(tmp_path / "model.h5")
    assert Network.load(tmp_path / "model.h5").layers == network.layers
    assert Network.from_table(network.to_table(), weights=network.weights).layers == network.layers


def test_spsps_sum_to_the_threshold_at_every_spike():
    """a_i = nu o_i: potentials are counted with these delays."""
    network = make()
    record = es.simulate(network, events())
    for projection in network.projections:
        layer = network.layers[projection.target]
        counts = record[layer.name].counts
        for neuron in np.flatnonzero(counts).tolist():
            weights = np.asarray(network.weights[layer.name][neuron])
            total = neuron_spsps(network, record, projection, neuron) @ weights
            assert total == pytest.approx(layer.threshold * counts[neuron], rel=1e-9)


def test_potentials_reach_the_threshold_at_the_spikes():
    network = make()
    record = es.simulate(network, events())
    for name in network.names:
        spikes = record[name]
        for neuron in np.flatnonzero(spikes.counts)[:4].tolist():
            at = membrane_potential(network, record, name, neuron, spikes.of(neuron))
            np.testing.assert_allclose(at, network[name].threshold, rtol=1e-9)


def late_spike(record):
    """Neuron and number of an output spike that much has gone before."""
    neuron = int(record.output.neurons[-1])
    return neuron, int(record.output.counts[neuron]) - 1


def test_explanations_name_the_spikes_that_arrived():
    network = make()
    record = es.simulate(network, events())
    neuron, spike = late_spike(record)
    found = es.explain(record, layer="output", neuron=neuron, spike=spike, network=network)
    assert found.events["contribution"].sum() == pytest.approx(network["output"].threshold, rel=1e-9)
    pairs = set(zip(record["hidden"].times.tolist(), record["hidden"].neurons.tolist(), strict=True))
    named = list(zip(found.causes["t_ms"].tolist(), found.causes["neuron"].tolist(), strict=True))
    assert named
    assert set(named) <= pairs


def test_sensitivities_are_differences_of_spike_times():
    network, (times, neurons) = make(), events()
    record = es.simulate(network, (times, neurons))
    neuron, spike = late_spike(record)
    found = es.sensitivity(record, layer="output", neuron=neuron, spike=spike, network=network)
    for event in np.argsort(-np.abs(found.events["derivative"]))[:5].tolist():
        moved, step = [], 1e-5
        for d in (step, -step):
            run = es.simulate(network, (times + d * (np.arange(60) == event), neurons))
            moved.append(run.output.of(neuron)[spike])
        slope = (moved[0] - moved[1]) / (2.0 * step)
        assert found.events["derivative"][event] == pytest.approx(slope, rel=1e-6)
