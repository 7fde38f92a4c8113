"""A headless Chromium for tests of pages; they skip without one.

`EVENTSNN_SCREENSHOTS` names a folder that keeps the pictures of the pages that the tests open.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eventsnn.view.open import serve_page

if TYPE_CHECKING:
    from eventsnn.view.server import PageServer

SIZE = 1280, 800
PATIENCE_S = 90.0  # on a busy machine
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> tuple[str, str] | None:
    """Paths of Chromium and of its driver; None without one of them, or without Selenium."""
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None or importlib.util.find_spec("selenium") is None:
        return None
    return program, driver


def start_browser(size: tuple[int, int] = SIZE) -> Any:
    """A browser with a window of this size; skips the test without one."""
    found = find_browser()
    if found is None:
        pytest.skip("no Selenium, or no Chromium with its driver (Debian: apt-get install chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    program, driver = found
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in ("headless=new", "no-sandbox", "disable-gpu", "hide-scrollbars", "disable-dev-shm-usage"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.set_script_timeout(PATIENCE_S)
    browser.set_page_load_timeout(PATIENCE_S)
    screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    return browser


class Served:
    """`serve_page` in a thread of its own."""

    def __init__(self, path: Path | list[Path], **options: Any) -> None:
        self._ready = threading.Event()
        self.server: PageServer | None = None
        self._thread = threading.Thread(target=self._run, args=(path, options))
        self._thread.start()
        assert self._ready.wait(60.0)

    def _run(self, path: Path | list[Path], options: dict[str, Any]) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())

        def started(server: PageServer) -> None:
            self.server = server
            self._ready.set()

        serve_page(path, started=started, **options)

    def close(self) -> None:
        assert self.server is not None
        self.server.stop()
        self._thread.join(60.0)


class OpenPage:
    """A page in a browser, by the names of its document's models.

    Parameters
    ----------
    browser : selenium.webdriver.Chrome
    address : str
    """

    def __init__(self, browser: Any, address: str) -> None:
        self.browser = browser
        browser.get_log("browser")  # of the page before
        browser.get(address)
        self.wait(lambda: self.ask("return !!window.Bokeh && Bokeh.documents.length > 0"))
        self.wait(lambda: self.ask("return Bokeh.documents[0].is_idle"))

    def ask(self, script: str, *arguments: object) -> Any:
        """The value of a script."""
        return self.browser.execute_script(script, *arguments)

    def wait(self, is_true: Callable[[], Any]) -> Any:
        """What `is_true` returns as soon as it is true."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            found = is_true()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError("the page never came to what was waited for")

    def value(self, name: str, attribute: str) -> Any:
        """An attribute of a model, None without the model."""
        script = "const m = Bokeh.documents[0].get_model_by_name(arguments[0]); return m && m[arguments[1]]"
        return self.ask(script, name, attribute)

    def wait_for(self, name: str, word: str, attribute: str = "text") -> str:
        """Wait until an attribute contains a word; returns it."""
        return str(self.wait(lambda: word in str(text := self.value(name, attribute)) and text))

    def place(self, plot: str, x: float, y: float) -> tuple[float, float]:
        """Where on the screen a plot has a point, pixels."""
        script = """
            const plot = Bokeh.documents[0].get_model_by_name(arguments[0]);
            const view = Bokeh.index.find_one(plot);
            const box = view.el.getBoundingClientRect();
            return [box.left + view.frame.x_scale.compute(arguments[1]),
                    box.top + view.frame.y_scale.compute(arguments[2])];
        """
        left, top = self.ask(script, plot, x, y)
        return left, top

    def mouse(self, kind: str, place: tuple[float, float], **more: object) -> None:
        """A movement, press or release of the mouse."""
        event = {"type": kind, "x": place[0], "y": place[1], **more}
        self.browser.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    def click(self, plot: str, x: float, y: float) -> None:
        """Click on a point of a plot."""
        place = self.place(plot, x, y)
        self.mouse("mouseMoved", place)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, place, button="left", clickCount=1)

    def drag(self, plot: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag from one point of a plot to another."""
        places = [self.place(plot, *point) for point in (start, end)]
        self.mouse("mouseMoved", places[0])
        self.mouse("mousePressed", places[0], button="left", clickCount=1)
        for share in (0.3, 0.6, 1.0):
            between = [a + share * (b - a) for a, b in zip(*places, strict=True)]
            self.mouse("mouseMoved", (between[0], between[1]), button="left", buttons=1)
        self.mouse("mouseReleased", places[1], button="left", clickCount=1)

    def scroll(self, plot: str, x: float, y: float, by: float) -> None:
        """Turn the wheel over a point of a plot; away from oneself (negative) comes closer."""
        place = self.place(plot, x, y)
        self.mouse("mouseMoved", place)
        self.mouse("mouseWheel", place, deltaX=0, deltaY=by)

    def press(self, key: str) -> None:
        """A key of the keyboard."""
        script = "document.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}))"
        self.ask(script, key)

    def push(self, label: str) -> None:
        """Click on the button with this label."""
        script = """
            const find = (view) => view.model.label === arguments[0] && view.model.type === "Button" ? view
                : (view.child_views || []).map(find).find(Boolean);
            const view = Bokeh.index.roots.map(find).find(Boolean);
            view.button_el.click();
        """
        self.ask(script, label)

    def axis(self, plot: str) -> list[float]:
        """Beginning and end of a plot's horizontal axis."""
        script = """
            const range = Bokeh.documents[0].get_model_by_name(arguments[0]).x_range;
            return [range.start, range.end];
        """
        return list(self.ask(script, plot))

    def data(self, source: str, column: str) -> list[Any]:
        """A column of a source of data, its arrays flat."""
        script = """
            const data = Bokeh.documents[0].get_model_by_name(arguments[0]).data;
            const column = data instanceof Map ? data.get(arguments[1]) : data[arguments[1]];
            return [...column].map((one) => typeof one === "object" ? [...one] : one);
        """
        return list(self.ask(script, source, column))

    def click_heading(self, table: str, heading: str) -> None:
        """Click on the heading of a table's column."""
        script = """
            const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(arguments[0]));
            const headings = [...view.shadow_el.querySelectorAll(".slick-header-column")];
            headings.find((one) => one.textContent.trim() === arguments[1]).click();
        """
        self.ask(script, table, heading)

    def click_cell(self, table: str, row: int, heading: str) -> None:
        """Click on a visible cell of a table, as a mouse does."""
        script = """
            const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(arguments[0]));
            const headings = [...view.shadow_el.querySelectorAll(".slick-header-column")];
            const number = headings.findIndex((one) => one.textContent.trim() === arguments[2]);
            const box = view.grid.getCellNode(arguments[1], number).getBoundingClientRect();
            return [box.left + box.width / 2, box.top + box.height / 2];
        """
        left, top = self.ask(script, table, row, heading)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, (left, top), button="left", clickCount=1)

    def column(self, table: str, heading: str) -> list[str]:
        """Texts of the visible cells of a table's column, from top to bottom."""
        script = """
            const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(arguments[0]));
            const headings = [...view.shadow_el.querySelectorAll(".slick-header-column")];
            const number = headings.findIndex((one) => one.textContent.trim() === arguments[1]);
            const cells = [...view.shadow_el.querySelectorAll(`.slick-cell.l${number}`)];
            cells.sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top);
            return cells.map((cell) => cell.textContent);
        """
        return list(self.ask(script, table, heading))

    def errors(self) -> list[str]:
        """What the browser complained about."""
        return [line["message"] for line in self.browser.get_log("browser") if line["level"] == "SEVERE"]

    def picture(self, path: Path) -> Path:
        """A screenshot; a copy goes to the folder of `EVENTSNN_SCREENSHOTS`."""
        assert self.browser.save_screenshot(str(path))
        kept = os.environ.get("EVENTSNN_SCREENSHOTS")
        if kept:
            Path(kept).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, kept)
        return path


def check_picture(path: Path) -> None:
    """A screenshot of the window's size that shows something over most of it."""
    from matplotlib.image import imread

    pixels = imread(path)
    assert pixels.shape[:2] == SIZE[::-1]
    ink = (abs(pixels[..., :3] - pixels[2, 2, :3]) > 0.1).any(axis=2)
    assert 0.02 < ink.mean() < 0.9
    rows, columns = ink.any(axis=1).nonzero()[0], ink.any(axis=0).nonzero()[0]
    assert rows[-1] - rows[0] > 0.8 * SIZE[1]
    assert columns[-1] - columns[0] > 0.9 * SIZE[0]
