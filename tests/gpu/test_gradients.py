"""Gradients on a device: against the CPU's learner and the plain twin, and the same bits in any launch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eventsnn as es
from eventsnn._util.threads import Pool
from eventsnn.errors import DeviceMemoryError
from eventsnn.gpu import backward, reverse
from eventsnn.gpu.batch import WARP
from eventsnn.gpu.device import shared_bytes
from eventsnn.gpu.emulated import EmulatedDevice
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.model import Dense, Input, Network
from eventsnn.reference import hm2bp as twin
from eventsnn.simulate.engines.arrivals import EVERYONE, Arrivals
from eventsnn.simulate.engines.blocks import unpack
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.backward import ExactLearner
from eventsnn.train.device import DeviceLearner
from tests.gpu.emulation import needs_emulation

pytestmark = needs_emulation

INPUTS, OUTPUTS = 11, 4

neurons = st.fixed_dictionaries(
    {
        "tau_m": st.sampled_from([5.0, 16.0, 64.0]),
        "tau_s": st.sampled_from([5.0, 5.001, 3.0, 12.0]),
        "refractory": st.sampled_from([0.0, 1.0, 3.0]),
        "threshold": st.floats(0.5, 2.0),
        "delay": st.sampled_from([0.0, 0.75]),
    }
)
rules = st.builds(
    HM2BP,
    head=st.sampled_from(["count", "softmax"]),
    desired=st.integers(2, 9),
    undesired=st.integers(0, 2),
    margin=st.sampled_from([0.0, 0.5]),
    effect_ratio=st.booleans(),
    silent_post_spsp=st.sampled_from([0.0, 0.1, 0.4]),
    silent_post_ratio=st.sampled_from([0.5, 0.9]),
    force_label_spikes=st.booleans(),
)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Chains of one to three dense layers, of less and more than a warp."""
    layers = [Dense(draw(st.sampled_from([3, 40])), **draw(neurons)) for _ in range(draw(st.integers(0, 2)))]
    lateral = draw(st.sampled_from([0.0, 0.4]))
    layers.append(Dense(OUTPUTS, lateral_inhibition=lateral, **draw(neurons)))
    share = draw(st.sampled_from([0.0, 0.3]))
    layers = [dataclasses.replace(x, resting=share * (-1) ** k * x.threshold) for k, x in enumerate(layers)]
    network = Network(Input(INPUTS, 1, 1, bias_interval=draw(st.sampled_from([0.0, 7.0]))), *layers)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return network.with_weights({k: rng.normal(0.2, 0.8, s) for k, s in network.weight_shapes().items()})


def make_samples(count: int, seed: int = 0, whole: bool = False) -> Arrivals:
    """Recordings of 0 to 80 events in 50 ms, many at one instant if they are `whole` milliseconds."""
    rng = np.random.default_rng(seed)
    samples = []
    for n in rng.integers(0, 81, count):
        times = rng.uniform(0, 50, n)
        times, sources = np.round(times) if whole else times, rng.integers(0, INPUTS - 2, n)
        kept = np.unique(np.stack([times, sources]), axis=1)
        samples.append((kept[0], kept[1].astype(np.int32)))
    return Arrivals.join(samples)


def on_cpu(network, samples, labels, weights, rule, kept=EVERYONE):
    """Outcome and gradients of the CPU's learner in float64."""
    packed = PackedNetwork(network, np.float64)
    states = {key: OptimiserState(Optimiser(), packed.blocks[key]) for key in network.weights}
    learner = ExactLearner(packed)
    with Pool(1) as pool:
        run = learner.forward(samples, pool, kept)
        outcome = learner.accumulate(states, run, labels, weights, rule, pool, kept=kept)
    found = {key: unpack(state.gradient, len(network.weights[key])) for key, state in states.items()}
    return outcome, learner.hidden_activity(run, len(network.layers), kept), found


