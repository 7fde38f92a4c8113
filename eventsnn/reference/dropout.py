"""Dropout in the plainest form: which neurons are dropped, one by one, and the network without them.

Twin of `eventsnn.train.dropout` and of the passes that it masks. "Dropping a unit out" is "temporarily
removing it from the network, along with all its incoming and outgoing connections" (Srivastava et al., JMLR
15, 2014).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eventsnn.data import draws
from eventsnn.model import Network
from eventsnn.model.layers import BIAS
from eventsnn.model.sparse import is_sparse


def draw(part: Any, probability: float, path: Sequence[int], whole_maps: bool = False) -> list[bool]:
    """Which neurons of a layer, or of the input, are not dropped.

    `path` is (seed, `draws.DROPOUT`, epoch, recording, number of the layer, the input being 0). Neuron k is
    dropped where draw k is below the probability; with `whole_maps` all neurons of channel k.
    """
    channels, height, width = part.shape
    area = height * width if whole_maps else 1
    key, kept = draws.make_key(*path), []
    for k in range(channels * height * width // area):
        kept += [draws.to_unit(draws.draw(key, k)) >= probability] * area
    return kept


def leave_out(network: Network, kept: Mapping[int, Sequence[bool]]) -> Network:
    """The network of dense layers without the neurons that are not `kept`, in order, by number of the layer.

    The input stays, and dropped inputs have no weights. Lateral inhibition acts between those that are left.
    """
    lowered = network.lowered
    there = [np.array(kept.get(n + 1, [True] * layer.neurons)) for n, layer in enumerate(lowered.layers)]
    sized: list[Any] = list(lowered.layers)
    layers = [replace(layer, neurons=int(left.sum())) for layer, left in zip(sized, there, strict=True)]
    weights = {}
    for p in lowered.projections:
        if p.source == BIAS or p.lateral:
            continue
        matrix = lowered.weights[p.key]
        matrix = matrix.toarray() if is_sparse(matrix) else np.asarray(matrix)
        columns = np.ones(matrix.shape[1], bool)  # the bias neuron, the last, is never dropped
        left = kept.get(p.source + 1)
        if left is not None:
            columns[: len(left)] = left
        rows = matrix[there[p.target]]
        weights[p.key] = rows[:, columns] if p.source >= 0 else np.where(columns, rows, 0.0)
    return Network(
        lowered.input,
        *layers,
        connections=lowered.connections,
        weights=weights,
        settings=lowered.settings,
    )
