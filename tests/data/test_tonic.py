"""Our events and data sets inside tonic, and tonic's inside ours."""

from __future__ import annotations

import numpy as np
import pytest

from eventsnn.data import NMNIST, ListDataset, from_tonic
from eventsnn.events import EVENT_DTYPE, EventStream, write
from tests.events.helpers import random_stream
from tests.real_data import real_data

tonic = pytest.importorskip("tonic")

SENSOR = (34, 34, 2)


@pytest.fixture(autouse=True)
def _seed_tonic():
    np.random.seed(0)  # noqa: NPY002 (tonic draws from NumPy's global generator)


@pytest.mark.parametrize(
    "transform",
    [
        lambda t: t.TimeJitter(std=100.0, clip_negative=True, sort_timestamps=True),
        lambda t: t.SpatialJitter(sensor_size=SENSOR, var_x=2, var_y=2, clip_outliers=True),
        lambda t: t.DropEvent(p=0.3),
        lambda t: t.RandomFlipPolarity(p=1.0),
        lambda t: t.RandomFlipLR(sensor_size=SENSOR, p=1.0),
        lambda t: t.MergePolarities(),
        lambda t: t.Denoise(filter_time=20_000),
        lambda t: t.RefractoryPeriod(delta=5000),
        lambda t: t.TimeSkew(coefficient=1.1, offset=50),
        lambda t: t.UniformNoise(sensor_size=SENSOR, n=100),
        lambda t: t.CropTime(max=100_000),
    ],
)
def test_transforms_accept_our_events_and_return_valid_ones(transform):
    source = ListDataset([random_stream(2000)], [0])
    before, _ = source[0]
    events, _ = source[0]
    changed = transform(tonic.transforms)(events)
    assert changed.dtype.names == EVENT_DTYPE.names
    stream = EventStream.from_structured(changed, SENSOR)  # raises if unsorted or outside
    assert len(stream) > 100
    assert stream != EventStream(before, SENSOR)


def test_compose_ending_in_our_stream():
    transforms = tonic.transforms
    pipeline = transforms.Compose(
        [
            transforms.TimeJitter(std=50.0, clip_negative=True, sort_timestamps=True),
            transforms.SpatialJitter(sensor_size=SENSOR, clip_outliers=True),
            transforms.DropEvent(p=0.2),
            transforms.RandomFlipPolarity(p=0.2),
            transforms.MergePolarities(),
            lambda events: EventStream.from_structured(events, (34, 34, 1)),
        ]
    )
    # A stream's own array is read-only: transforms must copy it, and do.
    stream = pipeline(random_stream(2000).events)
    assert isinstance(stream, EventStream)
    assert 1400 < len(stream) <= 1600
    assert stream.n_inputs == 34 * 34


def test_to_frame_counts_our_events():
    stream = random_stream(500)
    frame = tonic.transforms.ToFrame(sensor_size=SENSOR, n_event_bins=1)(np.array(stream))
    counts = np.bincount(stream.input_indices(), minlength=2 * 34 * 34)
    np.testing.assert_array_equal(frame.reshape(-1), counts)


@pytest.fixture
def folder(tmp_path):
    for label in range(3):
        (tmp_path / "data" / str(label)).mkdir(parents=True)
        write(tmp_path / "data" / str(label) / "1.bin", random_stream(600, seed=label))
    return tmp_path / "data"


def test_our_folder_inside_tonics_wrappers(folder, tmp_path):
    source = NMNIST(folder)
    slicer = tonic.slicers.SliceByTime(time_window=100_000)
    sliced = tonic.SlicedDataset(source, slicer=slicer, metadata_path=str(tmp_path / "meta"))
    parts = [sliced[index] for index in range(len(sliced))]
    assert [label for _, label in parts] == [0, 0, 1, 1, 2, 2]
    assert all(np.ptp(events["t"]) < 100_000 for events, _ in parts)
    cached = tonic.DiskCachedDataset(source, cache_path=str(tmp_path / "cache"))
    for _ in range(2):  # the second time from the cache
        events, label = cached[2]
        assert label == 2
        np.testing.assert_array_equal(events["t"], source[2][0]["t"])


def test_tonics_wrappers_inside_ours(folder):
    source = NMNIST(folder)
    cached = tonic.MemoryCachedDataset(source, transform=tonic.transforms.CropTime(max=100_000))
    ours = from_tonic(cached, source.sensor_size)
    assert ours.labels.tolist() == [0, 1, 2]
    assert ours.stream(1) == source.stream(1).window(0, 100_001)


def test_same_events_as_tonic_from_real_files():
    source = NMNIST(real_data("nmnist-1k"))
    from tonic.io import read_mnist_file

    for index in range(0, 1000, 50):
        theirs = read_mnist_file(source.paths[index], dtype=tonic.datasets.NMNIST.dtype)
        assert EventStream.from_structured(theirs, source.sensor_size) == source.stream(index)
