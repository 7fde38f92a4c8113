"""A page of training runs without its looks: curves that grow, confusion, receptive fields."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eventsnn.train.history import Curve, group_curves, open_runs


def tile(fields: np.ndarray, columns: int) -> np.ndarray:
    """Fields side by side, their polarities next to each other, NaN between: float64 (height, width)."""
    count, polarities, height, width = fields.shape
    rows = -(-count // columns)
    wide = polarities * width
    picture = np.full((rows * (height + 1) - 1, columns * (wide + 1) - 1), np.nan)
    for k, image in enumerate(fields):
        top, left = (k // columns) * (height + 1), (k % columns) * (wide + 1)
        picture[top : top + height, left : left + wide] = np.concatenate(list(image), axis=1)
    return picture


class RunPage:
    """What a page shows of some training runs.

    Parameters
    ----------
    folders : sequence of path
        Folders of runs.

    Attributes
    ----------
    runs : list of Run
    shown : int
        Number of the run whose confusion matrix and receptive fields are shown.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.runs = open_runs(folders)
        self.shown = 0
        self.refresh()

    def refresh(self) -> bool:
        """Read what is new; True if there is something."""
        return any([run.refresh() for run in self.runs])

    def panels(self) -> dict[str, list[Curve]]:
        """Curves by the heading of their plot, see `group_curves`; of empty ones, loss and accuracy."""
        return {
            heading: curves
            for heading, curves in group_curves(self.runs).items()
            if curves or heading in ("loss", "accuracy")
        }

    def describe(self) -> str:
        """``3 runs; first: epoch 12, validation 94.10 % (best 95.00 % in epoch 9)``."""
        parts = []
        for run in self.runs:
            if not run.lines:
                parts.append(f"{run.name}: no epoch yet")
                continue
            text = f"{run.name}: epoch {run.lines[-1]['epoch']:.0f}"
            valid = run.curve("valid_accuracy")
            if valid.values.size:
                best = int(np.argmax(valid.values))
                text += (
                    f", validation {100 * valid.values[-1]:.2f} % (best {100 * valid.values[best]:.2f} % in "
                    f"epoch {valid.epochs[best]:.0f})"
                )
            parts.append(text)
        return "; ".join(parts)
