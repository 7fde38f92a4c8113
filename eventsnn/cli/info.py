"""``eventsnn info``: the description of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn._util.names import are_numbers, list_names, printable
from eventsnn._util.words import number_of
from eventsnn.cli.common import FILE, file_option, format_fields, format_size, json_option, report
from eventsnn.cli.output import name_standard_input, refuse_overwriting, require_picture
from eventsnn.cli.reading import ReadingCommand, reading_options, refuse

if TYPE_CHECKING:
    from eventsnn.model import Network

DECISIONS = {
    "first": "the first output spike decides",
    "max": "the highest output potential decides",
    "mean": "the largest mean output potential decides",
    "weighted": "the largest weighted mean of the output potentials decides",
}
"""How networks decide, where not by spike counts."""

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


@click.command(cls=ReadingCommand)
@click.argument("file", type=FILE)
@file_option("--plot", "PICTURE", "Draw where and when the events are (.png, .svg, .pdf).")
@reading_options(
    sensor="what the file says, else what is usual for its format (34x34x2 for .bin)", on_bad="skip"
)
@json_option
def info(file: Path, reading: dict[str, Any], plot: Path | None, as_json: bool) -> None:
    """Describe FILE: a recording, model, trace or packed data set.

    A recording is read to its end, in bounded memory; its anomalies are counted and are no errors. - is a
    recording on standard input.

    \b
    Example:
      eventsnn info Train/3/00008.bin
      eventsnn info camera.raw --plot camera.png
      eventsnn info run/model.h5 --json
    """
    from eventsnn.data.packed_file import MAGIC
    from eventsnn.events.unpack import is_pipe

    file = name_standard_input(file)
    refuse_overwriting("--plot", plot, [file])
    require_picture("--plot", plot)
    kind = "recording"
    looked_into = "format" not in reading and not is_pipe(file)  # a pipe gives its bytes but once
    if looked_into and _starts_with(file, MAGIC):
        kind = "packed"
    elif looked_into and _starts_with(file, HDF5_MAGIC) and not _holds_recording(file):
        kind = "hdf5"
    if kind != "recording":
        if plot is not None:
            raise click.UsageError(f"--plot is for recordings; {file} is none.")
        refuse(reading, f"is for recordings; {file} is none.")
        result, text = _describe_packed(file) if kind == "packed" else _describe_hdf5(file)
    else:
        from eventsnn.cli.describe import describe_recording

        result, text = describe_recording(file, plot, **{"on_bad": "skip", **reading})
    report(result, text, as_json)


def _starts_with(file: Path, magic: bytes) -> bool:
    from eventsnn.events.formats.base import read_bytes

    return read_bytes(file, len(magic)) == magic


def _holds_recording(file: Path) -> bool:
    from eventsnn.errors import EventFileError
    from eventsnn.events import detect_format

    try:
        detect_format(file)
    except EventFileError:
        return False
    return True


def _describe_packed(file: Path) -> tuple[dict[str, Any], str]:
    from eventsnn.data import Packed

    data = Packed(file)
    result = {
        "format": "packed",
        "sensor": list(data.sensor_size),
        "recordings": len(data),
        "events": data.events,
        "classes": list(data.classes),
    }
    fields = [
        ("sensor", f"{format_size(data.sensor_size)} (width x height x polarities)"),
        ("recordings", f"{len(data):,}, {number_of(data.events, 'event')}"),
        ("classes", describe_classes(data.classes)),
    ]
    return result, f"{file}: a packed data set\n{format_fields(fields)}"


def describe_classes(classes: Sequence[str]) -> str:
    """How many classes, and their names where they are not just numbers."""
    named = not are_numbers(classes)
    return f"{len(classes)}: {printable(list_names(classes))}" if named else str(len(classes))


def _describe_hdf5(file: Path) -> tuple[dict[str, Any], str]:
    import h5py

    from eventsnn.errors import EventFileError
    from eventsnn.model import Network
    from eventsnn.trace import format_summary, summarise

    try:
        # A trace that is still being written opens in this mode only.
        with h5py.File(file, "r", swmr=file.suffix == ".part") as opened:
            kinds = set(opened.attrs)
    except OSError as error:
        raise EventFileError(file, f"a damaged HDF5 file ({error})") from None
    if "eventsnn_trace" in kinds:
        summary = summarise(file)
        return {"format": "eventsnn-trace", **summary}, f"trace {format_summary(summary)}"
    if "eventsnn_network" in kinds:
        return _describe_network(file, Network.load(file))
    if "eventsnn_checkpoint" in kinds:
        raise EventFileError(file, "a checkpoint of a training run; the model is model.h5 in the same folder")
    raise EventFileError(
        file,
        "an HDF5 file, but neither a model nor a trace of eventsnn, nor a known recording",
    )


def _describe_settings(network: Network) -> str:
    """``steps of 0.6 ms (engine clocked), for 324 ms, stabilised (nmnist)``."""
    settings = network.settings
    exact = settings.step_ms is None
    parts = ["exact time" if exact else f"steps of {settings.step_ms:g} ms (engine clocked)"]
    if settings.duration_ms is not None:
        parts.append(f"for {settings.duration_ms:g} ms")
    if settings.stabilise is not None:
        parts.append(f"stabilised ({settings.stabilise})")
    if network.decides != "count":
        parts.append(DECISIONS[network.decides])
    return ", ".join(parts)


def _describe_network(file: Path, network: Network) -> tuple[dict[str, Any], str]:
    weights = {key: int(array.size) for key, array in network.weights.items()}
    result = {
        "format": "eventsnn-model",
        "sensor": list(network.input.sensor_size),
        "weights": weights,
        **network.to_table(),
        "settings": asdict(network.settings),
    }
    if network.delays:
        result["delays"] = {
            key: {"synapses": each.size, "least_ms": float(each.min()), "most_ms": float(each.max())}
            for key, each in network.delays.items()
            if each.size
        }
    lines = [
        f"{file}: a model",
        f"  input   {format_size(network.input.sensor_size)} = {number_of(network.input.neurons, 'neuron')}",
    ]
    width = max(len(name) for name in network.names)
    for layer in network.layers:
        firing = f"threshold {layer.threshold:g}, " if layer.fires else "never fire, "
        line = f"  {layer.name:<{width}}  {number_of(layer.neurons, 'neuron')}, {firing}"
        line += f"tau_m {layer.tau_m:g} ms, tau_s {layer.tau_s:g} ms"
        if layer.fires:
            line += f", refractory {layer.refractory:g} ms"
        delay = network.describe_delay(str(layer.name), layer.delay)
        if delay != "0":
            line += f", delay{'s' * (' ' in delay)} {delay} ms"
        if layer.lateral_inhibition:
            line += f", lateral inhibition {layer.lateral_inhibition:g}"
        if layer.learn:
            line += f"; learns {', '.join(layer.learn)}"
        lines.append(line)
    for c in network.connections:
        delay = network.describe_delay(c.key, c.delay)
        lines.append(f"  {c.key}: from {c.source} to {c.target}, delay{'s' * (' ' in delay)} {delay} ms")
    lines.append(f"  {sum(weights.values()):,} synaptic weights")
    lines.append(f"  samples run in {_describe_settings(network)}")
    if network.classes is not None:
        lines.append(f"  classes {describe_classes(network.classes)}")
    return result, "\n".join(lines)
