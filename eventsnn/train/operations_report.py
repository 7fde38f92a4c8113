"""The report of an evaluation in NeuroBench's terms: accuracy, size, synaptic operations."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from eventsnn._util.atomic import replace_text
from eventsnn.errors import TrainingError
from eventsnn.model import Network
from eventsnn.trace.operations import ADDITION_PJ, neurobench

if TYPE_CHECKING:
    from eventsnn.train.evaluate import Evaluation

ENERGY = (
    f"{ADDITION_PJ} pJ for an addition of 32-bit floating-point numbers in 45 nm, memory not included "
    "(Horowitz, ISSCC 2014)"
)


def make_report(network: Network, outcome: Evaluation, dt_ms: float) -> dict[str, Any]:
    """NeuroBench's metrics of an evaluation, and under ``eventsnn`` where they come from.

    Parameters
    ----------
    network : Network
        The one that was evaluated.
    outcome : Evaluation
        With `Evaluation.operations`.
    dt_ms : float
        See `eventsnn.trace.operations.neurobench`.

    Raises
    ------
    SimulationError
        `dt_ms` is not a number > 0.
    TrainingError
        The evaluation did not count operations.
    """
    operations = outcome.operations
    if operations is None:
        raise TrainingError("the evaluation did not count operations: evaluate(..., operations=True)")
    rows = {
        name: getattr(operations, name).tolist() for name in ("effective", "spikes", "events", "lengths_ms")
    }
    return {
        **neurobench(network, operations, dt_ms),
        "ClassificationAccuracy": outcome.accuracy,
        "eventsnn": {
            "dt_ms": dt_ms,
            "engine": outcome.engine,
            "energy": ENERGY,
            **operations.to_dict(),
            "each_recording": {"layers": list(operations.layers), **rows},
        },
    }


def save_report(path: str | os.PathLike[str], report: dict[str, Any]) -> None:
    """Write a report as JSON; TrainingError if that fails."""
    text = json.dumps(report, indent=1, allow_nan=False) + "\n"
    replace_text(path, text, lambda reason: TrainingError(f"{os.fspath(path)}: {reason}"))
