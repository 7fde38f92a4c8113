"""Spike trains of a neuron in two simulations: which spikes are one that moved, and distances."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


def match(before: Sequence[float], after: Sequence[float], within: float) -> list[tuple[float, float]]:
    """Pairs of two spike trains, each in order. NaN: a spike has no partner.

    Pairs do not cross, are less than `within` apart, and make the sum of `within` minus their distances
    largest. That is the cheapest way to make one train the other, where it costs 1 to remove or add a spike,
    and 2 / `within` to move one by a unit of time: the metric of Victor & Purpura, J. Neurophysiol. 76, 1996.
    """
    saved = [[0.0] * (len(after) + 1) for _ in range(len(before) + 1)]
    for i, t in enumerate(before):
        above, row = saved[i], saved[i + 1]
        for j, s in enumerate(after):
            gain = above[j] + max(0.0, within - abs(t - s))
            row[j + 1] = max(above[j + 1], row[j], gain)
    pairs: list[tuple[float, float]] = []
    i, j = len(before), len(after)
    while i or j:
        if i and saved[i][j] == saved[i - 1][j]:
            i -= 1
            pairs.append((before[i], math.nan))
        elif j and saved[i][j] == saved[i][j - 1]:
            j -= 1
            pairs.append((math.nan, after[j]))
        else:
            i, j = i - 1, j - 1
            pairs.append((before[i], after[j]))
    return pairs


def victor_purpura(before: Sequence[float], after: Sequence[float], cost: float) -> float:
    """Distance of Victor & Purpura (J. Neurophysiol. 76, 1996): the least cost of making one train the other.

    To remove or add a spike costs 1, to move it costs `cost` per unit of time.
    """
    least = [float(j) for j in range(len(after) + 1)]
    for i, t in enumerate(before, start=1):
        row = [float(i)]
        for j, s in enumerate(after, start=1):
            row.append(min(row[j - 1] + 1.0, least[j] + 1.0, least[j - 1] + cost * abs(t - s)))
        least = row
    return least[-1]


def van_rossum(before: Sequence[float], after: Sequence[float], tau: float) -> float:
    """Distance of van Rossum (Neural Comput. 13, 2001) with the scale at which a single spike is 1 from none.

    Each spike becomes an exponential that decays with `tau`; the distance is the square root of twice the
    integral of the squared difference, divided by `tau`. The product of the exponentials of spikes at t and s
    has the integral tau / 2 exp(-\\|t - s\\| / tau).
    """
    signed = [(t, 1.0) for t in before] + [(s, -1.0) for s in after]
    terms = (x * y * math.exp(-abs(t - s) / tau) for t, x in signed for s, y in signed)
    return math.sqrt(max(0.0, math.fsum(terms)))


def find_changed(
    before: Sequence[tuple[float, int]], after: Sequence[tuple[float, int]]
) -> tuple[float, set[int]]:
    """When the first spike (time, neuron) comes that one train has and the other has not, or has less often,
    infinite if there is none; and whose such spikes are.
    """
    counts, others = Counter(before), Counter(after)
    differing = [spike for spike in counts | others if counts[spike] != others[spike]]
    return min((t for t, _ in differing), default=math.inf), {neuron for _, neuron in differing}
