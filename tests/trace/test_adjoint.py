"""The adjoint sweep against its readable twin, and the twin against 50-digit arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eventsnn.model import Connection, Dense, Input, Network, Projection
from eventsnn.model.layers import BIAS
from eventsnn.reference.sensitivity import Derivatives, Synapses, Train, differentiate
from eventsnn.simulate.engines import queue
from eventsnn.trace.adjoint import pull_back
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.schema import source_name
from tests.oracle import delay_groups, network_run
from tests.strategies import chains, recurrent_networks, sparse_networks, trains
from tests.trace.graphs import KINDS, make_graph
from tests.trace.spike_differences import with_weight


def delay_matrix(network: Network, p: Projection) -> float | np.ndarray:
    """Delays (post, pre) of a projection, 0 where there is no synapse; a number where all have one."""
    if p.branches is None:
        return p.delay
    matrix = np.zeros((network.layers[p.target].neurons, network.source_size(p.source)))
    for pre, groups in enumerate(delay_groups(network, p)):
        for delay, posts in groups:
            matrix[posts, pre] = delay
    return matrix


def differentiate_record(network: Network, run: SpikeRecord, layer: int, row: int) -> Derivatives:
    """The twin, on a network; trains are those of the layers, then of the bias neuron and the input."""
    layers = len(network.layers)
    spikes = [*(run[name] for name in network.names), run.bias, run.input]
    synapses = [
        Synapses(
            {BIAS: layers, -1: layers + 1}.get(p.source, p.source),
            p.target,
            network.projection_weights(p).astype(np.float64),
            delay_matrix(network, p),
        )
        for p in network.projections
    ]
    lifs = [*(each.lif for each in network.layers), None, None]
    return differentiate(lifs, [Train(s.times, s.neurons) for s in spikes], synapses, layer, row)


def assert_same(network: Network, run: SpikeRecord, layer: int, row: int) -> None:
    """Sweep and twin agree in everything, relative to the largest of a kind."""
    found, expected = (
        pull_back(network, run, {(layer, row): 1.0}),
        differentiate_record(network, run, layer, row),
    )

    def check(a: np.ndarray, b: np.ndarray) -> None:
        scale = max(1.0, float(np.abs(b).max(initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8 * scale)

    check(found.events, expected.times[-1])
    for number, name in enumerate(network.names):
        check(found.spikes[number], expected.times[number])
        used = np.isfinite(expected.slopes[number])
        check(found.slopes[number][used], expected.slopes[number][used])
        for kind in ("thresholds", "resting", "refractory"):
            check(getattr(found, kind)[name], np.array(getattr(expected, kind)[number]))
    delays = {key: 0.0 * each for key, each in found.delays.items()}
    for p, by_weight, by_delay in zip(network.projections, expected.weights, expected.delays, strict=True):
        if p.lateral:
            off = 1.0 - np.eye(len(by_weight))
            check(np.array(found.lateral[network.names[p.target]]), -(by_weight * off).sum())
            continue
        assert source_name(network, p)
        key = network.names[p.target] if p.source == BIAS else p.key
        first = network.weight_shapes()[key][-1] - 1 if p.source == BIAS else 0
        own_columns = np.s_[:, first : first + by_weight.shape[1]]
        there = np.ones(by_weight.shape, bool)
        if not isinstance(found.weights[key], np.ndarray):
            every = np.zeros(network.weights[key].shape, bool)
            every[network.weights[key].nonzero()] = True
            there = every[own_columns]
        if key in network.delays:
            check(found.delays[key].toarray()[own_columns], by_delay * there)
            delays[key] = found.delays[key].sum()
        elif np.ndim(found.delays[key]):
            own = np.atleast_1d(np.sum(by_delay, axis=0) if np.ndim(by_delay) else by_delay)
            check(found.delays[key][-1:] if p.source == BIAS else found.delays[key][: len(own)], own)
            delays[key] = found.delays[key].sum()
        else:
            delays[key] += by_delay
        weights = found.weights[key]
        if not isinstance(weights, np.ndarray):
            weights = weights.toarray()
        check(weights[own_columns] * there, by_weight * there)
    check(np.array(list(delays.values())), np.array([np.sum(found.delays[key]) for key in delays]))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_sweep_equals_twin(data: st.DataObject) -> None:
    """Networks of every kind, awkward time constants, ties, pauses; a random spike."""
    network = data.draw(
        st.one_of(
            chains(lateral=True, biases=(0.0, 11.0)),
            recurrent_networks(),
            sparse_networks(),
            sparse_networks(synaptic=True),
        )
    )
    times, neurons = data.draw(trains(network.input.neurons))
    times = np.minimum(times, 4000.0)
    run = queue.run(network, times, neurons, t_stop=float(times.max(initial=0.0)) + 50.0)
    spikes = [(layer, row) for layer, name in enumerate(network.names) for row in range(len(run[name]))]
    assume(0 < len(spikes) < 150)
    layer, row = data.draw(st.sampled_from(spikes))
    # Next to a spike without a derivative rounding errors grow without bound.
    assume(smallest_slope(network, run) > 1e-2)
    assert_same(network, run, layer, row)


def smallest_slope(network: Network, run: SpikeRecord) -> float:
    """The smallest slope u' of all spikes."""
    return min(
        slope_at(network, run, layer, row)
        for layer, name in enumerate(network.names)
        for row in range(len(run[name]))
    )


