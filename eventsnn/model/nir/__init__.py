"""NIR, the neuromorphic intermediate representation: networks to and from other simulators.

`to_nir` and `from_nir` are `Network`'s methods of these names. `dialects` has the meanings of a graph,
`write` and `read` the two ways, `graph`, `synapses` and `neurons` what reading needs, `own` our description
in a graph.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from eventsnn.errors import ConversionWarning, NetworkError
from eventsnn.model.network import Network
from eventsnn.model.nir.dialects import DIALECTS, SECOND_MS, find_dialect
from eventsnn.model.nir.file import load_graph, save_graph
from eventsnn.model.nir.neurons import READINGS
from eventsnn.model.nir.read import Imported, read_graph
from eventsnn.model.nir.write import write_graph

__all__ = [
    "DIALECTS",
    "READINGS",
    "Imported",
    "export_network",
    "from_nir",
    "import_network",
    "load_graph",
    "save_graph",
    "to_nir",
]


def export_network(
    network: Network, dialect: str = "portable", dt_s: float | None = None
) -> tuple[Any, list[str]]:
    """A NIR graph and what gets lost; see `eventsnn.model.nir.write.write_graph`. `dt_s` is in seconds."""
    return write_graph(network, find_dialect(dialect), None if dt_s is None else dt_s * SECOND_MS)


def import_network(
    source: Any, dialect: str | None = None, unit: str | None = None, dt_s: float | None = None
) -> Imported:
    """The network of a file or a graph, and notes; see `eventsnn.model.nir.read.read_graph`."""
    if not isinstance(source, str | os.PathLike):
        return read_graph(source, dialect, unit, dt_s)
    graph = load_graph(source)
    try:
        return read_graph(graph, dialect, unit, dt_s)
    except NetworkError as error:
        raise NetworkError(f"{os.fspath(source)}: {error}") from None


def to_nir(network: Network, dialect: str, dt: float | None, strict: bool) -> Any:
    """See `eventsnn.model.Network.to_nir`."""
    graph, losses = export_network(network, dialect, dt)
    report_losses(losses, strict, f"the graph for {DIALECTS[dialect].title}")
    return graph


def from_nir(source: Any, dialect: str | None, unit: str | None, dt: float | None, strict: bool) -> Network:
    """See `eventsnn.model.Network.from_nir`."""
    found = import_network(source, dialect, unit, dt)
    report_losses(found.losses, strict, "the network")
    return found.network


def report_losses(losses: list[str], strict: bool, what: str) -> None:
    """Warn of what gets lost, or refuse it."""
    if not losses:
        return
    text = f"{what} is not exactly the same: {'; '.join(losses)}"
    if strict:
        raise NetworkError(text)
    warnings.warn(text, ConversionWarning, stacklevel=4)
