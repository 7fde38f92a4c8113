"""``eventsnn encode``: a folder of sound files becomes one file of spikes."""

from __future__ import annotations

import time
from pathlib import Path

import click

from eventsnn.cli.common import (
    FILE,
    format_size,
    json_option,
    note_skipped,
    report,
)
from eventsnn.cli.output import output_argument, refuse_overwriting
from eventsnn.cli.reading import bad_files_option


@click.command()
@click.argument("folder", type=FILE, metavar="DIR")
@output_argument("SET.esp", "The file to write.")
@click.option(
    "--corpus",
    type=click.Choice(["fsdd", "ti46-digits", "ti46-letters"]),
    default="fsdd",
    show_default=True,
    help="Naming scheme of the files.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "test"], case_sensitive=False),
    help="Part of the corpus' own division; both by default.",
)
@click.option("--speaker", "speakers", multiple=True, metavar="NAME", help="This speaker only; repeatable.")
@click.option("--without", multiple=True, metavar="NAME", help="Leave this speaker out; repeatable.")
@bad_files_option
@json_option
def encode(
    folder: Path,
    out: Path,
    corpus: str,
    split: str | None,
    speakers: tuple[str, ...],
    without: tuple[str, ...],
    bad_files: str,
    as_json: bool,
) -> None:
    """Turn a folder of spoken words (.wav) into spikes.

    Writes one file, which train and evaluate accept in place of a folder of recordings.

    Each sound goes through Lyon's cochlea (78 channels, frames of 10 ms) and Ben's spiker algorithm. Sample
    rates can be 8, 12.5, 16 and 20 kHz; class and speaker come from the file names. Nothing is random: the
    same sounds give the same bits.

    \b
    Example:
      eventsnn encode recordings train.esp --split train
      eventsnn encode recordings test.esp --split test
      eventsnn encode recordings others.esp --without jackson
    """
    from eventsnn.data import Speech
    from eventsnn.data import pack as write_pack
    from eventsnn.train.progress import progress_bar

    start = time.perf_counter()
    source = Speech(
        folder,
        corpus,
        part=split.lower() if split else None,  # type: ignore[arg-type]
        speakers=speakers or None,
        without=without,
        bad_files=bad_files,  # type: ignore[arg-type]
    )
    refuse_overwriting("SET.esp", out, [folder, *source.paths])
    with progress_bar(len(source), "encoding", True) as bar:
        events = write_pack(source, out, progress=bar.update)
    note_skipped(source.skipped)
    n = len(source) - len(source.skipped)
    heard = sorted({utterance.speaker for utterance in source.utterances})
    result = {
        "out": str(out),
        "recordings": n,
        "events": events,
        "classes": list(source.classes),
        "speakers": heard,
        "sensor": list(source.sensor_size),
        "skipped": len(source.skipped),
        "seconds": time.perf_counter() - start,
    }
    report(
        result,
        f"{n} recordings of {', '.join(heard)}; {events:,} events, "
        f"sensor {format_size(source.sensor_size)}: {out}",
        as_json,
    )
