"""A simulated event camera: it records a moving image, as for N-MNIST, or a sequence of frames.

The image is dark ink on a bright screen and moves over the sensor, by default in N-MNIST's three
saccades. A pixel emits an event whenever its log intensity has changed by its contrast threshold.

Orchard, Jayawant, Cohen, Thakor (2015). Converting static image datasets to spiking neuromorphic datasets
using saccades. Frontiers in Neuroscience 9:437. All constants are fits to recordings of N-MNIST
(benchmarks/studies/fit_camera.py), not the settings of that paper's motors.

Lichtsteiner, Posch, Delbruck (2008). A 128x128 120 dB 15 us latency asynchronous temporal contrast vision
sensor. IEEE Journal of Solid-State Circuits 43:566 (the pixel: low-pass, thresholds, mismatch, refractory
period; background events are ON events, by leakage).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_kind, check_numbers, check_seed, to_float
from eventsnn._util.numbers import describe
from eventsnn._util.words import number_of
from eventsnn.encode.pixels import Pattern, Pixels
from eventsnn.errors import SimulationError
from eventsnn.events.motion import MotionPath
from eventsnn.events.nmnist_motion import NMNIST_MOTION
from eventsnn.events.stream import EVENT_DTYPE, EventStream, check_sensor_size

_SMALLEST_THRESHOLD = 0.01  # log intensity; a mismatched pixel is not to fire at every flicker


_BOUNDS = {
    "scale": (1e-6, 1e6),
    "black_level": (1e-6, 1.0 - 1e-6),
    "blur_px": (1e-6, 1000.0),
    "threshold_on": (1e-4, 1e6),
    "threshold_off": (1e-4, 1e6),
    "mismatch": (0.0, 10.0),
    "refractory_ms": (0.0, 1e9),
    "low_pass_ms": (0.0, 1e9),
    "noise_hz": (0.0, 1e6),
    "noise_bias": (0.0, 1.0),
    "noise_spread": (0.0, 10.0),
    "duration_ms": (1e-3, 1e9),
    "step_ms": (1e-3, 1e9),
}
"""Of the camera's parameters: beyond these a recording is empty, or takes the memory of any machine."""
_MOST_STEPS = 1_000_000
_MOST_NOISE = 100_000_000

_BLOCK = 1 << 17
"""Numbers of a block of frames before the sensor, 512 KiB: a recording is made block by block. Larger blocks
leave the caches, and the operating system clears their memory anew for every recording.
"""
_WEIGHTS = 1 << 21
"""Numbers of the weights that place an image at some of its steps, 8 MiB; four of these are kept."""


