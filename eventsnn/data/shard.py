"""A shard of the recordings of a data set, for work that is divided over machines: part 2 of 8."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from eventsnn._util.ranks import Ranks
from eventsnn._util.words import number_of
from eventsnn.errors import TrainingError

T = TypeVar("T")

_SPELLED = re.compile(r"(\d{1,6})/(\d{1,6})")
_NAMED = re.compile(r"(?P<before>.+)\.(?P<number>\d+)-of-(?P<of>\d+)(?P<after>(\.[^.]*)?)")
SLURM = "slurm"


@dataclass(frozen=True)
class Shard:
    """One of `of` shards of a list, each a run of neighbours: the shards one after the other are the list.

    Attributes
    ----------
    number : int
        From 1.
    of : int

    Raises
    ------
    TrainingError
        `number` is not between 1 and `of`.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise TrainingError(f"there is no shard {self}: shard I of N is written I/N, with I from 1 to N")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] = os.environ) -> Shard:
        """The shard that a text names: ``2/8``, or ``slurm`` for the task of a job array of SLURM.

        Tasks of an array count from any number in any steps; shard k is that of the k-th task. Raises
        TrainingError for another text, or outside a job array.
        """
        if text.strip().lower() == SLURM:
            return cls._of_slurm(environment)
        if (spelled := _SPELLED.fullmatch(text.strip())) is None:
            raise TrainingError(f"a shard is written number/of, such as 2/8, or {SLURM}: got {text!r}")
        return cls(int(spelled[1]), int(spelled[2]))

    @classmethod
    def _of_slurm(cls, environment: Mapping[str, str]) -> Shard:
        names = [f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "STEP", "COUNT")]
        defaults = {names[1]: "0", names[2]: "1"}
        values = [environment.get(name, defaults.get(name, "")) for name in names]
        missing = [name for name, value in zip(names, values, strict=True) if not value.isdecimal()]
        if missing:
            raise TrainingError(
                f"shard {SLURM}: {missing[0]} is not set; submit the job with sbatch --array=1-8, "
                "or write the shard, such as 2/8"
            )
        task, least, step, count = map(int, values)
        return cls((task - least) // max(step, 1) + 1, count)

    @classmethod
    def of_rank(cls, ranks: Ranks) -> Shard:
        """The shard of one of several processes that a launcher has started."""
        return cls(ranks.rank + 1, ranks.size)

    def part(self, n: int) -> range:
        """Numbers of this shard among `n` recordings; shards differ by one recording at most.

        Raises TrainingError if the shard holds none.
        """
        part = range(n * (self.number - 1) // self.of, n * self.number // self.of)
        if not part:
            raise TrainingError(
                f"shard {self} of {number_of(n, 'recording')} holds none: make fewer shards, or start fewer "
                "processes"
            )
        return part

    def place(self, path: Path) -> Path:
        """Where this shard of a file goes: ``spikes.csv`` becomes ``spikes.2-of-8.csv``."""
        return path.with_name(f"{path.stem}.{self.number}-of-{self.of}{path.suffix}")


def write_together(
    ranks: Ranks, out: Path, write: Callable[[Shard, Path], object], join: Callable[[list[Path], Path], T]
) -> T:
    """Write a file by several processes: each its shard, beside `out`, of which the first makes one file.

    Returns
    -------
    what `join` returns, on all of them
    """
    shard = Shard.of_rank(ranks)
    own = shard.place(out)
    try:
        write(shard, own)
        parts = ranks.collect(own)
        return ranks.of_first(lambda: join(parts, out))
    finally:
        own.unlink(missing_ok=True)


def order_parts(paths: list[Path]) -> list[Path]:
    """Files of shards in the order of their numbers; in the order given where the names tell none.

    Raises
    ------
    TrainingError
        Shards are missing, occur twice, or are those of different files.
    """
    found = [_NAMED.fullmatch(path.name) for path in paths]
    if not any(found):
        return paths
    kinds = {None if part is None else (part["before"], part["after"], int(part["of"])) for part in found}
    if len(kinds) > 1 or None in kinds:
        raise TrainingError("the files are not the shards of one: " + ", ".join(path.name for path in paths))
    ((before, after, of),) = kinds  # type: ignore[misc]
    numbered: dict[int, Path] = {}
    for part, path in zip(found, paths, strict=True):
        assert part is not None
        number = int(part["number"])
        if number in numbered:
            raise TrainingError(f"shard {number}/{of} was given twice: {numbered[number]} and {path}")
        numbered[number] = path
    missing = [f"{before}.{number}-of-{of}{after}" for number in range(1, of + 1) if number not in numbered]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise TrainingError(f"shards are missing: {', '.join(missing[:3])}{more}")
    return [numbered[number] for number in sorted(numbered)]
