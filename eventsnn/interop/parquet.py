"""Spikes as Apache Parquet: a row for each spike, row groups of 131,072 rows.

The layers' sizes and the recordings are in the metadata of the file, under ``eventsnn``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eventsnn._util.atomic import replace_file
from eventsnn.errors import TraceError
from eventsnn.interop.spike_table import SpikeTable, describe, make_table
from eventsnn.trace.tables import Columns, SpikeSelection, build_table, import_arrow

METADATA = "eventsnn"
PURPOSE = "a file of Parquet"
NEEDED = {"neuron": "int32", "time_ms": "float64"}
COLUMNS = ("sample", "layer", *NEEDED)


def write(selection: SpikeSelection, path: Path) -> None:
    """See `eventsnn.interop.export_spikes`."""
    import_arrow(PURPOSE)
    from pyarrow import parquet

    names, metadata = list(selection.sizes), {METADATA: describe(selection)}
    schema = build_table(Columns.join([]), names, metadata).schema
    with (
        replace_file(path, lambda text: TraceError(f"{path}: {text}")) as file,
        parquet.ParquetWriter(
            file, schema, compression="zstd", use_dictionary=["sample", "layer", "neuron"]
        ) as writer,
    ):
        for chunk in selection.chunks():
            writer.write_table(build_table(chunk, names, metadata))


def read(path: Path) -> SpikeTable:
    """See `eventsnn.interop.read_spikes`."""
    arrow = import_arrow(PURPOSE)
    from pyarrow import parquet

    def failure(text: str) -> TraceError:
        return TraceError(f"{path}: {text}")

    try:
        found = parquet.read_table(path)
    except (arrow.ArrowException, OSError) as error:
        raise failure(f"not a file of Parquet, or a damaged one ({error})") from None
    for name in NEEDED:
        if name not in found.column_names:
            raise failure(f"has no column {name!r}; its columns are {', '.join(found.column_names)}")
    for name in found.column_names:
        if name in COLUMNS and found[name].null_count:
            raise failure(f"column {name!r}: {found[name].null_count} empty cells")
    try:
        layer, names = np.zeros(len(found), np.int32), ["spikes"]
        sample = found["sample"].cast("int32").to_numpy() if "sample" in found.column_names else layer
        neuron, times = (found[name].cast(kind) for name, kind in NEEDED.items())
        if "layer" in found.column_names:
            texts = found["layer"].cast("string").dictionary_encode().unify_dictionaries().combine_chunks()
            texts = texts if isinstance(texts, arrow.DictionaryArray) else texts.chunk(0)
            layer, names = texts.indices.to_numpy().astype(np.int32), texts.dictionary.to_pylist()
    except (arrow.ArrowException, IndexError) as error:
        raise failure(f"its columns are no table of spikes ({error})") from None
    description = (found.schema.metadata or {}).get(METADATA.encode())
    columns = Columns(sample, layer, neuron.to_numpy(), times.to_numpy())
    return make_table(columns, names, None if description is None else description.decode(), failure)
