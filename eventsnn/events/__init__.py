"""Event streams: what a recording is, the files it comes from, and a camera that makes one."""

from __future__ import annotations

from eventsnn.events.camera import NMNIST_SACCADES, Saccade, SaccadeCamera
from eventsnn.events.files import detect_format, read, write
from eventsnn.events.stream import EVENT_DTYPE, EventStream

__all__ = [
    "EVENT_DTYPE",
    "NMNIST_SACCADES",
    "EventStream",
    "Saccade",
    "SaccadeCamera",
    "detect_format",
    "read",
    "write",
]
