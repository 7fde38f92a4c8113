"""Traces of networks with biases."""

from __future__ import annotations

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import TraceError
from eventsnn.model import Dense, Input, Network
from eventsnn.trace.explain import format_explanation
from eventsnn.trace.spsp import neuron_spsps

RNG = np.random.default_rng(8)
TIMES = np.sort(RNG.uniform(0.0, 80.0, 90))
NEURONS = RNG.integers(0, 6, 90)


@pytest.fixture
def network() -> Network:
    found = Network(
        Input(3, 2, bias_interval=2.5), Dense(5, threshold=3.0, delay=0.5), Dense(3, threshold=4.0)
    )
    weights = {key: RNG.normal(0.8, 1.0, shape) for key, shape in found.weight_shapes().items()}
    return found.with_weights(weights)


@pytest.mark.parametrize("t_stop", [None, 41.0])
def test_explanations_add_up_and_records_come_back(tmp_path, network: Network, t_stop: float | None) -> None:
    path = tmp_path / "t.h5"
    options = ("spikes", "potential", "spsp")
    run = es.simulate(network, (TIMES, NEURONS), trace=path, record=options, t_stop=t_stop)
    assert len(run.output) > 5
    with es.Trace(path) as trace:
        again = trace.record()
        for name in ("input", "bias", *network.names):
            np.testing.assert_array_equal(again[name].times, run[name].times)
        assert len(again["bias"]) == (31 if t_stop is None else 16)
        at_spikes = trace.potential("output")
        before = at_spikes.values[at_spikes.kinds == 1]
        np.testing.assert_allclose(before, 4.0, rtol=1e-6)  # stored as float32
        # a_i = nu o_i: the biases are synapses like any other.
        for neuron in range(3):
            total = 0.0
            for projection in network.projections:
                if network.names[projection.target] == "output":
                    e = neuron_spsps(network, run, projection, neuron)
                    total += network.afferent_weights(projection, neuron) @ e
            assert total == pytest.approx(4.0 * run.output.counts[neuron], rel=1e-9)
        with pytest.raises(TraceError, match=r"for the bias use Trace.spikes\('bias'\)"):
            trace.counts("bias")
    last = int(run.output.neurons[-1])
    spike = int(run.output.counts[last]) - 1
    found = es.explain(path, layer="output", neuron=last, spike=spike)
    assert found.sum == pytest.approx(4.0, rel=1e-9)
    direct = found.causes["contribution"].sum() + found.direct_input + found.direct_bias
    assert direct == pytest.approx(4.0, rel=1e-9)
    assert found.direct_input == 0.0
    assert found.direct_bias != 0.0
    assert found.bias != pytest.approx(found.direct_bias)
    assert found.to_dict()["bias"] == found.bias
    assert "of which the biases" in format_explanation(found)
    with pytest.raises(TraceError, match="a spike of the bias neuron has no cause"):
        es.explain(path, layer="bias", neuron=0, spike=0)


def test_without_biases_nothing_is_said_of_them(tmp_path) -> None:
    network = Network(Input(3, 2), Dense(3, threshold=2.0), weights={"output": np.full((3, 6), 1.5)})
    es.simulate(network, (TIMES, NEURONS), trace=tmp_path / "t.h5")
    found = es.explain(tmp_path / "t.h5", layer="output", neuron=0, spike=0)
    assert (found.bias, found.direct_bias) == (0.0, 0.0)
    assert "bias" not in format_explanation(found)
    with es.Trace(tmp_path / "t.h5") as trace, pytest.raises(TraceError, match="no layer 'bias'"):
        trace.spikes("bias")
