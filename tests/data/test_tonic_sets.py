"""Each of tonic's data sets as it is: labels, sensor, events, and a network that learns from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as es
from eventsnn.data import ListDataset, TonicDataset, from_tonic
from eventsnn.errors import EventStreamError, SimulationError, TrainingError
from eventsnn.events import EventStream
from tests.data.tonic_layouts import LAYOUTS, Layout, write_pixels
from tests.events.helpers import random_stream

tonic = pytest.importorskip("tonic")

EACH = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))


@pytest.fixture(autouse=True)
def _needs_aedat(request: pytest.FixtureRequest) -> None:
    if "CIFAR10DVS" in request.node.name:
        pytest.importorskip("aedat")


def in_order(layout: Layout, source: TonicDataset) -> list[EventStream]:
    """The recordings in the data set's order, which in some classes of tonic's is the file system's."""
    by_class = dict(zip(layout.classes, layout.streams(), strict=True))
    return [by_class[source.classes[label]] for label in source.labels]


@EACH
def test_labels_sensor_and_events_are_those_of_the_files(layout: Layout, tmp_path: Path) -> None:
    source = from_tonic(layout.make(tmp_path))
    assert source.sensor_size == layout.sensor
    assert sorted(source.classes[label] for label in source.labels) == sorted(layout.classes)
    assert not source.numbered
    for index, stream in enumerate(in_order(layout, source)):
        assert source.stream(index) == stream, index


@EACH
def test_a_network_learns_from_it_as_it_is(layout: Layout, tmp_path: Path) -> None:
    dataset = layout.make(tmp_path / "data")
    source = from_tonic(dataset)
    n_classes = len(source.classes)
    network = es.Network(es.Input(*layout.sensor), es.Dense(n_classes, initial_weight=20.0), seed=1)
    options = {"epochs": 1, "valid_fraction": 0.0, "seed": 3, "threads": 1}
    fit = es.train(network, dataset, out=tmp_path / "a", **options)
    memory = ListDataset(in_order(layout, source), source.labels, classes=source.classes)
    other = es.train(network, memory, out=tmp_path / "b", **options)
    for name, weights in fit.network.weights.items():
        assert not np.array_equal(weights, network.weights[name])
        np.testing.assert_array_equal(weights, other.network.weights[name])
    assert es.evaluate(fit.network, dataset).n == len(layout.classes)


@EACH
def test_it_is_packed_as_it_is(layout: Layout, tmp_path: Path) -> None:
    dataset = layout.make(tmp_path)
    es.data.pack(dataset, tmp_path / "set.esp")
    source, packed = from_tonic(dataset), es.data.Packed(tmp_path / "set.esp")
    assert packed.sensor_size == layout.sensor
    found = {packed.classes[label]: packed.stream(index) for index, label in enumerate(packed.labels)}
    assert found == {source.classes[label]: source.stream(index) for index, label in enumerate(source.labels)}


def test_an_item_of_a_data_set_is_no_recording(tmp_path: Path) -> None:
    layout = LAYOUTS["NMNIST"]
    item = layout.make(tmp_path)[0]
    network = es.Network(es.Input(*layout.sensor), es.Dense(3), seed=1)
    for events in (item, (layout.streams()[0], 1)):
        with pytest.raises(
            SimulationError, match="such as the label of a data set's item; give the events alone"
        ):
            es.simulate(network, events)
    assert len(es.simulate(network, item[0])["input"]) == len(item[0])


def test_digit_sequences_of_ntidigits_are_names(tmp_path: Path) -> None:
    source = from_tonic(LAYOUTS["NTIDIGITS18"].make(tmp_path, single_digits=False))
    assert source.classes == ("1", "o", "z")
    assert [source.classes[label] for label in source.labels] == ["o", "1", "z"]


def pixels_crossing(image: np.ndarray) -> list[tuple[int, int]]:
    """(ms, channel) of the events of an image by the description of tonic's class; each comes twice.

    Channels 98 .. 51 are for pixels that rise to a threshold, the 49 below for those that fall, 0 for 255.
    (No pixel rises to the lowest one, which is 0.)
    """
    levels = np.linspace(0.0, 254.0, 49).astype(np.uint8)
    found = []
    for at in range(len(image)):
        for number, level in enumerate(levels):
            if at + 1 < len(image):
                before, after = image[at] >= level, image[at + 1] >= level
                if after and not before:
                    found.append((at, 99 - number))
                if before and not after:
                    found.append((at, 50 - number))
        if image[at] == 255:
            found.append((at, 0))
    return sorted((2 * at + again, channel) for at, channel in found for again in (0, 1))


