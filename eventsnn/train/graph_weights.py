"""Weights of a network of any graph as optimisers hold them: packed, sparse ones by their synapses alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eventsnn.model import Network
from eventsnn.model.sparse import is_sparse, with_data
from eventsnn.simulate.engines.blocks import WIDTH, aligned_zeros, block_count, pack, unpack
from eventsnn.simulate.engines.precision import check_network, overflow
from eventsnn.train.downward import LayerState


class GraphWeights:
    """Weights of all projections of a network, which an optimiser changes.

    Parameters
    ----------
    network, real
        As of `PackedNetwork`, also for the error.

    Attributes
    ----------
    blocks : dict of str to real array (blocks, pre, WIDTH)
        By key of the projection; of sparse ones (blocks, most synapses of a neuron, WIDTH), those of a neuron
        in the order of their sources, then zeros.
    """

    def __init__(self, network: Network, real: type[np.floating]) -> None:
        check_network(network, real)
        self.network, self.real = network, real
        self._layers = {str(layer.name): layer for layer in network.layers}
        self._places: dict[str, np.ndarray] = {}
        self.blocks: dict[str, np.ndarray] = {}
        for key, weights in network.weights.items():
            if is_sparse(weights):
                post = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
                slot = np.arange(weights.nnz) - weights.indptr[post]
                most = int(slot.max(initial=0)) + 1
                self._places[key] = ((post // WIDTH) * most + slot) * WIDTH + post % WIDTH
                shape: tuple[int, ...] = (block_count(weights.shape[0]), most, WIDTH)
            else:
                shared = self._shared(key, weights)
                shape = (block_count(shared.shape[0]), shared.shape[1], WIDTH)
            self.blocks[key] = aligned_zeros(shape, real)
            self._pack(key, weights, self.blocks[key])

    def _shared(self, key: str, weights: np.ndarray) -> np.ndarray:
        """The weights (post, pre) of a projection: of a layer's own those of one position."""
        return self._layers[key].shared_weights(weights) if key in self._layers else weights

    def _pack(self, key: str, weights: Any, out: np.ndarray) -> None:
        if key in self._places:
            out.reshape(-1)[self._places[key]] = weights.data
        else:
            pack(self._shared(key, weights), out)

    def change(self, constants: Mapping[str, Mapping[str, Any]]) -> None:
        """Other thresholds, time constants or delays from now on; see `Network.with_constants`."""
        self.network = self.network.with_constants(constants)
        self._layers = {str(layer.name): layer for layer in self.network.layers}

    def synapses(self, key: str) -> int | np.ndarray:
        """How many synapses of a projection a neuron has: one number, or of sparse ones (blocks, WIDTH)."""
        if key not in self._places:
            return int(self.blocks[key].shape[1])
        counts = np.zeros((len(self.blocks[key]), WIDTH))
        each = np.diff(self.network.weights[key].indptr)
        counts.reshape(-1)[: len(each)] = each
        return np.maximum(counts, 1.0)

    def updated(self, key: str) -> range:
        """Blocks of a projection's weights that this process updates: where many train, each updates all."""
        return range(len(self.blocks[key]))

    def weights(self) -> dict[str, Any]:
        """Weights of every projection, as `Network.weights`; copies."""
        found: dict[str, Any] = {}
        for key, shape in self.network.weight_shapes().items():
            block = self.blocks[key]
            if key in self._places:
                found[key] = with_data(self.network.weights[key], block.reshape(-1)[self._places[key]])
            elif key in self._layers:
                layer = self._layers[key]
                found[key] = layer.own_weights(unpack(block, layer.channels))
            else:
                found[key] = unpack(block, shape[0])
        return found

    def trained(self) -> Network:
        """The network with the present weights.

        Raises
        ------
        StateOverflow
            One of them is not finite.
        """
        for key, block in self.blocks.items():
            if not np.isfinite(block).all():
                raise overflow(self.real, key)
        return self.network.with_weights(self.weights())

    def dense_block(self, key: str) -> np.ndarray:
        """`blocks` of a projection between dense layers, written out where weights are sparse."""
        if key not in self._places:
            return self.blocks[key]
        matrix = with_data(self.network.weights[key], self.blocks[key].reshape(-1)[self._places[key]])
        block = np.zeros((len(self.blocks[key]), matrix.shape[1], WIDTH), self.real)
        pack(matrix.toarray(), block)
        return block

    def add_block(self, key: str, gradient: np.ndarray, first: int, state: LayerState) -> None:
        """Add the gradient of a projection, packed as `dense_block` is, from input `first` on."""
        if key not in self._places:
            state.gradient += gradient[:, first : first + self.blocks[key].shape[1]]
            return
        matrix = self.network.weights[key]
        post = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        found = gradient[post // WIDTH, first + matrix.indices, post % WIDTH]
        state.gradient.reshape(-1)[self._places[key]] += found

    def add_gradient(self, key: str, gradient: Any, state: LayerState) -> None:
        """Add a gradient, in the shape of the network's weights, to ``state.gradient``; what a layer ties
        stays tied.
        """
        packed = np.zeros_like(state.gradient)
        self._pack(key, gradient, packed)
        state.gradient += packed
