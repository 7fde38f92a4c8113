"""``--shard``: one of several processes or machines that divide the recordings among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from eventsnn._util.ranks import OFF, find_ranks, launched
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
        if launched()[1] > 1:
            self.fail(
                "processes that a launcher has started divide the recordings among them: leave --shard out, "
                f"or set {OFF}=0 for processes that know nothing of each other",
                param,
                ctx,
            )
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


def collect_skipped(skipped: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """What was left out of a set, by whichever of the processes of a run."""
    return (
        sorted(set().union(*find_ranks().collect(list(skipped)))) if find_ranks().size > 1 else list(skipped)
    )


def count_shard(n: int, shard: Shard | None) -> int:
    """How many of `n` recordings a command works on."""
    return n if shard is None else len(shard.part(n))
