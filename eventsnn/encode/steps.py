"""Spikes on a grid of steps: conversion between arrays and event streams."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_whole, to_float
from eventsnn._util.numbers import LARGEST, describe
from eventsnn.errors import SimulationError
from eventsnn.events.stream import EVENT_DTYPE, EventStream

Encoder = TypeVar("Encoder")


def take_ms(encoder: Any, **times_ms: float | None) -> None:
    """Set fields in microseconds, such as `step_us`, from arguments in ms, such as `step_ms`.

    Raises SimulationError, naming the field, unless it is a whole number of microseconds.
    """
    for name, value in times_ms.items():
        if value is None:
            continue
        owner = type(encoder).__name__.lower()
        time_us = 1000.0 * to_float(value)
        if not abs(time_us) <= LARGEST or abs(time_us - round(time_us)) > 1e-6:
            raise SimulationError(f"{owner}: {name} must be whole microseconds, in ms: got {describe(value)}")
        object.__setattr__(encoder, f"{name.removesuffix('_ms')}_us", round(time_us))


def _in_ms(field: str, encoder: Any) -> float:
    return float(getattr(encoder, field) / 1000)


def readable_ms(*names: str) -> Callable[[type[Encoder]], type[Encoder]]:
    """Class decorator: makes the arguments in ms of `take_ms` readable as attributes."""

    def decorate(encoder: type[Encoder]) -> type[Encoder]:
        for name in names:
            field = f"{name.removesuffix('_ms')}_us"
            setattr(encoder, name, property(partial(_in_ms, field), doc=f"`{field}` in ms."))
            # Else `dataclasses.replace` would pass on the old value in ms beside a new one in microseconds.
            del encoder.__dataclass_fields__[name]  # type: ignore[attr-defined]
        return encoder

    return decorate


def check_step(name: str, time_us: Any) -> None:
    """Raise SimulationError unless `time_us` is a whole number of microseconds, 1 or more."""
    check_whole(name, time_us, SimulationError, 1, LARGEST, "microseconds")


def from_raster(spikes: npt.NDArray[Any], step_us: int) -> EventStream:
    """Events of spikes (channels, steps), in order of time, then channel; sensor (channels, 1, 1).

    The spike of step i has the time ``(i + 1) * step_us``, the end of the step.
    """
    steps, channels = np.nonzero(spikes.T)
    events = np.zeros(len(steps), EVENT_DTYPE)
    events["t"] = (steps + 1) * step_us
    events["x"] = channels
    return EventStream(events, (len(spikes), 1, 1))


def to_raster(stream: EventStream, step_us: int, steps: int) -> npt.NDArray[np.float64]:
    """Number of spikes in each step (inputs, steps), the inverse of `from_raster`."""
    step, beside = np.divmod(stream.events["t"], step_us)
    if beside.any() or (len(step) and not 1 <= step[0] <= step[-1] <= steps):
        raise SimulationError(
            f"these events are not at the ends of {steps} steps of {step_us} us; "
            "decode with the steps and the step_us that they were encoded with"
        )
    raster = np.zeros((stream.n_inputs, steps))
    np.add.at(raster, (stream.input_indices(), step - 1), 1.0)
    return raster
