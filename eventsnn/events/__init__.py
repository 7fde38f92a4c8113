"""Event streams: what a recording is, the files it comes from, and a camera that makes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsnn.events.stream import EVENT_DTYPE, EventStream
from eventsnn.lazy import on_demand

if TYPE_CHECKING:
    from eventsnn.events.camera import NMNIST_SACCADES, Saccade, SaccadeCamera
    from eventsnn.events.files import detect_format, read, write, write_parts
    from eventsnn.events.recording import Recording, open_events

# The file formats are many, and simulating events from memory needs none.
__getattr__ = on_demand(
    __name__,
    {
        **dict.fromkeys(("NMNIST_SACCADES", "Saccade", "SaccadeCamera"), "eventsnn.events.camera"),
        **dict.fromkeys(("detect_format", "read", "write", "write_parts"), "eventsnn.events.files"),
        **dict.fromkeys(("Recording", "open_events"), "eventsnn.events.recording"),
    },
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