def on_device(
    network, samples, labels, weights, rule, kept=EVERYONE, *, real=np.float64, most=None, device=None
):
    """The same on a device."""
    packed = PackedNetwork(network, real)
    derivatives = rule.sends == "derivatives"
    learner = DeviceLearner(packed, device or EmulatedDevice(), derivatives=derivatives)
    learner.most = most
    states = {key: learner.make_state(Optimiser(), packed, key) for key in network.weights}
    with Pool(1) as pool:
        run = learner.forward(samples, pool, kept)
        outcome = learner.accumulate(states, run, labels, weights, rule, pool, kept=kept)
    found = {}
    for key, each in learner.weights.items():
        gradient = each.gradient.read() / each.units.units.read()
        assert not gradient[:, each.layer.channels :].any()  # of the padding
        found[key] = gradient[:, : each.layer.channels].T
    for key in states.keys() - found.keys():  # a readout learns on the host
        found[key] = unpack(states[key].gradient, network[key].channels)
    return outcome, learner.hidden_activity(run, len(network.layers), kept), found


def assert_close(found, expected, tolerance):
    for key, exact in expected.items():
        np.testing.assert_allclose(
            found[key], exact, rtol=tolerance, atol=tolerance * np.abs(exact).max(), err_msg=key
        )


def assert_same_bits(found, expected):
    for key, exact in expected.items():
        np.testing.assert_array_equal(found[key], exact, err_msg=key)


@settings(max_examples=40, deadline=None)
@given(network=networks(), rule=rules, seed=st.integers(0, 50), whole=st.booleans(), backwards=st.booleans())
def test_gradients_are_those_of_the_cpu(network, rule, seed, whole, backwards):
    samples = make_samples(3, seed, whole)
    labels, weights = np.array([seed % OUTPUTS, 0, 3]), np.array([1.0, 1.5, 0.75])
    (outcome, activity, expected) = on_cpu(network, samples, labels, weights, rule)
    device = EmulatedDevice(backwards=backwards)
    found = on_device(network, samples, labels, weights, rule, device=device)
    np.testing.assert_array_equal(found[0].loss, outcome.loss)
    assert found[0].forced == outcome.forced
    assert found[1] == activity
    assert_close(found[2], expected, 1e-12)


def make_example(hidden=(40, 7), samples=5, lateral=0.4):
    """A network that is active everywhere, with silent neurons in every layer."""
    layers = [
        Dense(n, threshold=1.5 + k, tau_m=16.0, tau_s=4.0, refractory=2.0) for k, n in enumerate(hidden)
    ]
    top = Dense(OUTPUTS, threshold=1.1, tau_m=11.0, tau_s=3.0, lateral_inhibition=lateral)
    network = Network(Input(INPUTS, 1, 1), *layers, top)
    rng = np.random.default_rng(4)
    network = network.with_weights({k: rng.normal(0.3, 1.0, s) for k, s in network.weight_shapes().items()})
    labels, weights = np.arange(samples) % OUTPUTS, 1.0 + 0.1 * np.arange(samples)
    return network, make_samples(samples, 9), labels, weights, HM2BP(desired=6, undesired=1, margin=0.5)


@pytest.mark.parametrize("head", ["count", "softmax"])
def test_gradients_are_those_of_the_twin(head):
    network, samples, labels, weights, rule = make_example()
    rule = dataclasses.replace(rule, head=head)
    _, activity, found = on_device(network, samples, labels, weights, rule)
    assert 0 < activity.silent < activity.neurons
    expected: dict[str, np.ndarray] = {}
    for n, (label, weight) in enumerate(zip(labels.tolist(), weights.tolist(), strict=True)):
        record = es.simulate(network, samples.sample(n), engine="queue")
        end = float(samples.ends[n])
        for key, gradient in twin.gradients(network, record, label, end, rule, weight).items():
            expected[key] = expected.get(key, 0.0) + gradient
    assert_close(found, expected, 1e-12)


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_any_division_of_a_mini_batch_gives_the_same_bits(real):
    example = make_example()
    _, _, whole = on_device(*example, real=real)
    for most in (1, 2, 4):
        device = EmulatedDevice(backwards=most == 2)
        assert_same_bits(on_device(*example, real=real, most=most, device=device)[2], whole)


