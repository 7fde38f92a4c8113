"""Twenty kills while a trace is written, at each level: it opens, and all reported as saved is right"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from eventsnn._util.atomic import find_parts
from eventsnn.simulate.engines import twin
from eventsnn.trace import Trace, TraceWriter
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.schema import RECORD, TRAINING
from tests.trace.conftest import assert_same_record, busy_input, busy_network
from tests.trace.killing import needs_kill, run_until_killed

pytestmark = [
    pytest.mark.skipif(not os.environ.get("EVENTSNN_VERIFY"), reason="EVENTSNN_VERIFY is not set"),
    needs_kill,
]
KILLS = int(os.environ.get("EVENTSNN_KILLS", "20"))

SIMULATING = """
import sys
from eventsnn.simulate.engines import twin
from eventsnn.trace import TraceWriter
from tests.trace.conftest import busy_input, busy_network
network = busy_network()
runs = [twin.run(network, *busy_input(seed, 120), t_stop=70.0) for seed in (2, 3)]
writer = TraceWriter(sys.argv[1], network, record=sys.argv[2])
while True:
    number = writer.append(runs[writer._samples % 2])
    print(writer._file.sealed, flush=True)
"""

TRAINING_RUN = """
import sys
from eventsnn.trace import TraceOptions
from tests.train.toy import toy_train
from eventsnn.trace.writer import TraceWriter
snapshot = TraceWriter.snapshot
def told(self, *arguments):
    snapshot(self, *arguments)
    print(self._file.sealed, arguments[0], flush=True)
TraceWriter.snapshot = told
options = TraceOptions(sys.argv[1], record=sys.argv[2], samples=range(6))
toy_train(sys.argv[1] + ".run", epochs=10000, valid_fraction=0, trace=options)
"""


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[SpikeRecord]]:
    """A trace of both runs with everything, written in peace."""
    network, path = busy_network(), tmp_path_factory.mktemp("kills") / "right.h5"
    runs = [twin.run(network, *busy_input(seed, 120), t_stop=70.0) for seed in (2, 3)]
    with TraceWriter(path, network, record=[level for level in RECORD if level not in TRAINING]) as writer:
        for run in runs:
            writer.append(run)
    return path, runs


@pytest.mark.parametrize("level", [level for level in RECORD if level not in TRAINING])
def test_simulations(tmp_path: Path, right: tuple[Path, list[SpikeRecord]], level: str) -> None:
    path, runs = right
    rng = np.random.default_rng(RECORD.index(level))
    for kill in range(KILLS):
        place = tmp_path / str(kill) / "t.h5"
        place.parent.mkdir()
        lines = run_until_killed(SIMULATING, place, level, wait=float(rng.uniform(0.0, 0.6)))
        (part,) = find_parts(place)
        with Trace(part) as trace, Trace(path) as expected:
            assert len(trace) >= int(lines[-1])
            for sample in range(len(trace)):
                assert_same_record(trace.record(sample), runs[sample % 2])
                if level in ("potential", "current"):
                    for name in ("times", "neurons", "values", "kinds"):
                        found = getattr(getattr(trace, level)("hidden", sample), name)
                        one = getattr(getattr(expected, level)("hidden", sample % 2), name)
                        np.testing.assert_array_equal(found, one)
                elif level == "spsp":
                    for found, one in zip(
                        trace.spsp("hidden", 0, 0, sample),
                        expected.spsp("hidden", 0, 0, sample % 2),
                        strict=True,
                    ):
                        np.testing.assert_array_equal(found, one)
                elif level == "spsp_total":
                    for found, one in zip(
                        trace.spsp_total("output", sample),
                        expected.spsp_total("output", sample % 2),
                        strict=True,
                    ):
                        np.testing.assert_array_equal(found, one)


@pytest.mark.parametrize("level", TRAINING)
def test_trainings(tmp_path: Path, level: str) -> None:
    rng = np.random.default_rng(len(level))
    for kill in range(KILLS):
        place = tmp_path / str(kill) / "t.h5"
        place.parent.mkdir()
        lines = run_until_killed(TRAINING_RUN, place, level, wait=float(rng.uniform(0.0, 0.6)))
        sealed, epochs = (int(number) for number in lines[-1].split())
        (part,) = find_parts(place)
        with Trace(part) as trace:
            assert len(trace) >= sealed == 6 * epochs
            for sample in range(len(trace)):
                assert trace.samples[sample].epoch == 1 + sample // 6
                trace.record(sample)
                if level == "learning":
                    assert np.isfinite(trace.learning("hidden", "errors", sample)).all()
                    assert all(norm >= 0.0 for norm in trace.gradient_norms(sample).values())
            if level == "weights":
                assert len(trace.snapshots) >= epochs + 1
                for snapshot in trace.snapshots:
                    assert np.isfinite(trace.weights("hidden", snapshot.index)).all()
