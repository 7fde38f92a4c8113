"""A sample that comes in parts: what is known of it before it is complete."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from eventsnn.model import Network
from eventsnn.trace.batch_record import BatchRecord
from eventsnn.trace.potential import last_spike
from eventsnn.trace.record import ExitReason, SpikeRecord, Tally, decide
from eventsnn.trace.sample_rows import Ended


class SampleInParts:
    """The sample whose parts are being appended.

    Parameters
    ----------
    network : Network
    rows : dict of str to int
        Rows of the file before it.
    part : SpikeRecord
        The first, which is still to be added.
    """

    def __init__(self, network: Network, rows: dict[str, int], part: SpikeRecord) -> None:
        self.rows = rows
        self._network = network
        self._tally = Tally(network)
        self._last_spike = 0.0  # ms
        self._part = part

    def add(self, part: SpikeRecord) -> None:
        """Count the spikes of the next part."""
        self._tally.add(part)
        self._last_spike, self._part = max(self._last_spike, last_spike(part)), part

    def end(self, t_end: float | None, reason: ExitReason | None) -> tuple[Ended, float]:
        """What happened in it, and its length, ms; see `TraceWriter.end_parts` for the arguments."""
        end = self._part.t_end if t_end is None else t_end
        last = replace(self._part, t_end=end, exit_reason=reason or self._part.exit_reason)
        length = max(self._last_spike, end if np.isfinite(end) else 0.0)
        counts = {layer: counts[None, :] for layer, counts in self._tally.counts.items()}
        return Ended(BatchRecord.of(self._network, [last]), counts, self._tally.votes[None, :]), length

    def progress(self, sample: int) -> dict[str, Any]:
        """How far it has come, as a row of `eventsnn.trace.progress`; `sample` is its number."""
        part, decision = self._part, decide(self._tally.votes)
        return {
            "sample": sample,
            "t_end": part.t_end if np.isfinite(part.t_end) else self._last_spike,
            "prediction": -1 if decision is None else decision,
            "origin_us": part.origin_us,
            "engine": part.engine.encode(),
            "dtype": part.dtype.encode(),
        }
