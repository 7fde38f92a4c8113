"""A NIR graph without subgraphs, checked, and the paths from neurons to neurons in it.

NIR graphs come from strangers: nothing is taken for granted but that `nir` made nodes of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import NetworkError

NEURONS = ("CubaLIF", "LIF", "IF", "CubaLI", "LI")
SYNAPSES = ("Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten", "Delay")
ENDS = ("Input", "Output")
_REFUSED = {
    "I": "an integrator without a threshold passes on a potential, and networks here pass on spikes",
    "Threshold": "a threshold without a neuron has no reset; write a neuron such as LIF or CubaLIF",
}
_DEEPEST = 16
_MOST_PATHS = 10_000


def kind_of(node: Any) -> str:
    """The name of a node's type."""
    return type(node).__name__


@dataclass(frozen=True)
class Path:
    """The way from a population (the input, or neurons) through synapse nodes to neurons."""

    source: str
    target: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class FlatGraph:
    """Nodes and edges without subgraphs.

    Attributes
    ----------
    nodes : dict of str to nir.NIRNode
        Nodes of a subgraph are called by both names, with a dot between.
    edges : list of (str, str)
    input, output : str
        The one Input, and the neurons that lead to the one Output.
    notes : list of str
        What was mended.
    """

    nodes: dict[str, Any]
    edges: list[tuple[str, str]]
    input: str
    output: str
    notes: list[str]

    def paths(self) -> list[Path]:
        """All ways from populations to neurons, in the order of the edges.

        Raises
        ------
        NetworkError
            For a loop without neurons, or far too many ways.
        """
        after = defaultdict(list)
        for start, end in self.edges:
            after[start].append(end)
        found: list[Path] = []
        for source, node in self.nodes.items():
            if source != self.input and kind_of(node) not in NEURONS:
                continue
            for names in self._walk(source, after):
                if kind_of(self.nodes[names[-1]]) in NEURONS:
                    found.append(Path(source, names[-1], names[:-1]))
                if len(found) > _MOST_PATHS:
                    raise NetworkError(f"there are more than {_MOST_PATHS} ways from neurons to neurons")
        return found

    def _walk(self, source: str, after: dict[str, list[str]]) -> Iterator[tuple[str, ...]]:
        """All ways from a population to the next neurons."""
        unfinished: list[tuple[str, ...]] = [(name,) for name in reversed(after[source])]
        steps = 0
        while unfinished:
            names = unfinished.pop()
            steps += 1
            if steps > _MOST_PATHS:
                raise NetworkError(f"there are more than {_MOST_PATHS} ways from {source!r} to neurons")
            if kind_of(self.nodes[names[-1]]) in NEURONS:
                yield names
                continue
            for name in reversed(after[names[-1]]):
                if name in names:
                    raise NetworkError(
                        f"node {name!r} is part of a loop without neurons, which has no meaning for spikes"
                    )
                unfinished.append((*names, name))


def flatten(graph: Any) -> FlatGraph:
    """Take the subgraphs of a NIR graph apart, and check its nodes and edges.

    Raises
    ------
    NetworkError
        Naming the node or the edge.
    """
    if not isinstance(getattr(graph, "nodes", None), dict):
        raise NetworkError(f"holds a single node of type {kind_of(graph)}, not a graph")
    notes: list[str] = []
    nodes, edges = _open(graph, "", 0, notes)
    inputs, outputs = ([name for name, node in graph.nodes.items() if kind_of(node) == end] for end in ENDS)
    for what, found in (("Input", inputs), ("Output", outputs)):
        if len(found) != 1:
            names = f": {', '.join(map(repr, found))}" if found else ""
            raise NetworkError(f"a network has one {what} node, and the graph has {len(found)}{names}")
    for name, node in nodes.items():
        _check_node(name, node)
    return FlatGraph(nodes, edges, inputs[0], _find_output(nodes, edges, outputs[0]), notes)


