"""Results of an engine: the spikes of every layer, and the reason why it stopped."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from eventsnn._util import html
from eventsnn._util.names import class_key, name_class
from eventsnn._util.words import number_of
from eventsnn.errors import SimulationError
from eventsnn.model import Network


class ExitReason(enum.Enum):
    """Why a simulation ended."""

    QUIET = "quiet"  # ran without an end until no neuron could fire any more
    T_STOP = "t_stop"  # ran to the time asked for
    PART = "part"  # a part of a run that continues; everything before `SpikeRecord.t_end` is complete
    INTERRUPTED = "interrupted"  # stopped by the user; everything before `SpikeRecord.t_end` is complete


@dataclass(frozen=True, eq=False, repr=False)
class LayerSpikes:
    """Spikes of one layer.

    Attributes
    ----------
    name : str
    size : int
        Number of neurons of the layer.
    times : float64 array (n,)
        Spike times, ms, sorted by (time, neuron).
    neurons : int32 array (n,)
        Which neuron fired.
    """

    name: str
    size: int
    times: np.ndarray
    neurons: np.ndarray

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        span = f", {self.times[0]:.6g} .. {self.times[-1]:.6g} ms" if len(self) else ""
        spikes, neurons = number_of(len(self), "spike"), number_of(self.size, "neuron")
        return f"<LayerSpikes {self.name!r}: {spikes} of {neurons}{span}>"

    @property
    def counts(self) -> np.ndarray:
        """Number of spikes of each neuron, int64 array (size,)."""
        return np.bincount(self.neurons, minlength=self.size)

    def votes(self, decision: str) -> np.ndarray:
        """What decides, see `RunSettings.decision`, int64 array (size,): the counts, or those at the first
        spike.
        """
        if decision != "first":
            return self.counts
        return first_votes(self.times, self.neurons, np.array([0, len(self.times)]), self.size)[0]

    def of(self, neuron: int) -> np.ndarray:
        """Spike times of one neuron, ms, ascending."""
        return self.times[self.neurons == neuron]


class Recorded(Protocol):
    """Quantities that a simulation recorded besides spikes; made by `eventsnn.trace`."""

    def potential(self, layer: str) -> Any:
        """Membrane potentials of a layer."""

    def current(self, layer: str) -> Any:
        """Synaptic currents of a layer."""

    def spsp(
        self, layer: str, neuron: int, spike: int, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """S-PSPs of one spike."""

    def spsp_total(
        self, layer: str, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """S-PSPs of the run."""


@dataclass(frozen=True, eq=False, repr=False)
class SpikeRecord:
    """The outcome of one simulation; ``record["hidden"]`` gives the spikes of a layer.

    Attributes
    ----------
    layers : dict of str to LayerSpikes
        In the network's order; the last is the output.
    input : LayerSpikes
        The input spikes as the engine took them: ms, sorted by (time, input neuron).
    bias : LayerSpikes
        Those of the bias neuron, ``record["bias"]``; none in a network without biases.
    t_end : float
        Every spike up to this time (ms) is in the record, or before it if the run was interrupted; infinite
        when the network fell quiet. Of a part of a run: every spike before it is in this part or an earlier
        one.
    exit_reason : ExitReason
    engine, dtype : str
        Which engine ran and in which precision the state was kept.
    classes : tuple of str or None
        Names of the output neurons, where the network has some.
    origin_us : int
        What was subtracted from the recording's times, microseconds: a spike at `time` ms is at
        ``origin_us + 1000 * time`` on the recording's clock. 0 for a recording that begins within the first
        second of it; see `eventsnn.events.origin`.
    recorded : Recorded or None
        Membrane potentials and S-PSPs, where `eventsnn.simulate` was told to record them and had no trace to
        write them to; `potential`, `spsp` and `spsp_total` give them.
    step_ms : float or None
        Length of the clock's step, ms; None in exact time.
    decides : {"count", "first", "max", "mean", "weighted"}
        What decides: output spikes, see `eventsnn.model.RunSettings`, or what a readout layer's potentials
        give, see `eventsnn.model.Readout`.
    readout : float64 array (outputs,) or None
        What a readout layer gives up to `t_end`, where the network has one.
    """

    layers: dict[str, LayerSpikes]
    input: LayerSpikes
    t_end: float
    exit_reason: ExitReason
    engine: str
    dtype: str
    bias: LayerSpikes = field(default_factory=lambda: _bias_spikes(np.empty(0)))
    classes: tuple[str, ...] | None = None
    origin_us: int = 0
    recorded: Recorded | None = None
    step_ms: float | None = None
    decides: str = "count"
    readout: np.ndarray | None = None

    def __getitem__(self, name: str) -> LayerSpikes:
        if name == "input":
            return self.input
        if name == "bias" and name not in self.layers:
            return self.bias
        try:
            return self.layers[name]
        except KeyError:
            raise SimulationError(
                f"no layer {name!r} in this record; there are {', '.join(self.layers)}"
            ) from None

    @property
    def output(self) -> LayerSpikes:
        """Spikes of the last layer."""
        return list(self.layers.values())[-1]

    @property
    def decision(self) -> int | None:
        """Output neuron with the most spikes, or the first, or the largest readout (`decides`), the lowest
        among equals; None if all are silent.
        """
        return decide(self.votes)

    @property
    def votes(self) -> np.ndarray:
        """What decides, array (outputs,): the readout, or spike counts, see `LayerSpikes.votes`."""
        return self.output.votes(self.decides) if self.readout is None else self.readout

    @property
    def decision_name(self) -> str | None:
        """Name of the decision's class; None without a decision or a name."""
        return name_class(self.classes, self.decision)

    @property
    def hint(self) -> str | None:
        """Advice for when no output neuron fired; None if one did."""
        spikes = {name: len(spikes) for name, spikes in self.layers.items()}
        return hint_silent(spikes, len(self.input), self.readout is not None)

    def __repr__(self) -> str:
        spikes = ", ".join(f"{name} {len(train)}" for name, train in self.layers.items())
        decided = "no decision" if self.decision is None else f"decision {self.decision}"
        name = self.decision_name
        named = "" if name is None or class_key(name) == str(self.decision) else f" ({name})"
        arrived = number_of(len(self.input), "input spike")
        return f"<SpikeRecord: {decided}{named}, spikes: {spikes}; {arrived}>"

    def _repr_html_(self) -> str:
        trains = {"input": self.input, **self.layers}
        table = [("layer", "neurons", "spikes")]
        table += [(name, f"{train.size:,}", f"{len(train):,}") for name, train in trains.items()]
        drawn = [(train.times, train.neurons, train.size) for train in trains.values()]
        name = "none" if self.decision is None else self.decision_name or self.decision
        return html.describe(f"SpikeRecord: decision {name}", table, html.paint_spikes(drawn))

    def potential(self, layer: str) -> Any:
        """Recorded membrane potentials of a layer, as `Trace.potential` gives them.

        Returns
        -------
        PotentialTrace
            ``.times`` (float64, ms), ``.neurons``, ``.values``, ``.kinds``.

        Raises
        ------
        SimulationError, TraceError
            They were not recorded.
        """
        return self._require("potential").potential(layer)

    def current(self, layer: str) -> Any:
        """Recorded synaptic currents of a layer, as `Trace.current` gives them."""
        return self._require("current").current(layer)

    def spsp(
        self, layer: str, neuron: int, spike: int, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Recorded S-PSPs of one spike, (pre, values); see `Trace.spsp`."""
        return self._require("spsp").spsp(layer, neuron, spike, projection=projection)

    def spsp_total(
        self, layer: str, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Recorded S-PSPs of the run, (post, pre, value); see `Trace.spsp_total`."""
        return self._require("spsp").spsp_total(layer, projection=projection)

    def _require(self, what: str) -> Recorded:
        if self.recorded is None:
            raise SimulationError(
                f"this run holds spikes only; simulate with record=({what!r},), without trace"
            )
        return self.recorded

    def summary(self) -> dict[str, Any]:
        """Decision, output counts, readout if any, and spikes per layer, as plain values."""
        return {
            **describe_decision(self.decision, self.classes),
            "counts": [int(n) for n in self.output.counts],
            **describe_readout(self.readout),
            "layers": {name: {"spikes": len(spikes)} for name, spikes in self.layers.items()},
        }


class SimulationInterrupted(KeyboardInterrupt):
    """Ctrl-C during a simulation; `record` holds the spikes up to that time."""

    def __init__(self, record: SpikeRecord) -> None:
        super().__init__(f"simulation stopped by the user; complete up to {record.t_end:.6g} ms")
        self.record = record


def decide(counts: np.ndarray) -> int | None:
    """Index of the largest vote, the lowest among equals; None when all are 0 ("no decision")."""
    return int(np.argmax(counts)) if counts.any() else None


def decide_all(counts: np.ndarray) -> np.ndarray:
    """`decide` for every row of an array (samples, outputs): int64 array (samples,), -1 for no decision."""
    return np.where(counts.any(axis=1), np.argmax(counts, axis=1), -1)


def first_votes(times: np.ndarray, neurons: np.ndarray, ptr: np.ndarray, size: int) -> np.ndarray:
    """Spike counts at the instant of the first spike of each sample, int64 array (samples, size).

    Sample k is ``[ptr[k], ptr[k + 1])``, sorted by time.
    """
    sample = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
    first = times == times[ptr[:-1][sample]]
    flat = np.bincount(sample[first] * size + neurons[first], minlength=(len(ptr) - 1) * size)
    return flat.reshape(-1, size)


class Tally:
    """Spikes of a simulation so far, whose parts are added one after the other.

    Attributes
    ----------
    counts : dict of str to int64 array (neurons,)
        Spikes of every layer.
    votes : array (outputs,)
        What decides, see `SpikeRecord.votes`; where all spikes decide, the output's counts themselves.
    """

    def __init__(self, network: Network) -> None:
        self.counts = {str(layer.name): np.zeros(layer.neurons, np.int64) for layer in network.layers}
        output = self.counts[network.names[-1]]
        self.votes = output if network.decides == "count" else no_votes(network)

    def add(self, part: SpikeRecord) -> None:
        """Add the spikes of the next part."""
        for name, counts in self.counts.items():
            counts += part.layers[name].counts
        if part.readout is not None:
            self.votes[...] = part.readout
        elif part.decides != "count" and not self.votes.any():
            self.votes += part.output.votes(part.decides)

    def summary(self, classes: tuple[str, ...] | None) -> dict[str, Any]:
        """Decision, output counts and spikes per layer, as plain values."""
        *_, output = self.counts.values()
        return {
            **describe_decision(decide(self.votes), classes),
            "counts": output.tolist(),
            **describe_readout(self.votes if self.votes.dtype.kind == "f" else None),
            "layers": {name: {"spikes": int(counts.sum())} for name, counts in self.counts.items()},
        }


def no_votes(network: Network, samples: int | None = None) -> np.ndarray:
    """Zeros for the votes of the output neurons, of one or many samples: int64, float64 of a readout."""
    shape = (network.output.neurons,) if samples is None else (samples, network.output.neurons)
    return np.zeros(shape, np.int64 if network.output.fires else np.float64)


def describe_readout(readout: np.ndarray | None) -> dict[str, Any]:
    """What a readout layer gives, as plain values; nothing without one."""
    return {} if readout is None else {"readout": readout.tolist()}


def describe_decision(decision: int | None, classes: tuple[str, ...] | None) -> dict[str, Any]:
    """The decision as plain values, with the name of its class where there are names."""
    named = {} if classes is None else {"class": name_class(classes, decision)}
    return {"decision": decision, **named}


def hint_silent(spikes: dict[str, int], events: int, readout: bool = False) -> str | None:
    """Advice for when no output neuron fired, or nothing reached a readout layer; None if one did.

    Parameters
    ----------
    spikes : dict of str to int
        Spikes of each layer, first to last.
    events : int
        Input spikes.
    readout : bool
        Whether the last layer is a readout, which never fires.
    """
    *below, output = spikes
    reached = (spikes[below[-1]] if below else events) if readout else spikes[output]
    if reached:
        return None
    what = "the output was not reached" if readout else "no output neuron fired"
    if not events:
        return f"{what}: there was no input"
    name = next(name for name, n in spikes.items() if not n)
    return (
        f"{what}: layer {name!r} is the first without a spike; lower its threshold "
        f"(network.replace({name!r}, threshold=...)) or give it larger weights (initial_weight)"
    )


def make_record(
    network: Network,
    trains: list[tuple[np.ndarray, np.ndarray]],
    inputs: tuple[np.ndarray, np.ndarray],
    t_end: float,
    engine: str,
    dtype: str,
    *,
    reason: ExitReason | None = None,
    bias: np.ndarray | None = None,
    step_ms: float | None = None,
    origin_us: int = 0,
    readout: np.ndarray | None = None,
) -> SpikeRecord:
    """A record from (times, neurons) of every layer and of the input, and the times of the bias neuron."""
    ended = ExitReason.QUIET if t_end == math.inf else ExitReason.T_STOP
    return SpikeRecord(
        layers={
            name: LayerSpikes(name, layer.neurons, *train)
            for name, layer, train in zip(network.names, network.layers, trains, strict=True)
        },
        input=LayerSpikes("input", network.input.neurons, *inputs),
        t_end=t_end,
        exit_reason=reason or ended,
        engine=engine,
        dtype=dtype,
        bias=_bias_spikes(np.empty(0) if bias is None else bias),
        classes=network.classes,
        step_ms=step_ms,
        origin_us=origin_us,
        decides=network.decides,
        readout=readout,
    )


def _bias_spikes(times: np.ndarray) -> LayerSpikes:
    return LayerSpikes("bias", 1, times, np.zeros(len(times), np.int32))
