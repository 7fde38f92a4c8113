"""A trace of three samples of a network with every kind of projection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsnn.simulate.engines import twin
from eventsnn.trace import Trace, TraceWriter
from eventsnn.view.trace_page import TracePage
from tests.trace.conftest import busy_input, busy_network


@pytest.fixture(scope="session")
def trace_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second sample is the busiest; the last stayed silent, and has no label."""
    path = tmp_path_factory.mktemp("view") / "run.h5"
    network = busy_network()
    with TraceWriter(path, network) as writer:
        for seed, count in ((2, 120), (1, 250)):
            run = twin.run(network, *busy_input(seed, count), t_stop=80.0)
            label = run.decision if seed == 2 else (run.decision or 0) + 1
            writer.append(run, source=f"folder/{seed:05d}.bin", label=label)
        writer.append(twin.run(network, *busy_input(3, 0), t_stop=80.0), source="folder/<b>.bin")
    return path


@pytest.fixture
def trace(trace_path: Path) -> Iterator[Trace]:
    with Trace(trace_path) as opened:
        yield opened


@pytest.fixture
def page(trace: Trace) -> TracePage:
    """The page of the second sample."""
    page = TracePage(trace)
    assert page.select_sample(1)
    return page
