"""``eventsnn synth``: images become recordings of a simulated event camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn._util.ranks import Ranks, find_ranks
from eventsnn._util.words import number_of
from eventsnn.cli.common import (
    FILE,
    file_option,
    format_size,
    json_option,
    report,
    seed_option,
    threads_option,
)
from eventsnn.cli.output import output_argument
from eventsnn.cli.shards import shard_option
from eventsnn.data.shard import Shard
from eventsnn.errors import EventFileError

if TYPE_CHECKING:
    import numpy as np

    from eventsnn.encode import SaccadeCamera
    from eventsnn.events import MotionPath

DIGITS = "digits"
GESTURES = "gestures"

MNIST_SIZE = (28, 28)
# In N-MNIST an image of 28 x 28 pixels is seen by a sensor of 34 x 34: the rest is room for the saccades.
IMAGE_SHARE = 28 / 34


@click.command()
@output_argument("OUT", "The folder to write.")
@click.option(
    "--images",
    required=True,
    metavar="SOURCE",
    help="A folder of IDX files (MNIST's, EMNIST's), one IDX file of images, an .npz file with arrays images "
    "and labels, 'digits' (scikit-learn's), or 'gestures' (moving hands, eleven classes of motion).",
)
@click.option("--labels", type=FILE, metavar="FILE", help="IDX file of labels, for one IDX file of images.")
@click.option("--split", type=click.Choice(["train", "test"]), help="Only this part of a folder.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N images (of each part)."
)
@file_option(
    "--leave-out",
    "DIR",
    "Leave out the images whose numbers are names of recordings in DIR, as N-MNIST names them.",
)
@click.option(
    "--transpose/--no-transpose",
    default=None,
    help="Exchange rows and columns of IDX images; by default only for files named emnist*.",
)
@file_option(
    "--motion",
    "FILE",
    "Path of the images instead of N-MNIST's: lines of time (ms, from 0), dx, dy (pixels), separated by "
    "commas.",
)
@click.option("--width", type=click.IntRange(8, 1280), metavar="W", help="Width of the sensor, pixels.")
@click.option("--height", type=click.IntRange(8, 1280), metavar="H", help="Height of the sensor, pixels.")
@click.option("--resume", is_flag=True, help="Continue an earlier run into OUT that was stopped.")
@seed_option(0, "Seed of the background events, and of gestures.")
@shard_option("All shards go to the same folder.")
@threads_option
@json_option
def synth(out: Path, images: str, as_json: bool, **chosen: Any) -> None:
    """Turn images into recordings of a simulated event camera.

    The camera looks at each image with three saccades, as in N-MNIST. Writes OUT/<label>/<number>.bin
    in N-MNIST's format; for a folder and for 'digits' OUT/Train and OUT/Test. The sensor is 34 x 34 pixels
    (20 x 20 for 'digits') unless --width and --height say otherwise; the images are scaled to fit.
    'gestures' are hands before 128 x 128 pixels, in OUT/<part>/<class>/<number>.es.

    \b
    Example:
      eventsnn synth recordings --images mnist
      eventsnn synth recordings --images digits
      eventsnn synth gestures --images gestures
      eventsnn synth recordings --images train-images-idx3-ubyte --labels train-labels-idx1-ubyte
    """
    ranks = find_ranks()
    if ranks.size > 1 and not chosen["resume"]:
        ranks.of_first(lambda: _refuse_used(out))
    wanted = Wanted(**chosen, ranks=ranks)
    source = Path(images)
    kind = _kind_of(images)
    _check_use(kind, wanted)
    if kind == GESTURES:
        n, camera = _record_gestures(out, wanted)
    elif kind == DIGITS:
        n, camera = _record_digits(out, wanted)
    elif kind == "folder":
        n, camera = _record_folder(source, out, wanted)
    else:
        n, camera = _record_file(source, out, wanted)
    result = {"out": str(out), "recordings": n, "sensor": list(camera.sensor_size)}
    which = "" if wanted.shard is None else f"shard {wanted.shard} of "
    text = f"{which}{number_of(n, 'recording')} in {out}, sensor {format_size(camera.sensor_size)}"
    if kind != GESTURES and camera.sensor_size != (34, 34, 2):
        text += (
            "\nTheir files do not state it: commands that read them take it from the model, or from --sensor."
        )
    report(result, text, as_json)


@dataclass(frozen=True)
class Wanted:
    """The options for recording."""

    labels: Path | None
    split: str | None
    limit: int | None
    leave_out: Path | None
    transpose: bool | None
    motion: Path | None
    width: int | None
    height: int | None
    resume: bool
    shard: Shard | None
    seed: int
    threads: int | None
    ranks: Ranks

    def how(self, bar: Any) -> dict[str, Any]:
        """Arguments that all writers of recordings take."""
        return {
            "seed": self.seed,
            "threads": self.threads,
            "resume": self.resume,
            "shard": Shard.of_rank(self.ranks) if self.ranks.size > 1 else self.shard,
            "progress": bar.update,
        }


def _refuse_used(folder: Path) -> None:
    """Refuse a folder that holds something: shards, which go on where they find their own, would not."""
    if folder.is_dir() and any(folder.iterdir()):
        raise EventFileError(folder, "the folder is not empty; remove it or name another, or give --resume")


def _kind_of(images: str) -> str:
    if images in (DIGITS, GESTURES):
        return images
    path = Path(images)
    return "folder" if path.is_dir() else "npz" if path.suffix == ".npz" else "idx"


def _check_use(kind: str, wanted: Wanted) -> None:
    """Refuse options that do not go with the kind of images."""
    if kind == "idx" and wanted.labels is None:
        raise click.UsageError("An IDX file of images needs --labels.")
    if kind != "idx" and wanted.labels is not None:
        raise click.UsageError("--labels goes with an IDX file of images only.")
    if kind not in ("idx", "folder") and wanted.transpose is not None:
        raise click.UsageError("--transpose goes with IDX files only.")
    if kind != "folder" and (wanted.split is not None or wanted.leave_out is not None):
        raise click.UsageError("--split and --leave-out go with a folder of IDX files only.")
    if wanted.leave_out is not None and wanted.split is None:
        raise click.UsageError("--leave-out needs --split: its numbers are those of one part.")
    if kind == GESTURES and wanted.motion is not None:
        raise click.UsageError("--motion goes with images, not with gestures.")
    if kind != GESTURES and ((wanted.width or 0) > 256 or (wanted.height or 0) > 240):
        raise click.UsageError("Files in N-MNIST's format hold 256 x 240 pixels at most (--width, --height).")


def _record_gestures(out: Path, wanted: Wanted) -> tuple[int, SaccadeCamera]:
    from eventsnn.data.gestures import GESTURES_CAMERA, N_TEST, N_TRAIN, write_gestures
    from eventsnn.train.progress import progress_bar

    camera = GESTURES_CAMERA
    camera = replace(camera, width=wanted.width or camera.width, height=wanted.height or camera.height)
    n = sum(min(part, wanted.limit or part) for part in (N_TRAIN, N_TEST))
    with progress_bar(n, "recording", True) as bar:
        return write_gestures(out, camera, limit=wanted.limit, **wanted.how(bar)), camera


def _record_digits(out: Path, wanted: Wanted) -> tuple[int, SaccadeCamera]:
    from eventsnn.data.digits import load_digits
    from eventsnn.data.synth import DIGITS_CAMERA, write_digits
    from eventsnn.train.progress import progress_bar

    digits = load_digits()
    camera = _adapt(DIGITS_CAMERA, wanted, digits.images.shape[1:], (8, 8))
    n = sum(len(part[: wanted.limit]) for part in (digits.train, digits.test))
    with progress_bar(n, "recording", True) as bar:
        write_digits(out, camera, limit=wanted.limit, **wanted.how(bar))
    return n, camera


def _record_folder(source: Path, out: Path, wanted: Wanted) -> tuple[int, SaccadeCamera]:
    from eventsnn.data.idx import load_idx
    from eventsnn.data.synth import write_idx_folder
    from eventsnn.encode.camera import SaccadeCamera
    from eventsnn.train.progress import progress_bar

    splits: Any = ("train", "test") if wanted.split is None else (wanted.split,)
    left_out = [] if wanted.leave_out is None else _numbers_in(wanted.leave_out)
    shapes = [load_idx(source, split, transpose=wanted.transpose)[0].shape for split in splits]
    camera = _adapt(SaccadeCamera(), wanted, shapes[0][1:], MNIST_SIZE)
    most = sum(min(shape[0], wanted.limit or shape[0]) for shape in shapes)
    with progress_bar(most, "recording", True) as bar:
        n = write_idx_folder(
            source,
            out,
            camera=camera,
            splits=splits,
            limit=wanted.limit,
            leave_out=left_out,
            transpose=wanted.transpose,
            **wanted.how(bar),
        )
    return n, camera


def _record_file(source: Path, out: Path, wanted: Wanted) -> tuple[int, SaccadeCamera]:
    from eventsnn.data.synth import write_dataset
    from eventsnn.encode.camera import SaccadeCamera
    from eventsnn.train.progress import progress_bar

    if wanted.labels is None:
        pictures, classes = _read_npz(source)
    else:
        pictures, classes = _read_idx(source, wanted.labels, wanted.transpose)
    pictures, classes = pictures[: wanted.limit], classes[: wanted.limit]
    camera = _adapt(SaccadeCamera(), wanted, pictures.shape[1:], MNIST_SIZE)
    with progress_bar(len(pictures), "recording", True) as bar:
        write_dataset(pictures, classes, out, camera=camera, **wanted.how(bar))
    return len(pictures), camera


def _adapt(
    camera: SaccadeCamera, wanted: Wanted, image: tuple[int, ...], made_for: tuple[int, int]
) -> SaccadeCamera:
    """The camera for these images, with the motion and the sensor that are wanted.

    For images of the size `made_for` and its own sensor its scale stays; others are scaled to fit.
    """
    if wanted.motion is not None:
        path = _read_motion(wanted.motion)
        if not path.times_ms[-1] > 0:
            raise EventFileError(wanted.motion, "a motion needs two points or more")
        camera = replace(camera, motion=path, offset_px=(0.0, 0.0), duration_ms=path.times_ms[-1])
    width, height = wanted.width or camera.width, wanted.height or camera.height
    if (width, height, *image) == (camera.width, camera.height, *made_for):
        return camera
    scale = IMAGE_SHARE * min(width / image[1], height / image[0])
    return replace(camera, width=width, height=height, scale=scale)


def _numbers_in(folder: Path) -> list[int]:
    """Numbers that name the recordings of a folder of label folders."""
    from eventsnn.data import NMNIST

    stems = [Path(path).stem for path in NMNIST(folder).paths]
    unclear = [stem for stem in stems if not stem.isdecimal()]
    if unclear:
        raise EventFileError(folder, f"recordings must be named by numbers, as N-MNIST's are: {unclear[0]}")
    return [int(stem) for stem in stems]


def _read_motion(path: Path) -> MotionPath:
    import numpy as np

    from eventsnn.errors import SimulationError
    from eventsnn.events.motion import MotionPath

    try:
        columns = np.loadtxt(path, delimiter=",", ndmin=2)
    except FileNotFoundError:
        raise EventFileError(path, "no such file") from None
    except (OSError, ValueError) as error:
        raise EventFileError(path, f"cannot be read as lines of time, dx, dy ({error})") from error
    if columns.shape[1:] != (3,):
        raise EventFileError(path, f"three columns are needed (time, dx, dy): got {columns.shape[1]}")
    try:
        return MotionPath(*columns.T)
    except SimulationError as error:
        raise EventFileError(path, str(error)) from None


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    try:
        with np.load(path) as arrays:
            missing = {"images", "labels"} - set(arrays)
            if missing:
                names = ", ".join(arrays) or "none"
                raise EventFileError(path, f"needs arrays named images and labels; arrays here: {names}")
            return _check(path, arrays["images"], arrays["labels"])
    except FileNotFoundError:
        raise EventFileError(path, "no such file") from None
    except (OSError, ValueError) as error:
        if isinstance(error, EventFileError):
            raise
        raise EventFileError(path, f"cannot be read as .npz ({error})") from None


def _read_idx(images: Path, labels: Path, transpose: bool | None) -> tuple[np.ndarray, np.ndarray]:
    from eventsnn.data.idx import is_transposed, read_idx

    pictures, classes = _check(images, read_idx(images), read_idx(labels))
    if is_transposed(images) if transpose is None else transpose:
        pictures = pictures.transpose(0, 2, 1)
    return pictures, classes


def _check(path: Path, images: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Check what `write_dataset` would refuse without naming the file."""
    if images.ndim != 3 or images.dtype != "uint8":
        raise EventFileError(
            path, f"images must be uint8 of shape (n, height, width), got {images.dtype} {images.shape}"
        )
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise EventFileError(
            path,
            f"labels must be whole numbers, one for each of {number_of(len(images), 'image')}: got "
            f"{labels.dtype} {labels.shape}",
        )
    return images, labels
