"""The clocked engine: against steps written out by hand, and against every golden spike of the authors."""

from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.engines import clocked
from tests.real_data import real_data

STEPS = 450
SHAPES = {"conv1": (5, 24, 24), "pool1": (5, 12, 12), "conv2": (3, 8, 8), "pool2": (3, 4, 4)}


def read_spikes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    table = np.loadtxt(path, dtype=np.int64, ndmin=2)
    table = table[table[:, 0] >= 0]
    return table[:, 1].astype(float), table[:, 0]


def read_dense(path: Path, pre: int, post: int) -> np.ndarray:
    weights = np.zeros((post, pre), np.float32)
    for line in path.read_text().splitlines():
        _, source, target, value = line.split()
        weights[int(target.rsplit("_", 1)[1]), int(source.rsplit("_", 1)[1])] = float(value)
    return weights


def golden_network(folder: Path, suffix: str) -> es.Network:
    def kernels(name: str, shape: tuple[int, ...]) -> np.ndarray:
        flat = np.loadtxt(folder / "weights" / f"{name}_info{suffix}.txt", dtype=np.float32).ravel()
        return flat[: int(np.prod(shape))].reshape(shape)

    weights = {
        "conv1": kernels("conv1", (5, 1, 5, 5)),
        "conv2": kernels("conv2", (3, 5, 5, 5)),
        "hidden": read_dense(folder / "weights" / f"hidden_info{suffix}.txt", 48, 100),
        "output": read_dense(folder / "weights" / f"output_info{suffix}.txt", 100, 10),
    }
    return es.Network(
        es.Input(28, 28),
        es.Conv(5, 5, name="conv1", threshold=5.0),
        es.Pool(2, name="pool1", threshold=2.0),
        es.Conv(3, 5, name="conv2", threshold=5.0),
        es.Pool(2, name="pool2", threshold=2.0),
        es.Dense(100, name="hidden", threshold=10.0),
        es.Dense(10, name="output", threshold=5.0, lateral_inhibition=1.0),
        weights=weights,
    )


@pytest.mark.parametrize(("phase", "suffix"), [("train", ""), ("test", "_trained")])
def test_every_golden_spike_of_the_authors(phase: str, suffix: str) -> None:
    folder = real_data("golden", "cnn_mnist")
    network = golden_network(folder, suffix)
    times, neurons = read_spikes(folder / "input_spikes_0_5.dat")
    run = clocked.run(network, times, neurons, t_stop=STEPS - 1)
    for name, shape in SHAPES.items():
        dump = np.loadtxt(folder / "spikes" / name / phase / f"{name}_1.dat", dtype=np.int8).ravel()
        grid = dump.reshape(shape[0], STEPS, -1).transpose(1, 0, 2).reshape(STEPS, -1)
        when, who = np.nonzero(grid)
        assert len(when) > 0
        np.testing.assert_array_equal(run[name].times, when)
        np.testing.assert_array_equal(run[name].neurons, who)
    for name in ("hidden", "output"):
        when, who = read_spikes(folder / "spikes" / name / phase / f"{name}.dat")
        order = np.lexsort((who, when))
        np.testing.assert_array_equal(run[name].times, when[order])
        np.testing.assert_array_equal(run[name].neurons, who[order])


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
    with pytest.raises(es.SimulationError, match=r"layer 'output': a delay of 0\.5 ms"):
        es.simulate(delayed, (np.array([1.0]), np.array([0])), engine="clocked", dtype="float32", t_stop=5.0)
    plain = es.Network(es.Input(1), es.Dense(1, name="output"))
    with pytest.raises(es.SimulationError, match="t_stop"):
        es.simulate(plain, (np.array([1.0]), np.array([0])), engine="clocked", dtype="float32")
    with pytest.raises(es.SimulationError, match="float32 only"):
        es.simulate(plain, (np.array([1.0]), np.array([0])), engine="clocked", t_stop=5.0)
