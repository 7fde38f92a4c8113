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


_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("--format",),
        {
            "metavar": "NAME",
            "help": "File format, if the file does not show it; docs/formats.md lists the names.",
        },
    ),
    (
        ("--columns",),
        {
            "metavar": "'t[s],x,y,p'",
            "help": "Order of the columns of a table without names, and the unit of t.",
        },
    ),
    (
        ("--sensor",),
        {"type": SensorSizeType(), "metavar": "WxHxP", "help": "Sensor size; {sensor} by default."},
    ),
    (
        ("--stream",),
        {"metavar": "NAME|N", "help": "Stream of events, in files that hold several; 'info' lists them."},
    ),
    (
        ("--sample",),
        {
            "type": click.IntRange(min=0),
            "metavar": "N",
            "help": "Number of the recording, in files that hold several (SHD).",
        },
    ),
    (
        ("--on-bad",),
        {
            "type": click.Choice(["error", "skip", "clamp", "sort"]),
            "help": "What to do with an event outside the sensor or earlier than the one before it: stop; "
            "leave it out; move it to the nearest pixel or the time of the one before; or sort events by "
            "time (and stop at one outside the sensor). {on_bad} by default.",
        },
    ),
    (
        ("--on-cut",),
        {
            "type": click.Choice(["warn", "error"]),
            "help": "What to do with a file that ends within a record: leave the record out, or stop. "
            "{on_cut} by default.",
        },
    ),
    (
        ("--from", "t_from"),
        {
            "type": Milliseconds(),
            "metavar": "MS",
            "help": "Leave out events before this time, counted from 0, or from the first event of a "
            "recording that begins late.",
        },
    ),
    (
        ("--until", "t_until"),
        {
            "type": Milliseconds(),
            "metavar": "MS",
            "help": "Leave out events from this time on, counted in the same way.",
        },
    ),
    (
        ("--crop",),
        {
            "type": Crop(),
            "help": "Keep the pixels x0 <= x < x1, y0 <= y < y1, counted from (x0, y0).",
        },
    ),
    (
        ("--downsample",),
        {
            "type": click.IntRange(min=1),
            "metavar": "N",
            "help": "After the crop, combine N x N pixels into one; every event is kept.",
        },
    ),
)
_SPELLING = {"t_from": "from", "t_until": "until"}
NAMES = tuple(names[-1].removeprefix("--").replace("-", "_") for names, _ in _OPTIONS)
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
        options = [*_OPTIONS, *([_BAD_FILES] if files else [])]
        for names, attributes in reversed(options):
            text = attributes["help"].format(**defaults)
            click.option(*names, cls=ReadingOption, **{**attributes, "help": text})(run)
        return run  # type: ignore[return-value]

    return decorate


_BAD_FILES: tuple[tuple[str, ...], dict[str, Any]] = (
    ("--bad-files",),
    {
        "type": click.Choice(["error", "skip"]),
        "help": "What to do with an unreadable recording: stop, or leave it out and count it. "
        "error by default.",
    },
)


def bad_files_option(command: F) -> F:
    """``--bad-files``, and its old name ``--on-bad``, for commands that read other files."""

    @functools.wraps(command)
    def run(*, on_bad: str | None, bad_files: str | None, **arguments: Any) -> Any:
        old = {} if on_bad is None else {"on_bad": on_bad}
        return command(bad_files=_choose_bad_files(bad_files, old), **arguments)

    names, attributes = _BAD_FILES
    click.option("--on-bad", type=click.Choice(["error", "skip"]), hidden=True)(run)
    click.option(*names, **attributes)(run)
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
    arguments = []
    for name, value in reading.items():
        separator = "x" if name == "sensor" else ","
        text = separator.join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        text = f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else text
        arguments += [f"--{_SPELLING.get(name, name).replace('_', '-')}", text]
    return arguments


def with_saved(model: Path, reading: Mapping[str, Any]) -> dict[str, Any]:
    """The given options, completed by those with which the model was trained; says which."""
    from eventsnn.events import ReadingOptions
    from eventsnn.model.file import read_attribute

    training = json.loads(read_attribute(model, "training") or "{}")
    training_set = training.get("config", {}).get("training_set") or {}
    saved = ReadingOptions.from_table(training_set.get("reading", {})).given()
    taken = {name: value for name, value in saved.items() if name not in reading}
    if taken:
        note(f"eventsnn: note: reading recordings as in training: {shlex.join(spell(taken))}")
    return {**taken, **reading}


def refuse(reading: Mapping[str, Any], why: str, ignored: Iterable[str] = ()) -> None:
    """Raise click.UsageError if an option was given that has no meaning here.

    ``--on-bad skip`` has one everywhere, that of ``--bad-files``.
    """
    for name, value in reading.items():
        if name not in ignored and (name, value) != ("on_bad", "skip"):
            raise click.UsageError(f"--{_SPELLING.get(name, name).replace('_', '-')} {why}")


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
        f"{what} {size[0]} x {size[1]} x {size[2]}, the network's input is "
        f"{want.width} x {want.height} x {want.polarities}; see --crop, --downsample, --sensor"
    )
