"""The input of a `SpikingNetwork`: spikes of several recordings as tensors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.data.memory import ListDataset
from eventsnn.errors import EventStreamError, SimulationError
from eventsnn.events.reading import ReadingOptions
from eventsnn.events.stream import EventStream
from eventsnn.model import Network
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.torch.library import torch
from eventsnn.train.batches import Batch, BatchLoader

Recording: TypeAlias = EventStream | np.ndarray | str | os.PathLike[str]


class SpikeBatch(NamedTuple):
    """Input spikes of several recordings, one recording after the other.

    `as_batch` makes one of recordings or of padded tensors; `eventsnn.torch.collate` makes those of a
    DataLoader.

    Attributes
    ----------
    times : float64 tensor (spikes,)
        ms from each recording's beginning. May require a gradient, where the output has exact derivatives.
    neurons : int32 tensor (spikes,)
        Input neuron of each.
    ptr : int64 tensor (recordings + 1,)
        Recording k is ``ptr[k]:ptr[k + 1]``, sorted by (time, neuron).
    """

    times: torch.Tensor
    neurons: torch.Tensor
    ptr: torch.Tensor

    @property
    def recordings(self) -> int:
        """Number of recordings."""
        return len(self.ptr) - 1

    def arrivals(self, duration: float | None = None) -> Arrivals:
        """The spikes as engines take them; they share the tensors' memory."""
        times = self.times.detach().numpy()
        return Arrivals(times, self.neurons.numpy(), self.ptr.numpy(), duration)

    @classmethod
    def of(cls, batch: Batch) -> SpikeBatch:
        """From arrays; they share their memory."""
        return cls(*(torch.from_numpy(each) for each in (batch.times, batch.neurons, batch.ptr)))


class ReadyBatch(SpikeBatch):
    """A `SpikeBatch` that has been checked, with what can be made of it before the network runs.

    Attributes
    ----------
    packed : object
        The packed network that it was made for; None for one that PyTorch has rebuilt of other tensors.
    prepared : Arrivals
        The spikes as that network's learner takes them.
    """

    packed: Any = None
    prepared: Arrivals
    _versions: tuple[int, ...] = ()

    @classmethod
    def make(cls, batch: SpikeBatch, packed: Any, prepared: Arrivals) -> ReadyBatch:
        """Of a batch that has been checked."""
        found = cls(*batch)
        found.packed, found.prepared = packed, prepared
        found._versions = tuple(each._version for each in batch)
        return found

    def is_ready(self, packed: Any) -> bool:
        """Whether it was made for this network, and no tensor has been changed since."""
        return self.packed is packed and self._versions == tuple(each._version for each in self)


def as_batch(data: Any, network: Network) -> SpikeBatch:
    """The input of a network in the form of `SpikeBatch`.

    Parameters
    ----------
    data : SpikeBatch, sequence or tuple of tensors
        - a `SpikeBatch`, which is checked;
        - a list of recordings: each an `EventStream`, a structured array with the fields t (microseconds),
          x, y and p, as tonic's data sets have it, or the path of a file. What happens to recordings in
          training happens to these: times count from their origin, and the network's settings hold;
        - padded tensors ``(times, neurons, lengths)``: times in ms of shape (recordings, most), integer
          neurons of the same shape, and the number of spikes of each recording (recordings,). Spikes may be
          in any order; what is beyond the length is ignored. Gradients flow back to the times.
    network : Network

    Raises
    ------
    SimulationError
        `data` is none of these, or holds a spike that cannot be.
    EventStreamError, EventFileError
        For a recording that cannot be used, or read.
    """
    if isinstance(data, SpikeBatch):
        return _check(data, network)
    if isinstance(data, tuple) and len(data) == 3 and all(isinstance(each, torch.Tensor) for each in data):
        return _check(_from_padded(*data), network)
    if isinstance(data, list | tuple):
        return _from_recordings(data, network)
    raise SimulationError(
        f"a SpikingNetwork takes a list of recordings, a SpikeBatch or (times, neurons, lengths): got "
        f"{type(data).__name__}"
        + ("; put a single recording into a list" if isinstance(data, EventStream | np.ndarray | str) else "")
    )


def _from_recordings(recordings: Sequence[Recording], network: Network) -> SpikeBatch:
    """Recordings as evaluation prepares them."""
    if not recordings:
        raise SimulationError("a SpikingNetwork needs at least one recording: got an empty list")
    sensor, streams = network.input.sensor_size, []
    for number, each in enumerate(recordings):
        if isinstance(each, str | os.PathLike):
            each = ReadingOptions(sensor=sensor).read(each)
        elif not isinstance(each, EventStream | np.ndarray):
            raise SimulationError(
                f"recording {number} is no EventStream, structured array or path but {type(each).__name__}"
            )
        streams.append(each)
    source = ListDataset(streams, np.zeros(len(streams), np.int64), sensor_size=sensor)
    if source.sensor_size != sensor:
        raise EventStreamError(
            f"the recordings' sensor is {source.sensor_size}, that of the network's input {sensor}"
        )
    loader = BatchLoader(source, network.input.neurons, settings=network.settings)
    return SpikeBatch.of(loader.prepare(np.arange(len(source)), 0))


