"""One trace of several"""

from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn.cli import main
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.trace import Trace, TraceWriter, join
from eventsnn.trace.record import SpikeRecord
from tests.trace.conftest import assert_same_record

RECORDED = ("spikes", "potential", "spsp")


def write(path: Path, network: Network, runs: list[SpikeRecord], **options: object) -> Path:
    with TraceWriter(path, network, config={"engine": "twin"}, seed=5, **options) as writer:  # type: ignore[arg-type]
        for number, run in enumerate(runs):
            writer.append(run, source=f"{path.name} {number}", label=number)
    return path


def test_the_result_is_what_one_process_would_have_written(
    tmp_path: Path, network: Network, run: SpikeRecord, run2: SpikeRecord
) -> None:
    parts = [
        write(tmp_path / "t.1-of-2.h5", network, [run, run2], record=RECORDED),
        write(tmp_path / "t.2-of-2.h5", network, [run2], record=RECORDED),
    ]
    whole = write(tmp_path / "whole.h5", network, [run, run2, run2], record=RECORDED)
    assert join(parts, tmp_path / "t.h5") == 3
    with h5py.File(tmp_path / "t.h5") as found, h5py.File(whole) as expected:
        names: list[str] = []
        expected.visititems(lambda name, item: names.append(name) if hasattr(item, "dtype") else None)
        for name in names:
            if name not in ("samples/source", "samples/label", "samples/crc"):
                np.testing.assert_array_equal(found[name][()], expected[name][()], err_msg=name)
    with Trace(tmp_path / "t.h5") as trace:
        assert [s.source for s in trace.samples] == ["t.1-of-2.h5 0", "t.1-of-2.h5 1", "t.2-of-2.h5 0"]
        assert [s.label for s in trace.samples] == [0, 1, 0]
        assert trace.seed == 5
        assert_same_record(trace.record(2), run2)


def test_the_command(tmp_path: Path, network: Network, run: SpikeRecord) -> None:
    for part in (2, 1):
        write(tmp_path / f"t.{part}-of-2.h5", network, [run])
    parts = sorted(map(str, tmp_path.glob("t.*")), reverse=True)
    assert main(["join", *parts, "--out", str(tmp_path / "t.h5")]) == 0
    with Trace(tmp_path / "t.h5") as trace:
        assert [s.source for s in trace.samples] == ["t.1-of-2.h5 0", "t.2-of-2.h5 0"]


def test_traces_that_do_not_go_together(tmp_path: Path, network: Network, run: SpikeRecord) -> None:
    one = write(tmp_path / "a.h5", network, [run])
    weights = {key: weight * 1.01 for key, weight in network.weights.items()}
    other = write(tmp_path / "b.h5", network.with_weights(weights), [run])
    more = write(tmp_path / "c.h5", network, [run], record="spsp_total")
    with pytest.raises(TraceError, match=r"b\.h5: its network or its weights are not those of .*a\.h5"):
        join([one, other], tmp_path / "t.h5")
    with pytest.raises(TraceError, match=r"c\.h5: it does not hold the quantities"):
        join([one, more], tmp_path / "t.h5")
    with pytest.raises(TraceError, match="no traces to join"):
        join([], tmp_path / "t.h5")
    assert {path.name for path in tmp_path.iterdir()} == {"a.h5", "b.h5", "c.h5"}
