"""Synaptic operations against a count by hand: every spike at every synapse that was written down here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import eventsnn as es
from eventsnn.errors import SimulationError
from eventsnn.simulate.engines import twin
from eventsnn.trace import TraceWriter
from eventsnn.trace.operations import OperationCounter, Operations, count_operations, neurobench
from eventsnn.trace.record import SpikeRecord

Synapse = tuple[str, int, str, int, float, float]
"""Source, its neuron, target, its neuron, weight, delay in ms."""


def dense_synapses(source: str, target: str, weights: np.ndarray, delays=0.0) -> Iterator[Synapse]:
    """All pairs; `delays` of all, or of each source neuron."""
    delays = np.broadcast_to(delays, weights.shape[1])
    for (post, pre), weight in np.ndenumerate(weights):
        yield source, pre, target, post, float(weight), float(delays[pre])


def window_synapses(
    source: tuple[str, int, int, int], target: tuple[str, int, int, int], kernel, stride: int, padding: int
) -> Iterator[Synapse]:
    """Synapses of cells inside the source's map; ``kernel(channel, from, y, x)`` is the weight or None."""
    name, maps, height, width = source
    layer, channels, rows, columns = target
    for channel in range(channels):
        for row in range(rows):
            for column in range(columns):
                post = (channel * rows + row) * columns + column
                for each, y, x in np.ndindex(maps, height, width):
                    v, u = y - (row * stride - padding), x - (column * stride - padding)
                    weight = kernel(channel, each, v, u)
                    if weight is not None:
                        yield name, (each * height + y) * width + x, layer, post, float(weight), 0.0


def count_by_hand(synapses: list[Synapse], run: SpikeRecord) -> dict[str, tuple[int, int]]:
    """Additions and effective additions of each layer: spike by spike, synapse by synapse."""
    found = dict.fromkeys(run.layers, (0, 0))
    for source, pre, target, _, weight, delay in synapses:
        n = sum(time + delay <= run.t_end for time in run[source].of(pre).tolist())
        every, effective = found[target]
        found[target] = (every + n, effective + n * (weight != 0.0))
    return found


def check(network: es.Network, synapses: list[Synapse], run: SpikeRecord, folder: Path) -> Operations:
    """Both counts, of the run and of its trace, are those by hand."""
    expected = count_by_hand(synapses, run)
    counter = OperationCounter(network)
    counter.add(run)
    with TraceWriter(folder / "t.h5", network) as writer:
        writer.append(run)
        writer.append(run)
    with es.Trace(folder / "t.h5") as trace:
        traced = count_operations(trace)
    for operations, n in ((counter.total(), 1), (traced, 2)):
        assert len(operations) == n
        for sample in range(n):
            for layer, name in enumerate(network.names):
                counted = operations.additions[sample, layer], operations.effective[sample, layer]
                assert counted == expected[name], name
                assert operations.spikes[sample, layer] == len(run[name])
            assert operations.events[sample] == len(run.input)
    return counter.total()


