"""Cross entropy of spike counts, or of what a readout layer gives."""

from __future__ import annotations

import numpy as np

from eventsnn.learn.heads.head import Counts, Floats, Head


class SoftmaxHead(Head):
    """Cross entropy of softmax(counts) with the label, no margin."""

    def losses(self, counts: Counts, labels: Counts) -> tuple[Floats, Floats]:
        return cross_entropy(counts, labels)


def cross_entropy(values: Counts | Floats, labels: Counts) -> tuple[Floats, Floats]:
    """Cross entropy of softmax(values) (samples, n) with the labels, and its derivative by the values."""
    each = np.arange(len(values))
    # Shifted by the largest: no power overflows.
    shifted = values - np.max(values, axis=1, keepdims=True).astype(np.float64)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    d = np.exp(log_p)
    d[each, labels] -= 1.0
    return -log_p[each, labels], d
