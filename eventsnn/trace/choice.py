"""What a trace keeps besides the spikes: which quantities, of which layers and neurons, and when."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from eventsnn._util.arguments import check_span, is_whole, to_float
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.model.sparse import is_sparse
from eventsnn.trace import schema


@dataclass(frozen=True)
class Training:
    """What is recorded of training.

    Attributes
    ----------
    keys : tuple of str
        Layers and connections whose weights are trained.
    quantities : dict of str to tuple of str
        By layer, names of what the rule delivers of it (`schema.LEARNING`).
    real : {"float32", "float64"}
        Precision of the weights.
    """

    keys: tuple[str, ...]
    quantities: dict[str, tuple[str, ...]]
    real: str

    @property
    def dtype(self) -> str:
        """Of the weights in the file."""
        return "<f4" if self.real == "float32" else "<f8"

    def sizes(self, network: Network) -> dict[str, int]:
        """Weights of each key; of sparse ones the synapses."""
        return {key: int(np.size(values_of(network.weights[key]))) for key in self.keys}

    @classmethod
    def from_config(cls, network: Network, told: Mapping[str, Any]) -> Training:
        """From what `asdict` made of one; raises what is wrong with it."""
        keys, quantities = tuple(told["keys"]), dict(told["quantities"])
        for key in keys:
            network.weights[key]
        for layer, names in quantities.items():
            network[layer]
            quantities[layer] = tuple(schema.LEARNING[name].name for name in names)
        return cls(keys, quantities, str(told["real"]))


def values_of(weights: Any) -> np.ndarray:
    """Weights as one row: of sparse ones those of the synapses."""
    return np.asarray(weights.data if is_sparse(weights) else weights).reshape(-1)


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
    training : Training or None
        What of training, where that is recorded.
    """

    record: tuple[str, ...]
    step: float
    layers: tuple[str, ...]
    potential_layers: tuple[str, ...]
    neurons: dict[str, np.ndarray] = field(default_factory=dict)
    window: tuple[float, float] = (0.0, math.inf)
    training: Training | None = None

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
        training: Training | None = None,
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
        record = schema.check_record(record)
        for option in record:
            if option in schema.TRAINING and training is None:
                raise TraceError(f"record: {option!r} is recorded by training alone (train --trace)")
        numbers = {layer: _numbers(network, layer, each) for layer, each in (neurons or {}).items()}
        return cls(
            record,
            check_span("potential_step", step, TraceError),
            chosen,
            of_potentials,
            numbers,
            (0.0, math.inf) if window is None else _check_window(window),
            training,
        )

    @classmethod
    def from_config(cls, network: Network, config: Mapping[str, Any]) -> Choice:
        """The choice that a trace was written with, from what `to_config` gave or an older eventsnn wrote."""
        window, training = config.get("window"), config.get("training")
        return cls.of(
            network,
            config["record"],
            config.get("potential_step", 1.0),
            config.get("potential_layers"),
            config.get("layers"),
            config.get("neurons"),
            None if window is None else (window[0], math.inf if window[1] is None else window[1]),
            None if training is None else Training.from_config(network, training),
        )

    def to_config(self) -> dict[str, Any]:
        """Plain values, as a trace keeps them."""
        first, last = self.window
        training = {} if self.training is None else {"training": asdict(self.training)}
        return training | {
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
