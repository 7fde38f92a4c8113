"""``eventsnn synth``: images become recordings of a simulated event camera."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn.cli.common import FILE, format_size, json_option, report, seed_option, threads_option
from eventsnn.errors import EventFileError

if TYPE_CHECKING:
    import numpy as np

    from eventsnn.events import SaccadeCamera

DIGITS = "digits"

# In N-MNIST an image of 28 x 28 pixels is seen by a sensor of 34 x 34: the rest is room for the saccades.
IMAGE_SHARE = 28 / 34


@click.command()
@click.argument("out", type=FILE, metavar="OUT")
@click.option(
    "--images",
    required=True,
    metavar="SOURCE",
    help="'digits' (scikit-learn's), an .npz file with arrays images and labels, or an IDX file of images.",
)
@click.option("--labels", type=FILE, metavar="FILE", help="IDX file of labels, for an IDX file of images.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The first N images only.")
@click.option("--width", type=click.IntRange(8, 256), metavar="W", help="Width of the sensor, pixels.")
@click.option("--height", type=click.IntRange(8, 240), metavar="H", help="Height of the sensor, pixels.")
@seed_option(0, "Seed of the background events.")
@threads_option
@json_option
def synth(
    out: Path,
    images: str,
    labels: Path | None,
    limit: int | None,
    width: int | None,
    height: int | None,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Turn images into recordings of a simulated event camera.

    The camera looks at each image with three saccades, as N-MNIST was made. Writes OUT/<label>/<number>.bin
    in N-MNIST's format; for 'digits' OUT/Train and OUT/Test. The sensor is 34 x 34 pixels
    (20 x 20 for 'digits') unless --width and --height say otherwise; the images are scaled to fit.

    \b
    Example:
      eventsnn synth recordings --images digits
      eventsnn synth recordings --images train-images-idx3-ubyte --labels train-labels-idx1-ubyte
    """
    from eventsnn.data.digits import load_digits
    from eventsnn.data.synth import DIGITS_CAMERA, write_dataset, write_digits
    from eventsnn.events import SaccadeCamera
    from eventsnn.train.progress import progress_bar

    is_idx = images != DIGITS and Path(images).suffix != ".npz"
    if is_idx != (labels is not None):
        raise click.UsageError(
            "An IDX file of images needs --labels."
            if is_idx
            else "--labels goes with an IDX file of images only."
        )
    if images == DIGITS:
        digits = load_digits()
        camera = _resize(DIGITS_CAMERA, width, height, digits.images.shape[1:])
        n = sum(len(part[:limit]) for part in (digits.train, digits.test))
        with progress_bar(n, "recording", True) as bar:
            write_digits(out, camera, seed, limit, progress=bar.update, threads=threads)
    else:
        pictures, classes = _read_npz(Path(images)) if labels is None else _read_idx(Path(images), labels)
        pictures, classes = pictures[:limit], classes[:limit]
        camera = _resize(SaccadeCamera(), width or 34, height or 34, pictures.shape[1:])
        n = len(pictures)
        with progress_bar(n, "recording", True) as bar:
            write_dataset(
                pictures, classes, out, camera=camera, seed=seed, progress=bar.update, threads=threads
            )
    result = {"out": str(out), "recordings": n, "sensor": list(camera.sensor_size)}
    text = f"{n} recordings in {out}, sensor {format_size(camera.sensor_size)}"
    if camera.sensor_size != SaccadeCamera().sensor_size:
        text += (
            "\nTheir files do not state it: commands that read them take it from the model, or from --sensor."
        )
    report(result, text, as_json)


def _resize(
    camera: SaccadeCamera, width: int | None, height: int | None, image: tuple[int, ...]
) -> SaccadeCamera:
    """The camera with another sensor, and the image scaled to it; as it is if neither is given."""
    if width is None and height is None:
        return camera
    width, height = width or camera.width, height or camera.height
    scale = IMAGE_SHARE * min(width / image[1], height / image[0])
    return replace(camera, width=width, height=height, scale=scale)


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    try:
        with np.load(path) as arrays:
            missing = {"images", "labels"} - set(arrays)
            if missing:
                found = ", ".join(arrays) or "none"
                raise EventFileError(path, f"needs arrays named images and labels; arrays here: {found}")
            return _check(path, arrays["images"], arrays["labels"])
    except FileNotFoundError:
        raise EventFileError(path, "no such file") from None
    except (OSError, ValueError) as error:
        if isinstance(error, EventFileError):
            raise
        raise EventFileError(path, f"cannot be read as .npz ({error})") from None


def _read_idx(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    from eventsnn.data.idx import read_idx

    return _check(images, read_idx(images), read_idx(labels))


def _check(path: Path, images: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """What `write_dataset` would refuse without naming the file."""
    if images.ndim != 3 or images.dtype != "uint8":
        raise EventFileError(
            path, f"images must be uint8 of shape (n, height, width), got {images.dtype} {images.shape}"
        )
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise EventFileError(
            path, f"{len(images)} images need as many whole-number labels, got {labels.dtype} {labels.shape}"
        )
    return images, labels
