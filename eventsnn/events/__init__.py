"""Event streams: what a recording is, the files it comes from, a camera and encoders that make one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsnn.events.stream import EVENT_DTYPE, EventStream
from eventsnn.lazy import on_demand

if TYPE_CHECKING:
    from eventsnn.events.audio import Sound, read_sound
    from eventsnn.events.camera import SaccadeCamera
    from eventsnn.events.cochlea import Cochlea
    from eventsnn.events.encode import BSA, Bernoulli, Delta, Latency, Poisson
    from eventsnn.events.files import detect_format, read, write, write_parts
    from eventsnn.events.live import UDPSource, send_events
    from eventsnn.events.motion import MotionPath, Saccade
    from eventsnn.events.nmnist_motion import NMNIST_MOTION, NMNIST_SACCADES
    from eventsnn.events.reading import ReadingOptions
    from eventsnn.events.recording import Recording, open_events
    from eventsnn.events.region import Region
    from eventsnn.events.speech import SpeechEncoder
    from eventsnn.events.stabilisation import NMNIST_DRIFT, Stabilisation, stabilise

# The file formats are many, and simulating events from memory needs none.
__getattr__ = on_demand(
    __name__,
    {
        "SaccadeCamera": "eventsnn.events.camera",
        "MotionPath": "eventsnn.events.motion",
        "Saccade": "eventsnn.events.motion",
        "NMNIST_MOTION": "eventsnn.events.nmnist_motion",
        "NMNIST_SACCADES": "eventsnn.events.nmnist_motion",
        **dict.fromkeys(("Sound", "read_sound"), "eventsnn.events.audio"),
        **dict.fromkeys(("BSA", "Bernoulli", "Delta", "Latency", "Poisson"), "eventsnn.events.encode"),
        "Cochlea": "eventsnn.events.cochlea",
        "SpeechEncoder": "eventsnn.events.speech",
        **dict.fromkeys(("NMNIST_DRIFT", "Stabilisation", "stabilise"), "eventsnn.events.stabilisation"),
        **dict.fromkeys(("detect_format", "read", "write", "write_parts"), "eventsnn.events.files"),
        **dict.fromkeys(("Recording", "open_events"), "eventsnn.events.recording"),
        "ReadingOptions": "eventsnn.events.reading",
        "Region": "eventsnn.events.region",
        **dict.fromkeys(("UDPSource", "send_events"), "eventsnn.events.live"),
    },
)

__all__ = [
    "BSA",
    "EVENT_DTYPE",
    "NMNIST_DRIFT",
    "NMNIST_MOTION",
    "NMNIST_SACCADES",
    "Bernoulli",
    "Cochlea",
    "Delta",
    "EventStream",
    "Latency",
    "MotionPath",
    "Poisson",
    "ReadingOptions",
    "Recording",
    "Region",
    "Saccade",
    "SaccadeCamera",
    "Sound",
    "SpeechEncoder",
    "Stabilisation",
    "UDPSource",
    "detect_format",
    "open_events",
    "read",
    "read_sound",
    "send_events",
    "stabilise",
    "write",
    "write_parts",
]