@dataclass(frozen=True)
class SaccadeCamera:
    """An event camera in front of a screen on which an image moves. The defaults imitate N-MNIST.

    Parameters
    ----------
    width, height : int
        Sensor size, pixels.
    scale : float
        Sensor pixels per image pixel.
    offset_px : tuple of 2 float
        Where the image's centre stands at first, relative to the sensor's centre: pixels to the right, down.
    motion : MotionPath
        How the image moves from there.
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
    low_pass_ms : float
        Time constant of the pixel's response to light, first order, milliseconds; 0: it follows at once.
    noise_hz : float
        Mean rate of background events per pixel, hertz.
    noise_bias : float
        0: background events are ON or OFF with equal chance; 1: all are ON, which leaking pixels make.
    noise_spread : float
        Standard deviation over the pixels of the logarithm of that rate. A fixed pattern of the camera.
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
    scale: float = 1.0089
    offset_px: tuple[float, float] = (-2.244, -1.760)
    motion: MotionPath = NMNIST_MOTION
    black_level: float = 0.243
    blur_px: float = 0.57
    threshold_on: float = 0.209
    threshold_off: float = 0.2055
    mismatch: float = 0.03
    pattern_seed: int = 0
    refractory_ms: float = 2.133
    low_pass_ms: float = 0.437
    noise_hz: float = 0.388
    noise_bias: float = 0.952
    noise_spread: float = 0.683
    duration_ms: float = 310.0
    step_ms: float = 1.0

    def __post_init__(self) -> None:
        check_sensor_size((self.width, self.height, 2))
        bounds = {name: {"least": least, "most": most} for name, (least, most) in _BOUNDS.items()}
        check_numbers(self, bounds, SimulationError, "SaccadeCamera: ")
        shift = self.offset_px
        if not isinstance(shift, tuple | list) or [abs(to_float(px)) <= 1e6 for px in shift] != [True, True]:
            raise SimulationError(f"SaccadeCamera: offset_px must be two numbers: got {describe(shift)}")
        check_seed("SaccadeCamera: pattern_seed", self.pattern_seed, SimulationError)
        check_kind("SaccadeCamera: motion", self.motion, MotionPath, SimulationError)
        if self.duration_ms > _MOST_STEPS * self.step_ms:
            raise SimulationError(
                f"SaccadeCamera: duration_ms {self.duration_ms:g} takes more than {_MOST_STEPS} steps of "
                f"step_ms {self.step_ms:g}"
            )
        if self.noise_hz * self.duration_ms * self.width * self.height > 1000.0 * _MOST_NOISE:
            raise SimulationError(
                f"SaccadeCamera: noise_hz {self.noise_hz:g} gives more than {_MOST_NOISE} background events"
            )
        if self.duration_ms < self.motion.times_ms[-1]:
            raise SimulationError(
                f"SaccadeCamera: duration_ms = {self.duration_ms} is before the motion's last point, "
                f"{self.motion.times_ms[-1]} ms"
            )

    @property
    def sensor_size(self) -> tuple[int, int, int]:
        """Width, height and the two polarities."""
        return (self.width, self.height, 2)

    def record(self, image: npt.ArrayLike, rng: np.random.Generator) -> EventStream:
        """Record an image that moves along `motion`, for `duration_ms`.

        Memory does not grow with the length of the motion: its steps are taken some at a time.

        Parameters
        ----------
        image : array_like of shape (h, w), dtype uint8 or float
            Ink: 0 is the bright screen; 255 (uint8) or 1.0 (float) the darkest part of the digit, as MNIST
            has it. Of a photograph pass its negative.
        rng : numpy.random.Generator
            Draws the background events.

        Returns
        -------
        EventStream
            Of sensor (width, height, 2), sorted by time, then pixel; times in microseconds.

        Raises
        ------
        SimulationError
            The image is not a two-dimensional array of uint8, or of floats in 0 .. 1.
        """
        ink = _to_ink(_check_ink(image, 2))
        times_us, x, y = _path(self)
        dark = _move(self, ink, x, y)
        return self._expose(dark, times_us, self.duration_ms, rng)

    def record_frames(
        self,
        frames: npt.ArrayLike | Iterator[npt.ArrayLike],
        times_ms: npt.ArrayLike,
        rng: np.random.Generator,
    ) -> EventStream:
        """Record a sequence of frames; the light of each pixel goes straight from frame to frame.

        What moves, moves in the frames: `motion` and `duration_ms` are not used. The recording lasts from
        the first frame to the last. Give frames so close that edges move by a pixel or less in between.
        Frames are taken some at a time: an iterator of frames takes no more memory for a long recording.

        Parameters
        ----------
        frames : array_like of shape (n, h, w), dtype uint8 or float, n >= 2, or iterator of n frames (h, w)
            Ink, as in `record`.
        times_ms : array_like of float, shape (n,)
            Times of the frames, milliseconds; the first is 0, each is later than the one before.
        rng
            As in `record`.

        Returns
        -------
        EventStream
            As `record` returns it.

        Raises
        ------
        SimulationError
            Frames or times are not as above.
        """
        try:
            times = np.asarray(times_ms, np.float64)
        except (TypeError, ValueError):
            raise SimulationError("times_ms must be numbers, one per frame") from None
        if not isinstance(frames, Iterator):
            frames = _check_ink(frames, 3)
            if times.shape != frames.shape[:1]:
                raise SimulationError(
                    f"one time for each frame is needed: got {number_of(len(frames), 'frame')}, "
                    f"times of shape {times.shape}"
                )
        if times.ndim != 1 or len(times) < 2:
            raise SimulationError(f"two frames or more are needed: got times_ms of shape {times.shape}")
        if times[0] != 0 or not (np.diff(times) > 0).all() or not np.isfinite(times[-1]):
            raise SimulationError("times_ms must begin with 0 and increase from frame to frame")
        dark = _place_frames(self, _check_frames(iter(frames), len(times)))
        return self._expose(dark, 1000.0 * times, float(times[-1]), rng)

    def _expose(
        self, dark: Iterator[np.ndarray], times_us: np.ndarray, duration_ms: float, rng: np.random.Generator
    ) -> EventStream:
        """Turn the ink before each pixel, blocks (steps, height, width), into a recording."""
        pattern = _pattern(self)
        cells = Pixels(pattern, 1000.0 * self.low_pass_ms, 1000.0 * self.refractory_ms)
        n = 0
        for block in dark:
            light = 1.0 - block * np.float32((1.0 - self.black_level) / 255.0)
            cells.see(light.reshape(len(block), -1), times_us[n : n + len(block)])
            n += len(block)
        pixels, t, p = cells.events()
        noise_pixels, noise_t, noise_p = self._draw_noise(pattern, duration_ms, rng)
        pixels = np.concatenate((pixels, noise_pixels))
        t = np.concatenate((t, noise_t))
        p = np.concatenate((p, noise_p))

        order = np.lexsort((p, pixels, t))
        events = np.empty(len(t), EVENT_DTYPE)
        events["t"] = t[order]
        events["p"] = p[order]
        events["y"], events["x"] = np.divmod(pixels[order], self.width)
        return EventStream._trusted(events, self.sensor_size)

    def _draw_noise(
        self, pattern: Pattern, duration_ms: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw pixels, times (us) and polarities of the background events."""
        n_pixels = self.width * self.height
        n = rng.poisson(self.noise_hz * duration_ms / 1000.0 * n_pixels)
        even = rng.integers(n_pixels, size=n, dtype=np.int32)
        t = rng.integers(max(int(duration_ms * 1000.0), 1), size=n)
        p = rng.integers(2, size=n, dtype=np.uint8)
        # Bent afterwards, so that a camera without pattern and bias draws nothing that it does not need.
        p |= rng.random(n) < self.noise_bias
        within = (even + rng.random(n)) / n_pixels
        pixels = np.searchsorted(pattern.noise_share, within, side="right")
        return np.minimum(pixels, n_pixels - 1).astype(np.int32), t, p


