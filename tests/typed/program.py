"""A user's program, which ``mypy --strict`` must accept: names, arguments and results have types."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import eventsnn as es
from eventsnn.data import Folder, ListDataset, Packed, pack
from eventsnn.interop import SpikeTable, export_spikes, read_spikes
from eventsnn.learn.optimisers import Optimiser
from eventsnn.model import Projection
from eventsnn.trace import Operations, Sample, TraceWriter, count_operations, neurobench


def build(size: tuple[int, int, int], classes: int) -> es.Network:
    """A network with a convolution."""
    network = es.Network(
        es.Input(*size),
        es.Conv(8, kernel=5, stride=2, threshold=1.0, name="conv"),
        es.Pool(2, threshold=0.5),
        es.Dense(classes, threshold=2.0),
        seed=1,
    )
    weights: np.ndarray = network.weights["output"]
    projections: tuple[Projection, ...] = network.projections
    print(weights.shape, [projection.key for projection in projections], network["conv"].neurons)
    return network.replace("output", threshold=1.5)


def train(folder: Path) -> es.TrainResult:
    """Train, evaluate, and write what comes of it."""
    train_set, test_set = Folder(folder, split="Train"), Folder(folder, split="Test")
    network = build(train_set.sensor_size, len(train_set.classes))
    result = es.train(
        network, train_set, epochs=3, optimiser=Optimiser(learning_rate=0.01), rule=es.HM2BP(), out="run"
    )
    outcome: es.Evaluation = es.evaluate(result.network, test_set, trace="t.h5", operations=True)
    accuracy: float = outcome.accuracy
    operations: Operations | None = outcome.operations
    if operations is not None:
        print(accuracy, neurobench(network, operations, dt_ms=1.0)["SynapticOperations"])
    return result


def look(network: es.Network, path: Path) -> float:
    """Simulate a recording and ask why."""
    recording: es.EventStream = es.read(path)
    run: es.SpikeRecord = es.simulate(network, recording, trace="one.h5")
    decision: int | None = run.decision
    with es.Trace("one.h5") as trace:
        sample: Sample = trace.samples[0]
        counted: Operations = count_operations(trace)
        frame = trace.to_frame("output", library="polars")
        print(sample.source, counted.effective.sum(), frame)
    if decision is None:
        return 0.0
    why: es.Explanation = es.explain("one.h5", layer="output", neuron=decision, spike=0)
    answer: es.Difference = es.what_if("one.h5", remove=[0])
    print(answer.flips)
    return why.threshold


def convert(trace: Path, out: Path, recording: es.EventStream) -> SpikeTable:
    """Spikes for another program, and a packed set."""
    n: int = export_spikes(trace, out, layers=["hidden"], samples=range(3))
    table: SpikeTable = read_spikes(out)
    times: np.ndarray = table.spikes("hidden").times
    data = ListDataset([recording], [0])
    pack(data, "a.esp")
    packed = Packed("a.esp")
    print(n, times[:3], len(packed))
    return table


def write(network: es.Network, runs: list[es.SpikeRecord]) -> None:
    """A trace by hand."""
    with TraceWriter("many.h5", network, record=("spikes", "potential")) as writer:
        for number, run in enumerate(runs):
            writer.append(run, source=f"run {number}", label=number)


if __name__ == "__main__":
    look(train(Path(sys.argv[1])).network, Path(sys.argv[2]))
