"""Raster of a trace's page: a plot per layer over one time axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.events import RangesUpdate, SelectionGeometry, Tap
from bokeh.models import (
    BoxSelectTool,
    ColumnDataSource,
    HoverTool,
    LinearColorMapper,
    NumeralTickFormatter,
    Range1d,
    SaveTool,
)
from bokeh.plotting import figure

from eventsnn.plots.figure import BLUE, GREEN, ORANGE, VERMILION
from eventsnn.simulate.differences import CHANGE, Difference
from eventsnn.trace.record import LayerSpikes
from eventsnn.view.raster import Binned, Glyphs
from eventsnn.view.readout_plot import ReadoutPlot
from eventsnn.view.sources import set_data
from eventsnn.view.spike_panels import INPUT
from eventsnn.view.style import GREY, LEFT, sequential
from eventsnn.view.trace_page import TracePage

HEIGHT_INPUT, HEIGHT_HIDDEN, HEIGHT_OUTPUT = 150, 140, 124
REACH = 12.0  # pixels from a click to its spike
MARGIN = 0.5  # of the window, drawn on both sides of it
MOST_MARKED = 5000
MOVED_MS = 0.2  # moves that can be seen

DRAWN = 400
"""Causes that are marked in the raster: the strongest."""


class RasterPlot:
    """Plots of the input and of every layer.

    Parameters
    ----------
    page : TracePage
    time_range : Range1d
        Shared with the other plots over time.
    look : str
    clicked : callable of (layer, ms, neuron, (ms, neurons))
        A place was clicked; the last is how far a spike may be from it.
    selected : callable of int array
        Rows of the input events that were selected.
    schedule : callable of callable
        Calls it soon, once for many times.
    """

    def __init__(
        self,
        page: TracePage,
        time_range: Range1d,
        look: str,
        clicked: Callable[[str, float, float, tuple[float, float]], None],
        selected: Callable[[np.ndarray], None],
        schedule: Callable[[Callable[[], None]], None],
    ) -> None:
        self._page, self._time, self._clicked, self._selected = page, time_range, clicked, selected
        self._schedule = schedule
        self._mapper = LinearColorMapper(palette=sequential(look), low=0.0, high=1.0)
        self._loaded, self._has_images = (np.inf, -np.inf), False
        network = page.network
        firing = [name for name in network.names if network[name].fires]
        self._layers = {name: _LayerPlot(self, name) for name in ("input", *firing)}
        self._readout = None if network.output.fires else ReadoutPlot(page, time_range)
        self.figures = [layer.figure for layer in self._layers.values()]
        first = self.figures[0]
        if self._readout is not None:
            self.figures.append(self._readout.figure)
        box = BoxSelectTool(description="select input events")
        first.add_tools(box, SaveTool())
        first.on_event(SelectionGeometry, self._select)
        first.on_event(RangesUpdate, self._follow_window)

    @property
    def time_range(self) -> Range1d:
        """The time axis of all plots."""
        return self._time

    @property
    def mapper(self) -> LinearColorMapper:
        """Colours of counted spikes."""
        return self._mapper

    def set_look(self, look: str) -> None:
        """Light or dark."""
        self._mapper.palette = sequential(look)

    def show_sample(self) -> None:
        """Draw the sample that the page shows, all of it."""
        self._loaded = (np.inf, -np.inf)
        self._time.update(reset_start=0.0, reset_end=self._page.end_ms)
        trains = self._page.trains
        decision = None if self._page.record is None else self._page.record.decision
        for name, layer in self._layers.items():
            layer.set_title(trains.get(name))
            if layer.band is not None:
                layer.band.visible = decision is not None
                layer.band.update(bottom=(decision or 0) - 0.5, top=(decision or 0) + 0.5)
        self.show_window()

    def show_window(self) -> None:
        """Move to the page's window."""
        start, end = self._page.window
        if (self._time.start, self._time.end) != (start, end):
            self._time.update(start=start, end=end)
        self.draw()

    def _follow_window(self, event: RangesUpdate) -> None:
        """The time axis was moved."""
        if event.x0 is not None and event.x1 is not None:
            self._page.set_window(float(event.x0), float(event.x1))
            self._schedule(self.draw)

    def draw(self) -> None:
        """Draw what is in the window."""
        if self._readout is not None:
            self._readout.draw()
        self._draw_spikes()

    def _draw_spikes(self) -> None:
        """Draw the spikes of the window, and of a margin on both sides, unless they are there."""
        start, end = float(self._time.start), float(self._time.end)
        width = end - start
        fine = self._loaded[1] - self._loaded[0] <= max(4.0 * width, 1e-9) or not self._has_images
        if self._loaded[0] <= start and end <= self._loaded[1] and fine:
            return
        end_ms = self._page.end_ms
        low, high = max(0.0, start - MARGIN * width), min(end_ms, end + MARGIN * width)
        if self._page.trains and sum(map(len, self._page.trains.values())) < 20_000:
            low, high = 0.0, end_ms
        self._loaded = (
            low if low > 0.0 else -np.inf,
            high if high < end_ms else np.inf,
        )
        drawn = self._page.raster(low, high)
        images = [part for part in drawn.values() if isinstance(part, Binned)]
        self._has_images = bool(images)
        if images:
            self._mapper.high = max(float(np.percentile(part.counts, 99.5)) for part in images) or 1.0
        for name, layer in self._layers.items():
            layer.draw(drawn.get(name))

    def click(self, layer: _LayerPlot, event: Tap) -> None:
        """Find out which spike a click may mean."""
        wide, high = _inner_size(layer.figure)
        reach = (
            REACH * (self._time.end - self._time.start) / wide,
            REACH * abs(layer.range.end - layer.range.start) / high,
        )
        if event.x is not None and event.y is not None:
            self._clicked(layer.name, event.x, event.y, reach)

    def _select(self, event: SelectionGeometry) -> None:
        geometry: Any = event.geometry
        if not event.final or geometry.get("type") != "rect":
            return
        times = sorted((geometry["x0"], geometry["x1"]))
        neurons = sorted((geometry["y0"], geometry["y1"]))
        self._selected(self._page.select_events(times[0], times[1], neurons[0], neurons[1]))

    def mark_spike(self) -> None:
        """Mark the spike that is explained, and its strongest causes."""
        panels = self._page.panels
        causes = None if panels is None else panels.sorted_causes(self._page.view.mode)[:DRAWN]
        for number, (name, layer) in enumerate(self._layers.items(), start=INPUT):
            chosen: dict[str, Any] = {"t": [], "n": []}
            strong: dict[str, Any] = {"t": [], "n": [], "colour": [], "size": []}
            if panels is not None and panels.name.layer == name:
                chosen = {"t": [panels.time_ms], "n": [panels.name.neuron]}
            if causes is not None and (mine := causes["source"] == number).any():
                strongest = float(np.abs(causes["contribution"]).max()) or 1.0
                own = causes[mine]
                strong = {
                    "t": own["t_ms"],
                    "n": own["neuron"],
                    "colour": np.where(own["contribution"] < 0, BLUE, VERMILION).tolist(),
                    "size": 2.5 + 4.5 * np.sqrt(np.abs(own["contribution"]) / strongest),
                }
            set_data(layer.chosen, chosen)
            set_data(layer.causes, strong)

    def mark_selected(self, rows: np.ndarray) -> None:
        """Mark input events."""
        if self._page.record is not None:
            spikes, shown = self._page.record.input, rows[:MOST_MARKED]
            set_data(self._layers["input"].selected, {"t": spikes.times[shown], "n": spikes.neurons[shown]})

    def mark_changes(self) -> None:
        """Draw the spikes that the what-if simulation lost, found and moved, beside the old ones."""
        changes = self.change_data(self._page.difference, self._page.view.removed)
        for source, data in zip(self.change_sources, changes, strict=True):
            set_data(source, data)
        if self._readout is not None:
            self._readout.draw()

    @property
    def change_sources(self) -> list[ColumnDataSource]:
        """What `change_data` goes into."""
        return [source for layer in self._layers.values() for source in (layer.lost, layer.new, layer.moved)]

    def change_data(
        self, difference: Difference | None, removed: frozenset[int]
    ) -> list[dict[str, np.ndarray]]:
        """Spikes of each layer that are lost, new and moved; of the input, the events removed, by row."""
        found: list[dict[str, np.ndarray]] = []
        for name in self._layers:
            changes = np.empty(0, CHANGE)
            if difference is not None:
                if name != "input":
                    changes = difference.changes[name]
                else:
                    events, rows = difference.before.input, np.array(sorted(removed), np.int64)
                    changes = np.empty(rows.size, CHANGE)
                    changes["neuron"], changes["before_ms"] = events.neurons[rows], events.times[rows]
                    changes["after_ms"] = np.nan
            neuron, before, after = (changes[key] for key in CHANGE.names or ())
            lost, new = np.isnan(after), np.isnan(before)
            moved = np.abs(after - before) > MOVED_MS
            lost, new, moved = (np.flatnonzero(rows)[:MOST_MARKED] for rows in (lost, new, moved))
            found += [
                {"t": before[lost], "n": neuron[lost]},
                {"t": after[new], "n": neuron[new]},
                {"t": before[moved], "to": after[moved], "n": neuron[moved]},
            ]
        return found


