"""A network without its weights, described: as a table of plain values, as text and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn._util import html
from eventsnn._util.arguments import describe_unknown
from eventsnn._util.names import are_numbers, describe_names
from eventsnn._util.words import number_of
from eventsnn.errors import NetworkError
from eventsnn.model.layers import Connection, Input, Layer, build_from_table, layer_from_table

if TYPE_CHECKING:
    from eventsnn.model.network import Network


def to_table(network: Network) -> dict[str, Any]:
    """See `eventsnn.model.Network.to_table`."""
    table = {
        "input": network.input.to_table(),
        "layers": [layer.to_table() for layer in network.layers],
        "connections": [connection.to_table() for connection in network.connections],
    }
    # Files of networks without class names stay as they were before there were any.
    return table if network.classes is None else {**table, "classes": list(network.classes)}


_FIELDS = ("input", "layers", "connections", "classes")


def read_table(table: Any, where: str) -> tuple[Input, list[Layer], dict[str, Any]]:
    """What `Network` takes, from the result of `to_table`: its input, its layers, and further arguments.

    Raises
    ------
    NetworkError
        Naming `where`, the layer and the field.
    """
    if not isinstance(table, dict):
        raise NetworkError(f"{where} must be a table")
    for key in table:
        if key not in _FIELDS:
            raise NetworkError(f"{where}: {describe_unknown(key, _FIELDS)}")
    for key, kind in (("input", dict), ("layers", list), ("connections", list)):
        if not isinstance(table.get(key, [] if key == "connections" else None), kind):
            form = f"a table ([{where}.{key}])" if kind is dict else f"a list of tables ([[{where}.{key}]])"
            raise NetworkError(f"{where}: field {key!r} is missing or not {form}")
    sensor = build_from_table(Input, table["input"], f"{where}.input")
    layers = [layer_from_table(t, f"{where}.layers[{n}]") for n, t in enumerate(table["layers"])]
    connections = [
        build_from_table(Connection, t, f"{where}.connections[{n}]")
        for n, t in enumerate(table.get("connections", []))
    ]
    return sensor, layers, {"connections": connections, "classes": table.get("classes")}


def to_text(network: Network) -> str:
    """``<Network 5-3 (output)>``, with further connections and the names of classes if there are some."""
    sizes = "-".join(str(n) for n in _sizes(network))
    more = f", {number_of(len(network.connections), 'further connection')}" if network.connections else ""
    classes = network.classes
    named = "" if classes is None or are_numbers(classes) else f", {describe_names(classes)}"
    return f"<Network {sizes} ({', '.join(network.names)}){more}{named}>"


def delay_text(delay: float | Sequence[float] | np.ndarray) -> str:
    """One delay or several (ms) as `eventsnn.model.Network.describe_delay` says them."""
    each = np.atleast_1d(delay)
    if each.size == 1 or not each.size:
        return f"{float(each.sum()):,g}"
    return f"{each.min():,g} to {each.max():,g}"


def to_html(network: Network) -> str:
    """A table of the layers and connections, and a drawing of the chain, for a notebook."""
    columns = ("neurons", "threshold", "tau_m", "tau_s", "refractory", "delay")
    table: list[tuple[Any, ...]] = [("layer", "type", *columns, "weights")]
    table.append(("input", "", f"{network.input.neurons:,}", *[""] * len(columns)))
    for layer in network.layers:
        weights = network.weights.get(str(layer.name))
        values = [f"{getattr(layer, name):,g}" for name in columns[:-1]]
        values.append(network.describe_delay(str(layer.name), layer.delay))
        table.append((layer.name, layer.kind, *values, "" if weights is None else f"{weights.size:,}"))
    table += [
        (c.key, "connection", *[""] * 5, network.describe_delay(c.key, c.delay), "")
        for c in network.connections
    ]
    return html.describe("Network (times in ms)", table, html.draw_chain(_sizes(network)))


def _sizes(network: Network) -> list[int]:
    """Numbers of neurons along the chain, the input first."""
    return [network.input.neurons, *(layer.neurons for layer in network.layers)]
