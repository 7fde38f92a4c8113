"""How far a recording in parts has come: a kill loses what came after the last row of ``/progress``.

A sample's row, pointers and checksums are written once it is complete. Of one whose parts still come, each
row here says up to which rows its spikes are in the file, with their checksums; the last row that is complete
counts.

::

    /progress/ends crcs   one column for each train (`schema.trains`), and one for /far_spikes
    /progress/sample t_end prediction origin_us engine dtype crc complete
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from eventsnn.model import Network
from eventsnn.trace import schema
from eventsnn.trace.checks import DamagedError
from eventsnn.trace.column import POINTERS, SEAL, Column
from eventsnn.trace.record import ExitReason

if TYPE_CHECKING:
    import h5py

    from eventsnn.trace.columns import GrowingColumns

GROUP: Final = "/progress"
_ROW: Final = {
    "sample": ("<i8", "q"),
    "t_end": ("<f8", "d"),
    "prediction": ("<i4", "i"),
    "origin_us": ("<i8", "q"),
    "engine": ("S16", "16s"),
    "dtype": ("S16", "16s"),
}
_UNITS: Final = {"t_end": "ms", "origin_us": "us"}
_STRUCT: Final = struct.Struct("<" + "".join(code for _, code in _ROW.values()))


def progress_columns(network: Network) -> list[Column]:
    """Data sets of the group."""
    width = len(schema.trains(network)) + 1
    return [
        Column(f"{GROUP}/ends", "<u8", "rows of each train so far (row, train)", None, POINTERS, width),
        Column(f"{GROUP}/crcs", "<u4", "CRC-32 of the sample's, as sample_crc", None, POINTERS, width),
        *(
            Column(f"{GROUP}/{name}", dtype, f"{name} so far, as in /samples", _UNITS.get(name), POINTERS)
            for name, (dtype, _) in _ROW.items()
        ),
        Column(f"{GROUP}/crc", "<u4", "CRC-32 of the row's other values", None, POINTERS),
        Column(f"{GROUP}/complete", "|u1", "1: all of this row is in the file", None, SEAL),
    ]


@dataclass(frozen=True)
class Progress:
    """A sample whose parts still come, or came until the run was killed.

    Attributes
    ----------
    ends, crcs : dict of str to int
        By group: where its rows end, and their checksum.
    row : dict of str to value
        Of `_ROW`.
    """

    ends: dict[str, int]
    crcs: dict[str, int]
    row: dict[str, Any]

    @classmethod
    def groups(cls, network: Network) -> list[str]:
        """Groups in the order of the columns."""
        return [*(f"/spikes/{train}" for train in schema.trains(network)), "/far_spikes"]

    def pack(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Ends, checksums, and the checksum of it all."""
        ends, crcs = np.array([*self.ends.values()], "<u8"), np.array([*self.crcs.values()], "<u4")
        crc = zlib.crc32(_STRUCT.pack(*(self.row[name] for name in _ROW)))
        return ends, crcs, zlib.crc32(crcs.tobytes(), zlib.crc32(ends.tobytes(), crc))

    def table(self, start: float) -> dict[str, Any]:
        """The sample's row of /samples, which begins at `start`, ms."""
        return {
            **{name: self.row[name] for name in ("prediction", "origin_us", "engine", "dtype", "t_end")},
            "t_start": start,
            "t_stop": start + max(self.row["t_end"], 0.0),
            "label": -1,
            "epoch": -1,
            "source": b"",
            "exit_reason": ExitReason.PART.value.encode(),
        }


def put_progress(rows: GrowingColumns, progress: Progress) -> None:
    """Append a row of the group."""
    *packed, crc = progress.pack()
    for name, values in zip(("ends", "crcs"), packed, strict=True):
        rows.put(f"{GROUP}/{name}", np.asarray(values)[None, :])
    for name, value in [*progress.row.items(), ("crc", crc), ("complete", 1)]:
        rows.put_one(f"{GROUP}/{name}", value)


def read_progress(file: h5py.File, network: Network, samples: int) -> Progress | None:
    """The progress of the sample after the complete ones, if there is some.

    Raises DamagedError if it does not have its checksum, or points to rows that are not in the file.
    """
    if GROUP not in file:
        return None
    group = file[GROUP]
    rows = int((group["complete"][()] == 1).sum())
    if not rows or int(group["sample"][rows - 1]) != samples:
        return None
    groups = Progress.groups(network)
    ends, crcs = (dict(zip(groups, group[name][rows - 1].tolist(), strict=True)) for name in ("ends", "crcs"))
    found = Progress(ends, crcs, {name: group[name][rows - 1].item() for name in _ROW})
    if found.pack()[2] != int(group["crc"][rows - 1]):
        raise DamagedError(f"{GROUP}, row {rows - 1}: the content does not have its checksum")
    for name, end in ends.items():
        first = int(file[f"{name}/sample_ptr"][samples])
        columns = [item for item in file[name].values() if not item.name.endswith(("_ptr", "_crc"))]
        if not first <= end <= min(map(len, columns)):
            raise DamagedError(f"{GROUP}: {name} does not hold the rows up to {end}")
    return found
