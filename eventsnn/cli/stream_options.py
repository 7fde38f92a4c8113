"""Options of ``eventsnn simulate`` for long recordings and live input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from eventsnn.cli.common import FILE, Interrupted
from eventsnn.errors import SimulationError

if TYPE_CHECKING:
    from eventsnn.cli.simulate import Settings
    from eventsnn.model import Network

F = TypeVar("F", bound=Callable[..., Any])

# Larger recordings are simulated in parts even if no option asks for it; the spikes are the same.
LARGE_BYTES = 16 << 20
UDP = "udp://"


_OPTIONS = (
    click.option(
        "--spikes",
        metavar="S.csv",
        help="Write spikes as they occur, one per line: time_ms,layer,neuron; - is standard output.",
    ),
    click.option(
        "--save-state",
        type=FILE,
        metavar="S.npz",
        help="Save the state during the run and where the recording ends (or --until, or Ctrl-C); the run "
        "does not continue until the network is quiet.",
    ),
    click.option(
        "--save-every",
        type=click.FloatRange(min=0.0),
        default=30.0,
        show_default=True,
        metavar="S",
        help="Seconds between two saved states during the run.",
    ),
    click.option(
        "--resume-from",
        type=FILE,
        metavar="S.npz",
        help="Continue from a saved state; events already used are skipped.",
    ),
    click.option("--live", is_flag=True, help="Process events as they arrive."),
    click.option(
        "--patience",
        type=click.FloatRange(min=0.0),
        metavar="MS",
        help="With --live: if no event comes, time follows the clock at this distance. Later events are left "
        "out and counted. 10 for udp://; otherwise time advances with events only.",
    ),
    click.option(
        "--idle",
        type=click.FloatRange(min=0.0),
        metavar="S",
        help="With --live: the input ends when nothing has come for this many seconds; never by default.",
    ),
)


def stream_options(command: F) -> F:
    """All of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_live(reading: Mapping[str, Any]) -> None:
    """Raise click.UsageError for reading options that live input cannot have."""
    for name in ("stream", "sample"):
        if name in reading:
            raise click.UsageError(f"--{name} is for files; --live takes what comes.")
    if reading.get("on_bad") == "sort":
        raise click.UsageError("--on-bad sort needs the whole recording; with --live: error, skip, clamp.")


def is_live(file: Path) -> bool:
    """Whether a name means standard input or a port instead of a file."""
    return str(file) == "-" or str(file).startswith("udp:/")


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
        for file in files:
            if is_live(file):
                raise click.UsageError(f"{file} is a live source: give --live.")
        for name in ("patience", "idle"):
            if options[name] is not None:
                raise click.UsageError(f"--{name} is for --live.")
    set_options = [
        name for name, value in options.items() if value not in (None, False) and name != "save_every"
    ]
    if set_options:
        option = "--" + set_options[0].replace("_", "-")
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
    from eventsnn.model import Network
    from eventsnn.simulate.engines import Settings, choose

    try:
        choose(Network.load(model), engine, Settings(in_parts=True))
    except SimulationError:
        return False
    return True


def stream_one(
    network: Network,
    files: tuple[Path, ...],
    trace: Path | None,
    options: dict[str, Any],
    common: Settings,
) -> tuple[dict[str, Any], Interrupted | None]:
    """Simulate one recording in parts: the result, and the word for Ctrl-C if there was one."""
    from eventsnn.cli.streaming import StreamSettings, kept_text, stream_file

    file = str(files[0])
    if file.startswith("udp:/") and not file.startswith(UDP):
        file = UDP + file[len("udp:/") :]  # a path has lost a slash
    settings = StreamSettings(
        common.reading,
        common.engine,
        common.step_ms,
        common.dtype,
        common.t_stop,
        options["spikes"],
        options["save_state"],
        options["save_every"],
        options["resume_from"],
        options["live"],
        options["patience"],
        options["idle"],
        trace,
        common.origin_us,
    )
    result = stream_file(network, file, settings)
    stop = kept_text(result, settings) if result["exit_reason"] == "interrupted" else None
    return result, stop
