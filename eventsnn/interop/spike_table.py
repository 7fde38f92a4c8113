"""Spikes that were read from a file of another tool, or from one that was written for it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import EventSNNError, TraceError
from eventsnn.trace.record import ExitReason, LayerSpikes
from eventsnn.trace.sample import Sample
from eventsnn.trace.tables import Columns, Library, SpikeSelection, build_frame

VERSION = 1
"""Of the description that files carry."""


@dataclass(frozen=True, eq=False, repr=False)
class SpikeTable:
    """Spikes of some layers in some recordings, as `read_spikes` returns them.

    Attributes
    ----------
    columns : Columns
        A row for each spike: ``sample``, ``layer`` (number of the layer in `sizes`), ``neuron`` and
        ``time_ms``, sorted by (sample, layer, time, neuron).
    sizes : dict of str to int
        Neurons of each layer. Where the file does not say so: as many as there must be for its spikes.
    samples : tuple of Sample
        The recordings, by ascending `Sample.index`. Where the file does not describe them: those with spikes.
    """

    columns: Columns
    sizes: dict[str, int]
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.columns.time_ms)

    def __repr__(self) -> str:
        layers = ", ".join(f"{name} {size}" for name, size in self.sizes.items())
        samples = number_of(len(self.samples), "sample")
        return f"<SpikeTable: {number_of(len(self), 'spike')} of {samples}; neurons: {layers}>"

    def spikes(self, layer: str, sample: int = 0) -> LayerSpikes:
        """Spikes of a layer in a recording, as `Trace.spikes` gives them.

        ``(spikes.times, spikes.neurons)`` is an input that `eventsnn.simulate` takes.

        Raises
        ------
        TraceError
            No such layer or recording; the text says what there is.
        """
        if layer not in self.sizes:
            raise TraceError(f"no layer {layer!r} in this table; there are {', '.join(self.sizes)}")
        if sample not in self._numbers:
            raise TraceError(f"no sample {sample} in this table of {number_of(len(self.samples), 'sample')}")
        columns, number = self.columns, list(self.sizes).index(layer)
        # Of the columns' dtype: any other would have all of them converted.
        first, last = np.searchsorted(columns.sample, np.array([sample, sample + 1], np.int32))
        ends = np.array([number, number + 1], np.int32)
        low, high = np.searchsorted(columns.layer[first:last], ends) + first
        return LayerSpikes(layer, self.sizes[layer], columns.time_ms[low:high], columns.neuron[low:high])

    @cached_property
    def _numbers(self) -> frozenset[int]:
        return frozenset(sample.index for sample in self.samples)

    def to_frame(self, *, library: Library = "pandas") -> Any:
        """The table as a data frame; see `Trace.to_frame`."""
        return build_frame(self.columns, list(self.sizes), library)


def describe(selection: SpikeSelection) -> str:
    """Layers and recordings of a selection as JSON: what a table does not say in its rows."""
    return json.dumps(
        {
            "version": VERSION,
            "layers": selection.sizes,
            "samples": [_sample_fields(sample) for sample in selection.samples],
        }
    )


def _sample_fields(sample: Sample) -> dict[str, Any]:
    fields = asdict(sample) | {"exit_reason": sample.exit_reason.value}
    return fields | {"t_end": None if sample.t_end == math.inf else sample.t_end}  # JSON knows no infinity


def parse_description(text: str) -> tuple[dict[str, int], tuple[Sample, ...]]:
    """Layers and recordings of the result of `describe`; LookupError, ValueError, ... if it is none."""
    found = json.loads(text)
    if found["version"] > VERSION:
        raise ValueError(f"layout {found['version']} of the table, this eventsnn reads up to {VERSION}")
    samples = []
    for fields in found["samples"]:
        end = math.inf if fields["t_end"] is None else fields["t_end"]
        reason = ExitReason(fields["exit_reason"])
        samples.append(Sample(**(fields | {"t_end": end, "exit_reason": reason})))
    return {str(name): int(size) for name, size in found["layers"].items()}, tuple(samples)


def make_table(
    columns: Columns,
    names: Sequence[str],
    description: str | None,
    failure: Callable[[str], EventSNNError],
) -> SpikeTable:
    """A table of rows in any order that a file holds.

    Parameters
    ----------
    columns : Columns
    names : sequence of str
        Of the layers, as ``columns.layer`` numbers them.
    description : str or None
        Result of `describe`, where the file has one.
    failure : callable
        Makes the error of a table that makes no sense, from a text.
    """
    for what, column in zip(("sample", "neuron"), (columns.sample, columns.neuron), strict=True):
        if len(column) and column.min() < 0:
            raise failure(f"row {int(column.argmin())}: {what} {int(column.min())}, must not be negative")
    if not np.isfinite(columns.time_ms).all():
        row = int(np.argmin(np.isfinite(columns.time_ms)))
        raise failure(f"row {row}: time_ms {columns.time_ms[row]}, must be a finite number")
    try:
        if description is None:
            sizes, samples = _infer_sizes(columns, names), _infer_samples(columns)
        else:
            sizes, samples = parse_description(description)
            numbers = {name: number for number, name in enumerate(sizes)}
            columns = columns._replace(layer=_renumber(columns.layer, [numbers[name] for name in names]))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise failure(f"its description of layers and samples makes no sense ({error})") from None
    for number, (name, size) in enumerate(sizes.items()):
        neurons = columns.neuron[columns.layer == number]
        if len(neurons) and neurons.max() >= size:
            raise failure(f"layer {name!r}: neuron {int(neurons.max())} of {size}")
    unknown = set(np.unique(columns.sample).tolist()) - {sample.index for sample in samples}
    if unknown:
        raise failure(f"spikes of sample {min(unknown)}, which its description does not have")
    return SpikeTable(_sort(columns), sizes, samples)


def _renumber(layer: np.ndarray, numbers: list[int]) -> np.ndarray:
    return np.array(numbers, np.int32)[layer] if numbers else layer


def _infer_sizes(columns: Columns, names: Sequence[str]) -> dict[str, int]:
    sizes = np.zeros(len(names), np.int64)
    np.maximum.at(sizes, columns.layer, columns.neuron.astype(np.int64) + 1)
    return dict(zip(names, sizes.tolist(), strict=True))


def _infer_samples(columns: Columns) -> tuple[Sample, ...]:
    """The recordings that have a spike, one after the other in global time."""
    indices, places = np.unique(columns.sample, return_inverse=True)
    lengths = np.zeros(len(indices))
    np.maximum.at(lengths, places, columns.time_ms)
    ends = np.cumsum(lengths)
    return tuple(map(blank_sample, indices.tolist(), (ends - lengths).tolist(), ends.tolist()))


def blank_sample(index: int, t_start: float, t_stop: float) -> Sample:
    """A recording of which no more is known than its stretch of time, ms."""
    return Sample(
        index, "", None, None, None, t_start, t_stop, t_stop - t_start, "", "", ExitReason.T_STOP, 0
    )


def _sort(columns: Columns) -> Columns:
    """Rows by (sample, layer, time, neuron); as they are where they are sorted so."""
    order = np.lexsort((columns.neuron, columns.time_ms, columns.layer, columns.sample))
    if (order[1:] > order[:-1]).all():
        return columns
    return Columns(*(column[order] for column in columns))
