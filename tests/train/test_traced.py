"""evaluate(trace=...): the trace holds what was run, labels and decisions"""

from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import TraceError
from eventsnn.events import EventStream
from eventsnn.trace import Trace, TraceOptions
from tests.cli.conftest import SENSOR, make_network, make_stream

LATE = 5_000_000
"""Microseconds after which a recording begins that counts from its first event."""


LATE_ONE = 4


@pytest.fixture(params=["files", "streams"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> es.data.Folder | es.data.ListDataset:
    """Seven recordings of two classes; one counts from its first event, which loaders subtract, or read."""
    streams = [make_stream(int(n > 3), n) for n in range(7)]
    late = streams[LATE_ONE].events.copy()
    late["t"] += LATE
    streams[LATE_ONE] = EventStream(late, SENSOR)
    if request.param == "streams":
        return es.data.ListDataset([s.events for s in streams], LABELS, sensor_size=SENSOR)
    for n, stream in enumerate(streams):
        folder = tmp_path / "data" / str(LABELS[n])
        folder.mkdir(parents=True, exist_ok=True)
        es.write(folder / f"{n:05d}.bin", stream)
    return es.data.Folder(tmp_path / "data", sensor=SENSOR)


LABELS = [0, 0, 0, 0, 1, 1, 1]


def reservoir() -> es.Network:
    return es.Network(
        es.Input(*SENSOR),
        es.Reservoir(
            grid=(2, 3, 4),
            name="liquid",
            initial_distribution="fixed",
            initial_synapses=9,
            initial_weight=8.0,
        ),
        es.Dense(2, threshold=0.5, initial_mean=0.5),
        seed=3,
    )


@pytest.mark.parametrize(
    ("engine", "network", "dtype"),
    [
        ("sweep", make_network(), None),
        ("queue", make_network(), "float64"),
        ("clocked", make_network(), None),
        ("auto", reservoir(), None),
    ],
)
def test_evaluations_are_traced(
    tmp_path: Path, data: es.data.Folder, engine: str, network: es.Network, dtype: str | None
) -> None:
    plain = es.evaluate(network, data, engine=engine, dtype=dtype, threads=2)
    traced = es.evaluate(network, data, engine=engine, dtype=dtype, threads=2, trace=tmp_path / "t.h5")
    np.testing.assert_array_equal(plain.predictions.counts, traced.predictions.counts)
    with Trace(tmp_path / "t.h5") as trace:
        assert [sample.label for sample in trace.samples] == LABELS
        decisions = [-1 if s.prediction is None else s.prediction for s in trace.samples]
        assert decisions == plain.predictions.decisions.tolist()
        assert [sample.source for sample in trace.samples] == plain.predictions.sources
        assert [sample.origin_us for sample in trace.samples] == [
            int(data.stream(n).events["t"][0]) if n == LATE_ONE else 0 for n in range(7)
        ]
        np.testing.assert_array_equal(trace.counts(network.names[-1]), plain.predictions.counts)
        for number in range(7):
            found = trace.record(number)
            if engine == "auto":  # each part of such a network runs with an engine of its own
                times = data.stream(number).times_ms(trace.samples[number].origin_us)
                np.testing.assert_array_equal(found.input.times, times)
                continue
            expected = es.simulate(network, data.stream(number), engine=engine, dtype=found.dtype)
            for layer in ("input", *network.names):
                np.testing.assert_array_equal(found[layer].times, expected[layer].times)
                np.testing.assert_array_equal(found[layer].neurons, expected[layer].neurons)
            assert (found.t_end, found.exit_reason) == (expected.t_end, expected.exit_reason)
            assert found.origin_us == expected.origin_us


def test_recordings_are_chosen(tmp_path: Path, data: es.data.Folder) -> None:
    options = TraceOptions(tmp_path / "t.h5", record="potential", samples=[1, 5], layers=["output"])
    found = es.evaluate(make_network(), data, dtype="float64", trace=options)
    assert found.n == 7
    with Trace(tmp_path / "t.h5") as trace:
        assert [sample.source for sample in trace.samples] == [found.predictions.sources[n] for n in (1, 5)]
        assert set(trace.potential("output", 1).neurons.tolist()) == {0, 1}
        with pytest.raises(TraceError, match="no membrane potential of layer 'hidden'"):
            trace.potential("hidden")


def test_mistakes_are_told_before_anything_runs(tmp_path: Path, data: es.data.Folder) -> None:
    with pytest.raises(TraceError, match="samples: recordings are numbered from 0, got -1"):
        TraceOptions(tmp_path / "t.h5", samples=[-1])
    options = TraceOptions(tmp_path / "t.h5", record="potential")
    with pytest.raises(TraceError, match="record 'potential' needs spikes in exact time"):
        es.evaluate(make_network(), data, engine="clocked", trace=options)
    assert not list(tmp_path.glob("t.h5*"))
