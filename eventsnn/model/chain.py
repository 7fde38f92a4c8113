"""Chains of layers: what may follow what, their names, and the source of each layer."""

from __future__ import annotations

from eventsnn.errors import NetworkError
from eventsnn.model.layers import Input, Layer
from eventsnn.model.layers.checks import check_count

INPUT = "input"


def build_chain(input: Input, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers of a network, checked, with their names and the shapes of their sources.

    Raises
    ------
    NetworkError
        For what is no input or no layer, and for a layer that cannot be where it is, naming it.
    """
    if not isinstance(input, Input):
        raise NetworkError(f"the first argument must be an Input, got {type(input).__name__}")
    if not layers:
        raise NetworkError("a network needs at least one layer after its input")
    for layer in layers:
        if not isinstance(layer, Layer):
            raise NetworkError(
                f"layers must be Dense, Conv, Pool, Reservoir or Readout, got {type(layer).__name__}"
            )
    chain = fit_layers(input, name_layers(layers))
    for layer in chain:
        check_count(layer.owner, "number of neurons", layer.neurons)
        if not layer.fires and layer is not chain[-1]:
            raise NetworkError(f"{layer.owner}: only the last layer may be a readout, which never fires")
    if input.has_bias and "bias" in (layer.name for layer in chain):
        raise NetworkError("layer 'bias': the name is the bias neuron's; give the layer another")
    return chain


def find_layer(names: tuple[str, ...], name: str) -> int:
    """See `eventsnn.model.Network.index`; `names` are those of the layers."""
    if name == INPUT:
        return -1
    try:
        return names.index(name)
    except ValueError:
        raise NetworkError(f"no layer {name!r}; there are {', '.join((INPUT, *names))}") from None


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