def assert_too_little_memory_divides(example, memories, launches):
    """The first of `memories` that is enough gives the same bits, with more than `launches` sweeps.

    It is less than what the whole needs at once.
    """
    _, _, whole = on_device(*example, real=np.float32)
    for memory in memories:
        device = EmulatedDevice(memory=memory)
        try:
            found = on_device(*example, real=np.float32, device=device)[2]
        except DeviceMemoryError:
            continue
        assert_same_bits(found, whole)
        assert sum(name.startswith("sweep<") for name in device.launched) > launches
        break
    else:
        pytest.fail("no memory was enough")


def test_too_little_memory_divides_a_mini_batch():
    assert_too_little_memory_divides(make_example(), range(60_000, 1_000_000, 20_000), 2)


def test_memory_that_is_free_again_is_used():
    network, samples, labels, weights, rule = make_example()
    device = EmulatedDevice(memory=10**7)
    learner = DeviceLearner(PackedNetwork(network, np.float32), device)
    states = {key: learner.make_state(Optimiser(), learner.packed, key) for key in network.weights}
    learner._wait = 2
    most, launches = [], []
    with Pool(1) as pool:
        for step in range(30):
            # Another program has the rest between steps 1 and 8.
            taken = device.empty(device.free_memory() - 250_000, np.uint8) if 1 <= step <= 8 else None
            before = len(device.launched)
            run = learner.forward(samples, pool)
            learner.accumulate(states, run, labels, weights, rule, pool)
            most.append(learner.most)
            launches.append(device.launched[before:].count("lateral<float>"))
            del taken
    assert most[0] is most[-1] is None
    assert None not in most[1:9]
    assert launches[-1] == 1 < launches[8]
    assert 2 < learner._wait < 20  # each try that fails doubles it


def test_room_for_spikes_given_to_silent_neurons_is_remembered(monkeypatch):
    network, samples, labels, weights, rule = make_example(lateral=4.0)
    packed = PackedNetwork(network, np.float32)
    learner = DeviceLearner(packed, EmulatedDevice())
    states = {key: learner.make_state(Optimiser(), packed, key) for key in network.weights}
    rule = dataclasses.replace(rule, desired=100)  # more than any neuron fires
    copied, gradients, copy = [0, 0], [], EmulatedDevice.copy

    def count(device, target, source):
        copied[len(gradients)] += 1
        copy(device, target, source)

    monkeypatch.setattr(EmulatedDevice, "copy", count)
    with Pool(1) as pool:
        for _ in range(2):
            run = learner.forward(samples, pool)
            assert learner.accumulate(states, run, labels, weights, rule, pool).forced
            gradients.append({key: each.gradient.read() for key, each in learner.weights.items()})
    assert copied[0] > copied[1] < len(samples)
    assert_same_bits(*gradients)


@pytest.mark.parametrize("tile", [None, (8, 1, 32), (8, 4, 64), (16, 2, 32), (16, 5, 96)])
def test_tiles_in_shared_memory_give_the_same_bits(tile, monkeypatch):
    example = make_example(hidden=(40,), samples=5)
    device = EmulatedDevice()
    _, _, expected = on_device(*example, real=np.float32, device=device)
    assert "reverse_tile<8>" in device.launched
    monkeypatch.setattr(backward.LayerBackward, "_tile", lambda _: tile)
    device = EmulatedDevice(backwards=True)
    assert_same_bits(on_device(*example, real=np.float32, device=device)[2], expected)
    assert ("reverse_tile<8>" in device.launched) == (tile is not None and tile[0] == 8)


