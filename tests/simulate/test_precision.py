"""What a precision cannot hold is refused, and a state that overflows is an error: in every engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import eventsnn as es
from eventsnn.data import ListDataset
from eventsnn.errors import SimulationError
from eventsnn.events import EventStream
from eventsnn.simulate.engines import queue

FLOAT32 = {
    "queue": {"engine": "queue", "dtype": "float32"},
    "sweep": {"engine": "sweep", "dtype": "float32"},
    "clocked": {"engine": "clocked", "dtype": "float32", "t_stop": 250.0},
}
FLOAT64 = {
    "queue": {"engine": "queue"},
    "sweep": {"engine": "sweep"},
    "twin": {"engine": "twin"},
}
EVENTS = np.arange(200.0), np.arange(200) % 4
OVERFLOW = r"a membrane potential or synaptic current has left the range of {} .*smaller weights"


def make_network(weight: float, threshold: float, **options: float) -> es.Network:
    return es.Network(
        es.Input(4),
        es.Dense(3, threshold=threshold, name="hidden", **options),
        es.Dense(2, threshold=1.0),
        weights={"hidden": np.full((3, 4), weight), "output": np.ones((2, 3))},
    )


def make_data() -> ListDataset:
    stream = EventStream.from_arrays(np.arange(200) * 500, np.arange(200) % 4, sensor_size=(4, 1, 1))
    return ListDataset([stream] * 4, [0, 1, 0, 1])


@pytest.mark.parametrize("engine", FLOAT32)
@pytest.mark.parametrize(
    ("network", "text"),
    [
        (make_network(1e39, 1.0), r"weights of 'hidden': one of size 1e\+39 is beyond what float32 holds"),
        (make_network(-1e300, 1.0), r"weights of 'hidden': one of size 1e\+300 is beyond what float32 holds"),
        (make_network(1.0, 1e39), r"layer 'hidden': threshold = 1e\+39 is beyond what float32 holds"),
        (make_network(1.0, 1.0, lateral_inhibition=1e39), r"'hidden': lateral_inhibition = 1e\+39 is beyond"),
    ],
    ids=["weight", "negative weight", "threshold", "inhibition"],
)
def test_what_float32_cannot_hold(network: es.Network, text: str, engine: str) -> None:
    with pytest.raises(SimulationError, match=text):
        es.simulate(network, EVENTS, **FLOAT32[engine])


@pytest.mark.parametrize("engine", ["queue", "sweep"])
def test_what_float32_would_make_0(engine: str) -> None:
    network, text = make_network(1e-50, 1e-50), "threshold = 1e-50 is below what float32 holds"
    with pytest.raises(SimulationError, match=text):
        es.simulate(network, EVENTS, **FLOAT32[engine])
    with pytest.raises(SimulationError, match=text):
        es.Simulation(network, engine=engine, dtype="float32")
    with pytest.raises(SimulationError, match=text):
        es.evaluate(network, make_data(), engine=engine, threads=1)


@pytest.mark.parametrize(
    ("threshold", "resting", "text"),
    [
        (1e38, -1e39, r"resting = -1e\+39 is beyond what float32 holds"),
        (3e38, -3e38, r"threshold - resting = 6e\+38 is beyond what float32 holds"),
        (
            1.0,
            -1e7,
            r"threshold = 1 is lost beside resting = -1e\+07 in float32: a neuron would fire for ever",
        ),
    ],
)
def test_resting_potentials(threshold: float, resting: float, text: str) -> None:
    network = make_network(1.0, threshold, resting=resting)
    with pytest.raises(SimulationError, match=f"layer 'hidden': {text}"):
        es.simulate(network, EVENTS, dtype="float32")
    assert len(es.simulate(network, EVENTS)["hidden"]) == 0


@pytest.mark.parametrize("engine", ["queue", "twin"])
def test_a_threshold_that_float64_loses(engine: str) -> None:
    with pytest.raises(SimulationError, match=r"is lost beside resting = .* in float64"):
        es.simulate(make_network(1.0, 1.0, resting=-1e16), EVENTS, engine=engine)


def test_float64_holds_them() -> None:
    """The same network in other units has the same spikes, where its numbers can be held."""
    expected = es.simulate(make_network(1.0, 2.0), EVENTS)
    for scale in (1e-300, 1e-50, 1e39, 1e300):
        found = es.simulate(make_network(scale, 2.0 * scale), EVENTS)
        np.testing.assert_allclose(found["hidden"].times, expected["hidden"].times, rtol=0, atol=1e-9)
    assert len(expected["hidden"]) > 10


@pytest.mark.parametrize("engine", FLOAT32)
@pytest.mark.parametrize(("weight", "threshold"), [(3e38, 3e38), (-3e38, 1.0), (2e38, 1e38)])
def test_overflow_in_float32(engine: str, weight: float, threshold: float) -> None:
    with pytest.raises(SimulationError, match=OVERFLOW.format("float32")):
        es.simulate(make_network(weight, threshold), EVENTS, **FLOAT32[engine])


@pytest.mark.parametrize("engine", FLOAT64)
@pytest.mark.parametrize(("weight", "threshold"), [(1.7e308, 1.7e308), (-1.7e308, 1.0)])
def test_overflow_in_float64(engine: str, weight: float, threshold: float) -> None:
    network = make_network(weight, threshold)
    with pytest.raises(SimulationError, match=OVERFLOW.format("float64")):
        es.simulate(network, EVENTS, **FLOAT64[engine])
    run = es.Simulation(network, engine=engine)

    def feed_all() -> None:
        for k in range(0, 200, 10):
            run.feed((EVENTS[0][k : k + 10], EVENTS[1][k : k + 10]))
        run.finish()

    with pytest.raises(SimulationError, match=OVERFLOW.format("float64")):
        feed_all()


def test_overflow_of_sparse_weights() -> None:
    dense = make_network(-1.7e308, 1.0)
    sparse = es.Network(
        dense.input, *dense.layers, weights={**dense.weights, "hidden": csr_array(dense.weights["hidden"])}
    )
    with pytest.raises(SimulationError, match=OVERFLOW.format("float64")):
        es.simulate(sparse, EVENTS, engine="queue")


def test_overflow_of_opposite_signs_is_no_silence() -> None:
    """Infinite excitation and infinite inhibition make NaN, which never reaches a threshold."""
    weights = np.array([[3e38, 3e38, -3e38, -3e38]])
    network = es.Network(es.Input(4), es.Dense(1, threshold=3e38), weights={"output": weights})
    times = np.zeros(40), np.arange(40) // 10
    for engine in ("queue", "sweep"):
        with pytest.raises(SimulationError, match=OVERFLOW.format("float32")):
            es.simulate(network, times, **FLOAT32[engine])


@pytest.mark.parametrize("engine", ["auto", "queue", "clocked"])
def test_overflow_in_evaluation(engine: str) -> None:
    with pytest.raises(SimulationError, match=OVERFLOW.format("float32")):
        es.evaluate(make_network(3e38, 3e38), make_data(), engine=engine, threads=2)


@pytest.mark.parametrize("engine", ["exact", "clocked"])
def test_overflow_in_training(engine: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"engine": engine, "out": tmp_path / "run", "valid_fraction": 0.0}
    with pytest.raises(SimulationError, match=OVERFLOW.format("float32")):
        es.train(make_network(3e38, 3e38), make_data(), threads=2, **options)
    with pytest.raises(SimulationError, match="beyond what float32 holds"):
        es.train(make_network(1e39, 1.0), make_data(), threads=1, **options)


def test_overflow_of_convolutions() -> None:
    network = es.Network(
        es.Input(4, 4),
        es.Conv(2, 3, threshold=3e38, name="conv"),
        es.Dense(2),
        weights={"conv": np.full((2, 1, 3, 3), 3e38), "output": np.ones((2, 8))},
    )
    events = np.arange(160.0), np.arange(160) % 16
    for engine in FLOAT32:
        with pytest.raises(SimulationError, match=OVERFLOW.format("float32")):
            es.simulate(network, events, **FLOAT32[engine])


# -- engine x dtype --------------------------------------------------------------------------------


def sparse_network() -> es.Network:
    return es.Network(es.Input(4), es.Dense(8, threshold=0.5, probability=0.5), es.Dense(2), seed=1)


def spatial_network() -> es.Network:
    return es.Network(es.Input(2, 2), es.Conv(2, 2, threshold=0.3), es.Dense(2, threshold=0.3), seed=1)


@pytest.mark.parametrize("make", [make_network, sparse_network, spatial_network])
@pytest.mark.parametrize("engine", ["auto", "queue", "sweep", "twin", "clocked"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_dtype_is_honoured_or_refused(make, engine: str, dtype: str) -> None:
    network = make(1.0, 2.0) if make is make_network else make()
    options = {"t_stop": 250.0} if engine == "clocked" else {}
    if (engine, dtype) in (("twin", "float32"), ("clocked", "float64")):
        with pytest.raises(SimulationError, match=f"engine '{engine}' computes in float.. only"):
            es.simulate(network, EVENTS, engine=engine, dtype=dtype, **options)
    elif engine == "sweep" and make is sparse_network:
        with pytest.raises(SimulationError, match="engine 'sweep' cannot run this network"):
            es.simulate(network, EVENTS, engine=engine, dtype=dtype)
    else:
        assert es.simulate(network, EVENTS, engine=engine, dtype=dtype, **options).dtype == dtype


def test_float32_makes_sparse_weights_dense() -> None:
    network, twin = sparse_network(), es.simulate(sparse_network(), EVENTS, engine="twin")
    run = es.simulate(network, EVENTS, engine="queue", dtype="float32")
    np.testing.assert_allclose(run["hidden"].times, twin["hidden"].times, rtol=0, atol=1e-3)
    assert es.simulate(network, EVENTS, engine="queue").dtype == "float64"


def test_too_large_to_be_made_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "DENSE_LIMIT", 100)
    with pytest.raises(SimulationError, match=r"dtype 'float32' is asked for; .* must be made dense"):
        es.simulate(sparse_network(), EVENTS, engine="queue", dtype="float32")
    with pytest.raises(SimulationError, match=r"dtype 'float32' is asked for; .* must be made dense"):
        es.evaluate(sparse_network(), make_data(), dtype="float32", threads=1)
    assert es.simulate(sparse_network(), EVENTS, engine="queue").dtype == "float64"
    assert es.evaluate(sparse_network(), make_data(), threads=1).n == 4  # takes float64 of its own accord
