"""Receptive fields: weights of neurons as images over what they see."""

from __future__ import annotations

import numpy as np

from eventsnn.model.network import Network
from eventsnn.model.sparse import is_sparse


def receptive_fields(network: Network, layer: str | None = None) -> np.ndarray | None:
    """Weights of every neuron or channel of a layer as images.

    Parameters
    ----------
    network : Network
    layer : str, optional
        The first by default.

    Returns
    -------
    float64 array (n, polarities or source channels, height, width), or None
        For a dense layer over its whole source, for a convolution its kernel; without biases. None for a
        layer without weights of its own, such as a pooling layer.

    Raises
    ------
    NetworkError
        No such layer.
    """
    part = network.layers[0] if layer is None else network[layer]
    weights = network.weights.get(str(part.name))
    if weights is None:
        return None
    table = np.asarray(weights.toarray() if is_sparse(weights) else weights, np.float64)
    table = table.reshape(len(table), -1)
    shape = (1 if part.depthwise else part.known_source[0], *part.geometry.kernel)
    inputs = int(np.prod(shape))
    if table.shape[1] != inputs + part.has_bias:  # a layer of another package
        return None
    return table[:, :inputs].reshape(-1, *shape)


def strongest_fields(fields: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the fields of the largest norms, the largest first: int64 array (at most `most`,)."""
    norms = np.linalg.norm(fields.reshape(len(fields), -1), axis=1)
    return np.argsort(-norms, kind="stable")[:most]
