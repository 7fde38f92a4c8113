"""Parts of data sets."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import eventsnn as es
from eventsnn.data import (
    Augmentation,
    Folder,
    Images,
    ListDataset,
    Packed,
    from_tonic,
    k_fold,
    pack,
    split_validation,
)
from eventsnn.errors import TrainingError
from eventsnn.train.batches import BatchLoader
from tests.train.toy import SENSOR, toy_data, toy_network, write_toy_folder


def make_folder(tmp_path):
    return Folder(write_toy_folder(tmp_path / "set", 12), sensor=SENSOR)


def make_packed(tmp_path):
    pack(make_folder(tmp_path), tmp_path / "set.esp")
    return Packed(tmp_path / "set.esp")


def make_tonic(tmp_path):
    data = toy_data(12)
    return from_tonic([(data.stream(k).events, int(data.labels[k])) for k in range(12)], SENSOR)


def make_images(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(12, 4, 4), dtype=np.uint8)
    return Images(pixels, np.arange(12) % 3)


MAKERS = [make_folder, make_packed, make_tonic, make_images, lambda path: toy_data(12)]


@pytest.mark.parametrize("make", MAKERS)
def test_a_subset_is_those_recordings(make, tmp_path):
    data = make(tmp_path)
    part = data.subset([7, -1, 0])
    assert len(part) == 3
    assert part.labels.tolist() == [int(data.labels[k]) for k in (7, 11, 0)]
    assert part.paths == [data.paths[k] for k in (7, 11, 0)]
    assert (part.classes, part.sensor_size) == (tuple(data.classes), data.sensor_size)
    for number, index in enumerate((7, 11, 0)):
        assert part.stream(number) == data.stream(index) == part.read_or_none(number)
        assert part[number][1] == data[index][1]
    assert part.subset([2]).stream(0) == data.stream(0)
    assert pickle.loads(pickle.dumps(part)).stream(1) == data.stream(11)
    assert repr(part).startswith(f"<{type(part).__name__} of 3 recordings of <{type(data).__name__}")
    assert data.subset(np.arange(12) == 4).paths == [data.paths[4]]


@pytest.mark.parametrize("make", MAKERS)
def test_training_sees_the_same_events(make, tmp_path):
    """The quick ways, undecoded and coded, lead to the same recordings."""
    data = make(tmp_path)
    inputs = int(np.prod(data.sensor_size))
    whole, part = BatchLoader(data, inputs), BatchLoader(data.subset([7, 11, 0]), inputs)
    for epoch in (0, 3):
        a, b = whole.prepare([7, 11, 0], epoch), part.prepare([0, 1, 2], epoch)
        assert a.times.tolist() == b.times.tolist()
        assert a.neurons.tolist() == b.neurons.tolist()
        assert a.labels.tolist() == b.labels.tolist()


@pytest.mark.parametrize("indices", [[], [12], [-13], [0.5], [[1]], [True], "ab", None])
def test_indices_that_are_none(indices):
    with pytest.raises(TrainingError, match="a subset"):
        toy_data(12).subset(indices)


def test_cross_validation_and_validation_by_hand(tmp_path):
    data = toy_data(12)
    parts = [*k_fold(data.labels, 3, seed=1), split_validation(data.labels, 0.25, 1)]
    for number, (training, validation) in enumerate(parts):
        fit = es.train(
            toy_network(),
            data.subset(training),
            valid=data.subset(validation),
            epochs=1,
            augmentation=Augmentation(shift=1),
            out=tmp_path / str(number),
            threads=1,
        )
        assert fit.valid_accuracy == es.evaluate(fit.network, data.subset(validation), threads=1).accuracy


def test_bad_recordings_of_the_subset_alone_are_noted(tmp_path):
    data = Folder(write_toy_folder(tmp_path, 6), sensor=SENSOR, bad_files="skip")
    for index in (1, 4):
        with open(data.paths[index], "wb") as file:
            file.write(b"\0\0\0")
    part = data.subset([4, 5])
    assert [data.read_or_none(k) is None for k in range(6)] == [False, True, False, False, True, False]
    assert part.read_or_none(0) is None
    assert [path for path, _ in part.skipped] == [data.paths[4]]


def test_lists_of_arrays():
    streams = [toy_data(3).stream(k) for k in range(3)]
    arrays = [np.array(stream.events) for stream in streams]
    data = ListDataset(arrays, [0, 1, 2], sensor_size=SENSOR)
    assert [data.stream(k) for k in range(3)] == streams
    free = ListDataset(arrays, [0, 1, 2])
    assert free.sensor_size == tuple(max(int(a[f].max()) for a in arrays) + 1 for f in "xyp")
    assert ListDataset([streams[0], *arrays[1:]], [0, 1, 2]).sensor_size == SENSOR
    with pytest.raises(es.EventStreamError, match=r"sample 1: .*fields"):
        ListDataset([arrays[0], np.zeros((4, 4))], [0, 1])
    pairs = list(zip(arrays, (0, 1, 2), strict=True))
    assert es.evaluate(toy_network(), pairs).n == 3
    for wrong, text in (
        (arrays, "item 0 of the list of recordings is not a pair"),
        (arrays[0], "a data set is needed"),
        ("recordings", "a data set is needed"),
        (None, "a data set is needed"),
        ({"a": 1}, "a data set is needed"),
        (Folder, "got the class Folder itself"),
    ):
        with pytest.raises(TrainingError, match=text):
            es.evaluate(toy_network(), wrong)
