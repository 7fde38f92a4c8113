"""Makes the pictures of docs/view.md: pages as headless Chromium shows them.

    eventsnn demo --out demo
    eventsnn evaluate demo/run/model.h5 --data demo/recordings/Test --predictions demo/run/predictions.csv
    python docs/images/view.py demo

It uses the tests' browser. The pictures have few colours, to stay small.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import eventsnn as es  # noqa: E402
from eventsnn.trace.writer import TraceWriter  # noqa: E402
from eventsnn.view.open import export_page  # noqa: E402
from tests.view.browser import OpenPage, Served, start_browser  # noqa: E402

COLOURS = 96


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("demo", type=Path, help="the folder that eventsnn demo made")
    folder = options.parse_args().demo
    recordings = sorted((folder / "recordings" / "Test").glob("*/*.bin"))
    with tempfile.TemporaryDirectory() as place:
        trace = Path(place) / "t.h5"
        number, decision = write_trace(trace, folder / "run" / "model.h5", recordings)[0]
        state = f"sample={number}&path=output:{decision}:1"
        take_picture("view.png", trace, state)
        take_exported_picture("view-exported.png", trace, state)
    take_picture("view-recording.png", recordings[0], "from=40&length=20")
    take_picture("view-run.png", folder / "run")


def write_trace(path: Path, model: Path, recordings: list[Path]) -> list[tuple[int, int]]:
    """All recordings with their labels; returns number and decision of those that are classified wrongly."""
    network = es.Network.load(model)
    layout = network.input
    sensor = (layout.width, layout.height, layout.polarities)
    with TraceWriter(path, network) as writer:
        for recording in recordings:
            run = es.simulate(network, es.read(recording, sensor=sensor), dtype="float64")
            writer.append(run, source=recording.name, label=int(recording.parent.name))
    with es.Trace(path) as trace:
        samples = enumerate(trace.samples)
        return [(number, s.prediction) for number, s in samples if s.label != s.prediction]


def take_picture(name: str, file: Path, state: str = "") -> None:
    """What the page of a file shows; `state` holds keys of the page's address."""
    served, browser = Served(file), start_browser()
    try:
        page = OpenPage(browser, f"{served.server.address}&theme=light&{state}")
        with tempfile.TemporaryDirectory() as place:
            shrink(page.picture(Path(place) / "page.png"), Path(__file__).with_name(name))
    finally:
        browser.quit()
        served.close()


def take_exported_picture(name: str, file: Path, state: str) -> None:
    """An exported page, with the simulation chosen that changes the decision first."""
    browser = start_browser()
    try:
        with tempfile.TemporaryDirectory() as place:
            exported = Path(place) / "page.html"
            export_page(file, exported, state=state)
            page = OpenPage(browser, exported.as_uri())
            table = "Bokeh.documents[0].get_model_by_name('removals').source"
            flips = [text for text in page.ask(f"return {table}.data.decision") if "→" in text]
            row = page.ask(f"return {table}.data.decision").index(flips[0]) if flips else 1
            page.click_cell("removals", row, "without")
            page.wait(lambda: page.ask(f"return {table}.selected.indices[0]") == row)
            time.sleep(1.0)  # until it is drawn
            shrink(page.picture(Path(place) / "page.png"), Path(__file__).with_name(name))
    finally:
        browser.quit()


def shrink(source: Path, target: Path) -> None:
    """Few colours."""
    from PIL import Image

    with Image.open(source) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
