"""What a spike is without each of its strongest causes: what-if simulations for a page without a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from eventsnn.simulate.differences import Difference
from eventsnn.view.spike_panels import INPUT
from eventsnn.view.trace_page import TracePage

SINGLE_EVENTS = 8
TOGETHER = (5, 10, 20, 50)
NEURONS = 6


@dataclass(frozen=True, eq=False)
class Removal:
    """One what-if simulation.

    Attributes
    ----------
    name : str
        What is left out, such as ``(12, 7) ON 31.21 ms`` or ``hidden 9``.
    removed : frozenset of int
        The input events that are left out, by row.
    difference : Difference
        What that changes.
    effect : str
        What becomes of the spike that is explained: ``lost``, ``same``, or by how many ms it moves.
    """

    name: str
    removed: frozenset[int]
    difference: Difference
    effect: str

    @property
    def decision(self) -> str:
        """``8``, or ``8 → 3`` where it flips."""
        before, after = self.difference.before.decision, self.difference.after.decision
        names = ["none" if decision is None else str(decision) for decision in (before, after)]
        return " → ".join(names) if before != after else names[0]

    @property
    def changed(self) -> int:
        """How many spikes are lost, new or moved, in all layers."""
        return sum(map(len, self.difference.changes.values()))


def list_removals(page: TracePage) -> list[Removal]:
    """Leave out the strongest input events of the shown spike, one by one and together, and its strongest
    pre-synaptic neurons, besides what the page leaves out already; none without a spike."""
    return [
        Removal(
            name, page.view.removed | set(events.tolist()), difference, _describe_effect(page, difference)
        )
        for name, events, neurons in _choose(page)
        if (difference := page.simulate_without(events, neurons)) is not None
    ]


def _choose(page: TracePage) -> Iterator[tuple[str, np.ndarray, frozenset[tuple[str, int]]]]:
    """Name, input events (rows) and neurons of each."""
    if page.panels is None or page.record is None:
        return
    nothing = np.empty(0, np.int64)
    strongest = page.strongest_events(max(TOGETHER))
    inputs = page.record.input
    for row in strongest[:SINGLE_EVENTS].tolist():
        place = page.describe_source(INPUT, int(inputs.neurons[row])).removeprefix("input ")
        yield f"{place} {inputs.times[row]:.2f}", np.array([row]), frozenset()
    for count in TOGETHER:
        if count <= strongest.size:
            yield f"{count} strongest events", strongest[:count], frozenset()
    bars = page.panels.bars[page.panels.bars["source"] > INPUT][:NEURONS]
    for source, neuron in bars[["source", "neuron"]].tolist():
        layer = page.network.names[source]
        yield f"{layer} {neuron}", nothing, frozenset({(layer, neuron)})


def _describe_effect(page: TracePage, difference: Difference) -> str:
    assert page.panels is not None
    name, time = page.panels.name, page.panels.time_ms
    changes = difference.changes[name.layer]
    (own,) = np.nonzero((changes["neuron"] == name.neuron) & (changes["before_ms"] == time))
    if not own.size:
        return "same"
    after = float(changes["after_ms"][own[0]])
    return "lost" if np.isnan(after) else f"{after - time:+.3f}"