def slope_at(network: Network, run: SpikeRecord, layer: int, row: int) -> float:
    """u' of a spike, from the currents that have arrived."""
    lif, spikes = network.layers[layer].lif, run[network.names[layer]]
    t, neuron = spikes.times[row], spikes.neurons[row]
    current, layer_size = 0.0, network.layers[layer].neurons
    for p in network.projections:
        if p.target == layer:
            source = run[source_name(network, p)]
            delays = np.broadcast_to(delay_matrix(network, p), (layer_size, network.source_size(p.source)))
            lag = t - source.times - delays[neuron, source.neurons]
            weights = network.afferent_weights(p, int(neuron))[source.neurons]
            current += float((weights * np.exp(-np.maximum(lag, 0.0) / lif.tau_s))[lag > 0].sum())
    return (lif.resting - lif.threshold) / lif.tau_m + current / lif.tau_s


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "spatial"])
def test_sweep_equals_twin_on_larger_graphs(kind: str) -> None:
    network, (times, neurons) = make_graph(kind, 4)
    if network.is_spatial:
        network = network.lowered
    run = queue.run(network, times, neurons, t_stop=50.0)
    for layer, name in enumerate(network.names):
        assert_same(network, run, layer, 2 * len(run[name]) // 3)


def test_several_spikes_at_once_add_up() -> None:
    network, (times, neurons) = make_graph("everything", 4)
    run = queue.run(network, times, neurons, t_stop=50.0)
    seeds = {(3, 5): 1.0, (0, 40): -2.0, (3, 2): 0.5}
    together = pull_back(network, run, seeds)
    single = [(factor, pull_back(network, run, {seed: 1.0})) for seed, factor in seeds.items()]
    for name in ("events", "strengths"):
        expected = sum(factor * getattr(one, name) for factor, one in single)
        np.testing.assert_allclose(getattr(together, name), expected, rtol=0, atol=1e-10)


def tiny_network(lateral: bool) -> tuple[Network, tuple[np.ndarray, np.ndarray]]:
    """Two layers of two neurons with feedback and either biases or lateral inhibition, and its input."""
    rng = np.random.default_rng(5 + lateral)
    layers = [
        Dense(2, name="hidden", threshold=1.0, tau_m=15.0, tau_s=4.0, delay=0.3, resting=-0.2),
        Dense(2, threshold=1.0, tau_m=9.0, tau_s=5.0, lateral_inhibition=0.3 * lateral),
    ]
    sensor = Input(3, bias_interval=0.0 if lateral else 3.7)
    network = Network(sensor, *layers, connections=[Connection("output", "hidden", delay=0.9)], seed=1)
    weights = {key: rng.uniform(1.0, 2.5, shape) for key, shape in network.weight_shapes().items()}
    return network.with_weights(weights), (np.sort(rng.uniform(0.0, 12.0, 10)), rng.integers(0, 3, 10))


@pytest.mark.parametrize("lateral", [False, True])
def test_twin_against_arbitrary_precision(lateral: bool) -> None:
    """Central differences in 50 digits, by the oracle of the engines, which knows no derivative."""
    network, (times, neurons) = tiny_network(lateral)
    run = queue.run(network, times, neurons, t_stop=14.0)
    row = len(run.output) - 1
    neuron = int(run.output.neurons[row])
    spike = int(np.count_nonzero(run.output.neurons[:row] == neuron))
    assert spike >= 1  # so a refractory period comes before it
    expected = differentiate_record(network, run, 1, row)
    h = 2.0**-20

    def difference(change: Callable[[float], tuple[Network, np.ndarray]]) -> float:
        found = []
        for d in (h, -h):
            changed, at = change(d)
            fired = network_run(changed, at, neurons, 14.0, dps=25).layers["output"]
            found.append([t for t, n in fired if n == neuron][spike])
        return float((found[0] - found[1]) / (2 * h))

    def with_field(name: str, field: str, d: float) -> tuple[Network, np.ndarray]:
        return network.replace(name, **{field: getattr(network[name], field) + d}), times

    for place in ((0, 0), (1, 2)):
        found = difference(lambda d, at=place: (with_weight(network, "hidden", at, d), times))
        assert found == pytest.approx(expected.weights[0][place], rel=1e-8)
    for event in (1, 4):
        one = np.arange(len(times)) == event
        found = difference(lambda d, one=one: (network, times + d * one))
        assert found == pytest.approx(expected.times[-1][event], rel=1e-7)
    for number, name in enumerate(network.names):
        for field, derivatives in (
            ("threshold", expected.thresholds),
            ("refractory", expected.refractory),
            ("resting", expected.resting),
        ):
            found = difference(lambda d, name=name, field=field: with_field(name, field, d))
            assert found == pytest.approx(derivatives[number], rel=1e-7, abs=1e-10)
