"""``eventsnn encode``: sounds or images become one file of spikes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn._util.words import number_of
from eventsnn.cli.common import FILE, format_size, json_option, note_skipped, report, seed_option
from eventsnn.cli.output import output_argument, refuse_overwriting, require_set_name
from eventsnn.cli.reading import bad_files_option
from eventsnn.cli.setting import settings_option
from eventsnn.cli.shards import IN_A_FILE, collect_skipped, count_shard, place_shard, shard_option
from eventsnn.cli.sources import SourceOptions, limit_option, split_option

if TYPE_CHECKING:
    from eventsnn.data.shard import Shard


@click.command()
@click.argument("folder", type=FILE, metavar="DIR")
@output_argument("SET.esp", "The file to write.")
@click.option(
    "--encoder",
    metavar="NAME",
    help="For sounds: speech (the default). For images: bernoulli (the default), poisson or latency. Or one "
    "of another package.",
)
@settings_option("A setting of the encoder", "rate_hz=100")
@seed_option(1, "Seed of encoders that draw.")
@limit_option
@click.option(
    "--corpus",
    type=click.Choice(["fsdd", "ti46-digits", "ti46-letters"]),
    help="Sounds only: naming scheme of the files; fsdd by default.",
)
@split_option("Part of the corpus' own division, both by default; for images, train by default.")
@click.option("--speaker", "speakers", multiple=True, metavar="NAME", help="This speaker only; repeatable.")
@click.option("--without", multiple=True, metavar="NAME", help="Leave this speaker out; repeatable.")
@bad_files_option
@shard_option(IN_A_FILE)
@json_option
def encode(
    folder: Path,
    out: Path,
    encoder: str | None,
    settings: tuple[tuple[str, Any], ...],
    seed: int,
    limit: int | None,
    corpus: str | None,
    split: str | None,
    speakers: tuple[str, ...],
    without: tuple[str, ...],
    bad_files: str,
    shard: Shard | None,
    as_json: bool,
) -> None:
    """Turn a folder of sounds or images into spikes.

    Sounds are spoken words (.wav), images are IDX files (MNIST). Writes one file, which train and evaluate
    accept in place of a folder of recordings.

    Each sound goes through Lyon's cochlea (78 channels, frames of 10 ms) and Ben's spiker algorithm. Sample
    rates can be 8, 12.5, 16 and 20 kHz; class and speaker come from the file names. Nothing is random: the
    same sounds give the same bits. For unknown speakers --set trim_db, level_db, frames, sections and pool
    normalise silence, loudness and tempo. The spikes of images are drawn once, here; train and evaluate draw
    them again if they are given the images themselves.

    \b
    Example:
      eventsnn encode recordings train.esp --split train
      eventsnn encode recordings others.esp --without jackson --set level_db=-40 --set trim_db=30
      eventsnn encode mnist digits.esp --encoder latency --set last_ms=50 --limit 1000
    """
    from eventsnn.data import pack as write_pack
    from eventsnn.encode.encoders import make_encoder
    from eventsnn.train.progress import progress_bar

    require_set_name(out)
    start = time.perf_counter()
    options = dict(settings)
    coder = make_encoder(encoder or "bernoulli", "values", options) if _holds_images(folder) else None
    images = SourceOptions(None, (), split, None, limit, {}, bad_files)
    source = images.open_images(folder, otherwise="train", coder=coder, seed=seed)
    if source is None:
        source = _open_sounds(
            folder, encoder or "speech", options, corpus, split, speakers, without, bad_files
        )
    elif corpus or speakers or without:
        raise click.UsageError(f"--corpus, --speaker and --without are for sounds; {folder} holds images.")
    out = place_shard(out, shard)
    refuse_overwriting("SET.esp", out, [folder, *source.paths])
    n = count_shard(len(source), shard)
    with progress_bar(n, "encoding", True) as bar:
        events = write_pack(source, out, shard=shard, progress=bar.update)
    skipped = collect_skipped(source.skipped)
    note_skipped(skipped)
    n -= len(skipped)
    heard = sorted({utterance.speaker for utterance in getattr(source, "utterances", ())})
    result = {
        "out": str(out),
        "recordings": n,
        "events": events,
        "classes": list(source.classes),
        "speakers": heard,
        "sensor": list(source.sensor_size),
        "skipped": len(skipped),
        "seconds": time.perf_counter() - start,
    }
    what = f"{number_of(n, 'recording')} of {', '.join(heard)}" if heard else f"{number_of(n, 'image')}"
    text = f"{what}; {number_of(events, 'event')}, sensor {format_size(source.sensor_size)}: {out}"
    report(result, text, as_json)


def _holds_images(folder: Path) -> bool:
    from eventsnn.data.images import is_idx

    return is_idx(folder)


def _open_sounds(
    folder: Path,
    encoder: str,
    options: dict[str, Any],
    corpus: str | None,
    split: str | None,
    speakers: tuple[str, ...],
    without: tuple[str, ...],
    bad_files: str,
) -> Any:
    """The sounds of a folder as a data set."""
    from eventsnn.data import Speech
    from eventsnn.encode.encoders import find_encoder, make_encoder

    find_encoder(encoder, "sound")
    return Speech(
        folder,
        corpus or "fsdd",
        part=split.lower() if split else None,  # type: ignore[arg-type]
        speakers=speakers or None,
        without=without,
        encoder=lambda rate: make_encoder(encoder, "sound", options, rate),
        bad_files=bad_files,  # type: ignore[arg-type]
    )
