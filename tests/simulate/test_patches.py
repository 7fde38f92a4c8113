"""Layers with many positions, whose tables come from exponentials that all positions share."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

import eventsnn as es
from eventsnn._ext.patches import Patches
from eventsnn._util.threads import Pool as Threads
from eventsnn._util.threads import call
from eventsnn.learn.charges import count_charges, derivative_charges
from eventsnn.learn.rule import default_rule
from eventsnn.model import Conv, Dense, Input, Network, Pool
from eventsnn.simulate.engines import batch, positions
from eventsnn.simulate.engines.arrivals import Arrivals, LayerInput, PatchInput
from eventsnn.simulate.engines.batch import run_batch
from eventsnn.simulate.engines.blocks import WIDTH
from eventsnn.simulate.engines.layer_run import LayerRun
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.positions import SampleRuns
from eventsnn.train.exact import reverse
from eventsnn.train.exact_errors import ExactErrors

NEURONS = {
    "usual": {"tau_m": 20.0, "tau_s": 5.0},
    "slow synapses": {"tau_m": 12.0, "tau_s": 20.0, "refractory": 0.5},
    "equal": {"tau_m": 12.0, "tau_s": 12.0},
    "close": {"tau_m": 12.0, "tau_s": 12.03},
    "fast": {"tau_m": 0.5, "tau_s": 0.125, "refractory": 0.0},
}


def make_network(neuron: dict[str, float], bias_interval: float = 0.0) -> Network:
    return Network(
        Input(9, 8, 2, bias_interval=bias_interval),
        Conv(5, 3, stride=(1, 2), padding=1, threshold=0.5, **neuron),
        Pool(2, stride=1, threshold=0.3, delay=0.25, **neuron),
        Conv(40, (2, 2), threshold=0.3, dilation=(2, 1), **neuron),
        Dense(7, threshold=0.4, **neuron),
        seed=1,
    )


def make_events(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bursts with pauses of up to 20 s between them, several events at an instant."""
    rng = np.random.default_rng(seed)
    bursts = [start + rng.integers(0, 300, 110) * 0.1 for start in (0.0, 40.0, 700.0, 1500.0, 20_000.0)]
    times = np.sort(np.concatenate(bursts))
    neurons = rng.integers(0, 144, len(times)).astype(np.int32)
    order = np.lexsort((neurons, times))
    return times[order], neurons[order]


