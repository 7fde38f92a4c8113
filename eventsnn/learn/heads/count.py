"""Squared errors of spike counts."""

from __future__ import annotations

import numpy as np

from eventsnn.learn.heads.head import Counts, Floats, Head


class CountHead(Head):
    """Half the sum of squared count errors, errors within the margin set to 0.

    Source: Jin, Zhang & Li, NeurIPS 2018; `desired`, `undesired` and `margin` are those of the rule.
    """

    def losses(self, counts: Counts, labels: Counts) -> tuple[Floats, Floats]:
        target = np.full(counts.shape, float(self.rule.undesired))
        target[np.arange(len(counts)), labels] = self.rule.desired
        d = counts - target
        d[np.abs(d) <= self.rule.margin] = 0.0
        return 0.5 * (d * d).sum(axis=1), d
