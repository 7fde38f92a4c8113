"""``--shard``: one of several processes or machines that divide the recordings among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from eventsnn.cli.output import is_standard_output
from eventsnn.data.shard import Shard
from eventsnn.errors import TrainingError

F = TypeVar("F", bound=Callable[..., Any])

IN_A_FILE = "The file is named after it, such as x.2-of-8.esp; join makes one of all."


class ShardType(click.ParamType):
    """``2/8`` or ``slurm``."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        if isinstance(value, Shard):
            return value
        try:
            return Shard.parse(str(value))
        except TrainingError as error:
            self.fail(str(error), param, ctx)


def shard_option(text: str) -> Callable[[F], F]:
    """``--shard``; `text` says where the results go."""
    what = "Only shard I of N of the recordings, such as 2/8; slurm: that of a task of a job array."
    return click.option("--shard", type=ShardType(), help=f"{what} {text}")


def place_shard(out: Path, shard: Shard | None) -> Path:
    """Name of the file that a command writes: that of its shard, if there is one."""
    return out if shard is None or is_standard_output(out) else shard.place(out)


def count_shard(n: int, shard: Shard | None) -> int:
    """How many of `n` recordings a command works on."""
    return n if shard is None else len(shard.part(n))