@pytest.mark.parametrize("cells", [1, 2, 3, 2047, 65536])
def test_channels_of_the_largest_numbers_of_neurons(cells):
    channels = 2**31 // cells - 1
    channel = np.unique(np.concatenate([np.arange(9), channels - 1 - np.arange(9), 2 ** np.arange(29)]))
    channel = np.repeat(channel[(channel >= 0) & (channel < channels)], 3)
    cell = np.resize([0, cells // 2, cells - 1], len(channel))
    places = np.stack([np.arange(cells), np.zeros(cells, int)], axis=1).astype(
        np.int32
    )  # each cell is a position
    seen = Patches(
        np.arange(float(len(channel))),
        (channel * cells + cell).astype(np.int32),
        channels,
        np.arange(cells + 1, dtype=np.int32),
        places,
        1,
        cells,
    )
    times, inputs, ptr = seen.expand()
    order = times.astype(int)
    np.testing.assert_array_equal(inputs, channel[order])
    np.testing.assert_array_equal(np.repeat(np.arange(cells), np.diff(ptr)), cell[order])


@pytest.mark.parametrize("bias_interval", [0.0, 300.0])
@pytest.mark.parametrize("name", NEURONS)
def test_long_recordings_with_pauses_against_the_twin(name, bias_interval):
    network, events = make_network(NEURONS[name], bias_interval), make_events(1)
    found, twin = (es.simulate(network, events, engine=engine) for engine in ("sweep", "twin"))
    for layer in network.names:
        assert len(found[layer]) > 20, layer
        ours, theirs = (np.lexsort((run[layer].times, run[layer].neurons)) for run in (found, twin))
        np.testing.assert_array_equal(found[layer].neurons[ours], twin[layer].neurons[theirs])
        np.testing.assert_allclose(found[layer].times[ours], twin[layer].times[theirs], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", NEURONS)
def test_single_precision_holds_long_recordings(name):
    network, events = make_network(NEURONS[name]), make_events(2)
    single, double = (es.simulate(network, events, engine="sweep", dtype=d) for d in ("float32", "float64"))
    first = network.names[0]
    assert single[first].times[-1] > 20_000.0
    assert abs(len(single[first]) - len(double[first])) <= 0.01 * len(double[first])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NEURONS)
def test_parts_give_the_bits_of_one_run(name, dtype):
    network, (times, neurons) = make_network(NEURONS[name]), make_events(3)
    whole = es.simulate(network, (times, neurons), engine="sweep", dtype=dtype)
    run = es.Simulation(network, engine="sweep", dtype=dtype)
    cuts = [0, 7, 200, 201, 340, len(times)]
    parts = [run.feed((times[a:b], neurons[a:b])) for a, b in itertools.pairwise(cuts)]
    parts.append(run.finish())
    for layer in network.names:
        np.testing.assert_array_equal(np.concatenate([p[layer].times for p in parts]), whole[layer].times)
        np.testing.assert_array_equal(np.concatenate([p[layer].neurons for p in parts]), whole[layer].neurons)


@pytest.mark.parametrize("at_once", [0, 200, 1 << 15])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias_interval", [0.0, 300.0])
@pytest.mark.parametrize("name", NEURONS)
def test_stages_give_the_bits_of_layer_by_layer(name, bias_interval, dtype, at_once, monkeypatch):
    """A pipeline for all convolution and pooling layers, and the same with Python between."""
    monkeypatch.setattr(positions, "AT_ONCE", at_once)
    packed = PackedNetwork(make_network(NEURONS[name], bias_interval), dtype)
    samples = Arrivals.join([make_events(5), (np.empty(0), np.empty(0, np.int32)), make_events(6)])
    rng = np.random.default_rng(7)
    kept = {n: rng.random((3, packed.network.source_size(n - 1))) < 0.7 for n in (1, 2, 3)}
    with Threads(2) as threads:
        for some in ({}, kept):
            found = run_batch(packed, samples, samples.ends, threads, some)
            assert all(isinstance(runs, SampleRuns) for runs in found.layers[:3])
            with monkeypatch.context() as patch:
                patch.setattr(batch, "count_positions", lambda *_: 0)
                twin = run_batch(packed, samples, samples.ends, threads, some)
            assert not any(isinstance(runs, SampleRuns) for runs in twin.layers)
            for number in range(4):
                assert twin.layer_counts(number).sum() > 20
                np.testing.assert_array_equal(found.layer_counts(number), twin.layer_counts(number))
                for ours, theirs in zip(found.layers[number], twin.layers[number], strict=True):
                    assert_same_run(ours, theirs)


def assert_same_run(ours: LayerRun, theirs: LayerRun) -> None:
    ours_spikes, spikes = (run.spikes for run in (ours, theirs))
    seen, expected = (run.input.arrivals for run in (ours, theirs))
    for name in ("times", "neurons", "ptr"):
        np.testing.assert_array_equal(getattr(ours_spikes, name), getattr(spikes, name))
        np.testing.assert_array_equal(getattr(seen, name), getattr(expected, name))
    np.testing.assert_array_equal(ours.unit_counts, theirs.unit_counts)
    for one, other in zip(ours.by_block, theirs.by_block, strict=True):
        np.testing.assert_array_equal(one, other)


def test_neurons_that_fire_at_one_instant_stand_in_their_own_order():
    network = Network(Input(6, 6), Conv(40, 3, threshold=0.1), Dense(3), seed=1)
    network = network.with_weights(dict(network.weights) | {"conv": np.ones_like(network.weights["conv"])})
    samples = Arrivals.single(np.repeat([1.0, 2.0], 36), np.tile(np.arange(36, dtype=np.int32), 2))
    packed = PackedNetwork(network, np.float32)
    with Threads(1) as threads:
        spikes = run_batch(packed, samples, samples.ends, threads).layer_spikes(0)
    order = np.lexsort((spikes.neurons, spikes.times))
    assert len(np.unique(spikes.times)) < len(spikes.times) / 100
    np.testing.assert_array_equal(order, np.arange(len(order)))


def test_the_layer_that_overflows_is_named():
    network = make_network(NEURONS["usual"])
    network = network.with_weights(
        dict(network.weights) | {"conv2": np.full_like(network.weights["conv2"], 3e38)}
    )
    samples = Arrivals.single(*make_events(5))
    with Threads(2) as threads, pytest.raises(es.SimulationError, match="layer 'conv2'"):
        run_batch(PackedNetwork(network, np.float32), samples, samples.ends, threads)


@pytest.mark.parametrize("name", NEURONS)
def test_sums_over_patches_are_those_over_all_arrivals(name):
    """Points placed by what the forward pass noted, against points that are searched among all arrivals."""
    network = make_network(NEURONS[name], bias_interval=300.0)
    packed, rng = PackedNetwork(network, np.float64), np.random.default_rng(4)
    samples = Arrivals.single(*make_events(4))
    with Threads(1) as threads:
        run = run_batch(packed, samples, samples.ends, threads)
        down = ExactErrors(packed, {}, run, default_rule(), threads)
        for number, layer in enumerate(network.layers[:3]):
            (ran,) = run.layers[number]
            seen = down.activity(number, ran, call)
            assert isinstance(seen.arrivals, PatchInput)
            assert len(seen.after) == len(seen.times) > 20
            whole = LayerInput.of(ran.input.arrivals, packed.constants[number], np.float64)
            searched = replace(seen, arrivals=whole, after=np.empty(0, np.int32))
            size = (layer.positions, len(seen.weights) * WIDTH)
            factor, silent, by_time = (
                rng.normal(size=size),
                rng.normal(size=size),
                rng.normal(size=len(seen.times)),
            )
            found = []
            for activity in (seen, searched):
                charges = count_charges(activity, factor) + derivative_charges(activity, by_time, 0.01)
                gradient = np.zeros_like(seen.weights)
                arrivals = reverse(activity, charges, silent, gradient, None, derive=True)
                found.append((charges, gradient, arrivals))
                assert gradient.any()
                assert arrivals.any()
                only = np.zeros_like(gradient)
                reverse(activity, charges, silent, only, None, derive=False)
                np.testing.assert_allclose(only, gradient, rtol=1e-9, atol=1e-11 * np.abs(gradient).max())
            for ours, theirs in zip(*found, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10 * np.abs(theirs).max())
