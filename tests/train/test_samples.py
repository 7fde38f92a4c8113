"""From recordings to arrays: order, units, augmentation that depends on seed, epoch and recording alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from eventsnn.data import NMNIST, Augmentation
from eventsnn.errors import EventFileError
from eventsnn.events import EventStream
from eventsnn.train.samples import cut, read_batch, shuffled, to_arrays
from tests.events.helpers import streams
from tests.train.toy import SENSOR, toy_data, write_toy_folder

AUGMENTATION = Augmentation(shift=1, drop=0.2, time_scale=0.3)


@settings(max_examples=100, deadline=None)
@given(streams(width=7, height=3, most=40))
def test_arrays_are_the_stream_sorted_by_time_and_neuron(stream):
    times, neurons = to_arrays(stream)
    assert (times.dtype, neurons.dtype) == (np.float64, np.int32)
    order = np.lexsort((stream.input_indices(), stream.times_ms()))
    assert times.tobytes() == stream.times_ms()[order].tobytes()
    assert np.array_equal(neurons, stream.input_indices()[order])


def test_late_times_and_large_sensors_do_not_overflow():
    hour = 3_600_000_000
    stream = EventStream.from_arrays(
        [hour, hour, hour + 1], [1279, 3, 0], [719, 0, 0], [1, 0, 0], sensor_size=(1280, 720, 2)
    )
    times, neurons = to_arrays(stream)
    assert times.tolist() == [3_600_000.0, 3_600_000.0, 3_600_000.001]
    assert neurons.tolist() == [3, 1280 * 720 * 2 - 1, 0]


def as_dict(batch):
    """Recording -> (times, neurons) as bytes."""
    pairs = zip(batch.indices.tolist(), batch.samples, strict=True)
    return {index: (times.tobytes(), neurons.tobytes()) for index, (times, neurons) in pairs}


@pytest.mark.parametrize("augmentation", [None, AUGMENTATION])
def test_neither_order_nor_batch_matter(augmentation):
    data = toy_data(12)
    together = as_dict(read_batch(data, np.arange(12), augmentation, 5, 2))
    backwards = as_dict(read_batch(data, np.arange(12)[::-1], augmentation, 5, 2))
    apart = {}
    for part in cut(shuffled(np.arange(12), 1, 0), 5):
        apart |= as_dict(read_batch(data, part, augmentation, 5, 2))
    assert together == backwards == apart
    assert set(together) == set(range(12))


def test_augmentation_is_drawn_anew_for_seed_epoch_and_recording():
    data = toy_data(6)
    same = data.stream(0)
    assert len(same) > 0

    def augmented(seed, epoch, index=0):
        return as_dict(read_batch(data, np.array([index]), AUGMENTATION, seed, epoch))[index]

    plain = as_dict(read_batch(data, np.array([0]), None, 1, 0))[0]
    assert len({plain, augmented(1, 0), augmented(1, 1), augmented(2, 0)}) == 4
    assert augmented(1, 0) == augmented(1, 0)
    # The same recording under two numbers is changed in two ways.
    twice = type(data)([same, same], [0, 0])
    both = as_dict(read_batch(twice, np.arange(2), AUGMENTATION, 1, 0))
    assert both[0] != both[1]


def test_augmentation_is_that_of_the_data_package():
    """Its generator is named by (seed, purpose, epoch, recording); other numbers would be other results."""
    data = toy_data(3)
    batch = read_batch(data, np.array([2]), AUGMENTATION, 5, 4)
    rng = np.random.default_rng([5, 2, 4, 2])
    events = AUGMENTATION.apply(data.stream(2).events, SENSOR, rng)
    expected = to_arrays(EventStream(events, SENSOR))
    assert 0 < len(expected[0]) < len(data.stream(2))
    assert batch.samples[0][0].tobytes() == expected[0].tobytes()
    assert batch.samples[0][1].tobytes() == expected[1].tobytes()


def test_labels_stay_with_their_recordings():
    data = toy_data(9)
    batch = read_batch(data, np.array([7, 2, 3]), None, 0, 0)
    assert batch.indices.tolist() == [7, 2, 3]
    assert batch.labels.tolist() == [1, 2, 0]


def test_bad_recordings_leave_no_gap(tmp_path):
    root = write_toy_folder(tmp_path, 6)
    NMNIST(root, sensor=SENSOR)
    bad = root / "1" / "00004.bin"
    bad.write_bytes(b"123")
    data = NMNIST(root, sensor=SENSOR, on_bad="skip")
    batch = read_batch(data, np.array([5, 3, 2]), None, 0, 0)
    assert data.paths[3] == str(bad)
    assert batch.indices.tolist() == [5, 2]
    assert batch.labels.tolist() == [2, 1]
    assert len(batch.samples) == 2
    assert len(read_batch(data, np.array([3]), None, 0, 0).samples) == 0
    with pytest.raises(EventFileError, match=r"00004\.bin"):
        read_batch(NMNIST(root, sensor=SENSOR), np.array([3]), None, 0, 0)


def test_the_order_of_an_epoch():
    indices = np.array([3, 5, 8, 13, 21])
    first = shuffled(indices, 1, 0)
    assert sorted(first.tolist()) == indices.tolist()
    assert first.tolist() == shuffled(indices, 1, 0).tolist()
    orders = {tuple(shuffled(np.arange(50), seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}
    assert len(orders) == 4


@pytest.mark.parametrize(("n", "sizes"), [(0, []), (4, [4]), (5, [5]), (11, [5, 5, 1])])
def test_mini_batches(n, sizes):
    parts = cut(np.arange(n), 5)
    assert [len(part) for part in parts] == sizes
    assert [index for part in parts for index in part.tolist()] == list(range(n))