@lru_cache(maxsize=4)
def _path(camera: SaccadeCamera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (us) of an image's steps, and where its centre stands then, to the right and down, pixels."""
    times_us, dx, dy = camera.motion.sample(camera.duration_ms, camera.step_ms)
    x, y = camera.offset_px
    return times_us, x + dx, y + dy


def _move(camera: SaccadeCamera, ink: np.ndarray, x: np.ndarray, y: np.ndarray) -> Iterator[np.ndarray]:
    """Ink before each pixel, in blocks (steps, height, width), of an image whose centre is at (x, y)."""
    weights = camera.height * ink.shape[0] + camera.width * ink.shape[1]
    for chunk in _divide(len(x), _WEIGHTS // weights):
        rows, columns = _view(camera, *ink.shape, chunk.start, chunk.stop)
        for part in _divide(len(rows), _BLOCK // (camera.width * camera.height)):
            # Separable blur and position: one small matrix product per step and axis.
            yield np.matmul(np.matmul(rows[part], ink), columns[part])


def _place_frames(camera: SaccadeCamera, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Ink before each pixel, in blocks (steps, height, width), of frames (h, w)."""
    first = next(frames)
    x, y = camera.offset_px
    rows = _placement(camera.height, first.shape[0], camera.scale, camera.blur_px, np.array([y]))[0]
    columns = _placement(camera.width, first.shape[1], camera.scale, camera.blur_px, np.array([x]))[0]
    frames = chain([first], frames)
    size = max(_BLOCK // max(camera.width * camera.height, first.size), 1)
    while block := [_to_ink(frame) for frame in islice(frames, size)]:
        yield np.matmul(np.matmul(rows, np.stack(block)), columns.T)


@lru_cache(maxsize=4)
def _view(
    camera: SaccadeCamera, image_height: int, image_width: int, start: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    """`rows` (steps, height, h) and `columns` (steps, w, width), float32, that blur and place an image.

    Of some steps of its path. Both are shared by all recordings, and read only.
    """
    _, x, y = _path(camera)
    rows = _placement(camera.height, image_height, camera.scale, camera.blur_px, y[start:stop])
    columns = _placement(camera.width, image_width, camera.scale, camera.blur_px, x[start:stop])
    return rows, np.ascontiguousarray(columns.transpose(0, 2, 1))


@lru_cache(maxsize=4)
def _pattern(camera: SaccadeCamera) -> Pattern:
    rng = np.random.default_rng(camera.pattern_seed)
    spread = 1.0 + camera.mismatch * rng.standard_normal((2, camera.width * camera.height))
    on = np.maximum(camera.threshold_on * spread[0], _SMALLEST_THRESHOLD)
    off = np.maximum(camera.threshold_off * spread[1], _SMALLEST_THRESHOLD)
    rate = np.exp(camera.noise_spread * rng.standard_normal(camera.width * camera.height))
    share = np.cumsum(rate)
    return Pattern(np.exp(on), np.exp(-off), share / share[-1])


def _check_ink(image: npt.ArrayLike, n_dimensions: int) -> np.ndarray:
    """Return an image or frames as an array of uint8, or of floats in 0 .. 1."""
    ink = np.asarray(image)
    what = "an image must be 2-D" if n_dimensions == 2 else "frames must be 3-D (frame, row, column)"
    if ink.ndim != n_dimensions or ink.size == 0 or not (ink.dtype == np.uint8 or ink.dtype.kind == "f"):
        raise SimulationError(
            f"{what}, dtype uint8 or float, one channel: got shape {ink.shape}, dtype {ink.dtype}"
        )
    if ink.dtype != np.uint8 and not (ink.min() >= 0 and ink.max() <= 1):  # also refuses NaN
        raise SimulationError(f"ink as float must lie in 0 .. 1: got {ink.min()} .. {ink.max()}")
    return ink


def _check_frames(frames: Iterator[npt.ArrayLike], n: int) -> Iterator[np.ndarray]:
    """Frames that come one by one: `n` of one shape, each as `_check_ink` wants it."""
    shape, number = None, 0
    for frame in frames:
        ink = _check_ink(frame, 2)
        if ink.shape != (shape := shape or ink.shape):
            raise SimulationError(
                f"frames must have one shape: frame {number} has {ink.shape}, frame 0 {shape}"
            )
        number += 1
        if number > n:
            break
        yield ink
    if number != n:
        found = "more frames" if number > n else number_of(number, "frame")
        raise SimulationError(f"one time for each frame is needed: got {number_of(n, 'time')}, but {found}")


def _to_ink(image: np.ndarray) -> np.ndarray:
    """Ink as float32 in 0 .. 255."""
    ink = image.astype(np.float32)
    return ink if image.dtype == np.uint8 else ink * np.float32(255.0)


def _divide(n: int, size: int) -> Iterator[slice]:
    """Slices of `size` (at least 1) that cover 0 .. n."""
    size = max(size, 1)
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _placement(sensor: int, image: int, scale: float, blur: float, shift: np.ndarray) -> np.ndarray:
    """Return weights (steps, sensor, image) of each image pixel in each sensor pixel along one axis.

    An image pixel is a square of `scale` sensor pixels; its weight is its share of the Gaussian of standard
    deviation `blur` around the sensor pixel's centre: a difference of error functions over its two edges.
    """
    from scipy.special import erf  # here, for it takes its time and `import eventsnn` does not need it

    edges = (sensor - image * scale) / 2.0 + scale * np.arange(image + 1)
    centres = np.arange(sensor) + 0.5
    distance = shift[:, None, None] + edges - centres[:, None]
    below = erf(distance / (blur * math.sqrt(2.0)))
    return (np.diff(below, axis=2) / 2.0).astype(np.float32)
