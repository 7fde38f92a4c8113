from __future__ import annotations

import numpy as np
import pytest

from eventsnn.data import AUTHORS_DISTORTION, Augmentation, Distortion, Images, ListDataset
from eventsnn.data.draws import DISTORT, draw, draw_many, make_key, to_unit, to_unit_many
from eventsnn.errors import TrainingError
from eventsnn.train.batches import BatchLoader
from tests.events.helpers import random_stream

RNG = np.random.default_rng(2)
PIXELS = RNG.integers(0, 256, (5, 9, 8), dtype=np.uint8)
FULL = Distortion(elastic=20.0, smoothing=3.0, scale=0.2, rotation=15.0)


def distort_twin(image: np.ndarray, change: Distortion, key: int) -> np.ndarray:
    """The formula of `Distortion`, pixel by pixel, with an explicit Gaussian."""
    height, width = image.shape
    unit = [2.0 * to_unit(draw(key, k)) - 1.0 for k in range(3 + 2 * height * width)]
    angle = np.deg2rad(change.rotation) * unit[0]
    scale_x, scale_y = 1.0 + change.scale * unit[1], 1.0 + change.scale * unit[2]
    radius = int(2.5 * change.smoothing + 0.5)
    gauss = np.array([np.exp(-0.5 * (k / change.smoothing) ** 2) for k in range(-radius, radius + 1)])
    gauss /= gauss.sum()
    noise = np.array(unit[3:]).reshape(2, height, width)
    out = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            d = np.zeros(2)
            for j in range(max(0, y - radius), min(height, y + radius + 1)):
                for i in range(max(0, x - radius), min(width, x + radius + 1)):
                    d += gauss[j - y + radius] * gauss[i - x + radius] * noise[:, j, i]
            v, u = y - (height - 1) / 2, x - (width - 1) / 2
            at_y = (
                scale_y * (np.cos(angle) * v - np.sin(angle) * u) + (height - 1) / 2 + change.elastic * d[0]
            )
            at_x = scale_x * (np.sin(angle) * v + np.cos(angle) * u) + (width - 1) / 2 + change.elastic * d[1]
            out[y, x] = bilinear(image, at_y, at_x)
    return out


def place_twin(change: Distortion, key: int, width: int, height: int, x: int, y: int) -> tuple[float, float]:
    """Where a pixel's events go without an elastic field, (x, y)."""
    unit = [2.0 * to_unit(draw(key, k)) - 1.0 for k in range(3)]
    angle = np.deg2rad(change.rotation) * unit[0] if min(width, height) > 1 else 0.0
    v, u = y - (height - 1) / 2, x - (width - 1) / 2
    at_y = (1.0 + change.scale * unit[2]) * (np.cos(angle) * v - np.sin(angle) * u)
    at_x = (1.0 + change.scale * unit[1]) * (np.sin(angle) * v + np.cos(angle) * u)
    return at_x + (width - 1) / 2, at_y + (height - 1) / 2


def bilinear(image: np.ndarray, y: float, x: float) -> float:
    """Linear interpolation, 0 outside; the outermost half pixels are outside, too, as scipy has it."""
    height, width = image.shape
    if not (0 <= y <= height - 1 and 0 <= x <= width - 1):
        return 0.0
    j, i = min(int(y), height - 2), min(int(x), width - 2)
    fy, fx = y - j, x - i
    corner = image[j : j + 2, i : i + 2].astype(float)
    return float(np.array([1 - fy, fy]) @ corner @ np.array([1 - fx, fx]))


@pytest.mark.parametrize(
    "change", [FULL, Distortion(rotation=30.0), Distortion(scale=0.3), Distortion(elastic=40)]
)
def test_formula(change: Distortion) -> None:
    keys = np.array([make_key(7, DISTORT, 0, k) for k in range(3)], np.uint64)
    changed = change.apply(PIXELS[:3], keys)
    for k in range(3):
        expected = distort_twin(PIXELS[k], change, int(keys[k]))
        # Rounded to whole grey values; the last bit of a sine may turn a rounding.
        assert np.abs(changed[k] - expected).max() <= 0.5 + 1e-6


