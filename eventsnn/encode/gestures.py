"""Moving shapes like hands, in eleven classes of motion: scenes for the simulated event camera.

A hand is a palm with two to five fingers, drawn at random, and it does one of eleven things: it moves to the
right, left, up or down, turns or circles in either sense, comes nearer or goes away, or waves. Place, size,
direction, speed and hand differ from scene to scene, so that only the motion tells the class. The classes
take after those of DVS128 Gesture, of which many differ in the sense of a motion alone.

Amir et al. (2017). A low power, fully event-based gesture recognition system. CVPR.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

GESTURES = (
    *("right", "left", "up", "down", "clockwise", "counterclockwise"),
    *("approaching", "receding", "circling_clockwise", "circling_counterclockwise", "waving"),
)
"""Names of the classes, in order."""

_SIZE = (0.16, 0.24)  # of a hand, from wrist to fingertip about twice as much; of the sensor's shorter side
_FINE = 256  # poses between which the longest way of a point is measured


@dataclass(frozen=True)
class Hand:
    """A union of strokes with round ends, in units of the hand's size around its centre.

    Attributes
    ----------
    starts, ends : ndarray of shape (strokes, 2)
        x to the right, y down.
    radii : ndarray of shape (strokes,)
    """

    starts: np.ndarray
    ends: np.ndarray
    radii: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Hand:
        """A palm, an arm's stump and two to five fingers, spread like a fan."""
        fingers = int(rng.integers(2, 6))
        spread = np.linspace(-1.0, 1.0, fingers) * rng.uniform(0.5, 1.0) + rng.normal(0.0, 0.06, fingers)
        tips = rng.uniform(0.85, 1.15, fingers)
        up = np.stack([np.sin(spread), -np.cos(spread)], axis=1)
        starts = np.concatenate([[[-0.18, 0.1], [0.0, 0.2]], 0.3 * up])
        ends = np.concatenate([[[0.18, 0.1], [0.0, 0.85]], tips[:, None] * up])
        radii = np.concatenate([[0.36, 0.22], rng.uniform(0.09, 0.14, fingers)])
        return cls(starts, ends, radii)