def _open(
    graph: Any, prefix: str, depth: int, notes: list[str]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Nodes and edges of a graph with those of its subgraphs."""
    if depth > _DEEPEST:
        raise NetworkError(f"subgraphs are nested more than {_DEEPEST} deep")
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    entries: dict[str, list[str]] = {}
    exits: dict[str, list[str]] = {}
    for name, node in graph.nodes.items():
        full = f"{prefix}{name}"
        if kind_of(node) != "NIRGraph":
            nodes[full] = node
            entries[name] = exits[name] = [full]
            continue
        inner, inner_edges = _open(node, f"{full}.", depth + 1, notes)
        nodes |= inner
        edges += inner_edges
        ends = {f"{full}.{key}": kind_of(item) for key, item in node.nodes.items()}
        entries[name] = [key for key, kind in ends.items() if kind == "Input"]
        exits[name] = [key for key, kind in ends.items() if kind == "Output"]
        for what, found in (("Input", entries[name]), ("Output", exits[name])):
            if len(found) != 1:
                raise NetworkError(f"subgraph {full!r} must have one {what} node, and has {len(found)}")
    for start, end in _pairs(graph.edges, prefix):
        for name in (start, end):
            if name not in entries:
                raise NetworkError(
                    f"edge {prefix}{start} -> {prefix}{end}: there is no node {prefix + name!r}; there are "
                    f"{', '.join(list(entries)[:20])}"
                )
        edges.append((exits[start][0], entries[end][0]))
    unique = list(dict.fromkeys(edges))
    if len(unique) < len(edges):
        doubled = number_of(len(edges) - len(unique), "doubled edge")
        notes.append(f"left out {doubled}: NIR's edges are a set")
    return nodes, unique


def _pairs(edges: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for edge in edges:
        if len(edge) != 2 or not all(isinstance(name, str) for name in edge):
            raise NetworkError(f"an edge must be two names, got {edge!r:.80} in {prefix or 'the graph'}")
        yield edge[0], edge[1]


def _check_node(name: str, node: Any) -> None:
    """Refuse nodes of unknown types, and numbers that are none."""
    kind = kind_of(node)
    if kind in _REFUSED:
        raise NetworkError(f"node {name!r} is of type {kind}: {_REFUSED[kind]}")
    if kind not in (*NEURONS, *SYNAPSES, *ENDS):
        known = ", ".join((*NEURONS, *SYNAPSES))
        raise NetworkError(f"node {name!r} is of type {kind}, which cannot be read; there are {known}")
    for field, value in vars(node).items():
        if field in ("input_type", "output_type", "metadata") or value is None or isinstance(value, str):
            continue
        array = numbers_of(name, field, value)
        bad = np.argwhere(~np.isfinite(array))
        if bad.size:
            where = tuple(bad[0].tolist())
            raise NetworkError(f"node {name!r}: {field}{list(where) if where else ''} is {array[where]}")


def numbers_of(name: str, field: str, value: Any) -> np.ndarray:
    """A parameter of a node as an array of numbers; NetworkError, naming both, for anything else."""
    if hasattr(value, "detach"):  # torch's tensors, of graphs that are still in memory
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "iufb":
        raise NetworkError(f"node {name!r}: {field} must be numbers, got {value!r:.60}")
    return array


def _find_output(nodes: dict[str, Any], edges: Iterable[tuple[str, str]], output: str) -> str:
    """The neurons that lead to the Output node."""
    before = defaultdict(list)
    for start, end in edges:
        before[end].append(start)
    name, seen = output, {output}
    while True:
        if len(before[name]) != 1:
            what = "nothing leads" if not before[name] else f"{len(before[name])} nodes lead"
            raise NetworkError(f"{what} to node {name!r}; one population of neurons must be the output")
        name = before[name][0]
        kind = kind_of(nodes[name])
        if kind in NEURONS:
            return name
        if name in seen or kind not in ("Flatten", "Output"):
            raise NetworkError(
                f"the output comes from node {name!r} of type {kind}; it must come from neurons "
                f"({', '.join(NEURONS)})"
            )
        seen.add(name)
