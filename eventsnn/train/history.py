"""What training runs left in their folders: metrics of every epoch, predictions, weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eventsnn.errors import NetworkError, TrainingError
from eventsnn.model import Network
from eventsnn.model.fields import receptive_fields, strongest_fields
from eventsnn.train.predictions import count_confusion, read_predictions
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
    name : str
        Name of the folder; `open_runs` gives several runs different ones.
    """

    folder: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""
    name: str = ""
    _seen: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self.name = self.name or self.folder.resolve().name

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
        except (OSError, TrainingError) as error:
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
            labels, decisions, _ = read_predictions(path)
        except TrainingError as error:
            self.problem = str(error)
            return None
        return count_confusion(labels, decisions)

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
        fields = receptive_fields(network)
        return None if fields is None else fields[strongest_fields(fields, MOST_FIELDS)]


def find_runs(path: Path) -> list[Path]:
    """Folders of training runs: that of a file of metrics, a folder with one, or those within a folder."""
    if path.is_file() and path.name == METRICS:
        return [path.parent]
    if (path / METRICS).is_file():
        return [path]
    return sorted(metrics.parent for metrics in path.glob(f"*/{METRICS}")) if path.is_dir() else []


def parse_metrics(text: str) -> list[dict[str, Any]]:
    """Epochs of a ``metrics.jsonl``, numbers only; a last line that is not complete yet is left out.

    Raises
    ------
    TrainingError
        A line that is no JSON object with an epoch.
    """
    lines = text.split("\n")[:-1]
    epochs = []
    for number, line in enumerate(lines, start=1):
        try:
            found = json.loads(line)
            epoch = {**_numbers(found), "epoch": float(found["epoch"])}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise TrainingError(
                f"line {number} is not an epoch's metrics (a JSON object with 'epoch')"
            ) from None
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


def open_runs(folders: Sequence[Path]) -> list[Run]:
    """Runs with the shortest ends of their paths that tell them apart as names."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(path[-length:]) for path in parts]
        if len(set(names)) == len(names):
            return [Run(folder, name=name) for folder, name in zip(folders, names, strict=True)]
    return [Run(folder, name=f"{folder} ({k})") for k, folder in enumerate(folders)]  # the same one twice


def group_curves(runs: Sequence[Run]) -> dict[str, list[Curve]]:
    """Curves of all runs by the heading of their plot: those of `PANELS`, then all other metrics."""
    known = _UNSHOWN.union(*PANELS.values())
    others = sorted({key for run in runs for line in run.lines for key in line} - known)
    groups: dict[str, tuple[str, ...]] = dict(PANELS)
    for key in others:
        # Metrics of each layer, such as "gradient_norm hidden", go into one plot.
        heading = key.split(" ")[0].replace("_", " ")
        groups[heading] = (*groups.get(heading, ()), key)
    curves = {
        heading: [run.curve(key) for run in runs for key in keys if any(key in line for line in run.lines)]
        for heading, keys in groups.items()
    }
    return {heading: found for heading, found in curves.items() if found or heading in PANELS}
