"""The clocked engine: against steps written out by hand, and against every golden spike of the authors."""

import numpy as np
import pytest

import eventsnn as es
from eventsnn._ext import block
from eventsnn.reference import clocked as clocked_twin
from eventsnn.simulate.engines import clocked
from tests.real_data import real_data
from tests.simulate.clocked_golden import SHAPES, STEPS, golden_network, read_spikes


def run_kernel(network: es.Network, times: np.ndarray, neurons: np.ndarray, steps: int) -> list:
    run = clocked.run(network, times, neurons, t_stop=steps - 1)
    return [(run[name].times, run[name].neurons) for name in network.names]


@pytest.fixture(params=["kernel", "twin"])
def simulate(request: pytest.FixtureRequest):
    """Trains of all layers: (network, times, neurons, steps) -> [(times, neurons)]."""
    return run_kernel if request.param == "kernel" else clocked_twin.run


@pytest.mark.parametrize(("phase", "suffix"), [("train", ""), ("test", "_trained")])
def test_every_golden_spike_of_the_authors(simulate, phase: str, suffix: str) -> None:
    folder = real_data("golden", "cnn_mnist")
    network = golden_network(folder, suffix)
    times, neurons = read_spikes(folder / "input_spikes_0_5.dat")
    trains = dict(zip(network.names, simulate(network, times, neurons, STEPS), strict=True))
    for name, shape in SHAPES.items():
        dump = np.loadtxt(folder / "spikes" / name / phase / f"{name}_1.dat", dtype=np.int8).ravel()
        grid = dump.reshape(shape[0], STEPS, -1).transpose(1, 0, 2).reshape(STEPS, -1)
        when, who = np.nonzero(grid)
        assert len(when) > 0
        np.testing.assert_array_equal(trains[name][0], when)
        np.testing.assert_array_equal(trains[name][1], who)
    for name in ("hidden", "output"):
        when, who = read_spikes(folder / "spikes" / name / phase / f"{name}.dat")
        order = np.lexsort((who, when))
        np.testing.assert_array_equal(trains[name][0], when[order])
        np.testing.assert_array_equal(trains[name][1], who[order])


def test_steps_written_out_by_hand() -> None:
    # One neuron, tau_m 4, tau_s 2, weight 8, one input spike in step 1: I and v in steps 2, 3, ... are
    # I = 8, 4, 2;  v = 4, 4 - 1 + 2 = 5, 5 - 1.25 + 1 = 4.75.  A threshold of 4.5 is passed in step 3 only.
    network = es.Network(
        es.Input(1),
        es.Dense(1, name="output", threshold=4.5, tau_m=4.0, tau_s=2.0),
        weights={"output": np.array([[8.0]])},
    )
    run = clocked.run(network, np.array([1.0]), np.array([0]), t_stop=10.0)
    np.testing.assert_array_equal(run["output"].times, [3.0])


@pytest.mark.parametrize(
    ("layer", "shape", "spikes"),
    [
        (es.Dense(1, name="output", threshold=5.0, tau_m=4.0, tau_s=2.0), (1, 1), 1),
        (es.Conv(1, 1, name="output", threshold=5.0, tau_m=4.0, tau_s=2.0), (1, 1, 1, 1), 0),
    ],
)
def test_threshold_met_exactly(layer: es.Dense | es.Conv, shape: tuple[int, ...], spikes: int) -> None:
    # The greatest potential of the neuron above is 5.0, exactly: enough but for a convolution.
    network = es.Network(es.Input(1), layer, weights={"output": np.full(shape, 8.0)})
    run = clocked.run(network, np.array([1.0]), np.array([0]), t_stop=10.0)
    assert len(run["output"]) == spikes


def test_refuses_what_a_clock_cannot_do() -> None:
    delayed = es.Network(es.Input(1), es.Dense(1, name="output", delay=0.5))
    with pytest.raises(
        es.SimulationError, match=r"layer 'output': delay must be whole steps of 1 ms, got 0\.5 ms"
    ):
        es.simulate(delayed, (np.array([1.0]), np.array([0])), engine="clocked", dtype="float32", t_stop=5.0)
    plain = es.Network(es.Input(1), es.Dense(1, name="output"))
    events = np.array([1.0]), np.array([0])
    with pytest.raises(es.SimulationError, match="float32 only"):
        es.simulate(plain, events, engine="clocked", dtype="float64")
    with pytest.raises(es.SimulationError, match="step_ms is for engine 'clocked', and engine 'sweep'"):
        es.simulate(plain, events, engine="sweep", step_ms=0.5)
    with pytest.raises(es.SimulationError, match="step_ms must be a finite number of ms > 0, got -1"):
        es.simulate(plain, events, engine="clocked", step_ms=-1)
    with pytest.raises(es.SimulationError, match=r"refractory must be whole steps of 0\.7 ms, got 2 ms"):
        es.simulate(plain, events, engine="clocked", step_ms=0.7)
    with pytest.raises(es.SimulationError, match="tau_s must not be shorter than a step of 20 ms, got 8 ms"):
        es.simulate(plain.replace("output", refractory=20.0), events, engine="clocked", step_ms=20)
    looped = es.Network(es.Input(1), es.Dense(1, name="a"), connections=[es.Connection("a", "a", delay=1.5)])
    with pytest.raises(es.SimulationError, match=r"'a->a': delay must be whole steps of 1 ms, got 1\.5 ms"):
        es.simulate(looped, events, engine="clocked")


