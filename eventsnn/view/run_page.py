"""A page of training runs without its looks: curves that grow, confusion, receptive fields."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eventsnn.errors import NetworkError, ViewError
from eventsnn.model import Network
from eventsnn.model.layers import Conv
from eventsnn.model.sparse import is_sparse
from eventsnn.train.run import METRICS, MODEL

PREDICTIONS = "predictions.csv"
"""Of ``eventsnn evaluate RUN/model.h5 --predictions RUN/predictions.csv``."""

MOST_FIELDS = 24
PANELS = {
    "loss": ("loss", "valid_loss"),
    "accuracy": ("accuracy", "valid_accuracy"),
    "silent neurons (fraction)": ("silent_fraction",),
    "spikes per neuron": ("spikes_per_neuron",),
    "learning rate": ("learning_rate",),
    "seconds per epoch": ("seconds",),
}
"""Names of the curves that are always shown, by the heading of their plot."""
_UNSHOWN = {"epoch", "samples", "train_seconds", "cpu_seconds", "no_decision", "forced_spikes"}


@dataclass(frozen=True, eq=False)
class Curve:
    """One metric of one run.

    Attributes
    ----------
    run, metric : str
    epochs, values : float64 array (n,)
    """

    run: str
    metric: str
    epochs: np.ndarray
    values: np.ndarray


@dataclass(eq=False)
class Run:
    """One training run: a folder that `eventsnn train` writes into.

    Attributes
    ----------
    folder : Path
    lines : list of dict
        The epochs in ``metrics.jsonl`` so far.
    problem : str
        Why the file could not be read on; "" if it could.
    """

    folder: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""
    _seen: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    def refresh(self) -> bool:
        """Read the metrics again if the file has changed; True if it has."""
        path = self.folder / METRICS
        try:
            found = path.stat()
            if self._seen == (found.st_mtime_ns, found.st_size):
                return False
            self._seen = found.st_mtime_ns, found.st_size
            self.lines, self.problem = parse_metrics(path.read_text(encoding="utf-8", errors="replace")), ""
        except FileNotFoundError:
            return False  # it is about to be written
        except (OSError, ViewError) as error:
            self.problem = f"{path}: {error}"
        return True

    def curve(self, metric: str) -> Curve:
        """A metric over the epochs that have it."""
        rows = [(line["epoch"], line[metric]) for line in self.lines if metric in line]
        table = np.array(rows, dtype=np.float64).reshape(-1, 2)
        return Curve(self.name, metric, table[:, 0], table[:, 1])

    def confusion(self) -> np.ndarray | None:
        """Recordings by label and decision, int64 array (classes, classes + 1); None without predictions.

        The last column is no decision.
        """
        path = self.folder / PREDICTIONS
        if not path.is_file():
            return None
        try:
            with path.open(newline="", encoding="utf-8") as file:
                pairs = [(int(row["label"]), int(row["decision"] or -1)) for row in csv.DictReader(file)]
        except (OSError, KeyError, ValueError):
            self.problem = f"{path}: not a table of 'eventsnn evaluate --predictions'"
            return None
        classes = 1 + max((max(pair) for pair in pairs), default=0)
        counts = np.zeros((classes, classes + 1), np.int64)
        for label, decision in pairs:
            counts[label, decision if decision >= 0 else classes] += 1
        return counts

    def fields(self) -> np.ndarray | None:
        """Weights of the first layer's strongest neurons or channels, as images.

        Returns
        -------
        float64 array (n, polarities or source channels, height, width), or None
            At most `MOST_FIELDS`, the one with the largest norm first; the whole sensor for a dense layer,
            the kernel for a convolution. None without a model.
        """
        path = self.folder / MODEL
        if not path.is_file():
            return None
        try:
            network = Network.load(path)
        except NetworkError as error:
            self.problem = str(error)
            return None
        return receptive_fields(network)


def receptive_fields(network: Network) -> np.ndarray | None:
    """See `Run.fields`; None for a first layer without weights of its own."""
    layer = network.layers[0]
    weights = network.weights.get(str(layer.name))
    if weights is None or layer.source_shape is None:
        return None
    table = np.asarray(weights.toarray() if is_sparse(weights) else weights, np.float64)
    shape = layer.source_shape
    if isinstance(layer, Conv):
        shape = (shape[0], *layer.kernel)
    inputs = int(np.prod(shape))
    table = table.reshape(len(table), -1)[:, :inputs]  # without biases
    if table.shape[1] != inputs:
        return None
    strongest = np.argsort(-np.linalg.norm(table, axis=1), kind="stable")[:MOST_FIELDS]
    return table[strongest].reshape(-1, *shape)


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


def parse_metrics(text: str) -> list[dict[str, Any]]:
    """Epochs of a ``metrics.jsonl``, numbers only; a last line that is not complete yet is left out.

    Raises
    ------
    ViewError
        A line that is no JSON object with an epoch.
    """
    lines = text.split("\n")[:-1]
    epochs = []
    for number, line in enumerate(lines, start=1):
        try:
            found = json.loads(line)
            epoch = {**_numbers(found), "epoch": float(found["epoch"])}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ViewError(f"line {number} is not an epoch's metrics (a JSON object with 'epoch')") from None
        epochs.append(epoch)
    return epochs


def _numbers(table: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of nested tables, under joined names."""
    found: dict[str, float] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= _numbers(value, f"{prefix}{key} ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[f"{prefix}{key}"] = float(value)
    return found


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
        self.runs = [Run(folder) for folder in folders]
        self.shown = 0
        self.refresh()

    def refresh(self) -> bool:
        """Read what is new; True if there is something."""
        return any([run.refresh() for run in self.runs])

    def panels(self) -> dict[str, list[Curve]]:
        """Curves by the heading of their plot: those of `PANELS`, then all other metrics there are."""
        known = _UNSHOWN.union(*PANELS.values())
        others = sorted({key for run in self.runs for line in run.lines for key in line} - known)
        groups: dict[str, tuple[str, ...]] = dict(PANELS)
        for key in others:
            # Metrics of each layer, such as "gradient_norm hidden", go into one plot.
            heading = key.split(" ")[0].replace("_", " ")
            groups[heading] = (*groups.get(heading, ()), key)
        curves = {
            heading: [
                run.curve(key) for run in self.runs for key in keys if any(key in line for line in run.lines)
            ]
            for heading, keys in groups.items()
        }
        return {heading: found for heading, found in curves.items() if found or heading in PANELS}

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
