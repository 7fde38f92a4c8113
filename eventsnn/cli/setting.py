"""Settings of what a command takes by name, such as an encoder or a data source."""

from __future__ import annotations

import tomllib
from typing import Any

import click


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


def settings_option(text: str, example: str) -> Any:
    """``--set``, repeatable; the command gets tuples of name and value as `settings`."""
    kind = Setting("setting", example)
    return click.option("--set", "settings", type=kind, multiple=True, help=f"{text}; repeatable.")
