from typing import ClassVar

import numpy as np

from eventsnn.learn import OPTIMISERS
from eventsnn.learn.optimisers import Method, Option


class Lion(Method):
    """Lion without weight decay: Chen et al., Symbolic Discovery of Optimization Algorithms, NeurIPS 2023."""

    moments = 1
    options: ClassVar = {"blend": Option(0.9, may_be_zero=True, below=1.0)}

    def step(self, weights, gradient, moments, rate, number):
        (mean,) = moments
        blend, beta = self.settings.options["blend"], self.settings.beta2
        direction = blend * mean + (1.0 - blend) * gradient
        return weights - rate * np.sign(direction), beta * mean + (1.0 - beta) * gradient


OPTIMISERS.register("lion", Lion)