def authors_displacement(noise: np.ndarray) -> np.ndarray:
    """The elastic field of the HM2-BP authors' program for noise uniform in -1 .. 1, one axis, in pixels.

    Written from their configuration (strength 3.4) and their Gaussian: 21 x 21, sigma 4, 1 / (2 pi sigma).
    """
    height, width = noise.shape
    out = np.zeros_like(noise)
    for y in range(height):
        for x in range(width):
            for j in range(-10, 11):
                for i in range(-10, 11):
                    if 0 <= y + j < height and 0 <= x + i < width:
                        weight = np.exp(-(i * i + j * j) / 32.0) / (8.0 * np.pi)
                        out[y, x] += 3.4 * weight * noise[y + j, x + i]
    return out


def test_the_authors_elastic_field() -> None:
    alone = Distortion(elastic=AUTHORS_DISTORTION.elastic, smoothing=AUTHORS_DISTORTION.smoothing)
    key, shape = make_key(3, DISTORT, 0, 0), (28, 28)
    found = alone.places(np.array([key], np.uint64), *shape)[0] - np.indices(shape)
    noise = 2.0 * to_unit_many(draw_many(np.array([key], np.uint64), 3 + 2 * 28 * 28))[0, 3:] - 1.0
    expected = np.array([authors_displacement(axis) for axis in noise.reshape(2, *shape)])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert AUTHORS_DISTORTION.elastic == pytest.approx(13.37, abs=0.01)  # 3.4 times a sum of 3.93, not 34
    assert (AUTHORS_DISTORTION.scale, AUTHORS_DISTORTION.rotation) == (0.12, 12.0)
    # Inside, a displacement has the standard deviation 0.163 elastic / smoothing that the docstring states.
    many = alone.places(np.arange(40, dtype=np.uint64), *shape)[:, 0, 14, 14] - 14
    assert many.std() == pytest.approx(0.163 * alone.elastic / alone.smoothing, rel=0.3)


def test_nothing_asked_for_changes_nothing() -> None:
    keys = np.arange(5, dtype=np.uint64)
    np.testing.assert_array_equal(Distortion().apply(PIXELS, keys), PIXELS)


def test_a_half_turn() -> None:
    keys = np.array([next(k for k in range(10_000) if to_unit(draw(k, 0)) > 0.9999)], np.uint64)
    turned = Distortion(rotation=180.0).apply(PIXELS[:1], keys)[0]
    inside = (slice(1, -1), slice(1, -1))  # an angle just short of it leaves the border to rounding
    np.testing.assert_allclose(turned[inside], PIXELS[0, ::-1, ::-1][inside], rtol=0, atol=2)


def test_each_image_and_epoch_has_its_own_field_and_batches_do_not_matter() -> None:
    images = Images(np.repeat(PIXELS[:1], 5, axis=0), [0, 1, 0, 1, 0], seed=4)
    every = np.arange(5)
    first = images.distorted(every, 0, FULL)
    assert len({image.tobytes() for image in [*first, *images.distorted(every, 1, FULL)]}) == 10
    for k in range(5):
        np.testing.assert_array_equal(images.distorted(np.array([k]), 0, FULL)[0], first[k])
    other = Images(images.images, images.labels, seed=5)
    assert not np.array_equal(other.distorted(every, 0, FULL), first)


def test_training_sees_distorted_images() -> None:
    images = Images(PIXELS, [0, 1, 0, 1, 0], seed=4)
    plain = BatchLoader(images, 72).prepare([3], 2)
    changed = BatchLoader(images, 72, distortion=FULL).prepare([3], 2)
    seen = Images(images.distorted(np.arange(5), 2, FULL), images.labels, seed=4)
    expected = BatchLoader(seen, 72).prepare([3], 2)
    np.testing.assert_array_equal(changed.neurons, expected.neurons)
    assert not np.array_equal(changed.neurons, plain.neurons)


