"""The table of a trace's samples in Bokeh's widgets: one is chosen; filter and sort are set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bokeh.models import ColumnDataSource, CustomJS, DataTable, Row, Select, TableColumn, TextInput

from eventsnn.view.address import VERDICTS
from eventsnn.view.page_frame import PageFrame
from eventsnn.view.trace_page import TracePage

# Field of `SampleTable`: heading and width in pixels.
SAMPLE_COLUMNS = {
    "index": ("#", 30),
    "source": ("source", 82),
    "label": ("label", 36),
    "decision": ("decision", 60),
    "verdict": ("verdict", 52),
    "spikes": ("spikes", 46),
}

_SORT = """
const view = Bokeh.index.find_one(table);
if (view == null) return;
const columns = view.grid.getColumns();
const column = columns.find((column) => column.field === channel.value.replace(/^-/, ""));
view.grid.setSortColumns(column ? [{columnId: column.id, sortAsc: !channel.value.startsWith("-")}] : []);
if (view.grid === window.sorted_grid) return;
window.sorted_grid = view.grid;
view.grid.onSort.subscribe((event, {sortCol, sortAsc}) => {
  channel.value = (sortAsc ? "" : "-") + sortCol.field;
});
"""
"""Tells the server which heading of the table was clicked, and marks that heading."""


class SampleChooser:
    """The table, and the widgets above it.

    Parameters
    ----------
    page : TracePage
        Takes what is set here.
    frame : PageFrame
    width : int
        Of the table, pixels.
    choose : callable
        Called with the number of the sample that was clicked.
    changed : callable
        Called after another filter or sort was set.

    Attributes
    ----------
    filter : Row
        The widgets of the filter, and one that nobody sees for the sort.
    table : DataTable
    """

    def __init__(
        self,
        page: TracePage,
        frame: PageFrame,
        width: int,
        choose: Callable[[int], None],
        changed: Callable[[], None],
    ) -> None:
        self._page = page
        self._choose, self._changed = choose, changed
        self._is_filling = False
        styles: Any = {"stylesheets": [frame.sheet]}
        self._verdict = Select(name="verdict", options=list(VERDICTS), width=110, **styles)
        self._text = TextInput(name="filter", placeholder="file, or label 3", width=180, **styles)
        for widget in (self._verdict, self._text):
            widget.on_change("value", lambda attribute, old, new: self._set_filter())
        self._sort = TextInput(name="sort", visible=False)
        self._sort.on_change("value", lambda attribute, old, new: self._set_sort(new))
        self._samples = ColumnDataSource({key: [] for key in SAMPLE_COLUMNS})
        self._samples.selected.on_change("indices", self._choose_sample)
        self.table = DataTable(
            name="samples",
            source=self._samples,
            columns=[
                TableColumn(field=key, title=title, width=wide)
                for key, (title, wide) in SAMPLE_COLUMNS.items()
            ],
            width=width,
            height=330,
            row_height=22,
            index_position=None,
            sortable=False,  # by the browser: the server sorts, so that the keys go through the same order
            **styles,
        )
        sort = CustomJS(args={"table": self.table, "channel": self._sort}, code=_SORT)
        frame.document.js_on_event("document_ready", sort)
        self._sort.js_on_change("value", sort)
        # A table of as many rows in another order is not drawn again by itself.
        redraw = CustomJS(args={"table": self.table}, code="Bokeh.index.find_one(table)?.updateGrid()")
        self._samples.js_on_change("data", redraw)
        self.filter = Row(self._verdict, self._text, self._sort)

    def show(self) -> None:
        """Show the samples that pass the filter, sorted, and what the filter is."""
        view, table = self._page.view, self._page.sample_table()
        self._is_filling = True
        try:
            self._verdict.value, self._text.value, self._sort.value = view.verdict, view.text, view.sort
            self._samples.selected.indices = []
            self._samples.data = {key: getattr(table, key) for key in SAMPLE_COLUMNS}
        finally:
            self._is_filling = False
        self.show_chosen()

    def show_chosen(self) -> None:
        """Mark the page's sample, if it passes the filter."""
        shown = list(self._samples.data["index"])
        if self._page.view.sample not in shown:
            return
        self._is_filling = True
        try:
            self._samples.selected.indices = [shown.index(self._page.view.sample)]
        finally:
            self._is_filling = False

    def _set_filter(self) -> None:
        if not self._is_filling:
            self._page.set_filter(self._verdict.value, self._text.value)
            self.show()
            self._changed()

    def _set_sort(self, sort: str) -> None:
        if not self._is_filling:
            self._page.set_sort(sort)
            self.show()
            self._changed()

    def _choose_sample(self, attribute: str, old: list[int], new: list[int]) -> None:
        if not self._is_filling and new:
            self._choose(int(self._samples.data["index"][new[0]]))
