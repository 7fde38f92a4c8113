"""Data sets made with the simulated event camera."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eventsnn.data.digits import load_digits
from eventsnn.errors import EventFileError, TrainingError
from eventsnn.events.camera import SaccadeCamera
from eventsnn.events.files import write

DIGITS_CAMERA = SaccadeCamera(width=20, height=20, scale=2.0, threshold_on=0.27, threshold_off=0.28)
"""Shows the 8 x 8 digits of scikit-learn, blown up to 16 x 16 pixels.

Less sensitive than the camera of N-MNIST: about 1400 events per digit are enough to tell them apart.
"""


def write_dataset(
    images: npt.ArrayLike,
    labels: npt.ArrayLike,
    out: str | os.PathLike[str],
    *,
    camera: SaccadeCamera,
    seed: int,
    names: Sequence[str] | None = None,
    progress: Callable[[int], object] | None = None,
    threads: int | None = None,
) -> None:
    """Record images with a simulated camera into a folder of ``<label>/<name>.bin``.

    Parameters
    ----------
    images : array_like of uint8, shape (n, h, w)
        Ink: 0 (bright screen) .. 255.
    labels : array_like of int, shape (n,)
        Class numbers, 0 or more.
    out : path
        Folder to make; it must not exist or be empty.
    camera : SaccadeCamera
        The camera.
    seed : int
        Chance of image i comes from (seed, i) alone, so neither order nor number of threads matter.
    names : sequence of str, optional
        File names without suffix; left out, ``00001``, ``00002``, ...
    progress : callable, optional
        Called with 1 after each recording, in order (``tqdm.update``).
    threads : int, optional
        Number of threads; left out, one per processor.

    Raises
    ------
    EventFileError
        `out` is in use or cannot be written.
    TrainingError
        Images, labels and names do not go together, or the seed is negative.
    SimulationError
        The images are not of dtype uint8.
    """
    pictures, numbers = _check_samples(images, labels)
    if seed < 0:
        raise TrainingError(f"seed must be 0 or more: got {seed}")
    stems = [f"{index + 1:05d}" for index in range(len(pictures))] if names is None else list(names)
    if len(stems) != len(pictures):
        raise TrainingError(f"{len(stems)} names for {len(pictures)} images")
    folder = _make_folders(out, numbers)

    def record(index: int) -> None:
        stream = camera.record(pictures[index], np.random.default_rng([seed, index]))
        write(folder / str(numbers[index]) / f"{stems[index]}.bin", stream, format="nmnist")

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        try:
            for _ in pool.map(record, range(len(pictures))):
                if progress is not None:
                    progress(1)
        except BaseException:
            # Also on Ctrl-C: drop what has not begun, or leaving the pool would wait for all of it.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def write_digits(
    out: str | os.PathLike[str],
    camera: SaccadeCamera = DIGITS_CAMERA,
    seed: int = 0,
    limit: int | None = None,
    progress: Callable[[int], object] | None = None,
    threads: int | None = None,
) -> None:
    """Record scikit-learn's digits into ``out/Train`` and ``out/Test``.

    Parameters
    ----------
    out : path
        Folder to make; its ``Train`` and ``Test`` must not exist or be empty.
    camera : SaccadeCamera
        The camera.
    seed : int
        Seed of the background events.
    limit : int, optional
        At most this many recordings of each part, the first ones.
    progress, threads
        See `write_dataset`; there are up to 1438 recordings for training and 359 for the test.

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    EventFileError, TrainingError
        See `write_dataset`.
    """
    if limit is not None and limit < 1:
        raise TrainingError(f"limit must be at least 1: got {limit}")
    digits = load_digits()
    for split_seed, (split, indices) in enumerate((("Train", digits.train), ("Test", digits.test))):
        chosen = indices[:limit]
        write_dataset(
            digits.images[chosen],
            digits.labels[chosen],
            Path(out, split),
            camera=camera,
            seed=2 * seed + split_seed,  # the two parts are not to share their noise
            names=[f"{index + 1:05d}" for index in chosen],
            progress=progress,
            threads=threads,
        )


def _check_samples(images: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    pictures, numbers = np.asarray(images), np.asarray(labels)
    if pictures.ndim != 3 or numbers.shape != pictures.shape[:1] or numbers.dtype.kind not in "iu":
        raise TrainingError(
            "images of shape (n, h, w) and n int labels are needed: "
            f"got shapes {pictures.shape} and {numbers.shape}, labels of dtype {numbers.dtype}"
        )
    if len(numbers) and numbers.min() < 0:
        raise TrainingError(f"label {numbers.min()} is negative; class numbers start at 0")
    return pictures, numbers


def _make_folders(out: str | os.PathLike[str], labels: np.ndarray) -> Path:
    """Make `out` and its label folders; refuse to mix with what is there already."""
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise EventFileError(out, "the folder is not empty; remove it or name another")
        for label in np.unique(labels):
            (folder / str(label)).mkdir()
    except OSError as error:
        raise EventFileError(out, f"cannot be made: {error.strerror or error}") from error
    return folder
