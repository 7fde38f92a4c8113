"""Chains of layers: their names, and the source of each layer."""

from __future__ import annotations

from eventsnn.errors import NetworkError
from eventsnn.model.layers import Input, Layer

INPUT = "input"


def name_layers(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers, all with names; NetworkError if two have the same."""
    named: list[Layer] = []
    for n, layer in enumerate(layers):
        name = layer.name
        if name is None:
            of_kind = sum(type(other) is type(layer) for other in layers[:n])
            name = f"{layer.stem or layer.kind}{of_kind + 1 if of_kind else ''}"
            if n == len(layers) - 1:
                name = "output"
        if name == INPUT or name in {other.name for other in named}:
            raise NetworkError(f"layer {name!r}: the name is taken; give every layer a name of its own")
        named.append(layer.named(name))
    return tuple(named)


def fit_layers(input: Input, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers, each with the shape of its source, and with biases if it takes them."""
    fitted: list[Layer] = []
    shape, source = input.shape, INPUT
    for layer in layers:
        fitted.append(layer.fit(shape, source, input.has_bias))
        shape, source = fitted[-1].shape, str(layer.name)
    return tuple(fitted)
