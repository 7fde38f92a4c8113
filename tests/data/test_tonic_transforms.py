"""Each of tonic's transforms: as part of an augmentation, and as a data set's own."""

from __future__ import annotations

from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eventsnn.data import Augmentation, from_tonic
from eventsnn.data.augment import TRANSFORMS
from eventsnn.data.draws import AUGMENT, draw, make_key
from eventsnn.errors import EventStreamError, TrainingError
from eventsnn.events import EVENT_DTYPE, EventStream
from tests.data.tonic_layouts import LAYOUTS
from tests.events.helpers import random_stream

tonic = pytest.importorskip("tonic")

SENSOR, LINE = (34, 34, 2), (64, 1, 1)
OF_EVENTS: list[dict[str, Any]] = [
    {"name": "CenterCrop", "size": 20},
    {"name": "CenterCrop", "size": [20, 10]},
    {"name": "CropTime", "max": 100_000},
    {"name": "CropTime", "min": 1000},
    {"name": "Decimation", "n": 3},
    {"name": "Denoise", "filter_time": 30_000},
    {"name": "Downsample", "spatial_factor": 0.5, "time_factor": 0.5},
    {"name": "Downsample", "target_size": [17, 17]},
    {"name": "DropEvent", "p": 0.3},
    {"name": "DropEvent", "p": [0.1, 0.5]},
    {"name": "DropEventByArea", "area_ratio": 0.3},
    {"name": "DropEventByTime", "duration_ratio": [0.1, 0.5]},
    {"name": "DropPixel", "coordinates": [[1, 2], [3, 4]]},
    {"name": "DropPixel", "hot_pixel_frequency": 4},
    {
        "name": "EventDownsampling",
        "target_size": [17, 17],
        "dt": 20.0,
        "downsampling_method": "integrator",
        "noise_threshold": 1,
    },
    {
        "name": "EventDownsampling",
        "target_size": [17, 17],
        "dt": 20.0,
        "downsampling_method": "differentiator",
        "noise_threshold": 1,
        "differentiator_time_bins": 2,
    },
    {"name": "EventDrop"},
    {"name": "MergePolarities"},
    {"name": "RandomCrop", "target_size": [20, 20]},
    {"name": "RandomDropPixel", "p": 0.2},
    {"name": "RandomFlipLR", "p": 1.0},
    {"name": "RandomFlipPolarity", "p": 1.0},
    {"name": "RandomFlipUD", "p": 1.0},
    {"name": "RandomTimeReversal", "p": 1.0},
    {"name": "RefractoryPeriod", "delta": 5000},
    {"name": "RefractoryPeriod", "delta": [2000, 9000]},
    {"name": "SpatialJitter", "var_x": 3.0, "var_y": 3.0},
    {"name": "TimeAlignment"},
    {"name": "TimeJitter", "std": 5000.0, "clip_negative": False},
    {"name": "TimeSkew", "coefficient": [0.5, 1.5], "offset": -1000},
    {"name": "UniformNoise", "n": 50},
    {"name": "UniformNoise", "n": [20, 60]},
]
OF_FRAMES: list[dict[str, Any]] = [
    {"name": "ToAveragedTimesurface"},
    {"name": "ToFrame", "n_time_bins": 3},
    {"name": "ToImage"},
    {"name": "ToTimesurface", "dt": 10_000, "tau": 5000},
    {"name": "ToVoxelGrid", "n_time_bins": 3},
]
# Of frames, of targets, or for PyTorch.
OTHERS = {"NumpyAsType", "Repeat", "ToBinaRep", "ToOneHotEncoding", "ToSparseTensor"}


def name(transform: dict[str, Any]) -> str:
    return "-".join(str(value) for value in transform.values())


EVENTS = pytest.mark.parametrize("transform", OF_EVENTS, ids=name)


def make(transform: dict[str, Any], sensor: tuple[int, int, int]) -> Any:
    """tonic's object of a table, as a user of tonic makes it."""
    cls = getattr(tonic.transforms, transform["name"])
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in transform.items() if k != "name"}
    if "sensor_size" in cls.__dataclass_fields__:
        arguments["sensor_size"] = sensor
    return cls(**arguments)


def rows(events: np.ndarray) -> list[tuple[int, ...]]:
    """Events as plain numbers, in order of all fields: a twin that sorts nothing by itself."""
    return sorted(tuple(int(event[field]) for field in "txyp") for event in events)


def rows_inside(events: np.ndarray) -> list[tuple[int, ...]]:
    """Those of 34 x 34 pixels and from 0 on."""
    if events.dtype.names is None:
        assert events.shape == (0,)  # Decimation without an event left
        return []
    return [row for row in rows(events) if row[0] >= 0 and 0 <= row[1] < 34 and 0 <= row[2] < 34]


def test_all_of_tonics_transforms_are_here() -> None:
    here = {transform["name"] for transform in OF_EVENTS + OF_FRAMES} | OTHERS
    theirs = {key for key, value in vars(tonic.transforms).items() if is_dataclass(value)}
    assert theirs - here == set()


