"""``eventsnn pack``: a folder of recordings becomes one file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from eventsnn._util.words import number_of
from eventsnn.cli.common import FILE, format_size, json_option, note_skipped, report
from eventsnn.cli.output import is_standard_output, output_argument, refuse_overwriting, require_set_name
from eventsnn.cli.reading import ReadingCommand
from eventsnn.cli.shards import IN_A_FILE, collect_skipped, count_shard, place_shard, shard_option
from eventsnn.cli.sources import SourceOptions, source_options

if TYPE_CHECKING:
    from eventsnn.data.shard import Shard


@click.command(cls=ReadingCommand)
@click.argument("folder", type=FILE, metavar="DIR")
@output_argument("SET.esp", "The file to write.")
@source_options(
    split="Which part of DIR, where it holds both.",
    sensor="what the files say, else the smallest that holds all,",
    images=False,
)
@shard_option(IN_A_FILE)
@json_option
def pack(folder: Path, out: Path, source: SourceOptions, shard: Shard | None, as_json: bool) -> None:
    """Put a folder of recordings into one file that is read faster.

    train and evaluate accept the file in place of a folder, and give the same bits. It needs 8 bytes per
    event. Ctrl-C leaves no incomplete file.

    \b
    Example:
      eventsnn pack N-MNIST/Train train.esp
      eventsnn pack recordings part.esp --columns "t[s],x,y,p" --crop 40,40,168,168 --downsample 2
      eventsnn pack N-MNIST/Train train.esp --shard 2/8
      eventsnn train datasets/nmnist/dense.toml --train train.esp --out runs/first
    """
    from eventsnn.data import pack as write_pack
    from eventsnn.train.progress import progress_bar

    require_set_name(out)
    start = time.perf_counter()
    recordings, out = source.open(folder), place_shard(out, shard)
    refuse_overwriting("SET.esp", out, [folder, *recordings.paths])
    n = count_shard(len(recordings), shard)
    with progress_bar(n, "packing", True) as bar:
        events = write_pack(recordings, out, shard=shard, progress=bar.update)
    skipped = collect_skipped(recordings.skipped)
    note_skipped(skipped)
    n, size = n - len(skipped), out.stat().st_size
    result = {
        "out": str(out),
        "recordings": n,
        "events": events,
        "bytes": size,
        "sensor": list(recordings.sensor_size),
        "skipped": len(skipped),
        "seconds": time.perf_counter() - start,
    }
    sensor_text = format_size(recordings.sensor_size)
    report(
        result,
        f"{number_of(n, 'recording')}, {number_of(events, 'event')}, sensor {sensor_text}: {out}, "
        f"{size / 1e6:,.1f} MB",
        as_json,
        err=is_standard_output(out),
    )
