"""Labelled recordings for PyTorch's DataLoader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from eventsnn._util.arguments import check_kind, check_whole
from eventsnn.data.augment import Augmentation
from eventsnn.data.distort import Distortion
from eventsnn.data.memory import EventTargetSequence, as_source
from eventsnn.data.source import LabelledSource
from eventsnn.errors import TrainingError
from eventsnn.model import Network
from eventsnn.torch.batch import SpikeBatch
from eventsnn.torch.library import torch
from eventsnn.train.batches import Batch, BatchLoader, check_source
from eventsnn.train.labels import match_source, name_outputs


class Item(Batch):
    """One or several prepared recordings, which `collate` makes a mini-batch of."""

    def __getitem__(self, number: int) -> NoReturn:
        """What torch's own ``collate_fn`` asks for first, and users do who expect (events, label)."""
        raise TrainingError(
            "items of an EventDataset are for its own collate_fn: DataLoader(dataset, ..., "
            "collate_fn=eventsnn.torch.collate) gives mini-batches (SpikeBatch, labels)"
        )


class EventDataset(torch.utils.data.Dataset):
    """A data set of ours, or of tonic's, as the input of a network, for `torch.utils.data.DataLoader`.

    Recordings are prepared as in `eventsnn.train`: from their origin, with the network's settings, augmented
    if asked. Use `collate` as the loader's ``collate_fn``; a mini-batch is then ``(SpikeBatch, labels)``.
    Works in worker processes, forked or spawned. What becomes of a recording depends on the seed, the epoch
    and its number alone, whatever the number of workers.

    Parameters
    ----------
    data : LabelledSource
        For instance `eventsnn.data.Folder`; or a data set of tonic's; or a list of (events, label).
    network : Network
        Whose input it is. If it has names of classes, classes are matched by name.
    augmentation : Augmentation, optional
        Drawn again in each epoch, see `set_epoch`.
    distortion : Distortion, optional
        As of `eventsnn.train`.
    seed : int
        Of augmentation and distortion.

    Attributes
    ----------
    labels : int64 array (recordings,)
        Output neuron of each recording.
    classes : tuple of str
        Names of the output neurons, for `Network.with_classes`.

    Raises
    ------
    TrainingError
        For data that do not fit the network.
    """

    def __init__(
        self,
        data: LabelledSource | EventTargetSequence,
        network: Network,
        *,
        augmentation: Augmentation | None = None,
        distortion: Distortion | None = None,
        seed: int = 1,
    ) -> None:
        check_kind("network", network, Network, TrainingError)
        check_whole("seed", seed, TrainingError)
        source, what = as_source(data, network.input.sensor_size), "the data set"
        if len(source):
            network = name_outputs(network, source)
            source = match_source(network, source, what)
        check_source(network, source, what)
        self.labels: np.ndarray = np.asarray(source.labels)
        self.classes = network.classes or tuple(source.classes)
        self._loader = BatchLoader(
            source, network.input.neurons, augmentation, seed, distortion, network.settings
        )
        # In shared memory: workers that stay from epoch to epoch see it, too.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Draw as for this epoch, counted from 0, from now on; call it before each."""
        self._epoch[0] = check_whole("epoch", epoch, TrainingError)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Item:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Item:
        """Several recordings at once, which the loader asks for where it can."""
        n = len(self)
        numbers = [int(index) for index in indices]
        for number in numbers:
            if not -n <= number < n:
                raise IndexError(f"recording {number} of {n}")
        return Item(**vars(self._loader.prepare(np.array(numbers, np.int64) % n, int(self._epoch[0]))))


def collate(items: Item | Sequence[Item]) -> tuple[SpikeBatch, torch.Tensor]:
    """A mini-batch from items of an `EventDataset`: (spikes, labels as int64 tensor (recordings,)).

    Unreadable recordings are left out where the data set is told to skip them.
    """
    batch = items if isinstance(items, Batch) else Batch.join(list(items))
    return SpikeBatch.of(batch), torch.from_numpy(np.ascontiguousarray(batch.labels))
