"""Recordings that lie on a device, for whoever takes them: the same as on the host."""

from __future__ import annotations

import numpy as np
import pytest

import eventsnn as es
from eventsnn.data import Augmentation, Packed, pack
from eventsnn.gpu.emulated import EmulatedDevice
from eventsnn.gpu.forward import ForwardPass
from eventsnn.model import RunSettings
from eventsnn.simulate.engines.gpu import DeviceNetwork, put_layers
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.batches import BatchLoader
from eventsnn.train.resident import ResidentLoader, make_loader
from tests.gpu.emulation import needs_emulation
from tests.gpu.test_recordings import INPUTS, SENSOR, make_set

pytestmark = needs_emulation


@pytest.fixture(autouse=True)
def emulated(monkeypatch):
    monkeypatch.setenv("EVENTSNN_GPU", "emulate")


LOW = {"threshold": 0.4}
LOWER = {"threshold": 0.2}


def test_what_the_host_asks_for_is_there():
    change, data = Augmentation(shift=1, drop=0.2), make_set()
    there = make_loader(EmulatedDevice(), [3], data, INPUTS, change, 4, settings=RunSettings(duration_ms=3.5))
    assert isinstance(there, ResidentLoader)
    here = BatchLoader(data, INPUTS, change, 4, settings=RunSettings(duration_ms=3.5))
    indices = [4, 1, 3, 0]
    one, other = there.prepare(indices, 2), here.prepare(indices, 2)
    assert len(one) == len(one.arrivals) == 4
    assert one.arrivals.most_events == 540 > other.arrivals.most_events
    for name in ("times", "neurons", "ptr", "indices", "labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("times", "neurons", "ptr", "last_times", "ends"):
        np.testing.assert_array_equal(getattr(one.arrivals, name), getattr(other.arrivals, name))
        part, expected = (getattr(each.arrivals.part(slice(1, 3)), name) for each in (one, other))
        np.testing.assert_array_equal(part, expected)
    np.testing.assert_array_equal(there.origins_us(one), here.origins_us(other))


def test_a_mini_batch_that_does_not_fit_is_prepared_on_the_host():
    data = make_set()
    loader = make_loader(EmulatedDevice(memory=9000), (), data, INPUTS)
    here = BatchLoader(data, INPUTS)
    for indices, resident in (([4], True), ([4, 1, 3, 0], False)):
        one, other = loader.prepare(indices, 0), here.prepare(indices, 0)
        assert (one.ready is not None) is resident
        for name in ("times", "neurons", "ptr", "indices", "labels"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_loader_on_the_host_where_the_device_cannot():
    data = make_set()
    assert type(make_loader(None, (), data, INPUTS)) is BatchLoader
    stabilise = RunSettings(stabilise="nmnist")
    nmnist = make_set(sensor=(34, 34, 2))
    assert type(make_loader(EmulatedDevice(), (), nmnist, 2312, settings=stabilise)) is BatchLoader
    images = es.data.Images(np.zeros((2, 9, 14), np.uint8), np.zeros(2, np.int64))
    assert type(make_loader(EmulatedDevice(), (), images, INPUTS)) is BatchLoader


@pytest.mark.parametrize(
    "layers",
    [
        [es.Dense(9, **LOW), es.Dense(3, lateral_inhibition=1.0, **LOWER)],
        [es.Dense(9, delay=0.7, **LOW), es.Dense(3, **LOWER)],
        [es.Dense(9, **LOW), es.Dense(3, **LOWER)],
        [es.Conv(3, 3, **LOW), es.Pool(2, **LOWER), es.Dense(3, **LOWER)],
    ],
    ids=["dense", "delayed", "biased", "spatial"],
)
def test_evaluation_gives_the_counts_of_the_sweep(request, tmp_path, layers):
    bias = 1.5 if "biased" in request.node.name else 0.0
    network = es.Network(es.Input(*SENSOR, bias_interval=bias), *layers, seed=2)
    data = make_set((200, 0, 300, 40, 90, 250))
    file = tmp_path / "set.esp"
    pack(data, file)
    for source in (data, Packed(file)):
        found, expected = (
            es.evaluate(network, source, engine=engine, operations=True) for engine in ("gpu", "sweep")
        )
        np.testing.assert_array_equal(found.predictions.counts, expected.predictions.counts)
        for one, other in zip(found.operations.arrays, expected.operations.arrays, strict=True):
            np.testing.assert_array_equal(one, other)
        again = es.evaluate(network, source, engine="gpu", duration_ms=2.5)
        cut = es.evaluate(network, source, engine="sweep", duration_ms=2.5)
        np.testing.assert_array_equal(again.predictions.counts, cut.predictions.counts)
    assert expected.predictions.counts.sum() > 0


def test_a_trace_of_an_evaluation_is_the_same(tmp_path):
    data = make_set((120, 0, 80))
    network = es.Network(es.Input(*SENSOR), es.Dense(9, **LOW), es.Dense(3, **LOWER), seed=2)
    for engine in ("gpu", "sweep"):
        es.evaluate(network, data, engine=engine, trace=tmp_path / f"{engine}.h5")
    with es.Trace(tmp_path / "gpu.h5") as one, es.Trace(tmp_path / "sweep.h5") as other:
        for sample in range(3):
            for name in ("input", "hidden", "output"):
                found, expected = one.record(sample)[name], other.record(sample)[name]
                np.testing.assert_array_equal(found.times, expected.times)
                np.testing.assert_array_equal(found.neurons, expected.neurons)


@pytest.mark.parametrize("interval", [0.0, 0.5])
@pytest.mark.parametrize("delay", [0.0, 0.25])
def test_delays_and_biases_of_the_first_layer_are_added_on_the_device(interval, delay):
    """The bias neuron fires at instants of events, too, and comes after them."""
    given, device = es.Input(*SENSOR, bias_interval=interval), EmulatedDevice(backwards=delay > 0.0)
    network = es.Network(given, es.Dense(3, delay=delay, **LOW), seed=1)
    data, packed = make_set(longest_us=4), PackedNetwork(network, np.float64)
    samples = make_loader(device, range(5), data, INPUTS).prepare(range(5), 0).arrivals
    on_device = DeviceNetwork(packed, ForwardPass(device, put_layers(device, packed)))
    biases = [np.arange(k) * 0.001 for k in range(5)] if interval else []
    found = on_device._put_samples(samples, biases).read()
    assert ("join_bias" in device.launched) is bool(interval or delay)
    host = BatchLoader(data, INPUTS).prepare(range(5), 0).arrivals
    expected = on_device._put_samples(host, biases).read()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    # A part of a mini-batch, as well.
    part = on_device._put_samples(samples.part(slice(1, 4)), biases[1:4]).read()
    expected = on_device._put_samples(host.part(slice(1, 4)), biases[1:4]).read()
    for one, other in zip(part, expected, strict=True):
        np.testing.assert_array_equal(one, other)
