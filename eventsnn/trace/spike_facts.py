"""What every answer about one spike of a simulation says first, and the input events that it lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eventsnn.model import Network
from eventsnn.trace.record import SpikeRecord

PIXEL_EVENT = [("t_us", "i8"), ("x", "i4"), ("y", "i4"), ("p", "i4")]
"""Columns of an input event; answers add theirs."""


@dataclass(frozen=True, eq=False, repr=False)
class SpikeFacts:
    """Which spike an answer is about.

    Attributes
    ----------
    layer, neuron, spike, sample
        Which spike: number `spike` (from 0) of the neuron in the sample.
    time_ms : float
        When, ms since the start of the sample.
    layer_names : tuple of str
    sensor_size : tuple of 3 int
        Width, height and polarities of the sensor that the events come from.
    origin_us : int
        The recording's time that is time 0 of all these, microseconds; see `eventsnn.events.origin`.
    """

    layer: str
    neuron: int
    spike: int
    sample: int
    time_ms: float
    layer_names: tuple[str, ...] = field(kw_only=True)
    sensor_size: tuple[int, int, int] = field(kw_only=True)
    origin_us: int = field(default=0, kw_only=True)

    def spike_to_dict(self) -> dict[str, Any]:
        """Which spike, as plain values that JSON can hold."""
        names = ("layer", "neuron", "spike", "sample", "time_ms", "origin_us")
        return {name: getattr(self, name) for name in names}

    def describe_spike(self) -> str:
        """Which spike, in words."""
        return f"spike {self.spike} of neuron {self.neuron} in layer {self.layer!r} at {self.time_ms:.6g} ms"


def list_events(network: Network, record: SpikeRecord, rows: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Input events by their `rows` in the record: the columns of `PIXEL_EVENT`, the others not set yet."""
    events = np.empty(rows.size, dtype)
    width, height, _ = network.input.sensor_size
    events["t_us"] = np.rint(record.input.times[rows] * 1000.0).astype(np.int64)
    events["p"], pixel = np.divmod(record.input.neurons[rows], width * height)
    events["y"], events["x"] = np.divmod(pixel, width)
    return events
