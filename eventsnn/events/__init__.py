"""Event streams: what a recording is, the files it comes from, and a camera that makes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsnn.events.files import detect_format, read, write
from eventsnn.events.stream import EVENT_DTYPE, EventStream
from eventsnn.lazy import on_demand

if TYPE_CHECKING:
    from eventsnn.events.camera import SaccadeCamera
    from eventsnn.events.motion import MotionPath, Saccade
    from eventsnn.events.nmnist_motion import NMNIST_MOTION, NMNIST_SACCADES

__getattr__ = on_demand(
    __name__,
    {
        "SaccadeCamera": "eventsnn.events.camera",
        "MotionPath": "eventsnn.events.motion",
        "Saccade": "eventsnn.events.motion",
        "NMNIST_MOTION": "eventsnn.events.nmnist_motion",
        "NMNIST_SACCADES": "eventsnn.events.nmnist_motion",
    },
)

__all__ = [
    "EVENT_DTYPE",
    "NMNIST_MOTION",
    "NMNIST_SACCADES",
    "EventStream",
    "MotionPath",
    "Saccade",
    "SaccadeCamera",
    "detect_format",
    "read",
    "write",
]
