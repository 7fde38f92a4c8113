"""Options for traces, defined once for all commands that write them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from eventsnn.cli.common import FILE
from eventsnn.trace.schema import RECORD

F = TypeVar("F", bound=Callable[..., Any])


class RecordOptions(click.ParamType):
    """``spikes,potential,spsp`` or a part of it."""

    name = "LIST"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        options = _split(value)
        for option in options:
            if option not in RECORD:
                self.fail(f"{option!r} cannot be recorded; there are {', '.join(RECORD)}", param, ctx)
        return options


class Names(click.ParamType):
    """``hidden,output``."""

    name = "L,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        return value if isinstance(value, tuple) else _split(value)


class Numbers(click.ParamType):
    """``0-9,20``: whole numbers from 0, and ranges of them, both ends included."""

    name = "N,A-B,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> frozenset[int] | tuple[int, ...]:
        if not isinstance(value, str):
            return value
        numbers: set[int] = set()
        for part in _split(value):
            first, dash, last = part.partition("-")
            if not first.isdecimal() or (dash and not last.isdecimal()):
                self.fail(f"{part!r} is no number or range of numbers, such as 0-9", param, ctx)
            ends = int(first), int(last) if dash else int(first)
            if ends[1] < ends[0] or ends[1] - ends[0] > _MOST_NUMBERS:
                self.fail(f"{part!r} is no range of numbers: the first comes first", param, ctx)
            numbers.update(range(ends[0], ends[1] + 1))
        return tuple(sorted(numbers))


class LayerNumbers(click.ParamType):
    """``hidden:0-9,20``: a layer, and neurons of it."""

    name = "L:N,A-B,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Iterable[int]]:
        if isinstance(value, tuple):
            return value
        layer, colon, numbers = str(value).rpartition(":")
        if not colon or not layer:
            self.fail(f"{value!r} does not say of which layer; write such as hidden:0-9", param, ctx)
        return layer, Numbers().convert(numbers, param, ctx)


class Window(click.ParamType):
    """``0:50``: from when to when, ms."""

    name = "FROM:TO"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        first, _, last = str(value).partition(":")
        try:
            return float(first or 0.0), float(last or "inf")
        except ValueError:
            self.fail(f"{value!r} is no stretch of time; write such as 0:50 (ms)", param, ctx)


_MOST_NUMBERS = 10_000_000


def _split(value: object) -> tuple[str, ...]:
    return tuple(part.strip() for part in str(value).split(","))


def trace_options(what: str, samples: str) -> Callable[[F], F]:
    """``--trace``, and what the trace keeps; the command gets the argument `trace`, TraceOptions or None.

    Parameters
    ----------
    what, samples : str
        Help of ``--trace`` and ``--trace-samples``.
    """

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def run(*, trace: Path | None, **arguments: Any) -> Any:
            given = {name: arguments.pop(name) for name in _FIELDS}
            chosen = {name: value for name, value in given.items() if value not in (None, ())}
            if trace is None:
                for name in chosen:
                    raise click.UsageError(
                        f"{_FIELDS[name]} says what the trace holds: give --trace as well."
                    )
                return command(trace=None, **arguments)
            from eventsnn.trace.options import TraceOptions

            if "trace_neurons" in chosen:
                chosen["trace_neurons"] = dict(chosen["trace_neurons"])
            options = {name.removeprefix("trace_"): value for name, value in chosen.items()}
            return command(trace=TraceOptions(trace, **options), **arguments)

        for names, kind, text in reversed(_OPTIONS):
            text = text.format(what=what, samples=samples)
            click.option(*names, type=kind, multiple="--trace-neurons" in names, help=text)(run)
        return run  # type: ignore[return-value]

    return decorate


_OPTIONS: tuple[tuple[tuple[str, ...], Any, str], ...] = (
    (("--trace",), FILE, "{what}"),
    (
        ("--record", "--levels", "record"),
        RecordOptions(),
        f"Contents of the trace: a comma-separated list of {RECORD[0]} (always included, all of them), "
        f"{', '.join(RECORD[1:])}.",
    ),
    (("--trace-samples",), Numbers(), "{samples}"),
    (
        ("--trace-layers", "trace_layers"),
        Names(),
        "Layers of which all that is recorded besides spikes is recorded; all by default.",
    ),
    (
        ("--trace-neurons", "trace_neurons"),
        LayerNumbers(),
        "Neurons of a layer of which it is recorded; all by default. Repeatable, for further layers.",
    ),
    (("--trace-window",), Window(), "From when to when it is recorded, ms from each recording's origin."),
    (
        ("--potential-step",),
        click.FloatRange(min=0.0, min_open=True),
        "Milliseconds between recorded potentials or currents; 1 by default.",
    ),
)

_FIELDS = {
    "record": "--record",
    "trace_samples": "--trace-samples",
    "trace_layers": "--trace-layers",
    "trace_neurons": "--trace-neurons",
    "trace_window": "--trace-window",
    "potential_step": "--potential-step",
}
"""Arguments, by the fields of `TraceOptions`, and the options that give them."""