@pytest.mark.parametrize("sensor", [(9, 7, 2), (9, 1, 1), (1, 7, 2)])
def test_events_go_to_the_places_of_their_pixels(sensor) -> None:
    width, height, _ = sensor
    change, events = Distortion(scale=0.3, rotation=20.0), random_stream(300, 0, sensor).events
    for key in (5, 2**63 + 1):
        moved, expected = change.move(events, sensor, key), []
        rounding = draw(key, 3 + 2 * width * height)
        for k, event in enumerate(events):
            bits = draw(rounding, k)
            at = place_twin(change, key, width, height, int(event["x"]), int(event["y"]))
            x = int(np.floor(at[0] + (bits & 0xFFFFFFFF) / 2**32)) if width > 1 else 0
            y = int(np.floor(at[1] + (bits >> 32) / 2**32)) if height > 1 else 0
            if 0 <= x < width and 0 <= y < height:
                expected.append((x, y, int(event["t"]), int(event["p"])))
        assert [(int(e["x"]), int(e["y"]), int(e["t"]), int(e["p"])) for e in moved] == expected
        assert expected
        assert [e[:2] for e in expected] != [(int(e["x"]), int(e["y"])) for e in events]


def test_events_are_where_they_should_be_on_average() -> None:
    sensor = (21, 17, 1)
    events = np.repeat(random_stream(1, 0, sensor).events, 4000)
    events["x"], events["y"] = 12, 6
    change = Distortion(elastic=20.0, scale=0.2, rotation=15.0)
    for key in range(3):
        at_y, at_x = change.places(np.array([key], np.uint64), 17, 21)[0][:, 6, 12]
        moved = change.move(events, sensor, key)
        assert len(moved) == len(events)
        for name, at in (("x", at_x), ("y", at_y)):
            assert abs(moved[name].mean() - at) < 0.04  # 5 standard errors
            assert np.ptp(moved[name]) <= 1


def test_no_distortion_leaves_recordings_as_they_are() -> None:
    events = random_stream(200, 0, (9, 7, 2)).events
    for change in (Distortion(), Distortion(smoothing=2.0)):
        np.testing.assert_array_equal(change.move(events, (9, 7, 2), 3), events)


def test_training_sees_distorted_recordings_whatever_the_batch() -> None:
    sensor = (9, 7, 2)
    streams = [random_stream(150, k, sensor) for k in range(3)]
    data = ListDataset(streams, [0, 1, 0])
    shift = Augmentation(shift=1)
    feeder = BatchLoader(data, 126, shift, seed=6, distortion=FULL)
    together = feeder.prepare([2, 0, 1], 4)
    for place, index in enumerate([2, 0, 1]):
        alone = feeder.prepare([index], 4)
        moved = FULL.move(streams[index].events, sensor, make_key(6, DISTORT, 4, index))
        expected = shift.apply(moved, sensor, 6, 4, index)
        numbers = expected["p"] * 63 + expected["y"].astype(int) * 9 + expected["x"]
        order = np.lexsort((numbers, expected["t"]))
        np.testing.assert_array_equal(alone.neurons, numbers[order])
        np.testing.assert_array_equal(together.samples[place][1], alone.neurons)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"elastic": -1.0}, "distortion: elastic must be a finite number >= 0, got -1.0"),
        ({"elastic": float("inf")}, "elastic must be a finite number >= 0, got inf"),
        ({"smoothing": 0.0}, "smoothing must be a finite number > 0, got 0.0"),
        ({"scale": 1.0}, "scale must be a finite number >= 0 and < 1, got 1.0"),
        ({"rotation": 181.0}, "rotation must be a finite number >= 0 and <= 180, got 181"),
        ({"rotation": True}, "rotation must be"),
    ],
)
def test_refuses(given, text) -> None:
    with pytest.raises(TrainingError, match=text):
        Distortion(**given)


def test_many_draws() -> None:
    keys = np.array([3, 2**64 - 1], np.uint64)
    many = draw_many(keys, 4)
    assert many.tolist() == [[draw(int(key), k) for k in range(4)] for key in keys]
    assert to_unit_many(many)[1, 2] == to_unit(int(many[1, 2]))
