"""Where a trace is written, and what it keeps: what simulating, evaluating and training are told."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventsnn._util.arguments import is_whole
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.trace.choice import Choice, Training
from eventsnn.trace.schema import check_record
from eventsnn.trace.writer import TraceWriter

if TYPE_CHECKING:
    from eventsnn.data.shard import Shard


@dataclass(frozen=True)
class TraceOptions:
    """A trace that is to be written.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    record : iterable of str
        What it keeps, see `eventsnn.trace.schema.RECORD`; all spikes in any case.
    samples : iterable of int, optional
        Numbers, from 0, of the recordings that are kept; all by default.
    potential_step : float
        Grid of recorded potentials, ms, > 0.
    potential_layers : iterable of str, optional
        Layers whose potentials are recorded, `layers` by default.
    layers, neurons, window
        What is recorded besides spikes, see `TraceWriter`; everything by default.

    Raises
    ------
    TraceError
        An option that there is not, or a number that is not whole or below 0.
    """

    path: str | os.PathLike[str]
    record: Iterable[str] = ("spikes",)
    samples: Iterable[int] | None = None
    potential_step: float = 1.0
    potential_layers: Iterable[str] | None = None
    layers: Iterable[str] | None = None
    neurons: Mapping[str, Iterable[int]] | None = None
    window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "record", check_record(self.record))
        if self.samples is not None:
            samples = tuple(self.samples)
            for number in samples:
                if not is_whole(number) or number < 0:
                    raise TraceError(f"samples: recordings are numbered from 0, got {number!r}")
            object.__setattr__(self, "samples", frozenset(int(number) for number in samples))

    @classmethod
    def of(cls, trace: str | os.PathLike[str] | TraceOptions) -> TraceOptions:
        """The options themselves, or those of a trace of all spikes at this path."""
        return trace if isinstance(trace, TraceOptions) else cls(trace)

    def place(self, shard: Shard | None, numbers: Sequence[int] | None = None) -> TraceOptions:
        """Of a shard of the recordings, those of these numbers where they are numbered anew; the file is
        named after it.
        """
        if shard is None:
            return self
        kept = self.samples
        if kept is not None and numbers is not None:
            kept = [place for place, number in enumerate(numbers) if self.takes(number)]
        return replace(self, path=shard.place(Path(self.path)), samples=kept)

    def takes(self, number: int) -> bool:
        """Whether recording `number` is kept."""
        return self.samples is None or number in self.samples

    def open(
        self,
        network: Network,
        config: Mapping[str, Any] | None = None,
        seed: int | None = None,
        training: Training | None = None,
        many: bool = False,
    ) -> TraceWriter:
        """The writer of the trace; see there for the arguments and errors."""
        told = (self.record, self.potential_step, self.potential_layers)
        choice = Choice.of(network, *told, self.layers, self.neurons, self.window, training)
        return TraceWriter(self.path, network, config=config, seed=seed, choice=choice, many=many)
