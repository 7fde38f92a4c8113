from __future__ import annotations

import gzip

import numpy as np
import pytest

from eventsnn.data import Images
from eventsnn.encode import Bernoulli
from eventsnn.errors import EventFileError, TrainingError
from eventsnn.reference.prepare import to_arrays
from eventsnn.train.batches import BatchLoader
from tests.data.test_idx import idx_bytes

RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 256, (6, 5, 7), dtype=np.uint8) * (RNG.random((6, 5, 7)) < 0.6).astype(np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize("coder", [Bernoulli(), Bernoulli(steps=7, scale=1.0, step_us=250)])
def test_kernel_has_the_bits_of_its_twin(coder: Bernoulli) -> None:
    images = Images(PIXELS, LABELS, coder=coder, seed=5)
    batch = BatchLoader(images, 35).prepare([4, 0, 4], 3)
    for (times, neurons), index in zip(batch.samples, [4, 0, 4], strict=True):
        expected_times, expected_neurons = to_arrays(images.stream(index, 3), 0)
        np.testing.assert_array_equal(times, expected_times)
        np.testing.assert_array_equal(neurons, expected_neurons)
    assert batch.labels.tolist() == [1, 0, 1]


def test_draws_change_with_seed_epoch_and_image_and_nothing_else() -> None:
    same = np.repeat(PIXELS[:1], 6, axis=0)
    images = Images(same, LABELS, seed=5)
    first = images.stream(0, 1).events
    np.testing.assert_array_equal(images.stream(0, 1).events, first)
    np.testing.assert_array_equal(images[0][0], images.stream(0, 0).events)  # epoch 0 is what the set holds
    for other in (
        images.stream(0, 2),
        images.stream(1, 1),
        Images(same, LABELS, seed=6).stream(0, 1),
    ):
        assert not np.array_equal(other.events, first)
    feeder = BatchLoader(images, 35)
    together, alone = feeder.prepare([0, 1, 2], 1), feeder.prepare([2], 1)
    np.testing.assert_array_equal(together.samples[2][0], alone.samples[0][0])


def test_rate_is_that_of_the_coder() -> None:
    # 10,000 steps: the standard error of a rate p is at most sqrt(0.25 / 10,000) = 0.005; five of them.
    pixels = np.array([[[0, 51, 255]]], np.uint8)
    for scale in (1 / 5.5, 1.0):
        stream = Images(pixels, [0], coder=Bernoulli(steps=10_000, scale=scale)).stream(0)
        rates = np.bincount(stream.input_indices(), minlength=3) / 10_000
        np.testing.assert_allclose(rates, np.array([0.0, 0.2, 1.0]) * scale, rtol=0, atol=0.025)
        assert rates[0] == 0.0


def test_a_dark_image_and_last_pixel() -> None:
    # Rows of images lie one behind the other in the kernel's buffers: neither may leak into its neighbour.
    pixels = np.zeros((3, 2, 2), np.uint8)
    pixels[0, 1, 1] = pixels[2, 0, 0] = 255
    batch = BatchLoader(Images(pixels, [0, 1, 0], coder=Bernoulli(steps=5, scale=1.0)), 4).prepare(
        [0, 1, 2], 0
    )
    assert batch.ptr.tolist() == [0, 5, 5, 10]
    assert batch.neurons.tolist() == [3] * 5 + [0] * 5
    assert batch.times.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0] * 2


def test_open_folder_and_file(tmp_path) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(PIXELS)))
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(LABELS.astype(np.uint8)))
    for path in (tmp_path, tmp_path / "train-images-idx3-ubyte.gz"):
        images = Images.open(path, limit=4, seed=2)
        assert (len(images), images.sensor_size, images.classes) == (4, (7, 5, 1), ("0", "1", "2"))
        np.testing.assert_array_equal(images.images, PIXELS[:4])
        assert images.paths[3] == f"{tmp_path / 'train-images-idx3-ubyte.gz'}[3]"
    with pytest.raises(EventFileError, match="the file of the images is wanted"):
        Images.open(labels)
    labels.unlink()
    with pytest.raises(
        EventFileError, match="no file train-labels-idx1-ubyte\\.gz or train-labels-idx1-ubyte"
    ):
        Images.open(tmp_path / "train-images-idx3-ubyte.gz")
    with pytest.raises(EventFileError, match="no file whose name contains train-labels"):
        Images.open(tmp_path)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"images": PIXELS.astype(float)}, "images must be bytes of shape"),
        ({"images": PIXELS[0]}, "images must be bytes of shape"),
        ({"images": PIXELS[:0], "labels": LABELS[:0]}, "n at least 1"),
        ({"labels": LABELS[:5]}, r"one class number \(0 or more\) per image is needed, 6"),
        ({"labels": LABELS - 1}, "one class number"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
    ],
)
def test_refuses(given, text) -> None:
    with pytest.raises(TrainingError, match=text):
        Images(**({"images": PIXELS, "labels": LABELS} | given))


def test_open_refuses(tmp_path) -> None:
    with pytest.raises(TrainingError, match="split must be one of train, test, got 'Train'"):
        Images.open(tmp_path, "Train")
    with pytest.raises(TrainingError, match="limit must be a whole number >= 1, got 0"):
        Images.open(tmp_path, limit=0)
