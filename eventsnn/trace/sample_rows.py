"""Puts a row of /samples for each sample of a mini-batch, with its counts, its readout and its checksum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eventsnn._ext.checksum import row_crcs
from eventsnn.model import Network
from eventsnn.trace import schema
from eventsnn.trace.batch_record import BatchRecord
from eventsnn.trace.columns import GrowingColumns
from eventsnn.trace.record import decide_all

_NAMES = [column.path.rpartition("/")[2] for column in schema.SAMPLE_COLUMNS]
# Packed, as a row's checksum is of its values one after the other.
_ROW = np.dtype([(name, column.dtype) for name, column in zip(_NAMES, schema.SAMPLE_COLUMNS, strict=True)])


@dataclass(frozen=True)
class Ended:
    """What happened in some samples that are complete.

    Attributes
    ----------
    batch : BatchRecord
        Their runs; of a sample in parts the last part.
    counts : dict of str to int64 array (samples, neurons)
        Spikes of every layer.
    votes : array (samples, outputs)
        What decides.
    """

    batch: BatchRecord
    counts: Mapping[str, np.ndarray]
    votes: np.ndarray

    @classmethod
    def of(cls, batch: BatchRecord) -> Ended:
        """Of whole samples."""
        return cls(batch, {name: batch.counts(name) for name in batch.network.names}, batch.votes)


def put_samples(
    rows: GrowingColumns,
    network: Network,
    ended: Ended,
    times: np.ndarray,
    sources: Sequence[str],
    labels: Sequence[int],
    epoch: int,
) -> None:
    """Append the rows of samples whose spikes are there.

    Parameters
    ----------
    rows : GrowingColumns
    network : Network
    ended : Ended
    times : float64 array (samples + 1,)
        Where each sample begins on the clock of the file, ms, and where the last one ends.
    sources, labels : sequences
        Of each sample.
    epoch : int
    """
    batch = ended.batch
    for layer, counts in ended.counts.items():
        rows.put(f"/counts/{layer}", counts)
    table = np.empty(len(batch), _ROW)
    table["t_start"], table["t_stop"], table["t_end"] = times[:-1], times[1:], batch.t_end
    table["label"], table["epoch"] = labels, epoch
    table["prediction"] = decide_all(ended.votes)
    table["source"] = [_cut_utf8(source, 200) for source in sources]
    table["engine"], table["dtype"] = batch.engine.encode(), batch.dtype.encode()
    table["exit_reason"] = [reason.value.encode() for reason in batch.exit_reasons]
    table["origin_us"] = batch.origins
    crcs = np.zeros(len(batch), np.uint32)
    if batch.readout is not None:
        column = schema.readout_column(network)
        readout = np.ascontiguousarray(batch.readout, column.dtype)
        rows.put(column.path, readout)
        crcs = row_crcs(readout.view(np.uint8), crcs)
    crcs = row_crcs(table.view(np.uint8).reshape(len(batch), table.itemsize), crcs)
    for name, column in zip(_NAMES, schema.SAMPLE_COLUMNS, strict=True):
        rows.put_many(column.path, table[name])
    rows.put_many(schema.SAMPLE_CRC.path, crcs)
    rows.put_many(schema.COMPLETE.path, np.ones(len(batch), np.uint8))


def _cut_utf8(text: str, size: int) -> bytes:
    """Encode `text`, cut to `size` bytes without splitting a character.

    Bytes of a file's name that are no UTF-8 become ``\\udcff``.
    """
    return text.encode("utf-8", "backslashreplace")[:size].decode("utf-8", errors="ignore").encode("utf-8")
