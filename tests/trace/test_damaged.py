"""Damaged and forged traces: one clear error, never a traceback from inside or a sum that is not one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn.cli import main
from eventsnn.errors import TraceError
from eventsnn.model import Dense, Input, Network
from eventsnn.simulate.engines import twin
from eventsnn.trace import Trace, TraceWriter, checks, explain, schema
from tests.mutations import try_kind
from tests.trace.conftest import assert_same_record


def test_a_trace_that_was_changed_is_refused_or_gives_the_same():
    fates, bad = try_kind("trace", 40, seed=11)
    assert not bad
    assert fates["refused"] > 10


def change(path: Path, name: str, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    with h5py.File(path, "r+") as file:
        file[name][...] = edit(file[name][()])


def read_all(path: Path) -> None:
    with Trace(path) as trace:
        assert len(trace.samples) == 2
        trace.record(1)


def to_layout_2(path: Path) -> None:
    """Local times stood there as they are, and neurons in eight bytes."""
    with Trace(path) as trace:
        trains = {
            layer: [trace.spikes(layer, n) for n in range(len(trace))]
            for layer in schema.trains(trace.network)
        }
        header = dict(trace._file.attrs)
    header["eventsnn_trace"] = 2
    with h5py.File(path, "r+") as file:
        file.attrs["eventsnn_trace"] = 2
        file.attrs[schema.HEADER_CRC] = np.uint32(checks.header_crc(header))
        del file["far_spikes"]
        for layer, parts in trains.items():
            group = file[f"spikes/{layer}"]
            del group["local_low"], group["node_ids"]
            group["local_ms"] = np.concatenate([part.times for part in parts])
            group["node_ids"] = np.concatenate([part.neurons for part in parts]).astype(np.uint64)
            for n, part in enumerate(parts):
                columns = part.times, part.neurons.astype(np.uint64)
                group["sample_crc"][n] = checks.combine_crcs(checks.add_to_crc(0, c) for c in columns)


def to_layout_1(path: Path) -> None:
    """As traces were before they had checksums."""
    to_layout_2(path)
    with h5py.File(path, "r+") as file:
        file.attrs["eventsnn_trace"] = 1
        names: list[str] = []
        file.visit(names.append)
        for name in names:
            if name.endswith("crc") or name == "samples/origin_us":
                del file[name]
        del file.attrs[schema.HEADER_CRC], file["network"].attrs["crc32"]


@pytest.mark.parametrize(
    ("name", "edit", "words"),
    [
        ("spikes/output/local_low", lambda v: v + 1, "/spikes/output, sample 1: the content does not"),
        ("spikes/hidden/node_ids", lambda v: v[::-1], "/spikes/hidden, sample 1: the content does not"),
        ("spikes/hidden/sample_ptr", lambda v: v[::-1], "/spikes/hidden/sample_ptr"),
        ("spikes/input/sample_ptr", lambda v: v + (v > 0) * 10**9, "/spikes/input/.* fewer rows"),
        ("counts/hidden", lambda v: v + 1, "not as many spikes as /counts has"),
        ("samples/label", lambda v: v + 1, "/samples, sample 0: the content does not have its checksum"),
        ("samples/complete", lambda v: v * [0, 1], "does not mark the first samples"),
        ("samples/source", lambda v: np.array([b"\xff"] * 2, v.dtype), "is not text in UTF-8"),
        ("network/weights/output", lambda v: v * 1.5, "its checksum is wrong"),
    ],
)
def test_what_is_wrong_is_said(trace_path, tmp_path, name, edit, words):
    path = tmp_path / "changed.h5"
    shutil.copyfile(trace_path, path)
    change(path, name, edit)
    with pytest.raises(TraceError, match=rf"changed\.h5: .*{words}"):
        read_all(path)


def test_traces_of_layout_2_are_read(trace_path, tmp_path, run, run2):
    path = tmp_path / "old.h5"
    shutil.copyfile(trace_path, path)
    to_layout_2(path)
    with Trace(path) as trace:
        assert_same_record(trace.record(0), run2)
        assert_same_record(trace.record(1), run)
        assert len(trace.spsp("output", int(run["output"].neurons[0]), 0, 1)[0])
    change(path, "spikes/output/local_ms", lambda v: v + 0.001)
    with pytest.raises(TraceError, match="/spikes/output, sample 1: the content does not"):
        read_all(path)


def test_traces_without_checksums_are_read_and_explained_only_if_the_sum_is_the_threshold(
    trace_path, tmp_path, run
):
    path = tmp_path / "old.h5"
    shutil.copyfile(trace_path, path)
    to_layout_1(path)
    neuron = int(run["output"].neurons[0])
    why = explain(path, layer="output", neuron=neuron, spike=0, sample=1)
    assert why.sum == pytest.approx(why.threshold, rel=1e-9)
    change(path, "network/weights/output", lambda v: v * 1.5)
    with pytest.raises(TraceError, match=r"add up to .*, not to its threshold 1\.5"):
        explain(path, layer="output", neuron=neuron, spike=0, sample=1)
    change(path, "spikes/output/local_ms", lambda v: v * np.nan)
    with pytest.raises(TraceError, match="not finite and in order"):
        explain(path, layer="output", neuron=neuron, spike=0, sample=1)


@pytest.mark.parametrize("command", ["inspect", "explain"])
def test_the_commands_give_one_line(trace_path, tmp_path, capsys, command):
    path = tmp_path / "changed.h5"
    shutil.copyfile(trace_path, path)
    change(path, "spikes/input/node_ids", lambda v: v + 10**4)
    assert main([command, str(path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("eventsnn: error: ")
    assert error.count("\n") == 1
    assert "changed.h5: a damaged trace (/spikes/input, sample 0" in error


def test_names_of_layers_may_be_those_of_columns(tmp_path):
    names = ["sample_ptr", "post_ptr", "x_crc", "timestamps"]
    network = Network(Input(3), *(Dense(2, name=name, threshold=0.01) for name in names), seed=1)
    run = twin.run(network, np.array([1.0, 2.0]), np.array([0, 2]))
    with TraceWriter(tmp_path / "t.h5", network, record=("potential", "spsp")) as writer:
        writer.append(run)
    with Trace(tmp_path / "t.h5") as trace:
        found = trace.record(0)
        for name in names:
            assert np.array_equal(found[name].times, run[name].times)
            assert len(trace.potential(name).times)