@dataclass(frozen=True)
class Poses:
    """Where a hand is at some times: all arrays of shape (times,).

    Attributes
    ----------
    x, y : ndarray
        Centre, pixels.
    angle : ndarray
        Clockwise as seen, radians.
    size : ndarray
        Pixels.
    """

    x: np.ndarray
    y: np.ndarray
    angle: np.ndarray
    size: np.ndarray

    def place(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 2) of a hand in pixels: shape (times, n, 2)."""
        cos, sin = np.cos(self.angle)[:, None], np.sin(self.angle)[:, None]
        size = self.size[:, None]
        x = self.x[:, None] + size * (cos * points[:, 0] - sin * points[:, 1])
        y = self.y[:, None] + size * (sin * points[:, 0] + cos * points[:, 1])
        return np.stack([x, y], axis=2)


@dataclass(frozen=True)
class Motion:
    """A gesture with all that is random about it, as functions of the time, 0 at the start and 1 at the end.

    Lengths are in units of the sensor's shorter side, places relative to its centre, angles in radians.
    """

    way: tuple[float, float] = (0.0, 0.0)  # of a straight motion, through `centre`
    centre: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    turn: float = 0.0
    size: float = 0.2
    growth: float = 1.0  # factor of size from start to end
    circle: float = 0.0  # radius
    phase: float = 0.0
    round: float = 0.0  # angle travelled on the circle
    swing: float = 0.0  # amplitude
    swings: float = 0.0

    @classmethod
    def draw(cls, gesture: str, rng: np.random.Generator) -> Motion:
        """A motion of a class of `GESTURES`."""
        sign = -1.0 if "counter" in gesture else 1.0
        x, y = rng.uniform(-0.08, 0.08, 2).tolist()
        start = cls(centre=(x, y), angle=rng.uniform(-0.5, 0.5), size=rng.uniform(*_SIZE))
        speed, phase = rng.uniform(0.7, 1.3), rng.uniform(0.0, 2.0 * math.pi)
        if gesture in GESTURES[:4]:
            towards = {"right": 0.0, "down": 0.5, "left": 1.0, "up": 1.5}[gesture] * math.pi
            towards += rng.uniform(-0.26, 0.26)
            length = 0.42 * speed
            return replace(start, way=(length * math.cos(towards), length * math.sin(towards)))
        if gesture in ("clockwise", "counterclockwise"):
            return replace(start, angle=phase, turn=sign * 2.4 * speed)
        if gesture in ("approaching", "receding"):
            growth = 1.0 + 1.1 * speed
            return replace(start, growth=growth if gesture == "approaching" else 1.0 / growth)
        if gesture.startswith("circling"):
            radius = rng.uniform(0.12, 0.2)
            return replace(start, circle=radius, phase=phase, round=sign * 4.4 * speed)
        return replace(start, swing=rng.uniform(0.4, 0.8), swings=2.0 * speed, phase=phase)

    def poses(self, times: np.ndarray, width: int, height: int) -> Poses:
        """Poses at times from 0 to 1 before a sensor of so many pixels."""
        unit, middle = float(min(width, height)), times - 0.5
        around = self.phase + self.round * times
        x = self.centre[0] + self.way[0] * middle + self.circle * np.cos(around)
        y = self.centre[1] + self.way[1] * middle + self.circle * np.sin(around)
        angle = self.angle + self.turn * times
        angle = angle + self.swing * np.sin(self.phase + 2.0 * math.pi * self.swings * times)
        size = self.size * self.growth**middle
        return Poses(width / 2.0 + unit * x, height / 2.0 + unit * y, angle, unit * size)


@dataclass(frozen=True)
class Scene:
    """A hand and what it does before a sensor.

    Parameters
    ----------
    hand : Hand
    motion : Motion
    width, height : int
        Of the frames, pixels.
    """

    hand: Hand
    motion: Motion
    width: int
    height: int

    @classmethod
    def draw(cls, gesture: str, width: int, height: int, rng: np.random.Generator) -> Scene:
        """A random scene of a class of `GESTURES`."""
        return cls(Hand.draw(rng), Motion.draw(gesture, rng), width, height)

    def times(self) -> np.ndarray:
        """Times of frames from 0 to 1, so close that no point of the hand moves by more than a pixel."""
        poses = self.motion.poses(np.linspace(0.0, 1.0, _FINE), self.width, self.height)
        points = poses.place(np.concatenate([self.hand.starts, self.hand.ends]))
        fastest = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=2)).max() * (_FINE - 1)
        grown = np.abs(np.diff(poses.size)).max() * (_FINE - 1) * self.hand.radii.max()
        return np.linspace(0.0, 1.0, max(2, math.ceil(fastest + grown) + 1))

    def frames(self, times: np.ndarray) -> Iterator[np.ndarray]:
        """Ink 0 .. 1, float32 of shape (height, width), at each time; edges are a pixel wide."""
        poses = self.motion.poses(times, self.width, self.height)
        starts, ends = poses.place(self.hand.starts), poses.place(self.hand.ends)
        for k in range(len(times)):
            frame = np.zeros((self.height, self.width), np.float32)
            for start, end, radius in zip(starts[k], ends[k], self.hand.radii * poses.size[k], strict=True):
                _draw_stroke(frame, start, end, float(radius))
            yield frame


def _draw_stroke(frame: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float) -> None:
    """Draw a stroke with round ends over what is there: ink within the radius around its axis."""
    height, width = frame.shape
    low = np.floor(np.minimum(start, end) - radius - 1.0)
    high = np.ceil(np.maximum(start, end) + radius + 1.0)
    x0, x1 = int(max(low[0], 0)), int(min(high[0], width))
    y0, y1 = int(max(low[1], 0)), int(min(high[1], height))
    if x0 >= x1 or y0 >= y1:
        return
    x = (np.arange(x0, x1) + 0.5 - start[0])[None, :]
    y = (np.arange(y0, y1) + 0.5 - start[1])[:, None]
    along_x, along_y = end - start
    length = max(along_x * along_x + along_y * along_y, 1e-12)
    share = np.clip((x * along_x + y * along_y) / length, 0.0, 1.0)
    distance = np.sqrt((x - share * along_x) ** 2 + (y - share * along_y) ** 2)
    ink = np.clip(radius + 0.5 - distance, 0.0, 1.0)
    part = frame[y0:y1, x0:x1]
    np.maximum(part, ink, out=part, casting="same_kind")
