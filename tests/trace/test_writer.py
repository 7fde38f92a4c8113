from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import eventsnn as es
import eventsnn.trace.columns as columns_module
import eventsnn.trace.quantities as quantities_module
from eventsnn._util.atomic import find_parts
from eventsnn.errors import TraceError
from eventsnn.model import Dense, Input, Network
from eventsnn.simulate.engines import twin
from eventsnn.trace import Trace, TraceWriter, output, schema
from eventsnn.trace.record import ExitReason, SpikeRecord
from tests.trace.conftest import assert_same_record, busy_input
from tests.trace.killing import needs_kill, run_until_killed


def test_round_trip_to_the_bit(
    trace_path: Path, network: Network, run: SpikeRecord, run2: SpikeRecord
) -> None:
    with Trace(trace_path) as trace:
        assert_same_record(trace.record(0), run2)
        assert_same_record(trace.record(1), run)
        first, second = trace.samples
        assert (first.source, first.label, first.epoch, first.prediction) == (
            "second.bin",
            2,
            7,
            run2.decision,
        )
        assert (second.source, second.label, second.epoch) == ("first.bin", None, None)
        assert (first.t_start, first.t_stop, second.t_start, second.t_stop) == (0.0, 70.0, 70.0, 150.0)
        np.testing.assert_array_equal(trace.counts("hidden"), [run2["hidden"].counts, run["hidden"].counts])
        assert trace.n_spikes("input") == len(run.input) + len(run2.input)
        assert trace.network.to_table() == network.to_table()
        for key, weights in network.weights.items():
            np.testing.assert_array_equal(trace.network.weights[key], weights)
        assert trace.recorded == ("spikes", "potential", "spsp")
        assert (trace.config["engine"], trace.config["t_stop"], trace.seed) == ("twin", 80.0, 5)
        assert set(trace.versions) == {"eventsnn", "python", "numpy", "h5py", "hdf5"}


def test_file_follows_sonata(trace_path: Path) -> None:
    with h5py.File(trace_path, "r") as file:
        assert file.attrs["magic"] == 0x0A7A
        assert file.attrs["version"].tolist() == [0, 1]
        for layer in ("input", "hidden", "middle", "output"):
            group = file[f"spikes/{layer}"]
            times = group["timestamps"]
            assert times.attrs["units"] == "ms"
            # libsonata has no filters: what it reads must be plain.
            assert (times.dtype, times.compression, group["node_ids"].compression) == (np.float64, None, None)
            assert group["node_ids"].dtype == np.uint16  # libsonata and bmtk widen it
            assert sum(group[name].dtype.itemsize for name in schema.SPIKES) <= 16
            assert (np.diff(times[()]) >= 0).all()
            assert h5py.check_enum_dtype(group.attrs.get_id("sorting").dtype) == {
                "none": 0,
                "by_id": 1,
                "by_time": 2,
            }
            assert group.attrs["sorting"] == 2


def test_every_dataset_says_what_it_is(trace_path: Path) -> None:
    quantities = ("timestamps", "value", "v", "t_start", "t_stop", "t_end")

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("network/"):
            assert item.attrs["description"], name
            if name.rpartition("/")[2] in quantities or name.startswith("counts/"):
                assert item.attrs["units"] in ("ms", "1"), name

    with h5py.File(trace_path, "r") as file:
        file.visititems(visit)


def test_empty_trace_and_silent_run(tmp_path: Path) -> None:
    network = Network(Input(2), Dense(2))
    with TraceWriter(tmp_path / "empty.h5", network):
        pass
    with Trace(tmp_path / "empty.h5") as trace:
        assert (len(trace), trace.samples) == (0, ())
        with pytest.raises(TraceError, match="no sample 0; the trace holds no complete sample"):
            trace.record(0)
    silent = twin.run(network, np.zeros(0), np.zeros(0, int))
    with TraceWriter(tmp_path / "silent.h5", network, record=("spsp", "potential")) as writer:
        writer.append(silent)
        writer.append(silent, t_stop_ms=3.0)
    with Trace(tmp_path / "silent.h5") as trace:
        assert_same_record(trace.record(1), silent)
        assert (trace.samples[1].length, trace.samples[1].prediction) == (3.0, None)
        assert trace.potential("output", 1).times.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert trace.spsp_total("output", 0)[2].size == 0


