"""Data sets made with the simulated event camera.

``synth.json`` beside the label folders states the images and settings of a set. An interrupted set is
continued only if all of them are unchanged.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eventsnn import __version__
from eventsnn._util.arguments import check_seed, check_whole
from eventsnn._util.atomic import remove_parts, replace_file
from eventsnn._util.lock import LOCK, Lock
from eventsnn._util.threads import check_threads, run_all
from eventsnn._util.words import number_of
from eventsnn.data.digits import load_digits
from eventsnn.data.idx import Split, load_idx
from eventsnn.data.shard import Shard
from eventsnn.encode.camera import SaccadeCamera
from eventsnn.errors import EventFileError, TrainingError
from eventsnn.events.files import write
from eventsnn.events.formats.base import read_bytes, unwritable
from eventsnn.events.motion import MotionPath
from eventsnn.events.nmnist_motion import NMNIST_SACCADES
from eventsnn.events.stream import EventStream

PLAN = "synth.json"

DIGITS_CAMERA = SaccadeCamera(
    width=20,
    height=20,
    scale=2.0,
    offset_px=(-2.1, -1.5),
    motion=MotionPath.minimum_jerk(NMNIST_SACCADES),
    black_level=0.25,
    blur_px=0.6,
    threshold_on=0.27,
    threshold_off=0.28,
    low_pass_ms=0.0,
    refractory_ms=1.7,
    noise_hz=0.28,
    noise_bias=0.0,
    noise_spread=0.0,
)
"""Shows the 8 x 8 digits of scikit-learn, blown up to 16 x 16 pixels, in three plain saccades.

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
    resume: bool = False,
    shard: Shard | None = None,
) -> None:
    """Record images with a simulated camera into a folder of ``<label>/<name>.bin``.

    Parameters
    ----------
    images : array_like of uint8, shape (n, h, w)
        Ink: 0 (bright screen) .. 255.
    labels : array_like of int, shape (n,)
        Class numbers, 0 or more.
    out : path
        Folder to make; it must not exist or be empty, unless `resume`. No recording in it is ever incomplete.
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
    resume : bool
        Go on with a folder that an earlier call, with the same images, camera and seed, did not finish:
        recordings that are there are kept. Where nothing was begun, begin.
    shard : Shard, optional
        Record this shard of the images only, into the folder that all shards have in common, at the same
        time or one after the other. What is there of it is kept, as with `resume`.

    Raises
    ------
    EventFileError
        `out` is not empty, cannot be written, was begun with something else, or another run writes it.
    TrainingError
        Images, labels and names do not go together, the seed or the number of threads is none, or the shard
        holds no image.
    SimulationError
        The images are not of dtype uint8.
    """
    pictures, numbers = _check_samples(images, labels)
    seed = check_seed("seed", seed, TrainingError)
    stems = [f"{index + 1:05d}" for index in range(len(pictures))] if names is None else list(names)
    if len(stems) != len(pictures):
        raise TrainingError(f"{number_of(len(stems), 'name')} for {number_of(len(pictures), 'image')}")
    if any(not isinstance(stem, str) or not stem or Path(stem).name != stem for stem in stems):
        raise TrainingError("names must be names of files, without a folder")
    if len(set(zip(numbers.tolist(), stems, strict=True))) != len(stems):
        raise TrainingError("two recordings of a class have the same name")
    plan = _make_plan(pictures, numbers, stems, camera, seed)

    def record(index: int) -> EventStream:
        return camera.record(pictures[index], np.random.default_rng([seed, index]))

    places = [Path(str(number), f"{stem}.bin") for number, stem in zip(numbers, stems, strict=True)]
    write_recordings(
        out, places, plan, record, progress=progress, threads=threads, resume=resume, shard=shard
    )


def write_recordings(
    out: str | os.PathLike[str],
    places: Sequence[Path],
    plan: Mapping[str, object],
    record: Callable[[int], EventStream],
    *,
    progress: Callable[[int], object] | None,
    threads: int | None,
    resume: bool,
    shard: Shard | None,
) -> None:
    """Make recordings, on several threads or in several shards, in a folder that can be gone on with.

    Parameters
    ----------
    out, progress, threads, resume, shard
        See `write_dataset`.
    places : sequence of Path
        Label folder and file of each recording; the suffix says the format.
    plan : mapping
        Everything that determines the recordings, for JSON.
    record : callable
        Makes a recording from its number alone; called on several threads.

    Raises
    ------
    EventFileError, TrainingError
        See `write_dataset`.
    """
    threads = check_threads(threads)
    wanted = range(len(places)) if shard is None else shard.part(len(places))
    folder = _make_folder(out)
    paths = [folder / places[index] for index in wanted]
    resume = resume or shard is not None

    def make(number: int) -> None:
        if not (resume and paths[number].exists()):
            format = "nmnist" if paths[number].suffix == ".bin" else None
            write(paths[number], record(wanted[number]), format=format)

    # Shards work in one folder at the same time: each has a lock, and clears up after itself alone.
    locked = folder if shard is None else shard.place(folder / "shard")
    content = json.dumps({"made_by": f"eventsnn {__version__}", **plan}, indent=1).encode() + b"\n"
    with Lock(locked, lambda text: EventFileError(out, text)):
        labels = sorted({place.parent.name for place in places})
        _prepare_folder(folder, labels, content, resume, () if shard is None else paths)
        run_all(make, len(wanted), threads, progress)


