"""From a NIR graph to our network.

Our networks are a chain of layers and further connections. Populations of the graph are put in an order in
which each has as much as possible from the one before it; the way from there is the layer's own, all other
ways are connections. A convolution or a pool between two populations that have the shapes of maps stays one;
every other way is multiplied out into a matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.model.chain import INPUT
from eventsnn.model.layers import Connection, Conv, Dense, Input, Layer, Pool, Readout
from eventsnn.model.network import Network
from eventsnn.model.neuron import LIF
from eventsnn.model.nir.dialects import find_dialect
from eventsnn.model.nir.graph import FlatGraph, flatten
from eventsnn.model.nir.neurons import Neurons, Reading, choose_reading, read_neurons
from eventsnn.model.nir.own import equal_graphs, read_header, rebuild
from eventsnn.model.nir.populations import find_shapes, order_populations
from eventsnn.model.nir.synapses import (
    Delay,
    Shape,
    Step,
    geometry_of_node,
    total_constant,
    total_delay,
    total_matrix,
    trace_shapes,
)
from eventsnn.model.nir.write import write_graph

SHORTEST_BIAS_MS = 1e-3


@dataclass(frozen=True)
class Imported:
    """What a NIR graph was read as.

    Attributes
    ----------
    network : Network
    nodes : tuple of str
        Node of each layer.
    notes : list of str
        What was found out or chosen.
    losses : list of str
        What the network computes otherwise than the graph says.
    """

    network: Network
    nodes: tuple[str, ...]
    notes: list[str]
    losses: list[str]


def read_graph(
    graph: Any, dialect: str | None = None, unit: str | None = None, dt_s: float | None = None
) -> Imported:
    """The network of a NIR graph.

    Parameters
    ----------
    graph : nir.NIRGraph
    dialect : str, optional
        A key of `eventsnn.model.nir.neurons.READINGS`; found out by default.
    unit : {"s", "ms"}, optional
        The file's unit of time; found out by default.
    dt_s : float, optional
        The step of a dialect that has one, s.

    Raises
    ------
    NetworkError
        Naming the node, the edge or the parameter.
    """
    flat = flatten(graph)
    header = read_header(graph)
    notes = list(flat.notes)
    if header is not None and dialect is None and unit is None and dt_s is None:
        own = rebuild(graph, header)
        if own is not None and _is_unchanged(graph, own, header):
            nodes = tuple(map(str, header["populations"]))
            return Imported(own, nodes, ["written by eventsnn: the same network"], [])
        notes.append("the graph has changed since eventsnn wrote it; its description there is left out")
    reading = choose_reading(flat, dialect, unit, dt_s)
    notes.insert(0, reading.text)
    builder = _Builder(flat, reading, notes)
    network = builder.build()
    return Imported(network, tuple(builder.order), builder.notes, builder.losses)


def _is_unchanged(graph: Any, network: Network, header: dict[str, Any]) -> bool:
    try:
        again, _ = write_graph(network, find_dialect(header["dialect"]), header["dt_ms"])
    except (NetworkError, KeyError, TypeError):
        return False
    return equal_graphs(graph, again)


@dataclass
class _Way:
    """One path with its steps, from population `source` to population `target` (numbers, -1 the input)."""

    source: int
    target: int
    steps: list[Step]
    delay: Delay

    @property
    def weighing(self) -> list[Step]:
        """The steps that change numbers."""
        return [step for step in self.steps if step.kind not in ("Flatten", "Delay", "Input", "Output")]


@dataclass
class _Parts:
    """What a network is made of."""

    layers: list[Layer] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)
    delays: dict[str, np.ndarray] = field(default_factory=dict)


class _Builder:
    """A network in the making."""

    def __init__(self, graph: FlatGraph, reading: Reading, notes: list[str]) -> None:
        self._graph, self._reading = graph, reading
        self.notes, self.losses = notes, list[str]()
        self._parts = _Parts()
        self.order: list[str] = []

    def build(self) -> Network:
        """The network."""
        graph, parts = self._graph, self._parts
        paths = graph.paths()
        order, left = order_populations(graph, paths)
        if left:
            gone = ", ".join(map(repr, left))
            self.losses.append(f"neurons without a way from the input to the output are left out: {gone}")
        self.order = order
        names = self._names(order)
        shapes = find_shapes(graph, paths, order)
        numbers = {graph.input: -1, **{name: n for n, name in enumerate(order)}}
        ways = []
        for path in paths:
            if path.source in numbers and path.target in numbers:
                steps = trace_shapes(graph.nodes, path.names, shapes[path.source])
                ways.append(_Way(numbers[path.source], numbers[path.target], steps, total_delay(steps)))
        constants = self._constants(ways, order, shapes)
        sensor = self._sensor(shapes[graph.input], bool(constants))
        maps: list[Shape | None] = [shapes[graph.input] if len(shapes[graph.input]) > 1 else None]
        for n, name in enumerate(order):
            size = int(np.prod(shapes[name]))
            neurons = read_neurons(name, graph.nodes[name], size, self._reading)
            self.losses += neurons.notes
            into = [way for way in ways if way.target == n]
            maps.append(self._add_layer(n, names, neurons, shapes[name], into, maps[n], constants.get(n)))
        return Network(
            sensor, *parts.layers, connections=parts.connections, weights=parts.weights, delays=parts.delays
        )

    # -- populations

    def _names(self, order: list[str]) -> list[str]:
        """Names of the layers: those of the nodes, but for names that are taken."""
        names: list[str] = []
        for name in order:
            plain = name.replace("/", "_").strip() or "layer"
            while plain in (INPUT, "bias", *names) or plain.startswith("."):
                plain = f"{plain.lstrip('.')}_layer"
            names.append(plain)
        return names

    def _sensor(self, shape: Shape, biases: bool) -> Input:
        sizes = {1: lambda s: (s[0], 1, 1), 2: lambda s: (s[1], 1, s[0]), 3: lambda s: (s[2], s[1], s[0])}
        width, height, polarities = sizes[len(shape)](shape)
        return Input(width, height, polarities, bias_interval=self._bias_interval() if biases else 0.0)

    # -- constant inputs

    def _bias_interval(self) -> float:
        return max(SHORTEST_BIAS_MS, self._reading.dt_ms or 1.0)

    def _constants(
        self, ways: list[_Way], order: list[str], shapes: dict[str, Shape]
    ) -> dict[int, np.ndarray]:
        """Weights of the bias neuron onto the layers that have a constant input, by number of the layer."""
        found: dict[int, np.ndarray] = {}
        for way in ways:
            constant = total_constant(way.steps)
            if constant is not None:
                found[way.target] = found.get(way.target, 0.0) + constant
        if found:
            interval = self._bias_interval()
            each = self._reading.dt_ms or self._reading.unit_ms
            self.losses.append(
                f"constant inputs (biases) become spikes every {interval:g} ms of the same mean, until the "
                "last "
                "event of a recording"
            )
            found = {n: constant * (interval / each) for n, constant in found.items()}
        return found

    # -- layers

    def _add_layer(
        self,
        n: int,
        names: list[str],
        neurons: Neurons,
        shape: Shape,
        into: list[_Way],
        source_maps: Shape | None,
        constant: np.ndarray | None,
    ) -> Shape | None:
        """Add layer `n` and all that leads to it; its shape of maps, or None."""
        chain = [way for way in into if way.source == n - 1]
        main = next((way for way in chain if _spatial_step(way) is not None), None) or next(iter(chain), None)
        layer, factor = None, 1.0
        if main is not None and main.delay.pre is None and main.delay.post is None:
            layer, factor = self._spatial(names[n], neurons, main, source_maps, constant)
        common = _lif_fields(neurons.lif) | {"name": names[n]}
        if layer is None:
            layer = self._dense(names[n], neurons, main, shape, common, constant)
        self._parts.layers.append(layer)
        for way in into:
            if way is not main:
                self._connect(names, way, neurons, factor)
        return shape if layer.shares_weights else None

    def _spatial(
        self, name: str, neurons: Neurons, way: _Way, maps: Shape | None, constant: np.ndarray | None
    ) -> tuple[Layer | None, float]:
        """A convolution or a pool and the factor of other weights into it; None where it must be a matrix."""
        step = _spatial_step(way)
        if step is None or step.before != maps:
            return None, 1.0
        geometry = geometry_of_node(step.name, step.node, step.before)
        lif, delay = neurons.lif, way.delay.common * self._reading.unit_ms
        common: dict[str, Any] = {"name": name, "delay": delay}
        window: dict[str, Any] = {part: getattr(geometry, part) for part in ("stride", "padding", "dilation")}
        if step.kind.startswith("Conv"):
            if step.node.groups != 1 or neurons.scale is not None or lif.threshold == np.inf:
                return None, 1.0
            weights = step.array("weight").reshape(-1, geometry.source[0], *geometry.kernel)
            if constant is not None:
                each = constant.reshape(len(weights), -1)
                if (each != each[:, :1]).any():
                    return None, 1.0
                weights = np.hstack([weights.reshape(len(weights), -1), each[:, :1].astype(weights.dtype)])
            self._parts.weights[name] = weights
            bias: dict[str, Any] = {} if constant is not None else {"bias": False}
            layer = Conv(len(weights), geometry.kernel, **window, **common, **_lif_fields(lif), **bias)
            return layer, 1.0
        if (
            any(geometry.padding)
            or neurons.scale is not None
            or constant is not None
            or lif.threshold == np.inf
        ):
            return None, 1.0
        factor = float(geometry.area) if step.kind == "AvgPool2d" else 1.0
        scaled = replace(lif, threshold=lif.threshold * factor, resting=lif.resting * factor)
        return Pool(geometry.kernel, geometry.stride, **common, **_lif_fields(scaled)), factor

    def _dense(
        self,
        name: str,
        neurons: Neurons,
        way: _Way | None,
        shape: Shape,
        common: dict[str, Any],
        constant: np.ndarray | None,
    ) -> Layer:
        """A layer whose own weights are a matrix."""
        from scipy.sparse import csr_array, hstack

        size = int(np.prod(shape))
        if way is None:
            sources = self._parts.layers[-1].neurons if self._parts.layers else 0
            matrix, delay = csr_array((size, sources)), Delay()
        else:
            matrix, delay = self._matrix(way, neurons.scale, 1.0), way.delay
        unit = self._reading.unit_ms
        wanted: dict[str, Any] = {"bias": constant is not None, "delay": delay.common * unit}
        if delay.post is not None or (delay.pre is not None and neurons.lif.threshold == np.inf):
            matrix, each = _synaptic(matrix, delay, unit)
            self._parts.delays[name] = each
        elif delay.pre is not None:
            values = ((delay.pre + delay.common) * unit).tolist()
            wanted["delay"] = [*values, 0.0] if constant is not None else values
        if constant is not None:
            column = constant * (1.0 if neurons.scale is None else neurons.scale)
            if isinstance(matrix, np.ndarray):
                matrix = np.hstack([matrix, column[:, None].astype(matrix.dtype)])
            else:
                matrix = hstack([matrix, csr_array(column[:, None])]).tocsr()
                if name in self._parts.delays:
                    self._parts.delays[name] = _with_bias_delays(matrix, self._parts.delays[name])
        self._parts.weights[name] = matrix
        if neurons.lif.threshold == np.inf:
            kept = ("name", "tau_m", "tau_s")
            return Readout(size, value="max", **wanted, **{key: common[key] for key in kept})
        return Dense(size, **wanted, **common)

    def _connect(self, names: list[str], way: _Way, neurons: Neurons, factor: float) -> None:
        """Add a further connection."""
        parts, unit = self._parts, self._reading.unit_ms
        source = INPUT if way.source < 0 else names[way.source]
        key = base = f"{source}->{names[way.target]}"
        taken = {connection.key for connection in parts.connections}
        n = 2
        while key in taken:
            key, n = f"{base}:{n}", n + 1
        matrix = self._matrix(way, neurons.scale, factor)
        delay = way.delay.common * unit
        if way.delay.pre is not None or way.delay.post is not None:
            matrix, parts.delays[key] = _synaptic(matrix, way.delay, unit)
            delay = 0.0
        elif way.source >= way.target and not delay:
            delay = self._reading.dt_ms or 0.0
            text = (
                f"takes one step, {delay:g} ms"
                if delay
                else "has no delay: spikes act in the moment they occur"
            )
            self.notes.append(f"the loop {key} {text}")
        parts.connections.append(Connection(source, names[way.target], delay, name=key))
        parts.weights[key] = matrix

    def _matrix(self, way: _Way, scale: np.ndarray | None, factor: float) -> Any:
        """The weights of a way, dense where one dense matrix is all that it is."""
        steps = way.weighing
        size = int(np.prod(way.steps[0].before)) if way.steps else None
        if len(steps) == 1 and steps[0].kind in ("Linear", "Affine"):
            matrix = steps[0].array("weight")
            matrix = matrix if scale is None else matrix * scale[:, None]
            return matrix if factor == 1.0 else matrix * factor
        if size is None:  # neurons that are next to neurons
            size = self._parts.layers[way.source].neurons if way.source >= 0 else 0
        matrix = total_matrix(steps, size)
        if scale is not None:
            from scipy.sparse import diags_array

            matrix = (diags_array(scale) @ matrix).tocsr()
        return matrix if factor == 1.0 else matrix * factor


def _lif_fields(lif: LIF) -> dict[str, Any]:
    return {part.name: getattr(lif, part.name) for part in fields(LIF)}


def _spatial_step(way: _Way) -> Step | None:
    """The one convolution or pool of a way that has no other weights."""
    steps = way.weighing
    spatial = ("Conv1d", "Conv2d", "SumPool2d", "AvgPool2d")
    return steps[0] if len(steps) == 1 and steps[0].kind in spatial else None


def _synaptic(matrix: Any, delay: Delay, unit_ms: float) -> tuple[Any, np.ndarray]:
    """A matrix as a sparse one, and the delay of each of its synapses, ms."""
    from scipy.sparse import csr_array

    sparse = csr_array(matrix)
    sparse.sort_indices()
    post = np.repeat(np.arange(sparse.shape[0]), np.diff(sparse.indptr))
    each = np.full(sparse.nnz, delay.common)
    if delay.pre is not None:
        each += delay.pre[sparse.indices]
    if delay.post is not None:
        each += delay.post[post]
    return sparse, each * unit_ms


def _with_bias_delays(matrix: Any, delays: np.ndarray) -> np.ndarray:
    """Delays of the synapses of a matrix whose last column, that of the biases, has none."""
    matrix.sort_indices()
    last = matrix.indices == matrix.shape[1] - 1
    each = np.zeros(matrix.nnz)
    each[~last] = delays
    return each
