"""What ``eventsnn export`` writes for NIR: a model as a graph, the spikes of a trace as its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eventsnn._util.words import number_of
from eventsnn.errors import NetworkError


def export_model(
    source: Path, out: Path, *, dialect: str = "portable", dt: float | None = None, strict: bool = False
) -> tuple[dict[str, Any], str]:
    """Write a model file as a NIR file; see `eventsnn.cli.export.Target`."""
    from eventsnn.model import Network
    from eventsnn.model.nir import DIALECTS, export_network, save_graph

    network = Network.load(source)
    graph, losses = export_network(network, dialect, dt)
    if losses and strict:
        raise NetworkError(f"{source}: refused by --strict: {'; '.join(losses)}")
    save_graph(graph, out)
    result = {"nir": str(out), "dialect": dialect, "nodes": len(graph.nodes), "losses": losses}
    heading = f"{network!r} for {DIALECTS[dialect].title}: {number_of(len(graph.nodes), 'node')} in {out}"
    return result, "\n".join(
        [heading, *describe_losses(losses, "nothing is lost: the same network comes back")]
    )


def export_spikes(
    source: Path, out: Path, *, layers: tuple[str, ...] | None = None, samples: tuple[int, ...] | None = None
) -> tuple[dict[str, Any], str]:
    """Write the spikes of a trace as NIRData; see `eventsnn.cli.export.Target`."""
    from eventsnn.interop.nir_data import export_nir_data

    spikes = export_nir_data(source, out, layers=layers, samples=samples)
    text = ", ".join(f"{name} {n:,}" for name, n in spikes.items())
    return {"nir": str(out), "spikes": spikes}, f"spikes as NIRData: {text}; {out}"


def describe_losses(losses: list[str], none: str) -> list[str]:
    """Lines of text for what is not exactly the same."""
    if not losses:
        return [none]
    return ["not exactly the same:", *(f"  {text}" for text in losses)]
