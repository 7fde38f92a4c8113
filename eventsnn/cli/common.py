"""Shared by the commands: options, output, the message for Ctrl-C."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from eventsnn._util.names import class_key, printable

if TYPE_CHECKING:
    from eventsnn.trace import TraceWriter

F = TypeVar("F", bound=Callable[..., Any])

# Existence is not checked here: a missing file is a failure (exit code 1) with a text of ours, not wrong use.
FILE = click.Path(path_type=Path)

SHOWN_SKIPPED = 5


class Interrupted(Exception):
    """Ctrl-C on the command line; the text says what was kept. Not an error of the library."""


class SensorSize(click.ParamType):
    """``34x34x2``: width, height (pixels) and polarities."""

    name = "WxHxP"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = str(value).lower().split("x")
        if len(parts) != 3 or not all(part.isdecimal() and 0 < int(part[:10]) < 10**9 for part in parts):
            self.fail(
                f"{value!r} is not a sensor size; write width x height x polarities, such as 34x34x2",
                param,
                ctx,
            )
        return tuple(int(part) for part in parts)


def json_option(command: F) -> F:
    """``--json``."""
    text = "Print one JSON object on standard output, everything else on standard error."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def threads_option(command: F) -> F:
    """``--threads``."""
    text = "Number of threads; all processors by default. Results do not depend on it."
    return click.option("--threads", type=click.IntRange(1, 1024), metavar="T", help=text)(command)


def dtype_option(default: str | None, text: str = "") -> Callable[[F], F]:
    """``--dtype``; `text` describes the default if it depends on the network."""
    text = f"Precision of membrane potentials and currents; spike times are always float64.{text}"
    return click.option(
        "--dtype",
        type=click.Choice(["float32", "float64"]),
        default=default,
        show_default=default is not None,
        help=text,
    )


class _EngineName(click.Choice[str]):
    """An engine, or auto; engines of other packages are looked up if the name is not one of ours."""

    def __init__(self) -> None:
        from eventsnn.simulate.engines import ENGINES

        super().__init__((*ENGINES.extra, *ENGINES.known))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in self.choices:
            from eventsnn.simulate.engines import ENGINES

            self.choices = (*ENGINES.extra, *ENGINES.names())
        return super().convert(value, param, ctx)


def engine_option(text: str) -> Callable[[F], F]:
    """``--engine`` for runs of a trained model; `text` is its help."""
    return click.option("--engine", type=_EngineName(), default="auto", show_default=True, help=text)


def step_option(default: str) -> Callable[[F], F]:
    """``--step-ms``; `default` describes the default."""
    text = f"Length of the clock's step, ms, with engine clocked; {default} by default."
    return click.option("--step-ms", type=float, metavar="MS", help=text)


def duration_option(default: str) -> Callable[[F], F]:
    """``--duration-ms``; `default` describes the default."""
    text = f"Duration of every recording, ms; later events are left out; {default} by default."
    return click.option("--duration-ms", type=float, metavar="MS", help=text)


def per_class_option(command: F) -> F:
    """``--per-class``."""
    text = "Use at most N recordings of each class, drawn at random by the seed."
    return click.option("--per-class", type=click.IntRange(min=1), metavar="N", help=text)(command)


def file_option(
    name: str, metavar: str, text: str, *, parameter: str | None = None, required: bool = False
) -> Callable[[F], F]:
    """An option that takes a path; `parameter` is the command's argument where `name` does not tell it."""
    names = (name,) if parameter is None else (name, parameter)
    return click.option(*names, type=FILE, required=required, metavar=metavar, help=text)


def t_stop_option(text: str) -> Callable[[F], F]:
    """``--t-stop``; `text` is its help."""
    return click.option("--t-stop", type=float, metavar="MS", help=text)


def top_option(text: str) -> Callable[[F], F]:
    """``--top``; `text` is its help."""
    kind = click.IntRange(min=1)
    return click.option("--top", type=kind, default=10, show_default=True, metavar="N", help=text)


def within_option(command: F) -> F:
    """``--within``, when two spike trains are compared."""
    text = "Spikes of a neuron less than this apart can be one that moved."
    kind = click.FloatRange(min=0.0, min_open=True)
    return click.option(
        "--within", "within_ms", type=kind, default=5.0, show_default=True, metavar="MS", help=text
    )(command)


def sample_option(command: F) -> F:
    """``--sample``."""
    text = "Which recording, from 0."
    return click.option("--sample", type=int, default=0, show_default=True, metavar="S", help=text)(command)


def name_engine(engine: str, step_ms: float | None) -> str:
    """``engine clocked, steps of 1 ms``."""
    steps = "exact time" if step_ms is None else f"steps of {step_ms:g} ms"
    return f"engine {engine}, {steps}"


def seed_option(default: int | None, text: str) -> Callable[[F], F]:
    """``--seed``."""
    return click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=default,
        show_default=default is not None,
        metavar="S",
        help=text,
    )


def report(result: Any, text: str, as_json: bool, *, err: bool = False) -> None:
    """Print the outcome of a command: `result` as one line of JSON, or `text` for people.

    `err`: on standard error, because standard output belongs to what the command writes.
    """
    click.echo(json.dumps(result, allow_nan=False) if as_json else text, err=err)


held: list[str] | None = None
"""Messages of a process that is to say nothing, because another one of the same run does; else None."""


def note(text: str) -> None:
    """Print a message that is not a result on standard error; a closed standard error is ignored."""
    if held is not None:
        held.append(text)
        return
    with suppress(OSError):
        click.echo(text, err=True)


def note_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    """List unreadable recordings that were left out; `skipped` holds (path, reason with path)."""
    if not skipped:
        return
    note(f"skipped {len(skipped)} unreadable recording{'s' if len(skipped) > 1 else ''}:")
    for _, reason in skipped[:SHOWN_SKIPPED]:
        note(f"  {reason}")
    if len(skipped) > SHOWN_SKIPPED:
        note(f"  and {len(skipped) - SHOWN_SKIPPED} more")


def format_fields(fields: Sequence[tuple[str, str]]) -> str:
    """Lines of name and value, in two columns."""
    width = max(len(name) for name, _ in fields)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in fields)


def format_decision(result: dict[str, Any]) -> str:
    """``decision 2 (cat)``; `result` is the result of `SpikeRecord.summary`."""
    if result["decision"] is None:
        return "no decision"
    name = result.get("class")
    if name is None or class_key(name) == str(result["decision"]):
        return f"decision {result['decision']}"
    return f"decision {result['decision']} ({printable(name)})"


def format_size(size: Sequence[int]) -> str:
    """``34 x 34 x 2``."""
    return " x ".join(str(n) for n in size)


def note_leftovers(writer: TraceWriter) -> None:
    """Name the files that hold the complete samples of killed runs into the same trace."""
    from eventsnn._util.atomic import find_parts

    for part in find_parts(writer.path):
        if part != writer.part:
            note(
                f"{part} is of an earlier run that was killed or could not go on; it is left alone: "
                "'eventsnn inspect' shows what is complete in it"
            )
