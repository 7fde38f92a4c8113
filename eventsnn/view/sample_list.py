"""The samples of a trace as a list that is sorted and filtered: the rows of a page's table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.trace.reader import Trace
from eventsnn.trace.sample import Sample
from eventsnn.view.address import SORTABLE, VERDICTS


@dataclass(frozen=True, eq=False)
class SampleTable:
    """Rows of the table of samples, as lists of equal length.

    Attributes
    ----------
    index : list of int
    source : list of str
        Name of the file without its folders.
    label, decision : list of str
        "" without.
    verdict : list of str
        "right", "wrong", "no decision", or "" without a label.
    spikes : list of int
        Of all layers, without the input.
    """

    index: list[int]
    source: list[str]
    label: list[str]
    decision: list[str]
    verdict: list[str]
    spikes: list[int]


class SampleList:
    """All samples of a trace, in an order, of which those that pass a filter are shown.

    Filters are a verdict and a text, as `eventsnn.view.trace_page.TracePage.set_filter` takes them.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._spikes = np.sum([trace.spikes_per_sample(name) for name in trace.network.names], axis=0)
        self._order = list(range(len(trace)))

    def sort(self, sort: str) -> None:
        """Sort as `TraceView.sort` says; of equals, the first of the trace comes first.

        Labels and decisions are sorted by number, not by the name of the class; those without come last.
        """
        column, samples = sort.removeprefix("-"), self._trace.samples
        if column not in SORTABLE:
            self._order = list(range(len(self._trace)))
            return
        keys: dict[str, Callable[[Sample], Any]] = {
            "index": lambda row: row.index,
            "source": _file_name,
            "label": lambda row: row.label,
            "decision": lambda row: row.prediction,
            "verdict": lambda row: judge(row) or None,
            "spikes": self._count_spikes,
        }
        values = [keys[column](row) for row in samples]
        known = [index for index, value in enumerate(values) if value is not None]
        known.sort(key=values.__getitem__, reverse=sort.startswith("-"))
        self._order = known + [index for index, value in enumerate(values) if value is None]

    def table(self, verdict: str, text: str) -> SampleTable:
        """The samples that pass a filter, sorted."""
        rows = [self._trace.samples[index] for index in self._order]
        rows = [row for row in rows if self._passes(row, verdict, text)]
        return SampleTable(
            index=[row.index for row in rows],
            source=[_file_name(row) for row in rows],
            label=["" if row.label is None else self.name_class(row.label) for row in rows],
            decision=["" if row.prediction is None else self.name_class(row.prediction) for row in rows],
            verdict=[judge(row) for row in rows],
            spikes=[self._count_spikes(row) for row in rows],
        )

    def neighbour(self, sample: int, step: int, verdict: str, text: str) -> int | None:
        """The next sample that passes a filter, or the one before with -1; None at the ends."""
        at = self._order.index(sample)
        beyond = self._order[at + 1 :] if step > 0 else self._order[:at][::-1]
        return next(
            (index for index in beyond if self._passes(self._trace.samples[index], verdict, text)), None
        )

    def _passes(self, sample: Sample, verdict: str, text: str) -> bool:
        if verdict not in (VERDICTS[0], judge(sample)):
            return False
        text = text.strip().lower()
        for word, number in (("label", sample.label), ("decision", sample.prediction)):
            if text.startswith(f"{word} "):
                return number is not None and text[len(word) :].strip() in (
                    str(number),
                    self.name_class(number).lower(),
                )
        return text in sample.source.lower()

    def describe(self, sample: int) -> str:
        """See `eventsnn.view.trace_page.TracePage.describe_sample`."""
        row = self._trace.samples[sample]
        source = f" ({_file_name(row)})" if row.source else ""
        decision = "no decision" if row.prediction is None else f"decision {self.name_class(row.prediction)}"
        label = "" if row.label is None else f"label {self.name_class(row.label)}, "
        verdict = f", {judge(row)}" if judge(row) in ("right", "wrong") else ""
        spikes = number_of(self._count_spikes(row), "spike")
        return f"sample {row.index}{source}: {label}{decision}{verdict}; {spikes}"

    def name_class(self, number: int) -> str:
        """Name of a class, or its number."""
        classes = self._trace.network.classes
        return classes[number] if classes is not None and 0 <= number < len(classes) else str(number)

    def _count_spikes(self, sample: Sample) -> int:
        return int(self._spikes[sample.index])


def _file_name(sample: Sample) -> str:
    return Path(sample.source).name


def judge(sample: Sample) -> str:
    """Whether a sample's decision is its label; see `SampleTable.verdict`."""
    if sample.prediction is None:
        return "no decision"
    if sample.label is None:
        return ""
    return "right" if sample.label == sample.prediction else "wrong"
