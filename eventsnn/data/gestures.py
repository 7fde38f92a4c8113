"""A data set of moving shapes for networks of large sensors: eleven classes of motion, made with one seed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from eventsnn._util.arguments import check_seed, check_whole
from eventsnn.data.shard import Shard
from eventsnn.data.synth import write_recordings
from eventsnn.encode.camera import SaccadeCamera
from eventsnn.encode.gestures import GESTURES, Scene
from eventsnn.errors import TrainingError
from eventsnn.events.motion import MotionPath
from eventsnn.events.stream import EventStream

GESTURES_CAMERA = SaccadeCamera(
    width=128,
    height=128,
    scale=1.0,
    offset_px=(0.0, 0.0),
    motion=MotionPath.standing_still(),
    duration_ms=400.0,
    threshold_on=0.3,
    threshold_off=0.3,
)
"""The camera of N-MNIST, less sensitive, on a sensor of 128 x 128 pixels, as DVS128 Gesture's has: about
30,000 events in 400 ms.
"""

N_TRAIN, N_TEST = 1100, 275
"""Recordings of the parts, as many of each class; DVS128 Gesture has 1176 and 288."""


def write_gestures(
    out: str | os.PathLike[str],
    camera: SaccadeCamera = GESTURES_CAMERA,
    seed: int = 0,
    limit: int | None = None,
    progress: Callable[[int], object] | None = None,
    threads: int | None = None,
    resume: bool = False,
    shard: Shard | None = None,
) -> int:
    """Record moving hands of eleven classes into ``out/Train/<class>/`` and ``out/Test/<class>/``.

    Files are in the format Event Stream, which states the sensor. Classes take turns, so that any first
    recordings have them all.

    Parameters
    ----------
    out : path
        Folder to make; its ``Train`` and ``Test`` must not exist or be empty.
    camera : SaccadeCamera
        The camera; its `motion` is not used, a gesture takes its `duration_ms`.
    seed : int
        Seed of hands, motions and background events. Recording i comes from (seed, part, i) alone.
    limit : int, optional
        At most this many recordings of each part, the first ones.
    progress, threads, resume, shard
        See `write_dataset`.

    Returns
    -------
    int
        Number of recordings, those of all shards.

    Raises
    ------
    EventFileError, TrainingError
        See `write_dataset`.
    """
    seed = check_seed("seed", seed, TrainingError)
    if limit is not None:
        check_whole("limit", limit, TrainingError, 1)
    n = 0
    for part, (split, most) in enumerate((("Train", N_TRAIN), ("Test", N_TEST))):
        count = min(most, limit or most)

        def record(index: int, part: int = part) -> EventStream:
            return record_gesture(camera, index % len(GESTURES), np.random.default_rng([seed, part, index]))

        places = [Path(GESTURES[i % len(GESTURES)], f"{i + 1:05d}.es") for i in range(count)]
        plan = {"recordings": count, "scenes": "gestures", "part": split, "seed": seed}
        write_recordings(
            Path(out, split),
            places,
            {**plan, "camera": asdict(camera)},
            record,
            progress=progress,
            threads=threads,
            resume=resume,
            shard=shard,
        )
        n += count
    return n


def record_gesture(camera: SaccadeCamera, label: int, rng: np.random.Generator) -> EventStream:
    """Record a random hand that does the gesture of a class.

    Parameters
    ----------
    camera : SaccadeCamera
        The camera; the gesture takes its `duration_ms`.
    label : int
        Number of the class in `eventsnn.encode.gestures.GESTURES`.
    rng : numpy.random.Generator
        Draws the hand, the motion and the background events.

    Returns
    -------
    EventStream
        See `SaccadeCamera.record`.
    """
    scene = Scene.draw(GESTURES[label], camera.width, camera.height, rng)
    times = scene.times()
    return camera.record_frames(scene.frames(times), camera.duration_ms * times, rng)
