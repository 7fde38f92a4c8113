"""Learning-rate schedules: the factor on the base rate in each epoch, counted from 0, for a given decay."""

from __future__ import annotations

import math
from collections.abc import Callable

SCHEDULES: dict[str, Callable[[int, float], float]] = {
    # The program of the authors of HM2-BP: rate / sqrt(max(1, epoch)).
    "inverse_sqrt": lambda epoch, decay: 1.0 / math.sqrt(max(1, epoch)),
    "exponential": lambda epoch, decay: decay**epoch,
    "constant": lambda epoch, decay: 1.0,
}
