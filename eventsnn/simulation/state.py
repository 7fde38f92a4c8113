"""The file that a simulation goes on from: a NumPy archive (.npz) of its state."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from eventsnn._util.atomic import replace_file
from eventsnn.engines.streaming import State, Train
from eventsnn.errors import SimulationError
from eventsnn.network import Network
from eventsnn.network.sparse import is_sparse

if TYPE_CHECKING:
    from eventsnn.simulation.parts import Simulation

LAYOUT = 2


@dataclass(frozen=True)
class SavedState:
    """What `load_state` returns; see `Simulation` for the attributes of the same names.

    `trains` are the input spikes that wait for more at their instant, and spikes of each layer beyond
    `t_complete`.
    """

    engine: str
    dtype: str
    t_complete: float
    events: int
    counts: dict[str, np.ndarray]
    trains: list[Train]
    state: State
    notes: dict[str, Any]


def digest(network: Network) -> str:
    """SHA-256 of a network's description and weights, hexadecimal."""
    found = hashlib.sha256(json.dumps(network.to_table(), sort_keys=True).encode())
    for key, weights in network.weights.items():
        found.update(key.encode())
        arrays = [weights.indptr, weights.indices, weights.data] if is_sparse(weights) else [weights]
        for array in arrays:
            found.update(str(array.dtype).encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def save_state(
    path: str | os.PathLike[str], run: Simulation, state: State, trains: list[Train], notes: dict[str, Any]
) -> None:
    """Write the state of a simulation; the file appears complete or not at all.

    Raises
    ------
    SimulationError
        If it cannot be written.
    """
    head = {
        "layout": LAYOUT,
        "network": digest(run.network),
        "engine": run.engine,
        "dtype": run.dtype,
        "t_complete": run.t_complete,
        "events": run.events,
        "notes": notes,
    }
    arrays: dict[str, Any] = {f"state/{name}": array for name, array in state.items()}
    arrays |= {f"counts/{name}": counts for name, counts in run.counts.items()}
    for number, (times, neurons) in enumerate(trains):
        arrays |= {f"times/{number}": times, f"neurons/{number}": neurons}
    with replace_file(
        path, lambda text: SimulationError(f"{os.fspath(path)}: the state cannot be written ({text})")
    ) as file:
        np.savez(file, head=np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays)


def load_state(path: str | os.PathLike[str], network: Network) -> SavedState:
    """Read a state that `save_state` wrote.

    Raises
    ------
    SimulationError
        The file cannot be read, is no such state, or is one of another network.
    """
    name = os.fspath(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        head = json.loads(arrays.pop("head").tobytes())
    except OSError as error:
        raise SimulationError(f"{name}: the state cannot be read ({error})") from None
    except (ValueError, KeyError, EOFError, BadZipFile):
        raise SimulationError(f"{name}: no saved state of a simulation; --save-state writes one") from None
    if not isinstance(head, dict) or head.get("layout") != LAYOUT:
        raise SimulationError(f"{name}: a saved state of another layout; this version reads {LAYOUT}")
    if head["network"] != digest(network):
        raise SimulationError(
            f"{name}: the state is one of another network, or of this one with other weights; "
            "give the model that it was saved with"
        )
    groups: dict[str, State] = {"state": {}, "counts": {}, "times": {}, "neurons": {}}
    for key, array in arrays.items():
        group, _, rest = key.partition("/")
        groups[group][rest] = array
    return SavedState(
        head["engine"],
        head["dtype"],
        float(head["t_complete"]),
        int(head["events"]),
        groups["counts"],
        [(times, groups["neurons"][number]) for number, times in groups["times"].items()],
        groups["state"],
        head["notes"],
    )
