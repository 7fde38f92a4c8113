"""The few events that a decision hangs on: a small set whose removal gives another decision."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsnn._util.arguments import check_choice
from eventsnn._util.words import number_of
from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.simulate.differences import Difference
from eventsnn.simulate.what_if import WhatIf, study_of
from eventsnn.trace.adjoint import pull_back
from eventsnn.trace.attribution import Attribution
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.sensitivity import check_differentiable

BY = ("contribution", "sensitivity")


@dataclass(frozen=True, eq=False, repr=False)
class Flip:
    """Events without which the decision is another one.

    Attributes
    ----------
    events : int64 array (n,)
        Rows of the sample's input, ascending.
    difference : Difference
        What changes without them.
    by : str
        How events were ranked.
    simulations : int
        How many were needed.
    """

    events: np.ndarray
    difference: Difference
    by: str
    simulations: int

    def __repr__(self) -> str:
        d = self.difference
        return (
            f"<Flip: without {number_of(len(self.events), 'event')} decision {d.before.decision} becomes "
            f"{d.after.decision}; {number_of(self.simulations, 'simulation')}>"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        return {
            "events": self.events.tolist(),
            "by": self.by,
            "simulations": self.simulations,
            **self.difference.to_dict(),
        }


def find_flip(
    trace: str | os.PathLike[str] | Trace | SpikeRecord,
    *,
    by: str = "contribution",
    sample: int = 0,
    network: Network | None = None,
) -> Flip | None:
    """A small set of input events whose removal makes another output neuron win.

    Greedy: events are ranked by what they do for the spikes of the neuron that wins, less what they do for
    those of the second. The first are removed, the others ranked again by what is left, and so on until
    another neuron wins; then what can be put back is. The set is small, but there may be a smaller one.

    Parameters
    ----------
    trace : path, Trace or SpikeRecord
        A trace, or what `eventsnn.simulate` returned.
    by : {"contribution", "sensitivity"}
        Rank by what events contribute to the potential at the spikes (`eventsnn.explain`), or by how far the
        spikes move, to first order, without an event (`eventsnn.sensitivity`, `strength`), in units of the
        potential: times the slope at the spike.
    sample : int
    network : Network, optional
        The one that ran, if `trace` is a `SpikeRecord`.

    Returns
    -------
    Flip or None
        None where there is no decision, or none of these sets flips it to another neuron.

    Raises
    ------
    SimulationError
        Another `by`; a network whose last layer is a readout, which has no spikes.
    TraceError
        See `eventsnn.explain` and `eventsnn.sensitivity`: spikes on a clock; with "sensitivity", in float32.
    """
    return flip_decision(study_of(trace, sample, network), by)


def flip_decision(study: WhatIf, by: str) -> Flip | None:
    """`find_flip` of a simulation that is at hand."""
    check_choice("by", by, BY, SimulationError)
    output = study.network.output
    if not output.fires:
        raise SimulationError(
            f"layer {output.name!r} is a readout, which never fires: there are no output spikes to rank "
            "events by; es.what_if(..., remove=...) (whatif --remove) shows what single events do"
        )
    if study.record.decision is None:
        return None
    search = _Search(study, by)
    events = search.grow()
    if events is None:
        return None
    events = np.sort(search.shrink(events))
    return Flip(events, study.run(remove=events), by, search.simulations)


def rank_events(network: Network, record: SpikeRecord, decision: int, by: str) -> np.ndarray:
    """Rows of the input, first what does most for a neuron's spikes less those of the best other one.

    What does nothing for them is left out.
    """
    output, last = record.output, len(network.layers) - 1
    others = output.counts
    others[decision] = -1
    factors = {int(others.argmax()): -1.0, decision: 1.0}
    seeds = {
        (last, row): factors[neuron]
        for row, neuron in enumerate(output.neurons.tolist())
        if neuron in factors
    }
    if by == "contribution":
        scores = Attribution(network, record).to_input(seeds)[0]
    else:
        check_differentiable(record)
        slopes = pull_back(network, record, seeds).slopes[last]
        # An event that makes a spike earlier has a negative strength: without it the spike comes later.
        scores = -pull_back(network, record, {s: f * slopes[s[1]] for s, f in seeds.items()}).strengths
    return np.argsort(-scores, kind="stable")[: np.count_nonzero(scores > 0.0)]


class _Search:
    """Looks for events whose removal flips the decision, one simulation after the other."""

    def __init__(self, study: WhatIf, by: str) -> None:
        self._study, self._by, self._decision = study, by, study.record.decision
        self.simulations = 0

    def _without(self, events: np.ndarray) -> tuple[bool, SpikeRecord]:
        """Whether another neuron wins without these events, and what happens."""
        self.simulations += 1
        after = self._study.run(remove=events).after
        return after.decision not in (self._decision, None), after

    def grow(self) -> np.ndarray | None:
        """Events that flip the decision; None if none are found.

        Twice as many as before are removed in each round, ranked by what then is left.
        """
        network, record, decision = self._study.network, self._study.record, self._decision
        count = len(record.input)
        removed, size = np.empty(0, np.int64), 1
        while record.decision == decision and decision is not None:
            left = np.delete(np.arange(count), removed)
            ranked = left[rank_events(network, record, decision, self._by)[:size]]
            if not ranked.size:
                return None
            flipped, record = self._without(np.concatenate([removed, ranked]))
            if flipped:
                return self._fewest(removed, ranked)
            removed, size = np.concatenate([removed, ranked]), 2 * size
        return None

    def _fewest(self, removed: np.ndarray, ranked: np.ndarray) -> np.ndarray:
        """`removed` and as many of `ranked` as are needed, found by bisection."""
        low, high = 0, len(ranked)
        while high - low > 1:
            middle = (low + high) // 2
            flipped, _ = self._without(np.concatenate([removed, ranked[:middle]]))
            low, high = (low, middle) if flipped else (middle, high)
        return np.concatenate([removed, ranked[:high]])

    def shrink(self, events: np.ndarray) -> np.ndarray:
        """The events without those that can be put back: in halves, quarters, ..., one by one."""
        chunk = max(1, len(events) // 2)
        while True:
            start = 0
            while start < len(events):
                fewer = np.delete(events, slice(start, start + chunk))
                if len(fewer) and self._without(fewer)[0]:
                    events = fewer
                else:
                    start += chunk
            if chunk == 1:
                return events
            chunk //= 2


def format_flip(flip: Flip, network: Network, *, top: int = 10) -> str:
    """A flip as text for people.

    Parameters
    ----------
    flip : Flip
    network : Network
        The one that ran.
    top : int
        How many events to list: the first ones.
    """
    before, after = flip.difference.before, flip.difference.after
    width, height, _ = network.input.sensor_size
    lines = [
        f"without {len(flip.events)} of {number_of(len(before.input), 'event')} the decision "
        f"{before.decision} becomes {after.decision} (ranked by {flip.by}, "
        f"{number_of(flip.simulations, 'simulation')})",
        "   event        t (us)     x     y  p",
    ]
    for event in flip.events[:top].tolist():
        p, pixel = divmod(int(before.input.neurons[event]), width * height)
        y, x = divmod(pixel, width)
        t = round(1000.0 * float(before.input.times[event]))
        lines.append(f"  {event:>6d}  {t:>12d} {x:>5d} {y:>5d} {p:>2d}")
    if len(flip.events) > top:
        lines.append(f"  and {len(flip.events) - top} more")
    return "\n".join(lines)
