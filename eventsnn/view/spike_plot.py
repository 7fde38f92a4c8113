"""One spike on the page: potential and input events over time, maps of the sensor, S-PSPs, list of causes."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
from bokeh.models import (
    BoxSelectTool,
    ColumnDataSource,
    CustomJSTickFormatter,
    DataTable,
    HoverTool,
    LinearColorMapper,
    NumberFormatter,
    Range1d,
    Span,
    TableColumn,
)
from bokeh.plotting import figure

from eventsnn._util.words import number_of
from eventsnn._util.zoom import busy_part
from eventsnn.plots.figure import BLUE, ORANGE, VERMILION, polarity_name
from eventsnn.view.page_frame import PageFrame
from eventsnn.view.sources import set_data
from eventsnn.view.spike_panels import SpikePanels
from eventsnn.view.style import GREY, OVER_TIME, diverging
from eventsnn.view.trace_page import TracePage

MOST_EVENTS = 500
"""Input events over time: the strongest."""
MOST_CAUSES = 300
BARS = 12
MOST_MAPS = 2
UNITS = {"contribution": "contribution", "sensitivity": "ms per ms"}


class SpikePlot:
    """Plots and texts of the spike that is explained.

    Parameters
    ----------
    page : TracePage
    frame : PageFrame
    time_range : Range1d
        The time axis of the raster.
    follow : callable of int
        A cause was chosen: its row in `SpikePanels.causes`.
    selected : callable of int array
        Rows of the input events that were selected.
    """

    def __init__(
        self,
        page: TracePage,
        frame: PageFrame,
        time_range: Range1d,
        follow: Callable[[int], None],
        selected: Callable[[np.ndarray], None],
    ) -> None:
        self._page, self._frame, self._time = page, frame, time_range
        self._follow, self._selected = follow, selected
        self.facts = frame.text(name="facts")
        self.potential = self._make_potential()
        self.events = self._make_events()
        self._mapper = LinearColorMapper(palette=diverging(frame.look), low=-1.0, high=1.0)
        self.maps = self._make_maps()
        self.bars = self._make_bars()
        self.causes = self._make_causes()

    # -- how they look ------------------------------------------------------------------------------

    def _over_time(self, height: int, label: str, tools: str) -> Any:
        plot = figure(
            name=label,
            height=height,
            x_range=self._time,
            tools=tools,
            **OVER_TIME,
        )
        plot.yaxis.axis_label = label
        plot.scatter([0.0], [0.0], alpha=0.0)  # the axes are there before a spike is chosen
        return plot

    def _make_potential(self) -> Any:
        plot = self._over_time(150, "potential", "xpan,xwheel_zoom,reset")
        plot.xaxis.visible = False
        self._curve = ColumnDataSource({"t": [], "u": []})
        self.edited = ColumnDataSource({"t": [], "u": []})
        self._fired = ColumnDataSource({"t": [], "u": []})
        line = plot.line("t", "u", source=self._curve, line_color=BLUE, line_width=1.6)
        plot.line("t", "u", source=self.edited, line_color=ORANGE, line_width=1.6, line_dash="dashed")
        plot.scatter("t", "u", source=self._fired, marker="inverted_triangle", size=8, color=VERMILION)
        self._threshold = Span(dimension="width", line_color=VERMILION, line_dash="dashed", visible=False)
        self._now = [
            Span(dimension="height", line_color=GREY, line_dash="dotted", visible=False) for _ in range(2)
        ]
        plot.add_layout(self._threshold)
        plot.add_layout(self._now[0])
        plot.add_tools(
            HoverTool(
                renderers=[line], tooltips=[("time", "@t{0.000} ms"), ("u", "@u{0.0000}")], mode="vline"
            )
        )
        return plot

    def _make_events(self) -> Any:
        plot = self._over_time(150, "contribution", "xpan,xwheel_zoom,reset,tap")
        plot.xaxis.axis_label = "time (ms)"
        self._stems = ColumnDataSource({"t": [], "v": [], "colour": [], "row": [], "place": []})
        plot.segment("t", 0, "t", "v", source=self._stems, line_color="colour", line_alpha=0.6)
        heads = plot.scatter(
            "t", "v", source=self._stems, size=5, color="colour", fill_alpha=0.8, nonselection_alpha=0.35
        )
        plot.add_layout(Span(dimension="width", location=0.0, line_color=GREY, line_width=1))
        plot.add_layout(self._now[1])
        plot.add_tools(
            BoxSelectTool(renderers=[heads]),
            HoverTool(
                renderers=[heads],
                tooltips=[("event", "@place"), ("time", "@t{0.000} ms"), ("value", "@v{0.00000}")],
            ),
        )
        self._stems.selected.on_change("indices", self._choose_stems)
        return plot

    def _make_maps(self) -> list[Any]:
        width, height, polarities = self._page.network.input.sensor_size
        self._map_sources: list[ColumnDataSource] = []
        plots = []
        shown = min(polarities, MOST_MAPS)
        wide = 150 if shown > 1 else 206
        for polarity in range(shown):
            source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
            plot = figure(
                frame_width=wide,
                frame_height=min(max(round(wide * height / width), 40), 240),
                x_range=Range1d(-0.5, width - 0.5),
                y_range=Range1d(height - 0.5, -0.5),
                tools="wheel_zoom,pan,reset",
                toolbar_location=None,
                min_border_left=24,
                min_border_right=4,
                title=polarity_name(polarity, polarities) if polarities > 1 else "sensor",
            )
            plot.grid.visible = False
            plot.xaxis[0].ticker.desired_num_ticks = 4
            image = plot.image("image", "x", "y", "dw", "dh", source=source, color_mapper=self._mapper)
            plot.add_tools(
                HoverTool(
                    renderers=[image],
                    tooltips=[("x, y", "$x{0}, $y{0}"), ("sum", "@image{0.00000}")],
                )
            )
            self._map_sources.append(source)
            plots.append(plot)
        return plots

    def _make_bars(self) -> Any:
        self._bar_source = ColumnDataSource(
            {"at": [], "value": [], "colour": [], "name": [], "spsp": [], "weight": []}
        )
        self._bar_labels = CustomJSTickFormatter(args={"names": []}, code="return names[tick] || ''")
        plot = figure(
            width=376,
            height=170,
            y_range=Range1d(BARS - 0.5, -0.5),
            tools="",
            toolbar_location=None,
            title="S-PSP x weight: contributions",
            min_border_left=120,
            min_border_right=8,
        )
        plot.ygrid.visible = False
        plot.yaxis.ticker = list(range(BARS))
        plot.yaxis.formatter = self._bar_labels
        bars = plot.hbar(y="at", right="value", left=0, height=0.75, source=self._bar_source, color="colour")
        plot.add_tools(
            HoverTool(
                renderers=[bars],
                tooltips=[
                    ("neuron", "@name"),
                    ("contribution", "@value{0.0000}"),
                    ("S-PSP", "@spsp{0.0000}"),
                    ("mean weight", "@weight{0.0000}"),
                ],
            )
        )
        return plot

    def _make_causes(self) -> DataTable:
        self._cause_source = ColumnDataSource({"cause": [], "t": [], "value": [], "weight": [], "at": []})
        self._value_column = TableColumn(
            field="value", title="contribution", width=95, formatter=NumberFormatter(format="0.0000")
        )
        columns = [
            TableColumn(field="cause", title="cause", width=140),
            TableColumn(field="t", title="time (ms)", width=75, formatter=NumberFormatter(format="0.000")),
            self._value_column,
            TableColumn(field="weight", title="weight", width=65, formatter=NumberFormatter(format="0.000")),
        ]
        self._cause_source.selected.on_change("indices", self._choose_cause)
        return DataTable(
            name="causes",
            source=self._cause_source,
            columns=columns,
            width=376,
            height=210,
            row_height=22,
            index_position=None,
            stylesheets=[self._frame.sheet],
        )

    # -- what they show ---------------------------------------------------------------------------

    def set_look(self) -> None:
        """Light or dark, as the frame says."""
        self._mapper.palette = diverging(self._frame.look)

    def show(self) -> None:
        """Show the page's spike."""
        panels = self._page.panels
        self.facts.text = self._describe(panels)
        self.potential.title.text = "membrane potential" + (
            "" if panels is None else f" of {panels.name.layer} {panels.name.neuron}"
        )
        self._threshold.visible = panels is not None
        for span in self._now:
            span.visible = panels is not None
            span.location = None if panels is None else panels.time_ms
        if panels is not None:
            self._threshold.location = panels.explanation.threshold
        self.show_potential()
        self._show_events(panels)
        self._show_bars(panels)
        self._show_causes(panels)

    def show_potential(self) -> None:
        """Compute the potential within the window; exact at every point drawn."""
        start, end = float(self._time.start), float(self._time.end)
        page, name = self._page, self._page.view.spike
        for source, edited in ((self._curve, False), (self.edited, True)):
            t, u = page.potential(start, end, edited=edited)
            set_data(source, {"t": t, "u": u})
        fired = np.empty(0)
        if name is not None and page.record is not None:
            fired = page.record[name.layer].of(name.neuron)
            fired = fired[(fired >= start) & (fired <= end)]
        level = 0.0 if name is None else page.network[name.layer].threshold
        set_data(self._fired, {"t": fired, "u": np.full(fired.size, 1.08 * level)})

    def _describe(self, panels: SpikePanels | None) -> str:
        if panels is None:
            return (
                "<h2>No spike chosen</h2><p class='faint'>Click on a spike of a layer, or press "
                "<kbd>&rarr;</kbd>.</p>"
            )
        e = panels.explanation
        spikes = int(np.count_nonzero(panels.causes["source"] >= 0))
        inputs = int(np.count_nonzero(panels.causes["source"] == -1))
        lines = [
            f"<h2>{escape(e.layer)} {e.neuron}, spike {e.spike} at {e.time_ms:.4f} ms</h2>",
            f"<p>{number_of(spikes, 'spike')} and {number_of(inputs, 'input event')} arrived. "
            f"{number_of(e.events.size, 'input event')}, "
            f"through all layers, add up to {e.sum:.6g}; threshold {e.threshold:g}.</p>",
        ]
        if self._page.view.mode == "sensitivity":
            s = panels.sensitivity
            if s is None:
                lines.append(f"<p class='warning'>{escape(panels.no_sensitivity)}</p>")
            else:
                grazing = ", <b>grazing</b>: soon lost" if s.is_grazing else ""
                lines.append(f"<p>Slope of the potential {s.slope:.4g} per ms{grazing}.</p>")
        return "".join(lines)

    def _show_events(self, panels: SpikePanels | None) -> None:
        mode = self._page.view.mode
        self.events.yaxis.axis_label = UNITS[mode]
        self.events.title.text = (
            "input events before the spike"
            if mode == "contribution"
            else "derivative of the spike's time by that of each input event"
        )
        self._stems.selected.indices = []
        if panels is None:
            set_data(self._stems, {"t": [], "v": [], "colour": [], "row": [], "place": []})
            for source in self._map_sources:
                set_data(source, {"image": [], "x": [], "y": [], "dw": [], "dh": []})
            return
        events = panels.events(mode)
        strongest = np.sort(np.argsort(-np.abs(events["value"]), kind="stable")[:MOST_EVENTS])
        shown = events[strongest]
        set_data(
            self._stems,
            {
                "t": shown["t_ms"],
                "v": shown["value"],
                "colour": np.where(shown["value"] < 0, BLUE, VERMILION).tolist(),
                "row": shown["row"],
                "place": [f"({x}, {y}) p={p}" for x, y, p in shown[["x", "y", "p"]].tolist()],
            },
        )
        maps = panels.sensor_maps(mode)
        top = float(np.abs(maps).max()) or 1.0
        self._mapper.update(low=-top, high=top)
        x0, x1, y0, y1 = busy_part(maps)
        for plot in self.maps:
            plot.x_range.update(start=x0 - 0.5, end=x1 - 0.5)
            plot.y_range.update(start=y1 - 0.5, end=y0 - 0.5)
        for source, values in zip(self._map_sources, maps, strict=False):
            height, width = values.shape
            set_data(
                source,
                {
                    "image": [values.astype(np.float32)],
                    "x": [-0.5],
                    "y": [-0.5],
                    "dw": [width],
                    "dh": [height],
                },
            )

    def _show_bars(self, panels: SpikePanels | None) -> None:
        if panels is None:
            set_data(self._bar_source, {key: [] for key in self._bar_source.data})
            self._bar_labels.args = {"names": []}
            return
        bars = panels.bars[:BARS]
        names = [self._page.describe_source(*row) for row in bars[["source", "neuron"]].tolist()]
        self._bar_labels.args = {"names": names}
        set_data(
            self._bar_source,
            {
                "at": np.arange(len(bars)),
                "value": bars["contribution"],
                "colour": np.where(bars["contribution"] < 0, BLUE, VERMILION).tolist(),
                "name": names,
                "spsp": bars["spsp"],
                "weight": bars["contribution"] / np.where(bars["spsp"] == 0.0, 1.0, bars["spsp"]),
            },
        )

    def _show_causes(self, panels: SpikePanels | None) -> None:
        self._cause_source.selected.indices = []
        mode = self._page.view.mode
        if panels is None:
            set_data(self._cause_source, {key: [] for key in self._cause_source.data})
            return
        has_derivatives = mode == "sensitivity" and panels.sensitivity is not None
        self._value_column.title = "ms per ms" if has_derivatives else "contribution"
        causes = panels.sorted_causes(mode)[:MOST_CAUSES]
        rows = {tuple(key): at for at, key in enumerate(panels.causes[["source", "row"]].tolist())}
        set_data(
            self._cause_source,
            {
                "cause": [self._page.describe_source(*row) for row in causes[["source", "neuron"]].tolist()],
                "t": causes["t_ms"],
                "value": causes["derivative" if has_derivatives else "contribution"],
                "weight": causes["weight"],
                "at": [rows[tuple(key)] for key in causes[["source", "row"]].tolist()],
            },
        )

    # -- what is done with them --------------------------------------------------------------------

    def _choose_cause(self, attribute: str, old: list[int], new: list[int]) -> None:
        if new and self._page.panels is not None:
            at = int(self._cause_source.data["at"][new[0]])
            source, row = self._page.panels.causes[at][["source", "row"]].tolist()
            if source == -1:
                self._selected(np.array([row]))
            else:
                self._follow(at)

    def _choose_stems(self, attribute: str, old: list[int], new: list[int]) -> None:
        if new:
            self._selected(np.asarray(self._stems.data["row"])[new])
