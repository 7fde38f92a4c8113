"""The neurons and synapses that can have led to a spike, against a walk over all pairs of neurons."""

from __future__ import annotations

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import TraceError
from eventsnn.model import Conv, Dense, Input, Network
from eventsnn.model.layers import BIAS
from eventsnn.trace.cone import INPUT, Cone, weight_key
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.schema import source_name
from tests.trace.graphs import KINDS, T_STOP, make_graph


def walk(network: Network, run: SpikeRecord, layer: int, row: int) -> dict[int, set[int]]:
    """Neurons by source: those that fired by then and have a synapse to one of them, from the spike on."""
    stop = run[network.names[layer]].times[row]
    exists = {
        p.key: network.with_weights(ones(network)).projection_weights(p) != 0.0 for p in network.projections
    }
    found: dict[int, set[int]] = {n: set() for n in (INPUT, BIAS, *range(len(network.layers)))}
    waiting = [(layer, int(run[network.names[layer]].neurons[row]))]
    while waiting:
        source, neuron = waiting.pop()
        if neuron in found[source]:
            continue
        found[source].add(neuron)
        for p in network.projections:
            if p.target == source:
                spikes = run[source_name(network, p)]
                for pre in np.unique(spikes.neurons[spikes.times <= stop]).tolist():
                    # An own spike reaches a neuron with lateral inhibition with weight 0.
                    if exists[p.key][neuron, pre] or p.lateral:
                        waiting.append((p.source, pre))
    return found


def ones(network: Network) -> dict[str, object]:
    """Weights of 1 for all synapses, so that none is taken for none."""
    return {
        key: abs(weights) * 0.0 + 1.0 if isinstance(weights, np.ndarray) else filled(weights)
        for key, weights in network.weights.items()
    }


def filled(weights: object) -> object:
    copy = weights.copy()  # type: ignore[attr-defined]
    copy.data = np.ones(len(copy.data))
    return copy


@pytest.mark.parametrize("kind", KINDS)
def test_neurons_and_synapses(kind: str) -> None:
    network, given = make_graph(kind, 2)
    run = es.simulate(network, given, t_stop=T_STOP)
    smaller = 0
    for layer, name in enumerate(network.names):
        if not len(run[name]):
            continue
        row = len(run[name]) // 3
        cone, expected = Cone(network, run, {(layer, row): None}), walk(network, run, layer, row)
        assert cone.stop == run[name].times[row]
        for source, neurons in expected.items():
            assert set(cone.neurons[source].tolist()) == neurons
            np.testing.assert_array_equal(cone.slots(source)[cone.neurons[source]], np.arange(len(neurons)))
            assert np.count_nonzero(cone.slots(source) >= 0) == len(neurons)
            smaller += source >= 0 and len(neurons) < network.layers[source].neurons
        for p, links in zip(network.projections, cone.links, strict=True):
            if links is None:
                continue
            matrix, key = network.projection_weights(p), weight_key(network, p)
            np.testing.assert_array_equal(links.weights, matrix[links.post, links.pre])
            if key in network.weights:
                own = network.weights[key]
                values = own.ravel() if isinstance(own, np.ndarray) else own.data
                np.testing.assert_array_equal(links.weights, values[links.numbers])
            pairs = set(zip(links.post.tolist(), links.pre.tolist(), strict=True))
            there = network.with_weights(ones(network)).projection_weights(p)
            posts, pres = sorted(expected[p.target]), sorted(expected[p.source])
            assert pairs == {(i, j) for i in posts for j in pres if there[i, j]}
            assert len(links.pre) == len(pairs)
    assert smaller  # or nothing would be left out


def test_of_a_convolution_it_is_one_patch() -> None:
    network = Network(Input(40, 30), Conv(4, 3, threshold=0.5), Dense(2), seed=0)
    network = network.with_weights({key: np.full_like(w, 0.5) for key, w in network.weights.items()})
    rng = np.random.default_rng(0)
    run = es.simulate(network, (np.sort(rng.uniform(0, 50, 3000)), rng.integers(0, 1200, 3000)))
    cone = Cone(network, run, {(0, len(run["conv"]) // 2): None})
    assert len(cone.neurons[0]) == 1
    assert 0 < len(cone.neurons[INPUT]) <= 9
    assert not len(cone.neurons[1])


def test_weights_that_are_no_synapses_own() -> None:
    """Of a layer of another package, whose synapses have sums of its weights."""

    class Blurred(Conv):
        kind = "blurred"

        def shared_weights(self, weights: np.ndarray) -> np.ndarray:
            flat = super().shared_weights(weights)
            return np.asarray(flat + np.roll(flat, 1, axis=1))

    network = Network(Input(6, 6), Blurred(2, 2, threshold=0.3), Dense(2, threshold=0.3), seed=1)
    network = network.with_weights({key: np.full_like(w, 0.5) for key, w in network.weights.items()})
    run = es.simulate(network, (np.arange(40.0), np.arange(40) % 36))
    assert len(run.output)
    with pytest.raises(TraceError, match="layer 'blurred': its synapses do not have one of its weights each"):
        Cone(network, run, {(1, 0): None})
