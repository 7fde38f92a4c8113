"""One HDF5 file holds a network: its description (JSON in an attribute) and its weights.

Layout: attributes ``eventsnn_network`` (layout version), ``description`` (JSON of `Network.to_table`),
``settings`` (JSON of `RunSettings.to_table`; missing where all are the default) and whatever the writer adds;
datasets ``weights/<key>`` of shape (post, pre). Sparse weights are a group ``weights/<key>`` instead, with
the attributes ``format`` ("csr") and ``shape`` and the datasets ``data``, ``indices``, ``indptr``. Where
synapses have delays of their own, ``delays/<key>`` holds them, ms, in the order of ``data``. The attribute
``crc32`` is a checksum of all else (`eventsnn._util.hdf5.checksum`); files of earlier versions have none.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn._util.arguments import check_path
from eventsnn._util.hdf5 import check_seal, open_own, replace_hdf5, seal
from eventsnn.errors import NetworkError
from eventsnn.model.network import Network
from eventsnn.model.settings import RunSettings
from eventsnn.model.sparse import is_sparse, read_sparse, write_sparse

if TYPE_CHECKING:
    import h5py

LAYOUT_VERSION = 1


def save_network(network: Network, path: str | os.PathLike[str], **attributes: Any) -> None:
    """Write a network to `path`, complete and on the disk, or not at all (`eventsnn._util.atomic`).

    Parameters
    ----------
    network : Network
    path : path
        Usually ends in ``.h5``; an existing file is replaced.
    **attributes
        Further attributes of the file (text or numbers), for instance how it was trained.

    Raises
    ------
    NetworkError
        If the file cannot be written.
    """
    with replace_hdf5(path, lambda text: NetworkError(f"{path}: cannot be written ({text})")) as file:
        written = write_network(file, network)
        for name, value in attributes.items():
            file.attrs[name] = value
        seal(file, written)


def load_network(path: str | os.PathLike[str]) -> Network:
    """Read a network written by `save_network`.

    Raises
    ------
    NetworkError
        Naming the file, and within it the layer and the field.
    """
    path = check_path("path", path, NetworkError)
    with open_own(path, lambda text: NetworkError(f"{path}: {text}")) as (file, verified):
        return read_network(file, path, verified=verified)


def read_attribute(path: str | os.PathLike[str], name: str) -> str | None:
    """An attribute that `save_network` was given, of a file known to hold a network; None if absent."""
    with open_own(path, lambda text: NetworkError(f"{os.fspath(path)}: {text}")) as (file, _):
        value = file.attrs.get(name)
        return None if value is None else str(value)


def write_network(group: h5py.Group, network: Network) -> dict[str, np.ndarray]:
    """Write description and weights into an open HDF5 group; `eventsnn._util.hdf5.seal` comes last.

    Returns what was written, for `seal`.
    """
    written: dict[str, np.ndarray] = {}
    group.attrs["eventsnn_network"] = LAYOUT_VERSION
    group.attrs["description"] = json.dumps(network.to_table(), sort_keys=True)
    if settings := network.settings.to_table():  # files of networks in exact time stay as they were
        group.attrs["settings"] = json.dumps(settings, sort_keys=True)
    folder, axes = group.create_group("weights"), network.weight_axes()
    for key, array in network.weights.items():
        if is_sparse(array):
            write_sparse(folder, key, array)
        else:
            dataset = folder.create_dataset(key, data=array)
            dataset.attrs["axes"] = ", ".join(axes[key])
            written[dataset.name] = array
    for key, each in network.delays.items():
        dataset = group.create_dataset(f"delays/{key}", data=each)
        dataset.attrs["unit"] = "ms"
        written[dataset.name] = each
    return written


def read_network(group: h5py.Group, where: str, *, verified: bool = False) -> Network:
    """Read what `write_network` wrote; `where` names the file in errors.

    `verified` says that the bytes of the file are known to be as they were written.
    """
    if "eventsnn_network" not in group.attrs or "description" not in group.attrs:
        raise NetworkError(f"{where}: holds no eventsnn network (attribute 'eventsnn_network' is missing)")
    version = int(group.attrs["eventsnn_network"])
    if version > LAYOUT_VERSION:
        raise NetworkError(
            f"{where}: written in layout {version}, and this eventsnn reads up to {LAYOUT_VERSION}; "
            "install a newer one"
        )
    try:
        if not verified:
            check_seal(group)
        table = json.loads(group.attrs["description"])
        weights = {
            key: read_sparse(item) if "format" in item.attrs else item[()]
            for key, item in group["weights"].items()
        }
        delays = {key: item[()] for key, item in group.get("delays", {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise NetworkError(f"{where}: description or weights are damaged ({error})") from None
    settings = RunSettings.from_json(str(group.attrs.get("settings", _old_settings(group))), where)
    try:
        return Network.from_table(table, weights=weights, delays=delays).with_settings(settings)
    except NetworkError as error:
        raise NetworkError(f"{where}: {error}") from None


def _old_settings(group: h5py.Group) -> str:
    """Run settings of a file from before there were any: training noted the engine elsewhere."""
    try:
        engine = json.loads(group.attrs["training"])["config"]["engine"]
    except (KeyError, TypeError, ValueError):
        return "{}"
    return json.dumps({"engine": engine})
