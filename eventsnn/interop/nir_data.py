"""Spikes as NIRData: the events of every node of a NIR graph, for programs that read its data."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from eventsnn._util.atomic import replace_file
from eventsnn.errors import TraceError
from eventsnn.model.nir.library import import_nir
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import LayerSpikes
from eventsnn.trace.tables import SpikeSelection


def to_nir_data(trains: Mapping[str, list[LayerSpikes]], sizes: Mapping[str, int], t_max_ms: float) -> Any:
    """Spikes of some populations in some recordings, in seconds.

    Parameters
    ----------
    trains : mapping of str to list of LayerSpikes
        By name of the population: its spikes in every recording; there may be no recording.
    sizes : mapping of str to int
        Neurons of each population.
    t_max_ms : float
        When the longest recording ends, ms.

    Returns
    -------
    nir.NIRGraphData
        A node for each population, with the observable ``spikes``: `idx` int64 and `time` float64 (s) of
        shape (recordings, most spikes), filled up with -1 and infinity.

    Raises
    ------
    MissingExtraError
        Without the package nir.
    """
    nir = import_nir("writing NIRData")
    nodes = {}
    for name, some in trains.items():
        most = max((len(spikes) for spikes in some), default=0)
        idx, time = np.full((len(some), most), -1), np.full((len(some), most), np.inf)
        for n, spikes in enumerate(some):
            idx[n, : len(spikes)], time[n, : len(spikes)] = spikes.neurons, spikes.times / 1000.0
        data = nir.EventData(idx, time, sizes[name], t_max_ms / 1000.0)
        nodes[name] = nir.NIRNodeData({"spikes": data})
    return nir.NIRGraphData(nodes)


def export_nir_data(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    layers: tuple[str, ...] | None = None,
    samples: tuple[int, ...] | None = None,
) -> dict[str, int]:
    """Write the spikes of a trace as NIRData; returns how many there are of each population.

    Raises
    ------
    TraceError
        The trace cannot be read, or has no such layer or recording; the file cannot be
        written.
    """
    with Trace(source) as trace:
        selection = SpikeSelection.of(trace, layers or ("input", *trace.network.names), samples)
        trains = {name: [trace.spikes(name, s.index) for s in selection.samples] for name in selection.sizes}
    last = max((float(s.times[-1]) for some in trains.values() for s in some if len(s)), default=0.0)
    data, written = to_nir_data(trains, selection.sizes, last), io.BytesIO()
    import_nir("writing NIRData").write_data(written, data)
    with replace_file(out, lambda text: TraceError(f"{os.fspath(out)}: cannot be written ({text})")) as file:
        file.write(written.getbuffer())
    return {name: sum(map(len, some)) for name, some in trains.items()}
