"""Chains of layers: their names, and the input shape of each layer."""

from __future__ import annotations

from dataclasses import replace

from eventsnn.errors import NetworkError
from eventsnn.model.layers import Dense, Input
from eventsnn.model.reservoir import Reservoir
from eventsnn.model.spatial import Conv, Pool, Shape, fit_source
from eventsnn.model.tables import Layer

INPUT = "input"


def name_layers(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers, all with names; NetworkError if two have the same."""
    named: list[Layer] = []
    stems = {Dense: "hidden", Conv: "conv", Pool: "pool", Reservoir: "reservoir"}
    for n, layer in enumerate(layers):
        name = layer.name
        if name is None:
            of_kind = sum(type(other) is type(layer) for other in layers[:n])
            name = f"{stems[type(layer)]}{of_kind + 1 if of_kind else ''}"
            if n == len(layers) - 1:
                name = "output"
        if name == INPUT or name in {other.name for other in named}:
            raise NetworkError(f"layer {name!r}: the name is taken; give every layer a name of its own")
        named.append(replace(layer, name=name))
    return tuple(named)


def fit_layers(input: Input, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers, spatial ones with the shape of their source."""
    fitted: list[Layer] = []
    shape: Shape = (input.polarities, input.height, input.width)
    for layer in layers:
        if isinstance(layer, Dense):
            shape = (layer.neurons, 1, 1)
            fitted.append(layer)
        else:
            fitted.append(fit_source(layer, shape, str(fitted[-1].name) if fitted else INPUT))
            shape = fitted[-1].shape  # type: ignore[union-attr]
    return tuple(fitted)
