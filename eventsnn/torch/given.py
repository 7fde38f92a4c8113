"""A loss that is PyTorch's: what a learning rule is told where it would compute its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsnn.learn.charges import Activity
from eventsnn.learn.rule import Counts, Floats, Rule


class GivenLoss:
    """A rule whose loss is another's: its derivatives are given; all else is as the rule says.

    The rules' remedies for silent neurons ask for labels, which PyTorch's losses keep to themselves: unless
    they are given, too, the output neuron that the loss wants most to fire (more, or earlier) stands in the
    place of the label.

    Parameters
    ----------
    rule : Rule
    wishes : float64 array (samples, outputs)
        How much the loss falls as the neuron fires more or earlier.
    counts : int64 array (samples, outputs)
        Output spikes.
    derivatives : float64 array
        By what the network gave out: (samples, outputs), or by spike times (samples, outputs, most).
    labels : int64 array (samples,), optional

    Attributes
    ----------
    labels : int64 array (samples,)
    """

    def __init__(
        self,
        rule: Rule,
        wishes: Floats,
        counts: Counts,
        derivatives: Floats,
        labels: Counts | None = None,
    ) -> None:
        self._rule, self._derivatives = rule, derivatives
        every, best = np.arange(len(wishes)), np.argmax(wishes, axis=1)
        self._wished = wishes[every, best] > 0.0
        # Where the loss wants nobody to fire, the neuron that fires most has no need of a remedy.
        self.labels = np.where(self._wished, best, np.argmax(counts, axis=1)).astype(np.int64)
        if labels is not None:
            self.labels, self._wished = labels, np.ones(len(labels), bool)
        self._hopeless = ~self._wished & (counts[every, self.labels] == 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rule, name)

    def losses(self, counts: Counts, labels: Counts) -> tuple[Floats, Floats]:
        """Nobody reads the losses; counts of 0 cannot fall."""
        return np.zeros(len(labels)), np.where(self._hopeless[:, None], 0.0, self._derivatives)

    def readout_losses(self, values: Floats, labels: Counts) -> tuple[Floats, Floats]:
        return np.zeros(len(labels)), self._derivatives

    def spike_losses(self, output: Activity, labels: Counts, durations: Floats) -> tuple[Floats, Floats]:
        units, neurons = output.units, output.neurons
        rank = rank_spikes(units, neurons, output.times)
        known = rank < self._derivatives.shape[2]
        found = np.zeros(len(rank))
        found[known] = self._derivatives[units[known], neurons[known], rank[known]]
        return np.zeros(len(labels)), found

    def silent_gradients(self, layer: Activity, labels: Counts | None) -> Floats:
        """In proportion to a loss that is the mean over a mini-batch, as that of training is."""
        pull = self._rule.silent_gradients(layer, labels) / len(self.labels)
        return pull if labels is None else pull * self._wished[:, None]

    def count_factors(self, layer: Activity) -> Floats | None:
        factors = self._rule.count_factors(layer)
        return None if factors is None else factors / len(self.labels)


def rank_spikes(samples: np.ndarray, neurons: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Which spike of its neuron in its sample each is, from 0; int64 (spikes,)."""
    order = np.lexsort((times, neurons, samples))
    place = np.arange(len(order))
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(neurons[order]) != 0) | (np.diff(samples[order]) != 0)
    rank = np.empty(len(order), np.int64)
    rank[order] = place - np.maximum.accumulate(np.where(first, place, 0))
    return rank
