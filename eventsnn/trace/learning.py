"""What training leaves in a trace: quantities of the learning rule in a sample, and weights after each epoch.

::

    /learning/<layer>/<quantity>/  value (sample, neuron), or of each spike, or spikes: `schema.LEARNING`
    /gradient_norms/value          (sample, layer or connection that is trained)
    /snapshots/                    epoch step
    /weights/<key>/value           (snapshot, weight)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eventsnn.trace.choice import Training, values_of
from eventsnn.trace.columns import GrowingColumns
from eventsnn.trace.schema import LEARNING, SNAPSHOT_COMPLETE


@dataclass
class Learned:
    """What a rule delivered of one sample.

    Attributes
    ----------
    values : dict of (str, str) to array
        By layer and quantity: float64 (neurons,) or (spikes,); (times, neurons) of spikes.
    norms : dict of str to float
        Norms of the sample's gradient, by layer or connection.
    """

    values: dict[tuple[str, str], Any] = field(default_factory=dict)
    norms: dict[str, float] = field(default_factory=dict)

    def see(self, quantity: str, layer: str, values: Any) -> None:
        """Keep a quantity of a layer."""
        self.values[layer, quantity] = values


@dataclass(frozen=True)
class Snapshot:
    """Weights of a moment of training: after how many epochs and steps of the optimiser."""

    index: int
    epoch: int
    step: int


def put_learned(rows: GrowingColumns, training: Training, sizes: Mapping[str, int], learned: Learned) -> None:
    """Append the quantities of a sample; a rule that had none of one leaves NaN, or no spikes."""
    for layer, names in training.quantities.items():
        for name in names:
            group, values = f"/learning/{layer}/{name}", learned.values.get((layer, name))
            per = LEARNING[name].per
            if per == "neuron":
                row = np.full(sizes[layer], np.nan) if values is None else np.asarray(values, np.float64)
                rows.put(f"{group}/value", row[None, :])
            elif per == "spike":
                rows.put(f"{group}/value", np.empty(0) if values is None else values)
                rows.point(f"{group}/sample_ptr", f"{group}/value")
            else:
                times, neurons = (np.empty(0), np.empty(0)) if values is None else values
                rows.put(f"{group}/local_ms", times)
                rows.put(f"{group}/node_ids", neurons)
                rows.point(f"{group}/sample_ptr", f"{group}/local_ms")
            rows.put_crc(f"{group}/sample_crc")
    norms = np.array([learned.norms.get(key, np.nan) for key in training.keys])
    rows.put("/gradient_norms/value", norms[None, :])
    rows.put_crc("/gradient_norms/sample_crc")


def put_snapshot(
    rows: GrowingColumns, training: Training, epoch: int, step: int, weights: Mapping[str, Any]
) -> None:
    """Append the present weights."""
    for key in training.keys:
        rows.put(f"/weights/{key}/value", values_of(weights[key])[None, :])
        rows.put_crc(f"/weights/{key}/snapshot_crc")
    for path, value in (("epoch", epoch), ("step", step)):
        rows.put_one(f"/snapshots/{path}", value)
    rows.put_one(SNAPSHOT_COMPLETE.path, 1)
