"""A type of layer from outside the package: found by name, simulated by every engine, trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn._util.threads import Pool as Threads
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.model import LAYERS, Conv, Dense, Input, Layer, Network, Pool
from eventsnn.reference import clocked as clocked_twin
from eventsnn.simulate.engines import clocked
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.backward import ExactLearner
from eventsnn.train.clocked import ClockedLearner
from tests.plugins import install
from tests.plugins.depthwise import DepthwiseConv
from tests.train.toy import RULE, SENSOR, toy_train

LAYERS.unregister("depthwise")  # which importing it has registered


@pytest.fixture(autouse=True)
def plugin() -> Iterator[None]:
    """The layer type from outside made known, and forgotten afterwards."""
    LAYERS.register("depthwise", DepthwiseConv)
    yield
    LAYERS.unregister("depthwise")


def make_network(layer: Layer, bias: float = 4.0, seed: int = 0) -> Network:
    layers = (Conv(3, 2, threshold=1.2), layer, Pool(2, threshold=0.5), Dense(3, threshold=1.1))
    network = Network(Input(*SENSOR, bias_interval=bias), *layers)
    rng = np.random.default_rng(seed)
    return network.with_weights({k: rng.normal(0.3, 1.0, s) for k, s in network.weight_shapes().items()})


def as_convolution(network: Network) -> Network:
    """The same with a convolution, whose weights from other maps are 0."""
    conv = Conv(3, 3, name="depthwise", threshold=1.4)
    plain = Network(
        network.input, *(conv if layer.kind == "depthwise" else layer for layer in network.layers)
    )
    shared = network["depthwise"].shared_weights(network.weights["depthwise"])
    shape = plain.weight_shapes()["depthwise"]
    return plain.with_weights(dict(network.weights) | {"depthwise": shared.reshape(shape)})


def make_sample(seed: int = 0, n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    times, neurons = np.sort(rng.integers(1, 60, n)).astype(float), rng.integers(0, 60, n).astype(np.int32)
    order = np.lexsort((neurons, times))
    return times[order], neurons[order]


def test_the_page_shows_it() -> None:
    tests = Path(__file__).parents[1]
    module = (tests / "plugins" / "depthwise.py").read_text(encoding="utf-8")
    assert f"```python\n{module}```\n" in (tests.parent / "docs" / "extending.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("bias", [0.0, 4.0])
def test_it_is_simulated_by_every_engine(bias: float) -> None:
    network, sample = make_network(DepthwiseConv(3, threshold=1.4), bias), make_sample()
    plain = as_convolution(network)
    twin = es.simulate(network, sample, engine="twin")
    for engine in ("twin", "queue", "sweep"):
        run, other = (es.simulate(each, sample, engine=engine) for each in (network, plain))
        for name in network.names:
            assert len(run[name]) > 5
            for expected in (twin[name], other[name]):
                # Neuron by neuron: where only the bias arrives, several fire at one instant but for rounding.
                for neuron in range(expected.size):
                    found, times = run[name].of(neuron), expected.of(neuron)
                    np.testing.assert_allclose(found, times, rtol=0, atol=1e-9)
    run = clocked.run(network, *sample, t_stop=79.0)
    for name, (times, neurons) in zip(network.names, clocked_twin.run(network, *sample, 80), strict=True):
        np.testing.assert_array_equal(run[name].times, times)
        np.testing.assert_array_equal(run[name].neurons, neurons)


@pytest.mark.parametrize("clock", [False, True])
def test_its_gradient_is_that_of_the_synapses_it_has(clock: bool) -> None:
    """The gradients of convolutions are checked against sums over pairs of spikes (test_gradients.py)."""
    network, samples = make_network(DepthwiseConv(3, threshold=1.4)), [make_sample(k) for k in range(4)]
    plain, found = as_convolution(network), []
    for each in (network, plain):
        packed = PackedNetwork(each, np.float32 if clock else np.float64)
        learner = ClockedLearner(packed) if clock else ExactLearner(packed)
        states = {name: OptimiserState(Optimiser(), packed.blocks[name]) for name in each.weights}
        with Threads(1) as threads:
            run = learner.forward(Arrivals.join(samples), threads)
            learner.accumulate(states, run, np.arange(4) % 3, np.ones(4), RULE, threads)
        found.append({k: state.gradient for k, state in states.items()})
    for name in ("conv", "output"):
        np.testing.assert_array_equal(found[0][name], found[1][name])
    own, every = (each["depthwise"][0, :, :3].T for each in found)
    assert np.abs(own).max() > 1e-3
    np.testing.assert_array_equal(own, np.where(network["depthwise"].connected, every, 0.0))


@pytest.mark.parametrize("engine", ["exact", "clocked"])
@pytest.mark.parametrize("known", ["registered", "entry point"])
def test_it_is_found_by_name_trained_and_saved(
    engine: str, known: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = make_network(DepthwiseConv(3, threshold=1.4)).to_table()
    if known == "entry point":
        LAYERS.unregister("depthwise")
        point = "tests.plugins.depthwise:DepthwiseConv"
        install({("eventsnn.layers", "depthwise"): point}, tmp_path, monkeypatch)
    network = Network.from_table(table, seed=4)
    history = toy_train(tmp_path / "run", network=network, engine=engine, epochs=4).history
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    trained = Network.load(tmp_path / "run" / "model.h5")
    assert isinstance(trained["depthwise"], DepthwiseConv)
    assert trained.weights["depthwise"].shape == (3, 10)
    assert (trained.weights["depthwise"] != network.weights["depthwise"]).all()
