"""Pages in a real browser, headless Chromium, of a real recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest

pytest.importorskip("bokeh")

import eventsnn as es
from eventsnn.trace import Trace, TraceWriter
from eventsnn.view.address import SpikeName, TraceView
from eventsnn.view.open import export_page
from eventsnn.view.raster import MOST_GLYPHS
from eventsnn.view.trace_document import describe_difference
from eventsnn.view.trace_page import TracePage
from tests.real_data import real_data
from tests.view.browser import OpenPage, Served, check_picture, start_browser
from tests.view.test_run_page import write_epochs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driver = start_browser()
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def nmnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of four recordings of N-MNIST, through a network of random weights."""
    path = tmp_path_factory.mktemp("browser") / "nmnist.h5"
    network = es.Network(
        es.Input(34, 34, 2), es.Dense(60, threshold=4.0), es.Dense(10, threshold=4.0), seed=2
    )
    network = network.with_weights({key: w + 0.02 for key, w in network.weights.items()})
    with TraceWriter(path, network) as writer:
        for label in range(4):
            file = sorted(real_data("nmnist-1k", "Train", str(label)).iterdir())[0]
            writer.append(es.simulate(network, es.read(file)), source=str(file), label=label)
    return path


def address_of(browser: Any) -> dict[str, str]:
    """Keys of the address that the browser shows, without the token."""
    query = dict(parse_qsl(urlsplit(browser.current_url).query))
    return {key: value for key, value in query.items() if key != "token"}


@pytest.fixture(scope="module")
def served(nmnist: Path) -> Iterator[Served]:
    server = Served(nmnist)
    yield server
    server.close()


def test_sort_filter_keys_and_the_browsers_way_back(browser: Any, served: Served, nmnist: Path) -> None:
    """The keys follow the table, the address holds everything, and "back" and "forward" lead through it."""
    with Trace(nmnist) as trace:
        spikes = [sum(map(len, trace.record(k).layers.values())) for k in range(4)]
    falling = sorted(range(4), key=lambda k: -spikes[k])
    assert falling != [0, 1, 2, 3]
    page = OpenPage(browser, served.server.address)
    for sort in ("spikes", "-spikes"):
        page.click_heading("samples", "spikes")
        page.wait(lambda sort=sort: address_of(browser).get("sort") == sort)
    page.wait(lambda: page.column("samples", "#") == [str(k) for k in falling])

    at = falling.index(0)
    step, key = (1, "j") if at < 3 else (-1, "k")
    second = falling[at + step]
    page.press(key)
    page.wait(lambda: address_of(browser) == {"sample": str(second), "sort": "-spikes"})
    page.press("ArrowRight")
    page.wait_for("facts", "spike 0 at")
    page.wait(lambda: "path" in address_of(browser))
    deep = address_of(browser)

    browser.back()
    page.wait_for("facts", "No spike chosen")
    assert address_of(browser) == {"sample": str(second), "sort": "-spikes"}
    browser.back()
    page.wait_for("title", "sample 0 ")
    assert address_of(browser)["sample"] == "0"
    for _ in range(2):
        browser.forward()
    page.wait_for("facts", "spike 0 at")
    assert address_of(browser) == deep

    again = OpenPage(browser, f"{served.server.address}&window=100+150&sort=-spikes&filter=label+2&sample=2")
    assert again.axis("potential") == [100, 150]
    again.wait(lambda: again.column("samples", "#") == ["2"])
    assert again.errors() == []


