"""What a trace keeps besides the spikes: which quantities, of which layers and neurons, and when."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eventsnn._util.arguments import check_span, is_whole, to_float
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.trace import schema


@dataclass(frozen=True, eq=False)
class Choice:
    """What is recorded of the runs of a network; spikes, of which all else can be computed, are kept whole.

    Attributes
    ----------
    record : tuple of str
        Of `schema.RECORD`, in its order, "spikes" always among them.
    step : float
        Grid of potentials and currents, ms.
    layers : tuple of str
        Whose quantities are recorded; of S-PSPs those of spikes of these layers.
    potential_layers : tuple of str
        The same for potentials.
    neurons : dict of str to int64 array
        Neurons of a layer, ascending, where not all are recorded.
    window : (float, float)
        From when to when, ms of local time, both included.
    """

    record: tuple[str, ...]
    step: float
    layers: tuple[str, ...]
    potential_layers: tuple[str, ...]
    neurons: dict[str, np.ndarray] = field(default_factory=dict)
    window: tuple[float, float] = (0.0, math.inf)

    @classmethod
    def of(
        cls,
        network: Network,
        record: Iterable[str] = ("spikes",),
        step: float = 1.0,
        potential_layers: Iterable[str] | None = None,
        layers: Iterable[str] | None = None,
        neurons: Mapping[str, Iterable[int]] | None = None,
        window: tuple[float, float] | None = None,
    ) -> Choice:
        """A choice that fits a network; what is None is everything.

        Raises
        ------
        TraceError
            An option that there is not, a step that is not > 0, a window that is none, a neuron that there
            is not.
        NetworkError
            There is no such layer.
        """
        chosen = network.names if layers is None else _names(network, layers)
        of_potentials = chosen if potential_layers is None else _names(network, potential_layers)
        numbers = {layer: _numbers(network, layer, each) for layer, each in (neurons or {}).items()}
        return cls(
            schema.check_record(record),
            check_span("potential_step", step, TraceError),
            chosen,
            of_potentials,
            numbers,
            (0.0, math.inf) if window is None else _check_window(window),
        )

    @classmethod
    def from_config(cls, network: Network, config: Mapping[str, Any]) -> Choice:
        """The choice that a trace was written with, from what `to_config` gave or an older eventsnn wrote."""
        window = config.get("window")
        return cls.of(
            network,
            config["record"],
            config.get("potential_step", 1.0),
            config.get("potential_layers"),
            config.get("layers"),
            config.get("neurons"),
            None if window is None else (window[0], math.inf if window[1] is None else window[1]),
        )

    def to_config(self) -> dict[str, Any]:
        """Plain values, as a trace keeps them."""
        first, last = self.window
        return {
            "record": list(self.record),
            "potential_step": self.step,
            "potential_layers": list(self.potential_layers),
            "layers": list(self.layers),
            "neurons": {layer: numbers.tolist() for layer, numbers in self.neurons.items()},
            "window": [first, last if last < math.inf else None],
        }

    def size(self, network: Network, layer: str) -> int:
        """How many neurons of a layer are recorded."""
        return len(self.neurons[layer]) if layer in self.neurons else network[layer].neurons

    def takes_spikes(self, layer: str, times: np.ndarray, neurons: np.ndarray) -> np.ndarray:
        """Which spikes of a layer have their S-PSPs recorded, bool array (spikes,)."""
        taken: np.ndarray = (times >= self.window[0]) & (times <= self.window[1])
        if layer in self.neurons:
            taken &= np.isin(neurons, self.neurons[layer])
        return taken


def _names(network: Network, layers: Iterable[str]) -> tuple[str, ...]:
    names = (layers,) if isinstance(layers, str) else tuple(layers)
    for name in names:
        network[name]  # raises NetworkError if there is none
    return names


def _numbers(network: Network, layer: str, numbers: Iterable[int]) -> np.ndarray:
    given, size = list(numbers), network[layer].neurons
    for number in given:
        if not is_whole(number) or not 0 <= number < size:
            raise TraceError(f"neurons: layer {layer!r} has the neurons 0..{size - 1}, got {number!r}")
    return np.unique(np.array(given, np.int64))


def _check_window(window: tuple[float, float]) -> tuple[float, float]:
    try:
        first, last = (to_float(value) for value in window)
    except (TypeError, ValueError):
        first, last = math.nan, math.nan
    if not 0.0 <= first <= last:
        raise TraceError(f"window: two times in ms, 0 <= from <= to, got {window!r}")
    return first, last