def test_source_is_cut_between_characters(tmp_path: Path) -> None:
    network = Network(Input(2), Dense(2))
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        writer.append(twin.run(network, np.zeros(0), np.zeros(0, int)), source="é" * 99 + "xéé")
    with Trace(tmp_path / "t.h5") as trace:
        assert trace.samples[0].source == "é" * 99 + "x"  # 199 of 200 bytes; the next character has two


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"record": ("spikes", "voltage")},
            "no option 'voltage'; there are spikes, potential, current, spsp, spsp_total",
        ),
        ({"potential_step": 0.0}, "potential_step must be a finite number of ms > 0, got 0.0"),
        ({"config": {"rule": object()}}, "config holds something that JSON cannot"),
    ],
)
def test_bad_arguments_leave_no_file(tmp_path: Path, network: Network, arguments: dict, text: str) -> None:
    with pytest.raises(TraceError, match=text):
        TraceWriter(tmp_path / "t.h5", network, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_place(tmp_path: Path, network: Network) -> None:
    with pytest.raises(TraceError, match=r"no/such/t\.h5: cannot be written"):
        TraceWriter(tmp_path / "no" / "such" / "t.h5", network)


def test_bad_runs_are_refused(tmp_path: Path, network: Network, run: SpikeRecord) -> None:
    other = twin.run(Network(Input(2), Dense(2)), np.zeros(0), np.zeros(0, int))
    clocked = SpikeRecord(run.layers, run.input, run.t_end, run.exit_reason, "clocked", "float32")
    with TraceWriter(tmp_path / "t.h5", network, record=("spsp",)) as writer:
        with pytest.raises(TraceError, match="this run is of another network"):
            writer.append(other)
        with pytest.raises(TraceError, match=r"record 'spsp' needs spikes in exact time.*'clocked'"):
            writer.append(clocked)
        with pytest.raises(
            TraceError, match=r"t_stop_ms must not lie before the last spike at .* ms, got 1\.0"
        ):
            writer.append(run, t_stop_ms=1.0)
        writer.append(run)
    with pytest.raises(TraceError, match="the trace is closed"):
        writer.append(run)
    with Trace(tmp_path / "t.h5") as trace:
        assert len(trace) == 1
        assert_same_record(trace.record(0), run)


@pytest.mark.parametrize(
    "limit", [2**24, 1000]
)  # data of the failing sample still in memory, or written already
def test_interrupted_append_leaves_no_half_sample(
    tmp_path: Path,
    network: Network,
    run: SpikeRecord,
    run2: SpikeRecord,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
) -> None:
    monkeypatch.setattr(columns_module, "FLUSH_BYTES", limit)
    coordinates = quantities_module.pair_totals

    def interrupted(*arguments: object) -> object:
        if arguments[2].key == "output":  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        return coordinates(*arguments)  # type: ignore[arg-type]

    with TraceWriter(tmp_path / "t.h5", network, record=("spsp",)) as writer:
        writer.append(run)
        with monkeypatch.context() as patch:
            patch.setattr(quantities_module, "pair_totals", interrupted)
            with pytest.raises(KeyboardInterrupt):
                writer.append(run)
        writer.append(run2)
    with TraceWriter(tmp_path / "expected.h5", network, record=("spsp",)) as writer:
        writer.append(run)
        writer.append(run2)
    with h5py.File(tmp_path / "t.h5", "r") as found, h5py.File(tmp_path / "expected.h5", "r") as expected:
        names: list[str] = []
        expected.visit(names.append)
        datasets = [name for name in names if isinstance(expected[name], h5py.Dataset)]
        assert len(datasets) > 50
        for name in datasets:
            np.testing.assert_array_equal(found[name][()], expected[name][()], err_msg=name)


def test_exception_leaves_the_complete_samples(tmp_path: Path, network: Network, run: SpikeRecord) -> None:
    path = tmp_path / "t.h5"

    def fail_after_one() -> None:
        with TraceWriter(path, network) as writer:
            writer.append(run)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_one()
    assert not path.exists()
    (part,) = find_parts(path)
    with Trace(part) as trace:
        assert trace.is_part
        assert_same_record(trace.record(0), run)
    with pytest.raises(
        TraceError,
        match=rf"no such file; its run was killed or is still going on: .*{part.name} holds what is complete",
    ):
        Trace(path)


def test_reading_while_writing(tmp_path: Path, network: Network, run: SpikeRecord) -> None:
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        for n in range(25):
            writer.append(run, label=n)
        with Trace(writer.part) as trace:
            assert len(trace) == 20  # written every 10 samples
            assert trace.samples[19].label == 19
            assert_same_record(trace.record(19), run)


KILLED = """
import sys
from eventsnn.simulate.engines import twin
from eventsnn.trace import TraceWriter
from tests.trace.conftest import busy_input, busy_network
from tests.trace.killing import die_at_stroke
die_at_stroke(int(sys.argv[2]))
network = busy_network()
runs = [twin.run(network, *busy_input(seed, 120), t_stop=70.0) for seed in (2, 3)]
writer = TraceWriter(sys.argv[1], network, record=("spsp", "potential"))
while True:
    number = writer.append(runs[0], source="a")
    writer.append(runs[number // 2 % 2], source=str(number + 1))
    if number == 18:
        print("twenty", flush=True)
"""


@needs_kill
@pytest.mark.parametrize("last_stroke", [0, 8, 9])
def test_killed_while_writing(tmp_path: Path, network: Network, run2: SpikeRecord, last_stroke: int) -> None:
    """Killed at any time, or between the three strokes (data, pointers, seal) of the third ten samples."""
    path = tmp_path / "t.h5"
    assert run_until_killed(KILLED, path, last_stroke, wait=None if last_stroke else 0.05) == ["twenty\n"]
    other = twin.run(network, *busy_input(3, 120), t_stop=70.0)
    (part,) = find_parts(path)
    with Trace(part) as trace:
        assert len(trace) == 20 if last_stroke else len(trace) >= 20
        assert len(trace) % 10 == 0
        for sample in trace.samples:
            even = sample.index % 2 == 0
            assert sample.source == ("a" if even else str(sample.index))
            expected = run2 if even or sample.index // 2 % 2 == 0 else other
            assert_same_record(trace.record(sample.index), expected)
            times = expected["hidden"].of(0)
            potential = trace.potential("hidden", sample.index)
            own = potential.neurons == 0
            np.testing.assert_array_equal(potential.times[own & (potential.kinds == 1)], times)
            pre, values = trace.spsp("hidden", 0, len(times) - 1, sample.index)
            assert pre.size > 10
            assert (values > 0).all()


def test_writer_that_fails_before_its_first_sample_leaves_nothing(tmp_path: Path, network: Network) -> None:
    with pytest.raises(ZeroDivisionError), TraceWriter(tmp_path / "t.h5", network):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bias_interval", [0.0, 2.5])
def test_parts_of_a_simulation_make_a_sample(tmp_path, bias_interval):
    """Between other samples, and dropped again if they are not made one."""
    sensor = es.Input(6, bias_interval=bias_interval)
    network = es.Network(sensor, es.Dense(5, threshold=1.0, name="a"), seed=2)
    rng = np.random.default_rng(4)
    times, indices = np.sort(rng.uniform(0.0, 60.0, 300)), rng.integers(0, 6, 300).astype(np.int32)
    whole = es.simulate(network, (times, indices))
    assert len(whole["a"]) > 20

    def in_parts(writer, finish):
        run = es.Simulation(network)
        for part in np.split(np.arange(300), [100, 101, 250]):
            writer.append_part(run.feed((times[part], indices[part])))
        if finish:
            writer.append_part(run.finish())

    with TraceWriter(tmp_path / "t.h5", network) as writer:
        assert writer.end_parts() is None
        writer.append(whole)
        in_parts(writer, finish=True)
        with pytest.raises(TraceError, match="wait to be made a sample by end_parts"):
            writer.append(whole)
        assert writer.end_parts(source="x") == 1
        writer.append(whole)
        in_parts(writer, finish=False)
    with Trace(tmp_path / "t.h5") as trace:
        assert len(trace) == 3
        for sample in range(3):
            for layer in ("input", "a", *(["bias"] if bias_interval else [])):
                assert len(whole[layer]) > 20
                assert np.array_equal(trace.spikes(layer, sample).times, whole[layer].times)
                assert np.array_equal(trace.spikes(layer, sample).neurons, whole[layer].neurons)
            assert trace.samples[sample].prediction == whole.decision
            assert trace.samples[sample].exit_reason is es.ExitReason.QUIET
        assert [sample.source for sample in trace.samples] == ["", "x", ""]


def test_potentials_of_parts_are_refused(tmp_path):
    network = es.Network(es.Input(6), es.Dense(5, threshold=1.0, name="a"), seed=2)
    with (
        TraceWriter(tmp_path / "t.h5", network, record=("spikes", "potential")) as writer,
        pytest.raises(TraceError, match="only spikes can be recorded"),
    ):
        writer.append_part(es.Simulation(network).feed(([1.0], [0])))


def test_times_shorter_than_the_file_can_tell(tmp_path: Path) -> None:
    """A first sample that takes 4e6 s, then one with spikes within a femtosecond."""
    network = Network(Input(2), Dense(3, threshold=1e-9), seed=1)
    network = network.with_weights({"output": np.full((3, 2), 50.0)})
    late = twin.run(network, np.array([4e9]), np.array([0]))
    early = twin.run(network, np.array([1e-15, 0.5, 3.0]), np.array([0, 1, 0]))
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        for run in (early, late, early, early):
            writer.append(run)
    with Trace(tmp_path / "t.h5") as trace:
        assert len(trace._file["far_spikes/row"]) >= 2
        for number, run in enumerate((early, late, early, early)):
            assert_same_record(trace.record(number), run)


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_full_disk_is_named(
    tmp_path: Path, network: Network, run: SpikeRecord, monkeypatch: pytest.MonkeyPatch, in_parts: bool
) -> None:
    """Not what became of the file because of it; and nothing is left of a trace without a complete sample."""
    monkeypatch.setattr(
        columns_module, "FLUSH_BYTES", 1000
    )  # some columns of a sample are written before it ends
    append, calls = output._append, []

    def fail(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(*arguments)

    monkeypatch.setattr(output, "_append", fail)

    def write() -> None:
        with TraceWriter(tmp_path / "t.h5", network) as writer:
            if in_parts:
                writer.append_part(replace(run, exit_reason=ExitReason.PART))
                writer.end_parts()
            else:
                writer.append(run)

    with pytest.raises(TraceError, match=r"t\.h5: cannot be written \(No space left on device\)$"):
        write()
    assert len(calls) == 3
    assert not list(tmp_path.glob("t.h5*"))
