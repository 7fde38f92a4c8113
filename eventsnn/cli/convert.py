"""``eventsnn convert``: a recording from one file format to another."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from eventsnn._util.words import number_of
from eventsnn.cli.common import FILE, format_size, json_option, report
from eventsnn.cli.output import (
    is_standard_output,
    name_standard_input,
    output_argument,
    refuse_overwriting,
)
from eventsnn.cli.reading import ReadingCommand, note_nothing_kept, reading_options


@click.command(cls=ReadingCommand)
@click.argument("source", type=FILE, metavar="IN")
@output_argument("OUT", "The file to write.")
@click.option("--to", "to_format", metavar="FORMAT", help="Format of OUT; by default that of its suffix.")
@click.option(
    "--from-zero", is_flag=True, help="Subtract the time of the first event, so that OUT begins at 0."
)
@reading_options(sensor="what IN says, else what is usual for its format, else the smallest")
@json_option
def convert(
    source: Path,
    out: Path,
    to_format: str | None,
    from_zero: bool,
    reading: dict[str, Any],
    as_json: bool,
) -> None:
    """Write a recording, or a part of it, in another format.

    docs/formats.md lists the formats. Memory does not grow with the recording, except for .npz and
    --on-bad sort. OUT appears complete or not at all; - stands for standard input or output.

    \b
    Example:
      eventsnn convert camera.raw camera.es
      eventsnn convert camera.raw part.h5 --from 1000 --until 2000 --crop 300,200,368,268
      eventsnn convert camera.aedat4 camera.dat --from-zero
      eventsnn convert events.txt events.raw --columns "t[s],x,y,p" --sensor 240x180x2 --to evt3
    """
    from eventsnn.events import ReadingOptions, open_events, write_parts
    from eventsnn.events.files import from_zero as begin_at_zero
    from eventsnn.events.formats import find_writer

    start = time.perf_counter()
    source = name_standard_input(source)
    out = Path("/dev/stdout") if str(out) == "-" else out
    find_writer(out, to_format, (1, 1, 2))  # what cannot be written is refused before anything is read
    refuse_overwriting("OUT", out, [source])
    with open_events(source, **reading) as recording:
        parts = begin_at_zero(recording) if from_zero else recording
        n = write_parts(out, parts, recording.sensor_size, format=to_format)
    result = {
        "in": str(source),
        "from": recording.format,
        "out": str(out),
        "events": n,
        "sensor": list(recording.sensor_size),
        "bytes": out.stat().st_size,
        "anomalies": vars(recording.anomalies),
        "seconds": time.perf_counter() - start,
    }
    note_nothing_kept(n, ReadingOptions(**reading))
    size = format_size(recording.sensor_size)
    text = (
        f"{number_of(n, 'event')}, sensor {size}, from {recording.format}: {out}, {result['bytes']:,} bytes"
    )
    report(result, text, as_json, err=is_standard_output(out))
