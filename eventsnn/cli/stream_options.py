"""Options of ``eventsnn simulate`` for long recordings and live input."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from eventsnn.cli.common import F, file_option

# Larger recordings are simulated in parts even if no option asks for it; the spikes are the same.
LARGE_BYTES = 16 << 20

_OPTIONS = (
    click.option(
        "--spikes",
        metavar="S.csv",
        help="Write spikes as they occur, one per line: time_ms,layer,neuron; - is standard output.",
    ),
    file_option(
        "--save-state",
        "S.npz",
        "Save the state during the run and where the recording ends (or --until, or Ctrl-C); the run "
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
    file_option("--resume-from", "S.npz", "Continue from a saved state; events already used are skipped."),
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


def asks_for_parts(
    files: tuple[Path, ...], options: Mapping[str, Any], trace: Path | None, record: tuple[str, ...] | None
) -> bool:
    """Whether an option is for simulating in parts.

    Raises click.UsageError where options do not go together.
    """
    if not options["live"]:
        for file in files:
            if is_live(file):
                raise click.UsageError(f"{file} is a live source: give --live.")
        for name in ("patience", "idle"):
            if options[name] is not None:
                raise click.UsageError(f"--{name} is for --live.")
    chosen = [name for name, value in options.items() if value not in (None, False) and name != "save_every"]
    if not chosen:
        return False
    option = "--" + chosen[0].replace("_", "-")
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


def is_long(files: tuple[Path, ...], record: tuple[str, ...] | None) -> bool:
    """Whether this is one recording that is better simulated in parts."""
    if len(files) != 1 or (record is not None and record != ("spikes",)):
        return False
    return files[0].is_file() and files[0].stat().st_size >= LARGE_BYTES
