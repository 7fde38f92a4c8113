"""``eventsnn pack``: a folder of recordings becomes one file."""

from __future__ import annotations

import time
from pathlib import Path

import click

from eventsnn.cli.common import (
    FILE,
    format_size,
    json_option,
    note_skipped,
    on_bad_option,
    open_source,
    report,
    sensor_option,
    split_option,
)


@click.command()
@click.argument("folder", type=FILE, metavar="DIR")
@click.option("--out", type=FILE, required=True, metavar="SET.esp", help="File to write.")
@split_option("Which part of DIR, where it holds both.")
@sensor_option("34x34x2")
@on_bad_option
@json_option
def pack(
    folder: Path, out: Path, split: str | None, sensor: tuple[int, ...] | None, on_bad: str, as_json: bool
) -> None:
    """Put a folder of recordings into one file that is read faster.

    train and evaluate take the file wherever they take a folder, to the same bits. It takes 8 bytes
    an event. Ctrl-C leaves nothing half-written.

    \b
    Example:
      eventsnn pack N-MNIST/Train --out train.esp
      eventsnn train datasets/nmnist/dense.toml --train train.esp --out runs/first
    """
    from eventsnn.data import pack as write_pack
    from eventsnn.train.progress import progress_bar

    start = time.perf_counter()
    source = open_source(folder, split=split, sensor=sensor or (34, 34, 2), on_bad=on_bad)
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
    )
