"""Delays of single synapses: checked, drawn, brought into the order of the sparse weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.model.layers.branches import Branches
from eventsnn.model.layers.checks import LONGEST_MS
from eventsnn.model.layers.connection import PAIRS
from eventsnn.model.sparse import is_sparse

if TYPE_CHECKING:
    from eventsnn.model.network import Network


def take_delays(
    network: Network, given: Mapping[str, Any], weights: Mapping[str, Any], seed: int
) -> dict[str, np.ndarray]:
    """The delays of single synapses of a network, by key of the weights.

    Those that connections were given are taken from them; where only ``initial_delays`` says something, they
    are drawn.

    Parameters
    ----------
    network : Network
        With checked weights.
    given : mapping of str to array
        See `Network`.
    weights : mapping of str to array
        As they were given: in their order `given` are.
    seed : int

    Raises
    ------
    NetworkError
    """
    delays = dict(given)
    for connection in network.connections:
        if connection.delays is not None:
            if connection.key in delays:
                raise NetworkError(f"{connection.owner}: delays are given twice, here and to the network")
            delays[connection.key] = connection.delays
    network.connections = tuple(
        c if c.delays is None else replace(c, delays=None) for c in network.connections
    )
    drawn = {c.key: c for c in network.connections} | {str(layer.name): layer for layer in network.layers}
    for n, key in enumerate(network.weights):
        limits = getattr(drawn.get(key), "initial_delays", None)
        if limits is not None and key not in delays:
            # Another generator than that of the weights, which stay as they are without delays.
            generator = np.random.default_rng([seed, n, 1])
            _check_sparse(key, network.weights[key])
            least, most = limits
            delays[key] = generator.uniform(least, most, network.weights[key].nnz)
            weights = {**weights, key: network.weights[key]}
    return {key: check_delays(network, key, one, weights.get(key)) for key, one in delays.items()}


def check_delays(network: Network, key: str, delays: Any, order: Any) -> np.ndarray:
    """Delays of the synapses of a projection, ms: read-only float64, in the order of the network's weights.

    Parameters
    ----------
    network : Network
        With checked weights.
    delays : array (synapses,) or sparse array
        The former in the order of `order`, the latter of the same synapses as the weights.
    order : sparse array
        The weights, in any format.

    Raises
    ------
    NetworkError
        Naming the projection and the synapse.
    """
    if key not in network.weights:
        raise NetworkError(f"delays: no layer or connection {key!r}; there are {', '.join(network.weights)}")
    matrix, axes = network.weights[key], network.weight_axes()[key]
    if axes != PAIRS:
        raise NetworkError(f"delays of {key!r}: positions share its weights; give it one delay")
    _check_sparse(key, matrix)
    for layer in network.layers:
        if key == layer.name and (layer.each_delay is not None or "delays" in layer.learn):
            raise NetworkError(f"delays of {key!r}: the layer has a delay for each source neuron already")
    target = next(network.layers[p.target] for p in network.projections if p.key == key)
    if not target.fires:
        raise NetworkError(f"delays of {key!r}: {target.name!r} is a readout; give it one delay")
    values = _in_order(key, matrix, delays, order)
    bad = np.flatnonzero(~((values >= 0.0) & (values <= LONGEST_MS)))  # NaN too
    if bad.size:
        post = int(np.searchsorted(matrix.indptr, bad[0], side="right")) - 1
        raise NetworkError(
            f"delays of {key!r}: a delay must be 0 to {LONGEST_MS:g} ms, and that of post {post}, pre "
            f"{matrix.indices[bad[0]]} is {values[bad[0]]}"
        )
    values.flags.writeable = False
    return values


def _check_sparse(key: str, weights: Any) -> None:
    if not is_sparse(weights):
        raise NetworkError(
            f"delays of {key!r} are one for each synapse, and its weights are dense: give sparse ones "
            "(scipy.sparse), or a probability below 1, or one delay for all"
        )


def _in_order(key: str, matrix: Any, delays: Any, order: Any) -> np.ndarray:
    """The delays in the order of a CSR matrix, a copy in float64."""
    if is_sparse(delays):
        delays, order = delays.tocoo().data, delays
    values = np.asarray(delays)
    if values.dtype.kind not in "iuf":
        raise NetworkError(f"delays of {key!r} must be numbers, got dtype {values.dtype}")
    listed = order.tocoo() if is_sparse(order) else matrix.tocoo()
    if values.shape != (listed.nnz,):
        raise NetworkError(
            f"delays of {key!r} must have shape ({listed.nnz},), one for each synapse in the order of the "
            f"weights' data, got {values.shape}"
        )
    post, pre = listed.coords
    place = np.lexsort((pre, post))
    if not np.array_equal(pre[place], matrix.indices) or not np.array_equal(
        np.searchsorted(post[place], np.arange(matrix.shape[0] + 1)), matrix.indptr
    ):
        raise NetworkError(
            f"delays of {key!r}: the synapses are not those of its weights, each once; those were added up "
            "where two neurons have several"
        )
    return values.astype(np.float64)[place]


def check_same_synapses(key: str, before: Any, after: Any) -> None:
    """Refuse weights of other synapses than those that the delays are of."""
    same = is_sparse(after) and np.array_equal(before.indptr, after.indptr)
    if not same or not np.array_equal(before.indices, after.indices):
        raise NetworkError(
            f"weights of {key!r}: each of its synapses has a delay, and these weights are of other synapses; "
            "give both, Network(..., weights=..., delays=...)"
        )


def branches_of(matrix: Any, delays: np.ndarray, sources: int, biases: bool) -> Branches:
    """A branch for each synapse of a projection from `sources` neurons, or from the bias neuron.

    Parameters
    ----------
    matrix : csr_array (post, pre)
        Weights; the last column beyond the source neurons is that of the bias neuron.
    delays : float64 array (synapses,), ms
    """
    post = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    pre, place = matrix.indices.astype(np.int64), np.arange(matrix.nnz)
    if biases or matrix.shape[1] > sources:
        place = np.flatnonzero(pre == matrix.shape[1] - 1 if biases else pre < sources)
        post, pre = post[place], np.zeros(len(place), np.int64) if biases else pre[place]
    return Branches.by_synapse(post, pre, delays[place], place, 1 if biases else sources)
