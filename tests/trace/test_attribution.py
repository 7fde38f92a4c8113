"""Attributions in batches of spikes, against contributions of one spike after the other."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import eventsnn as es
from eventsnn.errors import TraceError
from eventsnn.model import Dense, Input, Network
from eventsnn.model.layers import BIAS
from eventsnn.trace import attribution
from eventsnn.trace.attribution import INPUT, Attribution
from eventsnn.trace.record import SpikeRecord
from tests.trace.graphs import KINDS, T_STOP, make_graph


def attribute_one_by_one(
    network: Network, record: SpikeRecord, seeds: dict[tuple[int, int], float]
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """`Attribution.to_input`: all spikes of all layers in reverse order of time, each by itself."""
    found = Attribution(network, record)
    trains = (*found.layers, record.bias, record.input)
    credit = [np.zeros(len(spikes)) for spikes in trains]
    reached = [np.zeros(len(spikes), bool) for spikes in trains]

    def total(seed: tuple[int, int]) -> float:
        shares, resting = found.contributions(*seed)
        return resting + sum(float(share.sum()) for _, share in shares)

    for seed, factor in seeds.items():
        credit[seed[0]][seed[1]] = factor * total(seed)
        reached[seed[0]][seed[1]] = True
    spikes = [(t, number, k) for number, layer in enumerate(found.layers) for k, t in enumerate(layer.times)]
    resting = 0.0
    for _, number, k in sorted(spikes, reverse=True):
        if reached[number][k]:
            scale = credit[number][k] / total((number, k))
            shares, own = found.contributions(number, k)
            resting += scale * own
            for incoming, share in shares:
                source, rows = incoming.projection.source, incoming.rows[: share.size]
                np.add.at(credit[source], rows, scale * share)
                reached[source][rows] |= (incoming.weights[: share.size] != 0.0) | (source == INPUT)
    return credit[INPUT], reached[INPUT], resting, math.fsum(credit[BIAS])


@pytest.mark.parametrize("pairs", [1, 40, 2**19])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_spikes_one_by_one(kind: str, pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of projection; of the last spike, and of many with positive and negative factors."""
    monkeypatch.setattr(attribution, "MOST_PAIRS", pairs)
    network, events = make_graph(kind, 1)
    record = es.simulate(network, events, t_stop=T_STOP)
    last = len(network.names) - 1
    count = len(record.output)
    assert count > 3
    many = {(last, row): (-1.0) ** row for row in range(0, count, 2)} | {
        (0, len(record[network.names[0]]) - 1): 0.5
    }
    for seeds in ({(last, count - 1): 1.0}, many):
        expected = attribute_one_by_one(network, record, seeds)
        found = Attribution(network, record).to_input(seeds)
        size = np.abs(expected[0]).max()
        assert size > 1e-3
        np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-12 * size)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_allclose(found[2:], expected[2:], rtol=0, atol=1e-12 * max(1.0, size))


@pytest.mark.parametrize("sparse", [False, True])
def test_what_arrived_long_ago_is_left_out(sparse: bool) -> None:
    """Of a recording of 3000 time constants, before which contributions are exactly 0."""
    rng = np.random.default_rng(4)
    fast = {"threshold": 0.2, "tau_m": 0.05, "tau_s": 0.02, "refractory": 0.5}
    network = Network(Input(6), Dense(5, name="first", **fast), Dense(3, **fast), seed=1)
    weights: dict[str, Any] = {
        "first": rng.uniform(0.2, 2.0, (5, 6)),
        "output": rng.uniform(0.2, 2.0, (3, 5)),
    }
    if sparse:
        weights = {key: csr_array(array * (array > 0.6)) for key, array in weights.items()}
    network = network.with_weights(weights)
    events = np.sort(rng.uniform(0.0, 60.0, 400)), rng.integers(0, 6, 400).astype(np.int32)
    record = es.simulate(network, events, t_stop=T_STOP)
    last = (1, len(record.output) - 1)
    found = Attribution(network, record)
    t, neuron = float(record.output.times[-1]), int(record.output.neurons[-1])
    assert t > 55.0
    assert len(record.output.of(neuron)) > 10
    result, expected = found.to_input({last: 1.0}), attribute_one_by_one(network, record, {last: 1.0})
    np.testing.assert_allclose(result[0], expected[0], rtol=0, atol=1e-15)
    np.testing.assert_array_equal(result[1], expected[1])
    shares = found._find(1, np.array([last[1]])).shares[0][1].part(0)[1]
    assert 0 < len(shares) < 0.9 * np.count_nonzero(record["first"].times < t)


@pytest.mark.parametrize("kind", ["spatial", "everything"])
def test_a_spike_within_a_batch_that_does_not_add_up_is_refused(kind: str) -> None:
    """Half of the events are later than they were when the network ran."""
    network, events = make_graph(kind, 1)
    record = es.simulate(network, events, t_stop=T_STOP)
    seed = (len(network.names) - 1, len(record.output) - 1)
    Attribution(network, record).to_input({seed: 1.0})
    times = record.input.times.copy()
    times[len(times) // 2 :] += 1e-3
    changed = replace(record, input=replace(record.input, times=times))
    with pytest.raises(TraceError, match="add up to"):
        Attribution(network, changed).to_input({seed: 1.0})


@pytest.mark.parametrize("kind", KINDS)
def test_synapses_of_some_neurons(kind: str) -> None:
    """Against the dense rows and the delays of all that arrives; neurons in any order, some twice."""
    network, _ = make_graph(kind, 1)
    sparse = 0
    for p in network.projections:
        sources, size = network.source_size(p.source), network.layers[p.target].neurons
        neurons = np.append(np.arange(size)[::-1], size // 2)
        synapses = network.afferent_synapses(p, neurons)
        if synapses is None:
            assert p.lateral or network.projection_weights(p).all()
            continue
        sparse += 1
        for k, neuron in enumerate(neurons.tolist()):
            own = slice(synapses.ptr[k], synapses.ptr[k + 1])
            pre = synapses.pre[own]
            row = np.zeros(sources)
            row[pre] = synapses.weights[own]
            np.testing.assert_array_equal(row, network.afferent_weights(p, neuron))
            assert len(np.unique(pre)) == len(pre)
            arrivals, rows, _ = p.arrive(np.zeros(sources), np.arange(sources), onto=neuron)
            delays = np.full(sources, np.nan)
            delays[rows] = arrivals
            np.testing.assert_array_equal(synapses.delays[own], delays[pre])
    assert sparse or kind not in ("sparse", "spatial", "everything", "synaptic")
