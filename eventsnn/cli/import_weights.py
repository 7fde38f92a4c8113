"""``eventsnn import``: trained weights of the HM2-BP authors' program become a model."""

from __future__ import annotations

from pathlib import Path

import click

from eventsnn.cli.common import FILE, json_option, report
from eventsnn.cli.output import output_argument, refuse_overwriting


@click.command("import")
@click.argument("weights", type=FILE, metavar="AUTHORS.txt[.gz]")
@output_argument("NET.h5", "The model to write.")
@click.option(
    "--network",
    "experiment",
    type=FILE,
    metavar="EXPERIMENT.toml",
    help="Whose [network] the weights are for; the authors' convolutional network for MNIST by default.",
)
@json_option
def import_weights(weights: Path, out: Path, experiment: Path | None, as_json: bool) -> None:
    """Write trained weights of the HM2-BP authors as a model.

    Theirs are a text file of numbers, which does not say what network it is for. They were trained on a clock
    of 1 ms: evaluate them with --engine clocked.

    \b
    Example:
      eventsnn import hm2bp_cnn_mnist_checkpoint.txt.gz published.h5
      eventsnn evaluate published.h5 --engine clocked --data mnist --split test
    """
    from eventsnn.network.authors import import_weights as read_weights
    from eventsnn.network.authors import published_cnn

    refuse_overwriting("NET.h5", out, [weights, *([experiment] if experiment else [])])
    if experiment is None:
        network = published_cnn()
    else:
        from eventsnn.train.experiment import Experiment

        network = Experiment.load(experiment).make_network()
    trained = read_weights(weights, network)
    trained.save(out)
    counts = {name: int(array.size) for name, array in trained.weights.items()}
    text = "\n".join(
        [f"{trained!r}", *(f"  {name}: {n} weights" for name, n in counts.items()), f"model {out}"]
    )
    report({"model": str(out), "weights": counts}, text, as_json)
