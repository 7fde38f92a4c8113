"""Potentials of a readout layer, which never fires, over the time axis of the raster."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, Range1d
from bokeh.plotting import figure

from eventsnn.plots.figure import BLUE, ORANGE
from eventsnn.view.sources import set_data
from eventsnn.view.style import GREY, OVER_TIME
from eventsnn.view.trace_page import TracePage

HEIGHT = 150
_VALUES = {"max": "highest potential", "mean": "mean potential", "weighted": "weighted mean potential"}


class ReadoutPlot:
    """The plot of a readout layer: a line per neuron, that of the decision blue, that of the label orange.

    Potentials of a what-if simulation are dashed.

    Parameters
    ----------
    page : TracePage
        Of a network whose last layer is a readout.
    time_range : Range1d
        Shared with the other plots over time.
    """

    def __init__(self, page: TracePage, time_range: Range1d) -> None:
        self._page, self._time = page, time_range
        self.figure = figure(
            name=f"readout-{page.network.names[-1]}",
            height=HEIGHT,
            x_range=time_range,
            tools="xpan,xwheel_zoom,reset",
            **OVER_TIME,
        )
        self.figure.xaxis.visible = False
        self.figure.yaxis.axis_label = "potential"
        self._lines, self._edited = (
            ColumnDataSource({"t": [], "u": [], "colour": [], "width": [], "name": [], "value": []})
            for _ in range(2)
        )
        look: dict[str, Any] = {"line_color": "colour", "line_width": "width"}
        lines = self.figure.multi_line("t", "u", source=self._lines, **look)
        self.figure.multi_line("t", "u", source=self._edited, line_dash="dashed", **look)
        self.figure.add_tools(
            HoverTool(renderers=[lines], tooltips=[("class", "@name"), ("read out", "@value{0.0000}")])
        )

    def draw(self) -> None:
        """Draw the potentials in the window; exact at every point drawn."""
        page, record = self._page, self._page.record
        before = [] if record is None else page.readout_potentials(edited=False)
        self._fill(self._lines, before)
        self._fill(self._edited, page.readout_potentials(edited=True))
        name, layer = page.network.names[-1], page.network.output
        said = "" if record is None or record.decision is None else f"; decision {record.decision} (blue)"
        self.figure.title.text = f"{name}: {_VALUES.get(layer.value, layer.value)}{said}"

    def _fill(self, source: ColumnDataSource, found: list[tuple[int, np.ndarray, np.ndarray]]) -> None:
        page = self._page
        record = page.record
        decision = None if record is None else record.decision
        label = page.trace.samples[page.view.sample].label if found else None
        colours = [
            BLUE if neuron == decision else ORANGE if neuron == label else GREY for neuron, *_ in found
        ]
        values = np.zeros(page.network.output.neurons) if record is None else record.votes
        set_data(
            source,
            {
                "t": [t for _, t, _ in found],
                "u": [u for *_, u in found],
                "colour": colours,
                "width": [1.0 if colour == GREY else 2.0 for colour in colours],
                "name": [page.name_class(neuron) for neuron, *_ in found],
                "value": [float(values[neuron]) for neuron, *_ in found],
            },
        )