def some_zeros(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    return np.where(rng.random(shape) < 0.3, 0.0, rng.uniform(low, high, shape))


def random_input(rng: np.random.Generator, neurons: int, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    return np.sort(rng.integers(0, 60_000, n)) / 1000.0, rng.integers(0, neurons, n)


@pytest.mark.parametrize("seed", range(3))
def test_dense_recurrent_lateral_and_delayed(tmp_path, seed) -> None:
    rng = np.random.default_rng(seed)
    by_source = rng.uniform(0.5, 20.0, 7).round(2)
    network = es.Network(
        es.Input(6),
        es.Dense(7, name="hidden", threshold=0.5, lateral_inhibition=0.1, delay=3.0),
        es.Dense(4, name="output", threshold=0.5, delay=by_source.tolist()),
        connections=[es.Connection("output", "hidden", delay=11.0), es.Connection("hidden", "hidden")],
        weights={
            "hidden": some_zeros(rng, (7, 6), 0.0, 2.0),
            "output": some_zeros(rng, (4, 7), 0.0, 2.0),
            "output->hidden": some_zeros(rng, (7, 4), -0.2, 0.3),
            "hidden->hidden": some_zeros(rng, (7, 7), -0.3, 0.2),
        },
    )
    w = network.weights
    synapses = [
        *dense_synapses("input", "hidden", w["hidden"], 3.0),
        *dense_synapses("hidden", "output", w["output"], by_source),
        *dense_synapses("output", "hidden", w["output->hidden"], 11.0),
        *dense_synapses("hidden", "hidden", w["hidden->hidden"]),
        *(("hidden", i, "hidden", j, -0.1, 0.0) for i in range(7) for j in range(7) if i != j),
    ]
    run = twin.run(network, *random_input(rng, 6), t_stop=40.0)
    assert all(len(train) > 10 for train in run.layers.values())
    found = check(network, synapses, run, tmp_path)
    # Some do not arrive any more, and the count would be another with them.
    later = count_by_hand([(*synapse[:5], 0.0) for synapse in synapses], run)
    assert later["output"][0] > found.additions[0, 1]
    assert (found.effective < found.additions).all()


@pytest.mark.parametrize("seed", range(3))
def test_sparse_weights_with_a_delay_each(tmp_path, seed) -> None:
    rng = np.random.default_rng(seed)
    hidden = sparse.random(8, 6, 0.4, "csr", rng=rng)
    output = sparse.random(5, 8, 0.5, "csr", rng=rng)
    hidden.data[:] = rng.uniform(0.5, 2.0, hidden.nnz)
    output.data[:] = rng.uniform(0.5, 2.0, output.nnz)
    hidden.data[::4] = 0.0  # stored, but without an effect
    delays = rng.uniform(0.1, 25.0, output.nnz).round(2)
    network = es.Network(
        es.Input(6),
        es.Dense(8, name="hidden", threshold=0.3),
        es.Dense(5, name="output", threshold=0.5),
        weights={"hidden": hidden, "output": output},
        delays={"output": delays},
    )
    first, second = hidden.tocoo(), output.tocoo()
    assert first.nnz == hidden.nnz
    synapses = [
        *(
            ("input", j, "hidden", i, v, 0.0)
            for i, j, v in zip(first.row, first.col, first.data, strict=True)
        ),
        *(
            ("hidden", j, "output", i, v, d)
            for i, j, v, d in zip(second.row, second.col, second.data, delays, strict=True)
        ),
    ]
    run = twin.run(network, *random_input(rng, 6), t_stop=35.0)
    assert len(run["hidden"]) > 10
    found = check(network, synapses, run, tmp_path)
    assert found.effective[0, 0] < found.additions[0, 0]
    assert found.additions[0, 1] < output.nnz / 8 * 10 * len(run["hidden"])


@pytest.mark.parametrize(("stride", "padding", "kernel"), [(1, 0, 3), (2, 1, 3), (3, 2, 5), (2, 0, 2)])
def test_convolutions_and_pooling_at_their_borders(tmp_path, stride, padding, kernel) -> None:
    rng = np.random.default_rng(kernel + stride)
    network = es.Network(
        es.Input(7, 6, 2),
        es.Conv(3, kernel=kernel, stride=stride, padding=padding, threshold=0.4, name="conv"),
        es.Pool(2, stride=1, threshold=0.5, name="pool"),
        es.Dense(4, threshold=1.0, name="output"),
        seed=1,
    )
    weights = {name: some_zeros(rng, w.shape, 0.0, 1.0) for name, w in network.weights.items()}
    network = network.with_weights(weights)
    w = weights["conv"]

    def conv(channel: int, source: int, y: int, x: int) -> float | None:
        return w[channel, source, y, x] if 0 <= y < kernel and 0 <= x < kernel else None

    def pool(channel: int, source: int, y: int, x: int) -> float | None:
        return 1.0 if channel == source and 0 <= y < 2 and 0 <= x < 2 else None

    maps = {"input": ("input", 2, 6, 7)}
    maps |= {name: (name, *network[name].shape) for name in ("conv", "pool")}
    assert maps["conv"][2:] == tuple((n + 2 * padding - kernel) // stride + 1 for n in (6, 7))
    synapses = [
        *window_synapses(maps["input"], maps["conv"], conv, stride, padding),
        *window_synapses(maps["conv"], maps["pool"], pool, 1, 0),
        *dense_synapses("pool", "output", weights["output"]),
    ]
    run = twin.run(network, *random_input(rng, 84, 400), t_stop=math.inf)
    assert min(len(run["conv"]), len(run["pool"])) > 20
    check(network, synapses, run, tmp_path)


def test_biases_are_told_apart(tmp_path) -> None:
    rng = np.random.default_rng(3)
    network = es.Network(es.Input(4, bias_interval=5.0), es.Dense(3, threshold=0.5, name="output"), seed=1)
    network = network.with_weights({"output": some_zeros(rng, (3, 5), 0.1, 1.0)})
    run = twin.run(network, *random_input(rng, 4, 50), t_stop=60.0)
    assert len(run.bias) > 5
    w = network.weights["output"]
    synapses = [
        *dense_synapses("input", "output", w[:, :4]),
        *(("bias", 0, "output", post, float(w[post, 4]), 0.0) for post in range(3)),
    ]
    found = check(network, synapses, run, tmp_path)
    effective = int(np.count_nonzero(w[:, 4]))
    assert found.biases.tolist() == [[effective * len(run.bias)]]
    report = neurobench(network, found, 1.0)
    assert report["SynapticOperations"]["Effective_ACs"] == found.effective.sum() - found.biases.sum()


def test_neurobench_of_a_network_that_can_be_counted() -> None:
    weights = {
        "hidden": np.array([[20.0, 0.0], [20.0, 0.0], [0.0, 0.0]]),
        "output": np.array([[0.0, 9.0, 9.0]]),
    }
    network = es.Network(
        es.Input(2), es.Dense(3, threshold=1.0), es.Dense(1, threshold=500.0), weights=weights
    )
    run = twin.run(network, np.array([1.0]), np.array([0]), t_stop=10.0)
    n = [len(run["hidden"].of(neuron)) for neuron in range(3)]
    assert min(n[:2]) > 0
    assert (n[2], len(run["output"])) == (0, 0)
    counter = OperationCounter(network)
    counter.add(run)
    spikes = n[0] + n[1]
    expected = {
        "Footprint": 4 * 9,
        "ParameterCount": 9,
        "ConnectionSparsity": 1.0 - 4 / 9,
        "ActivationSparsity": 1.0 - spikes / (4 * 20),
        "SynapticOperations": {"Effective_MACs": 0.0, "Effective_ACs": 2 + n[1], "Dense": 9 * 20},
        "MembraneUpdates": 3 + spikes * 1 + spikes,
    }
    found = neurobench(network, counter.total(), 0.5)
    assert found.pop("SynapticOperations") == expected.pop("SynapticOperations")
    assert found == pytest.approx(expected)
    for dt in (0.0, -1.0, math.nan, math.inf, "1"):
        with pytest.raises(SimulationError, match="dt_ms: must be a time > 0"):
            neurobench(network, counter.total(), dt)


def test_an_evaluation_counts_what_its_trace_tells(tmp_path) -> None:
    data = es.data.YinYang("test", samples=20)
    network = es.Network(
        es.Input(*data.sensor_size),
        es.Dense(30, name="hidden", threshold=0.3),
        es.Dense(3, threshold=0.2),
        classes=data.classes,
        seed=1,
    )
    plain = es.evaluate(network, data)
    outcome = es.evaluate(network, data, operations=True, trace=tmp_path / "t.h5", threads=2)
    assert plain.operations is None
    assert outcome.accuracy == plain.accuracy
    assert np.array_equal(outcome.predictions.counts, plain.predictions.counts)
    with es.Trace(tmp_path / "t.h5") as trace:
        traced = count_operations(trace)
    for name in ("additions", "effective", "spikes", "events"):
        assert np.array_equal(getattr(outcome.operations, name), getattr(traced, name)), name
    assert outcome.operations.lengths_ms == pytest.approx(traced.lengths_ms)
    values = json.loads(json.dumps(outcome.to_dict()))["operations"]
    assert values["effective_per_recording"] == traced.effective.sum() / 20
    assert values["layers"]["hidden"]["effective"] == traced.effective[:, 0].mean()