def _from_padded(times: torch.Tensor, neurons: torch.Tensor, lengths: torch.Tensor) -> SpikeBatch:
    """Padded tensors without their padding, sorted; differentiable by the times."""
    if times.dim() != 2 or neurons.shape != times.shape or lengths.shape != times.shape[:1]:
        raise SimulationError(
            "padded spikes are times and neurons of shape (recordings, most) and lengths of shape "
            f"(recordings,): got {tuple(times.shape)}, {tuple(neurons.shape)} and {tuple(lengths.shape)}"
        )
    kinds = (times.is_floating_point(), not neurons.is_floating_point(), not lengths.is_floating_point())
    if not all(kinds):
        raise SimulationError(
            "padded spikes have times that are floating-point numbers (ms), and neurons and lengths that are "
            f"integers: got {times.dtype}, {neurons.dtype} and {lengths.dtype}"
        )
    most = times.shape[1]
    if len(lengths) and not 0 <= int(lengths.min()) <= int(lengths.max()) <= most:
        raise SimulationError(f"lengths must be 0 to {most}, the width of times: got {lengths.tolist()}")
    there = torch.arange(most) < lengths[:, None]
    sample = torch.arange(len(times))[:, None].expand_as(times)[there]
    flat, sources = times[there].to(torch.float64), neurons[there].to(torch.int32)
    order = torch.from_numpy(
        np.lexsort((sources.numpy(), flat.detach().numpy(), sample.numpy())).astype(np.int64)
    )
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cumsum(lengths.to(torch.int64), 0)])
    return SpikeBatch(flat[order], sources[order], ptr)


def _check(batch: SpikeBatch, network: Network) -> SpikeBatch:
    """The batch, its tensors of the types that kernels take; SimulationError for what cannot be."""
    times, neurons, ptr = batch
    kinds = ((times, torch.float64), (neurons, torch.int32), (ptr, torch.int64))
    if any(each.dim() != 1 or each.dtype != kind or each.device.type != "cpu" for each, kind in kinds):
        raise SimulationError(
            "a SpikeBatch has float64 times, int32 neurons and int64 ptr, one-dimensional, on the CPU: got "
            + ", ".join(f"{each.dtype} {tuple(each.shape)} on {each.device}" for each, _ in kinds)
        )
    ends, n = ptr.numpy(), len(times)
    if len(ends) < 2 or ends[0] != 0 or ends[-1] != n or len(neurons) != n or (np.diff(ends) < 0).any():
        raise SimulationError(
            "ptr must rise from 0 to the number of spikes, the same for times and neurons: got "
            f"{number_of(len(times), 'time')}, {number_of(len(neurons), 'neuron')} and ptr {_short(ends)}"
        )
    t, sources = times.detach().numpy(), neurons.numpy()
    wrong = ~(np.isfinite(t) & (t >= 0.0))
    if wrong.any():
        raise SimulationError(_at(ends, np.argmax(wrong), f"time {t[np.argmax(wrong)]} ms is not 0 or later"))
    wrong = (sources < 0) | (sources >= network.input.neurons)
    if wrong.any():
        where = np.argmax(wrong)
        text = f"input neuron {sources[where]} is not one of the network's {network.input.neurons}"
        raise SimulationError(_at(ends, where, text))
    # The first spike of a recording may be earlier than the last of the one before.
    falls = (np.diff(t) < 0) | ((np.diff(t) == 0) & (np.diff(sources) < 0))
    falls[ends[1:-1][(ends[1:-1] > 0) & (ends[1:-1] < n)] - 1] = False
    if falls.any():
        raise SimulationError(
            _at(ends, np.argmax(falls) + 1, "out of order: sort each recording by (time, neuron)")
        )
    duration = network.settings.duration_ms
    if duration is not None and (t >= duration).any():  # as in training, what comes later is left out
        kept = torch.from_numpy(t < duration)
        before = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cumsum(kept, 0)])
        times, neurons, ptr = times[kept], neurons[kept], before[ptr]
    return SpikeBatch(times.contiguous(), neurons.contiguous(), ptr.contiguous())


def _at(ends: np.ndarray, place: np.integer[Any], text: str) -> str:
    number = int(np.searchsorted(ends, place, side="right")) - 1
    return f"recording {number}, spike {int(place) - int(ends[number])}: {text}"


def _short(values: np.ndarray) -> str:
    return str(values.tolist() if len(values) < 8 else [*values[:4].tolist(), "...", int(values[-1])])
