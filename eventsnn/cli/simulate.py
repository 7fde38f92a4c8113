"""``eventsnn simulate``: recordings through a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn._util.ranks import ALONE, Ranks, find_ranks
from eventsnn._util.words import number_of
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
)
from eventsnn.cli.shards import shard_option
from eventsnn.cli.tracing import trace_options
from eventsnn.data.shard import Shard
from eventsnn.errors import EventFileError
from eventsnn.simulate.engines import Settings, can_run, choose
from eventsnn.trace.record import hint_silent

if TYPE_CHECKING:
    from eventsnn.cli.runs import RunOptions
    from eventsnn.model import Network
    from eventsnn.trace import TraceOptions

# Larger recordings are simulated in parts even if no option asks for it; the spikes are the same.
LARGE_BYTES = 16 << 20

_FOR_PARTS = ("spikes", "save_state", "resume_from", "live", "patience", "idle")


@click.command(cls=ReadingCommand)
@click.argument("model", type=FILE, metavar="MODEL.h5")
@click.argument("files", type=FILE, metavar="FILE...", nargs=-1, required=True)
@trace_options(
    "Write an HDF5 trace of all files; see 'view', 'inspect' and 'explain'.",
    "Files that the trace keeps, by their numbers from 0; all by default.",
)
@engine_option(
    "auto is the engine that the model was trained with. In exact time, queue runs any network, sweep "
    "runs chains of layers faster, gpu runs chains of layers on a graphics card, and twin is plain "
    "Python. clocked takes the authors' steps."
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
@click.option(
    "--spikes",
    metavar="S.csv",
    help="Write spikes as they occur, one per line: time_ms,layer,neuron; - is standard output.",
)
@file_option(
    "--save-state",
    "S.npz",
    "Save the state during the run and where the recording ends (or --until, or Ctrl-C); the run "
    "does not continue until the network is quiet.",
)
@click.option(
    "--save-every",
    type=click.FloatRange(min=0.0),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Seconds between two saved states during the run.",
)
@file_option("--resume-from", "S.npz", "Continue from a saved state; events already used are skipped.")
@click.option("--live", is_flag=True, help="Process events as they arrive.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0.0),
    metavar="MS",
    help="With --live: if no event comes, time follows the clock at this distance. Later events are left "
    "out and counted. 10 for udp://; otherwise time advances with events only.",
)
@click.option(
    "--idle",
    type=click.FloatRange(min=0.0),
    metavar="S",
    help="With --live: the input ends when nothing has come for this many seconds; never by default.",
)
@reading_options(sensor="the model's input", files=True)
@shard_option("The --trace is named after it, such as t.2-of-8.h5; join makes one of all.")
@json_option
def simulate(
    model: Path,
    files: tuple[Path, ...],
    reading: dict[str, Any],
    shard: Shard | None,
    as_json: bool,
    **options: Any,
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
    from eventsnn.cli.runs import Run, RunOptions, run_files
    from eventsnn.events import ReadingOptions
    from eventsnn.model import Network

    ranks, whole, every = find_ranks(), options["trace"], files
    leader = None
    if len(files) < ranks.size:  # they divide no recordings, but each recording's network if it is large
        from eventsnn.simulate.engines.leading import Leader, follow

        if not ranks.first:
            follow(lambda: Network.load(model), ranks)
            return
        leader, ranks = Leader(ranks), ALONE
    if ranks.size > 1:
        shard = Shard.of_rank(ranks)
    if shard is not None:
        numbers = shard.part(len(files))
        files = tuple(files[number] for number in numbers)
        options["trace"] = options["trace"] and options["trace"].place(shard, numbers)
    inputs = [model, *(file for file in files if not _is_live(file))]
    trace = options["trace"]
    outputs = {f"--{name.replace('_', '-')}": options[name] for name in ("spikes", "save_state")}
    outputs = {"--trace": None if trace is None else trace.path, **outputs}
    for option, path in outputs.items():
        refuse_overwriting(option, path, inputs)
    refuse_one_target(outputs)
    in_parts = _ask_for_parts(every if ranks.size > 1 else files, options)
    network = Network.load(model)
    settings = Settings(options["dtype"], options["step_ms"], in_parts)
    if not in_parts and _is_long(files, options, network):
        in_parts = can_run(network, options["engine"], replace(settings, in_parts=True))
    chosen, settings = choose(network, options["engine"], replace(settings, in_parts=in_parts))
    if leader is not None and leader.is_worth(network, chosen, settings):
        options["ranks"] = leader
    kind = Run
    if in_parts:
        from eventsnn.cli.parts import PartsRun as kind

        # A whole recording may turn out to have too many events for the engine that "auto" is first.
        options["engine"] = chosen.name
    saved = saved_reading(model)
    note_saved(saved, reading)
    reading = {**saved, **reading}
    if options["live"]:
        _check_live(reading)
    run = RunOptions(
        reading=ReadingOptions(**reading).for_input(network.input.sensor_size),
        **options | {"dtype": str(settings.dtype)},
    )
    if run.bad_files == "error" and not in_parts:
        # Of other ranks, too, whose parts of the trace would be left behind.
        _check_files(every if ranks.size > 1 else files)
    results, interrupted = run_files(network, files, run, kind)
    if leader is not None and not interrupted:  # which ends all ranks
        leader.dismiss()
    if ranks.size > 1:
        results, interrupted = _join_ranks(ranks, results, interrupted, run.trace, whole)
        files, run = every, replace(run, trace=whole)
    skipped = [(result["file"], result["error"]) for result in results if result["skipped"]]
    note_skipped(skipped)
    if len(results) == 1 and not skipped:
        note_nothing_kept(results[0]["events"], run.reading)
    single = len(files) == 1 and len(results) == 1
    text = _format_one(results[0]) if single else _format_many(results)
    # Standard output may belong to the spikes.
    to_error = run.spikes is not None and is_standard_output(run.spikes)
    report(results[0] if single else results, text, as_json, err=to_error)
    _note_silent(results)
    if interrupted:
        raise Interrupted(_what_was_kept(results, len(files), run, in_parts))


def _join_ranks(
    ranks: Ranks,
    results: list[dict[str, Any]],
    interrupted: bool,
    own: TraceOptions | None,
    whole: TraceOptions | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Results of all ranks, and whether one was interrupted; their `own` traces become the `whole` one."""
    from eventsnn.trace import join

    if own is not None and whole is not None:
        parts = ranks.collect(own.path)
        ranks.of_first(lambda: join(parts, whole.path))
        Path(own.path).unlink(missing_ok=True)
    return [each for part in ranks.collect(results) for each in part], any(ranks.collect(interrupted))


