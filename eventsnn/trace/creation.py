"""The data sets of a new trace file, all of them empty."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn._util.hdf5 import VIEWS, seal
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.model.file import write_network
from eventsnn.trace import schema
from eventsnn.trace.checks import header_crc
from eventsnn.trace.column import Column

if TYPE_CHECKING:
    import h5py


def config_text(path: Path, config: Mapping[str, Any]) -> str:
    """How a run was made, as JSON; TraceError if JSON cannot hold it."""
    try:
        return json.dumps(dict(config), sort_keys=True)
    except TypeError as error:
        raise TraceError(f"{path}: config holds something that JSON cannot ({error})") from None


def run_config(
    engine: str, dtype: str | None, t_stop: float | None, step_ms: float | None = None
) -> dict[str, Any]:
    """The `config` of a `TraceWriter` for runs by an engine; times in ms."""
    steps = {} if step_ms is None else {"step_ms": step_ms}
    return {"engine": engine, "dtype": dtype, "t_stop": t_stop, **steps}


def fill_file(
    file: h5py.File,
    network: Network,
    columns: Iterable[Column],
    config_json: str,
    seed: int | None,
    many: bool,
) -> None:
    """Write the content of a trace without samples into an empty file; `many` samples will come, or few."""
    import h5py

    file.attrs["magic"] = np.uint32(schema.SONATA_MAGIC)
    file.attrs["version"] = np.array(schema.SONATA_VERSION, dtype=np.uint32)
    put_header(file, config_json, seed)
    group = file.create_group("network")
    seal(group, write_network(group, network))
    for column in columns:
        _create_dataset(file, column, many)
    _describe_plots(file, network)
    sorting = h5py.enum_dtype(schema.SORTING, basetype="u1")
    for layer in schema.trains(network):
        group = file[f"/spikes/{layer}"]
        group.attrs.create("sorting", schema.SORTING["by_time"], dtype=sorting)
        group.attrs["n_nodes"] = schema.train_size(network, layer)


def put_header(file: h5py.File, config_json: str, seed: int | None) -> None:
    """Write the attributes of a file that say what it is, and their checksum."""
    file.attrs["eventsnn_trace"] = schema.LAYOUT_VERSION
    file.attrs["config_json"] = config_json
    file.attrs["versions_json"] = json.dumps(_versions(), sort_keys=True)
    file.attrs["seed"] = -1 if seed is None else seed
    file.attrs["created"] = datetime.now(UTC).isoformat(timespec="seconds")
    file.attrs[schema.HEADER_CRC] = np.uint32(header_crc(file.attrs))


def find_shown(network: Network) -> str:
    """Whose raster other programs show first: the last layer that fires."""
    return ["input", *(name for name in network.names if network[name].fires)][-1]


def _describe_plots(file: h5py.File, network: Network) -> None:
    """Tell viewers of NeXus files (h5web, silx, myHDF5) to open on a raster of the last layer that fires.

    A raster is a scatter plot: two axes as long as the signal. `/views` has every one under its layer's name.
    """
    import h5py

    shown = find_shown(network)
    file.attrs["NX_class"], file.attrs["default"] = "NXroot", "spikes"
    file["/spikes"].attrs["NX_class"], file["/spikes"].attrs["default"] = "NXentry", shown
    views = file.create_group(VIEWS)
    views.attrs["NX_class"], views.attrs["default"] = "NXentry", shown
    for layer in schema.trains(network):
        group = file[f"/spikes/{layer}"]
        group.attrs["NX_class"], group.attrs["signal"] = "NXdata", "node_ids"
        group.attrs["axes"] = ["timestamps", "node_ids"]
        group.attrs["title"] = f"Spikes of {layer}"
        views[layer] = h5py.SoftLink(f"/spikes/{layer}")


def _create_dataset(file: h5py.File, column: Column, many: bool) -> None:
    first = 1 if column.is_pointer else 0  # CSR pointers begin with a 0
    compression = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if column.compress else {}
    width = (column.width,) if column.width else ()
    dataset = file.create_dataset(
        column.path,
        shape=(first, *width),
        maxshape=(None, *width),
        dtype=column.dtype,
        chunks=column.chunks(many),
        **compression,
    )
    if column.is_pointer:
        dataset[0] = 0  # stored, not left to the fill value: readers refuse rows that are not in the file
    dataset.attrs["description"] = column.description
    if column.units is not None:
        dataset.attrs["units"] = column.units


def _versions() -> dict[str, str]:
    import h5py

    from eventsnn import __version__

    return {
        "eventsnn": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "h5py": h5py.version.version,
        "hdf5": h5py.version.hdf5_version,
    }
