"""``eventsnn simulate``: recordings through a network."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn._util.interrupts import hold_interrupts
from eventsnn.cli.common import (
    FILE,
    Interrupted,
    dtype_option,
    engine_option,
    file_option,
    format_decision,
    json_option,
    name_engine,
    note,
    note_skipped,
    report,
    step_option,
    t_stop_option,
)
from eventsnn.cli.output import is_standard_output, refuse_one_target, refuse_overwriting
from eventsnn.cli.reading import (
    ReadingCommand,
    note_nothing_kept,
    note_saved,
    reading_options,
    saved_reading,
    sensor_problem,
)
from eventsnn.cli.runs import RunOptions, StreamSettings, describe_run
from eventsnn.cli.stream_options import asks_for_parts, check_live, is_live, is_long, stream_options
from eventsnn.errors import EventFileError, EventStreamError
from eventsnn.events.origin import find_origin
from eventsnn.simulate.engines import Settings as EngineSettings
from eventsnn.simulate.engines import can_run, choose
from eventsnn.simulate.run import simulate as run_network
from eventsnn.trace.record import ExitReason, SimulationInterrupted, hint_silent
from eventsnn.trace.schema import RECORD

if TYPE_CHECKING:
    from eventsnn.events import EventStream
    from eventsnn.model import Network
    from eventsnn.trace import TraceWriter


class RecordOptions(click.ParamType):
    """``spikes,potential,spsp`` or a part of it."""

    name = "LIST"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        options = tuple(part.strip() for part in str(value).split(","))
        for option in options:
            if option not in RECORD:
                self.fail(f"{option!r} cannot be recorded; there are {', '.join(RECORD)}", param, ctx)
        return options


@click.command(cls=ReadingCommand)
@click.argument("model", type=FILE, metavar="MODEL.h5")
@click.argument("files", type=FILE, metavar="FILE...", nargs=-1, required=True)
@file_option("--trace", "T.h5", "Write an HDF5 trace of all files; see 'inspect' and 'explain'.")
@click.option(
    "--record",
    type=RecordOptions(),
    help="Contents of the trace: a comma-separated list of spikes (always included), potential, spsp.",
)
@engine_option(
    "auto is the engine that the model was trained with. In exact time, queue runs any network, sweep "
    "runs chains of layers faster, and twin is plain Python. clocked takes the authors' steps."
)
@step_option("the model's, or 1,")
@dtype_option(None, " float64 by default, float32 with engine clocked.")
@t_stop_option(
    "End of the simulation; by default when the network is quiet, with engine clocked at the last event."
)
@click.option(
    "--origin",
    "origin_us",
    type=int,
    metavar="US",
    help="The recording's time (microseconds) that is time 0 of the run and of its results. By default 0 for "
    "recordings that begin within the first second of their clock, else their first event.",
)
@stream_options
@reading_options(sensor="the model's input", files=True)
@json_option
def simulate(
    model: Path,
    files: tuple[Path, ...],
    trace: Path | None,
    record: tuple[str, ...] | None,
    engine: str,
    step_ms: float | None,
    dtype: str | None,
    t_stop: float | None,
    origin_us: int | None,
    reading: dict[str, Any],
    bad_files: str,
    as_json: bool,
    **stream: Any,
) -> None:
    """Send recordings through a network, event by event.

    Spike times are exact: there are no frames and no time step, unless the model was trained on the authors'
    clock, or --engine clocked is given.

    With several files --json prints a list. Ctrl-C keeps finished results, also in the trace.

    One long recording is simulated in parts, in memory that does not grow with its length
    (docs/streaming.md): its spikes go to --spikes as they come, and --save-state, --resume-from stop and go
    on. With --live, FILE is a file that grows, - (standard input) or udp://127.0.0.1:PORT.

    \b
    Example:
      eventsnn simulate run/model.h5 Test/3/00021.bin
      eventsnn simulate run/model.h5 Test/3/*.bin --trace t.h5 --record spikes,potential
      eventsnn simulate run/model.h5 hour.raw --crop 300,200,368,268 --downsample 2 --spikes s.csv
    """
    from eventsnn.events import ReadingOptions
    from eventsnn.model import Network

    if record is not None and trace is None:
        raise click.UsageError("--record says what the trace holds: give --trace as well.")
    inputs = [model, *(file for file in files if not is_live(file))]
    refuse_overwriting("--trace", trace, inputs)
    refuse_overwriting("--spikes", stream["spikes"], inputs)
    refuse_overwriting("--save-state", stream["save_state"], inputs)
    refuse_one_target({"--trace": trace, "--spikes": stream["spikes"], "--save-state": stream["save_state"]})
    in_parts = asks_for_parts(files, stream, trace, record)
    network = Network.load(model)
    engine_settings = EngineSettings(dtype, step_ms, in_parts)
    if not in_parts and is_long(files, record):
        in_parts = can_run(network, engine, replace(engine_settings, in_parts=True))
    chosen, engine_settings = choose(network, engine, replace(engine_settings, in_parts=in_parts))
    saved = saved_reading(model)
    note_saved(saved, reading)
    reading = {**saved, **reading}
    if stream["live"]:
        check_live(reading)
    options = ReadingOptions(**reading).for_input(network.input.sensor_size)
    common: dict[str, Any] = {
        "reading": options,
        "engine": chosen.name if in_parts else engine,
        "step_ms": step_ms,
        "dtype": str(engine_settings.dtype),
        "t_stop": t_stop,
        "origin_us": origin_us,
        "bad_files": bad_files,
        "trace": trace,
        "record": record or ("spikes",),
    }
    if in_parts:
        _simulate_in_parts(network, files[0], StreamSettings(**common, **stream), as_json)
        return
    settings = RunOptions(**common)
    if bad_files == "error":
        _check_files(files)
    results, interrupted = _simulate_all(network, files, settings)
    note_skipped([(result["file"], result["error"]) for result in results if result["skipped"]])
    if len(results) == 1 and not results[0]["skipped"]:
        note_nothing_kept(results[0]["events"], options)
    text = _format_one(results[0]) if len(files) == 1 and results else _format_many(results)
    report(results[0] if len(files) == 1 and results else results, text, as_json)
    _note_silent(results)
    if interrupted:
        kept = f"{len(results)} of {len(files)} recordings were simulated"
        where = f", kept in {trace}" if trace is not None else ""
        raise Interrupted(f"{kept}{where}")


def _simulate_in_parts(network: Network, file: Path, settings: StreamSettings, as_json: bool) -> None:
    from eventsnn.cli.streaming import stream_file

    result, stop = stream_file(network, str(file), settings)
    note_nothing_kept(result["events"], settings.reading)
    # Standard output may belong to the spikes.
    to_error = settings.spikes is not None and is_standard_output(settings.spikes)
    report(result, _format_one(result), as_json, err=to_error)
    _note_silent([result])
    if stop is not None:
        raise stop


def _check_files(files: tuple[Path, ...]) -> None:
    """A name that is wrong should be known before the first of many files is simulated, not after."""
    for file in files:
        if not file.exists():
            raise EventFileError(file, "no such file")


def _simulate_all(
    network: Network, files: tuple[Path, ...], settings: RunOptions
) -> tuple[list[dict[str, Any]], bool]:
    """One result per file, and whether Ctrl-C came before the last one was through."""
    from eventsnn.train.progress import progress_bar

    results: list[dict[str, Any]] = []
    interrupted = False
    with ExitStack() as stack:
        writer = None
        if settings.trace is not None:
            writer = stack.enter_context(settings.open_trace(network, settings.engine))
        bar = stack.enter_context(progress_bar(len(files), "simulating", len(files) > 1))
        # Inside the writer's context: a trace that Ctrl-C cut short is closed like any other.
        try:
            for file in files:
                _simulate_file(network, file, settings, writer, results)
                if results[-1]["exit_reason"] == ExitReason.INTERRUPTED.value:
                    interrupted = True
                    break
                bar.update(1)
        except KeyboardInterrupt:
            interrupted = True
    return results, interrupted


def _simulate_file(
    network: Network,
    file: Path,
    settings: RunOptions,
    writer: TraceWriter | None,
    results: list[dict[str, Any]],
) -> None:
    """Append the outcome of a file to `results`, and to the trace: to both or to neither."""
    try:
        with settings.reading.open(file) as recording:
            events = recording.read()
            _check_origin(file, events, settings.origin_us)
            odd = asdict(recording.anomalies)
        problem = sensor_problem(network, events.sensor_size, settings.reading)
        if problem is not None:
            raise EventFileError(file, problem)
    except EventFileError as error:
        if settings.bad_files == "error":
            raise
        nothing = dict.fromkeys(("decision", "counts", "layers", "seconds", "exit_reason"))
        results.append({"file": str(file), **nothing, "skipped": True, "error": str(error)})
        return
    start = time.perf_counter()
    try:
        run = run_network(network, events, **settings.engine_arguments())
    except SimulationInterrupted as stop:
        run = stop.record
    seconds = time.perf_counter() - start
    with hold_interrupts():
        if writer is not None:
            writer.append(run, source=str(file))
        result = describe_run(str(file), run, seconds, len(run.input), run.exit_reason, run.t_end)
        results.append(result | {"anomalies": odd})


def _check_origin(file: Path, events: EventStream, origin_us: int | None) -> None:
    """Refuse a recording that begins before its origin."""
    try:
        if origin_us is None:
            _ = events.origin_us
        else:
            find_origin(events.events["t"], origin_us)
    except EventStreamError as error:
        raise EventFileError(file, str(error)) from None


def _note_silent(results: list[dict[str, Any]]) -> None:
    """Print advice if no output neuron fired in any recording."""
    hints = [
        hint_silent({name: layer["spikes"] for name, layer in result["layers"].items()}, result["events"])
        for result in results
        if not result["skipped"]
    ]
    if hints and None not in hints:
        note(f"hint: {hints[-1]}")


def _format_one(result: dict[str, Any]) -> str:
    if result["skipped"]:
        return f"{result['file']}: skipped"
    counts = "  ".join(f"{neuron}:{n}" for neuron, n in enumerate(result["counts"]) if n)
    layers = ", ".join(f"{name} {layer['spikes']}" for name, layer in result["layers"].items())
    return "\n".join(
        [
            f"{result['file']}: {format_decision(result)}",
            f"  spikes of each output neuron  {counts or 'none'}",
            f"  spikes of each layer          {layers}",
            f"  {result['events']} events through {_engine(result)}, {result['dtype']}, "
            f"in {result['seconds']:.4f} s {_ending(result)}",
            *(
                [f"  times count from {result['origin_us']} us of the recording"]
                if result["origin_us"]
                else []
            ),
        ]
    )


def _format_many(results: list[dict[str, Any]]) -> str:
    width = max((len(result["file"]) for result in results), default=0)
    decided = max((len(format_decision(result)) for result in results if not result["skipped"]), default=0)
    lines = []
    for result in results:
        if result["skipped"]:
            lines.append(f"{result['file']:<{width}}  skipped")
            continue
        layers = "  ".join(f"{name} {layer['spikes']}" for name, layer in result["layers"].items())
        lines.append(f"{result['file']:<{width}}  {format_decision(result):<{decided}}  spikes: {layers}")
    return "\n".join(lines)


def _engine(result: dict[str, Any]) -> str:
    return name_engine(result["engine"], result.get("step_ms"))


def _ending(result: dict[str, Any]) -> str:
    if result["exit_reason"] == "interrupted":
        return f"interrupted, complete up to {result['t_end_ms']:.3f} ms"
    return "until quiet" if result["t_end_ms"] is None else f"until {result['t_end_ms']:g} ms"
