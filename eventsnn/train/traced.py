"""Traces of the recordings of a data set: what evaluation writes down besides its decisions."""

from __future__ import annotations

import os
from dataclasses import replace
from types import TracebackType
from typing import Self

import numpy as np

from eventsnn.data.source import LabelledSource
from eventsnn.model import Network
from eventsnn.trace.options import TraceOptions
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.writer import TraceWriter, run_config
from eventsnn.train.batches import Batch, BatchLoader
from eventsnn.train.forward import Forward

FLUSH_SECONDS = 1.0
"""What a kill may lose of an evaluation: many recordings take less time than to write ten of them."""


class Tracing:
    """Keeps a trace open in a ``with`` statement."""

    _writer: TraceWriter

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, traceback)


class TracedForward(Tracing):
    """A forward pass that keeps its runs in a trace; use it in a ``with`` statement.

    Parameters
    ----------
    forward : Forward
    network : Network
        The one that runs.
    loader : BatchLoader
        What the mini-batches come from.
    source : LabelledSource
        Whose recordings they are.
    seed : int
    trace : path or TraceOptions

    Raises
    ------
    TraceError
        See `eventsnn.trace.TraceWriter`.
    """

    def __init__(
        self,
        forward: Forward,
        network: Network,
        loader: BatchLoader,
        source: LabelledSource,
        seed: int,
        trace: str | os.PathLike[str] | TraceOptions,
    ) -> None:
        self._forward, self._loader, self._source = forward, loader, source
        self._options, settings = TraceOptions.of(trace), forward.settings
        config = run_config(forward.engine.name, settings.dtype, forward.t_stop, settings.step_ms)
        self._writer = self._options.open(network, config, seed)
        self._writer.flush_seconds = FLUSH_SECONDS

    def votes(self, batch: Batch) -> np.ndarray:
        """See `Forward.votes`."""
        indices = batch.indices.tolist()
        if not any(map(self._options.takes, indices)):
            return self._forward.votes(batch)
        records = self._forward.records(batch)
        for place, (index, record) in enumerate(zip(indices, records, strict=True)):
            if self._options.takes(index):
                self._append(batch, place, index, record)
        return np.array([record.votes for record in records])

    def _append(self, batch: Batch, place: int, index: int, record: SpikeRecord) -> None:
        origin = self._loader.origin_us(batch, place)
        self._writer.append(
            replace(record, origin_us=origin) if origin else record,
            source=str(self._source.paths[index]),
            label=int(batch.labels[place]),
        )
