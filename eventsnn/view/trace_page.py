"""A page of a trace without its looks: what is shown, and the arrays that it takes. No browser is needed.

Only what is shown is read: the table of samples, and the spikes of the sample that was chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from eventsnn.errors import EventSNNError, TraceError
from eventsnn.model import Network
from eventsnn.plots.potential import last_time
from eventsnn.simulate.differences import Difference
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import LayerSpikes, SpikeRecord
from eventsnn.view.address import MODES, SpikeName, TraceView
from eventsnn.view.raster import Binned, Glyphs, draw_window, find_window, nearest_spike
from eventsnn.view.sample_list import SampleList, SampleTable
from eventsnn.view.spike_panels import INPUT, SpikePanels, draw_potential, explain_spike
from eventsnn.view.studies import Studies

POTENTIAL_POINTS = 1500  # two or three for each pixel
KEPT_SPIKES = 32
MOST_READOUTS, READOUT_POINTS = 20, 500


class TracePage:
    """What a page shows of an open trace, and how that changes.

    Parameters
    ----------
    trace : Trace
        Stays open as long as the page is used.
    view : TraceView, optional
        What to show at first; what there is not in this trace is left out.
    studies : Studies, optional
        Shared with other pages of the trace.

    Attributes
    ----------
    trace : Trace
    view : TraceView
    record : SpikeRecord or None
        The sample that is shown; None if the trace holds none.
    message : str
        What went wrong with the last thing asked for; "" if nothing did.
    """

    def __init__(self, trace: Trace, view: TraceView | None = None, studies: Studies | None = None) -> None:
        self.trace = trace
        self.view = TraceView()
        self.record: SpikeRecord | None = None
        self.message = ""
        self._in_memory: int | None = None  # the sample that `record` and these are of
        self._explained: dict[SpikeName, SpikePanels] = {}
        self._studies = Studies(trace) if studies is None else studies
        self._difference: Difference | None = None
        self._samples = SampleList(trace)
        self.restore(TraceView() if view is None else view)

    def restore(self, asked: TraceView) -> None:
        """Show what an address asks for, except what the trace or its sample does not have."""
        self.message = ""
        self.view = replace(self.view.of_sample(self.view.sample), mode=asked.mode)
        self.set_filter(asked.verdict, asked.text)
        self.set_sort(asked.sort)
        if not len(self.trace):
            return
        self.select_sample(asked.sample if 0 <= asked.sample < len(self.trace) else 0)
        if asked.sample == self.view.sample:
            self._restore_sample(asked)

    def _restore_sample(self, asked: TraceView) -> None:
        for name in asked.path:
            self.go_to(name)
        assert self.record is not None
        if asked.window is not None:
            self.set_window(*asked.window)
        removed = frozenset(row for row in asked.removed if 0 <= row < len(self.record.input))
        silenced = frozenset(
            (layer, neuron)
            for layer, neuron in asked.silenced
            if layer in self.network.names and 0 <= neuron < self.network[layer].neurons
        )
        if removed or silenced:
            self._attempt(lambda: self._edit(removed, silenced))

    def _attempt(self, action: Callable[[], None]) -> bool:
        """Do something; what is wrong with it becomes the page's message."""
        self.message = ""
        try:
            action()
        except EventSNNError as error:
            self.message = str(error)
            return False
        return True

    @property
    def network(self) -> Network:
        """The network that ran."""
        return self.trace.network

    # -- samples ----------------------------------------------------------------------------

    def set_filter(self, verdict: str, text: str) -> None:
        """Show the samples that pass a filter; `next_sample` goes through them.

        Parameters
        ----------
        verdict : str
            One of `VERDICTS`.
        text : str
            A part of the source, in small or capital letters; or ``label 3``, ``decision 5``.
        """
        self.view = replace(self.view, verdict=verdict, text=text)

    def set_sort(self, sort: str) -> None:
        """Sort the samples as `TraceView.sort` says; see `eventsnn.view.sample_list.SampleList.sort`."""
        self.view = replace(self.view, sort=sort)
        self._samples.sort(sort)

    def sample_table(self) -> SampleTable:
        """The samples that pass the filter, sorted."""
        return self._samples.table(self.view.verdict, self.view.text)

    def name_class(self, number: int) -> str:
        """Name of a class, or its number."""
        return self._samples.name_class(number)

    def select_sample(self, sample: int) -> bool:
        """Show a sample; False, and a message, if there is none of this number."""
        return self._attempt(lambda: self._read_sample(sample))

    def _read_sample(self, sample: int) -> None:
        if self._in_memory != sample:
            self.record = self.trace.record(sample)
            self._in_memory, self._explained = sample, {}
        self.view, self._difference = self.view.of_sample(sample), None

    def next_sample(self, step: int = 1) -> bool:
        """The next sample of the table, or the one before with -1; stays at the ends."""
        if not len(self.trace):
            return False
        found = self._samples.neighbour(self.view.sample, step, self.view.verdict, self.view.text)
        return found is not None and self.select_sample(found)

    def describe_sample(self) -> str:
        """``sample 3 (00042.bin): label 5, decision 3, wrong; 812 spikes``."""
        if self.record is None:
            return "no complete sample"
        return self._samples.describe(self.view.sample)

    # -- raster -----------------------------------------------------------------------------

    @property
    def trains(self) -> dict[str, LayerSpikes]:
        """Spikes of the input and of all layers of the sample."""
        if self.record is None:
            return {}
        return {"input": self.record.input, **self.record.layers}

    @property
    def end_ms(self) -> float:
        """Where the time axis of the sample ends, ms."""
        return 1.0 if self.record is None else max(last_time(self.record), 1e-3)

    @property
    def window(self) -> tuple[float, float]:
        """Visible part of the time axis, ms."""
        return (0.0, self.end_ms) if self.view.window is None else self.view.window

    def set_window(self, start: float, end: float) -> None:
        """Show this part of the time axis, ms."""
        is_default = (start, end) == (0.0, self.end_ms) or not start < end
        self.view = replace(self.view, window=None if is_default else (start, end))

    def show_time(self, time: float) -> None:
        """Move the window, if need be, until it has a time (ms) in its middle."""
        start, end = self.window
        if not start <= time <= end:
            self.set_window(time - 0.5 * (end - start), time + 0.5 * (end - start))

    def raster(self, start: float, end: float) -> dict[str, Glyphs | Binned]:
        """Spikes within [start, end] (ms) as a page can draw them, by layer."""
        return draw_window(self.trains, start, end)

    # -- one spike --------------------------------------------------------------------------

    def pick(self, layer: str, time: float, neuron: float, reach: tuple[float, float]) -> bool:
        """Explain the spike at a place of the raster, with a new way there; False if there is none.

        Parameters as in `eventsnn.view.raster.nearest_spike`.
        """
        if self.record is None or layer not in self.record.layers:
            return False
        row = nearest_spike(self.record[layer], time, neuron, reach)
        if row is None:
            return False
        self.view = replace(self.view, path=())
        return self.go_to(self.name_spike(layer, row))

    def name_spike(self, layer: str, row: int) -> SpikeName:
        """The spike in this row of a layer's spikes."""
        assert self.record is not None
        neurons = self.record[layer].neurons
        number = int(np.count_nonzero(neurons[:row] == neurons[row]))
        return SpikeName(layer, int(neurons[row]), number)

    def go_to(self, name: SpikeName) -> bool:
        """Explain a spike, at the end of the way so far; False, and a message, if that cannot be."""
        return self._attempt(lambda: self._go_to(name))

    def _go_to(self, name: SpikeName) -> None:
        panels = self._explain(name)
        self.view = replace(self.view, path=(*self.view.path, name))
        self.show_time(panels.time_ms)

    def follow(self, cause: int) -> bool:
        """Explain the cause in this row of the present spike's `causes`; False for an input event."""
        panels = self.panels
        if panels is None or not 0 <= cause < len(panels.causes):
            return False
        source, row = panels.causes[cause][["source", "row"]].tolist()
        return source >= 0 and self.go_to(self.name_spike(self.network.names[source], row))

    def back(self, steps: int = 1) -> None:
        """Go back on the way by so many spikes; the first one stays."""
        keep = max(min(1, len(self.view.path)), len(self.view.path) - steps)
        self.view = replace(self.view, path=self.view.path[:keep])
        self.message = ""
        if self.panels is not None:
            self.show_time(self.panels.time_ms)

    def next_spike(self, step: int = 1) -> bool:
        """The next spike of the layer in time, or with -1 the one before; at first one of the last layer."""
        if self.record is None:
            return False
        name = self.view.spike
        if name is None:
            fired = [layer for layer, spikes in self.record.layers.items() if len(spikes)]
            return bool(fired) and self.go_to(self.name_spike(fired[-1], 0))
        rows = np.flatnonzero(self.record[name.layer].neurons == name.neuron)
        row = int(rows[name.number]) + step
        if not 0 <= row < len(self.record[name.layer]):
            return False
        before = self.view
        self.view = replace(self.view, path=self.view.path[:-1])
        if self.go_to(self.name_spike(name.layer, row)):
            return True
        self.view = before
        return False

    def set_mode(self, mode: str) -> None:
        """Show contributions, or the sensitivity."""
        if mode in MODES:
            self.view = replace(self.view, mode=mode)

    @property
    def panels(self) -> SpikePanels | None:
        """The spike that is shown, explained."""
        return None if self.view.spike is None else self._explain(self.view.spike)

    def _explain(self, name: SpikeName) -> SpikePanels:
        if name not in self._explained:
            if self.record is None:
                raise TraceError("the trace holds no sample")
            found = explain_spike(self.network, self.record, name, self.view.sample)
            while len(self._explained) >= KEPT_SPIKES:
                del self._explained[next(iter(self._explained))]
            self._explained[name] = found
        return self._explained[name]

    def potential(self, start: float, end: float, *, edited: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Membrane potential of the shown spike's neuron within [start, end] (ms): (times, values).

        `edited`: that of the what-if simulation; empty without one, and for a neuron that it silences.
        """
        name = self.view.spike
        record = self.record
        if edited:
            record = None if self._difference is None else self._difference.after
            if name is not None and (name.layer, name.neuron) in self.view.silenced:
                record = None
        if name is None or record is None:
            return np.empty(0), np.empty(0)
        start, end = max(0.0, start), min(end, self.end_ms)
        if not start < end:
            return np.empty(0), np.empty(0)
        return draw_potential(self.network, record, name.layer, name.neuron, start, end, POTENTIAL_POINTS)

    def readout_potentials(self, *, edited: bool) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Neuron, times (ms) and potentials in the window of a readout layer's neurons, by number.

        At most `MOST_READOUTS`, those with the largest values. `edited`: of the what-if simulation, the two
        that decide with and without its edits; none without one.
        """
        record = self.record
        after = None if self._difference is None else self._difference.after
        if self.network.output.fires or record is None or (edited and after is None):
            return []
        shown = np.sort(np.argsort(-record.votes, kind="stable")[:MOST_READOUTS]).tolist()
        if edited and after is not None:
            shown = sorted({n for n in (record.decision, after.decision) if n is not None})
            record = after
        start, end = max(0.0, self.window[0]), min(self.window[1], self.end_ms)
        if not start < end:
            return []
        name = self.network.names[-1]
        return [
            (n, *draw_potential(self.network, record, name, n, start, end, READOUT_POINTS)) for n in shown
        ]

    def describe_source(self, source: int, neuron: int) -> str:
        """``input (12, 7) ON``, ``hidden 17``, ``bias``."""
        if source == INPUT:
            width, height, polarities = self.network.input.sensor_size
            p, pixel = divmod(neuron, width * height)
            y, x = divmod(pixel, width)
            sign = "" if polarities == 1 else (" OFF", " ON")[p] if polarities == 2 else f" p={p}"
            return f"input ({x}, {y}){sign}"
        return "bias" if source < INPUT else f"{self.network.names[source]} {neuron}"

    # -- what if ----------------------------------------------------------------------------

    @property
    def difference(self) -> Difference | None:
        """What the edits change; None without any."""
        return self._difference

    def select_events(self, start: float, end: float, low: float, high: float) -> np.ndarray:
        """Rows of the input events within [start, end] (ms) and of the input neurons within [low, high]."""
        if self.record is None:
            return np.empty(0, np.int64)
        window = find_window(self.record.input.times, start, end)
        neurons = self.record.input.neurons[window]
        return window.start + np.flatnonzero((neurons >= low) & (neurons <= high))

    def strongest_events(self, count: int) -> np.ndarray:
        """Rows of the input events with the largest values, in the present mode, of the shown spike."""
        if self.panels is None:
            return np.empty(0, np.int64)
        events = self.panels.events(self.view.mode)
        return events["row"][np.argsort(-np.abs(events["value"]), kind="stable")[:count]]

    def remove_events(self, rows: np.ndarray) -> bool:
        """Leave input events out, besides those left out already."""
        return self._attempt(
            lambda: self._edit(self.view.removed | set(np.asarray(rows).tolist()), self.view.silenced)
        )

    def silence_neuron(self, layer: str, neuron: int) -> bool:
        """Have a neuron never fire, besides those silenced already."""
        return self._attempt(lambda: self._edit(self.view.removed, self.view.silenced | {(layer, neuron)}))

    def clear_edits(self) -> None:
        """The simulation as it was."""
        self.message = ""
        self._difference = None
        self.view = replace(self.view, removed=frozenset(), silenced=frozenset())

    def _edit(self, removed: frozenset[int], silenced: frozenset[tuple[str, int]]) -> None:
        self._difference = self._simulate(removed, silenced)
        self.view = replace(self.view, removed=removed, silenced=silenced)

    def _simulate(self, removed: frozenset[int], silenced: frozenset[tuple[str, int]]) -> Difference:
        study = self._studies.of_sample(self.view.sample)
        return study.run(remove=sorted(removed) or None, silence=sorted(silenced) or None)

    def simulate_without(self, rows: np.ndarray, neurons: frozenset[tuple[str, int]]) -> Difference | None:
        """What leaving out these input events and neurons would change, besides those left out already.

        None, and a message, where that cannot be simulated.
        """
        found: list[Difference] = []
        removed = self.view.removed | set(np.asarray(rows).tolist())
        self._attempt(lambda: found.append(self._simulate(removed, self.view.silenced | neurons)))
        return found[0] if found else None

    def describe_edits(self) -> str:
        """``removed: 12 input events; silenced: hidden 17``."""
        parts = []
        if self.view.removed:
            plural = "" if len(self.view.removed) == 1 else "s"
            parts.append(f"removed: {len(self.view.removed)} input event{plural}")
        if self.view.silenced:
            names = ", ".join(f"{layer} {neuron}" for layer, neuron in sorted(self.view.silenced))
            parts.append(f"silenced: {names}")
        return "; ".join(parts)
