"""Spikes as objects of Neo, for Elephant: a segment for each recording, a spike train for each neuron.

Neo reads files of NWB (`eventsnn.interop.nwb`). Its own format, NIX, takes over 0.1 s for a spike train, or
minutes for a recording, so it is not written here.
Neo: Garcia et al., Front. Neuroinform. 8:10, 2014, doi:10.3389/fninf.2014.00010.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from eventsnn.errors import MissingExtraError, TraceError
from eventsnn.interop.spike_table import (
    SpikeTable,
    blank_sample,
    describe,
    make_table,
)
from eventsnn.trace import Sample, Trace
from eventsnn.trace.record import LayerSpikes
from eventsnn.trace.tables import Columns, SpikeSelection

DESCRIPTION = "eventsnn"
"""Annotation of a block: layers and recordings, as JSON."""


def to_neo(
    trace: Trace,
    *,
    layers: str | Iterable[str] | None = None,
    samples: int | Iterable[int] | None = None,
    silent: bool = True,
) -> Any:
    """Spikes of a trace as a block of Neo.

    Parameters
    ----------
    trace : Trace
    layers : str or sequence of str, optional
        "input", "bias" or layers of the network; all by default.
    samples : int or sequence of int, optional
        Recordings; all by default.
    silent : bool
        Whether neurons that did not fire in a recording have a spike train, an empty one.

    Returns
    -------
    neo.Block
        A segment for each recording, with its label, prediction and source as annotations; in it a spike
        train for each neuron, in ms since the origin of the recording, with the annotations ``layer`` and
        ``neuron``.

    Raises
    ------
    TraceError
        No such layer or sample.
    MissingExtraError
        Neo is not installed.
    """
    selection = SpikeSelection.of(trace, layers, samples)
    neo = _import_neo()
    block = neo.Block(name=trace.path.stem, **{DESCRIPTION: describe(selection)})
    for sample in selection.samples:
        trains = selection.layers(sample)
        block.segments.append(_make_segment(neo, sample, trains, silent))
    return block


def _make_segment(neo: Any, sample: Sample, layers: Iterable[LayerSpikes], silent: bool) -> Any:
    annotations = {
        "sample": sample.index,
        "source": sample.source,
        "label": sample.label,
        "prediction": sample.prediction,
        "epoch": sample.epoch,
        "origin_us": sample.origin_us,
    }
    known = {key: value for key, value in annotations.items() if value is not None}
    segment = neo.Segment(name=f"sample {sample.index}", index=sample.index, **known)
    for spikes in layers:
        start = min(0.0, *spikes.times[:1].tolist(), 0.0)
        stop = max(sample.length, *spikes.times[-1:].tolist(), 0.0)
        for neuron, times in _split(spikes):
            if silent or len(times):
                segment.spiketrains.append(
                    neo.SpikeTrain(
                        times,
                        units="ms",
                        t_start=start,
                        t_stop=stop,
                        name=f"{spikes.name} {neuron}",
                        layer=spikes.name,
                        neuron=neuron,
                    )
                )
    return segment


def _split(spikes: LayerSpikes) -> Iterator[tuple[int, np.ndarray]]:
    """Spike times of each neuron of a layer, the silent ones too."""
    order = np.argsort(spikes.neurons, kind="stable")
    yield from enumerate(np.split(spikes.times[order], np.cumsum(spikes.counts)[:-1]))


def from_neo(blocks: Any) -> SpikeTable:
    """Spikes of blocks of Neo as a table.

    Parameters
    ----------
    blocks : neo.Block or sequence of neo.Block
        Each segment is a recording. Spike trains without the annotations ``layer`` and ``neuron``, which
        `to_neo` gives them, are neurons 0, 1, ... of a layer ``"spikes"``.

    Raises
    ------
    TraceError
        The spikes make no table: their times are not finite, for instance.
    """
    blocks = list(blocks) if isinstance(blocks, list | tuple) else [blocks]
    names: dict[str, int] = {}
    parts: list[Columns] = []
    numbered = [segment for block in blocks for segment in block.segments]
    ours = all("sample" in segment.annotations for segment in numbered)
    for place, segment in enumerate(numbered):
        sample = int(segment.annotations["sample"]) if ours else place
        for neuron, train in enumerate(segment.spiketrains):
            told = train.annotations
            layer = names.setdefault(str(told.get("layer", "spikes")), len(names))
            number = int(told.get("neuron", neuron))
            spikes = LayerSpikes("", 0, _to_ms(train), np.full(len(train), number, np.int32))
            parts.append(Columns.of(sample, layer, spikes))
    description = _join_descriptions([block.annotations.get(DESCRIPTION) for block in blocks])
    table = make_table(Columns.join(parts), list(names), description, TraceError)
    if description is not None:
        return table
    blanks, start = [], 0.0
    for index, segment in enumerate(numbered):
        stop = max([0.0, *(float(train.t_stop.rescale("ms").magnitude) for train in segment.spiketrains)])
        blanks.append(blank_sample(index, start, start + stop))
        start += stop
    return replace(table, samples=tuple(blanks))


def _to_ms(train: Any) -> np.ndarray:
    """Times of a spike train, ms; those that are in ms already keep their bits."""
    return np.asarray(train.rescale("ms").magnitude, np.float64)


def _join_descriptions(texts: list[str | None]) -> str | None:
    """One description of those of blocks, which have the same layers; None if one has none."""
    if not texts or any(text is None for text in texts):
        return None
    first, *rest = [json.loads(str(text)) for text in texts]
    for other in rest:
        first["samples"] += other["samples"]
    return json.dumps(first)


def _import_neo() -> Any:
    try:
        import neo
    except ImportError:
        raise MissingExtraError("neo", "neo", "objects and files of Neo") from None
    return neo
