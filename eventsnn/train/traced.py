"""Traces of the recordings of a data set: what evaluation writes down besides its decisions."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

import numpy as np

from eventsnn.data.source import LabelledSource
from eventsnn.model import Network
from eventsnn.trace.batch_record import votes_of
from eventsnn.trace.creation import run_config
from eventsnn.trace.options import TraceOptions
from eventsnn.trace.writer import TraceWriter
from eventsnn.train.batches import Batch, BatchLoader
from eventsnn.train.forward import Forward


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
        self._writer = self._options.open(network, config, seed, many=True)

    def votes(self, batch: Batch) -> np.ndarray:
        """See `Forward.votes`."""
        places = [place for place, index in enumerate(batch.indices.tolist()) if self._options.takes(index)]
        if not places:
            return self._forward.votes(batch)
        records = self._forward.records(batch)
        votes = votes_of(records)
        if len(places) < len(batch):
            records = [records[place] for place in places]
        self._writer.append_all(
            records,
            sources=[str(self._source.paths[index]) for index in batch.indices[places].tolist()],
            labels=batch.labels[places].tolist(),
            origins=self._loader.origins_us(batch)[places].tolist(),
        )
        return votes
