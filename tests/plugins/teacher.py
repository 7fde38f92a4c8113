from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from eventsnn.learn import RULES, Rule
from eventsnn.learn.rule import LayerOptions


@dataclass(frozen=True)
class Teacher(Rule):
    """Squared count errors, sent down through the weights alone (rho = 1), with weight decay."""

    name: ClassVar[str] = "teacher"

    spikes: float = 8.0
    shrink: float = 0.0

    def losses(self, counts, labels):
        target = np.zeros(counts.shape)
        target[np.arange(len(counts)), labels] = self.spikes
        d = counts - target
        return 0.5 * (d * d).sum(axis=1), d

    def layer_options(self, layer, below):
        divisor = 1.0 if below is None else below.threshold
        return LayerOptions(divisor, effect_ratio=False, silent_spsp=0.1, silent_ratio=0.5)

    def penalty(self, mean_square):
        return np.full_like(mean_square, self.shrink)


RULES.register("teacher", Teacher)
