"""Reading options, defined once for all commands that read recordings."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from eventsnn.cli.common import SensorSize as SensorSizeType
from eventsnn.cli.common import note

if TYPE_CHECKING:
    from eventsnn.events import ReadingOptions
    from eventsnn.events.stream import SensorSize
    from eventsnn.model import Network

F = TypeVar("F", bound=Callable[..., Any])

GROUP = "Reading recordings"


class ReadingOption(click.Option):
    """An option that ``--help`` lists below `GROUP`."""


class ReadingCommand(click.Command):
    """A command whose ``--help`` lists the options for reading recordings apart from its own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the two lists."""
        for title, of_reading in (("Options", False), (GROUP, True)):
            records = [
                record
                for parameter in self.get_params(ctx)
                if isinstance(parameter, click.Option)
                and isinstance(parameter, ReadingOption) == of_reading
                and (record := parameter.get_help_record(ctx)) is not None
            ]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Crop(click.ParamType):
    """``x0,y0,x1,y1``: pixels."""

    name = "x0,y0,x1,y1"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
            self.fail(
                f"{value!r} is not a region; write x0,y0,x1,y1 in pixels, such as 300,200,334,234", param, ctx
            )
        return tuple(int(part) for part in parts)


class Milliseconds(click.ParamType):
    """A time; the name of a format gets the hint that it goes to ``--format``."""

    name = "MS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return float(value)
        except ValueError:
            from eventsnn.events.formats import FORMATS

            known = str(value) in FORMATS.names()
            hint = f"; for the format of a recording write --format {value}" if known else ""
            self.fail(f"{value!r} is not a time in milliseconds{hint}", param, ctx)


_OPTIONS: tuple[tuple[tuple[str, ...], Any, str | None, str], ...] = (
    (
        ("--format",),
        None,
        "NAME",
        "File format, if the file does not show it; docs/formats.md lists the names.",
    ),
    (
        ("--columns",),
        None,
        "'t[s],x,y,p'",
        "Order of the columns of a table without names, and the unit of t.",
    ),
    (("--sensor",), SensorSizeType(), "WxHxP", "Sensor size; {sensor} by default."),
    (("--stream",), None, "NAME|N", "Stream of events, in files that hold several; 'info' lists them."),
    (("--sample",), click.IntRange(min=0), "N", "Number of the recording, in files that hold several (SHD)."),
    (
        ("--on-bad",),
        click.Choice(["error", "skip", "clamp", "sort"]),
        None,
        "What to do with an event outside the sensor or earlier than the one before it: stop; leave it out; "
        "move it to the nearest pixel or the time of the one before; or sort events by time (and stop at one "
        "outside the sensor). {on_bad} by default.",
    ),
    (
        ("--on-cut",),
        click.Choice(["warn", "error"]),
        None,
        "What to do with a file that ends within a record: leave the record out, or stop. "
        "{on_cut} by default.",
    ),
    (
        ("--from", "t_from"),
        Milliseconds(),
        "MS",
        "Leave out events before this time, counted from 0, or from the first event of a recording that "
        "begins late.",
    ),
    (
        ("--until", "t_until"),
        Milliseconds(),
        "MS",
        "Leave out events from this time on, counted in the same way.",
    ),
    (("--crop",), Crop(), None, "Keep the pixels x0 <= x < x1, y0 <= y < y1, counted from (x0, y0)."),
    (
        ("--downsample",),
        click.IntRange(min=1),
        "N",
        "After the crop, combine N x N pixels into one; every event is kept.",
    ),
    (
        ("--merge-polarities",),
        click.BOOL,
        None,
        "Treat ON and OFF events alike: put them on a sensor of one polarity.",
    ),
)
"""Names, type (BOOL for a flag), metavar and help of each option."""

_BAD_FILES = (
    ("--bad-files",),
    click.Choice(["error", "skip"]),
    None,
    "What to do with an unreadable recording: stop, or leave it out and count it. error by default.",
)
_SPELLING = {"t_from": "from", "t_until": "until"}
NAMES = tuple(names[-1].removeprefix("--").replace("-", "_") for names, *_ in _OPTIONS)
"""The options' names as fields of `ReadingOptions`."""


