"""Options that name encoders and data sources, with their settings."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Setting(click.ParamType):
    """``elastic=13.4``: a name and a number, true, false, or another text.

    Whether there is such a setting is for what it is given to to say.
    """

    name = "NAME=VALUE"

    def __init__(self, what: str, example: str, numbers: bool = False) -> None:
        self.what, self.example, self.numbers = what, example, numbers

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        name, separator, text = str(value).partition("=")
        parsed = _parse(text.strip())
        number = isinstance(parsed, int | float) and not isinstance(parsed, bool)
        if not name.strip() or not separator or (self.numbers and not number):
            kind = "a number" if self.numbers else "a value"
            self.fail(
                f"{value!r} is not a valid {self.what}; write a name and {kind}, such as {self.example}",
                param,
                ctx,
            )
        return name.strip(), parsed


def _parse(text: str) -> Any:
    """A value as in an experiment file, or else a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def source_options(command: F) -> F:
    """``--source`` and ``--set``."""
    option = click.option(
        "--set",
        "settings",
        type=Setting("setting", "limit=100"),
        multiple=True,
        help="A setting of --source; repeatable.",
    )
    text = (
        "Open the data with this source: folder, nmnist, packed, images, speech, or one of another package. "
        "By default the data show what they are."
    )
    return click.option("--source", metavar="NAME", help=text)(option(command))


def open_named(name: str | None, settings: tuple[tuple[str, Any], ...], root: Path, **values: Any) -> Any:
    """A data set by the name of its source; None without a name.

    Parameters
    ----------
    name : str or None
    settings : tuple of (str, value)
        What ``--set`` gave.
    root : path
    **given
        Values of further options: those that the source takes are passed on. Others are refused, unless they
        are None, empty, or of an option that need not be given (`bad_files`, `coder`, `seed`).

    Raises
    ------
    click.UsageError
        ``--set`` without a source, or an option that the source does not take.
    """
    from eventsnn._util.arguments import find_parameters
    from eventsnn.data.named import SOURCES, open_source
    from eventsnn.events import ReadingOptions

    if name is None:
        if settings:
            raise click.UsageError("--set is for a source: name it with --source.")
        return None
    known, _ = find_parameters(SOURCES.get(name), skip=1)
    reading: Mapping[str, Any] = values.pop("reading", {})
    options: dict[str, Any] = {}
    for option, value in {**values, "reading": ReadingOptions(**reading) if reading else None}.items():
        if option in known and value is not None:
            options[option] = value
        elif value is not None and option not in ("bad_files", "coder", "seed"):
            what = "options for reading recordings are" if option == "reading" else f"--{option} is"
            raise click.UsageError(f"{what.replace('_', '-')} not for source {name!r}.")
    return open_source(name, root, **{**options, **dict(settings)})
