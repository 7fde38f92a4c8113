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


@pytest.mark.parametrize("name", ["a.csv", "a.npz", "a.nir"])
def test_a_trace_without_recordings_is_exported_as_any_other(cli, tmp_path, name) -> None:
    if name.endswith(".nir"):
        pytest.importorskip("nir")
    TraceWriter(tmp_path / "t.h5", busy_network()).close()
    assert cli("export", tmp_path / "t.h5", tmp_path / name).code == 0
    assert (tmp_path / name).is_file()


def test_an_option_of_the_other_kind_names_the_kind_it_goes_with(cli, trace, tmp_path) -> None:
    model = tmp_path / "model.h5"
    busy_network().save(model)
    outcome = cli("export", model, tmp_path / "m.nir", "--layers", "hidden")
    assert outcome.code == 2
    assert "--layers goes with a trace, written as NIRData (.nir) or " in " ".join(outcome.err.split())
    assert f"{model} is a model" in " ".join(outcome.err.split())
    outcome = cli("export", trace, tmp_path / "s.nir", "--strict")
    assert outcome.code == 2
    assert "--strict goes with a model, written as a NIR graph (.nir)" in " ".join(outcome.err.split())
