"""What is shown, as the part of the page's address behind the question mark: a view that can be shared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, unquote, urlencode

MODES = ("contribution", "sensitivity")


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
    """

    sample: int = 0
    path: tuple[SpikeName, ...] = ()
    mode: str = "contribution"
    removed: frozenset[int] = frozenset()
    silenced: frozenset[tuple[str, int]] = field(default_factory=frozenset)

    @property
    def spike(self) -> SpikeName | None:
        """The spike that is explained."""
        return self.path[-1] if self.path else None

    def of_sample(self, sample: int) -> TraceView:
        """Another sample: its spikes and events are others."""
        return TraceView(sample=sample, mode=self.mode)

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
        return query

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


def _read_mode(text: str) -> str:
    if text not in MODES:
        raise ValueError(text)
    return text


def _read_neuron(text: str) -> tuple[str, int]:
    layer, neuron = text.split(":")
    return unquote(layer), int(neuron)


_READERS: dict[str, Callable[[str], Any]] = {
    "sample": int,
    "path": lambda text: tuple(SpikeName.parse(word) for word in text.split()),
    "mode": _read_mode,
    "remove": lambda text: frozenset(parse_numbers(text)),
    "silence": lambda text: frozenset(_read_neuron(word) for word in text.split()),
}
_FIELDS = {"remove": "removed", "silence": "silenced"}

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
