"""How everybody on the card is timed: a warm-up, then repeats that each last long enough for the clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

REPEATS = 5
SHORTEST_S = 0.05
"""A repeat runs as many mini-batches as fill this time, so that one wait for the card costs nothing."""


def measure(
    do: Callable[[], object], samples: int, seconds: float, wait: Callable[[], None]
) -> dict[str, Any]:
    """Samples per second of wall time of `do`, which hands one mini-batch of `samples` to the card.

    Parameters
    ----------
    do : callable
    samples : int
    seconds : float
        About how long to measure, the warm-up not counted.
    wait : callable
        Returns when the card has finished.

    Returns
    -------
    dict
        rates (one per repeat), steps (mini-batches timed), warm_s (the first call, compilers included).
    """
    start = time.perf_counter()
    do()
    wait()
    warm = time.perf_counter() - start
    start = time.perf_counter()
    do()
    wait()
    one = max(time.perf_counter() - start, 1e-6)
    repeats = max(1, min(REPEATS, int(seconds / max(one, SHORTEST_S))))
    each = max(1, math.ceil(SHORTEST_S / one)) if seconds > 0 else 1
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(each):
            do()
        wait()
        rates.append(samples * each / (time.perf_counter() - start))
    return {"rates": rates, "steps": repeats * each, "warm_s": warm}
