"""What is shown, as the part of the page's address behind the question mark: a view that can be shared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, unquote, urlencode

MODES = ("contribution", "sensitivity")
VERDICTS = ("all", "right", "wrong", "no decision")
SORTABLE = ("index", "source", "label", "decision", "verdict", "spikes")
"""Columns of the table of samples."""


@dataclass(frozen=True, order=True)
class SpikeName:
    """Spike number `number` (from 0) of a neuron of a layer."""

    layer: str
    neuron: int
    number: int

    def __str__(self) -> str:
        return f"{quote(self.layer, safe='')}:{self.neuron}:{self.number}"

    @classmethod
    def parse(cls, text: str) -> SpikeName:
        """From `str`; raises ValueError."""
        layer, neuron, number = text.split(":")
        return cls(unquote(layer), int(neuron), int(number))


@dataclass(frozen=True)
class TraceView:
    """All that a page of a trace shows.

    Attributes
    ----------
    sample : int
    path : tuple of SpikeName
        The spikes that were gone through, from the first that was clicked to the one that is explained.
    mode : str
        One of `MODES`.
    removed : frozenset of int
        Input events of the sample, by row, that the what-if simulation leaves out.
    silenced : frozenset of (str, int)
        Neurons, by layer and number, that never fire in it.
    window : (float, float), optional
        Visible part of the time axis, ms; the whole sample by default.
    sort : str
        Column of the table of samples (one of `SORTABLE`) by which it is sorted, after ``-`` if the largest
        comes first; "" for the order of the trace.
    verdict, text : str
        What filters the table: one of `VERDICTS`, and a text; see `TracePage.set_filter`.
    """

    sample: int = 0
    path: tuple[SpikeName, ...] = ()
    mode: str = "contribution"
    removed: frozenset[int] = frozenset()
    silenced: frozenset[tuple[str, int]] = field(default_factory=frozenset)
    window: tuple[float, float] | None = None
    sort: str = ""
    verdict: str = VERDICTS[0]
    text: str = ""

    @property
    def spike(self) -> SpikeName | None:
        """The spike that is explained."""
        return self.path[-1] if self.path else None

    def of_sample(self, sample: int) -> TraceView:
        """Another sample: its spikes and events are others."""
        return replace(self, sample=sample, path=(), removed=frozenset(), silenced=frozenset(), window=None)

    @property
    def step(self) -> tuple[object, ...]:
        """What makes a step that the browser's button "back" undoes, unlike zooming and sorting."""
        return self.sample, self.path, self.mode, self.removed, self.silenced

    def to_query(self) -> dict[str, str]:
        """Keys and values of the address."""
        query = {"sample": str(self.sample)}
        if self.path:
            query["path"] = " ".join(map(str, self.path))
        if self.mode != MODES[0]:
            query["mode"] = self.mode
        if self.removed:
            query["remove"] = format_numbers(self.removed)
        if self.silenced:
            query["silence"] = " ".join(
                f"{quote(layer, safe='')}:{neuron}" for layer, neuron in sorted(self.silenced)
            )
        if self.window is not None:
            query["window"] = "{:.8g} {:.8g}".format(*self.window)
        query |= {"sort": self.sort} if self.sort else {}
        query |= {"verdict": self.verdict} if self.verdict != VERDICTS[0] else {}
        return query | ({"filter": self.text} if self.text else {})

    def to_address(self, more: Mapping[str, str]) -> str:
        """Everything behind the question mark; `more` are keys that are not of the view."""
        return urlencode({**more, **self.to_query()})

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> TraceView:
        """From the keys of an address; unknown keys are left alone, and what cannot be read is left out."""
        view = cls()
        for key, read in _READERS.items():
            if key in query:
                try:
                    view = replace(view, **{_FIELDS.get(key, key): read(query[key])})
                except ValueError:
                    continue
        return view


def _read_one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return read


def _read_window(text: str) -> tuple[float, float]:
    start, end = map(float, text.split())
    if not -math.inf < start < end < math.inf:
        raise ValueError(text)
    return start, end


def _read_neuron(text: str) -> tuple[str, int]:
    layer, neuron = text.split(":")
    return unquote(layer), int(neuron)


_READERS: dict[str, Callable[[str], Any]] = {
    "sample": int,
    "path": lambda text: tuple(SpikeName.parse(word) for word in text.split()),
    "mode": _read_one_of(*MODES),
    "remove": lambda text: frozenset(parse_numbers(text)),
    "silence": lambda text: frozenset(_read_neuron(word) for word in text.split()),
    "window": _read_window,
    "sort": _read_one_of(*SORTABLE, *(f"-{name}" for name in SORTABLE)),
    "verdict": _read_one_of(*VERDICTS),
    "filter": str,
}
_FIELDS = {"remove": "removed", "silence": "silenced", "filter": "text"}

MOST_NUMBERS = 1_000_000
"""Of a list in an address, which could name billions in a few letters."""


def format_numbers(numbers: Iterable[int]) -> str:
    """``3-6.9``: runs of numbers in a few letters."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ".".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def parse_numbers(text: str) -> list[int]:
    """The numbers of `format_numbers`; raises ValueError."""
    numbers: list[int] = []
    for run in text.split("."):
        first, _, last = run.partition("-")
        span = range(int(first), int(last or first) + 1)
        if len(span) + len(numbers) > MOST_NUMBERS:
            raise ValueError(text)
        numbers.extend(span)
    return numbers
