"""Labelled images as a data set, whose spikes are drawn again in every epoch.

Training draws those of `Bernoulli` with the kernel ``cython_ext/encode/coding.pyx``; `Images.stream` is its
twin, with the same bits. Other encoders run as they are.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from eventsnn._ext.coding import code_images
from eventsnn._ext.records import Records, from_events
from eventsnn._util.arguments import check_choice, check_whole
from eventsnn.data.distort import Distortion
from eventsnn.data.draws import CODE, DISTORT, draw, draw_many, make_key, threshold
from eventsnn.data.idx import Split, find_idx, read_labelled
from eventsnn.data.memory import name_classes
from eventsnn.data.source import Source
from eventsnn.encode import Bernoulli
from eventsnn.encode.encoders import Encoder, encode_sample, encoder_to_table
from eventsnn.errors import TrainingError
from eventsnn.events.packed_events import field_bits
from eventsnn.events.stream import EventStream

_VALUES = 256


class Images(Source):
    """Grey images with labels as recordings, coded by an encoder; a `LabelledSource`.

    Each input is a pixel, ``y * width + x``. Whether pixel k of image i spikes in step s of epoch e is a draw
    named by (seed, CODE, e, i, s * pixels + k), see `eventsnn.data.draws`: the same whatever batch or thread
    asks for it. Training draws again in each epoch; validation and evaluation use epoch 0.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, height, width)
        0 is dark and never spikes; 255 is the value 1 of `Bernoulli`.
    labels : array_like of int, shape (n,)
        Class numbers, 0 or more.
    coder : Encoder, optional
        An encoder of values, see `eventsnn.encode.ENCODERS`; by default the `Bernoulli` of the HM2-BP
        authors: 400 steps of 1 ms, probability value / 5.5.
    seed : int
        Of the draws, 0 or more.
    name : str
        What the images are called in messages: ``name[17]``.
    classes : sequence of str, optional
        Names of the classes; left out, their numbers.

    Raises
    ------
    TrainingError
        No images, or of another type or shape than above, or labels that do not fit.
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        labels: npt.ArrayLike,
        *,
        coder: Encoder | None = None,
        seed: int = 1,
        name: str = "image",
        classes: Sequence[str] | None = None,
    ) -> None:
        array = np.ascontiguousarray(images)
        if array.ndim != 3 or array.dtype != np.uint8 or array.size == 0:
            raise TrainingError(
                "images must be bytes of shape (n, height, width), n at least 1: "
                f"got shape {array.shape}, dtype {array.dtype}"
            )
        numbers = np.asarray(labels)
        if numbers.shape != (len(array),) or numbers.dtype.kind not in "iu" or numbers.min() < 0:
            raise TrainingError(
                f"one class number (0 or more) per image is needed, {len(array)}: "
                f"got shape {numbers.shape}, dtype {numbers.dtype}"
            )
        seed = check_whole("seed", seed, TrainingError)
        n, height, width = array.shape
        self.images, self.labels = array, numbers.astype(np.int64)
        self.coder, self.seed, self.root = coder or Bernoulli(), seed, name
        self.sensor_size = (width, height, 1)
        self.classes, self.numbered = name_classes(self.labels, classes), classes is None
        self.paths: Sequence[str] = [f"{name}[{index}]" for index in range(n)]
        x_bits, y_bits, p_bits = field_bits(self.sensor_size)
        y, x = np.divmod(np.arange(height * width, dtype=np.uint64), np.uint64(width))
        self._address = y << np.uint64(x_bits) | x
        self._address_bits = x_bits + y_bits + p_bits
        scale = self.coder.scale if isinstance(self.coder, Bernoulli) else 0.0
        self._limits = np.array(
            [threshold(value / (_VALUES - 1) * scale) for value in range(_VALUES)], np.uint64
        )

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        split: str | None = None,
        *,
        limit: int | None = None,
        coder: Encoder | None = None,
        seed: int = 1,
    ) -> Images:
        """Read IDX files (MNIST, EMNIST, Fashion-MNIST), gzipped or not.

        Parameters
        ----------
        path : path
            A folder, see `load_idx`, or the file of the images; that of the labels lies beside it, and has
            ``labels`` for ``images`` in its name.
        split : {"train", "test"}, optional
            Which part of the folder; ``"train"`` by default.
        limit : int, optional
            The first so many images only.
        coder, seed
            As above.

        Raises
        ------
        EventFileError
            A file is missing, ambiguous or damaged, or images and labels do not go together.
        TrainingError
            `split` is neither of the two, `limit` is below 1, or a parameter above is wrong.
        """
        if split is not None:
            check_choice("split", split, get_args(Split), TrainingError)
        if limit is not None:
            check_whole("limit", limit, TrainingError, 1)
        images_path, labels_path = find_idx(path, "test" if split == "test" else "train")
        images, labels = read_labelled(images_path, labels_path)
        return cls(images[:limit], labels[:limit], coder=coder, seed=seed, name=str(images_path))

    def stream(self, index: int, epoch: int = 0) -> EventStream:
        """Draw the spikes of image `index` in an epoch (counted from 0)."""
        index = range(len(self))[index]
        if not isinstance(self.coder, Bernoulli):
            return self._encode(self.images[index], index, epoch)
        image = self.images[index].ravel()
        key = make_key(self.seed, CODE, epoch, index)
        coins = draw_many(key, self.coder.steps * image.size) >> np.uint64(11)
        step, pixel = np.nonzero(coins.reshape(self.coder.steps, -1) < self._limits[image])
        y, x = np.divmod(pixel, self.sensor_size[0])
        return EventStream.from_arrays(step * self.coder.step_us, x, y, sensor_size=self.sensor_size)

    def distorted(
        self, indices: npt.NDArray[np.int64], epoch: int, distortion: Distortion | None
    ) -> npt.NDArray[np.uint8]:
        """Some images as training sees them in an epoch, before they are coded; uint8 (n, height, width)."""
        pixels = self.images[indices]
        return pixels if distortion is None else distortion.apply(pixels, self._keys(DISTORT, indices, epoch))

    def code(
        self, indices: npt.NDArray[np.int64], epoch: int, distortion: Distortion | None = None
    ) -> Records:
        """Draw the spikes of some images in an epoch; see `CodedSource.code`."""
        pixels = self.distorted(indices, epoch, distortion)
        if not isinstance(self.coder, Bernoulli):
            numbered = zip(pixels, indices.tolist(), strict=True)
            streams = [self._encode(image, index, epoch) for image, index in numbered]
            return from_events([np.ascontiguousarray(stream.events) for stream in streams])
        return code_images(
            pixels.reshape(len(indices), -1),
            self._address,
            self._address_bits,
            self._keys(CODE, indices, epoch),
            self._limits,
            self.coder.steps,
            self.coder.step_us,
        )

    def _encode(self, image: npt.NDArray[np.uint8], index: int, epoch: int) -> EventStream:
        """An image through an encoder that has no kernel; TrainingError if its sensor is not the image's."""
        seed = make_key(self.seed, CODE, epoch)
        stream = encode_sample(self.coder, image / (_VALUES - 1), int(seed), index)
        if tuple(stream.sensor_size) != self.sensor_size:
            raise TrainingError(
                f"{self.paths[index]}: encoder {type(self.coder).__name__} returns events of sensor "
                f"{stream.sensor_size}, the image's is {self.sensor_size}"
            )
        return stream

    def _keys(self, purpose: int, indices: npt.NDArray[np.int64], epoch: int) -> npt.NDArray[np.uint64]:
        key = make_key(self.seed, purpose, epoch)
        return np.array([draw(key, index) for index in indices.tolist()], np.uint64)

    def facts(self) -> dict[str, Any]:
        """Facts that a resumed training run must find unchanged."""
        coder = encoder_to_table(self.coder)
        return {"coder": coder, "seed": self.seed, "crc32": zlib.crc32(self.images.data)}


def is_idx(path: str | os.PathLike[str]) -> bool:
    """Whether a path is an IDX file (or gzipped), by its first bytes, or a folder with images in IDX
    files.
    """
    place = Path(path)
    try:
        if place.is_dir():
            with os.scandir(place) as entries:
                return any("-images" in entry.name and entry.is_file() for entry in entries)
        with open(place, "rb") as file:
            start = file.read(3)
    except OSError:
        return False
    return start[:2] == b"\x1f\x8b" or start == b"\0\0\x08"
