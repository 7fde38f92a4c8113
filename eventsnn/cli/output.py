"""Output of commands: an argument or ``--out``, and never over a file that is read."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from eventsnn.cli.common import FILE

F = TypeVar("F", bound=Callable[..., Any])


def output_argument(metavar: str, text: str) -> Callable[[F], F]:
    """The argument `out` of a command, the file to write; can be given as ``--out`` instead."""

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def run(*, out: Path | None, out_option: Path | None, **arguments: Any) -> Any:
            if (out is None) == (out_option is None):
                both = "both as an argument and as --out" if out is not None else "neither"
                raise click.UsageError(f"Name {metavar} once, as the last argument or as --out; got {both}.")
            return command(out=out or out_option, **arguments)

        click.option("-o", "--out", "out_option", type=FILE, metavar=metavar, help=text)(run)
        click.argument("out", type=FILE, metavar=f"[{metavar}]", required=False)(run)
        return run  # type: ignore[return-value]

    return decorate


def refuse_overwriting(option: str, out: Path | str | None, inputs: Iterable[Path | str]) -> None:
    """Raise click.UsageError if the output is one of the input files, under whatever name.

    Devices and FIFOs are no such files: to read from and write to one terminal is nothing wrong.
    """
    known = _identity(out)
    for path in inputs if known is not None else ():
        if _identity(path) == known:
            raise click.UsageError(f"{option} {out} would overwrite a file that is to be read, {path}.")


def refuse_one_target(outputs: Mapping[str, Path | str | None]) -> None:
    """Raise click.UsageError if two output options name one file."""
    places: dict[str, str] = {}
    for option, out in outputs.items():
        if out is None or _is_special(out):
            continue
        other = places.setdefault(os.path.realpath(out), option)
        if other != option:
            raise click.UsageError(f"{other} and {option} would write one file, {out}.")


def require_set_name(out: Path) -> None:
    """Raise click.UsageError unless a packed set has the name of one; devices may have any name."""
    if out.suffix.lower() != ".esp" and not _is_special(out):
        raise click.UsageError(f"SET.esp {str(out)!r}: a packed set of recordings; name it .esp.")


def require_folder(option: str, out: Path | None) -> None:
    """Raise click.UsageError, before the work, unless the folder of a file written at the end exists."""
    if out is not None and not _is_special(out) and not out.resolve().parent.is_dir():
        raise click.UsageError(f"{option} {out}: there is no folder {out.parent}.")


def require_picture(option: str, out: Path | None) -> None:
    """The same for a picture; TraceError or MissingExtraError if it could not be drawn."""
    require_folder(option, out)
    if out is not None:
        from eventsnn.plots.figure import check_picture

        check_picture(out)


def name_standard_input(source: Path) -> Path:
    """A recording to read; ``-`` is standard input."""
    return Path("/dev/stdin") if str(source) == "-" else source


def is_standard_output(out: Path | str) -> bool:
    """Whether the output is standard output: then nothing else may be printed there."""
    if str(out) == "-":
        return True
    try:
        return os.path.samestat(os.stat(out), os.fstat(1))
    except (OSError, ValueError):
        return False


def _identity(path: Path | str | None) -> tuple[int, int] | str | None:
    """Identity of a file or folder, existing or not; None for standard output and devices."""
    if path is None or str(path) == "-":
        return None
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return os.path.realpath(path)
    kept = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    return (status.st_dev, status.st_ino) if kept else None


def _is_special(path: Path | str) -> bool:
    return str(path) == "-" or _identity(path) is None