def test_a_grid_has_so_many_rows(monkeypatch):
    example = make_example(hidden=(300, 7))  # errors of 300 neurons take more than one block
    _, _, expected = on_device(*example)
    monkeypatch.setattr(backward, "MOST_BLOCKS", 1)
    assert_same_bits(on_device(*example)[2], expected)


def test_single_precision_is_close():
    example = make_example()
    exact = on_cpu(*example)[2]
    found = on_device(*example, real=np.float32)[2]
    for key, gradient in exact.items():
        np.testing.assert_allclose(found[key], gradient, atol=3e-6 * np.abs(gradient).max(), err_msg=key)


def test_weights_that_are_not_finite_show_in_the_gradients():
    network, samples, labels, weights, rule = make_example()
    weights[2] = np.nan
    found = on_device(network, samples, labels, weights, rule)[2]
    assert all(np.isnan(gradient).any() for gradient in found.values())


@pytest.mark.parametrize("samples", [3, 64, 70])
def test_sums_near_their_bound_do_not_overflow(samples):
    """Every event adds nearly the most that one can to one weight: all come a peak's time before a spike."""
    layers = Dense(1, threshold=25.0, tau_m=20.0, tau_s=4.0), Dense(2, threshold=0.5)
    network = Network(Input(1, 1, 1), *layers)
    network = network.with_weights({"hidden": np.array([[1.0]]), "output": np.array([[1.0], [-1.0]])})
    times = np.arange(40) * 0.1
    batch = Arrivals.join([(times, np.zeros(len(times), np.int32))] * samples)
    peak = 1.25 * (
        0.2**0.25 - 0.2**1.25
    )  # of tau_m/(tau_m - tau_s) (e^(-t/tau_m) - e^(-t/tau_s)): e^(-t/tau_m) is 0.2^(1/4)
    assert (
        0.9 * len(times) * peak < layers[0].threshold
    )  # what the events of a recording add up to at the spike
    labels, weights, rule = np.ones(samples, np.int64), np.ones(samples), HM2BP(desired=35, margin=0.0)
    _, activity, exact = on_cpu(network, batch, labels, weights, rule)
    assert activity.spikes == samples
    found = on_device(network, batch, labels, weights, rule, real=np.float32)[2]
    for key, gradient in exact.items():
        np.testing.assert_allclose(found[key], gradient, rtol=1e-4, err_msg=key)


@pytest.mark.parametrize("backwards", [False, True])
def test_arrivals_are_listed_by_source_in_order_of_time(backwards):
    device, rng = EmulatedDevice(backwards=backwards), np.random.default_rng(1)
    inputs, count = 300, np.array([700, 0, 5, 300])
    sources = [rng.choice([*range(20), inputs - 1], n) for n in count]
    table = np.zeros(count.sum(), reverse.arrival_type(np.dtype(np.float32)))
    # The sign marks the first arrival of a source, and is no part of its number.
    table["row"] = np.concatenate(sources) | np.where(rng.random(len(table)) < 0.5, np.int32(-(2**31)), 0)
    first, by_source = np.cumsum(count) - count, np.stack([np.bincount(s, minlength=inputs) for s in sources])
    ends, order = device.empty((len(count), inputs), np.int32), device.empty(len(table), np.int32)
    device.launch(
        "list_by_source<float>", 3, 256, np.int32(len(count)), device.put(first),
        device.put(count.astype(np.int32)), device.put(table), device.put(by_source.astype(np.int32)),
        np.int32(inputs), ends, order, shared=shared_bytes((np.int32, WARP + 1)),
    )  # fmt: skip
    np.testing.assert_array_equal(ends.read(), np.cumsum(by_source, axis=1))
    expected = np.concatenate([np.argsort(s, kind="stable") for s in sources])
    np.testing.assert_array_equal(order.read(), expected)
