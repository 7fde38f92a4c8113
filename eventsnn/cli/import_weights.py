"""``eventsnn import``: trained weights of the HM2-BP authors' program become a model."""

from __future__ import annotations

from pathlib import Path

import click

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


@click.command("import")
@click.argument("weights", type=FILE, metavar="AUTHORS.txt[.gz]")
@output_argument("NET.h5", "The model to write.")
@file_option(
    "--network",
    "EXPERIMENT.toml",
    "Experiment file with the [network] of the weights; by default the authors' CNN for MNIST.",
    parameter="experiment",
)
@step_option("that of EXPERIMENT.toml, or 1,")
@duration_option("that of EXPERIMENT.toml, or until its last event,")
@json_option
def import_weights(
    weights: Path,
    out: Path,
    experiment: Path | None,
    step_ms: float | None,
    duration_ms: float | None,
    as_json: bool,
) -> None:
    """Write trained weights of the HM2-BP authors as a model.

    The authors' text file holds numbers only and does not describe the network. The weights were trained on a
    clock; the model stores this, and evaluate and simulate run it on that clock by default.

    \b
    Example:
      eventsnn import hm2bp_cnn_mnist_checkpoint.txt.gz published.h5
      eventsnn evaluate published.h5 --data mnist --split test
    """
    from eventsnn.model import RunSettings
    from eventsnn.model.authors import import_weights as read_weights
    from eventsnn.model.authors import published_cnn

    refuse_overwriting("NET.h5", out, [weights, *([experiment] if experiment else [])])
    if experiment is None:
        network, stabilise = published_cnn(), None
    else:
        from eventsnn.train.experiment import Experiment

        plan = Experiment.load(experiment)
        network, stabilise = plan.make_network(), plan.training.stabilise
        step_ms = plan.training.step_ms if step_ms is None else step_ms
        duration_ms = plan.training.duration_ms if duration_ms is None else duration_ms
    settings = RunSettings("clocked", step_ms, duration_ms, stabilise)
    trained = read_weights(weights, network).with_settings(settings)
    trained.save(out)
    counts = {name: int(array.size) for name, array in trained.weights.items()}
    text = "\n".join(
        [
            f"{trained!r}, {name_engine(settings.engine, settings.step_ms)}",
            *(f"  {name}: {n} weights" for name, n in counts.items()),
            f"model {out}",
        ]
    )
    report({"model": str(out), "weights": counts, **settings.to_table()}, text, as_json)
