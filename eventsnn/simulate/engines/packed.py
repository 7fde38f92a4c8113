"""A network as the kernels hold it: one flat array of packed weights, and the graph that points into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eventsnn._ext.queue_state import QueueState
from eventsnn.model import Network, Projection
from eventsnn.model.layers import BIAS
from eventsnn.model.sparse import is_sparse
from eventsnn.reference.lif import record
from eventsnn.simulate.engines.blocks import WIDTH, aligned_zeros, block_count, pack, unpack
from eventsnn.simulate.engines.division import WHOLE, Division
from eventsnn.simulate.engines.precision import check_network


class PackedNetwork:
    """Weights of all projections, packed; shared by the queue engine, the sweep engine and the trainer.

    Parameters
    ----------
    network : Network
    real : numpy.float32 or numpy.float64
        Precision of weights and state.
    division : Division
        Who computes what of a mini-batch, where several processes train.

    Raises
    ------
    SimulationError
        `real` cannot hold a weight or a constant.

    Attributes
    ----------
    projections : list of Projection
        In the order in which simultaneous deliveries are applied.
    flat : real array
        Everything, in that order.
    blocks : dict of str to real array (blocks, pre, WIDTH)
        Views into `flat` by projection key; writing to them changes the weights. Where each synapse has a
        delay of its own, (branches,).
    constants : `eventsnn.reference.lif.RECORD` array (layers, 1)
        What the kernels take for each layer.
    """

    def __init__(self, network: Network, real: type[np.floating], division: Division = WHOLE) -> None:
        check_network(network, real)
        self.network, self.division = network, division
        self.real = real
        self.projections = network.deliveries
        self.constants = np.stack([record(layer.lif) for layer in network.layers])
        weighted = [p for p in self.projections if p.source != BIAS or _each_synapse(p)]
        shapes = [self._packed_shape(p) for p in weighted]
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
        self.flat = aligned_zeros((int(ends[-1]),), real)
        self.offsets = {p.key: int(start) for p, start in zip(weighted, ends, strict=False)}
        self.blocks = {
            p.key: self.flat[start:end].reshape(shape)
            for p, start, end, shape in zip(weighted, ends[:-1], ends[1:], shapes, strict=True)
        }
        for p in weighted:
            if _each_synapse(p):
                self.blocks[p.key][...] = network.sender_weights(p)
            else:
                pack(_shared_weights(network, p), self.blocks[p.key])
        for p in self.projections:
            if p.source == BIAS and not _each_synapse(p):
                # Their weights are the last row of the layer's own, see `_state`.
                name = str(network.layers[p.target].name)
                self.offsets[p.key] = self.offsets[name] + (self.blocks[name].shape[1] - 1) * WIDTH

    def own_blocks(self, number: int) -> range:
        """Blocks of a layer of one position that this process computes."""
        name = str(self.network.layers[number].name)
        return self.division.blocks(name, len(self.blocks[name]))

    def divides(self, number: int) -> bool:
        """Whether ranks have divided the blocks of a layer among them."""
        layer = self.network.layers[number]
        blocks = len(self.blocks[str(layer.name)])
        return not layer.shares_weights and self.division.divides(str(layer.name), blocks)

    def updated(self, key: str) -> range:
        """Blocks of a layer's weights that this process updates."""
        blocks = len(self.blocks[key])
        number = self.network.names.index(key)
        return range(blocks) if self.network.layers[number].shares_weights else self.own_blocks(number)

    def synapses(self, key: str) -> int:
        """How many synapses of a projection a neuron has."""
        return int(self.blocks[key].shape[1])

    def change(self, constants: Mapping[str, Mapping[str, Any]]) -> None:
        """Other thresholds, time constants or delays of layers from now on; see `Network.with_constants`."""
        self.network = self.network.with_constants(constants)
        self.projections = self.network.deliveries
        for number, layer in enumerate(self.network.layers):
            if layer.name in constants:
                self.constants[number] = record(layer.lif)

    def weights(self) -> dict[str, np.ndarray]:
        """Weights of every projection that has some, as `Network.weights`, dense; copies."""
        layers = {str(layer.name): layer for layer in self.network.layers}
        return {
            key: layers[key].own_weights(unpack(self.blocks[key], layers[key].channels))
            if key in layers
            else unpack(self.blocks[key], shape[0])
            for key, shape in self.network.weight_shapes().items()
        }

    def _packed_shape(self, p: Projection) -> tuple[int, ...]:
        """See `blocks`; a layer's own weights are those of one position, as all share them."""
        if _each_synapse(p):
            return (self.network.senders(p),)
        layer = self.network.layers[p.target]
        if p.key == layer.name:
            return block_count(layer.channels), layer.inputs, WIDTH
        return block_count(layer.neurons), self.network.source_size(p.source), WIDTH

    def state(self) -> QueueState:
        """The whole network at rest, for the queue engine."""
        sizes = [layer.neurons for layer in self.network.layers]
        graph = [(p.source, p.target, p) for p in self.projections]
        return self._state(slice(None), sizes, graph)

    def layer_state(self, number: int) -> QueueState:
        """One layer at rest with the connections within it; its input are the arrivals, bias included."""
        inner = [p for p in self.projections if p.target == number and p.source != BIAS]
        graph = [(0 if p.source == number else -1, 0, p) for p in inner]
        graph.sort(key=lambda row: row[0])
        return self._state(slice(number, number + 1), [self.network.layers[number].neurons], graph, fed=True)

    def _state(
        self,
        layers: slice,
        sizes: list[int],
        graph: list[tuple[int, int, Projection]],
        fed: bool = False,
    ) -> QueueState:
        rows, branches = [], [_NO_BRANCHES]
        places = np.zeros(3, np.int64)
        for source, target, p in graph:
            # Arrivals handed to a single layer carry their delay already.
            own = None if fed and source < 0 else p.branches
            place = (-1, 0, -1)
            if own is not None:
                place = (*places[:2].tolist(), -1 if own.post is None else int(places[2]))
                branches.append((own.ptr, own.delays, own.post if own.post is not None else _NO_BRANCHES[2]))
                places += [len(part) for part in branches[-1]]
            rows.append((source, target, self.offsets[p.key], self._rows(p), *place))
        delays = [0.0 if fed and source < 0 else p.delay for source, _, p in graph]
        return QueueState(
            self.constants[layers, 0],
            np.array(sizes, dtype=np.int32),
            np.array(rows, dtype=np.int64).reshape(-1, 7),
            np.array(delays, dtype=np.float64),
            *(np.concatenate(parts) for parts in zip(*branches, strict=True)),
        )

    def _rows(self, p: Projection) -> int:
        """Rows of weights in a block of a projection: its source neurons, and that of the bias."""
        if _each_synapse(p):
            return 0
        key = str(self.network.layers[p.target].name) if p.source == BIAS else p.key
        return int(self.blocks[key].shape[1])


_NO_BRANCHES = (np.empty(0, np.int64), np.empty(0), np.empty(0, np.int32))


def _each_synapse(p: Projection) -> bool:
    return p.branches is not None and p.branches.each_synapse


def _shared_weights(network: Network, p: Projection) -> np.ndarray:
    """Weights of a projection: of a layer's own (channels, inputs) of a position, else (post, pre)."""
    layer = network.layers[p.target]
    if p.key != layer.name:
        return network.projection_weights(p)
    weights: Any = network.weights.get(p.key)
    return layer.shared_weights(weights.toarray() if is_sparse(weights) else weights)


_last: PackedNetwork | None = None


def pack_once(network: Network, real: type[np.floating]) -> PackedNetwork:
    """The network packed, for reading only; the last one asked for is kept.

    Packing takes as long as simulating a short recording, and recordings come one after the other through the
    same network. Its weights cannot change under us: a network's arrays are read-only.
    """
    global _last
    kept = _last
    if kept is None or kept.network is not network or kept.real is not real:
        kept = _last = PackedNetwork(network, real)
    return kept
