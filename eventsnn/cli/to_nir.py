"""What ``eventsnn export`` writes of a model as a NIR graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    heading = f"{network!r} for {DIALECTS[dialect].title}: {len(graph.nodes)} nodes in {out}"
    return result, "\n".join(
        [heading, *describe_losses(losses, "nothing is lost: the same network comes back")]
    )


def describe_losses(losses: list[str], none: str) -> list[str]:
    """Lines of text for what is not exactly the same."""
    if not losses:
        return [none]
    return ["not exactly the same:", *(f"  {text}" for text in losses)]