def reading_options(
    *, sensor: str, on_bad: str = "error", on_cut: str = "warn", files: bool = False
) -> Callable[[F], F]:
    """All options for reading recordings; the command gets those that were given as one argument `reading`.

    Parameters
    ----------
    sensor, on_bad, on_cut : str
        What ``--help`` calls the defaults.
    files : bool
        Whether the command reads many files and can leave out unreadable ones: adds ``--bad-files`` and the
        argument `bad_files`, "error" or "skip".
    """

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def run(**arguments: Any) -> Any:
            chosen = {name: arguments.pop(name) for name in NAMES}
            reading = {name: value for name, value in chosen.items() if value is not None}
            if files:
                arguments["bad_files"] = _choose_bad_files(arguments["bad_files"], reading)
            return command(reading=reading, **arguments)

        defaults = {"sensor": sensor, "on_bad": on_bad, "on_cut": on_cut}
        for names, kind, metavar, text in reversed([*_OPTIONS, *([_BAD_FILES] if files else [])]):
            form = {"is_flag": True, "default": None} if kind is click.BOOL else {"type": kind}
            text = text.format(**defaults)
            click.option(*names, cls=ReadingOption, metavar=metavar, help=text, **form)(run)
        return run  # type: ignore[return-value]

    return decorate


def bad_files_option(command: F) -> F:
    """``--bad-files``, and its old name ``--on-bad``, for commands that read other files."""

    @functools.wraps(command)
    def run(*, on_bad: str | None, bad_files: str | None, **arguments: Any) -> Any:
        old = {} if on_bad is None else {"on_bad": on_bad}
        return command(bad_files=_choose_bad_files(bad_files, old), **arguments)

    names, kind, _, text = _BAD_FILES
    click.option("--on-bad", type=kind, hidden=True)(run)
    click.option(*names, type=kind, help=text)(run)
    return run  # type: ignore[return-value]


def _choose_bad_files(bad_files: str | None, reading: Mapping[str, Any]) -> str:
    """``--bad-files``; ``--on-bad skip``, its former name, still has the same effect."""
    if bad_files is None and reading.get("on_bad") == "skip":
        note(
            "eventsnn: note: --on-bad is about single events now. Unreadable recordings are left out too, as "
            "before, but write --bad-files skip for that (or --bad-files error to stop at them)"
        )
        return "skip"
    return bad_files or "error"


def spell(reading: Mapping[str, Any]) -> list[str]:
    """Fields of `ReadingOptions` as words of a command line."""
    arguments: list[str] = []
    for name, value in reading.items():
        if value is True:
            arguments.append(_option(name))
            continue
        separator = "x" if name == "sensor" else ","
        text = separator.join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        text = f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else text
        arguments += [_option(name), text]
    return arguments


def _option(name: str) -> str:
    """The option that gives a field of `ReadingOptions`."""
    return f"--{_SPELLING.get(name, name).replace('_', '-')}"


def saved_reading(model: Path) -> dict[str, Any]:
    """The fields of `ReadingOptions` with which a model was trained."""
    from eventsnn.events import ReadingOptions
    from eventsnn.model.file import read_attribute

    training = json.loads(read_attribute(model, "training") or "{}")
    training_set = training.get("config", {}).get("training_set") or {}
    return {**ReadingOptions.from_table(training_set.get("reading", {})).given()}


def note_saved(saved: Mapping[str, Any], reading: Mapping[str, Any]) -> None:
    """Say which options of training hold, because none was given instead."""
    taken = {name: value for name, value in saved.items() if name not in reading}
    if taken:
        note(f"eventsnn: note: reading recordings as in training: {shlex.join(spell(taken))}")


def refuse(reading: Mapping[str, Any], why: str, ignored: Iterable[str] = ()) -> None:
    """Raise click.UsageError if an option was given that has no meaning here.

    ``--on-bad skip`` has one everywhere, that of ``--bad-files``.
    """
    for name, value in reading.items():
        if name not in ignored and (name, value) != ("on_bad", "skip"):
            raise click.UsageError(f"{_option(name)} {why}")


def note_nothing_kept(events: int, reading: ReadingOptions) -> None:
    """Print a note if a region was chosen and no event lies in it."""
    if events == 0 and not reading.region.is_whole:
        note(
            "eventsnn: note: no event lies in the part that is kept; see --from, --until, --crop, and 'info'"
        )


def sensor_problem(network: Network, size: SensorSize, reading: ReadingOptions) -> str | None:
    """Describe the mismatch between the sensor after cropping and the network's input; None if they match."""
    want = network.input
    if size == want.sensor_size:
        return None
    what = "the recording's sensor is" if reading.whole_sensor else "what is kept of the recording is"
    return (
        f"{what} {size[0]} x {size[1]} x {size[2]}, the network's input is {want.width} x {want.height} x "
        f"{want.polarities}; see --crop, --downsample, --merge-polarities, --sensor"
    )