@EVENTS
def test_as_augmentation_it_gives_tonics_events_that_are_valid(transform: dict[str, Any]) -> None:
    stream = random_stream(1500)
    change = Augmentation(transforms=[transform])
    changed = change.apply(stream.events, SENSOR, seed=1)
    EventStream(changed, SENSOR)  # raises if unsorted or outside
    assert len(changed) > 50
    again = change.apply(stream.events, SENSOR, seed=1)
    np.testing.assert_array_equal(changed, again)
    bits = draw(make_key(1, AUGMENT, 0, 0), TRANSFORMS)
    np.random.seed([bits & 0xFFFFFFFF, bits >> 32])  # noqa: NPY002
    assert rows(changed) == rows_inside(make(transform, SENSOR)(stream.events.copy()))


@EVENTS
def test_as_a_data_sets_own_transform(transform: dict[str, Any], tmp_path: Path) -> None:
    layout = LAYOUTS["NMNIST"]
    theirs = layout.make(tmp_path, transform=make(transform, layout.sensor))
    ours = from_tonic(layout.make(tmp_path, transform=make(transform, layout.sensor)))
    for index in range(3):
        np.random.seed(index)  # noqa: NPY002
        stream = ours.stream(index)
        EventStream(stream.events, layout.sensor)  # raises if unsorted or outside
        np.random.seed(index)  # noqa: NPY002
        assert rows(stream.events) == rows_inside(theirs[index][0])


def test_composed(tmp_path: Path) -> None:
    layout = LAYOUTS["DVSGesture"]
    t = tonic.transforms
    composed = t.Compose([t.Denoise(filter_time=10**6), t.TimeJitter(std=9e4), t.DropEvent(p=0.1)])
    stream = from_tonic(layout.make(tmp_path, transform=composed)).stream(0)
    EventStream(stream.events, layout.sensor)
    change = Augmentation(transforms=[{"name": "Compose", "transforms": []}])
    with pytest.raises(TrainingError, match="instead of Compose, list its transforms"):
        change.make_transforms(SENSOR)


@pytest.mark.parametrize("transform", OF_FRAMES, ids=name)
def test_what_gives_frames_is_refused(transform: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=f"transform {transform['name']} does not give events; choose"):
        Augmentation(transforms=[transform]).apply(random_stream(500).events, SENSOR, seed=1)
    layout = LAYOUTS["NMNIST"]
    source = from_tonic(layout.make(tmp_path, transform=make(transform, layout.sensor)))
    with pytest.raises(EventStreamError, match=r"NMNIST\[0\]: the data set's transform gives no events but"):
        source.stream(0)


@pytest.mark.parametrize("text", ["RandomFlipPolarity", "RandomTimeReversal"])
def test_a_cochlea_keeps_its_events_where_polarities_are_inverted(text: str) -> None:
    """They have none: all were outside the sensor, and dropped."""
    events = random_stream(200, sensor_size=LINE).events
    changed = Augmentation(transforms=[{"name": text, "p": 1.0}]).apply(events, LINE, seed=1)
    assert len(changed) == 200
    assert not changed["p"].any()


@pytest.mark.parametrize(
    "transform",
    [
        {"name": "UniformNoise", "n": 50},
        {"name": "RandomFlipPolarity", "p": 1.0},
        {"name": "TimeJitter", "std": 9e4},
        {"name": "DropEvent", "p": 0.2},
        {"name": "TimeSkew", "coefficient": 1.5},
    ],
    ids=name,
)
def test_sounds_with_a_transform_of_their_own(transform: dict[str, Any], tmp_path: Path) -> None:
    layout = LAYOUTS["SHD"]
    source = from_tonic(layout.make(tmp_path, transform=make(transform, layout.sensor)))
    for index in range(3):
        stream = source.stream(index)
        EventStream(stream.events, layout.sensor)
        assert len(stream) > 25


def test_a_crop_does_not_keep_the_end_of_another_recording() -> None:
    """tonic's CropTime without `max` keeps the first end that it meets: results would depend on the order."""
    short, long = random_stream(50).window(0, 50_000), random_stream(400, seed=1)
    change = Augmentation(transforms=[{"name": "CropTime", "min": 10}])
    change.apply(short.events, SENSOR, seed=1)
    assert change.apply(long.events, SENSOR, seed=1)["t"][-1] == long.t_last


def test_recordings_that_become_empty_stay_so() -> None:
    steps = [{"name": "CropTime", "min": 10**9}, {"name": "TimeAlignment"}, {"name": "CropTime"}]
    changed = Augmentation(transforms=steps).apply(random_stream(50).events, SENSOR, seed=1)
    assert (len(changed), changed.dtype) == (0, EVENT_DTYPE)


def test_without_a_transform_events_out_of_order_are_still_errors() -> None:
    events = random_stream(50).events[::-1].copy()
    with pytest.raises(EventStreamError, match="sort the events by time first"):
        from_tonic([(events, 0)], SENSOR).stream(0)
