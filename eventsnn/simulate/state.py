"""Saved states of simulations: a NumPy archive (.npz) from which a simulation continues.

Besides the arrays it holds ``head``, JSON as bytes: the fields of `SavedState`, the network's digest, and a
checksum over all the others and the arrays, so that no change of a value goes unnoticed. Who can edit the
file can compute a new checksum: the arrays are checked one by one when they are taken over
(`eventsnn._util.saved`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn._util.atomic import replace_file
from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.model.sparse import is_sparse
from eventsnn.simulate.engines import ENGINES, State

if TYPE_CHECKING:
    from eventsnn.simulate.simulation import Simulation

LAYOUT = 3


@dataclass(frozen=True)
class SavedState:
    """Result of `load_state`; see `Simulation` for the attributes of the same names.

    `arrays` are those of the file, not checked yet: ``state/...`` of the engine, ``bias/...`` of the bias
    neuron, ``counts/<layer>``, and trains as ``times/<n>`` and ``neurons/<n>``: 0 are input spikes that wait
    for more at their instant, n > 0 spikes of layer n - 1 beyond `t_complete`.
    """

    path: str
    engine: str
    dtype: str
    t_complete: float
    events: int
    notes: dict[str, Any]
    arrays: State
    origin_us: int | None
    step_ms: float | None = None


def digest(network: Network) -> str:
    """SHA-256 of a network's description, weights and delays, hexadecimal."""
    # What its classes are called does not matter to a simulation.
    table = {key: value for key, value in network.to_table().items() if key != "classes"}
    sha = hashlib.sha256(json.dumps(table, sort_keys=True).encode())
    for key, weights in network.weights.items():
        sha.update(key.encode())
        arrays = [weights.indptr, weights.indices, weights.data] if is_sparse(weights) else [weights]
        for array in arrays:
            sha.update(str(array.dtype).encode() + np.ascontiguousarray(array).tobytes())
    for key, each in network.delays.items():
        sha.update(f"delays of {key}".encode() + each.tobytes())
    return sha.hexdigest()


def checksum(head: dict[str, Any], arrays: State) -> str:
    """SHA-256, hexadecimal, of a head without its checksum, and of the arrays with their names."""
    sha = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        sha.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def damaged(path: str, problem: str) -> SimulationError:
    """The error for a saved state that cannot be right."""
    return SimulationError(
        f"{path}: the saved state is damaged or was changed: {problem}; go on from an older state, or "
        "simulate from the start"
    )


def save_state(path: str | os.PathLike[str], run: Simulation, arrays: State, notes: dict[str, Any]) -> None:
    """Write the state of a simulation; the file appears complete or not at all.

    Raises
    ------
    SimulationError
        If it cannot be written.
    """
    head: dict[str, Any] = {
        "layout": LAYOUT,
        "network": digest(run.network),
        "engine": run.engine,
        "dtype": run.dtype,
        "t_complete": run.t_complete,
        "events": run.events,
        "origin_us": run.origin_us,
        "notes": notes,
    }
    if run.step_ms is not None:  # as it was before the clock ran in parts
        head["step_ms"] = run.step_ms
    head = json.loads(json.dumps(head))  # as it will be read
    head["checksum"] = checksum(head, arrays)
    encoded: dict[str, Any] = {"head": np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays}
    with replace_file(
        path, lambda text: SimulationError(f"{os.fspath(path)}: the state cannot be written ({text})")
    ) as file:
        np.savez(file, **encoded)


def load_state(path: str | os.PathLike[str], network: Network) -> SavedState:
    """Read a state that `save_state` wrote; its arrays are yet to be checked, see `Simulation.take_up`.

    Raises
    ------
    SimulationError
        The file cannot be read, is no such state, was changed since, or is one of another network.
    """
    name = os.fspath(path)
    head, arrays = _read(name)
    if head.get("layout") != LAYOUT:
        raise SimulationError(f"{name}: a saved state of another layout; this version reads {LAYOUT}")
    told = head.pop("checksum", None)
    if told != checksum(head, arrays):
        raise damaged(name, "its content does not have its checksum")
    if head.get("network") != digest(network):
        raise SimulationError(
            f"{name}: the state is one of another network, or of this one with other weights; "
            "give the model that it was saved with"
        )
    for field, good in (
        ("engine", lambda v: isinstance(v, str) and v in ENGINES.names()),
        ("dtype", lambda v: v in ("float32", "float64")),
        ("t_complete", lambda v: type(v) in (int, float) and 0.0 <= v < math.inf),
        ("events", lambda v: type(v) is int and v >= 0),
        ("notes", lambda v: isinstance(v, dict)),
        ("step_ms", lambda v: v is None or type(v) in (int, float)),
        ("origin_us", lambda v: v is None or (type(v) is int and -(2**63) <= v < 2**63)),
    ):
        if not good(head.get(field)):
            raise damaged(name, f"field {field!r} is {head.get(field)!r:.60}")
    return SavedState(
        name,
        head["engine"],
        head["dtype"],
        float(head["t_complete"]),
        head["events"],
        head["notes"],
        arrays,
        head["origin_us"],
        head.get("step_ms"),
    )


def _read(name: str) -> tuple[dict[str, Any], State]:
    """Head and arrays of the file.

    Raises
    ------
    SimulationError
    """
    try:
        with np.load(name, allow_pickle=False) as archive:
            arrays: State = {key: archive[key] for key in archive.files}
        head = json.loads(arrays.pop("head").tobytes())
        if not isinstance(head, dict):
            raise ValueError
    except OSError as error:
        raise SimulationError(f"{name}: the state cannot be read ({error})") from None
    # A damaged archive makes zipfile, zlib and the readers of headers raise almost anything, among it
    # MemoryError for a shape of 10^15 and RecursionError for brackets in JSON.
    except Exception:
        raise SimulationError(
            f"{name}: no saved state of a simulation, or a damaged one; --save-state writes one"
        ) from None
    return head, arrays
