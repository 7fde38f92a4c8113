"""N-MNIST's saccades taken out: a drift that was put in is gone, and the formula is that of tonic."""

from __future__ import annotations

import numpy as np
import pytest

import eventsnn as es
from eventsnn.data import ListDataset
from eventsnn.errors import EventStreamError, TrainingError
from eventsnn.events import NMNIST_DRIFT, EventStream, MotionPath, Stabilisation, stabilise
from eventsnn.model import RunSettings
from eventsnn.train.batches import BatchLoader
from tests.events.helpers import random_stream

SENSOR = (34, 34, 2)


def drift(t_us: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The published description: +3.5, +7; +3.5, -7; -7, 0 pixels, each in 105 ms."""
    ms = t_us / 1000.0
    x = np.where(ms < 210, 3.5 * ms / 105, 7.0 - 7.0 * (ms - 210) / 105)
    y = np.select([ms < 105, ms < 210], [7.0 * ms / 105, 7.0 - 7.0 * (ms - 105) / 105], 0.0)
    return x, y


def test_a_drift_that_was_put_in_is_taken_out() -> None:
    rng = np.random.default_rng(1)
    n = 2000
    x, y = rng.integers(8, 20, n), rng.integers(8, 20, n)  # a digit that stands still
    t = np.sort(rng.integers(0, 315_000, n))
    dx, dy = drift(t)
    moved = EventStream.from_arrays(t, np.rint(x + dx), np.rint(y + dy), 0 * x, sensor_size=SENSOR)
    still = stabilise(moved)
    assert len(still) == n
    # Rounded twice: within a pixel, most of them exact; the centre is 4 to the right and 2 down.
    off_x, off_y = still.events["x"] - x - 4, still.events["y"] - y - 2
    assert max(np.abs(off_x).max(), np.abs(off_y).max()) <= 1
    assert np.mean((off_x == 0) & (off_y == 0)) > 0.5
    assert np.ptp(moved.events["y"] - y) == 7
    np.testing.assert_array_equal(still.events["t"], t)
    back = stabilise(moved, NMNIST_DRIFT, (0.0, 0.0))
    assert abs(np.mean(back.events["x"] - x)) < 0.05


def test_the_formula_is_tonics() -> None:
    transform = pytest.importorskip("tonic.datasets.nmnist").stabilize
    events = random_stream(3000, 2, SENSOR).events
    events = events[np.argsort(events["t"], kind="stable")].copy()
    events["t"] = np.sort(np.random.default_rng(5).integers(0, 315_000, len(events)))
    found = Stabilisation().apply(events, SENSOR)
    expected = transform(events.copy())
    assert 0 < len(found) < len(events)
    for name in "xytp":
        np.testing.assert_array_equal(found[name], expected[name])


def test_any_path() -> None:
    path = MotionPath([0.0, 10.0], [0.0, 5.0], [0.0, -5.0])
    stream = EventStream.from_arrays(
        [0, 5000, 10_000, 90_000], [3, 5, 8, 2], [6, 3, 1, 1], sensor_size=(9, 9, 1)
    )
    still = stabilise(stream, path)
    # (5, 3) - (2.5, -2.5) is half way between pixels: to the even ones; the last one leaves the sensor.
    assert [(int(e["x"]), int(e["y"]), int(e["t"])) for e in still.events] == [
        (3, 6, 0),
        (2, 6, 5000),
        (3, 6, 10_000),
    ]
    with pytest.raises(EventStreamError, match="path must be a MotionPath or 'nmnist', got 'mnist'"):
        stabilise(stream, "mnist")
    with pytest.raises(EventStreamError, match=r"the sensor is \(9, 1, 1\), one row"):
        stabilise(EventStream.from_arrays([0], [1], sensor_size=(9, 1, 1)))


def test_training_and_simulation_see_the_same(tmp_path) -> None:
    streams = [random_stream(400, k, SENSOR) for k in range(4)]
    data = ListDataset(streams, [0, 1, 0, 1])
    settings = RunSettings(stabilise="nmnist")
    batch = BatchLoader(data, 2312, settings=settings).prepare([2], 3)
    expected = stabilise(streams[2])
    order = np.lexsort((expected.input_indices(), expected.times_ms()))
    np.testing.assert_array_equal(batch.times, expected.times_ms()[order])
    np.testing.assert_array_equal(batch.neurons, expected.input_indices()[order])
    network = es.Network(es.Input(*SENSOR), es.Dense(2, threshold=1.0), settings=settings, seed=1)
    run = es.simulate(network, streams[2])
    np.testing.assert_array_equal(run.input.neurons, batch.neurons)
    found = es.evaluate(network, data, threads=1)
    counts = [es.simulate(network, stream, dtype="float32").output.counts for stream in streams]
    np.testing.assert_array_equal(found.predictions.counts, counts)
    images = es.data.Images(np.zeros((2, 34, 17), np.uint8) + 9, [0, 1])
    with pytest.raises(TrainingError, match="stabilise is for recordings, and the data set holds images"):
        BatchLoader(images, 578, settings=settings)
