"""Encoders by name, for experiment files and the command line; other packages may add theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar, Protocol

import numpy.typing as npt

from eventsnn._util.arguments import check_parameters
from eventsnn._util.registry import Registry
from eventsnn.errors import SimulationError
from eventsnn.events.stream import EventStream

INPUTS = {
    "values": "images (values 0 .. 1)",
    "signal": "signals (channels, steps)",
    "sound": "sounds",
}
"""What an encoder can take, as error texts call it."""


class Encoder(Protocol):
    """An encoder: a frozen dataclass whose fields are its settings.

    One that takes sounds also has a class method ``for_rate(sample_rate)``, which makes the encoder for
    sounds of so many samples a second, and the attributes `channels` and `sample_rate`; and `sensor_size` if
    its sensor is not a line of its channels.
    """

    takes: ClassVar[str]
    """A key of `INPUTS`."""
    random: ClassVar[bool]
    """Whether `encode` draws, and takes a `seed` and an `index` that name the draws."""

    def encode(self, values: npt.ArrayLike, /) -> EventStream:
        """Turn values into spikes; with ``random`` also takes `seed` and `index`, whole numbers >= 0."""


ENCODERS: Registry[Any] = Registry(
    "encoder",
    "encoder",
    {
        "bernoulli": "eventsnn.encode.rate:Bernoulli",
        "poisson": "eventsnn.encode.rate:Poisson",
        "latency": "eventsnn.encode.latency:Latency",
        "delta": "eventsnn.encode.delta:Delta",
        "bsa": "eventsnn.encode.bsa:BSA",
        "speech": "eventsnn.encode.speech:SpeechEncoder",
    },
    SimulationError,
    "eventsnn.encoders",
)
"""Encoder classes by name."""


def find_encoder(name: Any, takes: str) -> Any:
    """The class of an encoder.

    Raises
    ------
    SimulationError
        An unknown name, or an encoder of something else than `takes` (a key of `INPUTS`); the text lists
        those that fit.
    """
    cls = ENCODERS.get(name)
    if cls.takes != takes:
        fitting = ", ".join(known for known in ENCODERS.names() if ENCODERS.get(known).takes == takes)
        raise SimulationError(
            f"encoder {name!r} takes {INPUTS[cls.takes]}; for {INPUTS[takes]} there are {fitting}"
        )
    return cls


def make_encoder(name: str, takes: str, options: Mapping[str, Any], sample_rate: int | None = None) -> Any:
    """An encoder by name.

    Parameters
    ----------
    name : str
        See `ENCODERS`.
    takes : {"values", "signal", "sound"}
        What it is to encode.
    options : mapping
        Fields of the encoder and their values.
    sample_rate : int, optional
        Of the sounds, Hz; the encoder is then that of ``for_rate`` with these fields changed.

    Raises
    ------
    SimulationError
        An unknown name or field, a value out of range, or an encoder of something else.
    """
    cls = find_encoder(name, takes)
    check_parameters(f"encoder {name!r}", cls, options, SimulationError)
    if sample_rate is None:
        return cls(**options)
    return replace(cls.for_rate(sample_rate), **options)


def encoder_from_table(table: Mapping[str, Any]) -> Any:
    """An encoder of images from a table with its `name` ("bernoulli" if left out) and its fields."""
    options = {"name": "bernoulli", **table}
    return make_encoder(options.pop("name"), "values", options)


def encoder_to_table(encoder: Any) -> dict[str, Any]:
    """The inverse of `encoder_from_table`. "bernoulli" needs no name; a class that has none gets its own."""
    cls = type(encoder)
    name = next((name for name in ENCODERS.known if ENCODERS.get(name) is cls), cls.__qualname__)
    return ({} if name == "bernoulli" else {"name": name}) | asdict(encoder)


def encode_sample(encoder: Any, values: npt.ArrayLike, seed: int, index: int) -> EventStream:
    """Encode values; `seed` and `index` name the draws of an encoder that draws."""
    stream: EventStream = (
        encoder.encode(values, seed=seed, index=index) if encoder.random else encoder.encode(values)
    )
    return stream
