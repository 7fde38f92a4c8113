"""One simulation out of a trace, or one that was just run: where questions about its spikes begin."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import ExitReason, LayerSpikes, SpikeRecord
from eventsnn.trace.selection import find_spike as find_row


def open_run(
    source: str | os.PathLike[str] | Trace | SpikeRecord, sample: int = 0, network: Network | None = None
) -> tuple[Network, SpikeRecord]:
    """The network and the record of one simulation.

    Parameters
    ----------
    source, sample, network
        The `trace`, `sample` and `network` of `eventsnn.sensitivity`. `network` is for a `SpikeRecord` alone:
        a trace holds its network.

    Raises
    ------
    TraceError
        The file is not a trace, there is no such sample, or a record comes without its network, or it is not
        all of a simulation.
    """
    if isinstance(source, SpikeRecord):
        if not isinstance(network, Network):
            raise TraceError("network: a run holds no weights; give the network that ran, network=...")
        if isinstance(sample, bool) or sample != 0:
            raise TraceError(f"sample: a run is one simulation, number 0, got {sample!r}")
        _check_fit(network, source)
        return network, source
    if network is not None:
        raise TraceError("network: a trace holds its network; leave it out")
    if isinstance(source, Trace):
        return source.network, source.record(sample)
    with Trace(source) as opened:
        return opened.network, opened.record(sample)


def until(record: SpikeRecord, time: float) -> SpikeRecord:
    """A record without what is later than `time`, ms, which has no part in what happened by then."""

    def cut(spikes: LayerSpikes) -> LayerSpikes:
        end = int(np.searchsorted(spikes.times, time, side="right"))
        return replace(spikes, times=spikes.times[:end], neurons=spikes.neurons[:end])

    layers = {name: cut(spikes) for name, spikes in record.layers.items()}
    return replace(record, layers=layers, input=cut(record.input), bias=cut(record.bias))


def _check_fit(network: Network, record: SpikeRecord) -> None:
    """Refuse a record that is not one of this network, or not from the start."""
    held = {name: spikes.size for name, spikes in record.layers.items()}
    wanted = {name: layer.neurons for name, layer in zip(network.names, network.layers, strict=True)}
    if held != wanted or record.input.size != network.input.neurons:
        raise TraceError(f"network: the run's layers are {held}, those of this network {wanted}")
    if record.exit_reason is ExitReason.PART:
        raise TraceError(
            "the run is a part of one whose input came in parts; simulate the recording whole, with "
            "eventsnn.simulate"
        )


def find_spike(
    network: Network,
    record: SpikeRecord,
    layer: str,
    neuron: int,
    spike: int,
    where: tuple[str, str] = ("", ""),
) -> tuple[int, int]:
    """Number of the layer, and row of the neuron's spike number `spike` (from 0) among the layer's.

    Raises
    ------
    TraceError
        Saying which of layer, neuron or spike there is not, and what there is; `where` is how that text
        begins and ends (`describe_run`).
    """
    if layer not in network.names:
        kind = f"the {layer} has no neurons" if layer in ("input", "bias") else f"no layer {layer!r}"
        raise TraceError(f"{where[0]}{kind}; there are {', '.join(network.names)}")
    row = find_row(network, layer, record[layer], neuron, spike, where)
    return network.index(layer), row


def describe_run(source: str | os.PathLike[str] | Trace | SpikeRecord, sample: int = 0) -> tuple[str, str]:
    """How texts about a simulation begin and end: with its file, and its number there."""
    if isinstance(source, SpikeRecord):
        return "", ""
    path = source.path if isinstance(source, Trace) else os.fspath(source)
    return f"{path}: ", f" in sample {sample}"
