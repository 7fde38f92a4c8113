"""Simulations of a mini-batch: arrays of all samples together, and a record of each on demand.

What handles a mini-batch at once (the writer of traces) takes the arrays; to anybody else it is a sequence of
`SpikeRecord`, each of which is made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, overload

import numpy as np

from eventsnn.model import Network
from eventsnn.trace.record import ExitReason, SpikeRecord, first_votes, make_record


class Trains(NamedTuple):
    """Spikes of a layer, of the input or of the bias neuron in several samples.

    Attributes
    ----------
    times : float64 array (n,)
        ms, sorted by (time, neuron) within each sample.
    neurons : int32 array (n,)
    ptr : int64 array (samples + 1,)
        Sample s is ``[ptr[s], ptr[s + 1])``.
    """

    times: np.ndarray
    neurons: np.ndarray
    ptr: np.ndarray

    @classmethod
    def join(cls, samples: Sequence[tuple[np.ndarray, np.ndarray]]) -> Trains:
        """From (times, neurons) of each of one sample or more."""
        ptr = np.cumsum([0, *(len(times) for times, _ in samples)], dtype=np.int64)
        if len(samples) == 1:
            return cls(*samples[0], ptr)
        return cls(np.concatenate([t for t, _ in samples]), np.concatenate([n for _, n in samples]), ptr)

    def sample(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(times, neurons) of one sample, views."""
        part = slice(self.ptr[number], self.ptr[number + 1])
        return self.times[part], self.neurons[part]

    @property
    def last_times(self) -> np.ndarray:
        """Time of each sample's last spike, ms, 0 for none; float64 array (samples,)."""
        if not len(self.times):
            return np.zeros(len(self.ptr) - 1)
        return np.where(np.diff(self.ptr) == 0, 0.0, self.times[self.ptr[1:] - 1])


@dataclass(frozen=True, eq=False)
class BatchRecord(Sequence[SpikeRecord]):
    """Simulations of one sample or more by one engine.

    Attributes
    ----------
    network : Network
    trains : dict of str to Trains
        Of the input, of the bias neuron where there is one, and of each layer: `schema.trains`.
    t_end : float64 array (samples,)
        See `SpikeRecord`.
    exit_reasons : tuple of ExitReason
    engine, dtype : str
    step_ms : float or None
    origins : int64 array (samples,)
        `SpikeRecord.origin_us` of each.
    readout : float64 array (samples, outputs) or None
    spike_counts : dict of str to int64 array (samples, neurons)
        Where the engine has counted already, the spikes of each neuron of a layer.
    """

    network: Network
    trains: Mapping[str, Trains]
    t_end: np.ndarray
    exit_reasons: tuple[ExitReason, ...]
    engine: str
    dtype: str
    step_ms: float | None
    origins: np.ndarray
    readout: np.ndarray | None
    spike_counts: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, network: Network, records: Sequence[SpikeRecord]) -> BatchRecord:
        """The same from records of one run or more, all by the same engine; itself, if it is one already."""
        if isinstance(records, BatchRecord):
            return records
        first, bias = records[0], ["bias"] if network.input.has_bias else []
        readouts = [record.readout for record in records if record.readout is not None]
        return cls(
            network=network,
            trains={
                name: Trains.join([(record[name].times, record[name].neurons) for record in records])
                for name in ("input", *bias, *network.names)
            },
            t_end=np.array([record.t_end for record in records]),
            exit_reasons=tuple(record.exit_reason for record in records),
            engine=first.engine,
            dtype=first.dtype,
            step_ms=first.step_ms,
            origins=np.array([record.origin_us for record in records], np.int64),
            readout=np.stack(readouts) if readouts else None,
            spike_counts={},
        )

    def __len__(self) -> int:
        return len(self.t_end)

    @overload
    def __getitem__(self, number: int) -> SpikeRecord: ...

    @overload
    def __getitem__(self, number: slice) -> list[SpikeRecord]: ...

    def __getitem__(self, number: int | slice) -> SpikeRecord | list[SpikeRecord]:
        if isinstance(number, slice):
            return [self[n] for n in range(len(self))[number]]
        sample = range(len(self))[number]
        return make_record(
            self.network,
            [self.trains[name].sample(sample) for name in self.network.names],
            self.trains["input"].sample(sample),
            float(self.t_end[sample]),
            self.engine,
            self.dtype,
            reason=self.exit_reasons[sample],
            bias=self.trains["bias"].sample(sample)[0] if self.network.input.has_bias else None,
            step_ms=self.step_ms,
            origin_us=int(self.origins[sample]),
            readout=None if self.readout is None else self.readout[sample],
        )

    def counts(self, layer: str) -> np.ndarray:
        """Spikes of each neuron of a layer, int64 array (samples, neurons)."""
        if layer not in self.spike_counts:
            return self._counted[layer]
        return self.spike_counts[layer]

    @cached_property
    def _counted(self) -> dict[str, np.ndarray]:
        """Those that the engine has not counted."""
        layers = [name for name in self.network.names if name not in self.spike_counts]
        return {name: _count(self.trains[name], self.network[name].neurons) for name in layers}

    @property
    def votes(self) -> np.ndarray:
        """What decides, array (samples, outputs): see `SpikeRecord.votes`."""
        if self.readout is not None:
            return self.readout
        name = self.network.output.name
        if self.network.decides == "count":
            return self.counts(str(name))
        return first_votes(*self.trains[str(name)], self.network.output.neurons)

    @property
    def last_spikes(self) -> np.ndarray:
        """Time of the last spike of each sample, input spikes among them, ms, 0 for none: float64."""
        times = [self.trains[name].last_times for name in ("input", *self.network.names)]
        return np.max(times, axis=0)

    @property
    def lengths(self) -> np.ndarray:
        """Of each sample, ms, float64: no spike lies beyond, or its timestamp would enter the next one's."""
        return np.maximum(self.last_spikes, np.where(np.isfinite(self.t_end), self.t_end, 0.0))


def _count(trains: Trains, size: int) -> np.ndarray:
    samples = len(trains.ptr) - 1
    if samples == 1:
        return np.bincount(trains.neurons, minlength=size)[None, :]
    place = np.repeat(np.arange(samples) * size, np.diff(trains.ptr)) + trains.neurons
    return np.bincount(place, minlength=samples * size).reshape(samples, size)


def votes_of(records: Iterable[SpikeRecord]) -> np.ndarray:
    """What decides in each run, array (samples, outputs)."""
    if isinstance(records, BatchRecord):
        return records.votes
    return np.array([record.votes for record in records])
