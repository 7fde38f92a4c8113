"""Jitter, flip and tonic's transforms as augmentation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.data import Augmentation, ListDataset
from eventsnn.errors import TrainingError
from eventsnn.events import EventStream
from eventsnn.reference.prepare import to_arrays
from eventsnn.train.batches import BatchLoader
from eventsnn.train.experiment import Experiment
from tests.events.helpers import random_stream, streams

SENSOR = (34, 34, 2)
INPUTS = 34 * 34 * 2
NETWORK = {"input": {"width": 34, "height": 34, "polarities": 2}, "layers": [{"neurons": 3}]}


@given(streams(), st.floats(0, 1e6), st.floats(0, 1), st.integers(0, 2**70), st.integers(0, 99))
def test_result_is_a_valid_stream_of_the_same_events(stream, jitter, flip, seed, index) -> None:
    before = stream.events.copy()
    changed = Augmentation(jitter=jitter, flip=flip).apply(stream.events, stream.sensor_size, seed, 3, index)
    EventStream(changed, stream.sensor_size)
    np.testing.assert_array_equal(stream.events, before)
    assert len(changed) == len(stream)
    assert sorted(changed[["x", "y"]].tolist()) == sorted(before[["x", "y"]].tolist())


def test_jitter_has_its_deviation_and_no_bias() -> None:
    n = 20_000
    events = EventStream.from_arrays(
        np.arange(n) * 10_000 + 10_000, np.zeros(n, int), sensor_size=(1, 1, 1)
    ).events
    # Gaps are wide enough for the events to stay in order.
    moved = Augmentation(jitter=1000.0).apply(events, (1, 1, 1), seed=1)["t"] - events["t"]
    assert moved.mean() == pytest.approx(0, abs=4 * 1000 / np.sqrt(n))
    assert moved.std() == pytest.approx(1000, rel=4 * np.sqrt(0.5 / n))
    assert np.abs(moved).max() <= 3465
    # Bell-shaped: a uniform number of this deviation would have 57.7 % within one deviation.
    assert 0.63 < (np.abs(moved) < 1000).mean() < 0.70


def test_flip_exchanges_all_polarities_of_that_share_of_recordings() -> None:
    events = random_stream(50).events
    flipped = 0
    for index in range(400):
        p = Augmentation(flip=0.25).apply(events, SENSOR, seed=1, index=index)["p"]
        assert (p == events["p"]).all() or (p == 1 - events["p"]).all()
        flipped += bool((p != events["p"]).any())
    assert flipped == pytest.approx(100, abs=4 * np.sqrt(400 * 0.25 * 0.75))
    line = random_stream(50, sensor_size=(64, 1, 1))
    np.testing.assert_array_equal(Augmentation(flip=1.0).apply(line.events, (64, 1, 1), seed=1), line.events)


CHANGES = [
    Augmentation(jitter=500.0, flip=0.5, shift=1, drop=0.1, time_scale=0.1),
    Augmentation(time_shift=20_000.0, mask_x=5, mask_time=3e4, shift=1, drop=0.1, time_scale=0.1),
    Augmentation(
        transforms=[
            {"name": "SpatialJitter", "var_x": 0.5, "var_y": 0.5},
            {"name": "UniformNoise", "n": 20},
            {"name": "DropEvent", "p": 0.2},
        ],
        jitter=100.0,
        drop=0.2,
    ),
]


@pytest.mark.parametrize("change", CHANGES, ids=["own", "masks", "tonic"])
def test_training_sees_what_apply_gives_whatever_the_threads(change: Augmentation) -> None:
    if change.transforms:
        pytest.importorskip("tonic")
    source = ListDataset([random_stream(300, seed=k) for k in range(12)], [0] * 12)
    feeder = BatchLoader(source, INPUTS, change, seed=5)
    np.random.seed(7)  # noqa: NPY002
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(lambda index: feeder.prepare([index], 2), list(range(12)) * 3))
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    for batch in many:
        index = int(batch.indices[0])
        events = change.apply(source.stream(index).events, SENSOR, 5, 2, index)
        times, neurons = to_arrays(EventStream(events, SENSOR), 0)
        assert batch.times.tobytes() == times.tobytes()
        assert batch.neurons.tobytes() == neurons.tobytes()
    whole = feeder.prepare(range(12), 2)
    for index, (times, _) in enumerate(whole.samples):
        assert times.tobytes() == many[index].times.tobytes()
    assert feeder.prepare([0], 3).times.tobytes() != many[0].times.tobytes()


def test_tonics_transforms_keep_events_inside_and_in_order() -> None:
    pytest.importorskip("tonic")
    wild = [
        {"name": "SpatialJitter", "var_x": 400.0, "var_y": 400.0},
        {"name": "TimeJitter", "std": 50_000.0, "clip_negative": False},
    ]
    changed = Augmentation(transforms=wild).apply(random_stream(2000).events, SENSOR, seed=1)
    EventStream(changed, SENSOR)
    assert 100 < len(changed) < 1900


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"jitter": -1.0}, "jitter must be a finite number >= 0 and <= 1e\\+06, got -1.0"),
        ({"flip": float("nan")}, "flip must be a finite number >= 0 and <= 1, got nan"),
        ({"transforms": 3}, "transforms must be a list of tables"),
        ({"transforms": [{"p": 0.5}]}, "transforms must be a list of tables"),
    ],
)
def test_bad_parameters(change: dict, text: str) -> None:
    with pytest.raises(TrainingError, match=text):
        Augmentation(**change)


@pytest.mark.parametrize(
    ("transform", "text"),
    [
        ({"name": "Nonsense"}, "tonic has no transform 'Nonsense'"),
        ({"name": "DropEvent", "q": 1}, "transform DropEvent: .*'q'"),
        ({"name": "ToFrame", "n_time_bins": 3}, "transform ToFrame does not give events"),
    ],
)
def test_bad_transforms_are_told_before_training(transform: dict, text: str) -> None:
    pytest.importorskip("tonic")
    source = ListDataset([random_stream(30)], [0])
    change = Augmentation(transforms=[transform])
    with pytest.raises(TrainingError, match=text):
        BatchLoader(source, INPUTS, change)


def test_experiment_files_and_options_have_them() -> None:
    table = {"jitter": 200.0, "transforms": [{"name": "DropEvent", "p": 0.1}]}
    plan = Experiment.from_table({"network": NETWORK, "augmentation": table})
    changed = plan.augmented({"flip": 0.5})
    assert changed.augmentation == Augmentation(jitter=200.0, flip=0.5, transforms=table["transforms"])
