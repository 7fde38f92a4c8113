"""Event streams: what a recording is, the files it comes from, and a camera that makes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsnn.events.files import detect_format, read, write, write_parts
from eventsnn.events.recording import Recording, open_events
from eventsnn.events.stream import EVENT_DTYPE, EventStream
from eventsnn.lazy import on_demand

if TYPE_CHECKING:
    from eventsnn.events.camera import NMNIST_SACCADES, Saccade, SaccadeCamera

__getattr__ = on_demand(
    __name__, dict.fromkeys(("NMNIST_SACCADES", "Saccade", "SaccadeCamera"), "eventsnn.events.camera")
)

__all__ = [
    "EVENT_DTYPE",
    "NMNIST_SACCADES",
    "EventStream",
    "Recording",
    "Saccade",
    "SaccadeCamera",
    "detect_format",
    "open_events",
    "read",
    "write",
    "write_parts",
]