def test_smnist_is_put_in_order_of_time(tmp_path: Path) -> None:
    images = write_pixels(tmp_path / "smnist")
    cls = type("SMNIST", (tonic.datasets.SMNIST,), {"_check_exists": lambda _: True})
    dataset = cls(str(tmp_path))
    source = from_tonic(dataset)
    assert source.sensor_size == (99, 1, 1)
    assert source.labels.tolist() == [3, 1, 4, 1]
    for index, image in enumerate(images):
        events = source.stream(index).events
        found = sorted(zip((events["t"] // 1000).tolist(), events["x"].tolist(), strict=True))
        assert found == pixels_crossing(image)
    cut = tonic.SlicedDataset(dataset, tonic.slicers.SliceByEventCount(1000))
    assert from_tonic(cut).stream(0).sensor_size == (99, 1, 1)


def test_names_from_a_disk_cache(tmp_path: Path) -> None:
    layout = LAYOUTS["NTIDIGITS18"]
    dataset = layout.make(tmp_path, single_digits=False)
    cached = tonic.DiskCachedDataset(dataset, cache_path=str(tmp_path / "cache"))
    for _ in range(2):  # the second time from the files, which hold names as bytes
        source = from_tonic(cached)
        assert source.classes == ("1", "o", "z")
        assert [source.classes[label] for label in source.labels] == ["o", "1", "z"]
        assert source.stream(2) == from_tonic(dataset).stream(2)


def test_names_of_files_are_no_classes() -> None:
    """ThreeET_Eyetracking lists the files of its targets, which are tables, as targets."""

    class Eyes:
        sensor_size = (34, 34, 2)
        targets = ("labels/1.txt", "labels/2.txt")

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            return random_stream(50).events, np.zeros((3 + index, 4))

    with pytest.raises(
        TrainingError, match="targets must be class numbers or names: got each of type ndarray"
    ):
        from_tonic(Eyes())


def test_a_class_made_from_tonics_has_its_sensor(tmp_path: Path) -> None:
    layout = LAYOUTS["NCALTECH101"]
    dataset = layout.make(tmp_path)
    dataset.__class__ = type("Mine", (type(dataset),), {})
    assert from_tonic(dataset).sensor_size == layout.sensor


def test_recordings_of_a_smaller_sensor_than_stated(tmp_path: Path) -> None:
    layout = LAYOUTS["NCALTECH101"]
    with pytest.raises(
        EventStreamError, match=r"NCALTECH101\[0\]: event \d+: [xy] = .* give the sensor_size"
    ):
        [from_tonic(layout.make(tmp_path), (100, 100, 2)).stream(index) for index in range(3)]


def test_targets_of_different_shapes_are_refused() -> None:
    events = LAYOUTS["NMNIST"].streams()[0].events
    poses = [(events, np.zeros((3, 2))), (events, np.zeros((4, 2)))]
    with pytest.raises(
        TrainingError, match="targets must be class numbers or names: got each of type ndarray"
    ):
        from_tonic(poses, (34, 34, 2))


def test_frames_of_a_transform_are_refused_in_training(tmp_path: Path) -> None:
    layout = LAYOUTS["NMNIST"]
    frames = tonic.transforms.ToFrame(sensor_size=layout.sensor, n_time_bins=3)
    network = es.Network(es.Input(*layout.sensor), es.Dense(3), seed=1)
    text = (
        r"NMNIST\[\d\]: the data set's transform gives no events but ndarray of shape \(3, 2, 34, 34\): leave"
    )
    with pytest.raises(EventStreamError, match=text):
        es.train(
            network,
            layout.make(tmp_path, transform=frames),
            out=tmp_path / "run",
            valid_fraction=0.0,
            threads=1,
        )


def test_wrappers_have_the_facts_of_what_they_wrap(tmp_path: Path) -> None:
    layout = LAYOUTS["DVSGesture"]
    dataset = layout.make(tmp_path)
    plain = from_tonic(dataset)
    sliced = from_tonic(tonic.SlicedDataset(dataset, tonic.slicers.SliceByTimeBins(bin_count=2)))
    assert sliced.sensor_size == layout.sensor
    assert sliced.classes == plain.classes
    assert sliced.labels.tolist() == [label for label in plain.labels for _ in range(2)]
    cached = from_tonic(tonic.MemoryCachedDataset(dataset))
    assert (cached.sensor_size, cached.classes) == (layout.sensor, plain.classes)
    np.testing.assert_array_equal(cached.labels, plain.labels)
    assert cached.stream(1) == plain.stream(1)
    renumbered = tonic.MemoryCachedDataset(dataset, target_transform=lambda label: 5 + label)
    assert from_tonic(renumbered).numbered


def test_long_recordings_are_cut_by_the_page_of_the_manual() -> None:
    """The two ways of docs/data.md give the recordings that a loop over the events finds."""
    page = Path(__file__, "../../../docs/data.md").resolve().read_text(encoding="utf-8")
    section = page.split("### Recordings of many classes")[1]
    recording = random_stream(2000)
    names: dict[str, Any] = {"recording": recording, "es": es, "np": np}
    for block in section.split("```python\n")[1:3]:
        exec(block.split("```")[0], names)
    table = names["table"]
    assert names["parts"].labels.tolist() == [row[0] for row in table]
    assert names["cut_on_access"].labels.tolist() == [row[0] for row in table]
    for index, (_, start, end) in enumerate(table):
        wanted = [tuple(event) for event in recording.events.tolist() if start <= event[2] < end]
        assert len(wanted) > 100
        for source, zero in (("parts", wanted[0][2]), ("cut_on_access", start)):
            found = [tuple(event) for event in names[source].stream(index).events.tolist()]
            assert found == [(x, y, t - zero, p) for x, y, t, p in wanted], source
