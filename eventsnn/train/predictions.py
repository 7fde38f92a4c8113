"""Decision of a network for every recording of a data set, and whether it was correct."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eventsnn._util.atomic import reason, replace_text
from eventsnn._util.names import name_class
from eventsnn._util.words import number_of
from eventsnn.errors import TrainingError
from eventsnn.trace.record import decide_all

FORMATS = (".csv", ".json")
MOST_CLASSES = 1 << 16  # of a table that is read: more would be damage


class Counted(NamedTuple):
    """Output of the readable recordings of a data set.

    `counts` is int64 (n, outputs), or float64 of a readout; `labels` and `indices` (numbers of the
    recordings) are int64 (n,).
    """

    counts: np.ndarray
    labels: np.ndarray
    indices: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """The outcome of one recording.

    Attributes
    ----------
    source : str
        The recording's file or name.
    label, decision : int
        Output neuron of its class, and the one that decides, see `RunSettings`; None if all were silent.
    label_name, decision_name : str or None
        Names of the two classes, where the network has names.
    correct : bool
    counts : tuple of int or float
        Spikes of every output neuron; where the first decides, those at its instant; what a readout layer
        gives.
    """

    source: str
    label: int
    decision: int | None
    label_name: str | None
    decision_name: str | None
    correct: bool
    counts: tuple[float, ...]


class Predictions(Sequence[Prediction]):
    """Outcomes of the readable recordings of a data set, in its order.

    Attributes
    ----------
    sources : list of str
        Files or names of the recordings.
    labels, decisions : int64 array (n,)
        Output neurons; a decision is -1 where all were silent.
    counts : int64 or float64 array (n, outputs)
        Spikes of every output neuron, or what a readout layer gives.
    classes : tuple of str or None
        Names of the output neurons.
    """

    def __init__(
        self, sources: Sequence[str], labels: np.ndarray, counts: np.ndarray, classes: tuple[str, ...] | None
    ) -> None:
        self.sources, self.labels, self.counts, self.classes = list(sources), labels, counts, classes
        self.decisions = decide_all(counts)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        label, decided = int(self.labels[index]), int(self.decisions[index])
        decision = None if decided < 0 else decided
        return Prediction(
            self.sources[index],
            label,
            decision,
            name_class(self.classes, label),
            name_class(self.classes, decision),
            label == decision,
            tuple(self.counts[index].tolist()),
        )

    def __repr__(self) -> str:
        right = int((self.decisions == self.labels).sum())
        return f"<{number_of(len(self), 'prediction')}, {right:,} correct>"

    def rows(self) -> list[dict[str, Any]]:
        """A table, a dict per recording: source, label, decision, their names, correct, counts."""
        return [vars(prediction) | {"counts": list(prediction.counts)} for prediction in self]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table to a ``.csv`` file, with a column per output neuron, or to a ``.json`` file.

        Raises
        ------
        TrainingError
            The name ends otherwise, or the file cannot be written.
        """
        check_predictions_path(path)
        text = json.dumps(self.rows()) + "\n" if Path(path).suffix.lower() == ".json" else self._to_csv()
        # A file's name may hold bytes that are no UTF-8.
        text = text.encode("utf-8", "backslashreplace").decode()
        replace_text(path, text, lambda problem: TrainingError(f"{path}: cannot be written ({problem})"))

    def _to_csv(self) -> str:
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        what = "spikes" if self.counts.dtype.kind == "i" else "readout"
        outputs = [f"{what}_{number}" for number in range(self.counts.shape[1])]
        table.writerow(["source", "label", "decision", "label_name", "decision_name", "correct", *outputs])
        for p in self:
            texts = ["" if x is None else x for x in (p.label, p.decision, p.label_name, p.decision_name)]
            table.writerow([p.source, *texts, int(p.correct), *p.counts])
        return out.getvalue()


