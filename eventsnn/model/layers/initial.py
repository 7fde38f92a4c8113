"""Random initial weights: which distributions there are, and one projection's weights drawn from them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.model.layers.checks import LARGEST_DRAWN, check_count, check_number
from eventsnn.model.sparse import draw_sparse

DISTRIBUTIONS = ("uniform", "gaussian", "fixed")
"""How initial weights may be drawn; see `eventsnn.model.Dense`."""
LATER_FIELDS = ("initial_distribution", "initial_synapses", "initial_mean")
"""Fields that the first model files did not have; see `eventsnn.model.Layer.new_fields`."""


def check_initial(owner: str, part: Any) -> None:
    """Raise NetworkError unless the fields of `part` that describe its random weights are consistent.

    These are `initial_weight`, `initial_mean`, `initial_distribution`, `initial_synapses` and, where there
    is one, `probability`.
    """
    check_number(owner, "initial_weight", part.initial_weight, maximum=LARGEST_DRAWN)
    check_number(owner, "initial_mean", part.initial_mean, minimum=-LARGEST_DRAWN, maximum=LARGEST_DRAWN)
    kind = part.initial_distribution
    if kind not in DISTRIBUTIONS:
        raise NetworkError(
            f"{owner}: initial_distribution must be one of {', '.join(DISTRIBUTIONS)}, got {kind!r}"
        )
    if (kind == "fixed") != (part.initial_synapses is not None):
        raise NetworkError(
            f"{owner}: initial_synapses, the number of synapses of a neuron, goes with initial_distribution "
            f"'fixed' and with no other; got {part.initial_synapses!r} with {kind!r}"
        )
    if kind == "fixed":
        if part.initial_mean:
            raise NetworkError(
                f"{owner}: initial_mean goes with initial_distribution 'uniform' and 'gaussian'; leave it "
                f"at 0 with 'fixed', got {part.initial_mean!r}"
            )
        check_count(owner, "initial_synapses", part.initial_synapses)
        if getattr(part, "probability", 1.0) != 1.0:
            raise NetworkError(
                f"{owner}: initial_distribution 'fixed' chooses the synapses itself; leave probability at 1, "
                f"got {part.probability!r}"
            )


def draw_initial(
    owner: str, part: Any, shape: tuple[int, ...], has_bias: bool, generator: np.random.Generator
) -> Any:
    """Weights of one projection, float32, as the fields of `part` describe; see `check_initial`.

    Parameters
    ----------
    shape : tuple of int
        (post, pre), or (channels, ...) where positions share weights.
    has_bias : bool
        Whether the last column is that of the biases.

    Returns
    -------
    array of `shape`, or ``scipy.sparse.csr_array`` where its `probability` is below 1

    Raises
    ------
    NetworkError
        For more synapses of a neuron than it has sources.
    """
    limit, mean = part.initial_weight, part.initial_mean

    def draw(size: tuple[int, ...]) -> np.ndarray:
        gaussian = part.initial_distribution == "gaussian"
        drawn = generator.standard_normal(size) if gaussian else generator.uniform(-1.0, 1.0, size)
        drawn *= limit
        drawn += mean
        return drawn.astype(np.float32)

    probability = getattr(part, "probability", 1.0)
    if probability < 1.0:
        return draw_sparse(generator, (shape[0], shape[1]), probability, draw)
    if part.initial_distribution == "fixed":
        return _draw_fixed(owner, part, shape, has_bias, generator)
    return draw(shape)


def _draw_fixed(
    owner: str, part: Any, shape: tuple[int, ...], has_bias: bool, generator: np.random.Generator
) -> np.ndarray:
    """`initial_synapses` weights of a neuron are +-`initial_weight`, from distinct sources; others 0."""
    count, sources = part.initial_synapses, math.prod(shape[1:]) - has_bias
    if count > sources:
        raise NetworkError(
            f"{owner}: initial_synapses must not be above the number of sources, {sources}; got {count}"
        )
    weights = np.zeros((shape[0], sources + has_bias), np.float32)
    for row in weights:
        chosen = generator.permutation(sources)[:count]
        row[chosen] = part.initial_weight * generator.choice([-1.0, 1.0], count)
    return weights.reshape(shape)
