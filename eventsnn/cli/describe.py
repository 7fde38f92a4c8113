"""The description of a recording that ``eventsnn info`` prints, gathered part by part."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.cli.common import format_fields, format_size, printable
from eventsnn.events import Recording, detect_format, open_events
from eventsnn.events.formats.base import Anomalies
from eventsnn.events.formats.streams import StreamChoiceError, StreamInfo
from eventsnn.events.origin import find_origin
from eventsnn.events.summary import RecordingSummary


def describe_recording(file: Path, plot: Path | None, **reading: Any) -> tuple[dict[str, Any], str]:
    """(result, text) of a recording; options as of `open_events`. Draws `plot` if it is given.

    Of a file with several event streams of which none is chosen: the list of them.
    """
    try:
        recording = open_events(file, **reading)
    except StreamChoiceError as error:
        if "stream" in reading:
            raise
        return _list_streams(file, error.streams, reading.get("format"))
    with recording:
        width, height, _ = recording.sensor_size
        summary = RecordingSummary((height, width))
        for part in recording:
            summary.add(part)
    first = summary.first
    last = None if first is None else summary.last
    duration = summary.last - (first or 0) if first is not None else 0
    rate = summary.n / duration * 1e6 if duration else None
    result = {
        "format": recording.format,
        **_stream_facts(recording),
        "sensor": list(recording.sensor_size),
        "events": summary.n,
        "t_first_us": first,
        "t_last_us": last,
        "origin_us": _find_origin(first),
        "on_fraction": summary.on / summary.n if summary.n else None,
        "duration_ms": duration / 1e3,
        "events_per_s": rate,
        "active_pixels": int(np.count_nonzero(summary.map)),
        "anomalies": vars(recording.anomalies),
    }
    fields = [
        ("format", recording.format),
        *([("stream", str(recording.stream))] if len(recording.streams) > 1 else []),
        ("sensor", f"{format_size(recording.sensor_size)} (width x height x polarities)"),
        ("events", f"{summary.n:,}"),
    ]
    if first is not None:
        fields += [
            ("time", f"{first:,} .. {last:,} us ({duration / 1e3:.3f} ms)"),
            *_describe_start(first),
            ("rate", f"{rate:,.0f} events/s" if rate else "-"),
            ("polarity", f"{100 * summary.on / summary.n:.1f} % ON"),
            ("pixels", f"{result['active_pixels']:,} of {width * height:,} have events"),
        ]
    fields.append(("odd", _describe_anomalies(recording.anomalies, reading.get("on_bad"))))
    if plot is not None:
        from eventsnn.plots import plot_recording

        plot_recording(plot, summary.map, summary.rate, summary.step / 1e3, title=printable(file.name))
        fields.append(("picture", str(plot)))
    return result, f"{file}: a recording\n{format_fields(fields)}"


def _stream_facts(recording: Recording) -> dict[str, Any]:
    if recording.stream is None:
        return {}
    listed = [stream.to_dict() for stream in recording.streams]
    return {"stream": recording.stream.number, "streams": listed}


def _list_streams(
    file: Path, streams: tuple[StreamInfo, ...], file_format: str | None
) -> tuple[dict[str, Any], str]:
    """The streams that can be chosen."""
    name = file_format or detect_format(file)
    result = {"format": name, "stream": None, "streams": [stream.to_dict() for stream in streams]}
    lines = [
        f"{file}: a recording of {len(streams)} event streams",
        f"  format  {name}",
        *(f"  stream  {stream}" for stream in streams),
        f"choose one: {shlex.join(['eventsnn', 'info', str(file), '--stream', str(streams[0].number)])}",
    ]
    return result, "\n".join(lines)


def _find_origin(first: int | None) -> int | None:
    """The origin that simulation and training subtract; None without events, or if they refuse the
    recording.
    """
    return None if first is None or first < 0 else find_origin(np.array([first]))


def _describe_start(first: int) -> list[tuple[str, str]]:
    """A word about a recording that does not begin near 0."""
    shift = "'convert --from-zero' (stream.shifted() in Python) writes it from 0 on"
    if first < 0:
        return [("start", f"before 0: simulate, train and evaluate refuse it; {shift}")]
    if _find_origin(first):
        return [("start", f"late: simulate, train and evaluate count from its first event; {shift}")]
    return []


def _describe_anomalies(odd: Anomalies, on_bad: str | None) -> str:
    """The counts that are not 0, in words."""
    descriptions = {
        "outside": ("event", "outside the sensor (give its size with --sensor)"),
        "backwards": ("event", "earlier than the one before"),
        "ignored": ("record", "without events"),
        "cut_bytes": ("byte", "of a cut record at the end"),
    }
    counts = [
        f"{number_of(count, descriptions[name][0])} {descriptions[name][1]}"
        for name, count in vars(odd).items()
        if count
    ]
    done = {"clamp": "clamped or left out", "sort": "sorted or left out"}.get(on_bad or "", "left out")
    return f"{', '.join(counts)} ({done})" if counts else "nothing"
