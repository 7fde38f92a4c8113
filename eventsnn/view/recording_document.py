"""The document of a recording's page: `RecordingPage` in Bokeh's plots and widgets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from bokeh.document import Document
from bokeh.events import SelectionGeometry
from bokeh.models import (
    BoxAnnotation,
    BoxSelectTool,
    Column,
    ColumnDataSource,
    HoverTool,
    LinearColorMapper,
    Range1d,
    Row,
    Select,
    Spinner,
)
from bokeh.plotting import figure

from eventsnn._util.words import number_of
from eventsnn.plots.figure import BLUE, ORANGE
from eventsnn.view.page_frame import PageFrame
from eventsnn.view.recording_page import SPEEDS, RecordingPage, RecordingView
from eventsnn.view.sources import set_data
from eventsnn.view.spool import Spool
from eventsnn.view.style import GREY, LEFT, polarity_colours

KEYS = {" ": "play", "ArrowRight": "next", "ArrowLeft": "previous", "d": "look"}
HELP = (
    "<span class='faint'><kbd>space</kbd> play, <kbd>&larr;</kbd> <kbd>&rarr;</kbd> window; "
    "drag over the rate to choose one</span>"
)
FRAME_MS = 80
FIRST_READ_S, READ_S = 0.5, 0.06
FRAME_SIDE = 500


class RecordingDocument:
    """Everything on the page of a recording.

    Parameters
    ----------
    document : Document
    spool : Spool
        The recording; several pages may read on in it.
    name : str
        Of the file.
    query : mapping of str to str
        Keys of the address.
    """

    def __init__(self, document: Document, spool: Spool, name: str, query: Mapping[str, str]) -> None:
        self.document = document
        self.page = RecordingPage(spool, RecordingView.from_query(query))
        self.frame = PageFrame(document, Path(name).name, query, KEYS, self.obey, self.reopen)
        self._is_playing = self._is_filling = False
        self._before = time.monotonic()
        self._events_shown, self._was_reading = -1, True
        self._chosen_window = 0  # how many were chosen by hand: a step for the browser's button "back"
        spool.advance(FIRST_READ_S)
        self._make_frame()
        self._make_space_time()
        self._make_rate()
        self._make_widgets()
        self.frame.on_look.append(self._set_look)
        if document.session_context is None:
            while not spool.is_complete:
                spool.advance(1.0)
        else:
            document.add_periodic_callback(self.tick, FRAME_MS)
        self.show_rate()
        self.show_window()
        document.add_root(self._lay_out(document.session_context is not None))

    # -- how it looks -----------------------------------------------------------------------

    def _make_frame(self) -> None:
        width, height, polarities = self.page.spool.sensor_size
        self._mapper = LinearColorMapper(palette=polarity_colours(self.frame.look), low=-1.0, high=1.0)
        scale = min(FRAME_SIDE / width, FRAME_SIDE / height)
        is_line = height == 1
        self.picture = figure(
            name="frame",
            width=max(240, round(width * scale)) + 50,
            height=160 if is_line else max(200, round(height * scale)) + 60,
            x_range=Range1d(-0.5, width - 0.5),
            y_range=Range1d(height - 0.5, -0.5),
            tools="pan,wheel_zoom,reset,save",
            active_scroll="wheel_zoom",
            toolbar_location="above",
            title="last event of each pixel" + ("" if polarities == 1 else ": ON blue, OFF orange"),
        )
        self.picture.toolbar.logo = None
        self.picture.grid.visible = False
        self._image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self.picture.image("image", "x", "y", "dw", "dh", source=self._image, color_mapper=self._mapper)
        self.picture.xaxis.axis_label = "channel" if is_line else "x (pixels)"
        self.picture.yaxis.axis_label = "" if is_line else "y (pixels)"

    def _make_space_time(self) -> None:
        width, height, _ = self.page.spool.sensor_size
        self._window = Range1d(0.0, 1.0)
        self._points = ColumnDataSource({"t": [], "x": [], "y": [], "colour": []})
        self.space_time = []
        for axis, size in (("x", width), ("y", height)):
            if size == 1:
                continue
            plot = figure(
                name=f"space-time-{axis}",
                height=270 if height > 1 else 300,
                sizing_mode="stretch_width",
                x_range=self._window,
                y_range=Range1d(-0.5, size - 0.5) if axis == "x" else Range1d(size - 0.5, -0.5),
                tools="pan,wheel_zoom,reset",
                active_scroll="wheel_zoom",
                toolbar_location=None,
                min_border_left=LEFT,
                min_border_right=8,
                title="space and time" if axis == "x" else None,
                lod_threshold=None,
            )
            plot.scatter("t", axis, source=self._points, size=2.5, color="colour", line_color=None)
            plot.yaxis.axis_label = "channel" if height == 1 else f"{axis} (pixels)"
            self.space_time.append(plot)
        self.space_time[-1].xaxis.axis_label = "time since the first event (ms)"

    def _make_rate(self) -> None:
        self._rate = ColumnDataSource({"left": [], "right": [], "top": []})
        self._chosen = BoxAnnotation(fill_color=BLUE, fill_alpha=0.25, line_color=BLUE)
        self.rate = figure(
            name="rate",
            height=150,
            sizing_mode="stretch_width",
            x_range=Range1d(0.0, 1.0),
            tools="xwheel_zoom,reset",
            active_scroll="xwheel_zoom",
            toolbar_location=None,
            min_border_left=LEFT,
            title="event rate",
        )
        bars = self.rate.quad(
            left="left",
            right="right",
            top="top",
            bottom=0,
            source=self._rate,
            fill_color=GREY,
            line_color=None,
        )
        self.rate.add_layout(self._chosen)
        box = BoxSelectTool(dimensions="width", renderers=[])
        self.rate.add_tools(
            box,
            HoverTool(renderers=[bars], tooltips=[("time", "@left{0.0} ms"), ("events/ms", "@top{0.0}")]),
        )
        self.rate.toolbar.active_drag = box
        self.rate.on_event(SelectionGeometry, self._select)
        self.rate.xaxis.axis_label = "time since the first event (ms)"
        self.rate.yaxis.axis_label = "events/ms"

    def _make_widgets(self) -> None:
        frame, view = self.frame, self.page.view
        styles: Any = {"stylesheets": [frame.sheet]}
        self._play = frame.button("play", lambda: self.obey("play"), width=70, name="play")
        speeds = sorted({*SPEEDS, view.speed})
        self._speed = Select(
            options=[(f"{speed:g}", f"{speed:g} x real time") for speed in speeds],
            value=f"{view.speed:g}",
            width=130,
            **styles,
        )
        self._speed.on_change("value", lambda attribute, old, new: self._set_speed(float(new)))
        self._length = Spinner(low=0.001, step=1.0, value=view.length_ms, width=90, **styles)
        self._length.on_change("value", lambda attribute, old, new: self._set_length(new))
        self._about = frame.text(name="about")
        self._message = frame.text(name="message")

    def _lay_out(self, is_live: bool) -> Column:
        frame = self.frame
        controls = Row(
            self._play,
            self._speed,
            frame.text("window (ms)", width=80, sizing_mode=None),
            self._length,
            self._about,
            sizing_mode="stretch_width",
        )
        return Column(
            frame.header(*([frame.text(HELP, width=420, sizing_mode=None)] if is_live else []))
            if is_live
            else frame.title,
            controls if is_live else self._about,
            self._message,
            Row(
                self.picture,
                Column(*self.space_time, sizing_mode="stretch_width"),
                sizing_mode="stretch_width",
            ),
            self.rate,
            sizing_mode="stretch_width",
        )

    # -- what it shows ------------------------------------------------------------------------

    def tick(self) -> None:
        """Read on, and play on: called many times a second."""
        now = time.monotonic()
        elapsed, self._before = now - self._before, now
        if not self.page.spool.is_complete:
            self.page.spool.advance(READ_S)
        if self._events_shown != self.page.spool.summary.n or self._was_reading:
            self.show_rate()
        if self._is_playing:
            if not self.page.play(1000.0 * elapsed):
                self._set_playing(False)
            self.show_window()

    def show_rate(self) -> None:
        """Draw the rate of the whole recording, as far as it is read."""
        edges, rate = self.page.rate()
        self._events_shown = self.page.spool.summary.n
        self._was_reading = not self.page.spool.is_complete
        set_data(self._rate, {"left": edges[:-1], "right": edges[1:], "top": rate})
        self.rate.x_range.update(start=0.0, end=float(edges[-1]))
        self.frame.describe(self.page.describe())
        message = self.page.spool.problem
        self._message.text = f"<p class='warning'>{escape(message)}</p>" if message else ""
        self._message.visible = bool(message)

    def show_window(self) -> None:
        """Draw the window."""
        page = self.page
        start, end = page.view.start_ms, page.view.start_ms + page.view.length_ms
        values, block = page.frame(), page.block
        rows, columns = values.shape
        set_data(
            self._image,
            {"image": [values], "x": [-0.5], "y": [-0.5], "dw": [columns * block], "dh": [rows * block]},
        )
        times, places, count = page.space_time()
        is_on = places["p"] > 0
        colours = np.where(is_on, BLUE, ORANGE).tolist()
        set_data(self._points, {"t": times, "x": places["x"], "y": places["y"], "colour": colours})
        self._window.update(start=start, end=end)
        self._chosen.update(left=start, right=end)
        thinned = "" if len(times) == count else f", {len(times):,} of them drawn in space and time"
        self._about.text = f"{start:,.3f} .. {end:,.3f} ms: {number_of(count, 'event')}{thinned}"
        self._is_filling = True
        self._length.value = round(page.view.length_ms, 3)
        self._is_filling = False
        if not self._is_playing:
            self._keep_address()

    def _keep_address(self) -> None:
        self.frame.keep_address(urlencode(self.page.view.to_query()), self._chosen_window)

    def _set_look(self) -> None:
        self._mapper.palette = polarity_colours(self.frame.look)
        self._keep_address()

    # -- what is done -------------------------------------------------------------------------

    def reopen(self, query: Mapping[str, str]) -> None:
        """Show what an address asks for."""
        self._set_playing(False)
        self.page.view = RecordingView.from_query(query)
        self._speed.value = f"{self.page.view.speed:g}"
        self.show_window()

    def obey(self, command: str) -> None:
        """Do a command of the keyboard or of a button."""
        if command == "play":
            if not self._is_playing and self.page.view.start_ms >= self.page.duration_ms:
                self.page.select(0.0, self.page.view.length_ms)
            self._set_playing(not self._is_playing)
        elif command in ("next", "previous"):
            self.page.step(1.0 if command == "next" else -1.0)
        self.show_window()

    def _set_playing(self, is_playing: bool) -> None:
        self._is_playing, self._before = is_playing, time.monotonic()
        self._play.label = "pause" if is_playing else "play"

    def _set_speed(self, speed: float) -> None:
        self.page.set_speed(speed)
        self.show_window()

    def _set_length(self, length: float | None) -> None:
        if length is not None and not self._is_filling:
            self.page.set_length(float(length))
            self.show_window()

    def _select(self, event: SelectionGeometry) -> None:
        if event.final:
            geometry: Any = event.geometry
            self._chosen_window += 1
            self.page.select(*sorted((geometry["x0"], geometry["x1"])))
            self.show_window()
