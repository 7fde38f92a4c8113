"""Options of ``eventsnn simulate`` for long recordings and live input."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from eventsnn.cli.common import FILE, Interrupted, format_option
from eventsnn.errors import SimulationError

F = TypeVar("F", bound=Callable[..., Any])

# Larger recordings are simulated in parts even if no option asks for it; the spikes are the same.
LARGE_BYTES = 16 << 20
UDP = "udp://"


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
                f"{value!r} is no region; write x0,y0,x1,y1 in pixels, such as 300,200,334,234", param, ctx
            )
        return tuple(int(part) for part in parts)


_OPTIONS = (
    click.option("--from", "t_from", type=float, metavar="MS", help="Leave out events before this time."),
    click.option("--until", "t_until", type=float, metavar="MS", help="Leave out events from this time on."),
    click.option(
        "--crop", type=Crop(), help="Keep the pixels x0 <= x < x1, y0 <= y < y1, counted from (x0, y0)."
    ),
    click.option(
        "--downsample",
        type=click.IntRange(min=1),
        metavar="N",
        help="Make one pixel of N x N; keeps every event.",
    ),
    click.option(
        "--spikes",
        metavar="S.csv",
        help="Write spikes as they come, one a line: time_ms,layer,neuron; - for standard output.",
    ),
    click.option(
        "--save-state",
        type=FILE,
        metavar="S.npz",
        help="Save the state while it runs and where the recording ends (or --until, or Ctrl-C); do not run "
        "on until the network is quiet.",
    ),
    click.option(
        "--save-every",
        type=click.FloatRange(min=0.0),
        default=30.0,
        show_default=True,
        metavar="S",
        help="Seconds between two savings while it runs.",
    ),
    click.option(
        "--resume-from",
        type=FILE,
        metavar="S.npz",
        help="Go on from a saved state; events taken are left out.",
    ),
    click.option("--live", is_flag=True, help="Take events while they come."),
    click.option(
        "--patience",
        type=click.FloatRange(min=0.0),
        metavar="MS",
        help="With --live: where no event comes, take time to pass this long behind the clock. Later "
        "events are left out and counted. 10 for udp://; else time passes with events only.",
    ),
    click.option(
        "--idle",
        type=click.FloatRange(min=0.0),
        metavar="S",
        help="With --live: the input has ended when nothing has come for this many seconds; "
        "never by default.",
    ),
)


def stream_options(command: F) -> F:
    """All of them, and ``--format``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return format_option(command)


def wants_stream(
    model: Path,
    engine: str,
    files: tuple[Path, ...],
    options: dict[str, Any],
    trace: Path | None,
    record: tuple[str, ...] | None,
) -> bool:
    """Whether to simulate in parts: if an option is for that, or the one recording is long.

    Raises click.UsageError where options do not go together.
    """
    if not options["live"]:
        for file in map(str, files):
            if file == "-" or file.startswith("udp:/"):
                raise click.UsageError(f"{file} is a live source: give --live.")
        for name in ("patience", "idle"):
            if options[name] is not None:
                raise click.UsageError(f"--{name} is for --live.")
    given = [name for name, value in options.items() if value not in (None, False) and name != "save_every"]
    if given:
        option = {"t_from": "from", "t_until": "until", "file_format": "format"}.get(given[0], given[0])
        option = "--" + option.replace("_", "-")
        if len(files) != 1:
            raise click.UsageError(f"{option} is for one recording at a time; {len(files)} were given.")
        if record is not None and record != ("spikes",):
            raise click.UsageError(
                f"{option} does not go with --record {','.join(record)}, which needs all at once."
            )
        for name in ("save_state", "resume_from"):
            if trace is not None and options[name] is not None:
                raise click.UsageError(
                    f"--{name.replace('_', '-')} does not go with --trace, which holds whole recordings; "
                    "use --spikes."
                )
        return True
    if len(files) != 1 or (record is not None and record != ("spikes",)):
        return False
    return files[0].is_file() and files[0].stat().st_size >= LARGE_BYTES and _can_stream(model, engine)


def _can_stream(model: Path, engine: str) -> bool:
    """Whether a long recording can go through this model in parts; if not, it is simulated whole."""
    from eventsnn.engines.streaming import choose
    from eventsnn.network import Network

    if engine not in ("auto", "queue", "sweep"):
        return False
    try:
        choose(Network.load(model), engine)
    except SimulationError:
        return False
    return True


def stream_one(
    model: Path,
    files: tuple[Path, ...],
    trace: Path | None,
    options: dict[str, Any],
    common: tuple[tuple[int, ...] | None, str, str, float | None, str],
) -> tuple[dict[str, Any], Interrupted | None]:
    """Simulate one recording in parts: the result, and the word for Ctrl-C if there was one."""
    from eventsnn.cli.streaming import StreamSettings, kept_text, stream_file
    from eventsnn.events.region import Region
    from eventsnn.network import Network

    sensor, engine, dtype, t_stop, on_bad = common
    file = str(files[0])
    if file.startswith("udp:/") and not file.startswith(UDP):
        file = UDP + file[len("udp:/") :]  # a path has lost a slash
    for name in ("spikes", "save_state"):
        if options[name] not in (None, "-") and Path(options[name]).absolute() in {
            path.absolute() for path in (model, *files)
        }:
            raise click.UsageError(
                f"--{name.replace('_', '-')} {options[name]} would overwrite a file to be read."
            )
    until = math.inf if options["t_until"] is None else options["t_until"]
    region = Region(options["crop"], options["downsample"] or 1, options["t_from"] or 0.0, until)
    settings = StreamSettings(
        sensor,
        options["file_format"],
        on_bad,  # type: ignore[arg-type]
        engine,
        dtype,
        t_stop,
        region,
        options["spikes"],
        options["save_state"],
        options["save_every"],
        options["resume_from"],
        options["live"],
        options["patience"],
        options["idle"],
        trace,
    )
    result = stream_file(Network.load(model), file, settings)
    stop = kept_text(result, settings) if result["exit_reason"] == "interrupted" else None
    return result, stop
