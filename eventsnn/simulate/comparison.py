"""Two simulations of the same recordings side by side, added up over any number of recordings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from eventsnn._ext.spike_trains import add_van_rossum
from eventsnn._util.arguments import check_span
from eventsnn._util.names import class_key
from eventsnn._util.words import number_of
from eventsnn.errors import SimulationError
from eventsnn.simulate.differences import compare_trains, merge_trains
from eventsnn.simulate.weight_comparison import WeightComparison
from eventsnn.trace.record import LayerSpikes

Spikes = Callable[[str], LayerSpikes]
"""The spikes of a layer, or of "input", of one simulation."""


@dataclass
class LayerComparison:
    """The spikes of a layer in all recordings.

    Attributes
    ----------
    name : str
    neurons_a, neurons_b : int or None
        None where there is no such layer. Spikes are compared one by one where both are the same.
    spikes_a, spikes_b : int
    moved, only_a, only_b : int
        Spikes at another time, and those without a partner; see `Difference.changes`. All others are equal.
    most_ms : float
        The largest distance of a moved spike, ms.
    victor_purpura : float
        Distance of Victor & Purpura, all neurons of all recordings added up; a move by 1 ms costs
        2 / `within_ms`, one spike more or less 1.
    van_rossum : float
        Distance of van Rossum of all neurons together, added up over recordings: of each the root of the sum
        of the neurons' squares. One spike more or less is 1.
    """

    name: str
    neurons_a: int | None
    neurons_b: int | None
    spikes_a: int = 0
    spikes_b: int = 0
    moved: int = 0
    only_a: int = 0
    only_b: int = 0
    most_ms: float = 0.0
    victor_purpura: float = 0.0
    van_rossum: float = 0.0

    @property
    def is_comparable(self) -> bool:
        """Whether neurons of the same number are the same."""
        return self.neurons_a is not None and self.neurons_a == self.neurons_b

    @property
    def equal(self) -> int:
        """Spikes that are the same to 1e-9 ms."""
        return self.spikes_a - self.moved - self.only_a

    @property
    def differs(self) -> bool:
        """Whether any spike does."""
        return bool(self.moved or self.only_a or self.only_b)

    def add(
        self, a: LayerSpikes | None, b: LayerSpikes | None, within_ms: float, tau_ms: float
    ) -> np.ndarray:
        """Add a recording; returns its changes, see `Difference.changes`."""
        self.spikes_a += 0 if a is None else len(a)
        self.spikes_b += 0 if b is None else len(b)
        if not self.is_comparable or a is None or b is None:
            return compare_trains(NOTHING, NOTHING, within_ms)
        changes = compare_trains((a.times, a.neurons), (b.times, b.neurons), within_ms)
        if not changes.size:
            return changes
        lost, new = np.isnan(changes["after_ms"]), np.isnan(changes["before_ms"])
        moves = np.abs(changes["after_ms"] - changes["before_ms"])[~lost & ~new]
        self.moved += len(moves)
        self.only_a += int(lost.sum())
        self.only_b += int(new.sum())
        self.most_ms = max(self.most_ms, float(moves.max(initial=0.0)))
        self.victor_purpura += float(lost.sum() + new.sum() + 2.0 / within_ms * moves.sum())
        self.van_rossum += van_rossum_of(changes, tau_ms)
        return changes

    def to_dict(self, samples: int) -> dict[str, Any]:
        """As plain values, distances per recording; what cannot be compared is None."""
        values = asdict(self)
        distances = {name: values.pop(name) / samples for name in ("victor_purpura", "van_rossum")}
        values |= {"equal": self.equal, **distances}
        if not self.is_comparable:
            compared = ("equal", "moved", "only_a", "only_b", "most_ms", "victor_purpura", "van_rossum")
            values |= dict.fromkeys(compared)
        return values


NOTHING = np.empty(0), np.empty(0, np.int32)


def van_rossum_of(changes: np.ndarray, tau_ms: float) -> float:
    """Distance of van Rossum of a layer in one recording, from its changes: equal spikes add nothing."""
    lost, new = (changes[~np.isnan(changes[name])] for name in ("before_ms", "after_ms"))
    times, neurons, is_new = merge_trains(
        (lost["before_ms"], lost["neuron"]), (new["after_ms"], new["neuron"])
    )
    ptr = np.append(np.flatnonzero(np.diff(neurons, prepend=-1)), len(times))
    squares = add_van_rossum(times, np.where(is_new, -1.0, 1.0), ptr, tau_ms)
    return math.sqrt(max(0.0, squares))


@dataclass(frozen=True)
class FirstDifference:
    """The first spike that differs: of the first recording with one, the earliest.

    Attributes
    ----------
    sample_a, sample_b : int
    source : str
        Where the recording came from.
    layer : str
    neuron : int
    index_a, index_b : int or None
        Which of the neuron's spikes, from 0; None where it did not fire.
    time_a, time_b : float or None
        ms.
    """

    sample_a: int
    sample_b: int
    source: str
    layer: str
    neuron: int
    index_a: int | None
    index_b: int | None
    time_a: float | None
    time_b: float | None


@dataclass(frozen=True)
class DecisionChange:
    """A recording on which the decisions differ: numbers of output neurons, or names where both sides have
    names.
    """

    sample_a: int
    sample_b: int
    source: str
    label: int | str | None
    decision_a: int | str | None
    decision_b: int | str | None


@dataclass(frozen=True)
class Side:
    """What is compared: `a` or `b`.

    Attributes
    ----------
    name : str
        Its file, or what it is.
    neurons : dict of str to int
        Of the input and every layer.
    classes : tuple of str or None
        Names of the output neurons.
    samples : int
        How many it holds; as many as were compared, or more.
    facts : dict
        What else is known: engine, dtype.
    """

    name: str
    neurons: Mapping[str, int]
    classes: tuple[str, ...] | None
    samples: int = 1
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """One simulation of a recording.

    Attributes
    ----------
    number : int
    spikes : callable
        From the name of a layer, or "input", to its spikes.
    decision, label : int or None
        Output neurons.
    source : str
    readout : float64 array (outputs,) or None
        What a readout layer gives, where there is one.
    """

    number: int
    spikes: Spikes
    decision: int | None
    label: int | None = None
    source: str = ""
    readout: np.ndarray | None = None


@dataclass(eq=False)
class Comparison:
    """How two traces, models or runs differ; made by `eventsnn.compare`.

    Attributes
    ----------
    a, b : Side
    within_ms : float
        Spikes of a neuron less than this apart can be one that moved, ms.
    tau_ms : float
        Time constant of the distance of van Rossum, ms.
    samples : int
        Recordings that were compared.
    layers : dict of str to LayerComparison
        The input first, then the layers of A, then those that B alone has.
    first : FirstDifference or None
    readout_most : float or None
        The largest difference of what readout layers give; None without two of the same size.
    decisions : list of DecisionChange
        Recordings on which the decisions differ.
    right : dict of (bool, bool) to int
        Labelled recordings by whether A and B decide rightly.
    remarks : list of str
        What could not be compared, and why.
    weights : list of WeightComparison
        Weights and delays of both networks, of traces and models; they say nothing about `same`.
    """

    a: Side
    b: Side
    within_ms: float = 5.0
    tau_ms: float = 5.0
    samples: int = 0
    layers: dict[str, LayerComparison] = field(default_factory=dict)
    first: FirstDifference | None = None
    readout_most: float | None = None
    decisions: list[DecisionChange] = field(default_factory=list)
    right: dict[tuple[bool, bool], int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    weights: list[WeightComparison] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("within_ms", "tau_ms"):
            setattr(self, name, check_span(name, getattr(self, name), SimulationError))
        a, b = self.a.neurons, self.b.neurons
        self.layers = {name: LayerComparison(name, a.get(name), b.get(name)) for name in {**a, **b}}
        self.remarks += [*map(_describe_mismatch, self.layers.values())]
        self.remarks = [remark for remark in self.remarks if remark]

    def add(self, a: Sample, b: Sample) -> None:
        """Add a recording."""
        found: list[tuple[float, LayerSpikes, LayerSpikes, np.void]] = []
        for name, layer in self.layers.items():
            spikes_a = None if layer.neurons_a is None else a.spikes(name)
            spikes_b = None if layer.neurons_b is None else b.spikes(name)
            changes = layer.add(spikes_a, spikes_b, self.within_ms, self.tau_ms)
            if self.first is None and changes.size:
                assert spikes_a is not None
                assert spikes_b is not None
                first = changes[0]
                found.append((np.fmin(first["before_ms"], first["after_ms"]), spikes_a, spikes_b, first))
        if found:
            _, spikes_a, spikes_b, change = min(found, key=lambda row: row[0])  # of equals, the first layer
            self.first = _describe_first(a, b, spikes_a, spikes_b, change)
        if a.readout is not None and b.readout is not None and a.readout.shape == b.readout.shape:
            self.readout_most = max(self.readout_most or 0.0, float(np.abs(a.readout - b.readout).max()))
        self._add_decision(a, b)
        self.samples += 1

    def _add_decision(self, a: Sample, b: Sample) -> None:
        if a.label is not None and b.label is not None:
            key = a.decision == a.label, b.decision == b.label
            self.right[key] = self.right.get(key, 0) + 1
        named = self.a.classes is not None and self.b.classes is not None
        told_a = name_output(self.a.classes if named else None, a.decision)
        told_b = name_output(self.b.classes if named else None, b.decision)
        if _key(told_a) != _key(told_b):
            label = name_output(self.a.classes if named else None, a.label)
            source = a.source or b.source
            self.decisions.append(DecisionChange(a.number, b.number, source, label, told_a, told_b))

    @property
    def same(self) -> bool:
        """Whether all recordings of both were compared, and every spike, readout and decision is the same."""
        complete = self.samples == self.a.samples == self.b.samples
        equal = all(layer.is_comparable and not layer.differs for layer in self.layers.values())
        return complete and equal and not self.decisions and not self.readout_most

    def accuracy(self) -> tuple[float, float] | None:
        """Of A and of B, on the labelled recordings; None if there are none."""
        n = sum(self.right.values())
        if not n:
            return None
        a, b = (sum(k for key, k in self.right.items() if key[side]) / n for side in (0, 1))
        return a, b

    def to_dict(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        accuracy = self.accuracy()
        return {
            "a": {**asdict(self.a), "neurons": dict(self.a.neurons)},
            "b": {**asdict(self.b), "neurons": dict(self.b.neurons)},
            "same": self.same,
            "samples": self.samples,
            "within_ms": self.within_ms,
            "tau_ms": self.tau_ms,
            "first": None if self.first is None else asdict(self.first),
            "layers": {name: layer.to_dict(max(1, self.samples)) for name, layer in self.layers.items()},
            "readout_most": self.readout_most,
            "decisions": [asdict(change) for change in self.decisions],
            "accuracy": None if accuracy is None else dict(zip("ab", accuracy, strict=True)),
            "labelled": {
                f"{'right' if a else 'wrong'}_{'right' if b else 'wrong'}": self.right.get((a, b), 0)
                for a in (True, False)
                for b in (True, False)
            },
            "remarks": list(self.remarks),
            "weights": [each.to_dict() for each in self.weights],
        }

    def __repr__(self) -> str:
        if self.same:
            return f"<Comparison of {number_of(self.samples, 'recording')}: the same>"
        changed = ", ".join(layer.name for layer in self.layers.values() if layer.differs) or "none"
        return (
            f"<Comparison of {number_of(self.samples, 'recording')}: spikes differ in {changed}; "
            f"{number_of(len(self.decisions), 'other decision')}>"
        )


def name_output(classes: tuple[str, ...] | None, output: int | None) -> int | str | None:
    """The name of an output neuron, where it has one."""
    if classes is None or output is None or output >= len(classes):
        return output
    return classes[output]


def _key(told: int | str | None) -> str | None:
    return None if told is None else class_key(str(told))


def _describe_mismatch(layer: LayerComparison) -> str:
    if layer.is_comparable:
        return ""
    what = "the input" if layer.name == "input" else f"layer {layer.name!r}"
    for neurons, only in ((layer.neurons_a, "B"), (layer.neurons_b, "A")):
        if neurons is None:
            return f"{what} is in {only} only"
    return (
        f"the size of {what} is {layer.neurons_a:,} in A and {layer.neurons_b:,} in B: only the numbers of "
        "spikes are compared"
    )


def _describe_first(
    a: Sample, b: Sample, spikes_a: LayerSpikes, spikes_b: LayerSpikes, change: np.void
) -> FirstDifference:
    neuron = int(change["neuron"])
    times = [None if math.isnan(t) else float(t) for t in (change["before_ms"], change["after_ms"])]
    index = [
        None if t is None else int(np.searchsorted(spikes.of(neuron), t))
        for t, spikes in zip(times, (spikes_a, spikes_b), strict=True)
    ]
    source = a.source or b.source
    return FirstDifference(a.number, b.number, source, spikes_a.name, neuron, *index, *times)
