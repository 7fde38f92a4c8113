"""The document of a trace's page: `TracePage` in Bokeh's plots and widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.models import Column, RadioButtonGroup, Range1d, Row

from eventsnn.simulate.differences import Difference
from eventsnn.trace.reader import Trace
from eventsnn.view.address import MODES, TraceView
from eventsnn.view.page_frame import PageFrame
from eventsnn.view.raster_plot import RasterPlot
from eventsnn.view.removals_table import make_removals
from eventsnn.view.sample_chooser import SampleChooser
from eventsnn.view.spike_plot import SpikePlot
from eventsnn.view.studies import Studies
from eventsnn.view.trace_page import TracePage

KEYS = {
    "j": "next-sample",
    "k": "previous-sample",
    "ArrowRight": "next-spike",
    "ArrowLeft": "previous-spike",
    "Backspace": "back",
    "c": "mode",
    "r": "remove",
    "s": "silence",
    "u": "undo",
    "d": "look",
}
HELP = (
    "<span class='faint'><kbd>j</kbd> <kbd>k</kbd> sample, <kbd>&larr;</kbd> <kbd>&rarr;</kbd> spike, "
    "<kbd>&#9003;</kbd> back, <kbd>c</kbd> contribution or sensitivity, <kbd>r</kbd> remove, "
    "<kbd>s</kbd> silence, <kbd>u</kbd> undo</span>"
)
HOW_TO_SELECT = "Select input events: drag a box over them with the box tool, or choose one among the causes."
LEFT_WIDTH, RIGHT_WIDTH = 312, 384
SOON_MS = 120
STRONGEST = 10

# On a narrow screen the columns stand under each other.
_WRAP = {"flex-wrap": "wrap"}
_GROW = {"flex": "1 1 440px", "min-width": "440px", "width": "auto"}


class TraceDocument:
    """Everything on the page of a trace.

    Parameters
    ----------
    document : Document
    trace : Trace
    query : mapping of str to str
        Keys of the address.
    studies : Studies, optional
        Shared with other pages of the trace.
    """

    def __init__(
        self, document: Document, trace: Trace, query: Mapping[str, str], studies: Studies | None = None
    ) -> None:
        self.document = document
        self.page = TracePage(trace, TraceView.from_query(query), studies)
        self.frame = PageFrame(document, trace.path.name, query, KEYS, self.obey, self.reopen)
        self._marked = np.empty(0, np.int64)
        self._is_waiting = self._is_filling = False
        time_range = Range1d(0.0, self.page.end_ms)
        time_range.bounds = None
        self.raster = RasterPlot(
            self.page, time_range, self.frame.look, self._click, self._mark, self._schedule
        )
        self.spike = SpikePlot(self.page, self.frame, time_range, self._follow, self._mark)
        self.samples = SampleChooser(
            self.page, self.frame, LEFT_WIDTH - 6, self._choose_sample, self._keep_address
        )
        self.frame.on_look.append(self._set_look)
        self._make_widgets()
        self.samples.show()
        self.show_sample()
        # At the end: what changes on a document's models costs a walk over all of them.
        document.add_root(self._lay_out_file() if document.session_context is None else self._lay_out())

    # -- layout -----------------------------------------------------------------------------

    def _make_widgets(self) -> None:
        frame = self.frame
        styles: Any = {"stylesheets": [frame.sheet]}
        self._way = RadioButtonGroup(name="way", labels=[], active=None, **styles)
        self._way.on_change("active", self._go_back)
        self._mode = RadioButtonGroup(labels=list(MODES), active=0, width=RIGHT_WIDTH - 8, **styles)
        self._mode.on_change("active", lambda attribute, old, new: self._set_mode(MODES[new]))
        self._edits = frame.text(name="edits")
        self._outcome = frame.text(name="outcome")
        self._message = frame.text(name="message")

    def _make_middle(self) -> Column:
        plots = [*self.raster.figures, self.spike.potential, self.spike.events]
        return Column(*plots, sizing_mode="stretch_width", styles=_GROW)

    def _lay_out(self) -> Column:
        frame = self.frame
        half = (LEFT_WIDTH - 30) // 2
        left = Column(
            self.samples.filter,
            self.samples.table,
            frame.text("<h2>What if</h2>"),
            self._edits,
            Row(
                frame.button("remove selected", lambda: self.obey("remove"), width=half),
                frame.button(f"remove {STRONGEST} strongest", self._remove_strongest, width=half),
            ),
            Row(
                frame.button("silence this neuron", lambda: self.obey("silence"), width=half),
                frame.button("undo all", lambda: self.obey("undo"), width=half),
            ),
            self._outcome,
            width=LEFT_WIDTH,
        )
        middle = self._make_middle()
        right = Column(
            self._way,
            self.spike.facts,
            self._mode,
            Row(*self.spike.maps),
            self.spike.bars,
            self.spike.causes,
            width=RIGHT_WIDTH,
        )
        return Column(
            frame.header(frame.text(HELP, width=470, sizing_mode=None)),
            self._message,
            Row(left, middle, right, sizing_mode="stretch_width", styles=_WRAP),
            sizing_mode="stretch_width",
        )

    def _lay_out_file(self) -> Column:
        """Without a server: what there is to look at, and what-if simulations made in advance."""
        middle = self._make_middle()
        right = Column(
            self.spike.facts,
            Row(*self.spike.maps),
            self.spike.bars,
            self.spike.causes,
            self._edits,
            self._outcome,
            width=RIGHT_WIDTH,
        )
        left = make_removals(self.page, self.frame, self.raster, self.spike, LEFT_WIDTH)
        parts = [middle, right] if left is None else [left, middle, right]
        return Column(
            self.frame.title,
            self._message,
            Row(*parts, sizing_mode="stretch_width", styles=_WRAP),
            sizing_mode="stretch_width",
        )

    # -- what is shown ------------------------------------------------------------------------

    def show_sample(self) -> None:
        """Show the page's sample, and its spike."""
        self.frame.describe(self.page.describe_sample())
        self._marked = np.empty(0, np.int64)
        self.raster.show_sample()
        self.show_spike()

    def show_spike(self) -> None:
        """Show the page's spike, way and edits, and keep the address."""
        page = self.page
        self._is_filling = True
        try:
            names = [f"{name.layer} {name.neuron}" for name in page.view.path]
            if len(names) > 1:  # hidden otherwise: labels would have the page laid out for nothing
                self._way.labels = [f"{k}: {name}" if k else name for k, name in enumerate(names)][-4:]
                self._way.active = len(self._way.labels) - 1
            self._way.visible = len(names) > 1
            self._mode.active = MODES.index(page.view.mode)
        finally:
            self._is_filling = False
        self.samples.show_chosen()
        self.raster.show_window()
        self.spike.show()
        self.raster.mark_spike()
        self._show_edits()

    def _show_edits(self) -> None:
        page, count = self.page, len(self._marked)
        self.raster.mark_selected(self._marked)
        self.raster.mark_changes()
        chosen = f"{count:,} input event{'' if count == 1 else 's'} selected" if count else HOW_TO_SELECT
        is_live = self.document.session_context is not None
        lines = [
            f"<p class='faint'>{escape(chosen)}</p>" if is_live else "",
            f"<p>{escape(page.describe_edits())}</p>",
        ]
        self._edits.text = "".join(lines)
        self._outcome.text = "" if page.difference is None else describe_difference(page.difference)
        self._message.text = f"<p class='warning'>{escape(page.message)}</p>" if page.message else ""
        self._message.visible = bool(page.message)
        self._keep_address()

    def _keep_address(self) -> None:
        self.frame.keep_address(self.page.view.to_address({}), self.page.view.step)

    def _set_look(self) -> None:
        self.raster.set_look(self.frame.look)
        self.spike.set_look()
        self._show_edits()

    def _schedule(self, action: Callable[[], None]) -> None:
        """Do it a little later, and once for all that is asked for until then."""

        def act() -> None:
            self._is_waiting = False
            action()
            self.spike.show_potential()
            self._keep_address()

        if not self._is_waiting:
            self._is_waiting = True
            if self.document.session_context is None:  # no server: nothing calls later
                act()
            else:
                self.document.add_timeout_callback(act, SOON_MS)

    # -- what is done -------------------------------------------------------------------------

    def reopen(self, query: Mapping[str, str]) -> None:
        """Show what an address asks for."""
        before, asked = self.page.view, TraceView.from_query(query)
        self.page.restore(asked)
        if (before.sort, before.verdict, before.text) != (asked.sort, asked.verdict, asked.text):
            self.samples.show()
        if before.sample == self.page.view.sample:
            self.show_spike()
        else:
            self.show_sample()

    def obey(self, command: str) -> None:
        """Do a command of the keyboard or of a button."""
        page = self.page
        if command in ("next-sample", "previous-sample"):
            if page.next_sample(1 if command == "next-sample" else -1):
                self.show_sample()
            return
        if command in ("next-spike", "previous-spike"):
            page.next_spike(1 if command == "next-spike" else -1)
        elif command == "back":
            page.back()
        elif command == "mode":
            page.set_mode(MODES[1 - MODES.index(page.view.mode)])
        elif command == "remove" and self._marked.size:
            page.remove_events(self._marked)
            self._marked = np.empty(0, np.int64)
        elif command == "silence" and page.view.spike is not None:
            page.silence_neuron(page.view.spike.layer, page.view.spike.neuron)
        elif command == "undo":
            page.clear_edits()
        self.show_spike()

    def _remove_strongest(self) -> None:
        self.page.remove_events(self.page.strongest_events(STRONGEST))
        self.show_spike()

    def _set_mode(self, mode: str) -> None:
        if not self._is_filling:
            self.page.set_mode(mode)
            self.show_spike()

    def _click(self, layer: str, time: float, neuron: float, reach: tuple[float, float]) -> None:
        if self.page.pick(layer, time, neuron, reach) or self.page.message:
            self.show_spike()

    def _follow(self, cause: int) -> None:
        self.page.follow(cause)
        self.show_spike()

    def _go_back(self, attribute: str, old: int | None, new: int | None) -> None:
        if not self._is_filling and new is not None:
            self.page.back(len(self._way.labels) - 1 - new)
            self.show_spike()

    def _mark(self, rows: np.ndarray) -> None:
        self._marked = np.asarray(rows, dtype=np.int64)
        self._show_edits()

    def _choose_sample(self, sample: int) -> None:
        if self.page.select_sample(sample):
            self.show_sample()
        else:
            self._show_edits()


def describe_difference(difference: Difference) -> str:
    """What a what-if simulation changed, as HTML."""
    before, after = difference.before.decision, difference.after.decision
    names = ["none" if n is None else str(n) for n in (before, after)]
    verdict = (
        f"<p><b>The decision flips from {names[0]} to {names[1]}.</b></p>"
        if difference.flips
        else f"<p>The decision stays {names[0]}.</p>"
    )
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{layer['lost']}</td><td>{layer['new']}</td><td>{layer['moved']}</td>"
        f"<td>{layer['moved_most_ms']:.3g}</td></tr>"
        for name, layer in difference.count().items()
    )
    deciding = sorted({n for n in (before, after) if n is not None})
    what = "spikes" if difference.before.readout is None else "readout"
    counts = "".join(
        f"<p class='faint'>{what} of {n}: {difference.before.votes[n]:.6g} &rarr; "
        f"{difference.after.votes[n]:.6g}</p>"
        for n in deciding
    )
    head = "<tr><th></th><th>lost &times;</th><th>new +</th><th>moved</th><th>most (ms)</th></tr>"
    return f"{verdict}<table>{head}{rows}</table>{counts}"
