"""What an engine returns: the spikes of every layer, and why it stopped."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eventsnn.errors import SimulationError
from eventsnn.network import Network


class ExitReason(enum.Enum):
    """Why a simulation ended."""

    QUIET = "quiet"  # ran without an end until no neuron could fire any more
    T_STOP = "t_stop"  # ran to the time asked for
    INTERRUPTED = "interrupted"  # stopped by the user; everything before `SpikeRecord.t_end` is complete


@dataclass(frozen=True, eq=False)
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

    @property
    def counts(self) -> np.ndarray:
        """Number of spikes of each neuron, int64 array (size,)."""
        return np.bincount(self.neurons, minlength=self.size)

    def of(self, neuron: int) -> np.ndarray:
        """Spike times of one neuron, ms, ascending."""
        return self.times[self.neurons == neuron]


@dataclass(frozen=True, eq=False)
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
        when the network fell quiet.
    exit_reason : ExitReason
    engine, dtype : str
        Which engine ran and in which precision the state was kept.
    """

    layers: dict[str, LayerSpikes]
    input: LayerSpikes
    t_end: float
    exit_reason: ExitReason
    engine: str
    dtype: str
    bias: LayerSpikes = field(default_factory=lambda: _bias_spikes(np.empty(0)))

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
        """Output neuron with the most spikes, the lowest among equals; None if the output is silent."""
        return decide(self.output.counts)

    def summary(self) -> dict[str, Any]:
        """Decision, output counts and spikes per layer, as plain values."""
        return {
            "decision": self.decision,
            "counts": [int(n) for n in self.output.counts],
            "layers": {name: {"spikes": len(spikes)} for name, spikes in self.layers.items()},
        }


class SimulationInterrupted(KeyboardInterrupt):
    """Ctrl-C during a simulation; `record` holds what was simulated until then."""

    def __init__(self, record: SpikeRecord) -> None:
        super().__init__(f"simulation stopped by the user; complete up to {record.t_end:.6g} ms")
        self.record = record


def decide(counts: np.ndarray) -> int | None:
    """Index of the largest count, the lowest among equals; None when all are 0 ("no decision")."""
    return int(np.argmax(counts)) if counts.any() else None


def decide_all(counts: np.ndarray) -> np.ndarray:
    """`decide` for every row of int array (samples, outputs): int64 array (samples,), -1 for no decision."""
    return np.where(counts.any(axis=1), np.argmax(counts, axis=1), -1)


def make_record(
    network: Network,
    trains: list[tuple[np.ndarray, np.ndarray]],
    inputs: tuple[np.ndarray, np.ndarray],
    t_end: float,
    engine: str,
    dtype: str,
    *,
    interrupted: bool = False,
    bias: np.ndarray | None = None,
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
        exit_reason=ExitReason.INTERRUPTED if interrupted else ended,
        engine=engine,
        dtype=dtype,
        bias=_bias_spikes(np.empty(0) if bias is None else bias),
    )


def _bias_spikes(times: np.ndarray) -> LayerSpikes:
    return LayerSpikes("bias", 1, times, np.zeros(len(times), np.int32))
