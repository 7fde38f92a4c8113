"""From our network to a NIR graph.

Weights are written as they are: what scales potentials in a dialect (`Constants.gain`) goes into thresholds.
What NIR or the program that reads the graph cannot say is listed. The graph's metadata hold our own
description (`eventsnn.model.nir.own`), which brings the same network back while the graph is unchanged.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.model.chain import INPUT
from eventsnn.model.layers import BIAS, Conv, Layer, Pool, Projection
from eventsnn.model.network import Network
from eventsnn.model.nir.dialects import SECOND_MS, Constants, Dialect
from eventsnn.model.nir.library import import_nir
from eventsnn.model.nir.own import describe
from eventsnn.model.sparse import is_sparse

MOST_WEIGHTS = 1 << 28
"""Numbers in a dense matrix: sparse weights must be written out."""


def write_graph(network: Network, dialect: Dialect, dt_ms: float | None = None) -> tuple[Any, list[str]]:
    """The NIR graph of a network as a program reads it.

    Parameters
    ----------
    network : Network
    dialect : Dialect
    dt_ms : float, optional
        The step that the program takes, ms; the dialect's own by default.

    Returns
    -------
    graph : nir.NIRGraph
    losses : list of str
        What the graph says otherwise than the network, and what the program does otherwise.

    Raises
    ------
    NetworkError
        A layer, a connection or a step that the dialect cannot say at all, by name.
    MissingExtraError
        Without the package nir.
    """
    return _Writer(network, dialect, dialect.step(dt_ms)).write()


class _Writer:
    """One graph in the making: its nodes, its edges, and what gets lost."""

    def __init__(self, network: Network, dialect: Dialect, dt_ms: float | None) -> None:
        self._nir = import_nir("writing NIR")
        self._network, self._dialect, self._dt = network, dialect, dt_ms or 0.0
        self._nodes: dict[str, Any] = {}
        self._edges: list[tuple[str, str]] = []
        self._losses: list[str] = []
        self._verbatim: dict[str, str] = {}  # node that holds the weights of a key as they are
        self._ends: dict[int, tuple[str, tuple[int, ...]]] = {}  # node and shape of each population

    def write(self) -> tuple[Any, list[str]]:
        network = self._network
        self._add_populations()
        for n in range(len(network.layers)):
            self._add_synapses(n)
        self._add_further()
        end, shape = self._ends[len(network.layers) - 1]
        self._edges.append((end, self._add("output", self._nir.Output({"output": np.array(shape)}))))
        self._list_losses()
        populations = [self._ends[n][0] for n in range(len(network.layers))]
        metadata = describe(network, self._dialect.name, self._dt or None, populations, self._verbatim)
        # nir up to 1.0.8 takes the kernels of convolutions for squares when it infers shapes.
        square = all(
            layer.kernel[0] == layer.kernel[1] for layer in network.layers if isinstance(layer, Conv)
        )
        graph = self._nir.NIRGraph(self._nodes, self._edges, metadata=metadata, type_check=square)
        return graph, self._losses

    # -- populations

    def _add_populations(self) -> None:
        network = self._network
        maps = network.layers[0].shares_weights
        shape = network.input.shape if maps else (network.input.neurons,)
        self._ends[-1] = (self._add(INPUT, self._nir.Input({"input": np.array(shape)})), shape)
        for n, layer in enumerate(network.layers):
            shape = layer.shape if self._keeps_maps(n) else (layer.neurons,)
            self._ends[n] = (self._add(str(layer.name), self._neurons(layer, shape)), shape)

    def _keeps_maps(self, n: int) -> bool:
        """Whether a layer's neurons have the shape of maps; NIR has no way back from a line to maps."""
        network, layer = self._network, self._network.layers[n]
        if not layer.shares_weights:
            return False
        others = [
            p for p in network.projections if p.target == n and p.source != BIAS and p.key != layer.name
        ]
        if not others:
            return True
        if n + 1 < len(network.layers) and network.layers[n + 1].shares_weights:
            raise NetworkError(
                f"connection {others[0].key!r} ends in {layer.name!r}, whose maps feed maps: NIR cannot turn "
                "the result of a matrix into maps; leave the connection out"
            )
        return False

    def _neurons(self, layer: Layer, shape: tuple[int, ...]) -> Any:
        dialect, lif = self._dialect, layer.lif
        if not layer.fires and not dialect.readouts:
            raise NetworkError(
                f"layer {layer.name!r} is a readout, and {dialect.title} reads no neurons that never fire; "
                "choose the dialect 'portable', or a last layer that fires"
            )
        constants = self._constants(layer)
        parameters = {
            "tau_mem": constants.tau_mem,
            "tau_syn": constants.tau_syn,
            "r": constants.r,
            "w_in": constants.w_in,
            "v_leak": dialect.v_leak(lif, constants, self._dt),
        }
        if layer.fires:
            # A spike in an averaging pool counts as one part of its window.
            gain = constants.gain / (layer.geometry.area if self._averages(layer) else 1)
            parameters |= {"v_threshold": gain * lif.threshold, "v_reset": 0.0}
            parameters["v_leak"] *= gain / constants.gain
        arrays = {name: np.full(shape, value) for name, value in parameters.items()}
        return (self._nir.CubaLIF if layer.fires else self._nir.CubaLI)(**arrays)

    def _constants(self, layer: Layer) -> Constants:
        return self._dialect.constants(layer.lif, self._dt)

    def _averages(self, layer: Layer) -> bool:
        return self._dialect.average and isinstance(layer, Pool)

    # -- synapses

    def _add_synapses(self, n: int) -> None:
        """What leads into layer `n` from the layer before it."""
        layer, dialect = self._network.layers[n], self._dialect
        if layer.shares_weights and not dialect.maps:
            raise NetworkError(
                f"layer {layer.name!r}: {dialect.title} reads no convolutions and pools from NIR"
            )
        projection = next(p for p in self._network.projections if p.key == layer.name)
        node = self._own_synapses(layer)
        self._connect(projection, str(layer.name), f"{layer.name}_in", node, maps=layer.shares_weights)

    def _own_synapses(self, layer: Layer) -> Any:
        """The node that holds a layer's own weights, and what it always gets (biases, resting potential)."""
        nir, name = self._nir, str(layer.name)
        constant = self._constant_input(layer)
        if isinstance(layer, Pool):
            if constant.any():
                self._losses.append(f"resting potential of {name!r}: a pool has no constant input")
            kind = nir.AvgPool2d if self._averages(layer) else nir.SumPool2d
            return kind(np.array(layer.size), np.array(layer.stride), np.zeros(2, np.int64))
        weights = self._network.weights[name]
        if isinstance(layer, Conv):
            matrix = weights[:, :-1] if layer.has_bias else weights
            source = layer.known_source
            return nir.Conv2d(
                source[1:],
                matrix.reshape(layer.channels, source[0], *layer.kernel),
                layer.stride,
                layer.padding,
                layer.dilation,
                1,
                constant.astype(matrix.dtype),
            )
        if layer.shares_weights:
            raise NetworkError(f"layer {name!r}: NIR has no layer of type {layer.kind!r}")
        matrix = self._dense(name, weights)
        matrix = np.ascontiguousarray(matrix[:, :-1]) if layer.has_bias else matrix
        return nir.Affine(matrix, constant) if constant.any() else nir.Linear(matrix)

    def _constant_input(self, layer: Layer) -> np.ndarray:
        """What every channel of a layer gets at every step, or in every ms: float64 (channels,)."""
        constants = self._constants(layer)
        constant = np.full(layer.channels, self._dialect.rest_input(layer.lif, constants, self._dt))
        if layer.has_bias:
            weights = self._network.weights[str(layer.name)]
            last = weights[:, [-1]].toarray()[:, 0] if is_sparse(weights) else weights[:, -1]
            constant += last.astype(np.float64) * ((self._dt or 1.0) / self._network.input.bias_interval)
        return constant

    def _dense(self, key: str, weights: Any) -> np.ndarray:
        if not is_sparse(weights):
            return np.asarray(weights)
        if math.prod(weights.shape) > MOST_WEIGHTS:
            raise NetworkError(
                f"weights of {key!r}: NIR has no sparse weights, and written out they are "
                f"{math.prod(weights.shape):,} numbers, more than {MOST_WEIGHTS:,}"
            )
        matrix = np.zeros(weights.shape, weights.dtype)
        post = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
        matrix[post, weights.indices] = weights.data  # `toarray` adds, which makes 0 of -0
        return matrix

    def _connect(
        self,
        projection: Projection,
        key: str,
        name: str,
        node: Any,
        *,
        maps: bool = False,
        guard: bool = False,
    ) -> None:
        """Lead a population through a delay and a synapse node into another one."""
        nir, (start, shape), (end, into) = (
            self._nir,
            self._ends[projection.source],
            self._ends[projection.target],
        )
        delays = self._delays(projection, key, shape)
        if delays is not None:
            start = self._link(start, f"{name}_delay", nir.Delay(delays))
        if (len(shape) == 3 and not maps) or guard:
            start = self._link(start, f"{name}_flatten", self._flatten(shape))
        synapses = self._link(start, name, node)
        if key in self._network.weights:
            self._verbatim[key] = synapses
        if maps and len(into) == 1:
            layer = self._network.layers[projection.target]
            synapses = self._link(synapses, f"{name}_line", self._flatten(layer.shape))
        self._edges.append((synapses, end))

    def _flatten(self, shape: tuple[int, ...]) -> Any:
        # Counted from the end, the axes are the same ones with and without an axis of samples before them,
        # which PyTorch's importers have.
        return self._nir.Flatten({"input": np.array(shape)}, -len(shape), -1)

    def _delays(self, projection: Projection, key: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """Delay of each neuron of a source in the file's unit; None if there are none to be written."""
        loop = projection.source >= projection.target
        branches = projection.branches
        if branches is None:
            values = np.full(math.prod(shape), projection.delay)
        elif branches.each_synapse:
            values = np.full(math.prod(shape), branches.delays.mean() if branches.delays.size else 0.0)
            mean = f"one delay of {values[0]:g} ms, their mean," if self._dialect.delays else "no delay"
            self._losses.append(f"delays of single synapses of {key!r}: {mean} is written")
        else:
            values = branches.delays
        if loop and self._dialect.one_loop:
            if not np.allclose(values, self._dt):
                self._losses.append(
                    f"delay of {key!r} ({values.mean():g} ms): a loop takes one step there, {self._dt:g} ms"
                )
            return None
        if not values.any():
            return None
        if not self._dialect.delays:
            if branches is None or not branches.each_synapse:
                self._losses.append(
                    f"delay of {key!r} ({values.mean():g} ms): {self._dialect.title} reads none from NIR"
                )
            return None
        return values.reshape(shape) / self._dialect.unit_ms

    # -- further connections

    def _add_further(self) -> None:
        """Connections beyond the chain, loops within layers, lateral inhibition."""
        network = self._network
        groups: dict[tuple[int, int], list[Projection]] = {}
        for p in network.projections:
            if p.source != BIAS and p.key not in network.names:
                groups.setdefault((p.source, p.target), []).append(p)
        for (source, target), members in groups.items():
            loop = source >= target
            if self._dialect.name == "spyx" and source != target:
                raise NetworkError(
                    f"connection {members[0].key!r}: Spyx reads chains of layers from NIR, with loops of a "
                    "layer "
                    "onto itself alone; choose another dialect"
                )
            merged = [members] if loop and self._dialect.one_loop else [[p] for p in members]
            for some in merged:
                self._add_matrix(some)

    def _add_matrix(self, members: list[Projection]) -> None:
        """One matrix for one or several projections between the same layers."""
        network, first = self._network, members[0]
        matrices = [
            network.projection_weights(p) if p.lateral else self._dense(p.key, network.weights[p.key])
            for p in members
        ]
        matrix = (
            matrices[0] if len(matrices) == 1 else np.asarray(sum(m.astype(np.float64) for m in matrices))
        )
        for p in members[1:]:
            self._delays(p, p.key, (self._network.source_size(p.source),))  # for the list of losses
        key = first.key if len(members) == 1 else "+".join(p.key for p in members)
        # snnTorch 1.0 sends the input of a layer through its loop's weights where it recognises a loop, which
        # is where a matrix and a layer are neighbours in both directions.
        guard = self._dialect.name == "snntorch" and first.source == first.target
        self._connect(first, key, key, self._nir.Linear(matrix), guard=guard)

    # -- names and losses

    def _add(self, name: str, node: Any) -> str:
        """Add a node under a name that is an attribute's name in Python too."""
        plain = re.sub(r"\W+", "_", name.replace("->", "_to_"), flags=re.ASCII).strip("_") or "node"
        plain = f"n{plain}" if plain[0].isdigit() else plain
        key, n = plain, 2
        while key in self._nodes:
            key, n = f"{plain}_{n}", n + 1
        self._nodes[key] = node
        return key

    def _link(self, before: str, name: str, node: Any) -> str:
        key = self._add(name, node)
        self._edges.append((before, key))
        return key

    def _list_losses(self) -> None:
        network, dialect = self._network, self._dialect
        losses = self._losses
        said: tuple[tuple[str, Callable[[Layer], float], str], ...] = (
            ("refractory period", lambda layer: float(layer.refractory), "NIR has none"),
        )
        for what, value, why in said:
            found = [layer for layer in network.layers if value(layer)]
            if found:
                names = ", ".join(f"{str(layer.name)!r} ({value(layer):g} ms)" for layer in found)
                losses.insert(0, f"{what} of {names}: {why}")
        if any(layer.has_bias for layer in network.layers):
            interval = network.input.bias_interval
            losses.append(f"biases: spikes every {interval:g} ms become a constant input of the same mean")
        resting = [str(layer.name) for layer in network.layers if layer.resting]
        if resting and dialect.leak in ("current", "input"):
            how = (
                "v_leak, which also feeds the current," if dialect.leak == "current" else "a constant input,"
            )
            losses.append(
                f"resting potential of {', '.join(map(repr, resting))}: {how} gives it, and needs tau_s to "
                "set in"
            )
        for layer in network.layers:
            if not layer.fires:
                losses.append(
                    f"what is read out of {str(layer.name)!r} ({layer.value}): NIR has no words for it"
                )
        if network.settings.engine == "clocked":
            losses.append(
                f"the clock of {network.settings.step_ms:g} ms on which the network runs: the graph is one "
                "in "
                "continuous time"
            )
        if dialect.one_loop and any(p.lateral for p in network.projections):
            losses.append(f"lateral inhibition: a loop takes one step there, {self._dt:g} ms")
        losses += [f"{dialect.title} {remark}" for remark in dialect.remarks]


def describe_step(dialect: Dialect, dt_ms: float | None) -> str:
    """The dialect and its step as text."""
    return dialect.title if dt_ms is None else f"{dialect.title}, steps of {dt_ms / SECOND_MS:g} s"
