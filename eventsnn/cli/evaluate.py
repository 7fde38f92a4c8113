"""``eventsnn evaluate``: accuracy of a model on labelled recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn._util.names import are_numbers, printable
from eventsnn._util.ranks import find_ranks
from eventsnn._util.words import number_of
from eventsnn.cli.common import (
    FILE,
    dtype_option,
    duration_option,
    engine_option,
    file_option,
    json_option,
    name_engine,
    note_skipped,
    per_class_option,
    report,
    seed_option,
    step_option,
    t_stop_option,
    threads_option,
)
from eventsnn.cli.output import refuse_one_target, refuse_overwriting, require_folder
from eventsnn.cli.reading import ReadingCommand, note_saved, saved_reading
from eventsnn.cli.shards import collect_skipped, place_shard, shard_option
from eventsnn.cli.sources import SourceOptions, source_options
from eventsnn.cli.tracing import trace_options

if TYPE_CHECKING:
    from eventsnn.data.shard import Shard
    from eventsnn.trace import TraceOptions


@click.command(cls=ReadingCommand)
@click.argument("model", type=FILE, metavar="MODEL.h5")
@file_option(
    "--data",
    "DIR",
    "Folder of <label>/<recordings>, a file made by pack, a folder of IDX images, or one IDX file.",
    required=True,
)
@source_options(
    split="Part of DIR, if it holds both; for images, the test images by default.", sensor="the model's input"
)
@per_class_option
@seed_option(1, "Seed of the coding of images, and of --per-class.")
@engine_option(
    "auto is the engine that the model was trained with. In exact time, queue runs any network, and "
    "sweep runs chains of layers faster, with the same spikes; gpu runs chains of layers on a graphics "
    "card; twin is plain Python. clocked takes the authors' steps."
)
@step_option("the model's, or 1,")
@duration_option("the model's, or until its last event (inf),")
@dtype_option(None, " float32 by default, float64 where engine queue runs sparse weights.")
@t_stop_option("End of the simulation of each recording; recurrent networks stop at its end by default.")
@file_option(
    "--predictions", "OUT.csv", "Write label, decision and output counts of every recording (.csv or .json)."
)
@trace_options(
    "Write an HDF5 trace of the runs, with labels and decisions; see 'view' and 'inspect'.",
    "Recordings that the trace keeps, by their numbers in DIR from 0; all by default.",
)
@file_option(
    "--report",
    "OUT.json",
    "Write accuracy, size and synaptic operations, each recording's too, under the names of NeuroBench.",
    parameter="report_to",
)
@click.option(
    "--report-dt",
    "report_dt_ms",
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="MS",
    help="Step of the clock that the report's Dense operations and ActivationSparsity are about; "
    "1 by default.",
)
@threads_option
@shard_option(
    "The --predictions and the --trace are named after it, such as p.2-of-8.csv; join makes one of all."
)
@json_option
def evaluate(
    model: Path,
    data: Path,
    source: SourceOptions,
    per_class: int | None,
    seed: int,
    engine: str,
    step_ms: float | None,
    duration_ms: float | None,
    dtype: str | None,
    t_stop: float | None,
    predictions: Path | None,
    trace: TraceOptions | None,
    report_to: Path | None,
    report_dt_ms: float | None,
    threads: int | None,
    shard: Shard | None,
    as_json: bool,
) -> None:
    """Measure a model's accuracy on labelled recordings.

    Classes are matched by the names in the model; the recordings may have only some of them. The decision is
    the output neuron with the most spikes, or the first to fire where the model was trained so (EventProp); a
    silent output is no decision and counts as an error. Images are coded as in training. A model that was
    trained on the authors' clock runs on the clock.

    \b
    Example:
      eventsnn evaluate run/model.h5 --data recordings/Test
      eventsnn evaluate run/model.h5 --data recordings/Test --predictions predictions.csv
      eventsnn evaluate run/model.h5 --data mnist --split test
      eventsnn evaluate run/model.h5 --data recordings/Test --trace t.h5
      eventsnn evaluate run/model.h5 --data recordings/Test --report neurobench.json
    """
    from eventsnn.model import Network
    from eventsnn.train.evaluate import evaluate as count_decisions
    from eventsnn.train.operations_report import make_report, save_report
    from eventsnn.train.predictions import check_predictions_path

    if predictions is not None:
        check_predictions_path(predictions)
        predictions = place_shard(predictions, shard)
    if trace is not None:
        trace = trace.place(shard)
    if report_dt_ms is not None and report_to is None:
        raise click.UsageError("--report-dt goes with --report.")
    if report_to is not None and shard is not None:
        raise click.UsageError("--report is about all recordings: leave --shard out.")
    if report_to is not None and report_to.suffix.lower() in (".csv", ".h5"):
        raise click.UsageError(f"--report {report_to}: a report is JSON; name it .json.")
    outputs = {
        "--predictions": predictions,
        "--trace": None if trace is None else Path(trace.path),
        "--report": report_to,
    }
    for option, path in outputs.items():
        refuse_overwriting(option, path, [model, data])
    for option in ("--predictions", "--report"):  # a trace is opened before the first recording
        require_folder(option, outputs[option])
    refuse_one_target(outputs)
    network = Network.load(model)
    planned = saved_reading(model)
    if data.is_dir():
        note_saved(planned, source.reading)
    samples = source.open(
        data,
        size=network.input.sensor_size,
        planned=planned,
        otherwise="test",
        coding={"coder": read_coder(model), "seed": seed},
    )
    for option, path in outputs.items():
        refuse_overwriting(option, path, samples.paths)
    outcome = count_decisions(
        network,
        samples,
        engine=engine,
        step_ms=step_ms,
        duration_ms=duration_ms,
        per_class=per_class,
        seed=seed,
        dtype=dtype,
        t_stop=t_stop,
        threads=threads,
        shard=shard,
        progress=True,
        trace=trace,
        operations=report_to is not None,
    )
    note_skipped(collect_skipped(samples.skipped))
    classes = outcome.classes or samples.classes
    result = {
        **outcome.to_dict(),
        "model": str(model),
        "data": getattr(samples, "root", str(data)),
        "classes": list(classes),
    }
    text = format_evaluation(result)
    if predictions is not None:
        if find_ranks().first:
            outcome.predictions.save(predictions)
        result["predictions"] = str(predictions)
        text += f"\n\npredictions  {predictions}"
    if report_to is not None:
        if find_ranks().first:
            save_report(report_to, make_report(network, outcome, report_dt_ms or 1.0))
        result["report"] = str(report_to)
        text += f"\n\nreport  {report_to}"
    if trace is not None:
        result["trace"] = str(trace.path)
        text += f"\n\ntrace  {trace.path}"
    report(result, text, as_json)


def read_coder(model: Path) -> Any:
    """The encoder with which a model was trained on images; None if it was not."""
    from eventsnn.encode.encoders import encoder_from_table
    from eventsnn.model.file import read_attribute

    training = json.loads(read_attribute(model, "training") or "{}")
    coder = (training.get("config", {}).get("training_set") or {}).get("coder")
    return None if coder is None else encoder_from_table(coder)


def format_evaluation(result: dict[str, Any]) -> str:
    """Accuracy and confusion matrix as text; `result` is the result of `Evaluation.to_dict`."""
    n, seconds = result["n"], result["seconds"]
    rate = f", {n / seconds:,.0f} recordings/s" if seconds else ""
    lines = [
        f"accuracy {100 * result['accuracy']:.2f} % of {number_of(n, 'recording')}; "
        f"no decision: {result['no_decision']}",
        f"{name_engine(result['engine'], result['step_ms'])}; {seconds:.2f} s{rate}",
        "",
        "decisions (columns) for each label (rows):",
    ]
    confusion = result["confusion"]
    names = _name_rows(len(confusion), result.get("classes"))
    left = max(6, 2 + max(len(name) for name in names))
    width = max(4, 1 + max(len(str(count)) for row in confusion for count in row))
    lines.append(" " * left + "".join(f"{decision:>{width}}" for decision in range(len(confusion))))
    for name, row in zip(names, confusion, strict=True):
        lines.append(f"{name:>{left}}" + "".join(f"{n:>{width}}" for n in row))
    return "\n".join(lines)


def _name_rows(outputs: int, classes: list[str] | None) -> list[str]:
    """``ant 0``: name and number of every output neuron, or its number alone."""
    names = [printable(name) for name in classes or ()]
    if are_numbers(names):
        names = []
    return [f"{names[number]} {number}" if number < len(names) else str(number) for number in range(outputs)]
