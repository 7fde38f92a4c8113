"""A recording in parts is kept as it runs: a kill loses the last part that was not written"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import eventsnn.trace.writer as writer_module
from eventsnn._util.atomic import find_parts
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.simulate import Simulation
from eventsnn.simulate.engines import twin
from eventsnn.trace import Trace, TraceWriter
from eventsnn.trace.record import ExitReason
from tests.trace.conftest import assert_same_record, busy_input, busy_network
from tests.trace.killing import needs_kill, run_until_killed

N = 40

KILLED = """
import os, signal, sys
import eventsnn.trace.writer as writer_module
from eventsnn.trace import TraceWriter
from eventsnn.simulate.engines import twin
from tests.trace.conftest import busy_input, busy_network
from tests.trace.killing import die_at_stroke
from tests.trace.test_progress import parts
writer_module.PART_SECONDS = 0.0
die_at_stroke(int(sys.argv[2]))
network = busy_network()
writer = TraceWriter(sys.argv[1], network)
writer.append(twin.run(network, *busy_input(3, 120), t_stop=70.0))
for number, part in enumerate(parts(network)):
    writer.append_part(part)
    print(number, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def parts(network: Network):
    times, neurons = busy_input(1)
    run = Simulation(network, engine="queue", t_stop=80.0)
    for piece in np.array_split(np.arange(len(times)), N):
        yield run.feed((times[piece], neurons[piece]))


@needs_kill
@pytest.mark.parametrize(
    "stroke",
    range(4, 24) if os.environ.get("EVENTSNN_VERIFY") else [4, 14, 15],
)
def test_killed_between_the_strokes(tmp_path: Path, stroke: int) -> None:
    path = tmp_path / "t.h5"
    reported = len(run_until_killed(KILLED, path, stroke))
    network = busy_network()
    (part,) = find_parts(path)
    with Trace(part) as trace:
        if not reported:
            assert len(trace) <= 2
            return
        assert len(trace) == 2
        assert_same_record(trace.record(0), twin.run(network, *busy_input(3, 120), t_stop=70.0))
        found, done = trace.record(1), list(parts(network))[:reported]
        assert found.exit_reason is ExitReason.PART
        for name in ("input", *network.names):
            # One part more may have come through whole.
            expected = np.concatenate([each[name].times for each in done])
            assert len(found[name]) >= len(expected)
            np.testing.assert_array_equal(found[name].times[: len(expected)], expected)
        assert found.t_end >= done[-1].t_end
        assert trace.counts("hidden")[1].tolist() == found["hidden"].counts.tolist()
        assert trace.samples[1].exit_reason is ExitReason.PART


def test_a_sample_that_was_completed_is_not_one_in_progress(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "PART_SECONDS", 0.0)
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        for number, part in enumerate(parts(network)):
            writer.append_part(part)
            if number == 20:
                with Trace(writer.part) as live:  # while it is written
                    assert len(live) == 1
                    seen = live.record(0)
        writer.end_parts(source="a")
        writer.append(twin.run(network, *busy_input(2), t_stop=80.0))
    with Trace(tmp_path / "t.h5") as trace:
        assert len(trace) == 2
        whole = trace.record(0)
        for name in network.names:
            assert 0 < len(seen[name]) < len(whole[name])
            np.testing.assert_array_equal(whole[name].times[: len(seen[name])], seen[name].times)


def test_damage_is_told(tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    monkeypatch.setattr(writer_module, "PART_SECONDS", 0.0)
    writer = TraceWriter(tmp_path / "t.h5", network)
    for part in parts(network):
        writer.append_part(part)
    copy = tmp_path / "copy.h5.abc.part"
    copy.write_bytes(writer.part.read_bytes())
    writer._file.end()
    with h5py.File(copy, "r", swmr=True) as file:
        assert len(file["progress/ends"]) == N
    with Trace(copy) as trace:
        assert len(trace) == 1
    data = bytearray(copy.read_bytes())
    with h5py.File(copy, "r", swmr=True) as file:
        offset = file["spikes/input/timestamps"].id.get_chunk_info(0).byte_offset
    data[offset + 3] ^= 0xFF
    copy.write_bytes(data)
    with Trace(copy) as trace, pytest.raises(TraceError, match="/spikes/input, sample 0: the content"):
        trace.record(0)
