"""What-if simulations in a page without a server: a table, whose rows are shown by the browser alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import Column, ColumnDataSource, CustomJS, DataTable, TableColumn

from eventsnn.view.page_frame import PageFrame
from eventsnn.view.raster_plot import RasterPlot
from eventsnn.view.removals import list_removals
from eventsnn.view.spike_panels import draw_potential
from eventsnn.view.spike_plot import SpikePlot
from eventsnn.view.trace_page import TracePage

POINTS = 700
"""Of each potential; there are some twenty."""

_SHOW = """
const row = source.selected.indices[0] ?? 0;
targets.forEach((target, k) => { target.data = rows[row][k]; });
"""
_HINT = """
<h2>What if</h2>
<p class='faint'>Each row is a simulation without one of the spike's strongest causes. Choose one: lost
spikes are red &times;, new ones green +, moved ones orange lines, the new potential dashed.</p>
"""


def make_removals(
    page: TracePage, frame: PageFrame, raster: RasterPlot, spike: SpikePlot, width: int
) -> Column | None:
    """The table; None without a spike."""
    removals = list_removals(page)
    if not removals or page.record is None or page.view.spike is None:
        return None
    layer, neuron = page.view.spike.layer, page.view.spike.neuron
    start, end = page.window
    targets = [*raster.change_sources, spike.edited]
    rows: list[list[Any]] = [[dict(target.data) for target in targets]]
    for removal in removals:
        after = removal.difference.after
        t, u = np.empty(0), np.empty(0)
        if (layer, neuron) not in page.view.silenced and removal.name != f"{layer} {neuron}":
            t, u = draw_potential(
                page.network, after, layer, neuron, max(0.0, start), min(end, page.end_ms), POINTS
            )
        rows.append([*raster.change_data(removal.difference, removal.removed), {"t": t, "u": u}])
    source = ColumnDataSource(
        {
            "name": [
                "nothing more" if page.difference is not None else "nothing",
                *(r.name for r in removals),
            ],
            "effect": ["", *(removal.effect for removal in removals)],
            "decision": ["", *(removal.decision for removal in removals)],
            "changed": ["", *(removal.changed for removal in removals)],
        }
    )
    source.selected.indices = [0]
    show = CustomJS(args={"source": source, "targets": targets, "rows": rows}, code=_SHOW)
    source.selected.js_on_change("indices", show)
    headings = {"name": ("without (at ms)", 152), "effect": ("Δt (ms)", 54)}
    headings |= {"decision": ("decision", 56), "changed": ("spikes", 42)}
    table = DataTable(
        name="removals",
        source=source,
        columns=[
            TableColumn(field=field, title=title, width=wide) for field, (title, wide) in headings.items()
        ],
        width=width - 6,
        height=32 + 22 * len(removals) + 22,
        row_height=22,
        index_position=None,
        sortable=False,
        stylesheets=[frame.sheet],
    )
    return Column(frame.text(_HINT), table, width=width)
