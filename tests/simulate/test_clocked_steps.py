"""The clock's step, and connections besides those of the chain: against the twin, and by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import eventsnn as es
from eventsnn._ext import block
from eventsnn.model.steps import count_steps, to_steps
from eventsnn.reference import clocked as clocked_twin
from eventsnn.simulate.engines import clocked

ODD = {"tau_m": 11.0, "tau_s": 3.0, "refractory": 0.0}
SLOW = {"tau_m": 18.0, "tau_s": 6.0, "refractory": 1.2}
STEPS = 80
INPUTS = 112


def constants(step_ms: float, **numbers: float) -> dict[str, float]:
    """Constants given in steps of 0.6 ms as they are in ms where a step has `step_ms`."""
    return {name: value / 0.6 * step_ms for name, value in numbers.items()}


def make_network(name: str, step_ms: float = 0.6, interval: float = 0.0) -> es.Network:
    slow, odd = constants(step_ms, **SLOW), constants(step_ms, **ODD)
    delay = constants(step_ms, one=0.6, three=1.8)
    name, _, delayed = name.partition(", ")
    layers: list[es.Dense | es.Conv | es.Pool]
    connections: list[es.Connection] = []
    if name == "dense":
        layers = [es.Dense(33, threshold=1.0, **slow)]
    elif name == "spatial":
        layers = [es.Conv(9, (3, 2), stride=(2, 1), padding=1, threshold=0.5, **slow)]
        layers += [es.Pool(2, stride=1, threshold=0.6, **odd)]
    elif name == "reservoir":
        layers = [es.Reservoir(grid=(3, 3, 4), threshold=1.5, recurrent_delay=delay["one"], **slow)]
        layers += [es.Dense(33, threshold=1.0, **odd)]
    elif name == "loops":
        layers = [es.Dense(33, name="a", threshold=1.0, **slow), es.Dense(40, name="b", threshold=2.0, **odd)]
        connections = [
            es.Connection("a", "a", delay=delay["three"]),
            es.Connection("output", "a", delay=delay["one"], probability=0.5),
            es.Connection("input", "output"),
            es.Connection("b", "b", name="again", probability=0.2),
        ]
    else:
        layers = [es.Conv(3, 3, name="c", threshold=0.8, **slow), es.Pool(2, name="p", threshold=0.7, **odd)]
        connections = [es.Connection("p", "c", delay=delay["three"]), es.Connection("c", "output")]
    output = es.Dense(7, name="output", threshold=0.5, lateral_inhibition=0.5, **slow)
    layers.append(output)
    if delayed:
        pattern = (delay["three"], delay["one"], 2 * delay["three"])
        layers = [dataclasses.replace(layer, delay=d) for layer, d in zip(layers, pattern, strict=False)]
    sensor = es.Input(8, 7, 2, bias_interval=interval / 0.6 * step_ms)
    network = es.Network(sensor, *layers, connections=connections)
    rng = np.random.default_rng(1)
    weights = {}
    for key, given in network.weights.items():
        drawn = rng.normal(0.2, 1.0, given.shape)
        weights[key] = given.copy() if hasattr(given, "nnz") else drawn
        if hasattr(given, "nnz"):
            weights[key].data = rng.normal(0.2, 1.0, given.nnz)
    return network.with_weights(weights)


def make_input() -> tuple[np.ndarray, np.ndarray]:
    """(ms, input neurons): multiples of 1 us, several in a step, many at the beginning of one of 0.6 ms."""
    rng = np.random.default_rng(3)
    times = np.sort(np.concatenate([rng.integers(0, 40_000, 500), 600 * rng.integers(0, 66, 300)]))
    return times / 1000.0, rng.integers(0, INPUTS, 800)


CASES = [
    ("dense", 0.0),
    ("spatial", 0.0),
    ("reservoir", 0.0),
    ("loops", 0.0),
    ("loops in space", 0.0),
    ("dense", 3.3),
    ("reservoir", 3.3),
    ("loops", 0.4),
    ("loops", 3.3),
    ("dense, delayed", 3.3),
    ("spatial, delayed", 0.0),
    ("loops, delayed", 3.3),
    ("reservoir, delayed", 0.0),
]


@pytest.mark.parametrize("isa", block.supported())
@pytest.mark.parametrize(("name", "interval"), CASES)
def test_kernel_gives_the_spikes_of_its_twin(name: str, interval: float, isa: str) -> None:
    network, (times, neurons) = make_network(name, interval=interval), make_input()
    before = block.selected
    block.select(isa)
    try:
        run = clocked.run(network, times, neurons, t_stop=(STEPS - 1) * 0.6, step_ms=0.6)
    finally:
        block.select(before)
    expected = clocked_twin.run(network, times, neurons, STEPS, 0.6)
    for layer, (when, who) in zip(network.names, expected, strict=True):
        assert len(when) > 20
        np.testing.assert_array_equal(run[layer].times, when)
        np.testing.assert_array_equal(run[layer].neurons, who)


@pytest.mark.parametrize(("name", "interval"), CASES)
def test_a_step_is_a_unit_of_time(name: str, interval: float) -> None:
    # Steps of 0.6 ms, times in ms = steps of 1 ms, times and constants divided by 0.6.
    times, neurons = make_input()
    fine = clocked.run(make_network(name, interval=interval), times, neurons, t_stop=47.4, step_ms=0.6)
    coarse = clocked.run(make_network(name, 1.0, interval), times / 0.6, neurons, t_stop=79.0)
    assert sum(len(spikes) for spikes in fine.layers.values()) > 100
    for layer in fine.layers:
        np.testing.assert_allclose(fine[layer].times, 0.6 * coarse[layer].times, rtol=1e-12, atol=0)
        np.testing.assert_array_equal(fine[layer].neurons, coarse[layer].neurons)
    np.testing.assert_allclose(fine["bias"].times, 0.6 * coarse["bias"].times, rtol=1e-12, atol=0)


@pytest.mark.parametrize("step_us", [1, 100, 300, 600, 700, 1000, 1500])
def test_a_time_at_the_beginning_of_a_step_belongs_to_it(step_us: int) -> None:
    microseconds = np.concatenate([step_us * np.arange(100_000), step_us * np.arange(1, 100_000) - 1])
    found = to_steps(microseconds / 1000.0, step_us / 1000.0)
    np.testing.assert_array_equal(found, microseconds // step_us)


def test_number_of_steps() -> None:
    assert [count_steps(324.0, 0.6), count_steps(400.0, 1.0), count_steps(400.5, 1.0)] == [540, 400, 401]
    assert count_steps(1e300, 1e-300) == 2**62


def test_a_loop_by_hand() -> None:
    # tau_m 4, tau_s 2, weight 8, input in step 1: I = 8, v = 4 in step 2, which passes 3.5; then v = 0, and 2
    # refractory steps. The spike comes back over the loop 3 steps later, in step 5, with weight 8.
    loop = es.Connection("output", "output", delay=3.0)
    layer = es.Dense(1, name="output", threshold=3.5, tau_m=4.0, tau_s=2.0)
    weights = {"output": np.array([[8.0]]), "output->output": np.array([[8.0]])}
    network = es.Network(es.Input(1), layer, connections=[loop], weights=weights)
    run = clocked.run(network, np.array([1.0]), np.array([0]), t_stop=11.0)
    # Step 5: I = 1 + 8 = 9, no more refractory, v = 4.5: a spike; so in step 8, I = 9/8 + 8, and in step 11.
    np.testing.assert_array_equal(run["output"].times, [2.0, 5.0, 8.0, 11.0])
    # A delay of 0 needs one step as well: that of 1 ms.
    for delay in (0.0, 1.0):
        own = network.replace("output->output", delay=delay, name="x").replace("output", refractory=0.0)
        assert clocked.run(own, np.array([1.0]), np.array([0]), t_stop=5.0)["output"].times[:2].tolist() == [
            2,
            3,
        ]


def test_a_stated_duration() -> None:
    layer = es.Dense(1, name="output", threshold=0.5, refractory=0.0)
    weights = {"output": np.array([[30.0, 30.0]])}
    sensor = es.Input(1, bias_interval=7.0)
    settings = es.RunSettings("clocked", duration_ms=20.0)
    network = es.Network(sensor, layer, weights=weights, settings=settings)
    events = np.array([1.0, 30.0]), np.zeros(2, int)
    run = es.simulate(network, events)
    assert (run.engine, run.step_ms, run.dtype, run.t_end) == ("clocked", 1.0, "float32", 20.0)
    assert run["bias"].times.tolist() == [7.0, 14.0]
    assert run.input.times.tolist() == [1.0], "the event at 30 ms comes after the end"
    assert run.output.times.max() == 19.0
    # It is the sample's, not the engine's; what is asked for counts more.
    exact = es.simulate(network, events, engine="sweep")
    assert (exact.input.times.tolist(), exact["bias"].times.tolist()) == ([1.0], [7.0, 14.0])
    assert es.simulate(network, events, engine="queue")["bias"].times.tolist() == [7.0, 14.0]
    assert es.simulate(network, events, t_stop=40.0).input.times.tolist() == [1.0, 30.0]


def test_simulate_follows_the_network() -> None:
    network, (times, neurons) = make_network("dense"), make_input()
    trained = network.with_settings(es.RunSettings("clocked", 0.6))
    found = es.simulate(trained, (times, neurons))
    expected = es.simulate(network, (times, neurons), engine="clocked", step_ms=0.6)
    assert (found.engine, found.step_ms) == ("clocked", 0.6)
    np.testing.assert_array_equal(found.output.times, expected.output.times)
    assert es.simulate(trained, (times, neurons), step_ms=0.3).step_ms == 0.3
    assert es.simulate(trained, (times, neurons), engine="queue").engine == "queue"
    assert es.simulate(network, (times, neurons)).step_ms is None
    assert (es.Simulation(trained).engine, es.Simulation(trained).step_ms) == ("clocked", 0.6)
    assert es.Simulation(trained, engine="sweep").engine == "sweep"
