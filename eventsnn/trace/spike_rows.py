"""Puts the spikes of mini-batches into the columns of a trace, with the checksum of every sample."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from eventsnn._ext.checksum import row_crcs
from eventsnn._ext.spike_rows import fill_rows
from eventsnn.model import Network
from eventsnn.trace import schema
from eventsnn.trace.batch_record import BatchRecord, Trains
from eventsnn.trace.checks import combine_crcs
from eventsnn.trace.clock import split
from eventsnn.trace.columns import GrowingColumns

PIECE: Final = 2**20
"""Rows that are made at a time: of a long recording never all, which would take as much memory again."""

FAR: Final = "/far_spikes"


class _Far(NamedTuple):
    """Spikes of a train whose times the rows of /spikes do not tell; there are hardly ever any."""

    train: int
    rows: np.ndarray
    times: np.ndarray


class SpikeRows:
    """The rows of /spikes and /far_spikes of the samples that are being appended: `open`, `put`, `close`.

    Parameters
    ----------
    rows : GrowingColumns
    network : Network
    """

    def __init__(self, rows: GrowingColumns, network: Network) -> None:
        self._rows, self._trains = rows, schema.trains(network)
        self._samples = 0
        self._crcs: dict[str, np.ndarray] = {}  # of each train, uint32 (samples, columns)
        self._ends: dict[str, np.ndarray] = {}  # of each train, the row after each sample's last
        self._far: dict[int, list[_Far]] = {}  # by sample, in the order of the trains

    def open(self, samples: int) -> None:
        """Begin with some samples."""
        width = len(schema.SPIKES)
        self._samples, self._far = samples, {}
        self._crcs = {train: np.zeros((samples, width), np.uint32) for train in self._trains}

    def put(self, batch: BatchRecord, starts: np.ndarray) -> None:
        """Append the spikes of all samples; or, of a single one, a part of them, and another one later.

        Parameters
        ----------
        batch : BatchRecord
        starts : float64 array (samples,)
            Where each sample begins on the clock of the file, ms.
        """
        for number, train in enumerate(self._trains):
            trains = batch.trains[train]
            self._ends[train] = self._count(train) + trains.ptr[1:]
            for first in range(0, len(trains.times), PIECE):
                self._put_piece(number, trains, first, starts)
        if self._samples == 1:
            self._put_far(0)

    def _count(self, train: str) -> int:
        return self._rows.rows(f"/spikes/{train}/{schema.SPIKES[0]}")

    def _put_piece(self, number: int, trains: Trains, first: int, starts: np.ndarray) -> None:
        """Append the spikes from number `first` on, at most `PIECE`."""
        train, part = self._trains[number], slice(first, first + PIECE)
        times = np.ascontiguousarray(trains.times[part], np.float64)
        neurons = np.ascontiguousarray(trains.neurons[part], np.int32)
        ptr, before = np.clip(trains.ptr - first, 0, len(times)), self._count(train)
        stamps, ids, low = (
            self._rows.extend(f"/spikes/{train}/{name}", len(times)) for name in schema.SPIKES
        )
        far = np.empty(len(starts), np.uint8)
        fill_rows(times, neurons, ptr, starts, stamps, ids, low, self._crcs[train], far)
        for sample in np.flatnonzero(far).tolist():
            local = times[ptr[sample] : ptr[sample + 1]]
            places = split(local, float(starts[sample]))[2]
            found = _Far(number, before + int(ptr[sample]) + places, local[places])
            self._far.setdefault(sample, []).append(found)
        self._rows.write_if_full()

    def _put_far(self, sample: int) -> None:
        for far in self._far.pop(sample, ()):
            self._rows.put(f"{FAR}/train", np.full(len(far.rows), far.train))
            self._rows.put(f"{FAR}/row", far.rows)
            self._rows.put(f"{FAR}/local_ms", far.times)

    def close(self) -> None:
        """End the samples: their pointers and checksums."""
        for train in self._trains:
            group, crcs = f"/spikes/{train}", self._crcs[train]
            self._rows.put_many(f"{group}/sample_ptr", self._ends[train])
            self._rows.put_many(
                f"{group}/sample_crc", row_crcs(crcs.view(np.uint8), np.zeros(len(crcs), np.uint32))
            )
        if self._samples > 1 and not self._far:  # nearly always, and faster
            end = self._rows.rows(f"{FAR}/row")
            self._rows.put_many(f"{FAR}/sample_ptr", np.full(self._samples, end))
            self._rows.put_many(f"{FAR}/sample_crc", np.full(self._samples, combine_crcs([0, 0, 0])))
            return
        for sample in range(self._samples):
            self._put_far(sample)
            self._rows.end_group(FAR, "row")

    def so_far(self) -> tuple[dict[str, int], dict[str, int]]:
        """Of the only sample, whose parts still come: by group, where its rows end, and their checksum."""
        ends = {f"/spikes/{train}": self._count(train) for train in self._trains}
        crcs = {f"/spikes/{train}": combine_crcs(self._crcs[train][0].tolist()) for train in self._trains}
        far_crc = self._rows.peek_crc(f"{FAR}/sample_crc")
        return ends | {FAR: self._rows.rows(f"{FAR}/row")}, crcs | {FAR: far_crc}
