"""The populations of a graph: their order in the chain of layers, and their shapes."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.model.nir.graph import FlatGraph, Path, numbers_of
from eventsnn.model.nir.synapses import Shape, trace_shapes


def order_populations(graph: FlatGraph, paths: list[Path]) -> tuple[list[str], list[str]]:
    """The populations of neurons that matter, in the order of the chain, and those left out.

    The output is the last. A population follows one that leads to it, wherever there is such an order.

    Raises
    ------
    NetworkError
        If no way leads from the input to the output.
    """
    after: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        if path.target not in after[path.source]:
            after[path.source].append(path.target)
    forward = {name: list(after[name]) for name in [graph.input, *graph.nodes]}
    forward[graph.output] = []  # whatever it leads to comes before it
    back = _back_edges(graph.input, forward)
    reached = _reachable([graph.input], after)
    before: dict[str, list[str]] = defaultdict(list)
    for start, ends in after.items():
        for end in ends:
            before[end].append(start)
    useful = _reachable([graph.output], before) & reached
    if graph.output not in reached:
        raise NetworkError(f"no way leads from the input {graph.input!r} to the output {graph.output!r}")
    left = dict.fromkeys(path.target for path in paths if path.target not in useful)
    order: list[str] = []
    waiting = [name for name in useful if name != graph.input]
    waiting.sort(key=list(graph.nodes).index)
    last = graph.input
    while waiting:
        ready = [
            name
            for name in waiting
            if (name != graph.output or len(waiting) == 1)
            and not any(name in forward[s] and (s, name) not in back for s in waiting if s != name)
        ]
        # A chain, wherever there is one.
        name = next((n for n in ready if n in after[last]), ready[0])
        waiting.remove(name)
        order.append(name)
        last = name
    return order, list(left)


def find_shapes(graph: FlatGraph, paths: list[Path], order: list[str]) -> dict[str, Shape]:
    """The shape of every population: its parameters', or what comes in where these are one for all."""
    shapes: dict[str, Shape] = {graph.input: _input_shape(graph)}
    waiting = list(order)
    while waiting:
        for name in waiting:
            found = _shape_of(graph, name, paths, shapes)
            if found is not None:
                shapes[name] = found
                waiting.remove(name)
                break
        else:
            raise NetworkError(f"node {waiting[0]!r}: its number of neurons cannot be found out")
    return shapes


def _shape_of(graph: FlatGraph, name: str, paths: list[Path], known: dict[str, Shape]) -> Shape | None:
    node = graph.nodes[name]
    own = numbers_of(name, "r", node.r).shape
    arriving = None
    for path in paths:
        if path.target == name and path.source in known:
            steps = trace_shapes(graph.nodes, path.names, known[path.source])
            arriving = steps[-1].after if steps else known[path.source]
            break
    if int(np.prod(own)) <= 1 and arriving is not None:
        return arriving
    if arriving is None:
        return own if int(np.prod(own)) > 1 else None
    if np.prod(own) != np.prod(arriving):
        raise NetworkError(f"node {name!r} has parameters of shape {own}, and what comes in has {arriving}")
    return arriving if len(arriving) > 1 else (int(np.prod(own)),)


def _input_shape(graph: FlatGraph) -> Shape:
    given = graph.nodes[graph.input].input_type["input"]
    shape: Shape = () if given is None else tuple(int(n) for n in np.asarray(given).ravel())
    while len(shape) > 1 and shape[0] == 1 and len(shape) != 3:
        shape = shape[1:]  # an axis of samples
    if not shape or min(shape) < 1 or len(shape) > 3:
        raise NetworkError(
            f"node {graph.input!r}: an input has shape (neurons,), (channels, width) or (channels, "
            "height, "
            f"width), got {shape or 'none'}"
        )
    return shape


def _reachable(starts: list[str], after: dict[str, list[str]]) -> set[str]:
    found, unseen = set(starts), list(starts)
    while unseen:
        for name in after.get(unseen.pop(), ()):
            if name not in found:
                found.add(name)
                unseen.append(name)
    return found


def _back_edges(start: str, after: dict[str, list[str]]) -> set[tuple[str, str]]:
    """Edges that close a loop, as a walk into the depth from `start` meets them."""
    back: set[tuple[str, str]] = set()
    open_, done = {start}, set[str]()
    stack = [(start, iter(after.get(start, ())))]
    while stack:
        name, following = stack[-1]
        end = next(following, None)
        if end is None:
            stack.pop()
            open_.discard(name)
            done.add(name)
        elif end in open_:
            back.add((name, end))
        elif end not in done:
            open_.add(end)
            stack.append((end, iter(after.get(end, ()))))
    return back
