"""``eventsnn convert``: a recording from one file format to another."""

from __future__ import annotations

import time
from pathlib import Path

import click

from eventsnn.cli.common import (
    FILE,
    bad_events_option,
    columns_option,
    format_size,
    json_option,
    report,
    sample_option,
    sensor_option,
)


@click.command()
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@click.option("--from", "from_format", metavar="FORMAT", help="Format of IN, where the file does not say.")
@click.option("--to", "to_format", metavar="FORMAT", help="Format of OUT; by default what its ending says.")
@sensor_option("what is usual for the format")
@bad_events_option
@columns_option
@sample_option
@json_option
def convert(
    source: Path,
    target: Path,
    from_format: str | None,
    to_format: str | None,
    sensor: tuple[int, ...] | None,
    on_bad: str,
    columns: str | None,
    sample: int | None,
    as_json: bool,
) -> None:
    """Write the recording IN as OUT, in another file format.

    docs/formats.md lists the formats. Memory does not grow with the recording (but for .npz). OUT appears
    complete or not at all.

    \b
    Example:
      eventsnn convert camera.raw camera.es
      eventsnn convert camera.raw camera.h5
      eventsnn convert events.txt events.raw --columns "t[s],x,y,p" --sensor 240x180x2 --to evt3
    """
    from eventsnn.events import open_events, write_parts
    from eventsnn.events.formats import find_encoder

    start = time.perf_counter()
    find_encoder(target, to_format, (1, 1, 2))  # what cannot be written is refused before anything is read
    with open_events(
        source,
        sensor=sensor,
        format=from_format,
        on_bad=on_bad,  # type: ignore[arg-type]
        columns=columns,
        sample=sample,
    ) as recording:
        n = write_parts(target, recording, recording.sensor_size, format=to_format)
    result = {
        "in": str(source),
        "from": recording.format,
        "out": str(target),
        "events": n,
        "sensor": list(recording.sensor_size),
        "bytes": target.stat().st_size,
        "anomalies": vars(recording.anomalies),
        "seconds": time.perf_counter() - start,
    }
    size = format_size(recording.sensor_size)
    report(
        result,
        f"{n:,} events, sensor {size}, from {recording.format}: {target}, {target.stat().st_size:,} bytes",
        as_json,
    )
