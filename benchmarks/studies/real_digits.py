"""The real N-MNIST recordings beside the images that they show: one half to fit a camera on, one to check it.

N-MNIST numbers its files as MNIST its images, from 1: recording 00002.bin shows training image 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import find_data, find_nmnist

from eventsnn.data import NMNIST, load_idx
from eventsnn.events import EventStream


@dataclass(frozen=True)
class RealDigits:
    """Recordings in the order of their numbers.

    `numbers` (n) are indices of MNIST's training images, `images` (n, 28, 28) uint8 those images, `labels`
    (n) their classes; `for_fit` (n) bool tells the half to fit on from the half to check on.
    """

    numbers: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    streams: list[EventStream]
    for_fit: np.ndarray

    def part(self, chosen: np.ndarray) -> RealDigits:
        """Some of them, by index or by bool."""
        where = np.arange(len(self.numbers))[chosen]
        streams = [self.streams[i] for i in where]
        return RealDigits(
            self.numbers[where], self.images[where], self.labels[where], streams, self.for_fit[where]
        )


def load_real_digits() -> RealDigits:
    """All recordings below EVENTSNN_DATA; every other one, in the order of their numbers, is for the fit."""
    source = NMNIST(find_nmnist())
    numbers = np.array([int(Path(path).stem) - 1 for path in source.paths])
    order = np.argsort(numbers)
    images, labels = load_idx(find_data("mnist"), "train")
    numbers = numbers[order]
    if (labels[numbers] != source.labels[order]).any():
        raise SystemExit("the recordings' labels are not those of MNIST's images of the same numbers")
    streams = [source.stream(int(index)) for index in order]
    return RealDigits(numbers, images[numbers], labels[numbers], streams, np.arange(len(order)) % 2 == 0)
