"""One trace of several files that are not copied"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn.cli import main
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.simulate.engines import twin
from eventsnn.trace import Trace, TraceWriter, explain, join, summarise
from eventsnn.trace.record import SpikeRecord
from tests.trace.conftest import assert_same_record, busy_input
from tests.trace.test_join import RECORDED, write


@pytest.fixture
def runs(network: Network) -> list[SpikeRecord]:
    return [twin.run(network, *busy_input(seed, 120), t_stop=70.0) for seed in range(5)]


@pytest.fixture
def joined(tmp_path: Path, network: Network, runs: list[SpikeRecord]) -> Path:
    """A trace of three files, one of them without samples, and a copy of all in one file beside it."""
    folder = tmp_path / "run"
    (folder / "parts").mkdir(parents=True)
    parts = [
        write(folder / "parts" / "a.h5", network, runs[:2], record=RECORDED),
        write(folder / "parts" / "empty.h5", network, [], record=RECORDED),
        write(folder / "b.h5", network, runs[2:], record=RECORDED),
    ]
    assert join(parts, folder / "t.h5", virtual=True) == 5
    assert (folder / "t.h5").stat().st_size < 30_000
    assert join(parts, tmp_path / "copy.h5") == 5
    return folder / "t.h5"


def assert_same_traces(found: Trace, expected: Trace) -> None:
    """All that a trace tells."""
    assert len(found) == len(expected)
    assert found.recorded == expected.recorded
    assert found.seed == expected.seed
    for ours, theirs in zip(found.samples, expected.samples, strict=True):
        assert (ours.index, ours.source, ours.label) == (theirs.index, theirs.source, theirs.label)
        assert ours.t_start == pytest.approx(theirs.t_start, abs=1e-9)
        assert ours.t_stop == pytest.approx(theirs.t_stop, abs=1e-9)
    layers = found.network.names
    for layer in ("input", *layers):
        assert found.n_spikes(layer) == expected.n_spikes(layer)
        np.testing.assert_array_equal(found.totals(layer), expected.totals(layer))
        np.testing.assert_array_equal(found.spikes_per_sample(layer), expected.spikes_per_sample(layer))
    for layer in layers:
        np.testing.assert_array_equal(found.counts(layer), expected.counts(layer))
    for sample in range(len(expected)):
        assert_same_record(found.record(sample), expected.record(sample))
        for layer in layers:
            ours, theirs = found.potential(layer, sample), expected.potential(layer, sample)
            np.testing.assert_array_equal(ours.values, theirs.values)
            for a, b in zip(found.spsp_total(layer, sample), expected.spsp_total(layer, sample), strict=True):
                np.testing.assert_array_equal(a, b)
        neuron = int(found.spikes("hidden", sample).neurons[-1])
        last = len(found.spikes("hidden", sample).of(neuron)) - 1
        for a, b in zip(
            found.spsp("hidden", neuron, last, sample),
            expected.spsp("hidden", neuron, last, sample),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)
        assert found.spike_time("hidden", neuron, last, sample) == expected.spike_time(
            "hidden", neuron, last, sample
        )


def test_it_is_read_as_the_copy_is(joined: Path, tmp_path: Path) -> None:
    with Trace(joined) as found, Trace(tmp_path / "copy.h5") as expected:
        assert_same_traces(found, expected)
        assert [path.name for path in found.part_paths] == ["a.h5", "empty.h5", "b.h5"]
        assert expected.part_paths == ()
        with pytest.raises(TraceError, match=r"t\.h5: no sample 5; the trace holds the samples 0\.\.4"):
            found.record(5)
        with pytest.raises(TraceError, match="no layer 'hiden'"):
            found.spikes("hiden", 0)
        spikes = found.spikes("output", 3)
        neuron = int(spikes.neurons[0])
        times = spikes.of(neuron) / 2.0
        np.testing.assert_array_equal(
            found.potential("output", neuron, times, sample=3),
            expected.potential("output", neuron, times, sample=3),
        )
    ours, theirs = (
        explain(path, layer="output", neuron=neuron, spike=0, sample=3)
        for path in (joined, tmp_path / "copy.h5")
    )
    assert ours.time_ms == theirs.time_ms
    np.testing.assert_array_equal(ours.causes, theirs.causes)
    np.testing.assert_array_equal(ours.events, theirs.events)


def test_a_moved_folder_and_a_copy_of_all(joined: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    shutil.move(joined.parent, moved)
    assert join([moved / "t.h5"], tmp_path / "again.h5") == 5
    with Trace(moved / "t.h5") as found, Trace(tmp_path / "again.h5") as copy:
        assert_same_traces(found, copy)


def test_other_programs_find_a_raster(joined: Path) -> None:
    """The chain of defaults of NeXus, which h5web and silx follow: the first part's raster."""
    with h5py.File(joined) as file:
        item = file
        while "default" in item.attrs:
            item = item[item.attrs["default"]]
        assert item.attrs["NX_class"] == "NXdata"
        assert len(item[item.attrs["signal"]]) > 10
        assert len(file["views"]) == 3


