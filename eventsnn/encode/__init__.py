"""Encoders of images, sound and values to events, with decoders where possible; one method per file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsnn._util.lazy import on_demand

if TYPE_CHECKING:
    from eventsnn.encode.audio import Sound, read_sound
    from eventsnn.encode.bsa import BSA, gaussian_kernel
    from eventsnn.encode.camera import SaccadeCamera
    from eventsnn.encode.cochlea import Cochlea
    from eventsnn.encode.delta import Delta
    from eventsnn.encode.encoders import ENCODERS, Encoder, make_encoder
    from eventsnn.encode.latency import Latency
    from eventsnn.encode.rate import Bernoulli, Poisson
    from eventsnn.encode.speech import SpeechEncoder

__getattr__ = on_demand(
    __name__,
    {
        **dict.fromkeys(("Sound", "read_sound"), "eventsnn.encode.audio"),
        **dict.fromkeys(("BSA", "gaussian_kernel"), "eventsnn.encode.bsa"),
        "SaccadeCamera": "eventsnn.encode.camera",
        "Cochlea": "eventsnn.encode.cochlea",
        "Delta": "eventsnn.encode.delta",
        "Latency": "eventsnn.encode.latency",
        **dict.fromkeys(("ENCODERS", "Encoder", "make_encoder"), "eventsnn.encode.encoders"),
        **dict.fromkeys(("Bernoulli", "Poisson"), "eventsnn.encode.rate"),
        "SpeechEncoder": "eventsnn.encode.speech",
    },
)

__all__ = [
    "BSA",
    "ENCODERS",
    "Bernoulli",
    "Cochlea",
    "Delta",
    "Encoder",
    "Latency",
    "Poisson",
    "SaccadeCamera",
    "Sound",
    "SpeechEncoder",
    "gaussian_kernel",
    "make_encoder",
    "read_sound",
]
