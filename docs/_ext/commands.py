"""The reference of the command line, from the program's own options: a block ``{commands}`` in a page.

The options for reading recordings, which many commands share, are listed once, by ``{reading-options}``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import click

from eventsnn.cli.app import COMMANDS, commands
from eventsnn.cli.reading import ReadingOption

_EXAMPLE = re.compile(r"^(?:Example|Start with):\n((?:  .*\n?)+)", re.MULTILINE)


def expand(app: Any, page: str, source: list[str]) -> None:
    """Put the text in the place of the blocks."""
    source[0] = re.sub(r"^```\{commands\}\n```$", lambda match: all_commands(), source[0], flags=re.MULTILINE)
    source[0] = re.sub(
        r"^```\{reading-options\}\n```$", lambda match: reading_options(), source[0], flags=re.MULTILINE
    )


def all_commands() -> str:
    """A section for each command."""
    context = click.Context(commands, info_name="eventsnn")
    return "\n".join(line for name in COMMANDS for line in _section(context, name))


def reading_options() -> str:
    """A table of the options for reading recordings, as `convert` has them."""
    command = commands.get_command(click.Context(commands), "convert")
    assert command is not None
    return "\n".join(_table([one for one in command.params if isinstance(one, ReadingOption)]))


def _section(parent: click.Context, name: str) -> Iterator[str]:
    command = commands.get_command(parent, name)
    assert command is not None
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(command.collect_usage_pieces(context))
    text = inspect.cleandoc(re.sub(r" *\x08\n", "", command.help or ""))
    yield from (f"## eventsnn {name}", "", "```text", f"eventsnn {name} {usage}", "```", "")
    yield _EXAMPLE.sub(lambda match: f"```text\n{_dedent(match[1])}\n```\n", text)
    options = [one for one in command.params if isinstance(one, click.Option)]
    yield ""
    yield from _table([one for one in options if not isinstance(one, ReadingOption)])
    if any(isinstance(one, ReadingOption) for one in options):
        yield from ("", "The [options for reading recordings](#reading-recordings), too.")
    yield ""


def _dedent(text: str) -> str:
    return re.sub(r"^ +", "", text, flags=re.MULTILINE).rstrip()


def _table(options: list[Any]) -> Iterator[str]:
    yield from ("| option | |", "|---|---|")
    context = click.Context(commands)
    for option in options:
        record = option.get_help_record(context)
        if record is not None:
            names, text = (re.sub(r"\s+", " ", part).replace("|", "\\|") for part in record)
            yield f"| `{names}` | {text.replace('*', chr(92) + '*').replace('<', '&lt;')} |"


def setup(app: Any) -> dict[str, Any]:
    """Expand the blocks when pages are read."""
    app.connect("source-read", expand)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