def test_from_a_spike_to_its_cause_and_back(
    browser: Any, served: Served, nmnist: Path, tmp_path: Path
) -> None:
    """The whole way: load, zoom, click, explanation, cause, back, remove, undo, keys, dark, address."""
    with Trace(nmnist) as trace:
        record = trace.record(0)
    row = len(record.output) // 2
    time, neuron = float(record.output.times[row]), int(record.output.neurons[row])
    page = OpenPage(browser, served.server.address)
    check_picture(page.picture(tmp_path / "trace.png"))

    before = page.ask("return Bokeh.documents[0].get_model_by_name('raster-input').x_range.end")
    page.scroll("raster-input", time, 1000.0, -400)
    page.wait(
        lambda: page.ask("return Bokeh.documents[0].get_model_by_name('potential').x_range.end") < before
    )

    page.click("raster-output", time, neuron)
    text = page.wait_for("facts", f"output {neuron}, spike")
    assert f"at {time:.4f} ms" in text
    assert "threshold 4" in text
    check_picture(page.picture(tmp_path / "spike.png"))

    with Trace(nmnist) as trace:
        number = int(np.count_nonzero(record.output.neurons[:row] == neuron))
        model = TracePage(trace, TraceView(0, (SpikeName("output", neuron, number),)))
        explained = es.explain(trace, layer="output", neuron=neuron, spike=number)
        strongest = np.sort(model.strongest_events(10)).tolist()
        removed = es.what_if(trace, sample=0, remove=strongest)
    assert f"add up to {explained.sum:.6g}" in text
    first = model.panels.sorted_causes("contribution")[0]
    cause = model.describe_source(int(first["source"]), int(first["neuron"]))
    page.wait(lambda: page.column("causes", "cause")[0] == cause)
    assert page.column("causes", "time (ms)")[0] == f"{first['t_ms']:.3f}"
    page.click_cell("causes", 0, "cause")
    page.wait_for("facts", f"at {first['t_ms']:.4f} ms")
    assert f"{cause}, spike" in page.value("facts", "text")
    assert page.value("way", "labels") == [f"output {neuron}", f"1: {cause}"]
    page.press("Backspace")
    page.wait_for("facts", f"output {neuron}, spike")

    page.push("remove 10 strongest")
    page.wait_for("edits", "removed: 10 input events")
    page.wait(lambda: page.value("outcome", "text") == describe_difference(removed))
    assert page.data("lost-input", "t") == record.input.times[strongest].tolist()
    check_picture(page.picture(tmp_path / "what-if.png"))
    address = page.wait(lambda: "remove=" in browser.current_url and browser.current_url)
    page.push("undo all")
    page.wait(lambda: not page.value("outcome", "text"))

    page.press("c")
    page.wait_for("facts", "Slope of the potential")
    page.press("j")
    page.wait(lambda: "sample=1" in browser.current_url)
    page.press("d")
    page.wait(lambda: page.ask("return document.documentElement.dataset.theme") == "dark")
    page.press("ArrowRight")
    page.wait_for("facts", "spike 0 at")
    check_picture(page.picture(tmp_path / "dark.png"))

    again = OpenPage(browser, address)
    again.wait_for("facts", f"output {neuron}, spike")
    again.wait_for("edits", "removed: 10 input events")
    assert again.ask("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert again.errors() == []


def test_many_spikes_are_drawn_in_bins_and_each_where_the_window_has_few(
    browser: Any, tmp_path: Path
) -> None:
    """A long recording: an image of counts at first; after zooming in with the wheel, every event."""
    count = MOST_GLYPHS + 50_000
    rng = np.random.default_rng(1)
    times, neurons = np.sort(rng.integers(0, 1_000_000, count)) / 1000.0, rng.integers(0, 2048, count)
    network = es.Network(es.Input(32, 32, 2), es.Dense(10, threshold=60.0), seed=1)
    es.simulate(network, (times, neurons), trace=tmp_path / "t.h5")
    served = Served(tmp_path / "t.h5")
    try:
        page = OpenPage(browser, served.server.address)
        title = "return Bokeh.documents[0].get_model_by_name('raster-input').title.text"
        page.wait(lambda: "250,000 events, in bins" in page.ask(title))
        (image,) = page.data("bins-input", "image")
        assert sum(image) == count
        assert page.data("spikes-input", "t") == []
        page.picture(tmp_path / "bins.png")
        while page.axis("raster-input")[1] - page.axis("raster-input")[0] > 100.0:
            width = page.axis("raster-input")[1] - page.axis("raster-input")[0]
            page.scroll("raster-input", 500.0, 1000.0, -600)
            page.wait(lambda width=width: np.ptp(page.axis("raster-input")) < width)
        page.wait(lambda: "(ON blue, OFF orange)" in page.ask(title))
        start, end = page.axis("raster-input")
        page.wait(lambda: address_of(browser).get("window"))
        drawn = np.array(page.data("spikes-input", "t"))
        inside = (times >= start) & (times <= end)
        assert 0 < inside.sum() < 30_000
        np.testing.assert_array_equal(drawn[(drawn >= start) & (drawn <= end)], times[inside])
        assert page.data("bins-input", "image") == []
        page.picture(tmp_path / "zoomed.png")
        assert page.errors() == []
    finally:
        served.close()


def test_exported_page(browser: Any, nmnist: Path, tmp_path: Path) -> None:
    """It shows the spike, by itself: no server, no network."""
    with Trace(nmnist) as trace:
        neuron = int(np.argmax(trace.record(2).output.counts))
    export_page(nmnist, tmp_path / "page.html", state={"sample": "2", "path": f"output:{neuron}:0"})
    page = OpenPage(browser, (tmp_path / "page.html").as_uri())
    page.wait_for("facts", f"output {neuron}, spike 0 at")
    with Trace(nmnist) as trace:
        shown = TracePage(trace, TraceView(2, (SpikeName("output", neuron, 0),)))
        rows = shown.strongest_events(20)
        times = shown.record.input.times[np.sort(rows)].tolist()
        changed = sum(map(len, es.what_if(trace, sample=2, remove=rows.tolist()).changes.values()))
    names = page.ask("return Bokeh.documents[0].get_model_by_name('removals').source.data.name")
    number = names.index("20 strongest events")
    page.click_cell("removals", number, "without (at ms)")
    # The lost events of the input, which the browser draws by itself.
    page.wait(lambda: page.data("lost-input", "t") == times)
    assert page.column("removals", "spikes")[number] == str(changed)
    page.picture(tmp_path / "exported-what-if.png")
    assert page.ask("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert page.errors() == []
    check_picture(page.picture(tmp_path / "exported.png"))


def test_without_the_token(browser: Any, served: Served) -> None:
    browser.get(f"http://127.0.0.1:{served.server.port}/")
    assert "the token is missing or wrong" in browser.page_source


def test_another_site_cannot_use_the_page(browser: Any, served: Served, tmp_path: Path) -> None:
    """A page from elsewhere that knows the token opens the websocket, and is refused."""
    (tmp_path / "evil.html").write_text("<html><body>elsewhere</body></html>")
    browser.get((tmp_path / "evil.html").as_uri())
    script = """
        const done = arguments[arguments.length - 1];
        const socket = new WebSocket(arguments[0], ["bokeh", "x"]);
        socket.onopen = () => done("open");
        socket.onerror = () => done("refused");
    """
    address = f"ws://127.0.0.1:{served.server.port}/ws?token={served.server.token}"
    assert browser.execute_async_script(script, address) == "refused"


def test_recording_plays(browser: Any, tmp_path: Path) -> None:
    """Open, play and pause, choose a window by dragging over the rate, in dark."""
    file = sorted(real_data("nmnist-1k", "Train", "5").iterdir())[0]
    served = Served(file)
    try:
        page = OpenPage(browser, f"{served.server.address}&from=40&length=20&speed=0.03")
        page.wait_for("about", "40.000 .. 60.000 ms")
        check_picture(page.picture(tmp_path / "recording.png"))
        page.press(" ")
        page.wait(lambda: not page.value("about", "text").startswith("40.000"))
        if page.value("play", "label") == "pause":  # on a busy machine it may be at the end already
            page.press(" ")
        page.wait(lambda: page.value("play", "label") == "play")  # a window that is chosen would go on
        page.drag("rate", (100.0, 5.0), (150.0, 5.0))
        text = page.wait(lambda: (text := page.value("about", "text")).startswith(("99", "100")) and text)
        start, end = (float(part.split()[0].replace(",", "")) for part in text.split(" .. "))
        assert abs(start - 100.0) < 2.0
        assert abs(end - 150.0) < 2.0
        assert page.errors() == []
    finally:
        served.close()


def test_training_run_updates_live(browser: Any, tmp_path: Path) -> None:
    """Curves of a run get longer while another process writes; two runs side by side."""
    folders = [write_epochs(tmp_path / name, 2) for name in ("first", "second")]
    es.Network(es.Input(34, 34, 2), es.Dense(30), es.Dense(10), seed=3).save(folders[0] / "model.h5")
    served = Served(folders)
    try:
        page = OpenPage(browser, served.server.address)
        plot = "Bokeh.documents[0].get_model_by_name('curves-loss')"
        length = f"return {plot}.renderers[0].data_source.data.epoch.length"
        page.wait(lambda: page.ask(length) == 2)
        more = {"learning_rate": 0.001, "seconds": 3.0, "silent_fraction": 0.1, "spikes_per_neuron": 1.5}
        write_epochs(folders[0], 7, gradient_norms={"hidden": 0.5, "output": 2.0}, **more)
        page.wait(lambda: page.ask(length) == 7)
        norms = "const plot = Bokeh.documents[0].get_model_by_name('curves-gradient norms'); return plot"
        page.wait(lambda: page.ask(f"{norms} && Bokeh.index.find_one(plot) != null"))
        values = page.ask(f"{norms}.renderers.map(one => [...one.data_source.data.value])")
        assert values == [[0.5] * 7, [0.5] * 7, [2.0] * 7, [2.0] * 7]  # lines and dots of two layers
        check_picture(page.picture(tmp_path / "run.png"))
        assert page.errors() == []
    finally:
        served.close()