ODD = {"tau_m": 11.0, "tau_s": 3.0, "refractory": 0.0}  # no power of two, no refractory period

NETWORKS = {
    "dense": [
        es.Dense(33, threshold=1.0, lateral_inhibition=0.3),
        es.Dense(7, name="output", threshold=0.5, lateral_inhibition=0.5, **ODD),
    ],
    "without biases": [
        es.Conv(3, 3, threshold=0.5, bias=False),
        es.Dense(33, threshold=1.0, bias=False),
        es.Dense(7, name="output", threshold=0.5),
    ],
    "conv above dense": [
        es.Dense(33, threshold=1.0),
        es.Conv(9, 1, padding=1, threshold=0.5),
        es.Pool(2, stride=1, threshold=0.6, **ODD),
        es.Dense(4, name="output", threshold=1.0),
    ],
    "spatial": [
        es.Conv(9, (3, 2), stride=(2, 1), padding=1, dilation=(1, 2), threshold=0.5),
        es.Pool(2, stride=1, threshold=0.6, **ODD),
        es.Conv(35, 2, threshold=0.7, **ODD),
        es.Dense(4, name="output", threshold=1.0),
    ],
    "pooling last": [es.Conv(3, 3, threshold=0.5), es.Pool((1, 2), name="output", threshold=0.5)],
}


@pytest.mark.parametrize("isa", block.supported())
@pytest.mark.parametrize(
    ("name", "interval"),
    [
        *(
            ("dense", 0.0),
            ("dense", 0.7),
            ("dense", 3.3),
            ("dense", 1e3),
            ("without biases", 3.3),
            ("conv above dense", 3.3),
        ),
        *(("spatial", 0.0), ("spatial", 0.7), ("spatial", 3.3), ("pooling last", 0.0), ("pooling last", 3.3)),
    ],
)
def test_kernel_gives_the_spikes_of_its_twin(name: str, interval: float, isa: str) -> None:
    network = es.Network(es.Input(8, 7, 2, bias_interval=interval), *NETWORKS[name])
    rng = np.random.default_rng(1)
    network = network.with_weights(
        {key: rng.normal(0.2, 1.0, shape) for key, shape in network.weight_shapes().items()}
    )
    # Between steps, several in one step, unsorted.
    times, neurons = rng.uniform(0.0, 60.0, 800), rng.integers(0, 112, 800)
    before = block.selected
    block.select(isa)
    try:
        run = clocked.run(network, times, neurons, t_stop=79.0)
    finally:
        block.select(before)
    expected = clocked_twin.run(network, times, neurons, 80)
    for layer, (when, who) in zip(network.names, expected, strict=True):
        assert len(when) > 20
        np.testing.assert_array_equal(run[layer].times, when)
        np.testing.assert_array_equal(run[layer].neurons, who)


def test_the_bias_neuron_is_an_input_that_fires_regularly(simulate) -> None:
    rng = np.random.default_rng(4)
    weights = {"output": rng.normal(0.5, 1.0, (5, 4))}
    layer = es.Dense(5, name="output", threshold=1.0)
    times, neurons = np.sort(rng.uniform(0.0, 50.0, 30)), rng.integers(0, 3, 30)
    times[-1] = 50.0  # biases end with the input: a spike at 50 and none at 52.5
    found = simulate(es.Network(es.Input(3, bias_interval=2.5), layer, weights=weights), times, neurons, 80)
    spikes = np.arange(1, 21) * 2.5
    order = np.argsort(np.append(times, spikes), kind="stable")
    given = np.append(times, spikes)[order], np.append(neurons, np.full(20, 3))[order]
    expected = simulate(es.Network(es.Input(4), layer, weights=weights), *given, 80)
    assert len(expected[0][0]) > 5
    np.testing.assert_array_equal(found, expected)


def test_record_has_the_bias_neurons_steps() -> None:
    network = es.Network(es.Input(1, bias_interval=2.5), es.Dense(1, name="output"))
    events = np.array([1.0, 9.0]), np.array([0, 0])
    for stop, steps in ((20.0, [2, 5, 7]), (6.0, [2, 5])):
        run = es.simulate(network, events, engine="clocked", dtype="float32", t_stop=stop)
        np.testing.assert_array_equal(run["bias"].times, steps)


def test_runs_of_no_step_and_of_no_input() -> None:
    network = es.Network(es.Input(3), es.Dense(2, name="output"))
    nothing = (np.empty(0), np.empty(0, np.int64))
    for stop in (0.0, 5.0):
        assert len(clocked.run(network, *nothing, t_stop=stop)["output"]) == 0
    with pytest.raises(es.SimulationError, match=r"takes up to 1000000 steps of 1 ms, got 10000001 ms"):
        clocked.run(network, *nothing, t_stop=1e7)
