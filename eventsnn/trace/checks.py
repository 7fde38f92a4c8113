"""Checks of a trace file before it is used: no content of a file is trusted.

On opening, the structure (data sets, dtypes, lengths, ends of pointers), which costs a few small reads
whatever the size of the file. Of a sample, when it is read, its values and their checksum.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn._ext.checksum import crc32, row_crcs
from eventsnn.errors import EventSNNError
from eventsnn.model import Network
from eventsnn.trace import schema
from eventsnn.trace.choice import Choice
from eventsnn.trace.column import DATA, Column
from eventsnn.trace.record import ExitReason

if TYPE_CHECKING:
    import h5py


class DamagedError(Exception):
    """A trace is inconsistent; the text says where. The reader adds the file's name."""


def add_to_crc(crc: int, values: np.ndarray) -> int:
    """CRC-32 of the bytes that `crc` covers, followed by an array's bytes."""
    return int(crc32(np.ascontiguousarray(values).reshape(-1).view(np.uint8), crc))


def combine_crcs(crcs: Iterable[int]) -> int:
    """One checksum of several columns, from that of each."""
    return zlib.crc32(np.array(list(crcs), "<u4").tobytes())


def header_crc(attributes: Mapping[str, Any]) -> int:
    """CRC-32 of the attributes of the file itself."""
    values = [str(attributes[name]) for name in schema.HEADER]
    return zlib.crc32(json.dumps(values).encode())


def check_crc(told: int, columns: Iterable[np.ndarray], where: str) -> None:
    """Raise DamagedError if the checksum of some columns is not the one that the file has for them."""
    if int(told) != combine_crcs(add_to_crc(0, column) for column in columns):
        raise DamagedError(f"{where}: the content does not have its checksum")


def check_config(config: Any, network: Network) -> Choice:
    """What a trace keeps; DamagedError unless its config names quantities, layers and neurons that exist."""
    if not isinstance(config, dict):
        raise DamagedError("config_json is not a table")
    record = config.get("record")
    if not isinstance(record, list) or any(option not in schema.RECORD for option in record):
        raise DamagedError(f"config_json: record is {record!r:.60}")
    try:
        return Choice.from_config(network, config)
    except (EventSNNError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DamagedError(f"config_json: {error}") from None


def count_complete(flags: np.ndarray) -> int:
    """Number of complete samples: those before the first whose mark is missing."""
    if flags.ndim != 1 or not np.isin(flags, (0, 1)).all() or (np.diff(flags.astype(np.int8)) > 0).any():
        raise DamagedError(f"{schema.COMPLETE.path} does not mark the first samples as complete")
    return int(flags.sum())


def check_structure(file: h5py.File, columns: Iterable[Column], samples: int) -> None:
    """Raise DamagedError unless every column is there, of its dtype, with the complete samples' rows."""
    import h5py

    spikes: dict[str, int] = {}  # of each layer, in the complete samples
    for column in columns:
        item = file.get(column.path)
        if not isinstance(item, h5py.Dataset):
            raise DamagedError(f"{column.path} is missing")
        if item.dtype != np.dtype(column.dtype):
            raise DamagedError(f"{column.path} is of dtype {item.dtype}, not {np.dtype(column.dtype)}")
        if len(item.shape) != (2 if column.width else 1) or (column.width and item.shape[1] != column.width):
            raise DamagedError(f"{column.path} has shape {item.shape}")
        group = column.path.rpartition("/")[0]
        if column.is_pointer and column.is_by_sample:
            spikes[group] = _check_ends(file, column.path, samples)
        if column.is_by_sample and len(item) < samples + column.is_pointer:
            raise DamagedError(f"{column.path} holds {len(item)} rows, too few for {samples} samples")
    for column in columns:
        group = column.path.rpartition("/")[0]
        if column.stage == DATA and not column.width and len(file[column.path]) < spikes.get(group, 0):
            raise DamagedError(f"{column.path} holds fewer rows than its samples have")


def _check_ends(file: h5py.File, path: str, samples: int) -> int:
    """The last row of the complete samples, from a pointer that begins with 0."""
    pointer = file[path]
    if len(pointer) < samples + 1 or int(pointer[0]) != 0:
        raise DamagedError(f"{path} holds no beginning, or too few rows for {samples} samples")
    return int(pointer[samples])


def check_pointer(pointer: np.ndarray, rows: int, where: str) -> None:
    """Raise DamagedError unless a CSR pointer begins with 0, never falls, and ends within the rows."""
    values = pointer.astype(np.int64)
    if not len(values) or values[0] != 0 or (np.diff(values) < 0).any() or values[-1] > rows:
        raise DamagedError(f"{where} does not divide {rows} rows")


def check_train(times: np.ndarray, neurons: np.ndarray, size: int, where: str) -> None:
    """Raise DamagedError unless times (ms) are finite, >= 0, in order, and neurons among `size`."""
    if len(times) != len(neurons):
        raise DamagedError(f"{where} holds {len(times)} times and {len(neurons)} neurons")
    if not np.isfinite(times).all() or (np.diff(times) < 0.0).any():
        raise DamagedError(f"{where}: times are not finite and in order")
    if len(times) and times[0] < 0.0:
        raise DamagedError(f"{where}: a time before 0, {times[0]} ms")
    if len(neurons) and int(neurons.max()) >= size:
        raise DamagedError(f"{where}: neuron {int(neurons.max())}, but there are {size}")


def check_samples(table: dict[str, np.ndarray], network: Network) -> None:
    """Raise DamagedError unless the rows of /samples are consistent."""
    start, stop, end = table["t_start"], table["t_stop"], table["t_end"]
    if not (np.isfinite(start).all() and np.isfinite(stop).all() and (stop >= start).all()):
        raise DamagedError("/samples: t_start and t_stop are not finite and in order")
    if (start < 0.0).any() or (start[1:] < stop[:-1]).any() or not (end >= 0.0).all():
        raise DamagedError("/samples: times overlap or lie before 0")
    if (table["prediction"] >= network.output.neurons).any():
        raise DamagedError("/samples: a prediction that is not an output neuron")
    if not np.isin(table["exit_reason"], [reason.value.encode() for reason in ExitReason]).all():
        raise DamagedError("/samples: an unknown exit_reason")
    if not np.isin(table["dtype"], [b"float32", b"float64"]).all():
        raise DamagedError("/samples: an unknown dtype")
    for name in ("source", "engine"):
        try:
            for text in np.unique(table[name]).tolist():
                text.decode("utf-8")
        except UnicodeDecodeError:
            raise DamagedError(f"/samples/{name} is not text in UTF-8") from None


def check_sample_crcs(told: np.ndarray, table: dict[str, np.ndarray]) -> None:
    """Raise DamagedError unless the checksum of every row of /samples is the one that the file has for it."""
    rows = np.empty(len(told), [(name, column.dtype, column.shape[1:]) for name, column in table.items()])
    for name, column in table.items():
        rows[name] = column
    found = row_crcs(rows.view(np.uint8).reshape(len(rows), rows.itemsize), np.zeros(len(rows), np.uint32))
    if (wrong := np.flatnonzero(found != told)).size:
        raise DamagedError(f"/samples, sample {wrong[0]}: the content does not have its checksum")
