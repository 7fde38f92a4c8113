"""Layers with many positions on a device: what each position sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from eventsnn.errors import NetworkError, SimulationError
from eventsnn.gpu.batch import DeviceArrivals
from eventsnn.gpu.emulated import EmulatedDevice
from eventsnn.gpu.patches import DevicePatches
from eventsnn.model import Conv, Dense, Input, Network, Pool
from eventsnn.model.layers.geometry import Geometry
from eventsnn.simulate.engines import gpu as engine
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.run import simulate
from tests.gpu.emulation import needs_emulation
from tests.gpu.test_engine import assert_same_batch, run_batch
from tests.model.test_spatial import geometries, patches_in_loops

pytestmark = needs_emulation


def see(g, times, neurons):
    """Arrivals of every position, by the definition."""
    channels, height, width = g.source
    cells = patches_in_loops(g)
    found = [[] for _ in range(g.patches)]
    for t, n in zip(times.tolist(), neurons.tolist(), strict=True):
        if n == channels * height * width:  # the bias neuron arrives everywhere
            for seen in found:
                seen.append((t, channels * g.area))
        for patch, place, y, x in cells:
            if n < channels * height * width and (y, x) == (n // width % height, n % width):
                found[patch].append((t, n // (height * width) * g.area + place))
    return found


@settings(max_examples=30, deadline=None)
@given(
    geometries(), st.lists(st.integers(0, 40), min_size=1, max_size=3), st.integers(0, 2**31), st.booleans()
)
def test_each_position_sees_its_patch(g, sizes, seed, backwards):
    rng, device = np.random.default_rng(seed), EmulatedDevice(backwards=backwards)
    sources = int(np.prod(g.source)) + 1
    samples = []
    for n in sizes:
        times, neurons = np.round(rng.uniform(0, 5, n), 1), rng.integers(0, sources, n).astype(np.int32)
        order = np.lexsort((neurons, times))
        samples.append((times[order], neurons[order]))
    ptr = np.cumsum([0, *sizes])
    arrivals = DeviceArrivals.put(
        device, np.concatenate([t for t, _ in samples]), np.concatenate([n for _, n in samples]), ptr
    )
    times, inputs, ptr = DevicePatches(device, g).gather(arrivals).read()
    expected = [seen for sample in samples for seen in see(g, *sample)]
    assert len(ptr) - 1 == len(expected)
    for unit, seen in enumerate(expected):
        part = slice(ptr[unit], ptr[unit + 1])
        assert list(zip(times[part].tolist(), inputs[part].tolist(), strict=True)) == seen


def test_more_positions_and_arrivals_than_a_block_holds():
    g, rng, device = Geometry((2, 20, 21), (3, 3), (1, 1)), np.random.default_rng(1), EmulatedDevice()
    times, neurons = np.sort(rng.uniform(0, 9, 700)), rng.integers(0, 840, 700).astype(np.int32)
    arrivals = DeviceArrivals.put(device, times, neurons, np.array([0, 700]))
    found, inputs, ptr = DevicePatches(device, g).gather(arrivals).read()
    assert len(ptr) == 18 * 19 + 1
    for unit, seen in enumerate(see(g, times, neurons)):
        part = slice(ptr[unit], ptr[unit + 1])
        assert list(zip(found[part].tolist(), inputs[part].tolist(), strict=True)) == seen


@st.composite
def spatial_networks(draw):
    """Convolutions and pooling below a dense layer, some with delays, biases and a resting potential."""
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    lif = {"tau_m": draw(st.sampled_from([64.0, 12.0, 8.0])), "tau_s": 8.0}
    layers = [
        Conv(
            draw(st.integers(1, 40)),
            pair(1, 3),
            stride=pair(1, 2),
            padding=pair(0, 2),
            dilation=pair(1, 2),
            threshold=draw(st.floats(0.3, 1.0)),
            refractory=draw(st.sampled_from([0.0, 2.0])),
            delay=draw(st.sampled_from([0.0, 0.25])),
            **lif,
        )
    ]
    if draw(st.booleans()):
        size, stride = draw(st.integers(1, 2)), draw(st.integers(1, 2))
        layers.append(
            Pool(size, stride=stride, threshold=0.4, delay=draw(st.sampled_from([0.0, 1.5])), **lif)
        )
    if draw(st.booleans()):
        layers.append(Conv(3, pair(1, 2), threshold=0.4, resting=0.1, **lif))
    if draw(st.booleans()):
        layers.append(Dense(4, threshold=1.0, **lif))
    sensor = Input(*pair(8, 10), draw(st.integers(1, 2)), bias_interval=draw(st.sampled_from([0.0, 5.0])))
    seed = draw(st.integers(0, 1000))
    try:
        return Network(sensor, *layers, seed=seed)
    except NetworkError:  # a window does not fit
        reject()


def random_samples(network, seed, sizes):
    """Recordings on a grid of 0.1 ms, so that spikes coincide."""
    rng = np.random.default_rng(seed)
    samples = []
    for n in sizes:
        times = np.round(rng.uniform(0.0, 20.0, n), 1)
        neurons = rng.integers(0, network.input.neurons, n).astype(np.int32)
        order = np.lexsort((neurons, times))
        samples.append((times[order], neurons[order]))
    return Arrivals.join(samples)


@pytest.fixture
def emulated(monkeypatch):
    monkeypatch.setenv("EVENTSNN_GPU", "emulate")


def assert_close_batch(one, other, tolerance_ms=1e-9):
    """The same spikes. The sweep sums what the positions share in another order, so times differ by rounding,
    and neurons that see the same may change places.
    """
    np.testing.assert_array_equal(one[0], other[0])
    for a, b in zip(one[1], other[1], strict=True):
        for times, neurons, their_times, their_neurons in zip(a[::2], a[1::2], b[::2], b[1::2], strict=True):
            assert np.array_equal(np.lexsort((neurons, times)), np.arange(len(times)))
            ours, theirs = np.lexsort((times, neurons)), np.lexsort((their_times, their_neurons))
            np.testing.assert_array_equal(neurons[ours], their_neurons[theirs])
            np.testing.assert_allclose(times[ours], their_times[theirs], rtol=0, atol=tolerance_ms)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(spatial_networks(), st.integers(0, 2**31))
def test_spatial_networks_give_the_spikes_of_the_sweep(emulated, network, seed):
    samples = random_samples(network, seed, (60, 0, 5))
    assert_close_batch(*(run_batch(name, network, samples, "float64") for name in ("gpu", "sweep")))


def test_a_deep_spatial_network(emulated, monkeypatch):
    network = Network(
        Input(12, 10, 2),
        Conv(5, 3, stride=(1, 2), padding=1, threshold=0.9),
        Pool(2, stride=1, threshold=0.4, delay=0.25),
        Conv(40, (2, 3), threshold=0.7, dilation=(2, 1)),
        Pool(2, threshold=0.3),
        Dense(7, threshold=1.0),
        seed=1,
    )
    samples = random_samples(network, 0, (150, 90))
    swept = run_batch("sweep", network, samples, "float64")
    assert all(len(array) > 20 for record in swept[1] for array in record)
    whole = run_batch("gpu", network, samples, "float64")
    assert_close_batch(whole, swept)
    rounded = run_batch("gpu", network, samples, "float32")
    assert_close_batch(rounded, run_batch("sweep", network, samples, "float32"), 1e-3)
    # Neither the division into parts nor the order of threads changes a bit.
    device = EmulatedDevice(memory=3_000_000, backwards=True)
    monkeypatch.setattr(engine, "find_device", lambda: device)
    assert_same_batch(run_batch("gpu", network, samples, "float64"), whole)
    assert device.launched.count("place_units") > 4


def test_a_neuron_that_fires_for_ever_is_named_by_its_number(emulated):
    lif = {"threshold": 1e-3, "refractory": 0.0, "tau_m": 1e6, "tau_s": 1e-6}
    network = Network(Input(3, 1), Conv(2, 1, **lif), Dense(2))
    weights = {"conv": np.full((2, 1, 1, 1), -1.0), "output": np.zeros((2, 6))}
    weights["conv"][1] = 1e12
    network = network.with_weights(weights)
    with pytest.raises(SimulationError, match=r"neuron 5 fires again at"):
        simulate(network, ([1.0], [2]), engine="gpu", dtype="float64")
