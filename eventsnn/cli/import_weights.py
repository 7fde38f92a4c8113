"""``eventsnn import``: NIR graphs, and trained weights of the HM2-BP authors' program, become models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from eventsnn._util.words import number_of
from eventsnn.cli.common import (
    FILE,
    duration_option,
    file_option,
    json_option,
    name_engine,
    report,
    step_option,
)
from eventsnn.cli.output import output_argument, refuse_overwriting
from eventsnn.errors import NetworkError


@click.command("import")
@click.argument("source", type=FILE, metavar="FILE")
@output_argument("NET.h5", "The model to write.")
@click.option(
    "--dialect",
    type=click.Choice(["portable", "snntorch", "norse"]),
    help="NIR: what the numbers mean, NIR's equations or what this program writes; by default what they look "
    "like.",
)
@click.option(
    "--unit",
    type=click.Choice(["s", "ms"]),
    help="NIR: the unit of time; by default s if all time constants are below 1, else ms.",
)
@click.option(
    "--dt",
    type=float,
    metavar="SECONDS",
    help="NIR: the step of the program that wrote it; 1e-4 for snntorch, 1e-3 for norse by default.",
)
@click.option("--strict", is_flag=True, help="NIR: refuse what cannot be read exactly, rather than list it.")
@file_option(
    "--network",
    "EXPERIMENT.toml",
    "The authors' weights: experiment file with the [network] that they are of; by default the authors' "
    "CNN for "
    "MNIST.",
    parameter="experiment",
)
@step_option("that of EXPERIMENT.toml, or 1,")
@duration_option("that of EXPERIMENT.toml, or until its last event,")
@json_option
def import_weights(source: Path, out: Path, as_json: bool, strict: bool, **options: Any) -> None:
    """Write a network of another program as a model.

    FILE is a NIR graph (.nir), from snnTorch, Norse or any other program that writes them, or a text file
    with the trained weights of the HM2-BP authors. That holds numbers only and does not describe the network.
    The weights were trained on a clock; the model stores this, and evaluate and simulate run it on that clock
    by default.

    \b
    Example:
      eventsnn import model.nir model.h5
      eventsnn import hm2bp_cnn_mnist_checkpoint.txt.gz published.h5
      eventsnn evaluate published.h5 --data mnist --split test
    """
    from eventsnn._util.hdf5 import MAGIC

    if out.suffix.lower() != ".h5":
        raise click.UsageError(f"NET.h5 {str(out)!r}: a model is HDF5; name it .h5.")
    with source.open("rb") as file:
        is_hdf5 = file.read(len(MAGIC)) == MAGIC
    is_nir = is_hdf5 or source.suffix.lower() == ".nir"
    _refuse_others(source, is_nir, {**options, "strict": strict or None})
    experiment = options["experiment"]
    refuse_overwriting("NET.h5", out, [source, *([experiment] if experiment else [])])
    if is_nir:
        _import_nir(source, out, as_json, strict, options["dialect"], options["unit"], options["dt"])
    else:
        _import_authors(source, out, as_json, experiment, options["step_ms"], options["duration_ms"])


_NIR_OPTIONS = ("dialect", "unit", "dt", "strict")


def _refuse_others(source: Path, is_nir: bool, options: dict[str, Any]) -> None:
    """Raise click.UsageError for an option that goes with the other kind of file."""
    for name, value in options.items():
        if value is not None and (name in _NIR_OPTIONS) != is_nir:
            option = {"experiment": "network"}.get(name, name).replace("_", "-")
            kind, other = ("a NIR graph", "the authors' weights") if is_nir else ("a text file", "NIR graphs")
            raise click.UsageError(f"--{option} goes with {other}; {source} is {kind}.")


def _import_nir(
    source: Path,
    out: Path,
    as_json: bool,
    strict: bool,
    dialect: str | None,
    unit: str | None,
    dt: float | None,
) -> None:
    from eventsnn.cli.to_nir import describe_losses
    from eventsnn.model.nir import import_network

    found = import_network(source, dialect, unit, dt)
    if found.losses and strict:
        raise NetworkError(f"{source}: refused by --strict: {'; '.join(found.losses)}")
    found.network.save(out)
    lines = [repr(found.network), *(f"  {note}" for note in found.notes)]
    lines += [*describe_losses(found.losses, "nothing is lost"), f"model {out}"]
    report({"model": str(out), "notes": found.notes, "losses": found.losses}, "\n".join(lines), as_json)


def _import_authors(
    source: Path,
    out: Path,
    as_json: bool,
    experiment: Path | None,
    step_ms: float | None,
    duration_ms: float | None,
) -> None:
    from eventsnn.model import RunSettings
    from eventsnn.model.authors import import_weights as read_weights
    from eventsnn.model.authors import published_cnn

    if experiment is None:
        network, stabilise = published_cnn(), None
    else:
        from eventsnn.train.experiment import Experiment

        plan = Experiment.load(experiment)
        network, stabilise = plan.make_network(), plan.training.stabilise
        step_ms = plan.training.step_ms if step_ms is None else step_ms
        duration_ms = plan.training.duration_ms if duration_ms is None else duration_ms
    settings = RunSettings("clocked", step_ms, duration_ms, stabilise)
    trained = read_weights(source, network).with_settings(settings)
    trained.save(out)
    counts = {name: int(array.size) for name, array in trained.weights.items()}
    text = "\n".join(
        [
            f"{trained!r}, {name_engine(settings.engine, settings.step_ms)}",
            *(f"  {name}: {number_of(n, 'weight')}" for name, n in counts.items()),
            f"model {out}",
        ]
    )
    report({"model": str(out), "weights": counts, **settings.to_table()}, text, as_json)
