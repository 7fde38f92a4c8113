"""``eventsnn fetch``: a public data set, downloaded through tonic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from eventsnn._util.words import number_of
from eventsnn.cli.common import FILE, Interrupted, format_fields, format_size, json_option, note, report
from eventsnn.errors import FetchError


@click.command()
@click.argument("name", required=False)
@click.option(
    "--to", type=FILE, default="data", show_default=True, metavar="DIR", help="Folder for data sets."
)
@json_option
def fetch(name: str | None, to: Path, as_json: bool) -> None:
    """Download a public data set; without NAME, list them.

    tonic downloads the set. DIR/NAME gets one file per part, such as train.esp, for train and evaluate. After
    an interruption, the same command continues. If the download fails, the command says what to do by hand.

    \b
    Example:
      eventsnn fetch
      eventsnn fetch NMNIST --to data
      eventsnn train datasets/nmnist/dense.toml --train data/NMNIST/train.esp --out runs/nmnist
    """
    from eventsnn.data.fetch import PUBLIC_SETS, find_set, training_command
    from eventsnn.data.fetch import fetch as fetch_set

    if name is None:
        about = {known.name: known.about for known in PUBLIC_SETS.values()}
        text = f"data sets that tonic downloads (eventsnn fetch NAME):\n{format_fields(list(about.items()))}"
        report({"names": about}, text, as_json)
        return
    start, folder = time.perf_counter(), to / find_set(name).name
    try:
        got = fetch_set(name, to, progress=_show)
    except KeyboardInterrupt:
        raise Interrupted(f"complete parts are kept in {folder}; the same command continues") from None
    except FetchError as error:
        for step in error.steps:
            note(step)
        raise
    command = training_command(got.name, folder)
    lines = [f"{got.name}: sensor {format_size(got.sensor)}, {number_of(got.classes, 'class')}"]
    lines += [f"  {part:<6} {got.recordings[part]:>7,} recordings  {got.files[part]}" for part in got.files]
    lines += [f"tonic's own files, no longer needed: {folder / 'download'}", f"next: {command}"]
    seconds = time.perf_counter() - start
    report({**vars(got), "next": command, "seconds": seconds}, "\n".join(lines), as_json)


@contextmanager
def _show(what: str, n: int) -> Iterator[Callable[[int], object]]:
    """A progress bar over recordings."""
    from eventsnn.train.progress import progress_bar

    with progress_bar(n, what, True) as bar:
        yield bar.update
