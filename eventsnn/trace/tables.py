"""Spikes as a table, a row for each: for pandas, Polars and Arrow, and for files of such tables.

::

    sample   int32     number of the recording in the trace, from 0
    layer    category  "input", "bias" or a layer of the network
    neuron   int32     number of the neuron in its layer
    time_ms  float64   since the origin of the recording, the engine's exact bits

Rows are sorted by (sample, layer, time, neuron), layers in the network's order. A table is made chunk by
chunk: memory holds one layer of one recording and a chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from eventsnn.errors import MissingExtraError, TraceError
from eventsnn.model import Network
from eventsnn.trace.record import LayerSpikes
from eventsnn.trace.sample import Sample
from eventsnn.trace.schema import train_size, trains

if TYPE_CHECKING:
    from eventsnn.trace.reader import Trace

CHUNK_ROWS = 1 << 17
"""Rows of a chunk: 2 MB."""

Library = Literal["pandas", "polars", "arrow"]


class Columns(NamedTuple):
    """Rows of a table of spikes.

    Attributes
    ----------
    sample : int32 array (rows,)
    layer : int32 array (rows,)
        Number of the layer among the names of the table.
    neuron : int32 array (rows,)
    time_ms : float64 array (rows,)
    """

    sample: np.ndarray
    layer: np.ndarray
    neuron: np.ndarray
    time_ms: np.ndarray

    @classmethod
    def of(cls, sample: int, layer: int, spikes: LayerSpikes) -> Columns:
        """Rows of one layer in one recording."""
        n = len(spikes)
        return cls(
            np.full(n, sample, np.int32),
            np.full(n, layer, np.int32),
            np.asarray(spikes.neurons, np.int32),
            spikes.times,
        )

    @classmethod
    def join(cls, parts: Sequence[Columns]) -> Columns:
        """All rows, one part after the other."""
        if not parts:
            whole = np.zeros(0, np.int32)
            return cls(whole, whole, whole, np.zeros(0))
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def rows(self, first: int, last: int) -> Columns:
        """Rows ``[first, last)``."""
        return Columns(*(column[first:last] for column in self))


@dataclass(frozen=True)
class SpikeSelection:
    """Layers and recordings of a trace whose spikes a table is of.

    Attributes
    ----------
    trace : Trace
    sizes : dict of str to int
        Neurons of every layer of the selection, in the network's order.
    samples : tuple of Sample
        Numbered as in the trace.
    """

    trace: Trace
    sizes: dict[str, int]
    samples: tuple[Sample, ...]

    @classmethod
    def of(
        cls,
        trace: Trace,
        layers: str | Iterable[str] | None = None,
        samples: int | Iterable[int] | None = None,
    ) -> SpikeSelection:
        """Some layers and recordings; None for all.

        Raises
        ------
        TraceError
            The trace has no such layer or recording; the text says what there is.
        """
        network, there = trace.network, trace.samples
        chosen = [layers] if isinstance(layers, str) else layers
        names = trains(network) if chosen is None else tuple(dict.fromkeys(chosen))
        for name in names:
            if name not in trains(network):
                raise TraceError(f"{trace.path}: no layer {name!r}; there are {', '.join(trains(network))}")
        sizes = {name: train_size(network, name) for name in trains(network) if name in names}
        wanted = [samples] if isinstance(samples, int | np.integer) else samples
        numbers = range(len(there)) if wanted is None else sorted({int(number) for number in wanted})
        for number in numbers:
            if not 0 <= number < len(there):
                raise TraceError(f"{trace.path}: no sample {number}; there are {len(there)}, from 0")
        return cls(trace, sizes, tuple(there[number] for number in numbers))

    def count(self, layer: str) -> int:
        """Spikes of a layer in all recordings of the selection."""
        return int(self.trace.spikes_per_sample(layer)[[sample.index for sample in self.samples]].sum())

    def layers(self, sample: Sample) -> Iterator[LayerSpikes]:
        """The layers of a recording."""
        return (self.trace.spikes(name, sample.index) for name in self.sizes)

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[Columns]:
        """The table, at most `rows` rows at a time; no chunk is empty."""
        waiting: list[Columns] = []
        n = 0
        for sample in self.samples:
            for number, spikes in enumerate(self.layers(sample)):
                waiting.append(Columns.of(sample.index, number, spikes))
                n += len(spikes)
                if n >= rows:
                    whole = Columns.join(waiting)
                    yield from (whole.rows(k, k + rows) for k in range(0, n - rows + 1, rows))
                    waiting, n = [whole.rows(n - n % rows, n)], n % rows
        if n:
            yield Columns.join(waiting)


class TableReader:
    """The part of `Trace` that makes tables."""

    if TYPE_CHECKING:

        @property
        def network(self) -> Network: ...

    def to_frame(
        self,
        layers: str | Iterable[str] | None = None,
        samples: int | Iterable[int] | None = None,
        *,
        library: Library = "pandas",
    ) -> Any:
        """The spikes as a data frame, a row for each, sorted by (sample, layer, time, neuron).

        Parameters
        ----------
        layers : str or sequence of str, optional
            "input", "bias" or layers of the network; all by default.
        samples : int or sequence of int, optional
            Recordings; all by default.
        library : {"pandas", "polars", "arrow"}
            What the frame is of: a ``pandas.DataFrame``, a ``polars.DataFrame``, a ``pyarrow.Table``.

        Returns
        -------
        frame
            Columns ``sample`` (int32), ``layer`` (category), ``neuron`` (int32) and ``time_ms`` (float64,
            since the origin of the recording).

        Raises
        ------
        TraceError
            No such layer, sample or library.
        MissingExtraError
            The library is not installed.
        """
        selection = SpikeSelection.of(self, layers, samples)  # type: ignore[arg-type]
        return build_frame(Columns.join(list(selection.chunks())), list(selection.sizes), library)


def build_frame(columns: Columns, names: Sequence[str], library: str = "pandas") -> Any:
    """A frame of the rows; see `Trace.to_frame`. `names` are those of the layers."""
    if library == "pandas":
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "table", "a data frame of pandas") from None
        layer = pandas.Categorical.from_codes(columns.layer, categories=list(names))
        return pandas.DataFrame(columns._asdict() | {"layer": layer})
    if library == "arrow":
        return build_table(columns, names)
    if library == "polars":
        try:
            import polars
        except ImportError:
            raise MissingExtraError("polars", "polars", "a data frame of Polars") from None
        return polars.from_arrow(build_table(columns, names))
    raise TraceError(f"library: there is no {library!r}; there are pandas, polars, arrow")


def build_table(columns: Columns, names: Sequence[str], metadata: Mapping[str, str] | None = None) -> Any:
    """The rows as a ``pyarrow.Table``, which shares their memory."""
    arrow = import_arrow("a table of Arrow")
    layer = arrow.DictionaryArray.from_arrays(columns.layer, arrow.array(list(names), arrow.string()))
    arrays = [columns.sample, layer, columns.neuron, columns.time_ms]
    fields = [
        ("sample", arrow.int32()),
        ("layer", layer.type),
        ("neuron", arrow.int32()),
        ("time_ms", arrow.float64()),
    ]
    return arrow.table(
        [arrow.array(array) for array in arrays], schema=arrow.schema(fields, dict(metadata or {}))
    )


def import_arrow(purpose: str) -> Any:
    """The module ``pyarrow``; MissingExtraError without."""
    try:
        import pyarrow
    except ImportError:
        raise MissingExtraError("pyarrow", "table", purpose) from None
    return pyarrow