def _inner_size(plot: Any) -> tuple[int, int]:
    """Width and height of the inside of a plot, pixels; a guess until the browser has said so."""
    try:
        return max(1, plot.inner_width), max(1, plot.inner_height)
    except ValueError:
        return 500, 100


class _LayerPlot:
    """The plot of one layer, with its sources."""

    def __init__(self, raster: RasterPlot, name: str) -> None:
        self.name = name
        network = raster._page.network
        self._pixels = network.input.width * network.input.height if name == "input" else 0
        self._has_polarities = name == "input" and network.input.polarities == 2
        self._is_output = name == network.names[-1]
        self._count = 0
        size = network.input.neurons if name == "input" else network[name].neurons
        self.size = size
        margin = 0.5 + 0.02 * size
        self.range = Range1d(-margin, size - 1 + margin)
        height = HEIGHT_INPUT if name == "input" else HEIGHT_OUTPUT if self._is_output else HEIGHT_HIDDEN
        first = name == "input"
        plot = figure(
            name=f"raster-{name}",
            height=height + (22 if first else 0),
            sizing_mode="stretch_width",
            x_range=raster.time_range,
            y_range=self.range,
            tools="xpan,xwheel_zoom,box_zoom,reset",
            active_drag="xpan",
            active_scroll="xwheel_zoom",
            toolbar_location="above" if first else None,
            min_border_left=LEFT,
            min_border_right=8,
            output_backend="canvas",
            lod_threshold=20_000,
        )
        plot.toolbar.logo = None
        plot.xaxis.visible = False
        plot.yaxis.axis_label = "input neuron" if first else "neuron"
        plot.min_border_bottom = plot.min_border_top = 2
        if size <= 20:
            plot.yaxis.ticker = list(range(0, size, 1 + size // 7))
        else:
            plot.yaxis.ticker.min_interval = 1
        plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
        self.figure = plot
        self._spikes = ColumnDataSource({"t": [], "n": [], "colour": []}, name=f"spikes-{name}")
        self._image = ColumnDataSource(
            {"image": [], "x": [], "y": [], "dw": [], "dh": []}, name=f"bins-{name}"
        )
        self.chosen = ColumnDataSource({"t": [], "n": []})
        self.causes = ColumnDataSource({"t": [], "n": [], "colour": [], "size": []})
        self.selected = ColumnDataSource({"t": [], "n": []})
        self.lost = ColumnDataSource({"t": [], "n": []}, name=f"lost-{name}")
        self.new = ColumnDataSource({"t": [], "n": []})
        self.moved = ColumnDataSource({"t": [], "to": [], "n": []})
        self.band = None
        self._add_glyphs(raster)
        plot.on_event(Tap, lambda event: raster.click(self, event))

    def _add_glyphs(self, raster: RasterPlot) -> None:
        from bokeh.models import BoxAnnotation

        plot = self.figure
        if self._is_output:
            self.band = BoxAnnotation(fill_color=BLUE, fill_alpha=0.12, line_color=None, level="underlay")
            plot.add_layout(self.band)
        plot.image("image", "x", "y", "dw", "dh", source=self._image, color_mapper=raster.mapper)
        if self._is_output and self.size <= 40:
            look: Any = {"marker": "dash", "angle": np.pi / 2, "size": 11, "line_width": 1.6}
        else:
            look = {"marker": "circle", "size": 2.6}
        dots = plot.scatter(
            "t",
            "n",
            source=self._spikes,
            line_color="colour" if "angle" in look else None,
            fill_color="colour",
            nonselection_alpha=1.0,
            **look,
        )
        plot.add_tools(
            HoverTool(
                renderers=[dots],
                tooltips=[("time", "@t{0.000} ms"), ("neuron", "@n")],
                point_policy="snap_to_data",
                visible=False,
            )
        )
        plot.scatter(
            "t", "n", source=self.causes, size="size", color="colour", fill_alpha=0.8, line_color=None
        )
        plot.scatter("t", "n", source=self.selected, size=6, color=GREEN, fill_alpha=0.5, line_color=GREEN)
        size, width = (9, 2.0) if self._is_output else (6, 1.4)
        plot.segment("t", "n", "to", "n", source=self.moved, line_color=ORANGE, line_width=width)
        for source, marker, colour in ((self.lost, "x", VERMILION), (self.new, "cross", GREEN)):
            plot.scatter(
                "t", "n", source=source, marker=marker, size=size, line_color=colour, line_width=width
            )
        plot.scatter("t", "n", source=self.chosen, size=15, fill_color=None, line_color=ORANGE, line_width=3)

    def set_title(self, spikes: LayerSpikes | None) -> None:
        """How many spikes there are."""
        self._count = 0 if spikes is None else len(spikes)
        self._say(is_counted=False)

    def _say(self, *, is_counted: bool) -> None:
        what = "events" if self._pixels else "spikes"
        if is_counted:
            what += ", in bins: zoom in for each"
        elif self._has_polarities:
            what += " (ON blue, OFF orange)"
        self.figure.title.text = f"{self.name}: {self._count:,} {what}"

    def draw(self, part: Glyphs | Binned | None) -> None:
        """Show these spikes."""
        glyphs = part if isinstance(part, Glyphs) else Glyphs(np.empty(0), np.empty(0, np.int32))
        self._say(is_counted=isinstance(part, Binned))
        if self._has_polarities:
            colour = np.array([ORANGE, BLUE])[glyphs.neurons // self._pixels].tolist()
        else:
            colour = [GREY] * glyphs.spikes
        set_data(self._spikes, {"t": glyphs.times, "n": glyphs.neurons, "colour": colour})
        if isinstance(part, Binned):
            set_data(
                self._image,
                {
                    "image": [part.counts],
                    "x": [part.start],
                    "y": [-0.5],
                    "dw": [part.end - part.start],
                    "dh": [part.neurons],
                },
            )
        else:
            set_data(self._image, {"image": [], "x": [], "y": [], "dw": [], "dh": []})
