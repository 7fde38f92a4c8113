"""The best epoch of a training run: which it is, and what the network was then, as `model.h5` holds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from eventsnn.model import Network
from eventsnn.model.sparse import is_sparse, with_data

# In a checkpoint: arrays of model.h5.
_WEIGHTS = "best/"
_DELAYS = "best_delays/"


class BestEpoch:
    """The best epoch so far, of none at first.

    Attributes
    ----------
    line : dict
        Of its line of the metrics: ``epoch``, ``valid_accuracy``, ``valid_loss``, and ``constants`` where
        some are learned.
    weights : dict of str to array
        Of what is trained, as `Network.weights`.
    delays : dict of str to array
        Learned delays of single synapses, as `Network.delays`.
    """

    def __init__(self) -> None:
        self.line: dict[str, Any] = {}
        self.weights: dict[str, Any] = {}
        self.delays: dict[str, np.ndarray] = {}

    def is_beaten_by(self, line: Mapping[str, Any]) -> bool:
        """Higher validation accuracy, then lower loss; without validation the later epoch."""
        best = self.line
        if not best or line["valid_accuracy"] is None:
            return True
        return (line["valid_accuracy"], -line["valid_loss"]) > (best["valid_accuracy"], -best["valid_loss"])

    def take(
        self, line: Mapping[str, Any], weights: Mapping[str, Any], delays: dict[str, np.ndarray]
    ) -> None:
        """Make this epoch the best; the weights are kept, and must not change later."""
        kept = ("epoch", "valid_accuracy", "valid_loss", "constants")
        self.line = {name: line[name] for name in kept if name in line}
        self.weights = dict(weights)
        self.delays = delays

    def network(self, given: Network) -> Network:
        """The network of this epoch, of that which the run was given."""
        trained = given.with_weights({**given.weights, **self.weights})
        return trained.with_constants(self.line.get("constants", {})).with_delays(self.delays)

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps of the network."""
        arrays = {f"{_WEIGHTS}{key}": _values(array) for key, array in self.weights.items()}
        return arrays | {f"{_DELAYS}{key}": array for key, array in self.delays.items()}

    def restore(
        self, arrays: Mapping[str, np.ndarray], trained: Mapping[str, Any], delayed: Iterable[str]
    ) -> bool:
        """Take the network from the arrays of a checkpoint; False if it is not there.

        Parameters
        ----------
        arrays : dict of str to array
        trained : dict of str to array
            Weights of the same synapses.
        delayed : iterable of str
            Keys of learned delays.
        """
        if any(f"{_WEIGHTS}{key}" not in arrays for key in trained):
            return False
        self.weights = {
            key: with_data(array, arrays[f"{_WEIGHTS}{key}"])
            if is_sparse(array)
            else arrays[f"{_WEIGHTS}{key}"]
            for key, array in trained.items()
        }
        self.delays = {key: arrays[f"{_DELAYS}{key}"] for key in delayed}
        return True


def _values(weights: Any) -> np.ndarray:
    """Weights as one array: of sparse ones those of the synapses."""
    return np.asarray(weights.data if is_sparse(weights) else weights)
