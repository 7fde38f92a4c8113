"""A simulated event camera that looks at a still image with three saccades, as in the making of N-MNIST.

The image stands as a dark digit on a bright screen. Three minimum-jerk movements carry it over the sensor; a
pixel emits an event whenever its log intensity has moved by its contrast threshold.

Orchard, Jayawant, Cohen, Thakor (2015). Converting static image datasets to spiking neuromorphic datasets
using saccades. Frontiers in Neuroscience 9:437. The movements are fits to recordings of N-MNIST, not the
settings of that paper's motors.

Flash, Hogan (1985). The coordination of arm movements: an experimentally confirmed mathematical model.
Journal of Neuroscience 5:1688 (minimum jerk).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from eventsnn._ext import camera as kernel
from eventsnn.errors import SimulationError
from eventsnn.events.stream import EVENT_DTYPE, EventStream, check_sensor_size

_SMALLEST_THRESHOLD = 0.01  # log intensity; a mismatched pixel is not to fire at every flicker


@dataclass(frozen=True)
class Saccade:
    """One movement of the image over the sensor.

    Parameters
    ----------
    start_ms, duration_ms : float
        When it begins, and how long it takes, milliseconds.
    dx_px, dy_px : float
        Where the image has moved when it ends, sensor pixels to the right and downwards.
    """

    start_ms: float
    duration_ms: float
    dx_px: float
    dy_px: float


NMNIST_SACCADES = (
    Saccade(3.64, 87.01, 1.692, 5.456),
    Saccade(102.95, 92.40, 2.735, -5.880),
    Saccade(207.16, 95.59, -5.542, -0.247),
)
"""Minimum-jerk movements fitted to 112 recordings of N-MNIST."""


@dataclass(frozen=True)
class SaccadeCamera:
    """An event camera in front of a screen, moved by saccades. The defaults imitate N-MNIST.

    Parameters
    ----------
    width, height : int
        Sensor size, pixels.
    scale : float
        Sensor pixels per image pixel.
    offset_px : tuple of 2 float
        Where the image's centre stands at first, relative to the sensor's centre: pixels to the right, down.
    saccades : tuple of Saccade
        The movements, one after the other.
    black_level : float
        Luminance of a black image on the screen relative to a white one (ambient light), 0 < level < 1.
    blur_px : float
        Standard deviation of the optical blur, sensor pixels.
    threshold_on, threshold_off : float
        Contrast thresholds: change of log intensity that makes an ON or OFF event.
    mismatch : float
        Standard deviation of the thresholds from pixel to pixel, relative. A fixed pattern of the camera.
    pattern_seed : int
        Seed of that pattern.
    refractory_ms : float
        Least time between two events of a pixel, milliseconds. A change of that time is reported at its end.
    noise_hz : float
        Rate of background events per pixel, of either polarity.
    duration_ms : float
        Length of the recording (of its background events), milliseconds.
    step_ms : float
        Time between two positions of a moving image, milliseconds; intensity is linear in between.

    Raises
    ------
    SimulationError
        A parameter is out of its range.
    """

    width: int = 34
    height: int = 34
    scale: float = 1.0
    offset_px: tuple[float, float] = (-2.1, -1.5)
    saccades: tuple[Saccade, ...] = NMNIST_SACCADES
    black_level: float = 0.25
    blur_px: float = 0.6
    threshold_on: float = 0.18
    threshold_off: float = 0.185
    mismatch: float = 0.03
    pattern_seed: int = 0
    refractory_ms: float = 1.7
    noise_hz: float = 0.28
    duration_ms: float = 310.0
    step_ms: float = 1.0

    def __post_init__(self) -> None:
        check_sensor_size((self.width, self.height, 2))
        for name in ("scale", "blur_px", "threshold_on", "threshold_off", "duration_ms", "step_ms"):
            if not 0 < getattr(self, name) < math.inf:
                raise SimulationError(f"SaccadeCamera: {name} must be positive: got {getattr(self, name)}")
        for name in ("mismatch", "refractory_ms", "noise_hz"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SimulationError(
                    f"SaccadeCamera: {name} must not be negative: got {getattr(self, name)}"
                )
        if not 0 < self.black_level < 1:
            raise SimulationError(
                f"SaccadeCamera: black_level must lie between 0 and 1: got {self.black_level}"
            )
        end = 0.0
        for saccade in self.saccades:
            if saccade.start_ms < end or not saccade.duration_ms > 0:
                raise SimulationError(
                    f"SaccadeCamera: saccades must follow one another: {saccade} starts before {end} ms"
                )
            end = saccade.start_ms + saccade.duration_ms
        if self.duration_ms < end:
            raise SimulationError(
                f"SaccadeCamera: duration_ms = {self.duration_ms} is before the last saccade's end, {end}"
            )

    @property
    def sensor_size(self) -> tuple[int, int, int]:
        """Width, height and the two polarities."""
        return (self.width, self.height, 2)

    def record(self, image: npt.ArrayLike, rng: np.random.Generator) -> EventStream:
        """Record an image.

        Parameters
        ----------
        image : array_like of shape (h, w), dtype uint8
            Ink: 0 is the bright screen, 255 the darkest part of the digit (as MNIST has it).
        rng : numpy.random.Generator
            Draws the background events.

        Returns
        -------
        EventStream
            Of sensor (width, height, 2), sorted by time, then pixel.

        Raises
        ------
        SimulationError
            The image is not a two-dimensional array of uint8.
        """
        ink = np.asarray(image)
        if ink.ndim != 2 or ink.size == 0 or ink.dtype != np.uint8:
            raise SimulationError(
                f"an image must be 2-D, dtype uint8: got shape {ink.shape}, dtype {ink.dtype}"
            )
        view = _view(self, *ink.shape)
        # Separable blur and position: one small matrix product per step and axis.
        dark = np.matmul(np.matmul(view.rows, ink.astype(np.float32)), view.columns)
        light = 1.0 - dark * np.float32((1.0 - self.black_level) / 255.0)
        light = light.reshape(len(view.times_us), -1)
        pixels, t, p = _detect(light, view, self.refractory_ms * 1000.0)
        noise_pixels, noise_t, noise_p = self._draw_noise(rng)
        pixels = np.concatenate((pixels, noise_pixels))
        t = np.concatenate((t, noise_t))
        p = np.concatenate((p, noise_p))

        order = np.lexsort((p, pixels, t))
        events = np.empty(len(t), EVENT_DTYPE)
        events["t"] = t[order]
        events["p"] = p[order]
        events["y"], events["x"] = np.divmod(pixels[order], self.width)
        return EventStream._trusted(events, self.sensor_size)

    def _draw_noise(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw pixels, times (us) and polarities of the background events."""
        n_pixels = self.width * self.height
        n = rng.poisson(self.noise_hz * self.duration_ms / 1000.0 * n_pixels)
        pixels = rng.integers(n_pixels, size=n, dtype=np.int32)
        t = rng.integers(max(int(self.duration_ms * 1000.0), 1), size=n)
        return pixels, t, rng.integers(2, size=n, dtype=np.uint8)