def test_commands_read_it(joined: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = joined.parent
    parts = [str(folder / "parts" / "a.h5"), str(folder / "b.h5")]
    assert main(["join", "--virtual", *parts, "--out", str(folder / "u.h5")]) == 0
    assert "5 samples, of 2 files" in capsys.readouterr().out
    assert main(["inspect", str(folder / "u.h5")]) == 0
    assert "MB in 2 files that it names" in capsys.readouterr().out
    assert main(["compare", str(folder / "u.h5"), str(tmp_path / "copy.h5"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["first"] is None
    summary = summarise(folder / "u.h5")
    assert summary["samples"] == 5
    assert [Path(part).name for part in summary["parts"]] == ["a.h5", "b.h5"]
    assert main(["join", "--virtual", *parts, "--out", str(folder / "u.csv")]) == 2
    assert "--virtual is for traces" in capsys.readouterr().err


def test_parts_that_are_gone_or_changed(joined: Path, network: Network, runs: list[SpikeRecord]) -> None:
    part = joined.parent / "b.h5"
    whole = part.read_bytes()
    part.unlink()
    with pytest.raises(
        TraceError, match=r"t\.h5: its part 'b\.h5' is missing; bring it back to .*b\.h5, or make"
    ):
        Trace(joined)
    write(part, network, runs[:3], record=RECORDED)
    with pytest.raises(TraceError, match=r"its part 'b\.h5' is not the trace that it was; make it anew with"):
        Trace(joined)
    other = network.with_weights({key: weight * 1.01 for key, weight in network.weights.items()})
    write(part, other, runs[2:], record=RECORDED)
    with pytest.raises(TraceError, match="is not the trace that it was"):
        Trace(joined)
    part.write_bytes(whole)
    Trace(joined).close()
    with h5py.File(part, "r+") as file:
        file["spikes/hidden/timestamps"][3] += 1.0
    with Trace(joined) as trace, pytest.raises(TraceError, match=r"b\.h5: a damaged trace \(/spikes/hidden"):
        trace.record(2)


@pytest.mark.parametrize(
    "name", ["../outside.h5", "/tmp/x.h5", "parts/../../outside.h5", "C:x.h5", "a\\b.h5"]
)
def test_parts_elsewhere_are_refused(joined: Path, name: str) -> None:
    """Though such a file is there: one that was sent must not make its reader open others."""
    outside = joined.parent.parent / "outside.h5"
    shutil.copyfile(joined.parent / "b.h5", outside)
    rename_part(joined, name)
    with pytest.raises(
        TraceError, match="which is not in the same folder or below; only such parts are read"
    ):
        Trace(joined)


def test_a_link_that_leads_elsewhere_is_refused(joined: Path) -> None:
    part, outside = joined.parent / "b.h5", joined.parent.parent / "outside.h5"
    part.rename(outside)
    part.symlink_to(outside)
    with pytest.raises(TraceError, match=r"the part 'b\.h5', which is not in the same folder or below"):
        Trace(joined)


def test_a_file_that_names_itself_is_damaged(joined: Path) -> None:
    rename_part(joined, "t.h5")
    with pytest.raises(TraceError, match=r"t\.h5: a damaged trace"):
        Trace(joined)


def rename_part(path: Path, name: str) -> None:
    """Let a file name something else as its last part; it loses its trailer, as any changed file."""
    with h5py.File(path, "r+") as file:
        paths = file["parts/path"][()].astype("S60")
        paths[-1] = name.encode()
        del file["parts/path"]
        file["parts/path"] = paths


def test_what_cannot_be_a_part(
    joined: Path, tmp_path: Path, network: Network, runs: list[SpikeRecord]
) -> None:
    with pytest.raises(TraceError, match=r"copy\.h5: not in the folder of the joined file or below it"):
        join([tmp_path / "copy.h5"], joined.parent / "u.h5", virtual=True)
    with pytest.raises(TraceError, match=r"t\.h5: names parts itself; give these: .*a\.h5, .*b\.h5"):
        join([joined], joined.parent / "u.h5", virtual=True)
    with TraceWriter(joined.parent / "c.h5", network) as writer:
        for run in runs * 2:
            writer.append(run)
        with pytest.raises(TraceError, match=r"\.part: not finished; without --virtual"):
            join([writer.part], joined.parent / "u.h5", virtual=True)
    other = write(joined.parent / "d.h5", network, runs[:1])
    with pytest.raises(TraceError, match=r"d\.h5: it does not hold the quantities"):
        join([joined.parent / "b.h5", other], joined.parent / "u.h5", virtual=True)
    assert not (joined.parent / "u.h5").exists()
