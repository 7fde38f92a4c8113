"""From labelled recordings to what the engines take: reading, augmenting, sorting, in mini-batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn.data.augment import Augmentation
from eventsnn.data.source import LabelledSource
from eventsnn.errors import TrainingError
from eventsnn.events.stream import EventStream
from eventsnn.network import Network

# What the first number after the seed of a random generator stands for: streams never overlap.
SHUFFLE, AUGMENT = 1, 2


@dataclass(frozen=True)
class Batch:
    """Recordings of one mini-batch, the readable ones.

    Attributes
    ----------
    samples : list of (times, inputs)
        float64 ms and int32 input neurons, sorted by (time, neuron).
    indices : int64 array
        Their numbers in the data set.
    labels : int64 array
    """

    samples: list[tuple[np.ndarray, np.ndarray]]
    indices: np.ndarray
    labels: np.ndarray


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


def to_arrays(stream: EventStream) -> tuple[np.ndarray, np.ndarray]:
    """(times in ms, input neurons) of a recording, sorted by (time, neuron)."""
    inputs = stream.input_indices()
    n = max(1, int(np.prod(stream.sensor_size)))
    # One whole number holds both: a stable sort of an almost sorted column is quick.
    key = np.sort(stream.events["t"] * n + inputs, kind="stable")
    micros = key // n
    return micros / 1000.0, (key - micros * n).astype(np.int32)


def read_batch(
    data: LabelledSource, indices: np.ndarray, augmentation: Augmentation | None, seed: int, epoch: int
) -> Batch:
    """Read recordings; each is augmented by a generator of its own: order and batches do not matter."""
    samples, kept = [], []
    for index in indices.tolist():
        stream = data.read_or_none(index)
        if stream is None:
            continue
        if augmentation is not None:
            rng = np.random.default_rng([seed, AUGMENT, epoch, index])
            stream = EventStream(
                augmentation.apply(stream.events, stream.sensor_size, rng), stream.sensor_size
            )
        samples.append(to_arrays(stream))
        kept.append(index)
    numbers = np.array(kept, dtype=np.int64)
    return Batch(samples, numbers, np.asarray(data.labels)[numbers])


def shuffled(indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch."""
    return np.random.default_rng([seed, SHUFFLE, epoch]).permutation(indices)


def cut(indices: np.ndarray, size: int) -> list[np.ndarray]:
    """Consecutive mini-batches of at most `size`."""
    return [indices[start : start + size] for start in range(0, len(indices), size)]
