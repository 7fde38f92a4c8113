"""Spikes of a mini-batch as rows of a trace: the kernel and its twin, and the file as from one by one."""

from __future__ import annotations

import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventsnn as es
import eventsnn.trace.columns as columns_module
import eventsnn.trace.sample_rows as sample_rows
import eventsnn.trace.spike_rows as rows_module
from eventsnn._ext.checksum import crc32, row_crcs
from eventsnn._ext.spike_rows import fill_rows
from eventsnn.model import Network
from eventsnn.reference import spike_rows as twin_rows
from eventsnn.simulate.engines import twin
from eventsnn.trace import Trace, TraceWriter, column
from eventsnn.trace.batch_record import BatchRecord
from eventsnn.trace.record import SpikeRecord
from tests.trace.conftest import assert_same_record, busy_input

TIMES = st.floats(0.0, 1e6) | st.sampled_from([0.0, 1e-300, 5e-324, 1e-12, 0.001, 299.999])


@given(
    st.lists(st.lists(st.tuples(TIMES, st.integers(0, 60_000)), max_size=40), min_size=1, max_size=4),
    st.sampled_from([0.0, 299.9, 12_345_678.9, 1e12]),
    st.sampled_from(["H", "I"]),
)
def test_the_kernel_does_as_its_twin(samples: list, start: float, code: str) -> None:
    spikes = [spike for sample in samples for spike in sorted(sample)]
    times, neurons = [float(t) for t, _ in spikes], [n for _, n in spikes]
    ptr = np.cumsum([0, *map(len, samples)])
    starts = [start + 300.0 * number for number in range(len(samples))]
    expected = twin_rows.fill_rows(times, neurons, ptr.tolist(), starts, code)
    n = len(times)
    timestamps, low = np.empty(n), np.empty(n, np.uint32)
    ids = np.empty(n, np.uint16 if code == "H" else np.uint32)
    crcs, far = np.zeros((len(samples), 3), np.uint32), np.empty(len(samples), np.uint8)
    given_spikes = np.array(times), np.array(neurons, np.int32), ptr
    fill_rows(*given_spikes, np.array(starts), timestamps, ids, low, crcs, far)
    assert timestamps.tolist() == expected[0]
    assert ids.tolist() == expected[1]
    assert low.tolist() == expected[2]
    assert [tuple(row) for row in crcs.tolist()] == expected[3]
    assert far.astype(bool).tolist() == expected[4]


def test_crc32_is_that_of_zlib() -> None:
    """Of all short lengths, from any place in memory, and going on from any checksum."""
    data = np.random.default_rng(1).integers(0, 256, 3000, np.uint8)
    for size in [*range(200), 1000, 2977]:
        for first in (0, 1, 7, 16):
            part = data[first : first + size]
            for before in (0, 1, 0xFFFFFFFF, 0x12345678):
                assert crc32(part, before) == zlib.crc32(part, before)
    rows = data[:2992].reshape(16, 187)
    begun = np.arange(16, dtype=np.uint32)
    expected = [zlib.crc32(row, number) for number, row in enumerate(rows)]
    assert row_crcs(rows, begun).tolist() == expected


def write_both(tmp_path: Path, network: Network, runs: list[SpikeRecord], **options: object) -> None:
    """Write runs one by one and in mini-batches, and compare every data set of the files."""
    sources, labels = [f"{n}.bin" for n in range(len(runs))], [n % 3 for n in range(len(runs))]
    with TraceWriter(tmp_path / "one.h5", network, **options) as writer:  # type: ignore[arg-type]
        for run, source, label in zip(runs, sources, labels, strict=True):
            writer.append(run, source=source, label=label)
    with TraceWriter(tmp_path / "all.h5", network, **options) as writer:  # type: ignore[arg-type]
        for part in (slice(0, 1), slice(1, 4), slice(4, None)):
            origins = [run.origin_us for run in runs[part]]
            writer.append_all(runs[part], sources=sources[part], labels=labels[part], origins=origins)
    with h5py.File(tmp_path / "all.h5") as found, h5py.File(tmp_path / "one.h5") as expected:
        names: list[str] = []
        expected.visititems(lambda name, item: names.append(name) if hasattr(item, "dtype") else None)
        assert "spikes/input/sample_crc" in names
        for name in names:
            np.testing.assert_array_equal(found[name][()], expected[name][()], err_msg=name)
    with Trace(tmp_path / "all.h5") as trace:
        for number, run in enumerate(runs):
            assert_same_record(trace.record(number), run)