def join_predictions(paths: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> tuple[int, int]:
    """Write the tables of several files of predictions, one after the other, into one.

    Parameters
    ----------
    paths : sequence of path
        Files that `Predictions.save` wrote, at least one.
    out : path
        The file to write, of the same kind; it appears complete or not at all.

    Returns
    -------
    tuple of int
        How many predictions, and how many of them are correct.

    Raises
    ------
    TrainingError
        A file is not a table of predictions, has other columns or another kind than the first, or the file
        cannot be written.
    """
    check_predictions_path(out)
    kind = Path(out).suffix.lower()
    tables = [_read_table(Path(path), kind) for path in paths]
    for path, (columns, _) in zip(paths, tables, strict=True):
        if columns != tables[0][0]:
            raise TrainingError(f"{path}: has other columns than {paths[0]}: they are of different networks")
    rows = [row for _, rows in tables for row in rows]
    text = json.dumps(rows) + "\n"
    if kind == ".csv":
        lines = io.StringIO()
        table = csv.DictWriter(lines, tables[0][0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        text = lines.getvalue()
    replace_text(out, text, lambda problem: TrainingError(f"{out}: cannot be written ({problem})"))
    return len(rows), sum(row["correct"] in (True, "1") for row in rows)


def _read_table(path: Path, kind: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and rows of a file of predictions; those of JSON as they are, those of CSV as texts."""
    if path.suffix.lower() != kind:
        raise TrainingError(f"{path}: a {kind} file is made of {kind} files only")
    try:
        text = path.read_text()
        rows = json.loads(text) if kind == ".json" else list(csv.DictReader(io.StringIO(text)))
        columns = list(rows[0])
        # A line with too few or too many fields has values or columns None.
        cut = kind == ".csv" and any(None in row or None in row.values() for row in rows)
        if "correct" not in columns or cut or any(list(row) != columns for row in rows):
            raise ValueError
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({reason(error)})") from None
    except (ValueError, KeyError, IndexError, TypeError):
        raise TrainingError(
            f"{path}: is no table of predictions, which evaluate --predictions writes"
        ) from None
    return columns, rows


def read_predictions(
    path: str | os.PathLike[str],
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...] | None]:
    """Labels and decisions of a table that `Predictions.save` wrote.

    Returns
    -------
    labels, decisions : int64 arrays (n,)
        Output neurons; a decision is -1 where all were silent.
    classes : tuple of str or None
        Names of the output neurons, as far as the table has them; None if it has none.

    Raises
    ------
    TrainingError
        The file cannot be read, or is no such table.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        is_json = Path(path).suffix.lower() == ".json"
        rows = json.loads(text) if is_json else list(csv.DictReader(io.StringIO(text)))
        names: dict[int, str] = {}
        pairs = []
        for row in rows:
            label, decision = (
                int(row[key]) if row[key] not in ("", None) else -1 for key in ("label", "decision")
            )
            pairs.append((label, decision))
            for number, key in ((label, "label_name"), (decision, "decision_name")):
                if row.get(key) and number >= 0:
                    names[number] = str(row[key])
        table = np.array(pairs, np.int64).reshape(-1, 2)
        if (table < -1).any() or (table >= MOST_CLASSES).any():
            raise ValueError
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise TrainingError(f"{path}: not a table of 'eventsnn evaluate --predictions'") from None
    classes = tuple(names.get(k, str(k)) for k in range(max(names, default=0) + 1)) if names else None
    return table[:, 0], table[:, 1], classes


def count_confusion(labels: np.ndarray, decisions: np.ndarray, classes: int = 0) -> np.ndarray:
    """Recordings by label and decision, int64 array (classes, classes + 1): the last column is no decision.

    Parameters
    ----------
    labels, decisions : int64 arrays (n,)
        Output neurons; -1 for no decision. Recordings without a label, -1, are left out.
    classes : int
        How many there are at least.
    """
    known = labels >= 0
    labels, decisions = labels[known], decisions[known]
    size = max(classes, 1 + max(labels.max(initial=-1), decisions.max(initial=-1)))
    counts = np.zeros((size, size + 1), np.int64)
    np.add.at(counts, (labels, np.where(decisions < 0, size, decisions)), 1)
    return counts


def check_predictions_path(path: str | os.PathLike[str]) -> None:
    """Raise TrainingError unless predictions can be written to a file of this name."""
    if Path(path).suffix.lower() not in FORMATS:
        raise TrainingError(f"{path}: predictions are written to a file that ends in {' or '.join(FORMATS)}")
