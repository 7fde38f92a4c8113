"""What two simulations differ in, spike by spike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from eventsnn._ext.spike_trains import match_trains
from eventsnn.trace.record import LayerSpikes, SpikeRecord, describe_decision, describe_readout

SAME_MS = 1e-9
"""Spikes of a neuron this close to each other are the same: the accuracy of the engines."""

CHANGE = np.dtype([("neuron", "i4"), ("before_ms", "f8"), ("after_ms", "f8")])


@dataclass(frozen=True, eq=False, repr=False)
class Difference:
    """What changes in a simulation with edits.

    Attributes
    ----------
    before, after : SpikeRecord
        The simulation as it was, and with the edits.
    from_ms : float
        Time of the first edit, ms, of a neuron that never fires that of its first spike; 0 where weights
        change, infinite without an edit. No spike before it changes.
    simulated_from_ms : float
        From when on it was simulated again, ms; infinite if there was no need.
    within_ms : float
        How far a spike may move, ms; see `changes`.
    """

    before: SpikeRecord
    after: SpikeRecord
    from_ms: float = 0.0
    simulated_from_ms: float = 0.0
    within_ms: float = 5.0

    @cached_property
    def changes(self) -> dict[str, np.ndarray]:
        """Spikes of every layer that changed, by time: structured array (neuron, before_ms, after_ms).

        Spikes that are the same, to 1e-9 ms, are left out. Of the rest, a spike of before and one of after of
        the same neuron are one spike that moved, if they are less than `within_ms` apart; others are lost
        (NaN in `after_ms`) or new (NaN in `before_ms`). Pairs are chosen so that they do not cross and the
        sum of `within_ms` minus their distances is largest. That is the metric of Victor & Purpura
        (J. Neurophysiol. 76, 1996) with a cost of 2 / `within_ms` for a move by 1 ms. See
        `eventsnn.reference.spike_trains`.
        """
        since = min(self.from_ms, self.simulated_from_ms)
        return {
            name: compare_trains(_since(spikes, since), _since(self.after[name], since), self.within_ms)
            for name, spikes in self.before.layers.items()
        }

    @property
    def flips(self) -> bool:
        """Whether the decision is another one."""
        return self.before.decision != self.after.decision

    @property
    def first(self) -> tuple[str, int, float] | None:
        """Layer, neuron and time (ms) of the first spike that differs, before or after; None if none does."""
        found = [
            (float(_earlier(changes)[0]), name, int(changes["neuron"][0]))
            for name, changes in self.changes.items()
            if changes.size
        ]
        if not found:
            return None
        names = list(self.changes)
        time, name, neuron = min(found, key=lambda row: (row[0], names.index(row[1])))
        return name, neuron, time

    def count(self) -> dict[str, dict[str, Any]]:
        """Per layer: how many spikes are ``lost``, ``new`` and ``moved``, and how far they moved: the median
        ``moved_median_ms`` and the largest distance ``moved_most_ms``.
        """
        return {name: _count(changes) for name, changes in self.changes.items()}

    def __repr__(self) -> str:
        changed = ", ".join(f"{name} {len(changes)}" for name, changes in self.changes.items())
        return (
            f"<Difference: decision {self.before.decision} -> {self.after.decision}, "
            f"changed spikes: {changed}>"
        )

    def to_dict(self) -> dict[str, Any]:
        """The difference as plain values that JSON can hold."""
        first = self.first
        return {
            "from_ms": _none(self.from_ms),
            "simulated_from_ms": _none(self.simulated_from_ms),
            "before": _outcome(self.before),
            "after": _outcome(self.after),
            "flips": self.flips,
            "first": None if first is None else dict(zip(("layer", "neuron", "t_ms"), first, strict=True)),
            "layers": {
                name: {
                    **_count(changes),
                    "changes": [
                        {"neuron": neuron, "before_ms": _none(before), "after_ms": _none(after)}
                        for neuron, before, after in changes.tolist()
                    ],
                }
                for name, changes in self.changes.items()
            },
        }


def _since(spikes: LayerSpikes, start: float) -> tuple[np.ndarray, np.ndarray]:
    first = int(np.searchsorted(spikes.times, start))
    return spikes.times[first:], spikes.neurons[first:]


def compare_trains(
    before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray], within: float
) -> np.ndarray:
    """The changes of one layer, see `Difference.changes`, from its (times, neurons) before and after."""
    if np.array_equal(before[0], after[0]) and np.array_equal(before[1], after[1]):
        return np.empty(0, CHANGE)
    times, neurons, is_new = merge_trains(before, after)
    same = (neurons[1:] == neurons[:-1]) & (is_new[1:] != is_new[:-1]) & (times[1:] - times[:-1] <= SAME_MS)
    same[1:] &= ~same[:-1]
    left = ~(np.append(same, False) | np.insert(same, 0, False))
    times, neurons, is_new = times[left], neurons[left], is_new[left]
    (lost, lost_neurons), (new, new_neurons) = ((times[which], neurons[which]) for which in (~is_new, is_new))
    named = np.unique(neurons)
    ptr = [np.append(np.searchsorted(own, named), len(own)) for own in (lost_neurons, new_neurons)]
    partner = np.empty(len(lost), np.int64)
    match_trains(lost, ptr[0], new, ptr[1], within, partner)
    paired = np.flatnonzero(partner >= 0)
    partner = partner[paired] + ptr[1][np.searchsorted(named, lost_neurons[paired])]
    alone = np.ones(len(new), bool)
    alone[partner] = False
    moved_to = np.full(len(lost), np.nan)
    moved_to[paired] = new[partner]
    changes = np.empty(len(lost) + int(alone.sum()), CHANGE)
    changes["neuron"] = np.concatenate([lost_neurons, new_neurons[alone]])
    changes["before_ms"] = np.concatenate([lost, np.full(len(changes) - len(lost), np.nan)])
    changes["after_ms"] = np.concatenate([moved_to, new[alone]])
    return changes[np.lexsort((changes["neuron"], _earlier(changes)))]


def merge_trains(
    before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, neurons, and whether it is one after, of all spikes of a layer, by (neuron, time)."""
    times, neurons = np.concatenate([before[0], after[0]]), np.concatenate([before[1], after[1]])
    is_new = np.arange(len(times)) >= len(before[0])
    order = np.lexsort((is_new, times, neurons))
    return times[order], neurons[order], is_new[order]


