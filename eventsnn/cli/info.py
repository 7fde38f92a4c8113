"""``eventsnn info``: what a file is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn.cli.common import FILE, format_fields, format_size, json_option, report, sensor_option

if TYPE_CHECKING:
    from eventsnn.network import Network

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


@click.command()
@click.argument("file", type=FILE)
@sensor_option("34x34x2")
@json_option
def info(file: Path, sensor: tuple[int, ...] | None, as_json: bool) -> None:
    """Say what FILE is: recording, model, trace or packed data set.

    \b
    Example:
      eventsnn info Train/3/00008.bin
      eventsnn info run/model.h5 --json
    """
    from eventsnn.data.packed import MAGIC

    if _starts_with(file, HDF5_MAGIC):
        result, text = _describe_hdf5(file)
    elif _starts_with(file, MAGIC):
        result, text = _describe_packed(file)
    else:
        result, text = _describe_recording(file, sensor)
    report(result, text, as_json)


def _starts_with(file: Path, magic: bytes) -> bool:
    from eventsnn.events.formats.base import read_bytes

    return read_bytes(file, len(magic)) == magic


def _describe_recording(file: Path, sensor: tuple[int, ...] | None) -> tuple[dict[str, Any], str]:
    from eventsnn.events import detect_format, read

    stream = read(file, sensor=sensor)
    seconds = stream.duration / 1e6
    result = {
        "format": detect_format(file),
        "sensor": list(stream.sensor_size),
        "events": len(stream),
        "t_first_us": stream.t_first,
        "t_last_us": stream.t_last,
        "on_fraction": stream.on_fraction,
        "duration_ms": stream.duration / 1e3,
        "events_per_s": len(stream) / seconds if seconds else None,
    }
    fields = [
        ("format", str(result["format"])),
        ("sensor", f"{format_size(stream.sensor_size)} (width x height x polarities)"),
        ("events", f"{len(stream):,}"),
    ]
    if len(stream):
        fields += [
            ("time", f"{stream.t_first:,} .. {stream.t_last:,} us ({stream.duration / 1e3:.3f} ms)"),
            ("rate", f"{len(stream) / seconds:,.0f} events/s" if seconds else "-"),
            ("polarity", f"{100 * (stream.on_fraction or 0.0):.1f} % ON"),
        ]
    return result, f"{file}: a recording\n{format_fields(fields)}"


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
        ("recordings", f"{len(data):,}, {data.events:,} events"),
        ("classes", str(len(data.classes))),
    ]
    return result, f"{file}: a packed data set\n{format_fields(fields)}"


def _describe_hdf5(file: Path) -> tuple[dict[str, Any], str]:
    import h5py

    from eventsnn.errors import EventFileError
    from eventsnn.network import Network
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
    raise EventFileError(file, "an HDF5 file, but neither a model nor a trace of eventsnn")


def _describe_network(file: Path, network: Network) -> tuple[dict[str, Any], str]:
    weights = {key: int(array.size) for key, array in network.weights.items()}
    result = {
        "format": "eventsnn-model",
        "sensor": list(network.input.sensor_size),
        "weights": weights,
        **network.to_table(),
    }
    lines = [
        f"{file}: a model",
        f"  input   {format_size(network.input.sensor_size)} = {network.input.neurons} neurons",
    ]
    width = max(len(name) for name in network.names)
    for layer in network.layers:
        line = (
            f"  {layer.name:<{width}}  {layer.neurons} neurons, threshold {layer.threshold:g}, "
            f"tau_m {layer.tau_m:g} ms, tau_s {layer.tau_s:g} ms, refractory {layer.refractory:g} ms"
        )
        if layer.delay:
            line += f", delay {layer.delay:g} ms"
        if layer.lateral_inhibition:
            line += f", lateral inhibition {layer.lateral_inhibition:g}"
        lines.append(line)
    lines += [f"  {c.key}: from {c.source} to {c.target}, delay {c.delay:g} ms" for c in network.connections]
    lines.append(f"  {sum(weights.values()):,} synaptic weights")
    return result, "\n".join(lines)
