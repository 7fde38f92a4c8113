"""Learning-rate schedules: the factor on the base rate in each epoch, counted from 0."""

from __future__ import annotations

import math
from collections.abc import Callable

SCHEDULES: dict[str, Callable[[int], float]] = {
    # hm2bp's released program: rate / sqrt(max(1, epoch)).
    "inverse_sqrt": lambda epoch: 1.0 / math.sqrt(max(1, epoch)),
    "exponential": lambda epoch: 0.9**epoch,
    "constant": lambda epoch: 1.0,
}