def _earlier(changes: np.ndarray) -> np.ndarray:
    return np.asarray(np.fmin(changes["before_ms"], changes["after_ms"]))


def _count(changes: np.ndarray) -> dict[str, Any]:
    lost, new = np.isnan(changes["after_ms"]), np.isnan(changes["before_ms"])
    moved = np.abs(changes["after_ms"] - changes["before_ms"])[~lost & ~new]
    return {
        "lost": int(lost.sum()),
        "new": int(new.sum()),
        "moved": len(moved),
        "moved_median_ms": float(np.median(moved)) if moved.size else 0.0,
        "moved_most_ms": float(moved.max(initial=0.0)),
    }


def _none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _outcome(run: SpikeRecord) -> dict[str, Any]:
    return {
        **describe_decision(run.decision, run.classes),
        "counts": run.output.counts.tolist(),
        **describe_readout(run.readout),
    }


def format_difference(difference: Difference, *, top: int = 10) -> str:
    """The difference as text for people.

    Parameters
    ----------
    difference : Difference
    top : int
        How many changed spikes of a layer to list: the first ones.
    """
    d = difference
    before, after = (_name_decision(run) for run in (d.before, d.after))
    what = "spikes" if d.before.readout is None else "readout"
    told, then = (
        run.output.counts.tolist() if run.readout is None else [float(f"{x:.6g}") for x in run.readout]
        for run in (d.before, d.after)
    )
    lines = [
        f"the decision flips from {before} to {after}" if d.flips else f"the decision stays {before}",
        f"{what} of each output neuron: before {told}",
        f"{'':{len(what)}}                        after  {then}",
    ]
    first = d.first
    if first is None:
        return "\n".join([*lines, "no spike changes"])
    lines.append(f"first spike that differs: neuron {first[1]} of {first[0]!r} at {first[2]:.4f} ms")
    for name, changes in d.changes.items():
        n = _count(changes)
        lines += [
            "",
            f"{name}: {n['lost']} lost, {n['new']} new, {n['moved']} moved "
            f"(median {n['moved_median_ms']:.3g} ms, at most {n['moved_most_ms']:.3g} ms)",
        ]
        lines += [_change_line(*row) for row in changes[:top].tolist()]
        if len(changes) > top:
            lines.append(f"  and {len(changes) - top} more")
    return "\n".join(lines)


def _change_line(neuron: int, before: float, after: float) -> str:
    if math.isnan(after):
        return f"  neuron {neuron:>6d}  lost   at {before:>10.4f} ms"
    if math.isnan(before):
        return f"  neuron {neuron:>6d}  new    at {after:>10.4f} ms"
    return f"  neuron {neuron:>6d}  moved  from {before:>8.4f} ms by {after - before:+.6g} ms"


def _name_decision(run: SpikeRecord) -> str:
    if run.decision is None:
        return "none"
    name = run.decision_name
    return str(run.decision) if name in (None, str(run.decision)) else f"{run.decision} ({name})"