@dataclass(frozen=True)
class _View:
    """What recording any image of one size needs; all arrays are shared and read only.

    `times_us` (steps) float64; `rows` (steps, height, h) and `columns` (steps, w, width) float32 blur and
    place the image; `rise` and `fall` (pixels) float64 are the factors of light that make an event.
    """

    times_us: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    rise: np.ndarray
    fall: np.ndarray


@lru_cache(maxsize=4)
def _view(camera: SaccadeCamera, image_height: int, image_width: int) -> _View:
    times_us, dx, dy = _trajectory(camera)
    x, y = camera.offset_px
    rows = _placement(camera.height, image_height, camera.scale, camera.blur_px, y + dy)
    columns = _placement(camera.width, image_width, camera.scale, camera.blur_px, x + dx)
    rng = np.random.default_rng(camera.pattern_seed)
    spread = 1.0 + camera.mismatch * rng.standard_normal((2, camera.width * camera.height))
    on = np.maximum(camera.threshold_on * spread[0], _SMALLEST_THRESHOLD)
    off = np.maximum(camera.threshold_off * spread[1], _SMALLEST_THRESHOLD)
    columns = np.ascontiguousarray(columns.transpose(0, 2, 1))
    return _View(times_us, rows, columns, np.exp(on), np.exp(-off))


def _trajectory(camera: SaccadeCamera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sample times (us) and the displacement in x and y (pixels) at them.

    Only movements are sampled, and the end of the recording; in between nothing changes.
    """
    times, dx, dy = [np.zeros(1)], [np.zeros(1)], [np.zeros(1)]
    for saccade in camera.saccades:
        u = np.linspace(0.0, 1.0, math.ceil(saccade.duration_ms / camera.step_ms) + 1)
        path = u**3 * (10.0 - 15.0 * u + 6.0 * u**2)
        times.append(1000.0 * (saccade.start_ms + saccade.duration_ms * u))
        dx.append(dx[-1][-1] + saccade.dx_px * path)
        dy.append(dy[-1][-1] + saccade.dy_px * path)
    times.append(np.array([1000.0 * camera.duration_ms]))
    dx.append(dx[-1][-1:])
    dy.append(dy[-1][-1:])
    joined = np.concatenate(times)
    keep = np.concatenate(([True], np.diff(joined) > 0))
    return joined[keep], np.concatenate(dx)[keep], np.concatenate(dy)[keep]


def _placement(sensor: int, image: int, scale: float, blur: float, shift: np.ndarray) -> np.ndarray:
    """Return weights (steps, sensor, image) of each image pixel in each sensor pixel along one axis.

    An image pixel is a square of `scale` sensor pixels; its weight is its share of the Gaussian of standard
    deviation `blur` around the sensor pixel's centre: a difference of error functions over its two edges.
    """
    edges = (sensor - image * scale) / 2.0 + scale * np.arange(image + 1)
    centres = np.arange(sensor) + 0.5
    distance = shift[:, None, None] + edges - centres[:, None]
    below = np.frompyfunc(math.erf, 1, 1)(distance / (blur * math.sqrt(2.0))).astype(np.float64)
    return (np.diff(below, axis=2) / 2.0).astype(np.float32)


def _detect(
    light: np.ndarray, view: _View, refractory_us: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels, times (us) and polarities of the events that the light makes."""
    n_pixels = light.shape[1]
    state = np.empty((3, n_pixels))
    capacity = 8 * n_pixels
    while True:
        pixels = np.empty(capacity, np.int32)
        t = np.empty(capacity, np.int64)
        p = np.empty(capacity, np.uint8)
        n = kernel.detect_changes(
            light, view.times_us, view.rise, view.fall, refractory_us, state, pixels, t, p
        )
        if n <= capacity:
            return pixels[:n], t[:n], p[:n]
        capacity = n
