"""The document of training runs: `RunPage` in Bokeh's plots, live while they train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from bokeh.document import Document
from bokeh.models import (
    Column,
    ColumnDataSource,
    GridPlot,
    HoverTool,
    Legend,
    LegendItem,
    LinearColorMapper,
    Range1d,
    Row,
    Select,
)
from bokeh.plotting import figure

from eventsnn.plots.figure import BLUE, GREEN, ORANGE, VERMILION
from eventsnn.view.page_frame import PageFrame
from eventsnn.view.run_page import Curve, RunPage, tile
from eventsnn.view.sources import set_data
from eventsnn.view.style import GREY, INK, diverging, sequential

COLOURS = (BLUE, VERMILION, GREEN, ORANGE, "#cc79a7", "#56b4e9", GREY)
KEYS = {"j": "next-run", "k": "previous-run", "d": "look"}
HELP = "<span class='faint'><kbd>j</kbd> <kbd>k</kbd> run; solid: training, dashed: validation</span>"
REFRESH_MS = 1000
DASHES = ("solid", "dashed", "dotted", "dotdash")
MOST_IN_THREE_COLUMNS = 6
FIELD_COLUMNS = 6


class RunDocument:
    """Everything on the page of training runs.

    Parameters
    ----------
    document : Document
    folders : sequence of path
    query : mapping of str to str
        Keys of the address: ``run``, the number of the run whose weights are shown.
    """

    def __init__(self, document: Document, folders: Sequence[Path], query: Mapping[str, str]) -> None:
        self.document = document
        self.page = RunPage(folders)
        names = [run.name for run in self.page.runs]
        self.frame = PageFrame(document, ", ".join(names), query, KEYS, self.obey, self.reopen)
        self.page.shown = self._asked_run(query)
        self._plots: dict[str, _CurvePlot] = {}
        self._grid = GridPlot(toolbar_location=None, sizing_mode="stretch_width")
        self._make_pictures()
        self._message = self.frame.text(name="message")
        self._choice = Select(
            name="run",
            options=[(str(k), name) for k, name in enumerate(names)],
            value=str(self.page.shown),
            width=200,
            stylesheets=[self.frame.sheet],
        )
        self._choice.on_change("value", lambda attribute, old, new: self._choose(int(new)))
        self.frame.on_look.append(self.show_run)
        if document.session_context is not None:
            document.add_periodic_callback(self.tick, REFRESH_MS)
        self.show()
        document.add_root(self._lay_out(document.session_context is not None))

    def _make_pictures(self) -> None:
        self._weights = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._weight_colours = LinearColorMapper(palette=diverging(self.frame.look), nan_color=GREY)
        self.fields = figure(
            name="fields",
            width=470,
            height=300,
            x_range=Range1d(0, 1),
            y_range=Range1d(1, 0),
            tools="pan,wheel_zoom,reset",
            toolbar_location=None,
            match_aspect=True,
            title="weights of the first layer",
        )
        self.fields.axis.visible = self.fields.grid.visible = False
        image = self.fields.image(
            "image", "x", "y", "dw", "dh", source=self._weights, color_mapper=self._weight_colours
        )
        self.fields.add_tools(HoverTool(renderers=[image], tooltips=[("weight", "@image{0.0000}")]))
        self._counts = ColumnDataSource({"label": [], "decision": [], "count": [], "share": [], "ink": []})
        self._count_colours = LinearColorMapper(palette=sequential(self.frame.look), low=0.0, high=1.8)
        self.confusion = figure(
            name="confusion",
            width=390,
            height=300,
            x_range=Range1d(-0.5, 1),
            y_range=Range1d(1, -0.5),
            tools="",
            toolbar_location=None,
            title="confusion",
        )
        self.confusion.grid.visible = False
        cells = self.confusion.rect(
            "decision",
            "label",
            0.96,
            0.96,
            source=self._counts,
            fill_color={"field": "share", "transform": self._count_colours},
            line_color=None,
        )
        self.confusion.text(
            "decision",
            "label",
            "count",
            source=self._counts,
            text_align="center",
            text_baseline="middle",
            text_font_size="10px",
            text_color="ink",
        )
        self.confusion.add_tools(
            HoverTool(
                renderers=[cells],
                tooltips=[("label", "@label"), ("decision", "@decision"), ("recordings", "@count")],
            )
        )
        self.confusion.xaxis.axis_label, self.confusion.yaxis.axis_label = "decision", "label"

    def _lay_out(self, is_live: bool) -> Column:
        frame = self.frame
        header = [frame.text(HELP, width=330, sizing_mode=None)]
        return Column(
            frame.header(*header) if is_live else frame.title,
            self._message,
            self._grid,
            Row(self._choice if is_live else frame.text(width=10), self.fields, self.confusion),
            sizing_mode="stretch_width",
        )

    # -- what it shows ------------------------------------------------------------------------

    def tick(self) -> None:
        """Read what a run has written since."""
        if self.page.refresh():
            self.show()

    def show(self) -> None:
        """Show everything; metrics that a run begins to write get a plot."""
        panels, names = self.page.panels(), [run.name for run in self.page.runs]
        for heading, curves in panels.items():
            if heading not in self._plots:
                self._plots[heading] = _CurvePlot(heading)
            self._plots[heading].show(curves, names)
        figures = [self._plots[heading].figure for heading in panels]
        if figures != [child[0] for child in self._grid.children]:
            columns = 3 if len(panels) <= MOST_IN_THREE_COLUMNS else 4
            self._grid.children = [(plot, *divmod(k, columns)) for k, plot in enumerate(figures)]
        self.show_run()

    def show_run(self) -> None:
        """Show weights and confusion of the chosen run."""
        page, look = self.page, self.frame.look
        run = page.runs[page.shown]
        self._weight_colours.palette, self._count_colours.palette = diverging(look), sequential(look)
        self._show_fields(run.fields())
        self._show_confusion(run.confusion())
        self.frame.describe("" if len(page.runs) > 3 else page.describe())
        problems = [one.problem for one in page.runs if one.problem]
        self._message.text = "".join(f"<p class='warning'>{escape(text)}</p>" for text in problems)
        self._message.visible = bool(problems)
        self.frame.keep_address(urlencode({"run": page.shown}) if page.shown else "", page.shown)

    def _show_fields(self, fields: np.ndarray | None) -> None:
        if fields is None or not fields.size:
            set_data(self._weights, {key: [] for key in self._weights.data})
            self.fields.title.text = "weights of the first layer: none yet"
            return
        picture = tile(fields, FIELD_COLUMNS if fields.shape[1] == 1 else FIELD_COLUMNS // 2 + 1)
        height, width = picture.shape
        top = float(np.nanmax(np.abs(picture))) or 1.0
        self._weight_colours.update(low=-top, high=top)
        set_data(
            self._weights,
            {"image": [picture.astype(np.float32)], "x": [0], "y": [0], "dw": [width], "dh": [height]},
        )
        self.fields.x_range.update(start=0, end=width)
        self.fields.y_range.update(start=height, end=0)
        sides = ": OFF, ON (red +, blue -)" if fields.shape[1] == 2 else " (red +, blue -)"
        self.fields.title.text = f"the {len(fields)} strongest neurons of the first layer{sides}"

    def _show_confusion(self, counts: np.ndarray | None) -> None:
        if counts is None:
            set_data(self._counts, {key: [] for key in self._counts.data})
            self.confusion.title.text = "confusion: no predictions.csv in the folder"
            self.confusion.axis.visible = False
            return
        self.confusion.axis.visible = True
        label, decision = np.nonzero(counts)
        count = counts[label, decision]
        share = count / counts.sum(axis=1)[label]
        right = int(np.trace(counts)) / max(1, int(counts.sum()))
        ink = INK[self.frame.look]
        colours = np.where(share > 0.5, "#ffffff", ink).tolist()
        set_data(
            self._counts,
            {"label": label, "decision": decision, "count": count, "share": share, "ink": colours},
        )
        classes = len(counts)
        self.confusion.x_range.update(start=-0.5, end=classes + 0.5)
        self.confusion.y_range.update(start=classes - 0.5, end=-0.5)
        ticks = list(range(0, classes, 1 + classes // 20))
        self.confusion.xaxis.ticker, self.confusion.yaxis.ticker = [*ticks, classes], ticks
        self.confusion.xaxis.major_label_overrides = {classes: "none"}
        self.confusion.title.text = f"confusion: {100 * right:.2f} % of {int(counts.sum()):,} correct"

    # -- what is done -------------------------------------------------------------------------

    def _asked_run(self, query: Mapping[str, str]) -> int:
        asked = query.get("run", "")
        return int(asked) if asked.isdecimal() and int(asked) < len(self.page.runs) else 0

    def reopen(self, query: Mapping[str, str]) -> None:
        """Show what an address asks for."""
        self._choice.value = str(self._asked_run(query))

    def obey(self, command: str) -> None:
        """Do a command of the keyboard."""
        step = {"next-run": 1, "previous-run": -1}.get(command, 0)
        self._choice.value = str((self.page.shown + step) % len(self.page.runs))

    def _choose(self, run: int) -> None:
        self.page.shown = run
        self.show_run()


class _CurvePlot:
    """One plot of curves."""

    def __init__(self, heading: str) -> None:
        self.figure = figure(
            name=f"curves-{heading}",
            height=200,
            sizing_mode="stretch_width",
            tools="pan,xwheel_zoom,reset",
            toolbar_location=None,
            title=heading,
            min_border_left=50,
        )
        self.figure.xaxis.axis_label = "epoch"
        self.figure.add_layout(Legend(location="top_right", padding=2, spacing=0, glyph_height=12))
        self._sources: dict[tuple[str, str], ColumnDataSource] = {}

    def show(self, curves: list[Curve], runs: list[str]) -> None:
        """Draw the curves; those that are there get longer."""
        layers = sorted({curve.metric.partition(" ")[2] for curve in curves})
        labels = []
        for curve in curves:
            key = curve.run, curve.metric
            if key not in self._sources:
                labels += self._add(key, runs, layers)
            set_data(self._sources[key], {"epoch": curve.epochs, "value": curve.values})
        if labels:
            self.figure.legend[0].items = [*self.figure.legend[0].items, *labels]

    def _add(self, key: tuple[str, str], runs: list[str], layers: list[str]) -> list[LegendItem]:
        """Add a curve; its entry in the legend, if it has one."""
        run, metric = key
        source = self._sources[key] = ColumnDataSource({"epoch": [], "value": []})
        is_valid = metric.startswith("valid_")
        layer = metric.partition(" ")[2]
        is_single = len(runs) == 1
        colour = COLOURS[(layers.index(layer) if is_single else runs.index(run)) % len(COLOURS)]
        dash = int(is_valid) if is_single or not layer else layers.index(layer) % len(DASHES)
        look: dict[str, Any] = {"line_color": colour, "line_dash": DASHES[dash]}
        line = self.figure.line("epoch", "value", source=source, line_width=2, **look)
        dots = self.figure.scatter("epoch", "value", source=source, size=4, color=colour)
        self.figure.add_tools(
            HoverTool(
                renderers=[dots],
                tooltips=[(f"{run} {metric}".strip(), "@value{0.0000}"), ("epoch", "@epoch")],
            )
        )
        if not layer and (is_single or metric != "loss"):  # the other plots have the same colours
            return []
        label = layer if is_single else f"{run} {layer}".strip()
        return [LegendItem(label={"value": label}, renderers=[line])]
