"""What-if simulations of a trace, shared by the pages that show it."""

from __future__ import annotations

from eventsnn.simulate.what_if import WhatIf
from eventsnn.trace.reader import Trace


class Studies:
    """What-if simulations of a trace, for all pages that show it; that of the last sample is kept.

    A study holds the weights once more, as its engine wants them.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._last: tuple[int, WhatIf] | None = None

    def of_sample(self, sample: int) -> WhatIf:
        """Raises TraceError where it cannot be simulated again."""
        if self._last is None or self._last[0] != sample:
            self._last = None  # two would take twice the memory
            self._last = sample, WhatIf(self._trace, sample)
        return self._last[1]
