"""Recordings resident on a device, and mini-batches of them: chosen, augmented and sorted there.

`DeviceRecordings` copies a data set to the device once, as packed events (8 bytes each): 60,000 recordings of
N-MNIST are 2 GB. Recordings that no longer fit stay on the host and are copied with each mini-batch that has
them. `DeviceLoader` does for these what `train.batches.BatchLoader` does on the CPU, with the same bits: what
becomes of a recording depends on (seed, epoch, its number) alone. The kernels: ``kernels/recordings.h``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eventsnn.data import draws
from eventsnn.data.augment import Augmentation
from eventsnn.data.distort import FIELD, Distortion
from eventsnn.data.source import CodedSource, LabelledSource
from eventsnn.data.words import read_words
from eventsnn.errors import TrainingError
from eventsnn.events.packed_events import field_bits
from eventsnn.gpu.batch import WARP, DeviceArrivals
from eventsnn.gpu.device import Device, DeviceArray, shared_bytes
from eventsnn.model import RunSettings

THREADS = 256
TOGETHER = 256
"""Recordings that are read and copied to the device at once."""
SHARE = 0.4
"""Share of the free memory that recordings may take by default, and twice that while they are copied; the
rest is for mini-batches and weights."""

_WHOLE, _REAL = 15, 4
"""Whole and real numbers that the kernels are asked with: the ASK_... of ``kernels/recordings.h``."""


@dataclass(frozen=True)
class DeviceBatch:
    """A mini-batch on a device, the readable recordings.

    Attributes
    ----------
    arrivals : DeviceArrivals
        ms from each recording's origin, and input neurons.
    last : DeviceArray of float64 (recordings,)
        When each recording's last event is, ms; 0 for none.
    indices, labels : int64 arrays (recordings,)
        Their numbers in the data set and their classes, on the host.
    room : int64 array (recordings + 1,)
        Between which places of `arrivals` each has its events, on the host.
    duration : float, optional
        How long every recording lasts, ms, where that is stated.
    """

    arrivals: DeviceArrivals
    last: DeviceArray
    indices: np.ndarray
    labels: np.ndarray
    room: np.ndarray
    duration: float | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def most_events(self) -> int:
        """Events that there are at most; how many there are, only the device knows."""
        return self.arrivals.times.size

    def arrive(self, delay: float, biases: list[np.ndarray], neuron: int) -> DeviceArrivals:
        """The events `delay` ms later, with those spikes of the bias neuron, whose number is `neuron`.

        `biases` has the times at which they arrive in each recording, ms, ascending.
        """
        device, sizes = self.arrivals.times.device, np.array([len(times) for times in biases], np.int64)
        starts = np.cumsum(sizes) - sizes
        room = int(self.room[-1] + sizes.sum())
        joined = DeviceArrivals(
            device.empty(max(room, 1), np.float64),
            device.empty(max(room, 1), np.int32),
            device.put(self.room[:-1] + starts),
            device.empty(len(self), np.int32),
        )
        device.launch(
            "join_bias", len(self), THREADS, self.arrivals.times, self.arrivals.sources, self.arrivals.first,
            self.arrivals.count, np.float64(delay), device.put(np.concatenate([np.empty(0), *biases])),
            device.put(starts), device.put(sizes.astype(np.int32)), np.int32(neuron), joined.first,
            joined.times, joined.sources, joined.count,
        )  # fmt: skip
        return joined

    def part(self, part: slice) -> DeviceBatch:
        """Some consecutive recordings, in the same memory."""
        start, stop, _ = part.indices(len(self))
        if stop - start == len(self):
            return self
        arrivals, room = self.arrivals, self.room[start : stop + 1]
        events = slice(int(room[0]), int(room[-1]))
        return DeviceBatch(
            DeviceArrivals(
                # Theirs alone: who needs something for each arrival takes memory for so many.
                arrivals.times[events],
                arrivals.sources[events],
                arrivals.times.device.put(room[:-1] - room[0]),
                arrivals.count[part],
            ),
            self.last[part],
            self.indices[part],
            self.labels[part],
            room - room[0],
            self.duration,
        )


def refusal(
    source: LabelledSource, augmentation: Augmentation | None = None, settings: RunSettings | None = None
) -> str | None:
    """Why mini-batches of a data set have to be prepared on the host; None if the device can do it."""
    if isinstance(source, CodedSource):
        return "images are coded on the host, anew in every epoch"
    if augmentation is not None and augmentation.transforms:
        return "transforms of tonic are Python functions"
    if settings is not None and settings.stabilise is not None:
        return "stabilise is computed on the host"
    return None


class DeviceRecordings:
    """A data set on a device.

    Parameters
    ----------
    device : Device
    source : LabelledSource
    indices : array_like of int, optional
        The recordings that will be asked for; all by default.
    most_bytes : int, optional
        Memory that they may take; `SHARE` of what is free by default. What does not fit stays on the host.

    Attributes
    ----------
    resident : int
        How many recordings are on the device.

    Raises
    ------
    EventFileError
        For an unreadable recording, unless the source is told to skip such.
    TrainingError
        A recording does not fit its set's sensor, or is not in order of time.
    """

    def __init__(
        self,
        device: Device,
        source: LabelledSource,
        indices: npt.ArrayLike | None = None,
        most_bytes: int | None = None,
    ) -> None:
        self.device, self.source = device, source
        wanted = np.arange(len(source)) if indices is None else np.unique(np.asarray(indices, np.int64))
        free = int(SHARE * device.free_memory()) if most_bytes is None else most_bytes
        # Where a recording begins in `words`; -1: on the host; and its events; -1: unreadable, -2: not read.
        self.first = np.full(len(source), -1, np.int64)
        self.sizes = np.full(len(source), -2, np.int64)
        self._ask = device.put(_describe_sensor(source)), device.put(np.zeros(_REAL))
        self.words = self._copy(wanted, free // 8)
        self.resident = int((self.first >= 0).sum())

    def _copy(self, wanted: np.ndarray, room: int) -> DeviceArray:
        """Read recordings as long as there is room for their words; the words on the device."""
        pieces: list[DeviceArray] = []
        at, left = 0, wanted
        while len(left):
            words, sizes = read_words(self.source, left[:TOGETHER])
            ends = np.cumsum(np.maximum(sizes, 0))
            fitting = int(np.searchsorted(ends, room - at, side="right"))
            self.sizes[left[:TOGETHER]] = sizes
            taken, sizes = left[:fitting], sizes[:fitting]
            self.first[taken[sizes >= 0]] = at + (ends[:fitting] - sizes)[sizes >= 0]
            if fitting:
                pieces.append(self.device.put(words[: ends[fitting - 1]]))
                at += len(pieces[-1])
            left = left[TOGETHER:] if fitting == min(TOGETHER, len(left)) else left[:0]
        array = self.device.empty(max(at, 1), np.uint64)
        at = 0
        for piece in pieces:
            self.device.copy(array[at : at + len(piece)], piece)
            at += len(piece)
        self._check(array, wanted[self.first[wanted] >= 0], self.first, self.sizes)
        return array

    def _check(self, words: DeviceArray, indices: np.ndarray, first: np.ndarray, sizes: np.ndarray) -> None:
        """Raise TrainingError for a recording whose words the sensor cannot have sent.

        `first` and `sizes` are those of all recordings.
        """
        if not len(indices):
            return
        faults = self.device.zeros(len(indices), np.int32)
        where = self.device.put(np.stack([first[indices], sizes[indices]]))
        rows = [where[k : k + 1].reshape(len(indices)) for k in range(2)]
        self.device.launch("check_words", len(indices), THREADS, words, *rows, *self._ask, faults)
        found = faults.read()
        if found.any():
            path = self.source.paths[int(indices[np.argmax(found != 0)])]
            raise TrainingError(
                f"{path}: events outside sensor {tuple(self.source.sensor_size)} or not in order of time"
            )

    def stage(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, DeviceArray]:
        """Where the words of some recordings are.

        Returns
        -------
        kept : int64 array
            The readable ones among `indices`.
        first, sizes : int64 arrays
            Where each begins, in `words`, or, where negative, at ``-1 - first`` of `staged`; and its events.
        staged : DeviceArray of uint64
            Copies of those that are not resident.
        """
        first = self.first[indices]
        places = np.flatnonzero((first < 0) & (self.sizes[indices] != -1))
        if not len(places):
            staged = self.device.empty(1, np.uint64)
        else:
            guests = indices[places]
            words, sizes = read_words(self.source, guests)
            self.sizes[guests] = sizes
            starts = np.cumsum(np.maximum(sizes, 0)) - np.maximum(sizes, 0)
            first[places] = -1 - starts
            staged = self.device.put(words if len(words) else np.zeros(1, np.uint64))
            there = np.zeros(len(self.first), np.int64)
            there[guests] = starts
            self._check(staged, guests[sizes >= 0], there, self.sizes)
        readable = self.sizes[indices] >= 0
        kept = indices[readable]
        return kept, first[readable], self.sizes[kept], staged


class DeviceLoader:
    """`train.batches.BatchLoader` on a device: the same mini-batches, to the last bit.

    Parameters
    ----------
    recordings : DeviceRecordings
    inputs : int
        Input neurons of the network.
    augmentation, seed, distortion, settings
        As for `BatchLoader`; `refusal` says what the device cannot do.

    Raises
    ------
    TrainingError
        The source's sensor has another number of inputs, or something that `refusal` names.
    """

    def __init__(
        self,
        recordings: DeviceRecordings,
        inputs: int,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        distortion: Distortion | None = None,
        settings: RunSettings | None = None,
    ) -> None:
        source = recordings.source
        width, height, polarities = sensor = source.sensor_size
        if width * height * polarities != inputs:
            raise TrainingError(
                f"the recordings' sensor {sensor} has {width * height * polarities} inputs, "
                f"the network {inputs}"
            )
        reason = refusal(source, augmentation, settings)
        if reason is not None:
            raise TrainingError(f"mini-batches cannot be prepared on the device: {reason}")
        self.recordings, self._device = recordings, recordings.device
        self._labels = np.asarray(source.labels)
        self._seed, self._distortion = seed, distortion
        self._change = augmentation or Augmentation()
        self._duration = None if settings is None else settings.duration_ms
        self._epoch: int | None = None
        self._ask: tuple[DeviceArray, DeviceArray] | None = None
        self._keys = (0, 0)
        bends = distortion is not None and distortion.elastic > 0
        weights = gaussian_weights(distortion.smoothing) if distortion is not None and bends else np.ones(1)
        self._weights = self._device.put(weights)

    def prepare(self, indices: npt.ArrayLike, epoch: int) -> DeviceBatch:
        """The batch of these recordings in this epoch; arguments and errors as for `BatchLoader.prepare`.

        Launches kernels and waits for none.
        """
        numbers = np.ascontiguousarray(indices, dtype=np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self._labels):
            raise IndexError(f"recordings are numbered 0 .. {len(self._labels) - 1}: got {numbers.tolist()}")
        device, recordings = self._device, self.recordings
        ask = self._ask_for(epoch)
        numbers, first, sizes, staged = recordings.stage(numbers)
        n, room = len(numbers), np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        most = int(room[-1])
        table = device.put(np.stack([first, sizes, numbers, room[:-1]]))
        rows = [table[k : k + 1].reshape(n) for k in range(4)]
        words = recordings.words
        if self._change.jitter:
            shaken = device.empty(max(most, 1), np.uint64)
            device.launch("jitter_words", n, THREADS, words, staged, *rows, *ask, shaken)
            words, rows[0] = shaken, rows[3]
        places = self._find_places(numbers, rows[2], ask)
        times, neurons = self._empty_events(most)
        counts = device.empty(n, np.int32)
        shared = shared_bytes((np.int32, WARP), (np.int32, 1))
        events = times, neurons, counts
        device.launch("change_events", n, THREADS, words, staged, *rows, *ask, places, *events, shared=shared)
        arrivals = DeviceArrivals(*self._empty_events(most), rows[3], counts)
        last = device.empty(n, np.float64)
        results = arrivals.times, arrivals.sources, last
        device.launch("order_events", n, THREADS, times, neurons, rows[3], counts, *results)
        return DeviceBatch(arrivals, last, numbers, self._labels[numbers], room, self._duration)

    def _empty_events(self, most: int) -> tuple[DeviceArray, DeviceArray]:
        return self._device.empty(max(most, 1), np.float64), self._device.empty(max(most, 1), np.int32)

    def _ask_for(self, epoch: int) -> tuple[DeviceArray, DeviceArray]:
        """What is asked of the kernels in an epoch, on the device."""
        if self._ask is None or epoch != self._epoch:
            change, distortion = self._change, self._distortion
            whole = _describe_sensor(self.recordings.source)
            keys = [draws.make_key(self._seed, each, epoch) for each in (draws.AUGMENT, draws.DISTORT)]
            self._keys = keys[0], keys[1]
            whole[6:8] = np.array(self._keys, np.uint64).view(np.int64)
            amounts = (change.shift, draws.threshold(change.drop), draws.threshold(change.flip))
            late = (int(change.time_shift), change.mask_x, int(change.mask_time), distortion is not None)
            whole[8:] = (*amounts, *late)
            end = math.inf if self._duration is None else self._duration
            elastic = 0.0 if distortion is None else distortion.elastic
            real = np.array([change.jitter, change.time_scale, end, elastic])
            self._ask, self._epoch = (self._device.put(whole), self._device.put(real)), epoch
        return self._ask

    def _find_places(
        self, numbers: np.ndarray, row: DeviceArray, ask: tuple[DeviceArray, ...]
    ) -> DeviceArray:
        """Where the events of each pixel of each recording go; one number without a distortion."""
        device, distortion = self._device, self._distortion
        if distortion is None:
            return device.empty(1, np.float64)
        width, height, _ = self.recordings.source.sensor_size
        keys = draws.draw_each(self._keys[1], numbers.astype(np.uint64))
        turns = distortion.turns(2.0 * draws.to_unit_many(draws.draw_many(keys, FIELD)) - 1.0, height, width)
        size = len(numbers) * 2 * height * width
        field, half, places = (device.empty(max(size, 1), np.float64) for _ in range(3))
        given = row, device.put(turns), self._weights
        device.launch("find_places", len(numbers), THREADS, *given, *ask, field, half, places)
        return places


def _describe_sensor(source: LabelledSource) -> np.ndarray:
    """The first of the whole numbers that ``kernels/recordings.h`` is asked with; the others are 0."""
    sensor = source.sensor_size
    whole = np.zeros(_WHOLE, np.int64)
    whole[:6] = (*sensor, *field_bits(sensor))
    return whole


def gaussian_weights(sigma: float) -> np.ndarray:
    """Weights of `scipy.ndimage.gaussian_filter1d` with ``truncate=2.5``."""
    radius = int(2.5 * sigma + 0.5)
    x = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * x**2)
    found: np.ndarray = weights / weights.sum()
    return found
