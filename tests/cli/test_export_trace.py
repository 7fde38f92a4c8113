"""``eventsnn export`` of a trace."""

from __future__ import annotations

import pytest

from eventsnn.interop import read_spikes
from eventsnn.simulate.engines import twin
from eventsnn.trace import Trace, TraceWriter
from tests.trace.conftest import busy_input, busy_network


@pytest.fixture
def trace(tmp_path):
    network, path = busy_network(), tmp_path / "t.h5"
    with TraceWriter(path, network) as writer:
        for number in range(3):
            writer.append(twin.run(network, *busy_input(number), t_stop=80.0))
    return path


def test_all_and_some(cli, trace, tmp_path) -> None:
    out = tmp_path / "a.csv"
    result = cli("export", trace, out, "--json").json
    with Trace(trace) as opened:
        spikes = {name: opened.n_spikes(name) for name in ("input", *opened.network.names)}
    assert result == {
        "trace": str(trace),
        "out": str(out),
        "spikes": sum(spikes.values()),
        "bytes": out.stat().st_size,
    }
    text = cli("export", trace, tmp_path / "a.npz", "--layers", "output,hidden", "--samples", "0,2").out
    table = read_spikes(tmp_path / "a.npz")
    assert text.startswith(f"{len(table)} spikes: {tmp_path / 'a.npz'}")
    assert list(table.sizes) == ["hidden", "output"]
    assert [sample.index for sample in table.samples] == [0, 2]


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("a.xlsx",), 2, "is a trace, and OUT"),
        (("a.csv", "--layers", "hiden"), 1, "no layer 'hiden'; there are input, hidden, middle, output"),
        (("a.csv", "--samples", "7"), 1, "no sample 7; there are 3, from 0"),
    ],
)
def test_what_there_is_not(cli, trace, tmp_path, monkeypatch, arguments, code, problem) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = cli("export", trace, *arguments)
    assert outcome.code == code
    assert problem in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["t.h5"]
