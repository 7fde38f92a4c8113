"""``eventsnn pack``: a folder of recordings becomes one file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from eventsnn.cli.common import (
    FILE,
    format_size,
    json_option,
    label_from_option,
    note_skipped,
    open_source,
    report,
    split_option,
)
from eventsnn.cli.output import is_standard_output, output_argument, refuse_overwriting
from eventsnn.cli.reading import ReadingCommand, reading_options


@click.command(cls=ReadingCommand)
@click.argument("folder", type=FILE, metavar="DIR")
@output_argument("SET.esp", "The file to write.")
@split_option("Which part of DIR, where it holds both.")
@label_from_option
@reading_options(sensor="what the files say, else the smallest that holds all,", on_cut="error", files=True)
@json_option
def pack(
    folder: Path,
    out: Path,
    split: str | None,
    label_from: str | None,
    reading: dict[str, Any],
    bad_files: str,
    as_json: bool,
) -> None:
    """Put a folder of recordings into one file that is read faster.

    train and evaluate accept the file in place of a folder, and give the same bits. It needs 8 bytes per
    event. Ctrl-C leaves no incomplete file.

    \b
    Example:
      eventsnn pack N-MNIST/Train train.esp
      eventsnn pack recordings part.esp --columns "t[s],x,y,p" --crop 40,40,168,168 --downsample 2
      eventsnn train datasets/nmnist/dense.toml --train train.esp --out runs/first
    """
    from eventsnn.data import pack as write_pack
    from eventsnn.train.progress import progress_bar

    start = time.perf_counter()
    source = open_source(folder, split=split, label_from=label_from, reading=reading, bad_files=bad_files)
    refuse_overwriting("SET.esp", out, [folder, *source.paths])
    with progress_bar(len(source), "packing", True) as bar:
        events = write_pack(source, out, progress=bar.update)
    note_skipped(source.skipped)
    n, size = len(source) - len(source.skipped), out.stat().st_size
    result = {
        "out": str(out),
        "recordings": n,
        "events": events,
        "bytes": size,
        "sensor": list(source.sensor_size),
        "skipped": len(source.skipped),
        "seconds": time.perf_counter() - start,
    }
    sensor_text = format_size(source.sensor_size)
    report(
        result,
        f"{n} recordings, {events:,} events, sensor {sensor_text}: {out}, {size / 1e6:,.1f} MB",
        as_json,
        err=is_standard_output(out),
    )
