"""Moving hands: what is drawn is the union of strokes, and each class moves as its name says."""

from __future__ import annotations

import numpy as np
import pytest

from eventsnn.encode.gestures import GESTURES, Hand, Motion, Scene

RNG = np.random.default_rng


def test_frames_are_the_union_of_strokes() -> None:
    """Each pixel against the least distance to points along the axes, half a pixel of edge left out."""
    scene = Scene.draw("clockwise", 48, 40, RNG(3))
    times = np.array([0.0, 0.4, 1.0])
    poses = scene.motion.poses(times, 48, 40)
    y, x = np.mgrid[0:40, 0:48] + 0.5
    along = np.linspace(0.0, 1.0, 400)[:, None]
    for k, frame in enumerate(scene.frames(times)):
        assert (frame.dtype, frame.shape) == (np.float32, (40, 48))
        depth = np.full((40, 48), -np.inf)
        starts, ends = poses.place(scene.hand.starts)[k], poses.place(scene.hand.ends)[k]
        for start, end, radius in zip(starts, ends, scene.hand.radii * poses.size[k], strict=True):
            points = start + along * (end - start)
            distance = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1]).min(axis=2)
            depth = np.maximum(depth, radius - distance)
        assert (frame[depth > 0.6] == 1.0).all()
        assert (frame[depth < -0.6] == 0.0).all()
        assert 20 < (frame == 1.0).sum() < 700


@pytest.mark.parametrize("gesture", GESTURES)
@pytest.mark.parametrize("seed", range(4))
def test_gestures_move_as_their_names_say(gesture: str, seed: int) -> None:
    motion = Motion.draw(gesture, RNG(seed))
    poses = motion.poses(np.linspace(0.0, 1.0, 101), 128, 96)
    dx, dy = poses.x[-1] - poses.x[0], poses.y[-1] - poses.y[0]
    sideways, upright = {"right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1)}.get(gesture, (0, 0))
    if sideways or upright:
        forward = sideways * dx + upright * dy
        assert forward > 25
        assert abs(sideways * dy) + abs(upright * dx) < 0.3 * forward
    elif gesture.startswith("circling"):
        x, y = poses.x - poses.x.mean(), poses.y - poses.y.mean()
        # Down on the right and up on the left is clockwise, since y = 0 is on top.
        sense = np.sign((x[:-1] * np.diff(y) - y[:-1] * np.diff(x)).sum())
        assert sense == (-1 if "counter" in gesture else 1)
    else:
        assert np.ptp(poses.x) == np.ptp(poses.y) == 0
    turned = poses.angle[-1] - poses.angle[0]
    if gesture in ("clockwise", "counterclockwise"):
        assert (turned > 1.5) if gesture == "clockwise" else (turned < -1.5)
    elif gesture == "waving":
        assert (np.diff(np.sign(np.diff(poses.angle))) != 0).sum() >= 2
    else:
        assert turned == 0
    grown = poses.size[-1] / poses.size[0]
    assert (grown > 1.5) == (gesture == "approaching")
    assert (grown < 0.7) == (gesture == "receding")


def test_an_angle_turns_clockwise_as_seen() -> None:
    hand = Hand(np.array([[0.0, 0.0]]), np.array([[0.0, -1.0]]), np.array([0.1]))  # a finger that points up
    poses = Motion(angle=np.pi / 2, size=0.5).poses(np.array([0.0]), 100, 100)
    np.testing.assert_allclose(poses.place(hand.ends)[0, 0], [100.0, 50.0], atol=1e-9)  # to the right


@pytest.mark.parametrize("gesture", GESTURES)
def test_no_point_moves_by_more_than_a_pixel_between_frames(gesture: str) -> None:
    scene = Scene.draw(gesture, 128, 128, RNG(7))
    times = scene.times()
    assert (times[0], times[-1]) == (0.0, 1.0)
    poses = scene.motion.poses(times, 128, 128)
    points = poses.place(np.concatenate([scene.hand.starts, scene.hand.ends]))
    # The speed is that between poses a 256th apart; a curve is longer than its chords by a little.
    assert np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=2)).max() <= 1.01
