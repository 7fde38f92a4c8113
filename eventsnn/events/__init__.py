"""Event streams, and the files that recordings come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsnn._util.lazy import on_demand
from eventsnn.events.stream import EVENT_DTYPE, EventStream

if TYPE_CHECKING:
    from eventsnn.events.files import detect_format, read, write, write_parts
    from eventsnn.events.live import UDPSource, send_events
    from eventsnn.events.motion import MotionPath, Saccade
    from eventsnn.events.nmnist_motion import NMNIST_MOTION, NMNIST_SACCADES
    from eventsnn.events.reading import ReadingOptions
    from eventsnn.events.recording import Recording, open_events
    from eventsnn.events.region import Region
    from eventsnn.events.stabilisation import NMNIST_DRIFT, Stabilisation, stabilise

# The file formats are many, and simulating events from memory needs none.
__getattr__ = on_demand(
    __name__,
    {
        "MotionPath": "eventsnn.events.motion",
        "Saccade": "eventsnn.events.motion",
        "NMNIST_MOTION": "eventsnn.events.nmnist_motion",
        "NMNIST_SACCADES": "eventsnn.events.nmnist_motion",
        **dict.fromkeys(("NMNIST_DRIFT", "Stabilisation", "stabilise"), "eventsnn.events.stabilisation"),
        **dict.fromkeys(("detect_format", "read", "write", "write_parts"), "eventsnn.events.files"),
        **dict.fromkeys(("Recording", "open_events"), "eventsnn.events.recording"),
        "ReadingOptions": "eventsnn.events.reading",
        "Region": "eventsnn.events.region",
        **dict.fromkeys(("UDPSource", "send_events"), "eventsnn.events.live"),
    },
    moved=dict.fromkeys(
        (
            *("BSA", "Bernoulli", "Cochlea", "Delta", "Latency", "Poisson", "SaccadeCamera"),
            *("Sound", "SpeechEncoder", "read_sound"),
        ),
        "eventsnn.encode",
    ),
)

__all__ = [
    "EVENT_DTYPE",
    "NMNIST_DRIFT",
    "NMNIST_MOTION",
    "NMNIST_SACCADES",
    "EventStream",
    "MotionPath",
    "ReadingOptions",
    "Recording",
    "Region",
    "Saccade",
    "Stabilisation",
    "UDPSource",
    "detect_format",
    "open_events",
    "read",
    "send_events",
    "stabilise",
    "write",
    "write_parts",
]
