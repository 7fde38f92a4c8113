from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import eventsnn as es
from eventsnn.errors import NetworkError, TraceError
from eventsnn.model import Dense, Input, Network
from eventsnn.trace import Trace, membrane_potential
from eventsnn.trace.potential import replay_layer
from eventsnn.trace.record import SpikeRecord

# Rounding of a few hundred float64 operations on potentials of order 10.
ROUNDING = 1e-12


def test_threshold_at_every_spike(network: Network, run: SpikeRecord) -> None:
    for layer in network.layers:
        for neuron in range(layer.neurons):
            times = run[str(layer.name)].of(neuron)
            potential = membrane_potential(network, run, str(layer.name), neuron, times)
            np.testing.assert_allclose(potential, layer.threshold, rtol=ROUNDING)


def test_zero_while_refractory(network: Network, run: SpikeRecord) -> None:
    times = run["hidden"].of(2)
    assert network["hidden"].refractory == 2.0
    within = np.concatenate([times + 1e-9, times + 1.0, times + 2.0])
    assert (membrane_potential(network, run, "hidden", 2, within) == 0.0).all()
    assert (membrane_potential(network, run, "hidden", 2, times + 2.001) != 0.0).all()


def integrate(network: Network, run: SpikeRecord, layer: str, neuron: int, times: np.ndarray) -> np.ndarray:
    """The neuron's equations solved numerically from kick to kick, its spikes given."""
    lif, index = network[layer].lif, network.index(layer)
    kicks: list[tuple[float, int, float]] = []
    for projection in network.projections:
        if projection.target == index:
            source = run["input" if projection.source < 0 else network.names[projection.source]]
            weights = network.projection_weights(projection)[neuron]
            kicks += [
                (t + projection.delay, 0, weights[j])
                for t, j in zip(source.times, source.neurons, strict=True)
            ]
    for t in run[layer].of(neuron):
        kicks += [(t, 1, 0.0), (t + lif.refractory, 2, 0.0)]
    kicks += [(t, -1, 0.0) for t in times]  # the potential just before anything that happens then
    u, i, free, now, found = 0.0, 0.0, 1.0, 0.0, []
    for t, kind, weight in sorted(kicks):
        if t > now:
            slope = lambda _, s, free=free: [free * (-s[0] / lif.tau_m + s[1] / lif.tau_s), -s[1] / lif.tau_s]  # noqa: E731
            u, i = solve_ivp(slope, (now, t), [u, i], method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
        now = t
        if kind == -1:
            found.append(u)
        elif kind == 0:
            i += weight
        else:
            u, free = 0.0, float(kind == 2)
    return np.array(found)


@pytest.mark.parametrize(("layer", "neuron"), [("hidden", 1), ("middle", 4), ("output", 0)])
def test_equals_numerical_integration(network: Network, run: SpikeRecord, layer: str, neuron: int) -> None:
    times = np.linspace(0.05, 79.9, 60)
    found = membrane_potential(network, run, layer, neuron, times)
    assert np.ptp(found) > 1.0
    # The integrator's tolerance of 1e-12 a step, over some 300 steps.
    np.testing.assert_allclose(found, integrate(network, run, layer, neuron, times), rtol=0, atol=1e-9)


def test_order_of_times_does_not_matter(network: Network, run: SpikeRecord) -> None:
    times = np.random.default_rng(0).uniform(0, 80, 300)  # more than a block, in no order
    together = membrane_potential(network, run, "middle", 4, times)
    one_by_one = [membrane_potential(network, run, "middle", 4, times[k : k + 1])[0] for k in range(300)]
    np.testing.assert_allclose(together, one_by_one, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("layer", ["hidden", "middle", "output"])
def test_replay_gives_the_same(network: Network, run: SpikeRecord, layer: str) -> None:
    replay = replay_layer(network, run, layer, np.arange(0.0, 80.5, 0.5))
    for neuron in range(network[layer].neurons):
        own = replay.neurons == neuron
        before = own & (replay.kinds != 2)
        expected = membrane_potential(network, run, layer, neuron, replay.times[before])
        np.testing.assert_allclose(replay.values[before], expected, rtol=0, atol=ROUNDING)
        np.testing.assert_array_equal(replay.times[own & (replay.kinds == 1)], run[layer].of(neuron))
        np.testing.assert_array_equal(replay.times[own & (replay.kinds == 2)], run[layer].of(neuron))
        assert (replay.values[own & (replay.kinds == 2)] == 0.0).all()
        assert np.count_nonzero(own & (replay.kinds == 0)) == 161


def test_recorded_potential(trace_path: Path, network: Network, run: SpikeRecord) -> None:
    with Trace(trace_path) as trace:
        recorded = trace.potential("middle", 1)
    expected = replay_layer(network, run, "middle", np.arange(81.0))
    np.testing.assert_array_equal(recorded.times, expected.times)
    np.testing.assert_array_equal(recorded.neurons, expected.neurons)
    np.testing.assert_array_equal(recorded.kinds, expected.kinds)
    np.testing.assert_array_equal(recorded.values, expected.values.astype(np.float32))


def test_errors(network: Network, run: SpikeRecord) -> None:
    times = np.array([1.0])
    with pytest.raises(TraceError, match=r"layer 'output' has the neurons 0\.\.2, got 3"):
        membrane_potential(network, run, "output", 3, times)
    with pytest.raises(NetworkError, match="no layer 'outptu'"):
        membrane_potential(network, run, "outptu", 0, times)
    with pytest.raises(TraceError, match=r"goes up to 80\.5 ms, but this run ended at 80 ms"):
        membrane_potential(network, run, "output", 0, np.array([3.0, 80.5]))
    with pytest.raises(TraceError, match="array of finite times"):
        membrane_potential(network, run, "output", 0, np.array([np.nan]))
    with pytest.raises(
        TraceError, match=r"the membrane potential needs spikes in exact time.*engine='queue'"
    ):
        membrane_potential(network, replace(run, engine="clocked"), "output", 0, times)


def test_no_refractory_period() -> None:
    """A reset is at the time of the spike itself, to which the state was taken already."""
    net = Network(Input(6, 5), Dense(3, refractory=0.0, threshold=1.0), seed=2)
    net = net.with_weights({key: np.full_like(w, 0.3) for key, w in net.weights.items()})
    rng = np.random.default_rng(0)
    run = es.simulate(net, (np.sort(rng.uniform(0, 60, 300)), rng.integers(0, 30, 300)))
    spikes = run.output.of(0)
    assert len(spikes) > 20
    for times in (spikes, np.sort(np.concatenate([spikes, np.linspace(0, 70, 500)]))):
        at = np.isin(times, spikes)
        np.testing.assert_allclose(membrane_potential(net, run, "output", 0, times)[at], 1.0, rtol=ROUNDING)
