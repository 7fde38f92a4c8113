"""Dropout: in training some neurons are left out of the network, others in each recording of each epoch.

A neuron of a layer with dropout p is dropped with probability p, for a whole recording. Its spikes are not
passed on, nothing of it is learned from this recording, and all else is the exact network without it. Trained
are weights of thinned networks, whose sources are fewer: what is passed on has 1 / (1 - p) times the weights
of the whole network, the one that is validated, kept and simulated. Which neurons are dropped is a draw named
by (seed, epoch, recording, layer): the same for any number of threads, and after a resume.

Source: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, Journal of Machine Learning Research 15,
2014; of whole maps (`dropout_channels`) Tompson, Goroshin, Jain, LeCun & Bregler, CVPR 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eventsnn.data import draws
from eventsnn.errors import TrainingError
from eventsnn.model import Network, Projection
from eventsnn.model.layers import BIAS
from eventsnn.model.sparse import is_sparse, with_data
from eventsnn.simulate.engines.arrivals import EVERYONE, Kept


class Dropout:
    """The dropout of a network's layers, its input among them as number 0.

    Parameters
    ----------
    network : Network
        What is trained of it: without the frozen prefix.
    seed : int

    Raises
    ------
    TrainingError
        For a layer that cannot have it.
    """

    def __init__(self, network: Network, seed: int) -> None:
        self._network, self._seed = network, seed
        parts: list[Any] = [network.input, *network.layers]
        self._parts = {number: part for number, part in enumerate(parts) if part.dropout}
        self._scaled = [p for p in network.projections if p.source != BIAS and p.source + 1 in self._parts]
        self._check()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def draw(self, epoch: int, recordings: np.ndarray) -> Kept:
        """Which neurons are not dropped, in the recordings of these numbers; epochs are counted from 0."""
        if not self:
            return EVERYONE
        return {
            number: np.array([_draw(part, self._seed, epoch, n, number) for n in recordings.tolist()])
            for number, part in self._parts.items()
        }

    def thin(self, network: Network) -> Network:
        """The network with the weights that are trained."""
        return (
            network.with_weights(self._scale(network.weights, lambda kept: 1.0 / kept)) if self else network
        )

    def whole(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """The weights of the whole network from those that are trained."""
        return self._scale(weights, lambda kept: kept)

    def _scale(self, weights: Mapping[str, Any], factor: Any) -> dict[str, Any]:
        """Weights times the `factor` of the share of their sources that is kept."""
        scaled = dict(weights)
        for p in self._scaled:
            if not p.lateral:
                kept = 1.0 - self._parts[p.source + 1].dropout
                scaled[p.key] = _times(self._network, p, scaled[p.key], factor(kept))
        return scaled

    def _check(self) -> None:
        layers = self._network.layers
        if layers[-1].dropout:
            raise TrainingError(
                f"layer {layers[-1].name!r}: the last layer decides, and cannot have dropout; give it to the "
                "layers below"
            )
        for p in self._scaled:
            if not p.lateral and p.key not in self._network.weights:
                source = self._network.layers[p.source].owner if p.source >= 0 else "the input"
                raise TrainingError(
                    f"{source} cannot have dropout: what it passes on is scaled, and layer "
                    f"{layers[p.target].name!r} above it has fixed weights; give dropout to that layer"
                )


def _draw(part: Any, seed: int, epoch: int, recording: int, number: int) -> np.ndarray:
    """Which neurons of a layer, or of the input, are not dropped in a recording; bool (neurons,)."""
    channels, height, width = part.shape
    whole_maps = getattr(part, "dropout_channels", False)
    count = channels if whole_maps else part.neurons
    bits = draws.draw_many(draws.make_key(seed, draws.DROPOUT, epoch, recording, number), count)
    kept = (bits >> np.uint64(11)) >= np.uint64(draws.threshold(part.dropout))
    return np.repeat(kept, height * width) if whole_maps else kept


def _times(network: Network, projection: Projection, weights: Any, factor: float) -> Any:
    """Weights of a projection times a factor, those of the bias neuron left as they are."""
    layer = network.layers[projection.target]
    own = projection.key == layer.name
    if is_sparse(weights):
        biases = weights.indices == layer.patch if own and layer.has_bias else False
        return with_data(weights, np.where(biases, weights.data, weights.data * factor).astype(weights.dtype))
    if not own:
        return (weights * factor).astype(weights.dtype)
    shared = layer.shared_weights(weights) * factor
    if layer.has_bias:
        shared[:, -1] = layer.shared_weights(weights)[:, -1]
    return layer.own_weights(shared).astype(np.asarray(weights).dtype)