def _check_files(files: tuple[Path, ...]) -> None:
    """A name that is wrong should be known before the first of many files is simulated, not after."""
    for file in files:
        if not file.exists():
            raise EventFileError(file, "no such file")


def _ask_for_parts(files: tuple[Path, ...], options: Mapping[str, Any]) -> bool:
    """Whether an option is for simulating in parts.

    Raises click.UsageError where options do not go together.
    """
    if not options["live"]:
        for file in files:
            if _is_live(file):
                raise click.UsageError(f"{file} is a live source: give --live.")
        for name in ("patience", "idle"):
            if options[name] is not None:
                raise click.UsageError(f"--{name} is for --live.")
    chosen = [name for name in _FOR_PARTS if options[name] not in (None, False)]
    if not chosen:
        return False
    option = "--" + chosen[0].replace("_", "-")
    if len(files) != 1:
        raise click.UsageError(f"{option} is for one recording at a time; {len(files)} were given.")
    if not _only_spikes(options):
        record = ",".join(name for name in options["trace"].record if name != "spikes")
        raise click.UsageError(f"{option} does not go with --record {record}, which needs all at once.")
    for name in ("save_state", "resume_from"):
        if options["trace"] is not None and options[name] is not None:
            raise click.UsageError(
                f"--{name.replace('_', '-')} does not go with --trace, which holds whole recordings; "
                "use --spikes."
            )
    return True


def _is_live(file: Path) -> bool:
    """Whether a name means standard input or a port instead of a file."""
    return str(file) == "-" or str(file).startswith("udp:/")


def _is_long(files: tuple[Path, ...], options: Mapping[str, Any], network: Network) -> bool:
    """Whether this is one recording that is better simulated in parts."""
    if len(files) != 1 or not _only_spikes(options):
        return False
    if network.settings.duration_ms is not None and options["t_stop"] is None:
        return False  # of which only the beginning is simulated
    return files[0].is_file() and files[0].stat().st_size >= LARGE_BYTES


def _only_spikes(options: Mapping[str, Any]) -> bool:
    return options["trace"] is None or options["trace"].record == ("spikes",)


def _check_live(reading: Mapping[str, Any]) -> None:
    """Raise click.UsageError for reading options that live input cannot have."""
    for name in ("stream", "sample"):
        if name in reading:
            raise click.UsageError(f"--{name} is for files; --live takes what comes.")
    if reading.get("on_bad") == "sort":
        raise click.UsageError("--on-bad sort needs the whole recording; with --live: error, skip, clamp.")


def _what_was_kept(results: list[dict[str, Any]], n: int, options: RunOptions, in_parts: bool) -> str:
    """The word for Ctrl-C."""
    kept = f"simulated {len(results)} of {number_of(n, 'recording')}"
    where = options.trace and options.trace.path
    if in_parts and results:
        end = results[0]["t_end_ms"]
        events = number_of(results[0]["events"], "event")
        kept, where = f"simulated {events}, complete up to {end:.3f} ms", None
    where = options.save_state or where
    return kept if where is None else f"{kept}, kept in {where}"


def _note_silent(results: list[dict[str, Any]]) -> None:
    """Print advice if no output neuron fired in any recording."""
    hints = [
        hint_silent(
            {name: layer["spikes"] for name, layer in result["layers"].items()},
            result["events"],
            "readout" in result,
        )
        for result in results
        if not result["skipped"]
    ]
    if hints and None not in hints:
        note(f"hint: {hints[-1]}")


def _format_one(result: dict[str, Any]) -> str:
    if result["skipped"]:
        return f"{result['file']}: skipped"
    votes = result.get("readout", result["counts"])
    counts = "  ".join(f"{neuron}:{n:.6g}" for neuron, n in enumerate(votes) if n)
    what = "readout of each output neuron" if "readout" in result else "spikes of each output neuron "
    layers = ", ".join(f"{name} {layer['spikes']:,}" for name, layer in result["layers"].items())
    return "\n".join(
        [
            f"{result['file']}: {format_decision(result)}",
            f"  {what} {counts or 'none'}",
            f"  spikes of each layer          {layers}",
            f"  {number_of(result['events'], 'event')} through {_engine(result)}, {result['dtype']}, "
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
