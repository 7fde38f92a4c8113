"""Reads one trace that is made of several files: see `eventsnn.trace.parts_file`."""

from __future__ import annotations

import os
from bisect import bisect_right
from dataclasses import replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np

from eventsnn.model import Network
from eventsnn.trace.parts_file import check_part, find_part, read_parts
from eventsnn.trace.potential import PotentialTrace
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import LayerSpikes
from eventsnn.trace.sample import Sample


class JoinedTrace(Trace):
    """A trace whose samples are those of its parts, one part behind the other.

    `Trace` makes it of a file that names parts. All parts are opened with it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._parts: list[Trace] = []
        super().__init__(path)

    def _read_content(self, version: int) -> None:
        self._named = read_parts(self._file)
        try:
            for named in self._named:
                shared = self._parts[0].network if self._parts else None
                part = Trace._of_network(find_part(named, self.path), shared)
                self._parts.append(part)
                check_part(named, part, self._parts[0], self.path)
        except BaseException:
            self.close()
            raise
        self._choice = self._parts[0]._choice
        # Of each part the number of its first sample, and when that begins; in the end those of all parts.
        self._firsts = list(accumulate((part.samples for part in self._named), initial=0))
        self._begins = list(accumulate((part.duration for part in self._named), initial=0.0))
        self._progress, self._count = None, self._firsts[-1]

    def close(self) -> None:
        """Close the file and those of its parts."""
        for part in self._parts:
            part.close()
        super().close()

    @property
    def part_paths(self) -> tuple[Path, ...]:
        """See `Trace`."""
        return tuple(part.path for part in self._parts)

    @cached_property
    def network(self) -> Network:
        """The network that ran, with its weights."""
        return self._parts[0].network

    def _locate(self, sample: int) -> tuple[Trace, int, float]:
        """The part that holds a sample, its number there, and when the part begins, ms."""
        self._check_sample(sample)
        number = bisect_right(self._firsts, sample) - 1
        return self._parts[number], sample - self._firsts[number], self._begins[number]

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """The samples of all parts."""
        found: list[Sample] = []
        for part, first, begin in zip(self._parts, self._firsts, self._begins, strict=False):
            found += (_move(row, first + row.index, begin) for row in part.samples)
        return tuple(found)

    def _sample(self, sample: int) -> Sample:
        part, number, begin = self._locate(sample)
        return _move(part._sample(number), sample, begin)

    def spikes(self, layer: str, sample: int = 0) -> LayerSpikes:
        """See `Trace`."""
        self._check_layer(layer)
        part, number, _ = self._locate(sample)
        return part.spikes(layer, number)

    def readout(self, sample: int = 0) -> np.ndarray | None:
        """See `Trace`."""
        part, number, _ = self._locate(sample)
        return part.readout(number)

    def counts(self, layer: str) -> np.ndarray:
        """See `Trace`."""
        return np.concatenate([part.counts(layer) for part in self._parts])

    def spikes_per_sample(self, layer: str) -> np.ndarray:
        """See `Trace`."""
        self._check_layer(layer)
        return np.concatenate([part.spikes_per_sample(layer) for part in self._parts])

    def totals(self, layer: str) -> np.ndarray:
        """See `Trace`."""
        self._check_layer(layer)
        totals: np.ndarray = np.sum([part.totals(layer) for part in self._parts], axis=0)
        return totals

    def spsp(
        self, layer: str, neuron: int, spike: int, sample: int = 0, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Trace`."""
        part, number, _ = self._locate(sample)
        return part.spsp(layer, neuron, spike, number, projection=projection)

    def spsp_total(
        self, layer: str, sample: int = 0, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Trace`."""
        part, number, _ = self._locate(sample)
        return part.spsp_total(layer, number, projection=projection)

    def _sampled(self, name: str, what: str, layer: str, sample: int) -> PotentialTrace:
        self._check_layer(layer)
        part, number, _ = self._locate(sample)
        return part._sampled(name, what, layer, number)


def _move(row: Sample, index: int, begin: float) -> Sample:
    """A sample of a part that begins at `begin`, ms, on the clock of all."""
    return replace(row, index=index, t_start=begin + row.t_start, t_stop=begin + row.t_stop)
