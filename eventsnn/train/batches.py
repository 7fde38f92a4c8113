"""From labelled recordings to the input of engines: reading, augmenting, sorting, in mini-batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from eventsnn._ext import prepare as kernel
from eventsnn._ext.records import Records, from_events
from eventsnn._util.ranks import Ranks
from eventsnn.data import draws
from eventsnn.data.augment import Augmentation
from eventsnn.data.distort import Distortion
from eventsnn.data.source import CodedSource, LabelledSource, RecordSource
from eventsnn.errors import EventStreamError, TrainingError
from eventsnn.events.origin import LATEST_START_US, from_origin
from eventsnn.events.stabilisation import Stabilisation
from eventsnn.events.stream import EventStream
from eventsnn.model import Network, RunSettings
from eventsnn.simulate.engines.arrivals import Arrivals

# What the first number after the seed of a random generator stands for; `draws.AUGMENT` is another.
SHUFFLE = 1


@dataclass(frozen=True, eq=False)
class Batch:
    """Recordings of one mini-batch, the readable ones.

    Attributes
    ----------
    times : float64 array (events,)
        ms from each recording's origin (`eventsnn.events.origin`); recording k is ``ptr[k]:ptr[k + 1]``,
        sorted by (time, neuron).
    neurons : int32 array (events,)
        Input neuron of each event.
    ptr : int64 array (recordings + 1,)
    indices : int64 array (recordings,)
        Their numbers in the data set.
    labels : int64 array (recordings,)
    duration : float, optional
        How long every recording lasts, ms, where that is stated.
    origins : tuple of int, optional
        The recordings' times that are time 0, microseconds, where preparing them has told.
    ready : Arrivals, optional
        The recordings as `Learner.prepare` returns them.
    """

    times: np.ndarray
    neurons: np.ndarray
    ptr: np.ndarray
    indices: np.ndarray
    labels: np.ndarray
    duration: float | None = None
    origins: tuple[int, ...] | None = None
    ready: Arrivals | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def arrivals(self) -> Arrivals:
        """The recordings as the engines take them."""
        return self.ready or Arrivals(self.times, self.neurons, self.ptr, self.duration)

    @property
    def samples(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(times, neurons) of each recording; views."""
        parts = [slice(a, b) for a, b in zip(self.ptr[:-1].tolist(), self.ptr[1:].tolist(), strict=True)]
        return [(self.times[part], self.neurons[part]) for part in parts]

    def whole(self, ranks: Ranks) -> Batch:
        """The mini-batch of which each rank has prepared a part."""
        if ranks.size == 1:
            return self
        told = np.array(self.origins or (), np.int64)
        arrays = self.times, self.neurons, np.diff(self.ptr), self.indices, self.labels, told
        times, neurons, sizes, indices, labels, told = ranks.join(*arrays)
        ptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        origins = tuple(told.tolist()) if len(told) == len(indices) else None
        return Batch(times, neurons, ptr, indices, labels, self.duration, origins)

    @classmethod
    def join(cls, parts: Sequence[Batch]) -> Batch:
        """One batch of the recordings of several, at least one, in their order."""
        starts = np.cumsum([0, *(int(part.ptr[-1]) for part in parts)])
        ends = [part.ptr[1:] + start for part, start in zip(parts, starts.tolist(), strict=False)]
        return cls(
            times=np.concatenate([part.times for part in parts]),
            neurons=np.concatenate([part.neurons for part in parts]),
            ptr=np.concatenate([np.zeros(1, np.int64), *ends]),
            indices=np.concatenate([part.indices for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
            duration=parts[0].duration,
        )


class BatchLoader:
    """WorkCounter recordings of a data set into the input of mini-batches.

    Safe to use from several threads at once: reading, augmenting and sorting happen with the interpreter's
    lock released. What becomes of a recording depends on (seed, epoch, its number) alone, not on the batch
    it is in.

    Parameters
    ----------
    source : LabelledSource
    inputs : int
        Input neurons of the network.
    augmentation : Augmentation, optional
    seed : int
        Of the augmentation; see `eventsnn.data.draws`.
    distortion : Distortion, optional
        Of images, before they are coded; of recordings, before the shift.
    settings : RunSettings, optional
        Whether to remove the sensor's motion, before all else, and how long a recording lasts: what comes
        later is left out, after all else.

    Raises
    ------
    TrainingError
        The source's sensor has another number of inputs, or an augmentation that the source or tonic does not
        allow.
    """

    def __init__(
        self,
        source: LabelledSource,
        inputs: int,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        distortion: Distortion | None = None,
        settings: RunSettings | None = None,
    ) -> None:
        width, height, polarities = self._sensor_size = source.sensor_size
        if width * height * polarities != inputs:
            raise TrainingError(
                f"the recordings' sensor {self._sensor_size} has {width * height * polarities} inputs, "
                f"the network {inputs}"
            )
        self._source, self._distortion = source, distortion
        self._records = source if isinstance(source, RecordSource) else None
        self._labels = np.asarray(source.labels)
        self._seed = seed
        change = augmentation or Augmentation()
        self._change = (change.shift, draws.threshold(change.drop), float(change.time_scale))
        self._early = change if change.prepares else None
        self._coded = isinstance(source, CodedSource)
        self._moves = None if self._coded else distortion
        settings = settings or RunSettings()
        self._duration = settings.duration_ms
        self._stabilise = None if settings.stabilise is None else Stabilisation(settings.stabilise)
        if self._stabilise is not None:
            self._stabilise.check(self._sensor_size)
            if isinstance(source, CodedSource):
                raise TrainingError("stabilise is for recordings, and the data set holds images")
        if change.transforms:
            change.make_transforms(self._sensor_size)  # what is wrong with them is said before training
        if change.prepares and isinstance(source, CodedSource):
            raise TrainingError(
                "augmentation: only shift, drop and time_scale are for images; the others are for recordings"
            )

    def prepare(self, indices: npt.ArrayLike, epoch: int) -> Batch:
        """The batch of these recordings in this epoch.

        Parameters
        ----------
        indices : array_like of int, shape (n,)
            Numbers of recordings in the data set.
        epoch : int
            Counted from 0; names the draws of the augmentation and of a `CodedSource`.

        Returns
        -------
        Batch
            In the order of `indices`. Unreadable recordings are left out if the source is told to skip such.

        Raises
        ------
        EventFileError
            For an unreadable recording, unless the source is told to skip such.
        TrainingError
            The source gave events that do not fit its sensor, or begin before time 0.
        IndexError
            There is no recording of such a number.
        """
        numbers = np.ascontiguousarray(indices, dtype=np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self._labels):
            raise IndexError(f"recordings are numbered 0 .. {len(self._labels) - 1}: got {numbers.tolist()}")
        # What comes before the kernel's changes needs events, not bytes.
        prepared = self._early or self._moves or self._stabilise
        records = None if prepared else self._load(numbers, epoch)
        if records is not None:
            batch, status = self._fill(records, numbers, epoch)
            if not status.any():
                return batch
        # Whatever was wrong, the source itself knows what to say about it, and whether to go on.
        streams = {index: self._source.read_or_none(index) for index in numbers.tolist()}
        numbers = numbers[[streams[index] is not None for index in numbers.tolist()]]
        events = [self._checked(index, streams[index], epoch) for index in numbers.tolist()]
        batch, status = self._fill(from_events(events), numbers, epoch)
        read = [streams[index] for index in numbers.tolist()]
        batch = replace(batch, origins=tuple(stream.origin_us for stream in read if stream is not None))
        if status.any():
            path = self._source.paths[int(numbers[np.argmax(status != 0)])]
            raise TrainingError(f"{path}: events outside sensor {self._sensor_size} or not in order of time")
        return batch

    def origins_us(self, batch: Batch) -> np.ndarray:
        """The time of each recording of a batch that is its time 0, microseconds: int64 (recordings,)."""
        origins = np.zeros(len(batch), np.int64)
        if batch.origins is not None:
            origins[:] = batch.origins
        elif not self._coded:
            # One that counts from its first event has that at 0, unless a change has dropped it.
            counts = np.full(len(batch), any(self._change))
            held = np.diff(batch.ptr) > 0
            counts[held] |= batch.times[batch.ptr[:-1][held]] == 0.0
            for place in np.flatnonzero(counts).tolist():
                origins[place] = self._source.stream(int(batch.indices[place])).origin_us
        return origins

    def prepare_part(self, index: int, epoch: int) -> Batch:
        """The batch of one recording (or none), so that threads can share a batch; see `Batch.join`."""
        return self.prepare([index], epoch)

    def _load(self, numbers: np.ndarray, epoch: int) -> Records | None:
        """The recordings undecoded, if the source can return them so."""
        if isinstance(self._source, CodedSource):
            return self._source.code(numbers, epoch, self._distortion)
        return None if self._records is None else self._records.load(numbers)

    def _fill(self, records: Records, numbers: np.ndarray, epoch: int) -> tuple[Batch, np.ndarray]:
        """The batch, and the kernel's status of each recording (0: correct)."""
        times = np.empty(records.most_events)
        neurons = np.empty(records.most_events, np.int32)
        ptr, status = np.empty(len(numbers) + 1, np.int64), np.empty(len(numbers), np.int32)
        key = draws.make_key(self._seed, draws.AUGMENT, epoch)
        latest = LATEST_START_US
        kernel.prepare(
            records, self._sensor_size, numbers, key, *self._change, latest, times, neurons, ptr, status
        )
        n = int(ptr[-1])
        times, neurons = times[:n], neurons[:n]
        if self._duration is not None:
            times, neurons, ptr = cut_late(times, neurons, ptr, self._duration)
        return Batch(times, neurons, ptr, numbers, self._labels[numbers], self._duration), status

    def _checked(self, index: int, stream: EventStream | None, epoch: int) -> np.ndarray:
        """The events of a stream, prepared; TrainingError if its sensor is not that of the source, or it
        begins before time 0.
        """
        assert stream is not None
        if tuple(stream.sensor_size) != self._sensor_size:
            raise TrainingError(
                f"{self._source.paths[index]}: its sensor is {stream.sensor_size}, "
                f"that of the data set {self._sensor_size}"
            )
        try:
            events = from_origin(stream.events, stream.origin_us)
        except EventStreamError as error:
            raise TrainingError(f"{self._source.paths[index]}: {error}") from None
        if self._stabilise is not None:
            events = self._stabilise.apply(events, self._sensor_size)
        if self._early is not None:
            events = self._early.prepare(events, self._sensor_size, self._seed, epoch, index)
        if self._moves is not None:
            key = draws.make_key(self._seed, draws.DISTORT, epoch, index)
            events = self._moves.move(events, self._sensor_size, key)
        return np.ascontiguousarray(events)


def check_source(network: Network, data: LabelledSource, what: str) -> None:
    """Raise TrainingError if a data set does not fit a network's input and output."""
    if len(data) == 0:
        raise TrainingError(f"{what} holds no recordings")
    if tuple(data.sensor_size) != network.input.sensor_size:
        raise TrainingError(
            f"{what}: its sensor is {tuple(data.sensor_size)}, "
            f"the network's input {network.input.sensor_size}"
        )
    largest = int(np.max(data.labels))
    if largest >= network.output.neurons:
        raise TrainingError(
            f"{what}: class {largest} needs an output neuron, but layer {network.output.name!r} has "
            f"{network.output.neurons}"
        )


def cut_late(
    times: np.ndarray, neurons: np.ndarray, ptr: np.ndarray, end: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recordings in the form of `Batch`, without events at `end` ms or later."""
    keep = times < end
    before = np.concatenate([[0], np.cumsum(keep)])
    return times[keep], neurons[keep], before[ptr]


def shuffled(indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch."""
    return np.random.default_rng([seed, SHUFFLE, epoch]).permutation(indices)


def cut(indices: np.ndarray, size: int) -> list[np.ndarray]:
    """Consecutive mini-batches of at most `size`."""
    return [indices[start : start + size] for start in range(0, len(indices), size)]
