from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from eventsnn.learn import RULES, Rule


@dataclass(frozen=True)
class FirstSpike(Rule):
    """Cross entropy of softmax(-t / scale) over first output spikes t, by exact derivatives (EventProp)."""

    name: ClassVar[str] = "first-spike"
    sends: ClassVar = "derivatives"

    scale: float = 10.0  # ms
    least_slope: float = 0.01  # of the potential at a spike, per ms

    def losses(self, counts, labels):
        wrong = np.argmax(counts, axis=1) != labels
        return wrong.astype(float), np.zeros(counts.shape)

    def spike_losses(self, output, labels, durations):
        first = np.flatnonzero(output.previous < 0)
        sample, neuron = output.units[first], output.neurons[first]
        times = np.tile(durations[:, None], output.size)  # of those that stay silent
        times[sample, neuron] = output.times[first]
        earliest = times.min(axis=1, keepdims=True)
        weights = np.exp((earliest - times) / self.scale)
        p = weights / weights.sum(axis=1, keepdims=True)
        each = np.arange(len(labels))
        d = p / -self.scale
        d[each, labels] += 1.0 / self.scale
        derivatives = np.zeros(len(output.times))
        derivatives[first] = d[sample, neuron]
        return -np.log(p[each, labels]), derivatives

    def slope_floor(self, lif):
        return self.least_slope


RULES.register("first-spike", FirstSpike)
