"""``eventsnn train``: an experiment file and recordings become a model."""

from __future__ import annotations

import json
import shlex
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn._util.ranks import find_ranks
from eventsnn._util.words import number_of
from eventsnn.cli.common import (
    FILE,
    Interrupted,
    duration_option,
    file_option,
    json_option,
    note,
    note_skipped,
    per_class_option,
    report,
    seed_option,
    step_option,
    threads_option,
)
from eventsnn.cli.output import refuse_overwriting
from eventsnn.cli.reading import NAMES as READING
from eventsnn.cli.reading import ReadingCommand, spell
from eventsnn.cli.setting import Setting
from eventsnn.cli.shards import collect_skipped
from eventsnn.cli.sources import SourceOptions, source_options
from eventsnn.cli.tracing import trace_options

if TYPE_CHECKING:
    from eventsnn.trace import TraceOptions


class _TrainingEngine(click.Choice[str]):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "gpu":  # an engine of other commands
            self.fail("to train on a graphics card give --device cuda.", param, ctx)
        return super().convert(value, param, ctx)


@click.command(cls=ReadingCommand)
@click.argument("experiment", type=FILE, metavar="EXPERIMENT.toml")
@file_option(
    "--train",
    "DIR",
    "Folder of <label>/<recordings>, or of Train/; a file made by pack; IDX images (folder or file).",
    parameter="training",
    required=True,
)
@file_option("--valid", "DIR", "Recordings for validation, in the same forms; for images the IDX file.")
@click.option(
    "--valid-fraction",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="F",
    help="Without --valid: fraction of the training recordings to set aside, class by class; 0 for none.",
)
@source_options(
    split="For a folder of IDX files: the images to train on; train by default.", sensor="the network's input"
)
@file_option(
    "--out",
    "RUN",
    "Folder for model, metrics and checkpoint; by default a new temporary folder, which is kept.",
)
@click.option("--overwrite", is_flag=True, help="Start again in a folder that already holds a run.")
@click.option(
    "--engine",
    type=_TrainingEngine(["exact", "clocked"]),
    help="Override the experiment's: exact spike times, or the authors' steps.",
)
@step_option("the experiment's, or 1,")
@duration_option("the experiment's, or until its last event,")
@per_class_option
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Override the experiment's total number of epochs.",
)
@seed_option(None, "Override the experiment's seed of weights, validation, order, augmentation and coding.")
@click.option(
    "--augment",
    type=Setting("augmentation", "elastic=13.4", numbers=True),
    multiple=True,
    metavar="NAME=VALUE",
    help="Override a field of the experiment; repeatable: shift, drop, time_scale, elastic, smoothing, "
    "scale, rotation; for recordings also jitter, flip, time_shift, mask_x, mask_time.",
)
@file_option(
    "--start-from",
    "MODEL.h5",
    "Start with the weights of a model, such as the best of an earlier run, not with random ones.",
)
@click.option(
    "--resume", is_flag=True, help="Continue from RUN's checkpoint; gives the bits of an uninterrupted run."
)
@trace_options(
    "Write an HDF5 trace of some training recordings as each epoch meets them, and, with --record "
    "weights,learning, of the weights after each epoch and of the rule's errors and factors.",
    "Training recordings that the trace keeps, by their numbers from 0; the first ten by default.",
)
@threads_option
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where to compute: cuda is a graphics card of NVIDIA, for chains of layers, HM2-BP and EventProp.",
)
@json_option
def train(
    experiment: Path,
    training: Path,
    valid: Path | None,
    valid_fraction: float | None,
    source: SourceOptions,
    out: Path | None,
    overwrite: bool,
    engine: str | None,
    step_ms: float | None,
    duration_ms: float | None,
    per_class: int | None,
    epochs: int | None,
    seed: int | None,
    augment: tuple[tuple[str, float], ...],
    start_from: Path | None,
    resume: bool,
    trace: TraceOptions | None,
    threads: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Train a network as an experiment file describes.

    The rule is HM2-BP; options given here override the file. RUN gets model.h5 (the best epoch by
    validation), metrics.jsonl (a line per epoch) and checkpoint.h5. Ctrl-C keeps the last complete epoch;
    --resume continues from it.

    \b
    Example:
      eventsnn train datasets/nmnist/dense.toml --train N-MNIST/Train --out runs/first
      eventsnn train datasets/nmnist/dense.toml --train N-MNIST/Train --out runs/first --resume --epochs 40
      eventsnn train datasets/mnist/dense.toml --train mnist --out runs/images --augment rotation=10
      eventsnn train datasets/nmnist/small.toml --train mine --out runs/tuned --start-from runs/first/model.h5
    """
    from eventsnn.data.images import is_idx
    from eventsnn.model import Network
    from eventsnn.train.experiment import Experiment

    if resume and (out is None or overwrite):
        reason = "--overwrite begins again, --resume continues: give one of them." if overwrite else None
        raise click.UsageError(reason or "--resume continues the run in --out: give its folder.")
    if valid is not None and valid_fraction is not None:
        raise click.UsageError("Give --valid or --valid-fraction, not both.")
    if trace is not None:
        refuse_overwriting("--trace", Path(trace.path), [experiment, training])
        if resume and Path(trace.path).exists():
            raise click.UsageError(f"--trace {trace.path} holds what came before; name another file.")
    plan = Experiment.load(experiment).augmented(dict(augment))
    network = plan.make_network()
    start = None if start_from is None else Network.load(start_from)
    weights = sum(array.size for array in network.weights.values())
    coding = {"coder": plan.coding, "seed": plan.training.seed if seed is None else seed}
    recordings: dict[str, Any] = {"size": network.input.sensor_size, "planned": plan.reading.given()}
    told = source.name is not None or source.split is not None or is_idx(training)
    if not told and (training / "Train").is_dir():
        training = training / "Train"
        note(f"taking the recordings in {training}")
    data = _for_root(source, training).open(training, coding=coding, **recordings)
    valid_data = None if valid is None else open_validation(valid, source, recordings, coding)
    ranks, temporary = find_ranks(), out is None
    out = out or ranks.of_first(lambda: Path(tempfile.mkdtemp(prefix="eventsnn-run-")))
    try:
        outcome = plan.run(
            data,
            valid=valid_data,
            valid_fraction=valid_fraction,
            out=out,
            overwrite=overwrite,
            engine=engine,
            step_ms=step_ms,
            duration_ms=duration_ms,
            per_class=per_class,
            epochs=epochs,
            seed=seed,
            threads=threads,
            start_from=start,
            resume=resume,
            progress=True,
            trace=trace,
            device=device,
        )
    except KeyboardInterrupt:
        if ranks.first and (out / "checkpoint.h5").exists():
            _write_command(out)
        raise Interrupted(_describe_kept(out)) from None
    finally:
        if temporary and ranks.first:
            with suppress(OSError):  # a run without a checkpoint leaves nothing
                out.rmdir()
    if ranks.first:
        _write_command(out)
    note_skipped(collect_skipped([*data.skipped, *(valid_data.skipped if valid_data is not None else [])]))
    result = {**outcome.summary(), "weights": weights}
    if trace is not None:
        result["trace"] = str(trace.path)
    biases = ", biases included" if network.input.has_bias else ""
    text = f"{outcome.network!r}, {weights:,} synaptic weights{biases}\n{format_training(result)}"
    report(result, text, as_json)


def open_validation(
    root: Path, source: SourceOptions, recordings: dict[str, Any], coding: dict[str, Any]
) -> Any:
    """Recordings or images to validate on.

    Which images of a folder is for the caller to say: no guess shall make a test set a validation set.
    """
    from eventsnn.data.images import is_idx

    if source.name is None and root.is_dir() and is_idx(root):
        raise click.UsageError(
            f"--valid: {root} is a folder of images; name the IDX file of the images, "
            "or set training images aside with --valid-fraction."
        )
    return replace(_for_root(source, root), split=None, limit=None).open(root, coding=coding, **recordings)


def _for_root(source: SourceOptions, root: Path) -> SourceOptions:
    """Without ``--label-from`` for a packed file: the option may be meant for the other of two sets."""
    return replace(source, label_from=None) if source.name is None and root.is_file() else source


def _write_command(out: Path) -> None:
    """Write the command that repeats the run into its folder, without paths and options that change no
    result.
    """
    from eventsnn.train.checkpoint import write_text

    parameters = click.get_current_context().params
    experiment = parameters["experiment"]
    arguments = ["eventsnn", "train", experiment.name if experiment.is_absolute() else experiment.as_posix()]
    for name in (
        "training",
        "valid",
        "split",
        "label_from",
        "limit",
        "source",
        "valid_fraction",
        "engine",
        "step_ms",
        "duration_ms",
        "per_class",
        "epochs",
        "seed",
        "bad_files",
        "device",
    ):
        value = parameters[name]
        if value is not None and (name, value) != ("device", "cpu"):
            text = value.name if isinstance(value, Path) else value
            arguments += [f"--{'train' if name == 'training' else name.replace('_', '-')}", str(text)]
    arguments += spell({name: parameters[name] for name in READING if parameters[name] is not None})
    if parameters["start_from"] is not None:  # models are called alike: their folder says which
        model = parameters["start_from"]
        arguments += ["--start-from", f"{model.absolute().parent.name}/{model.name}"]
    for option, given in (("--set", parameters["settings"]), ("--augment", parameters["augment"])):
        for name, value in given:
            arguments += [option, f"{name}={value}"]
    write_text(out / "command.txt", shlex.join(arguments) + "\n")


def _describe_kept(out: Path) -> str:
    """Describe the files that a stopped training run leaves."""
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
    epochs = number_of(result["epochs"], "epoch")
    speed = f"{result['samples_per_s']:.0f} recordings/s"
    if result["peak_rss_mb"] is not None:
        speed += f", peak memory {result['peak_rss_mb']:.0f} MB"
    return "\n".join(
        [
            f"{epochs} in {result['seconds']:.1f} s, {speed}",
            validated,
            f"model    {out / 'model.h5'}",
            f"metrics  {out / 'metrics.jsonl'}",
        ]
    )
