"""NIR files: HDF5 that the package nir reads and writes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from eventsnn._util.atomic import replace_file
from eventsnn._util.hdf5 import open_file
from eventsnn.errors import EventSNNError, NetworkError
from eventsnn.model.nir.library import import_nir


def save_graph(graph: Any, path: str | os.PathLike[str]) -> None:
    """Write a NIR graph to `path`, complete and on the disk, or not at all.

    Raises
    ------
    NetworkError
        If the file cannot be written.
    """
    nir, written = import_nir("writing NIR"), io.BytesIO()
    nir.write(written, graph)
    with replace_file(
        path, lambda text: NetworkError(f"{os.fspath(path)}: cannot be written ({text})")
    ) as file:
        file.write(written.getbuffer())


def load_graph(path: str | os.PathLike[str]) -> Any:
    """The graph of a NIR file.

    The file must hold all its data itself, and no more than it has room for; what is in the graph is checked
    by `eventsnn.model.nir.graph`.

    Raises
    ------
    NetworkError
        Naming the file: it is none, or holds no graph that nir can make nodes of.
    """
    nir, where = import_nir("reading NIR"), os.fspath(path)
    file, _ = open_file(path, lambda text: NetworkError(f"{where}: {text}"))
    try:
        if "node" not in file:
            what = "a model of eventsnn already" if "eventsnn_network" in file.attrs else "no NIR graph"
            raise NetworkError(f"{where}: holds {what} (there is no group 'node')")
    finally:
        file.close()
    try:
        return nir.read(Path(path), type_check=False)
    except EventSNNError:
        raise
    except Exception as error:  # nir checks with assertions, and meets what is missing as a KeyError
        raise NetworkError(
            f"{where}: the package nir {getattr(nir, '__version__', nir.version)} cannot read its graph "
            f"({type(error).__name__}: {' '.join(str(error).split()) or 'no reason given'})"
        ) from error
