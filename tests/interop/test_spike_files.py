"""Spikes of a trace in files of other tools, and back."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from eventsnn.errors import MissingExtraError, TraceError
from eventsnn.interop import SpikeTable, export_spikes, from_neo, nwb, read_spikes, to_neo
from eventsnn.simulate.engines import twin
from eventsnn.trace import Trace, TraceWriter
from eventsnn.trace.operations import count_operations
from eventsnn.trace.tables import SpikeSelection
from tests.trace.conftest import busy_input, busy_network
from tests.trace.test_progress import parts

LIBRARY = {"parquet": "pyarrow", "nwb": "pynwb", "csv": "csv", "npz": "numpy"}
ENDINGS = tuple(LIBRARY)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    network, path = busy_network(), tmp_path_factory.mktemp("interop") / "t.h5"
    with TraceWriter(path, network, seed=5) as writer:
        for number, (n, label) in enumerate(((250, 2), (0, -1), (120, 0))):
            run = twin.run(network, *busy_input(number, n), t_stop=80.0)
            writer.append(run, source=f"recording {number}.bin", label=label)
    with Trace(path) as opened:
        yield opened


def assert_equal(trace: Trace, table: SpikeTable, layers=None, samples=None) -> None:
    """The same bits of every spike."""
    layers = layers or ("input", *trace.network.names)
    samples = range(len(trace)) if samples is None else samples
    n = 0
    for sample in samples:
        for layer in layers:
            ours, theirs = trace.spikes(layer, sample), table.spikes(layer, sample)
            assert np.array_equal(ours.times, theirs.times)
            assert np.array_equal(ours.neurons, theirs.neurons)
            n += len(ours)
    assert len(table) == n


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_spike_comes_back_with_its_bits(trace, tmp_path, ending) -> None:
    pytest.importorskip(LIBRARY[ending])
    path = tmp_path / f"spikes.{ending}"
    n = export_spikes(trace, path)
    table = read_spikes(path)
    assert n == len(table) > 400
    if ending == "csv":  # knows recordings with spikes alone
        assert_equal(trace, table, samples=[0, 2])
        return
    assert_equal(trace, table)
    assert table.sizes == {"input": 60, "hidden": 8, "middle": 5, "output": 3}
    assert table.samples == trace.samples
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ENDINGS)
def test_some_layers_of_some_recordings(trace, tmp_path, ending) -> None:
    pytest.importorskip(LIBRARY[ending])
    path = tmp_path / f"spikes.{ending}"
    export_spikes(trace.path, path, layers=["output", "middle"], samples=[2])
    table = read_spikes(path)
    assert list(table.sizes) == ["middle", "output"]
    assert [sample.index for sample in table.samples] == [2]
    assert_equal(trace, table, ["middle", "output"], [2])
    with pytest.raises(TraceError, match="no layer 'input' in this table; there are middle, output"):
        table.spikes("input", 2)
    with pytest.raises(TraceError, match="no sample 0"):
        table.spikes("output", 0)


def test_chunks_are_of_any_size_and_the_same_rows(trace) -> None:
    def rows_of(size: int) -> list[list[tuple]]:
        chunks = SpikeSelection.of(trace).chunks(size)
        return [list(zip(*(column.tolist() for column in chunk), strict=True)) for chunk in chunks]

    [rows] = rows_of(1 << 17)
    assert rows == sorted(rows, key=lambda row: (row[0], row[1], row[3], row[2]))
    for size in (1, 7, 100, len(rows)):
        chunks = rows_of(size)
        assert {len(chunk) for chunk in chunks[:-1]} <= {size}
        assert 0 < len(chunks[-1]) <= size
        assert [row for chunk in chunks for row in chunk] == rows


def test_units_of_nwb_in_seconds_of_the_session(trace, tmp_path, monkeypatch) -> None:
    pynwb = pytest.importorskip("pynwb")
    monkeypatch.setattr(nwb, "BLOCK_SPIKES", 20)  # so that layers are written in many blocks
    path = tmp_path / "spikes.nwb"
    export_spikes(trace, path)
    assert_equal(trace, read_spikes(path))
    with pynwb.NWBHDF5IO(str(path), "r") as file:
        session = file.read()
        units, trials = session.units.to_dataframe(), session.trials.to_dataframe()
        assert not pynwb.validate(io=file)
    assert units["neuron"].tolist() == [*range(60), *range(8), *range(5), *range(3)]
    assert trials["source"].tolist() == [f"recording {n}.bin" for n in range(3)]
    assert trials["label"].tolist() == [2, -1, 0]
    for row in (3, 60, 70, 75):
        layer, neuron = units["layer"].iloc[row], units["neuron"].iloc[row]
        expected = [
            (sample.t_start + time) / 1000.0
            for sample in trace.samples
            for time in trace.spikes(layer, sample.index).of(neuron)
        ]
        assert units["spike_times"].iloc[row] == pytest.approx(expected, rel=1e-15)
    for sample, trial in zip(trace.samples, trials.itertuples(), strict=True):
        assert (1000.0 * trial.start_time, 1000.0 * trial.stop_time) == pytest.approx(
            (sample.t_start, sample.t_stop)
        )


def test_neo_reads_our_nwb(trace, tmp_path) -> None:
    neo = pytest.importorskip("neo")
    pytest.importorskip("pynwb")
    path = tmp_path / "spikes.nwb"
    export_spikes(trace, path, layers="output")
    [segment] = neo.io.NWBIO(str(path), "r").read_all_blocks()[0].segments
    for neuron, train in enumerate(segment.spiketrains):
        expected = [s.t_start + t for s in trace.samples for t in trace.spikes("output", s.index).of(neuron)]
        assert train.rescale("ms").magnitude == pytest.approx(expected, rel=1e-12)


def test_neo_blocks_and_back(trace) -> None:
    pytest.importorskip("neo")
    block = to_neo(trace)
    assert [len(segment.spiketrains) for segment in block.segments] == [76, 76, 76]
    train = block.segments[2].spiketrains[60 + 3]
    assert (train.annotations["layer"], train.annotations["neuron"]) == ("hidden", 3)
    assert train.rescale("ms").magnitude.tolist() == trace.spikes("hidden", 2).of(3).tolist()
    assert float(train.t_stop) == 80.0
    assert block.segments[0].annotations["label"] == 2
    table = from_neo(block)
    assert_equal(trace, table)
    assert table.samples == trace.samples
    fewer = to_neo(trace, samples=1, silent=False)
    assert len(fewer.segments[0].spiketrains) == 0


def test_spike_trains_of_another_program() -> None:
    neo = pytest.importorskip("neo")
    segment = neo.Segment()
    segment.spiketrains.append(neo.SpikeTrain([0.003, 0.001], units="s", t_stop=0.01))
    segment.spiketrains.append(neo.SpikeTrain([2.0], units="ms", t_stop=10))
    block = neo.Block()
    block.segments.append(segment)
    table = from_neo(block)
    spikes = table.spikes("spikes")
    assert spikes.times == pytest.approx([1.0, 2.0, 3.0])
    assert (spikes.neurons.tolist(), spikes.size, table.samples[0].t_stop) == ([0, 1, 0], 2, 10.0)


def test_units_of_another_program(tmp_path) -> None:
    pynwb = pytest.importorskip("pynwb")
    from datetime import UTC, datetime

    session = pynwb.NWBFile("a recording", "id", datetime.now(UTC))
    session.add_unit(spike_times=[0.5, 0.75])
    session.add_unit(spike_times=[0.25])
    with pynwb.NWBHDF5IO(str(tmp_path / "a.nwb"), "w") as file:
        file.write(session)
    spikes = read_spikes(tmp_path / "a.nwb").spikes("units")
    assert (spikes.times.tolist(), spikes.neurons.tolist()) == ([250.0, 500.0, 750.0], [1, 0, 0])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_tables_of_pandas_in_any_order(tmp_path, ending) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"time_ms": [2.5, 0.1, 1.0], "more": [1, 2, 3], "neuron": [4, 0, 2]})
    path = tmp_path / f"a.{ending}"
    frame.to_csv(path) if ending == "csv" else frame.to_parquet(path)
    table = read_spikes(path)
    assert table.sizes == {"spikes": 5}
    assert table.spikes("spikes").times.tolist() == [0.1, 1.0, 2.5]
    assert table.spikes("spikes").neurons.tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("neuron\n1\n", "line 1: no column 'time_ms'; the columns are neuron"),
        ("neuron,time_ms\n1,2.0\n-1,3.0\n", "row 1: neuron -1, must not be negative"),
        ("neuron,time_ms\n1,nan\n", "row 0: time_ms nan, must be a finite number"),
        ("neuron,time_ms\n1,2.0\n1.5,3.0\n", "line 3: '1.5,3.0' is no row of neuron, time_ms"),
        ("neuron,time_ms\n1\n", "line 2: '1' is no row"),
        ("", "line 1: no column 'neuron'"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path, text, problem) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(TraceError) as caught:
        read_spikes(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize("ending", ENDINGS)
def test_damaged_files_are_one_error(tmp_path, ending) -> None:
    pytest.importorskip(LIBRARY[ending])
    path = tmp_path / f"a.{ending}"
    path.write_bytes(bytes(range(200, 256)) * 20)
    with pytest.raises(TraceError, match=str(path)):
        read_spikes(path)
    path.unlink()
    with pytest.raises(TraceError, match="no such file"):
        read_spikes(path)


def test_what_there_is_not(trace, tmp_path) -> None:
    with pytest.raises(TraceError, match=r"no file of spikes ends so; there are \.parquet, \.csv"):
        export_spikes(trace, tmp_path / "a.xlsx")
    with pytest.raises(TraceError, match="no layer 'hiden'; there are input, hidden, middle, output"):
        export_spikes(trace, tmp_path / "a.csv", layers="hiden")
    with pytest.raises(TraceError, match="no sample 3; there are 3, from 0"):
        export_spikes(trace, tmp_path / "a.csv", samples=[0, 3])
    with pytest.raises(TraceError, match="no 'numpy'; there are pandas, polars, arrow"):
        trace.to_frame(library="numpy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_error_on_the_way_leaves_no_file(trace, tmp_path, ending, monkeypatch) -> None:
    pytest.importorskip(LIBRARY[ending])
    path = tmp_path / f"a.{ending}"
    path.write_text("as it was")
    calls = []

    def fail(layer, sample=0, whole=Trace.spikes):
        calls.append(layer)
        if len(calls) > 4:
            raise TraceError("damaged")
        return whole(trace, layer, sample)

    monkeypatch.setattr(trace, "spikes", fail, raising=False)
    with pytest.raises(TraceError, match="damaged"):
        export_spikes(trace, path)
    assert path.read_text() == "as it was"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("module", "call", "extra"),
    [
        ("pandas", lambda t, p: t.to_frame(), "table"),
        ("polars", lambda t, p: t.to_frame(library="polars"), "polars"),
        ("pyarrow", lambda t, p: export_spikes(t, p / "a.parquet"), "table"),
        ("pynwb", lambda t, p: export_spikes(t, p / "a.nwb"), "nwb"),
        ("neo", lambda t, p: to_neo(t), "neo"),
    ],
)
def test_a_missing_library_names_its_extra(trace, tmp_path, monkeypatch, module, call, extra) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"eventsnn\[{extra}\]"):
        call(trace, tmp_path)


def test_frames(trace) -> None:
    pandas = pytest.importorskip("pandas")
    frame = trace.to_frame()
    assert [str(kind) for kind in frame.dtypes] == ["int32", "category", "int32", "float64"]
    counts = frame[frame["layer"] == "hidden"].groupby(["sample", "neuron"]).size()
    for (sample, neuron), n in counts.items():
        assert trace.counts("hidden")[sample, neuron] == n
    assert counts.sum() == trace.n_spikes("hidden")
    pytest.importorskip("pyarrow")
    table = trace.to_frame("output", 2, library="arrow")
    assert table["time_ms"].to_pylist() == trace.spikes("output", 2).times.tolist()
    pandas.testing.assert_frame_equal(trace.to_frame(library="arrow").to_pandas(), frame)
    pytest.importorskip("polars")
    polars = trace.to_frame("output", [0, 2], library="polars")
    assert polars.columns == ["sample", "layer", "neuron", "time_ms"]
    assert polars["time_ms"].to_list() == frame[frame["layer"] == "output"]["time_ms"].tolist()


def test_elephant_counts_the_same_rates(trace) -> None:
    statistics = pytest.importorskip("elephant.statistics")
    pytest.importorskip("neo")
    trains = to_neo(trace, layers="output", samples=0).segments[0].spiketrains
    rates = [float(statistics.mean_firing_rate(train).rescale("Hz")) for train in trains]
    assert rates == pytest.approx((trace.counts("output")[0] / 0.080).tolist())


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_recording_under_way(tmp_path, ending, monkeypatch) -> None:
    pytest.importorskip(LIBRARY[ending])
    monkeypatch.setattr("eventsnn.trace.writer.PART_SECONDS", 0.0)
    network, path = busy_network(), tmp_path / f"spikes.{ending}"
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        writer.append(twin.run(network, *busy_input(3, 120), t_stop=70.0))
        for _, part in zip(range(20), parts(network), strict=False):
            writer.append_part(part)
        with Trace(writer.part) as trace:
            assert [sample.exit_reason.value for sample in trace.samples] == ["t_stop", "part"]
            assert export_spikes(trace, path) == len(read_spikes(path))
            assert_equal(trace, read_spikes(path))
            counted = count_operations(trace)
            assert counted.events.tolist() == [len(trace.spikes("input", sample)) for sample in range(2)]
