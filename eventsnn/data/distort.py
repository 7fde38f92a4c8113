"""Distortion: random elastic fields, scales and rotations of images and recordings for training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_numbers
from eventsnn._util.numbers import check_magnitudes
from eventsnn.data.draws import draw, draw_many, to_unit_many
from eventsnn.errors import TrainingError
from eventsnn.events.stream import SensorSize

ROTATION, SCALE_X, SCALE_Y, FIELD = range(4)
"""Draws of an image or recording, by number: what each decides. Those from FIELD on are its elastic field,
the one after them is the key of the rounding of its events."""

_BOUNDS: dict[str, dict[str, float]] = {
    "elastic": {"least": 0.0},
    "smoothing": {"above": 0.0},
    "scale": {"least": 0.0, "below": 1.0},
    "rotation": {"least": 0.0, "most": 180.0},
}


@dataclass(frozen=True)
class Distortion:
    """A random elastic field, scale and rotation per image or recording, drawn again in every epoch.

    Each pixel p has a place ``c + S R (p - c) + d(p)``: c is the centre, R a rotation, S a diagonal matrix, d
    the elastic field. Pixel p of a changed *image* shows the original at its place; the values between pixels
    are interpolated linearly, those beyond the border are 0. An *event* of a recording goes from its pixel to
    the place of that pixel, rounded up or down at random, event by event, so that it is there on average;
    events that leave the sensor are dropped. A sensor of one row or column is not turned, and its events stay
    in it. d is a field of numbers uniform in -1..1, one per pixel and axis, smoothed by a Gaussian
    of unit sum and standard deviation `smoothing`, times `elastic`.

    Parameters
    ----------
    elastic : float
        Strength of the elastic field, pixels; 0 for none. Away from the border the displacement along an axis
        has a standard deviation of about ``0.163 elastic / smoothing`` pixels.
    smoothing : float
        Standard deviation of the Gaussian, pixels, above 0; cut at 2.5 of them.
    scale : float
        Largest change of size: a factor per axis, uniform in 1 - scale .. 1 + scale; 0 <= scale < 1.
    rotation : float
        Largest angle, degrees, 0 .. 180: uniform in -rotation .. rotation.

    Raises
    ------
    TrainingError
        A parameter is out of its range.

    Notes
    -----
    The HM2-BP authors (Jin, Zhang & Li, NeurIPS 2018) state a strength of 3.4, but their Gaussian does not
    sum to 1: it is exp(-r^2 / (2 s^2)) / (2 pi s) over 21 x 21 pixels with s = 4, which sums to 3.93. Their
    setting is therefore ``elastic=13.4`` here, and all of it is `AUTHORS_DISTORTION`. Simard, Steinkraus &
    Platt (ICDAR 2003), who proposed the method, have ``elastic=34, smoothing=4``.
    """

    elastic: float = 0.0
    smoothing: float = 4.0
    scale: float = 0.0
    rotation: float = 0.0

    def __post_init__(self) -> None:
        check_magnitudes(self, TrainingError, "distortion: ")
        check_numbers(self, _BOUNDS, TrainingError, "distortion: ")

    def apply(self, images: npt.NDArray[np.uint8], keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
        """Return changed images.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, height, width)
            Left as they are.
        keys : ndarray of uint64, shape (n,)
            Of the draws of each image, see `eventsnn.data.draws`: its change depends on this alone.

        Returns
        -------
        ndarray of uint8, shape (n, height, width)
        """
        from scipy.ndimage import map_coordinates

        n, height, width = images.shape
        changed = np.empty((n, height, width))
        for image, place, out in zip(images, self.places(keys, height, width), changed, strict=True):
            map_coordinates(image, place, out, order=1, mode="constant", prefilter=False)
        return np.rint(changed).astype(np.uint8)

    def move(self, events: np.ndarray, sensor_size: SensorSize, key: int) -> np.ndarray:
        """Return the events of a recording, moved.

        Parameters
        ----------
        events : structured ndarray of shape (n,)
            Fields x, y and more, all within the sensor; left as it is.
        sensor_size : tuple of 3 int
            Width, height, polarities.
        key : int
            Of the draws, see `eventsnn.data.draws`.

        Returns
        -------
        structured ndarray of shape (m,), m <= n
            Same dtype, same order.
        """
        width, height, _ = sensor_size
        places = self.places(np.array([key], np.uint64), height, width)[0].reshape(2, -1)
        pixels = events["y"].astype(np.intp) * width + events["x"]
        # Two halves of a draw per event: floor(place + u), u uniform in 0 .. 1, rounds without bias.
        bits = draw_many(draw(key, FIELD + 2 * height * width), len(events))
        keep, moved = np.ones(len(events), bool), {}
        for name, place, half, size in (
            ("y", places[0], bits >> np.uint64(32), height),
            ("x", places[1], bits & np.uint64(0xFFFFFFFF), width),
        ):
            at = place.take(pixels) if size > 1 else 0.0
            moved[name] = np.floor(at + half * 2.0**-32)
            keep &= (moved[name] >= 0) & (moved[name] < size)
        kept = np.flatnonzero(keep)
        changed = events.take(kept)
        for name, value in moved.items():
            changed[name] = value.take(kept)
        return changed

    def places(self, keys: npt.NDArray[np.uint64], height: int, width: int) -> npt.NDArray[np.float64]:
        """The place of each pixel under each key, (n, 2, height, width), y first, in pixels."""
        from scipy.ndimage import gaussian_filter1d

        units = 2.0 * to_unit_many(draw_many(keys, FIELD + 2 * height * width)) - 1.0
        places = self._turn(units[:, :FIELD], height, width)
        if self.elastic:
            field = units[:, FIELD:].reshape(len(keys), 2, height, width)
            for axis in (2, 3):
                field = gaussian_filter1d(field, self.smoothing, axis, mode="constant", truncate=2.5)
            places += self.elastic * field
        return places

    def turns(self, units: np.ndarray, height: int, width: int) -> npt.NDArray[np.float64]:
        """Cosine and sine of the angle, and the factors along y and x: float64 (n, 4).

        `units` are draws ROTATION, SCALE_X and SCALE_Y of each key as numbers in -1 .. 1, (n, 3).
        """
        most = self.rotation if min(height, width) > 1 else 0.0
        angle = np.deg2rad(most) * units[:, ROTATION]
        scales = [1.0 + self.scale * units[:, k] for k in (SCALE_Y, SCALE_X)]
        return np.stack([np.cos(angle), np.sin(angle), *scales], axis=1)

    def _turn(self, units: np.ndarray, height: int, width: int) -> np.ndarray:
        """The place of each pixel without the elastic field; (n, 2, height, width), y first."""
        y = np.arange(height)[:, None] - (height - 1) / 2
        x = np.arange(width)[None, :] - (width - 1) / 2
        cosine, sine, *scale = np.moveaxis(self.turns(units, height, width), 1, 0)[..., None, None]
        return np.stack(
            [
                scale[0] * (cosine * y - sine * x) + (height - 1) / 2,
                scale[1] * (sine * y + cosine * x) + (width - 1) / 2,
            ],
            axis=1,
        )


def unit_sum_strength(strength: float, sigma: float, radius: int) -> float:
    """`Distortion.elastic` for a strength stated with the Gaussian of the HM2-BP authors' program.

    Their Gaussian has the factor 1 / (2 pi sigma) where unit sum needs 1 / (2 pi sigma^2), over the pixels
    -radius .. radius along each axis: it sums to nearly sigma, 3.93 for sigma 4 and radius 10.
    """
    square = np.arange(-radius, radius + 1) ** 2
    one_axis = float(np.exp(-square / (2.0 * sigma**2)).sum())
    return strength * one_axis**2 / (2.0 * math.pi * sigma)


AUTHORS_DISTORTION = Distortion(
    elastic=unit_sum_strength(3.4, 4.0, 10), smoothing=4.0, scale=0.12, rotation=12.0
)
"""The HM2-BP authors' configuration for MNIST: strength 3.4 (13.4 pixels here), 12 %, 12 degrees."""
