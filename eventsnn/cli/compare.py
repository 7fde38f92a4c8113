"""``eventsnn compare``: two traces or two models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from eventsnn.cli.common import (
    FILE,
    dtype_option,
    engine_option,
    file_option,
    json_option,
    note_skipped,
    per_class_option,
    report,
    seed_option,
    step_option,
    t_stop_option,
    top_option,
    within_option,
)
from eventsnn.cli.reading import ReadingCommand, refuse, saved_reading
from eventsnn.cli.sources import SourceOptions, source_options


@click.command(cls=ReadingCommand)
@click.argument("a", type=FILE, metavar="A.h5")
@click.argument("b", type=FILE, metavar="B.h5")
@within_option
@click.option(
    "--tau",
    "tau_ms",
    type=float,
    default=5.0,
    show_default=True,
    metavar="MS",
    help="Time constant of the distance of van Rossum.",
)
@top_option("How many of the differing decisions to print.")
@file_option(
    "--data",
    "DIR",
    "Of two models: the recordings to run them on, a folder of <label>/<recordings>, a file made by pack, or "
    "IDX images.",
)
@source_options(
    split="Part of DIR, if it holds both; for images, the test images by default.", sensor="the model's input"
)
@per_class_option
@seed_option(1, "Seed of the coding of images, and of --per-class.")
@engine_option("Of two models: as for simulate.")
@dtype_option(None, " float64 by default, float32 on the clock.")
@step_option("the model's, or 1,")
@t_stop_option("Of two models: end of the simulation of each recording.")
@json_option
def compare(
    a: Path,
    b: Path,
    within_ms: float,
    tau_ms: float,
    top: int,
    data: Path | None,
    source: SourceOptions,
    as_json: bool,
    **running: Any,
) -> None:
    """Compare two traces, or two models on recordings, spike by spike.

    Shown are the first spike that differs, how many spikes of each layer are equal, moved, or in one of the
    two alone, distances of the spike trains, and the recordings on which the decisions differ. Recordings go
    together by their source, layers by their name. Two networks may differ: what cannot be compared is said.

    \b
    Example:
      eventsnn simulate run/model.h5 Test/3/*.bin --trace a.h5
      eventsnn simulate run/model.h5 Test/3/*.bin --trace b.h5 --dtype float32
      eventsnn compare a.h5 b.h5
      eventsnn compare first/model.h5 second/model.h5 --data recordings/Test
    """
    from eventsnn.simulate.comparison_text import format_comparison
    from eventsnn.train.compare import compare as compare_files

    if data is None:
        refuse_running(source, running)
        if is_model(a) and is_model(b):
            raise click.UsageError("Two models are compared on recordings: give --data.")
        found = compare_files(a, b, within_ms=within_ms, tau_ms=tau_ms, progress=True)
    else:
        sets = open_sets((a, b), data, source, running["seed"])
        found = compare_files(a, b, data=sets, within_ms=within_ms, tau_ms=tau_ms, progress=True, **running)
        note_skipped(sets[0].skipped)
    report(found.to_dict(), format_comparison(found, top=top), as_json)


def refuse_running(source: SourceOptions, running: dict[str, Any]) -> None:
    """Raise click.UsageError for an option that goes with ``--data`` alone."""
    refuse(source.reading, "goes with --data.")
    given = {name: getattr(source, name) for name in ("split", "label_from", "limit", "name")}
    given |= {name: running[name] for name in ("per_class", "dtype", "step_ms", "t_stop")}
    given["engine"] = None if running["engine"] == "auto" else running["engine"]
    for name, value in given.items():
        if value is not None:
            option = {"name": "source"}.get(name, name).replace("_", "-")
            raise click.UsageError(f"--{option} goes with --data, for two models.")


def open_sets(models: tuple[Path, Path], data: Path, source: SourceOptions, seed: int) -> tuple[Any, Any]:
    """The recordings as each of two models takes them."""
    from eventsnn.cli.evaluate import read_coder
    from eventsnn.model import Network

    sets = []
    for model in models:
        if model.exists() and not is_model(model):
            raise click.UsageError(f"--data is for two models; {model} is none.")
        network = Network.load(model)
        coding = {"coder": read_coder(model), "seed": seed}
        size, planned = network.input.sensor_size, saved_reading(model)
        sets.append(source.open(data, size=size, planned=planned, otherwise="test", coding=coding))
    return sets[0], sets[1]


def is_model(path: Path) -> bool:
    """Whether it is the file of a model."""
    from eventsnn._util.hdf5 import read_marks

    return "eventsnn_network" in (read_marks(path) or ())