def write_digits(
    out: str | os.PathLike[str],
    camera: SaccadeCamera = DIGITS_CAMERA,
    seed: int = 0,
    limit: int | None = None,
    progress: Callable[[int], object] | None = None,
    threads: int | None = None,
    resume: bool = False,
    shard: Shard | None = None,
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
    progress, threads, resume, shard
        See `write_dataset`; there are up to 1438 recordings for training and 359 for the test.

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    EventFileError, TrainingError
        See `write_dataset`.
    """
    if limit is not None:
        check_whole("limit", limit, TrainingError, 1)
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
            resume=resume,
            shard=shard,
        )


def write_idx_folder(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    camera: SaccadeCamera,
    seed: int,
    splits: Sequence[Split] = ("train", "test"),
    limit: int | None = None,
    leave_out: Sequence[int] = (),
    transpose: bool | None = None,
    progress: Callable[[int], object] | None = None,
    threads: int | None = None,
    resume: bool = False,
    shard: Shard | None = None,
) -> int:
    """Record MNIST, EMNIST or another data set of IDX files into ``out/Train`` and ``out/Test``.

    Files are named as N-MNIST's, by the number of the image in its part, from 1: ``Train/5/00001.bin``.

    Parameters
    ----------
    source : path
        Folder of IDX files; see `load_idx`.
    out : path
        Folder to make.
    camera : SaccadeCamera
        The camera.
    seed : int
        Seed of the background events.
    splits : sequence of {"train", "test"}
        Which parts.
    limit : int, optional
        At most this many recordings of each part, the first ones.
    leave_out : sequence of int
        Numbers, from 1, of images not to record; for one part only.
    transpose : bool, optional
        Exchange the images' rows and columns; left out, EMNIST's are put upright. See `load_idx`.
    progress, threads, resume, shard
        See `write_dataset`.

    Returns
    -------
    int
        Number of recordings, those of all shards.

    Raises
    ------
    EventFileError, TrainingError
        See `load_idx` and `write_dataset`; or `leave_out` goes with two parts.
    """
    if limit is not None:
        check_whole("limit", limit, TrainingError, 1)
    if len(leave_out) and len(splits) > 1:
        raise TrainingError("leave_out numbers the images of one part; choose one in splits")
    parts = []
    for split in splits:  # read all before anything is written: the second may be missing
        images, labels = load_idx(source, split, transpose=transpose)
        kept = np.setdiff1d(np.arange(len(images)), np.asarray(leave_out, np.int64) - 1)[:limit]
        parts.append((split, kept, images[kept], labels[kept]))
    for split, kept, images, labels in parts:
        write_dataset(
            images,
            labels,
            Path(out, split.capitalize()),
            camera=camera,
            seed=2 * seed + (split == "test"),  # the two parts are not to share their noise
            names=[f"{index + 1:05d}" for index in kept],
            progress=progress,
            threads=threads,
            resume=resume,
            shard=shard,
        )
    return sum(len(kept) for _, kept, _, _ in parts)


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


def _make_plan(
    images: np.ndarray, labels: np.ndarray, names: list[str], camera: SaccadeCamera, seed: int
) -> dict[str, object]:
    """Everything that determines the recordings."""
    content = hashlib.sha256(images.tobytes())
    content.update(f"{images.dtype}{images.shape}{labels.tolist()}{names}".encode())
    return {
        "recordings": len(images),
        "images_sha256": content.hexdigest(),
        "seed": seed,
        "camera": asdict(camera),
    }


def _make_folder(out: str | os.PathLike[str]) -> Path:
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EventFileError(out, f"cannot be made: {error.strerror or error}") from error
    return folder


def _is_ours(name: str, shared: bool) -> bool:
    """Whether a file in a folder where nothing has been recorded is a lock, or the plan of another shard."""
    return name == LOCK or (shared and name.startswith((".shard.", PLAN)))


def _prepare_folder(
    folder: Path, labels: Sequence[str], plan: bytes, resume: bool, shard: Sequence[Path]
) -> None:
    """Make the plan and the label folders in a locked folder; refuse to mix with existing files.

    What a killed run had not finished is removed: of the recordings of a `shard`, or of all if nobody else is
    at work here.
    """
    try:
        if not shard:
            remove_parts(folder, (PLAN,))
        if resume and (folder / PLAN).exists():
            if read_bytes(folder / PLAN) != plan:
                raise EventFileError(
                    folder, f"was begun with other images, camera, seed or version: compare {PLAN} in it"
                )
            own = set(shard)
            for leftover in folder.glob("*/*.part"):
                if not shard or leftover.with_name(leftover.name.rsplit(".", 2)[0]) in own:
                    leftover.unlink(missing_ok=True)
        elif any(not _is_ours(path.name, bool(shard)) for path in folder.iterdir()):
            raise EventFileError(folder, "the folder is not empty; remove it or name another")
        if not (shard and (folder / PLAN).exists()):
            with replace_file(folder / PLAN, unwritable(folder / PLAN)) as file:
                file.write(plan)
        for label in labels:
            (folder / label).mkdir(exist_ok=True)
    except OSError as error:
        if isinstance(error, EventFileError):
            raise
        raise EventFileError(folder, f"cannot be made: {error.strerror or error}") from error