@pytest.mark.parametrize("piece", [2**20, 37])  # a sample in one piece, or in several
@pytest.mark.parametrize("record", [("spikes",), ("spsp_total",)])
@pytest.mark.parametrize("many", [False, True])
def test_a_mini_batch_is_written_as_one_by_one(
    tmp_path: Path,
    network: Network,
    monkeypatch: pytest.MonkeyPatch,
    piece: int,
    record: tuple[str, ...],
    many: bool,
) -> None:
    monkeypatch.setattr(rows_module, "PIECE", piece)
    silent = twin.run(network, np.zeros(0), np.zeros(0, int), t_stop=5.0)
    runs = [twin.run(network, *busy_input(seed, 120), t_stop=70.0) for seed in range(6)]
    write_both(tmp_path, network, [*runs[:2], silent, *runs[2:]], record=record, many=many)


def test_whole_chunks_are_written_past_the_cache(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns_module, "FLUSH_BYTES", 4000)
    monkeypatch.setattr(column, "CHUNK_ROWS", 64)
    runs = [twin.run(network, *busy_input(seed, 300), t_stop=70.0) for seed in range(5)]
    write_both(tmp_path, network, runs)
    with h5py.File(tmp_path / "all.h5") as file:
        assert file["spikes/input/timestamps"].id.get_num_chunks() == -(-1500 // 64)


def test_far_times_in_a_mini_batch(tmp_path: Path) -> None:
    network = es.Network(es.Input(2), es.Dense(3, threshold=1e-9), seed=1)
    network = network.with_weights({"output": np.full((3, 2), 50.0)})
    late = twin.run(network, np.array([4e9]), np.array([0]))
    early = twin.run(network, np.array([1e-15, 0.5, 3.0]), np.array([0, 1, 0]))
    write_both(tmp_path, network, [early, late, early, late, early, early])
    with h5py.File(tmp_path / "all.h5") as file:
        assert len(file["far_spikes/row"]) >= 6


def test_an_interrupted_mini_batch_leaves_nothing(
    tmp_path: Path, network: Network, run: SpikeRecord, run2: SpikeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    told = {"sources": ["a", "b"], "labels": [0, 1], "origins": [0, 0]}
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        writer.append(run)
        with monkeypatch.context() as patch:
            patch.setattr(sample_rows, "decide_all", interrupted)
            with pytest.raises(KeyboardInterrupt):
                writer.append_all([run, run2], **told)
        assert len(writer) == 1
        writer.append_all([run2, run], **told)
    with Trace(tmp_path / "t.h5") as trace:
        assert [sample.source for sample in trace.samples] == ["", "a", "b"]
        for number, expected in enumerate((run, run2, run)):
            assert_same_record(trace.record(number), expected)


@pytest.mark.parametrize("decision", ["count", "first"])
def test_a_batch_record_is_the_records_of_its_samples(decision: str) -> None:
    sensor = es.Input(6, bias_interval=2.5)
    network = es.Network(sensor, es.Dense(5, threshold=1.0, name="a"), es.Dense(3, threshold=0.5), seed=2)
    network = network.with_settings(es.RunSettings(decision=decision))
    rng = np.random.default_rng(4)
    runs = [
        es.simulate(network, (np.sort(rng.uniform(0.0, 60.0, n)), rng.integers(0, 6, n).astype(np.int32)))
        for n in (300, 0, 120)
    ]
    batch = BatchRecord.of(network, runs)
    assert BatchRecord.of(network, batch) is batch
    assert len(batch) == 3
    for expected, found in zip(runs, batch, strict=True):
        assert_same_record(found, expected)
        np.testing.assert_array_equal(found.bias.times, expected.bias.times)
        assert found.classes == expected.classes
    np.testing.assert_array_equal(batch.votes, [run.votes for run in runs])
    for layer in network.names:
        np.testing.assert_array_equal(batch.counts(layer), [run[layer].counts for run in runs])
    assert batch[-1].decision == runs[2].decision
    assert [record.decision for record in batch[1:]] == [run.decision for run in runs[1:]]
    with pytest.raises(IndexError):
        batch[3]
