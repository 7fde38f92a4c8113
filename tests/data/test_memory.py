from __future__ import annotations

import numpy as np
import pytest

from eventsnn.data import ListDataset, from_tonic
from eventsnn.errors import EventStreamError, TrainingError
from tests.events.helpers import random_stream


def test_list_dataset():
    streams = [random_stream(n, seed=n) for n in (3, 4)]
    source = ListDataset(streams, [2, 0])
    assert source.paths == ["sample 0", "sample 1"]
    assert source.classes == ("0", "1", "2")
    assert source.labels.tolist() == [2, 0]
    assert source.sensor_size == (34, 34, 2)
    assert source.stream(1) is streams[1]
    events, label = source[0]
    events["x"] = 0  # a copy
    assert (len(events), label) == (3, 2)
    assert source.stream(0) == random_stream(3, seed=3)
    assert len(list(source)) == 2
    assert source.read_or_none(1) == streams[1]
    assert source.skipped == []


def test_list_dataset_refuses_what_does_not_fit():
    stream = random_stream(3)
    other = random_stream(3, sensor_size=(20, 20, 2))
    with pytest.raises(TrainingError, match="at least one recording"):
        ListDataset([], [])
    with pytest.raises(
        TrainingError, match=r"sample 1 has sensor_size \(20, 20, 2\), sample 0 has \(34, 34, 2\)"
    ):
        ListDataset([stream, other], [0, 1])
    with pytest.raises(TrainingError, match=r"one int label per recording is needed, 1: got shape \(2,\)"):
        ListDataset([stream], [0, 1])
    with pytest.raises(TrainingError, match="label -1 of sample 0 is negative"):
        ListDataset([stream], [-1])
    with pytest.raises(TrainingError, match="2 names for 1 recording"):
        ListDataset([stream], [0], names=["a", "b"])
    with pytest.raises(TrainingError, match="1 class name, but a label is 1"):
        ListDataset([stream], [1], classes=["a"])


class Recordings:
    """A data set as tonic's classes are: samples on access, targets listed."""

    def __init__(self, samples, **attributes):
        self.samples, self.read = samples, 0
        self.__dict__.update(attributes)

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        self.read += 1
        return self.samples[index]


def test_from_tonic_reads_lazily_where_targets_are_listed():
    streams = [random_stream(n) for n in (5, 6)]
    samples = [(np.array(stream), target) for stream, target in zip(streams, (3, 1), strict=True)]
    dataset = Recordings(samples, targets=[3, 1], sensor_size=(34, 34, 2))
    source = from_tonic(dataset)
    assert dataset.read == 0
    assert source.labels.tolist() == [3, 1]
    assert source.paths == ["Recordings[0]", "Recordings[1]"]
    assert source.stream(1) == streams[1]
    assert source[0][1] == 3
    # A transformed target is not the listed one.
    changed = Recordings(
        [(events, target + 1) for events, target in samples],
        targets=[3, 1],
        sensor_size=(34, 34, 2),
        target_transform=abs,
    )
    assert from_tonic(changed).labels.tolist() == [4, 2]


def test_from_tonic_numbers_names():
    events = np.array(random_stream(5))
    source = from_tonic(Recordings([(events, "right"), (events, "left"), (events, "right")]), (34, 34, 2))
    assert source.labels.tolist() == [1, 0, 1]
    assert source.classes == ("left", "right")


def test_from_tonic_errors():
    events = np.array(random_stream(5))
    with pytest.raises(TrainingError, match="does not state its sensor size: pass sensor_size="):
        from_tonic(Recordings([(events, 0)], sensor_size=None))
    with pytest.raises(TrainingError, match="at least one recording"):
        from_tonic(Recordings([]), (34, 34, 2))
    with pytest.raises(TrainingError, match="targets must be class numbers or names: got shape \\(1, 2\\)"):
        from_tonic(Recordings([(events, (1, 2))]), (34, 34, 2))
    with pytest.raises(EventStreamError, match=r"Recordings\[0\]: event \d: x = \d+ is outside 0\.\.1"):
        from_tonic(Recordings([(events, 0)]), (2, 34, 2)).stream(0)
