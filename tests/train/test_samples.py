"""From recordings to arrays: order, units, augmentation that depends on seed, epoch and recording alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsnn.data import NMNIST, Augmentation, ListDataset
from eventsnn.errors import EventFileError, TrainingError
from eventsnn.events import EventStream, write
from eventsnn.reference.prepare import to_arrays
from eventsnn.train.batches import Batch, BatchLoader, cut, shuffled
from tests.events.helpers import streams
from tests.real_data import real_data
from tests.train.toy import SENSOR, toy_data, write_toy_folder

INPUTS = 6 * 5 * 2

AUGMENTATION = Augmentation(shift=1, drop=0.2, time_scale=0.3)


@settings(max_examples=100, deadline=None)
@given(streams(width=7, height=3, most=40))
def test_arrays_are_the_stream_sorted_by_time_and_neuron(stream):
    times, neurons = to_arrays(stream)
    assert (times.dtype, neurons.dtype) == (np.float64, np.int32)
    t = stream.events["t"]
    expected = (t - t[0] if len(t) and t[0] > 1_000_000 else t) / 1000.0
    order = np.lexsort((stream.input_indices(), expected))
    assert times.tobytes() == expected[order].tobytes()
    assert np.array_equal(neurons, stream.input_indices()[order])


def test_late_times_and_large_sensors_do_not_overflow():
    hour = 3_600_000_000
    stream = EventStream.from_arrays(
        [hour, hour, hour + 1], [1279, 3, 0], [719, 0, 0], [1, 0, 0], sensor_size=(1280, 720, 2)
    )
    times, neurons = to_arrays(stream, 0)
    assert times.tolist() == [3_600_000.0, 3_600_000.0, 3_600_000.001]
    assert neurons.tolist() == [3, 1280 * 720 * 2 - 1, 0]


def as_dict(batch):
    """Recording -> (times, neurons) as bytes."""
    pairs = zip(batch.indices.tolist(), batch.samples, strict=True)
    return {index: (times.tobytes(), neurons.tobytes()) for index, (times, neurons) in pairs}


def by_twin(data, index, augmentation, seed, epoch):
    """What the batch should hold of a recording, in plain NumPy."""
    stream = data.stream(index)
    origin = None
    if augmentation is not None:
        origin = 0
        events = augmentation.apply(stream.events, stream.sensor_size, seed, epoch, index)
        stream = EventStream(events, stream.sensor_size)
    times, neurons = to_arrays(stream, origin)
    return times.tobytes(), neurons.tobytes()


def assert_batch_is_twins(batch, data, augmentation, seed, epoch):
    assert (batch.times.dtype, batch.neurons.dtype, batch.ptr.dtype) == (np.float64, np.int32, np.int64)
    assert batch.ptr[0] == 0
    assert batch.ptr[-1] == len(batch.times) == len(batch.neurons)
    assert len(batch) == len(batch.indices) == len(batch.labels) == len(batch.ptr) - 1
    for index, arrays in as_dict(batch).items():
        assert arrays == by_twin(data, index, augmentation, seed, epoch)


AUGMENTATIONS = st.builds(
    Augmentation, st.integers(0, 4), st.floats(0, 0.9), st.one_of(st.just(0.0), st.floats(0, 0.9))
)
SEEDS = st.one_of(st.integers(0, 9), st.integers(0, 2**70))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(streams(width=7, height=3, most=60), min_size=1, max_size=3),
    AUGMENTATIONS,
    SEEDS,
    st.integers(0, 2**40),
)
def test_streams_are_prepared_as_by_the_twin(recordings, augmentation, seed, epoch):
    data = ListDataset(recordings, [0] * len(recordings))
    batch = BatchLoader(data, 42, augmentation, seed).prepare(np.arange(len(data)), epoch)
    assert len(batch) == len(data)
    assert_batch_is_twins(batch, data, augmentation, seed, epoch)


@settings(max_examples=60, deadline=None)
@given(recording=streams(most=60), augmentation=AUGMENTATIONS, seed=SEEDS, epoch=st.integers(0, 2**40))
def test_files_are_prepared_as_by_the_twin(tmp_path_factory, recording, augmentation, seed, epoch):
    root = tmp_path_factory.mktemp("files")
    (root / "0").mkdir()
    write(root / "0" / "1.bin", recording)
    data = NMNIST(root)
    batch = BatchLoader(data, 2312, augmentation, seed).prepare([0], epoch)
    assert len(batch) == 1
    assert_batch_is_twins(batch, data, augmentation, seed, epoch)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 300), max_size=400), st.integers(0, 2**16))
def test_many_simultaneous_events_are_sorted_by_neuron(channels, start):
    """Runs longer and shorter than what insertion sorts; a sensor of one line."""
    t = start + np.arange(len(channels)) // 150
    data = ListDataset([EventStream.from_arrays(t, channels, sensor_size=(301, 1, 1))], [0])
    assert_batch_is_twins(BatchLoader(data, 301).prepare([0], 0), data, None, 0, 0)


def test_times_beyond_every_recording_round_like_numpys():
    t = [0, 1, 2**51 - 1, 2**51 + 3, 2**52 + 1, 2**60 + 1]
    streams_of_all_sizes = [EventStream.from_arrays(t[:n], [0] * n, sensor_size=(2, 1, 1)) for n in range(7)]
    data = ListDataset(streams_of_all_sizes, [0] * 7)
    augmentation = Augmentation(time_scale=0.4)
    for epoch in range(20):
        assert_batch_is_twins(
            BatchLoader(data, 2, augmentation).prepare(range(7), epoch), data, augmentation, 0, epoch
        )


@pytest.mark.parametrize("augmentation", [None, AUGMENTATION])
def test_neither_order_nor_batch_nor_threads_matter(augmentation, tmp_path):
    folder = NMNIST(write_toy_folder(tmp_path, 12), sensor=SENSOR)
    for data in (toy_data(12), folder):
        feeder = BatchLoader(data, INPUTS, augmentation, 5)
        together = as_dict(feeder.prepare(np.arange(12), 2))
        backwards = as_dict(feeder.prepare(np.arange(12)[::-1], 2))
        apart = {}
        for part in cut(shuffled(np.arange(12), 1, 0), 5):
            apart |= as_dict(feeder.prepare(part, 2))
        with ThreadPoolExecutor(4) as pool:
            threads = list(pool.map(feeder.prepare_part, range(12), [2] * 12))
        assert together == backwards == apart == as_dict(Batch.join(threads))
        assert set(together) == set(range(12))


def test_parts_join_to_the_batch():
    data = toy_data(9)
    feeder = BatchLoader(data, INPUTS, AUGMENTATION, 1)
    whole = feeder.prepare([7, 2, 3], 4)
    joined = Batch.join([feeder.prepare_part(7, 4), feeder.prepare([], 4), feeder.prepare([2, 3], 4)])
    for name in ("times", "neurons", "ptr", "indices", "labels"):
        assert getattr(joined, name).dtype == getattr(whole, name).dtype
        assert getattr(joined, name).tobytes() == getattr(whole, name).tobytes()


def test_augmentation_is_drawn_anew_for_seed_epoch_and_recording():
    data = toy_data(6)
    same = data.stream(0)
    assert len(same) > 0

    def augmented(seed, epoch, index=0):
        return as_dict(BatchLoader(data, INPUTS, AUGMENTATION, seed).prepare([index], epoch))[index]

    plain = as_dict(BatchLoader(data, INPUTS).prepare([0], 0))[0]
    assert len({plain, augmented(1, 0), augmented(1, 1), augmented(2, 0)}) == 4
    assert augmented(1, 0) == augmented(1, 0)
    # The same recording under two numbers is changed in two ways.
    twice = type(data)([same, same], [0, 0])
    both = as_dict(BatchLoader(twice, INPUTS, AUGMENTATION, 1).prepare([0, 1], 0))
    assert both[0] != both[1]


def test_real_recordings_are_prepared_as_by_the_twin():
    data = NMNIST(real_data("nmnist-1k"))
    augmentation = Augmentation(shift=1, drop=0.1, time_scale=0.1)
    for change in (None, augmentation):
        batch = BatchLoader(data, 2312, change, 3).prepare(np.arange(0, 1000, 37), 1)
        assert_batch_is_twins(batch, data, change, 3, 1)


def test_labels_stay_with_their_recordings():
    data = toy_data(9)
    batch = BatchLoader(data, INPUTS).prepare([7, 2, 3], 0)
    assert batch.indices.tolist() == [7, 2, 3]
    assert batch.labels.tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"123", r"00004\.bin, byte 0: the last record is cut"),
        (b"", r"00004\.bin, byte 0: the file is empty"),
        (bytes([0, 0, 0, 0, 9, 0, 0, 0, 0, 8]), r"00004\.bin, byte 5: time runs backwards"),
        (bytes([6, 0, 0, 0, 9]), r"00004\.bin, byte 0: an event at x=6, y=0"),
        (None, r"00004\.bin: no such file"),
    ],
)
def test_bad_recordings_leave_no_gap(tmp_path, content, text):
    root = write_toy_folder(tmp_path, 6)
    bad = root / "1" / "00004.bin"
    data, strict = NMNIST(root, sensor=SENSOR, bad_files="skip"), NMNIST(root, sensor=SENSOR)
    bad.unlink()
    if content is not None:
        bad.write_bytes(content)
    feeder = BatchLoader(data, INPUTS)
    batch = feeder.prepare([5, 3, 2], 0)
    assert data.paths[3] == str(bad)
    assert batch.indices.tolist() == [5, 2]
    assert batch.labels.tolist() == [2, 1]
    assert_batch_is_twins(batch, data, None, 0, 0)
    assert len(feeder.prepare_part(3, 0)) == len(feeder.prepare_part(3, 0).times) == 0
    assert [path for path, _ in data.skipped] == [str(bad)]
    with pytest.raises(EventFileError, match=text):
        BatchLoader(strict, INPUTS).prepare([3], 0)


@pytest.mark.parametrize("indices", [[3], [-1], [0, 2, 99]])
def test_there_is_no_such_recording(indices):
    with pytest.raises(IndexError, match=r"recordings are numbered 0 \.\. 2: got"):
        BatchLoader(toy_data(3), INPUTS).prepare(indices, 0)


def test_the_sensor_must_fit():
    with pytest.raises(TrainingError, match=r"sensor \(6, 5, 2\) has 60 inputs, the network 2312"):
        BatchLoader(toy_data(3), 2312)
    data = toy_data(3)
    data.sensor_size = (5, 6, 2)
    with pytest.raises(
        TrainingError, match=r"sample 1: its sensor is \(6, 5, 2\), that of the data set \(5, 6, 2\)"
    ):
        BatchLoader(data, INPUTS).prepare([1], 0)


def test_events_that_break_the_rules_of_streams_are_no_crash():
    data = toy_data(2)
    events = data.stream(1).events.copy()
    events["t"] = events["t"][::-1]
    data._streams[1] = EventStream._trusted(events, SENSOR)
    with pytest.raises(TrainingError, match="sample 1: events outside sensor"):
        BatchLoader(data, INPUTS).prepare([0, 1], 0)


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
