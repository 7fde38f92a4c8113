"""eventsnn view"""

import os
import re
import socket
import sys
from pathlib import Path

import pytest

pytest.importorskip("bokeh")

import eventsnn as es
from eventsnn.trace import TraceWriter
from tests.cli.conftest import Cli, interrupt_when, make_network, make_stream


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    with TraceWriter(tmp_path / "t.h5", make_network()) as writer:
        writer.append(es.simulate(make_network(), make_stream(0, 7)), source="0.bin", label=0)
    return tmp_path / "t.h5"


def test_export(cli: Cli, trace: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    outcome = cli("view", trace, "--spike", "output:0:0", "--export", page)
    assert (outcome.code, outcome.out) == (0, f"{page}\n")
    assert "output 0, spike 0 at" in page.read_text()
    assert cli("view", trace, "--export", page, "--json").json == {"page": str(page)}


def test_ctrl_c_ends_the_server(trace: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def is_served() -> bool:
        with socket.socket() as guest:
            return guest.connect_ex(("127.0.0.1", port)) == 0

    outcome = interrupt_when(is_served, "view", trace, "--no-browser", "--port", port, delay=1.0)
    assert outcome.code == 0
    assert re.fullmatch(rf"http://127\.0\.0\.1:{port}/\?token=[\w-]{{32}}\n", outcome.out)
    assert outcome.err == "Ctrl-C ends the server.\nthe page is closed\n"


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["none.h5"], 1, "none.h5: no such file"),
        (["notes.odt"], 1, "notes.odt: neither a trace, a training run nor a recording of a known format"),
        (["t.h5", "--spike", "output:1"], 2, "'output:1' is not a spike; write layer, neuron and number"),
        (["t.h5", "--spike", "output:99:0"], 1, "layer 'output' has the neurons 0..1, got 99"),
        (["t.h5", "--spike", "output:0:99"], 1, "t.h5: no spike 99: neuron 0 of 'output' has the spikes 0.."),
        (["t.h5", "--spike", "hiden:0:0"], 1, "t.h5: no layer 'hiden'; there are"),
        (["t.h5", "--sample", "9"], 1, "t.h5: no sample 9; the trace holds"),
        (["t.h5", "--sample", "9", "--export", "page.html"], 1, "t.h5: no sample 9; the trace holds"),
        (["m.h5", "--spike", "output:0:0"], 1, "m.h5: a model;"),
        (["m.h5"], 1, "m.h5: a model; view a trace of it: eventsnn simulate MODEL.h5 FILE --trace t.h5"),
        (["t.h5", "--sensor", "3x3x2"], 1, "t.h5: a trace; --sensor: for recordings only"),
        (["."], 1, ".: a folder without a training run (metrics.jsonl)"),
        (["t.h5", "--port", "70000"], 1, "port: a port is a number 0..65535, got 70000"),
        (["t.h5", "--export", "t.h5"], 2, "t.h5"),
        (["t.h5", "--export", "none/page.html"], 1, "none/page.html: cannot be written"),
    ],
)
def test_errors(
    cli: Cli, trace: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], code: int, text: str
) -> None:
    monkeypatch.chdir(trace.parent)
    Path("notes.odt").write_text("hello")
    make_network().save("m.h5")
    outcome = cli("view", *options)
    assert outcome.code == code
    assert text in " ".join(outcome.err.split())


def test_without_bokeh(cli: Cli, trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bokeh", None)
    outcome = cli("view", trace)
    assert outcome.code == 1
    assert (
        "a page in the browser needs bokeh, which is not installed: pip install 'eventsnn[view]'"
        in outcome.err
    )


def test_opens_a_browser_only_where_it_has_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    from eventsnn.cli.view import has_display

    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_display()
    monkeypatch.setitem(os.environ, "DISPLAY", ":0")
    assert has_display()
