"""Where commands write: an argument or ``--out``, and never over what they read."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from eventsnn.cli.common import FILE

F = TypeVar("F", bound=Callable[..., Any])


def output_argument(metavar: str, text: str) -> Callable[[F], F]:
    """The argument `out` of a command, which names what it writes and may be given as ``--out`` instead."""

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
    """Raise click.UsageError if what is to be written is a file that is to be read, under whatever name.

    Devices and FIFOs are no such files: reading and writing one terminal is nothing wrong.
    """
    if out is None or str(out) == "-":
        return
    for path in inputs:
        if is_same_file(out, path):
            raise click.UsageError(f"{option} {out} would overwrite a file that is to be read, {path}.")


def is_same_file(a: Path | str, b: Path | str) -> bool:
    """Whether two paths name one regular file or folder (by links, or not there yet, by the same path)."""
    try:
        return os.path.samefile(a, b) and (os.path.isfile(a) or os.path.isdir(a))
    except OSError:  # one of them does not exist
        return os.path.realpath(a) == os.path.realpath(b)
