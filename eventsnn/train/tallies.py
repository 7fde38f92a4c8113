"""Sums over an epoch of training, and the metrics that they give."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from eventsnn.trace.record import decide_all
from eventsnn.train.batches import Batch


class Activity(NamedTuple):
    """What neurons did in a mini-batch: their spikes, how many were silent, and how many there were."""

    spikes: int
    silent: int
    neurons: int

    @classmethod
    def of(cls, counts: Iterable[np.ndarray]) -> Activity:
        """From spike counts, an array for each layer."""
        layers = list(counts)
        return cls(
            sum(int(layer.sum()) for layer in layers),
            sum(int((layer == 0).sum()) for layer in layers),
            sum(layer.size for layer in layers),
        )


class Tallies:
    """Sums over an epoch."""

    def __init__(self, n: int) -> None:
        self.samples = 0
        self.right = 0
        self.no_decision = 0
        self.forced = 0
        self.loss_sum = 0.0
        self.wrong = np.zeros(n, dtype=bool)
        self.learned = np.zeros(n, dtype=bool)
        self.hidden_spikes = 0
        self.hidden_silent = 0
        self.hidden_neurons = 0
        self.batches = 0
        self.norms: dict[str, float] = {}

    def add(
        self, batch: Batch, counts: np.ndarray, losses: np.ndarray, forced: int, hidden: Activity
    ) -> None:
        wrong = decide_all(counts) != batch.labels
        self.samples += len(wrong)
        self.right += int(len(wrong) - wrong.sum())
        self.no_decision += int((~counts.any(axis=1)).sum())
        self.wrong[batch.indices] = wrong
        self.learned[batch.indices] = True
        self.loss_sum = sum(losses.tolist(), self.loss_sum)  # one after the other: same bits for any batches
        self.forced += forced
        self.hidden_spikes += hidden.spikes
        self.hidden_silent += hidden.silent
        self.hidden_neurons += hidden.neurons

    def add_norms(self, norms: dict[str, float]) -> None:
        """Add the norms of a mini-batch's gradients, by layer or connection."""
        self.batches += 1
        for key, norm in norms.items():
            self.norms[key] = self.norms.get(key, 0.0) + norm

    @property
    def loss(self) -> float:
        """Mean loss so far."""
        return self.loss_sum / max(1, self.samples)

    @property
    def accuracy(self) -> float:
        """Fraction decided rightly so far."""
        return self.right / max(1, self.samples)

    def line(self) -> dict[str, Any]:
        """Metrics of the epoch; of the hidden neurons' spikes and silence where there are any, and of the
        gradients the mean of the mini-batches' norms.
        """
        neurons = max(1, self.hidden_neurons)
        return {
            "samples": self.samples,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "no_decision": self.no_decision,
            "silent_fraction": self.hidden_silent / neurons,
            "forced_spikes": self.forced,
            "spikes_per_neuron": self.hidden_spikes / neurons,
            "gradient_norms": {key: norm / max(1, self.batches) for key, norm in self.norms.items()},
        }
