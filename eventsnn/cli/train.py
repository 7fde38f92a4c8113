"""``eventsnn train``: an experiment file and recordings become a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from eventsnn.cli.common import (
    FILE,
    Interrupted,
    json_option,
    note,
    note_skipped,
    on_bad_option,
    open_source,
    report,
    seed_option,
    sensor_option,
    threads_option,
)


@click.command()
@click.argument("experiment", type=FILE, metavar="EXPERIMENT.toml")
@click.option(
    "--train",
    "training",
    type=FILE,
    required=True,
    metavar="DIR",
    help="Folder of <label>/<recordings>, or of Train/; or a file made by pack.",
)
@click.option("--valid", type=FILE, metavar="DIR", help="Recordings to validate on, likewise.")
@click.option(
    "--valid-fraction",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="F",
    help="Without --valid: part of the training recordings to set aside, class by class; 0 for none.",
)
@click.option(
    "--out", type=FILE, required=True, metavar="RUN", help="Folder for model, metrics and checkpoint."
)
@click.option(
    "--epochs", type=click.IntRange(min=1), metavar="N", help="Instead of the experiment's; in all."
)
@seed_option(None, "Instead of the experiment's: of weights, validation split, order and augmentation.")
@click.option(
    "--resume", is_flag=True, help="Go on from RUN's checkpoint, to the bits of an uninterrupted run."
)
@sensor_option("the network's input")
@on_bad_option
@threads_option
@json_option
def train(
    experiment: Path,
    training: Path,
    valid: Path | None,
    valid_fraction: float | None,
    out: Path,
    epochs: int | None,
    seed: int | None,
    resume: bool,
    sensor: tuple[int, ...] | None,
    on_bad: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Train a network as an experiment file says.

    The rule is HM2-BP; options given here override the file. RUN gets model.h5 (the best epoch by
    validation), metrics.jsonl (a line per epoch) and checkpoint.h5. Ctrl-C keeps the last whole epoch;
    --resume goes on from it.

    \b
    Example:
      eventsnn train datasets/nmnist/dense.toml --train N-MNIST/Train --out runs/first
      eventsnn train datasets/nmnist/dense.toml --train N-MNIST/Train --out runs/first --resume --epochs 40
    """
    from eventsnn.train.experiment import Experiment

    if valid is not None and valid_fraction is not None:
        raise click.UsageError("Give --valid or --valid-fraction, not both.")
    plan = Experiment.load(experiment)
    size = sensor or plan.make_network().input.sensor_size
    data = open_folder(training, "Train", size, on_bad)
    valid_data = None if valid is None else open_folder(valid, None, size, on_bad)
    try:
        outcome = plan.run(
            data,
            valid=valid_data,
            valid_fraction=valid_fraction,
            out=out,
            epochs=epochs,
            seed=seed,
            threads=threads,
            resume=resume,
            progress=True,
        )
    except KeyboardInterrupt:
        raise Interrupted(_describe_kept(out)) from None
    note_skipped([*data.skipped, *(valid_data.skipped if valid_data is not None else [])])
    result = {**outcome.summary(), "out": str(out)}
    report(result, format_training(result), as_json)


def open_folder(root: Path, split: str | None, sensor: tuple[int, ...], on_bad: str) -> Any:
    """Recordings of `root`, or of the folder `split` in it where there is one; says so then."""
    if split is not None and (root / split).is_dir():
        root = root / split
        note(f"taking the recordings in {root}")
    return open_source(root, sensor=sensor, on_bad=on_bad)


def _describe_kept(out: Path) -> str:
    """What a training run that was stopped has left behind."""
    metrics = out / "metrics.jsonl"
    if not (out / "checkpoint.h5").exists() or not metrics.exists():
        return "no epoch was finished, nothing was kept"
    epoch = json.loads(metrics.read_text().splitlines()[-1])["epoch"]
    return (
        f"epoch {epoch} is kept in {out / 'checkpoint.h5'}; the same command with --resume goes on from there"
    )


def format_training(result: dict[str, Any]) -> str:
    """Outcome of a training run as text."""
    out = Path(result["out"])
    accuracy = result["valid_accuracy"]
    validated = (
        "no validation: the model is that of the last epoch"
        if accuracy is None
        else f"validation accuracy {100 * accuracy:.2f} % in epoch {result['best_epoch']}, the best"
    )
    epochs = "1 epoch" if result["epochs"] == 1 else f"{result['epochs']} epochs"
    speed = f"{result['samples_per_s']:.0f} recordings/s, peak memory {result['peak_rss_mb']:.0f} MB"
    return "\n".join(
        [
            f"{epochs} in {result['seconds']:.1f} s, {speed}",
            validated,
            f"model    {out / 'model.h5'}",
            f"metrics  {out / 'metrics.jsonl'}",
        ]
    )
