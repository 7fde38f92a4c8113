"""One trace of those that several processes or machines wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.model.sparse import is_sparse
from eventsnn.trace.creation import find_shown
from eventsnn.trace.parts_file import Part, write_parts
from eventsnn.trace.potential import sample_length
from eventsnn.trace.reader import Trace
from eventsnn.trace.writer import TraceWriter


def join(
    parts: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str], *, virtual: bool = False
) -> int:
    """Make one trace of several of one network, their samples in the order of the traces.

    The result is the trace that one process would have written; of a trace that was killed or is still being
    written it has the samples that are complete. Potentials, currents and S-PSPs are computed again. A
    `virtual` one is a small file that names the others: `Trace` reads them through it.

    Parameters
    ----------
    parts : sequence of path
        At least one; they stay. Of a virtual trace, finished ones in its folder or below.
    path : path
        Replaced if it exists.
    virtual : bool
        Whether nothing is copied. The folder can be moved as a whole.

    Returns
    -------
    int
        Number of samples.

    Raises
    ------
    TraceError
        No traces, traces of other networks or of other quantities, traces of training, a damaged trace, or
        a file that cannot be written; or a part that cannot be part of a virtual trace.
    """
    if not parts:
        raise TraceError(f"{path}: no traces to join")
    with Trace(parts[0]) as first:
        if first._choice.training is not None:
            raise TraceError(f"{first.path}: a trace of training, whose weights change, cannot be joined")
        # Before anything is written: what a writer has of the first parts stays when a later one fails.
        for name in parts:
            with Trace(name) as part:
                _check_same(part, first.network, first._choice.to_config(), os.fspath(parts[0]))
        given = first._choice.to_config().keys()
        config = {name: value for name, value in first.config.items() if name not in given}
        network, choice, seed = first.network, first._choice, first.seed
        if virtual:
            return _name_all(parts, Path(path), first)
    with TraceWriter(path, network, config=config, seed=seed, choice=choice) as writer:
        for name in parts:
            with Trace(name) as part:
                _append_all(writer, part)
        return len(writer)


def _name_all(parts: Sequence[str | os.PathLike[str]], path: Path, first: Trace) -> int:
    """Write the file that names the parts; returns the number of samples."""
    named = []
    for name in parts:
        with Trace(name) as part:
            named.append(Part.of(part, path.parent))
    config, raster = json.dumps(first.config, sort_keys=True), f"/spikes/{find_shown(first.network)}"
    write_parts(path, named, config, first.seed, raster)
    return sum(part.samples for part in named)


def _append_all(writer: TraceWriter, part: Trace) -> None:
    for sample in part.samples:
        run = part.record(sample.index)
        # What was stated is told apart from the run's own length, whose bits the writer finds itself.
        stated = abs(sample.length - sample_length(run)) > 1e-6
        writer.append(
            run,
            source=sample.source,
            label=-1 if sample.label is None else sample.label,
            epoch=-1 if sample.epoch is None else sample.epoch,
            t_stop_ms=sample.length if stated else None,
        )


def _check_same(part: Trace, network: Network, choice: object, first: str) -> None:
    """Raise TraceError unless a trace is of the same network and holds the same quantities."""
    if part.network.to_table() != network.to_table() or any(
        not _equal(part.network.weights[key], weights) for key, weights in network.weights.items()
    ):
        raise TraceError(f"{part.path}: its network or its weights are not those of {first}")
    if part._choice.to_config() != choice:
        raise TraceError(f"{part.path}: it does not hold the quantities that {first} holds")


def _equal(one: object, other: object) -> bool:
    if is_sparse(one) or is_sparse(other):
        return is_sparse(one) and is_sparse(other) and (one != other).nnz == 0  # type: ignore[attr-defined]
    return bool(np.array_equal(one, other))  # type: ignore[arg-type]
