import numpy as np

from eventsnn.learn import HEADS
from eventsnn.learn.heads import Head


class HingeHead(Head):
    """Every other neuron should fire `margin` spikes less than the label's neuron (Crammer & Singer 2001)."""

    def losses(self, counts, labels):
        each = np.arange(len(counts))
        excess = counts - counts[each, labels][:, None] + self.rule.margin
        excess[each, labels] = 0.0
        excess = np.maximum(excess, 0.0)
        d = (excess > 0.0).astype(np.float64)
        d[each, labels] = -d.sum(axis=1)
        return excess.sum(axis=1), d


HEADS.register("hinge", HingeHead)
