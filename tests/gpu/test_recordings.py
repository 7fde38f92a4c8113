"""Recordings on a device: mini-batches with the bits of the CPU's, resident or not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

import eventsnn as es
from eventsnn.data import Augmentation, Distortion, ListDataset, Packed, pack
from eventsnn.data.views import make_subset
from eventsnn.data.words import read_words
from eventsnn.errors import EventFileError, TrainingError
from eventsnn.events.packed_events import from_packed_events
from eventsnn.gpu.emulated import EmulatedDevice
from eventsnn.gpu.recordings import DeviceLoader, DeviceRecordings, gaussian_weights, refusal
from eventsnn.model import RunSettings
from eventsnn.train.batches import BatchLoader
from tests.gpu.emulation import needs_emulation

pytestmark = needs_emulation

SENSOR = (9, 7, 2)
INPUTS = math.prod(SENSOR)


def make_set(sizes=(200, 0, 1, 300, 40), sensor=SENSOR, seed=1, longest_us=4000):
    """Recordings with many simultaneous events."""
    rng = np.random.default_rng(seed)
    streams = []
    for n in sizes:
        x, y, p = (rng.integers(0, size, n) for size in sensor)
        t = np.sort(rng.integers(0, longest_us, n))
        streams.append(es.EventStream.from_arrays(t, x, y, p, sensor_size=sensor))
    return ListDataset(streams, np.arange(len(sizes)) % 3)


def assert_same(device_batch, batch):
    times, neurons, ptr = device_batch.arrivals.read()
    np.testing.assert_array_equal(ptr, batch.ptr)
    np.testing.assert_array_equal(times, batch.times)
    np.testing.assert_array_equal(neurons, batch.neurons)
    np.testing.assert_array_equal(device_batch.indices, batch.indices)
    np.testing.assert_array_equal(device_batch.labels, batch.labels)
    assert device_batch.duration == batch.duration
    np.testing.assert_array_equal(device_batch.last.read(), batch.arrivals.last_times)


augmentations = st.builds(
    Augmentation,
    shift=st.integers(0, 3),
    drop=st.sampled_from([0.0, 0.3]),
    time_scale=st.sampled_from([0.0, 0.2]),
    jitter=st.sampled_from([0.0, 20.0, 3000.0]),
    flip=st.sampled_from([0.0, 0.5, 1.0]),
    time_shift=st.sampled_from([0.0, 1500.0, 1e5]),
    mask_x=st.sampled_from([0, 4, 20]),
    mask_time=st.sampled_from([0.0, 900.0]),
)
distortions = st.none() | st.builds(
    Distortion,
    elastic=st.sampled_from([0.0, 8.0]),
    smoothing=st.sampled_from([0.7, 2.0]),
    scale=st.sampled_from([0.0, 0.2]),
    rotation=st.sampled_from([0.0, 30.0]),
)


@settings(max_examples=40, deadline=None)
@given(
    change=augmentations,
    distortion=distortions,
    sensor=st.sampled_from([SENSOR, (40, 1, 1), (5, 6, 1)]),
    duration=st.sampled_from([None, 2.5]),
    seed=st.integers(0, 2**70),
    epoch=st.integers(0, 5),
    room=st.sampled_from([None, 0, 2500]),
    backwards=st.booleans(),
)
def test_same_bits_as_on_the_cpu(change, distortion, sensor, duration, seed, epoch, room, backwards):
    data, device = make_set(sensor=sensor), EmulatedDevice(backwards=backwards)
    rest = (math.prod(sensor), change, seed, distortion, RunSettings(duration_ms=duration))
    recordings = DeviceRecordings(device, data, most_bytes=room)
    assert recordings.resident == {None: 5, 0: 0, 2500: 3}[room]
    indices = [3, 0, 1, 2, 4, 3]
    expected = BatchLoader(data, *rest).prepare(indices, epoch)
    assert_same(DeviceLoader(recordings, *rest).prepare(indices, epoch), expected)


def test_same_events_as_the_twin_gives():
    data = make_set((250,))
    change = Augmentation(shift=2, drop=0.2, time_scale=0.1, jitter=100.0, flip=0.5, time_shift=300.0)
    change = replace(change, mask_x=2, mask_time=200.0)
    loader = DeviceLoader(DeviceRecordings(EmulatedDevice(), data), INPUTS, change, seed=4)
    for epoch in range(3):
        found = loader.prepare([0], epoch)
        events = change.apply(data.stream(0).events, SENSOR, 4, epoch, 0)
        neurons = (events["p"] * SENSOR[1] + events["y"]) * SENSOR[0] + events["x"]
        order = np.lexsort((neurons, events["t"]))
        times, sources, ptr = found.arrivals.read()
        assert 50 < ptr[-1] == len(events)
        np.testing.assert_array_equal(times, events["t"][order] / 1000)
        np.testing.assert_array_equal(sources, neurons[order])


def test_a_batch_is_the_same_whoever_is_in_it():
    change, data = Augmentation(shift=1, drop=0.1, time_scale=0.1), make_set()
    loader = DeviceLoader(DeviceRecordings(EmulatedDevice(), data), INPUTS, change, seed=2)
    whole = loader.prepare([4, 3, 0], 1)
    times, _, ptr = whole.arrivals.read()
    for place, index in enumerate(whole.indices.tolist()):
        alone = loader.prepare([index], 1).arrivals.read()[0]
        np.testing.assert_array_equal(alone, times[ptr[place] : ptr[place + 1]])


def test_a_part_of_a_batch_has_its_own_events_alone():
    loader = DeviceLoader(DeviceRecordings(EmulatedDevice(), make_set((40, 0, 90, 0, 70))), INPUTS)
    whole = loader.prepare([0, 1, 2, 3, 4], 0)
    assert whole.part(slice(0, 5)) is whole
    times, sources, ptr = whole.arrivals.read()
    for part in (slice(1, 5), slice(0, 3), slice(3, 4)):
        taken = whole.part(part)
        found = taken.part(slice(1, len(taken)))
        for batch, start in ((taken, part.start), (found, part.start + 1)):
            events = slice(ptr[start], ptr[part.stop])
            assert batch.most_events == events.stop - events.start
            for one, other in zip(batch.arrivals.read(), (times[events], sources[events]), strict=False):
                np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(batch.last.read(), whole.last.read()[start : part.stop])
            np.testing.assert_array_equal(batch.indices, np.arange(start, part.stop))


def test_nothing_to_prepare():
    loader = DeviceLoader(DeviceRecordings(EmulatedDevice(), make_set()), INPUTS)
    batch = loader.prepare([], 0)
    assert (len(batch), batch.arrivals.read()[2].tolist()) == (0, [0])
    with pytest.raises(IndexError, match=r"recordings are numbered 0 \.\. 4: got \[5\]"):
        loader.prepare([5], 0)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_weights_of_the_gaussian_are_those_of_scipy(sigma):
    weights = gaussian_weights(sigma)
    impulse = np.zeros(2 * len(weights) + 1)
    impulse[len(weights)] = 1.0
    response = gaussian_filter1d(impulse, sigma, mode="constant", truncate=2.5)
    np.testing.assert_array_equal(response[response > 0], weights)


def test_words_of_every_kind_of_set(tmp_path):
    data = make_set()
    file = tmp_path / "set.esp"
    pack(data, file)
    packed = Packed(file)
    part = make_subset(make_subset(packed, [4, 3, 0, 2, 1]), [4, 3, 0, 2, 1])  # 1 2 4 0 3
    for source, chosen in ((data, [3, 1, 3]), (packed, [3, 1, 3]), (part, [4, 0, 4])):
        words, sizes = read_words(source, np.array(chosen))
        assert sizes.tolist() == [300, 0, 300]
        for half in (words[:300], words[300:]):
            np.testing.assert_array_equal(from_packed_events(half, SENSOR), data.stream(3).events)
    words, sizes = read_words(packed, np.zeros(0, np.int64))
    assert (len(words), len(sizes)) == (0, 0)


@pytest.mark.parametrize("room", [None, 0], ids=["resident", "on the host"])
def test_a_damaged_recording_is_left_out_or_an_error(tmp_path, room):
    file = tmp_path / "set.esp"
    pack(make_set(), file)
    bytes_ = bytearray(file.read_bytes())
    bytes_[64 + 8 * 100] ^= 1  # of recording 0
    file.write_bytes(bytes_)
    with pytest.raises(EventFileError, match=r"recording 0 .* its checksum is wrong"):
        DeviceLoader(DeviceRecordings(EmulatedDevice(), Packed(file), most_bytes=room), INPUTS).prepare(
            [0], 0
        )
    skipping = Packed(file, bad_files="skip")
    loader = DeviceLoader(DeviceRecordings(EmulatedDevice(), skipping, most_bytes=room), INPUTS)
    assert_same(loader.prepare([3, 0, 4], 0), BatchLoader(skipping, INPUTS).prepare([3, 0, 4], 0))
    assert len(skipping.skipped) == 1


@pytest.mark.parametrize("room", [None, 0], ids=["resident", "on the host"])
def test_events_that_the_sensor_cannot_have_sent(room):
    class Wrong(ListDataset):
        def stream(self, index):
            stream = super().stream(index)
            events = stream.events.copy()
            if index == 3:
                events["x"][7] = SENSOR[0]
            return es.EventStream._trusted(events, stream.sensor_size, stream.origin_us)

    data = make_set()
    wrong = Wrong([data.stream(i) for i in range(5)], data.labels)
    with pytest.raises(TrainingError, match=r"events outside sensor \(9, 7, 2\) or not in order of time"):
        DeviceLoader(DeviceRecordings(EmulatedDevice(), wrong, most_bytes=room), INPUTS).prepare([2, 3], 0)


def test_only_the_recordings_that_are_wanted_are_read():
    device, data = EmulatedDevice(), make_set()
    recordings = DeviceRecordings(device, data, [4, 2])
    assert (recordings.resident, recordings.words.size) == (2, 41)
    assert_same(
        DeviceLoader(recordings, INPUTS).prepare([0, 4], 0), BatchLoader(data, INPUTS).prepare([0, 4], 0)
    )


def test_many_recordings_are_copied_in_pieces(monkeypatch):
    monkeypatch.setattr("eventsnn.gpu.recordings.TOGETHER", 3)
    data = make_set((5, 6, 0, 7, 8, 9, 10, 0, 11))
    for most, resident in ((None, 9), (8 * 26, 5), (8 * 25, 4), (8 * 18, 4), (8 * 17, 3)):
        recordings = DeviceRecordings(EmulatedDevice(), data, most_bytes=most)
        assert recordings.resident == resident
        indices = [8, 0, 7, 3, 5, 4, 2, 6, 1]
        batch = DeviceLoader(recordings, INPUTS).prepare(indices, 0)
        assert_same(batch, BatchLoader(data, INPUTS).prepare(indices, 0))


def test_what_the_host_has_to_do():
    data = make_set()
    assert refusal(data, Augmentation(shift=1, jitter=5.0)) is None
    assert "tonic" in str(refusal(data, Augmentation(transforms=[{"name": "UniformNoise", "n": 3}])))
    assert "stabilise" in str(refusal(data, None, RunSettings(stabilise="nmnist")))
    recordings = DeviceRecordings(EmulatedDevice(), data)
    with pytest.raises(TrainingError, match="prepared on the device: stabilise"):
        DeviceLoader(recordings, INPUTS, settings=RunSettings(stabilise="nmnist"))
    with pytest.raises(TrainingError, match="has 126 inputs, the network 5"):
        DeviceLoader(recordings, 5)
