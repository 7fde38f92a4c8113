"""``eventsnn plot``: every kind of picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from eventsnn.cli.common import FILE, json_option, report
from eventsnn.cli.output import name_standard_input, refuse_overwriting
from eventsnn.cli.reading import ReadingCommand, reading_options, refuse
from eventsnn.errors import TraceError


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    files: tuple[Path, ...]
    out: Path
    layers: tuple[str, ...]
    neurons: tuple[int, ...]
    reading: dict[str, Any]

    @property
    def file(self) -> Path:
        """The one file."""
        return self.files[0]

    @property
    def layer(self) -> str | None:
        """The one layer, if any."""
        return self.layers[0] if self.layers else None

    @property
    def neuron(self) -> int | None:
        """The one neuron, if any."""
        return self.neurons[0] if self.neurons else None

    @property
    def sample(self) -> int | None:
        """The one recording of a trace, if any."""
        return self.reading.get("sample")


def _raster(asked: Request) -> None:
    from eventsnn.plots import plot_raster

    plot_raster(asked.file, asked.sample or 0, asked.out)


def _potential(asked: Request) -> None:
    from eventsnn.plots import plot_potential
    from eventsnn.trace import Trace

    with Trace(asked.file) as trace:
        layer = asked.layer or trace.network.names[-1]
        plot_potential(trace, asked.sample or 0, layer, asked.neurons or None, path=asked.out)


def _spsp(asked: Request) -> None:
    from eventsnn.plots import plot_spsp
    from eventsnn.plots.spsp import draws_pairs
    from eventsnn.trace import Trace

    with Trace(asked.file) as trace:
        layer, sample, neuron = asked.layer or trace.network.names[-1], asked.sample or 0, asked.neuron
        if neuron is None and not draws_pairs(trace.network, layer):
            neuron = int(trace.spikes(layer, sample).counts.argmax())
        plot_spsp(trace, sample, layer, neuron, asked.out)


def _rates(asked: Request) -> None:
    from eventsnn.plots import plot_rates

    plot_rates(asked.file, asked.out, sample=asked.sample, layers=asked.layers or None)


def _intervals(asked: Request) -> None:
    from eventsnn.plots import plot_intervals

    plot_intervals(asked.file, asked.out, sample=asked.sample, layers=asked.layers or None)


def _network(asked: Request) -> None:
    from eventsnn.plots import plot_network

    plot_network(asked.file, asked.out)


def _fields(asked: Request) -> None:
    from eventsnn.plots import plot_receptive_fields

    plot_receptive_fields(asked.file, asked.out, layer=asked.layer, neurons=asked.neurons or None)


def _curves(asked: Request) -> None:
    from eventsnn.plots import plot_curves

    plot_curves(asked.files, asked.out)


def _confusion(asked: Request) -> None:
    from eventsnn.plots import plot_confusion

    labels, decisions, classes = read_decisions(asked.file)
    if not (labels >= 0).any():
        raise TraceError(f"{asked.file}: none of its recordings has a label")
    plot_confusion(count(labels, decisions, classes), asked.out, classes=classes)


def count(labels: np.ndarray, decisions: np.ndarray, classes: Sequence[str] | None) -> np.ndarray:
    """The confusion matrix."""
    from eventsnn.train.predictions import count_confusion

    return count_confusion(labels, decisions, 0 if classes is None else len(classes))


def read_decisions(file: Path) -> tuple[np.ndarray, np.ndarray, Sequence[str] | None]:
    """Labels, decisions and names of classes: of a trace, a table of predictions, or the folder of a run."""
    from eventsnn._util.hdf5 import read_marks
    from eventsnn.trace import Trace
    from eventsnn.train.history import PREDICTIONS
    from eventsnn.train.predictions import read_predictions

    if file.suffix in (".csv", ".json"):
        return read_predictions(file)
    if file.is_dir():
        table = file / PREDICTIONS
        if not table.exists():
            raise TraceError(f"{table}: no such file; make it with 'eventsnn evaluate --predictions {table}'")
        return read_predictions(table)
    if "eventsnn_network" in (read_marks(file) or ()):
        raise TraceError(f"{file}: a model; make a table with 'eventsnn evaluate --predictions FILE.csv'")
    with Trace(file) as trace:
        rows = [(row.label, row.prediction) for row in trace.samples]
        found = np.array([[-1 if x is None else x for x in row] for row in rows], np.int64)
        labels, decisions = found.reshape(-1, 2).T
        names = trace.network.classes or tuple(map(str, range(trace.network.output.neurons)))
        return labels, decisions, names


def _recording(asked: Request) -> None:
    from eventsnn.cli.describe import describe_recording

    describe_recording(asked.file, asked.out, **{"on_bad": "skip", **asked.reading})


def _space_time(asked: Request) -> None:
    from eventsnn._util.names import printable
    from eventsnn.events import open_events
    from eventsnn.plots import plot_space_time

    with open_events(asked.file, **{"on_bad": "skip", **asked.reading}) as recording:
        plot_space_time(recording, asked.out, title=printable(asked.file.name))


@dataclass(frozen=True)
class Kind:
    """One kind of picture.

    Attributes
    ----------
    draw : callable
    of : str
        What it is drawn from.
    text : str
        What it shows.
    layers, neurons : int
        How many may be chosen.
    sample, reads, many : bool
        Whether a recording of a trace can be chosen, options for reading recordings apply, and several files
        can be given.
    """

    draw: Callable[[Request], None]
    of: str
    text: str
    layers: int = 0
    neurons: int = 0
    sample: bool = False
    reads: bool = False
    many: bool = False


KINDS = {
    "recording": Kind(_recording, "a recording", "events per pixel, and over time", reads=True),
    "space-time": Kind(_space_time, "a recording", "events over space and time", reads=True),
    "raster": Kind(_raster, "a trace", "every spike of one recording", sample=True),
    "potential": Kind(_potential, "a trace", "membrane potentials", layers=1, neurons=8, sample=True),
    "spsp": Kind(_spsp, "a trace", "share of each source neuron in the spikes", 1, 1, sample=True),
    "rates": Kind(_rates, "a trace", "firing rates over time and neurons", layers=6, sample=True),
    "intervals": Kind(_intervals, "a trace", "inter-spike intervals", layers=6, sample=True),
    "network": Kind(_network, "a trace or model", "neurons, synapses, spikes, additions"),
    "fields": Kind(_fields, "a model", "receptive fields: weights as images", layers=1, neurons=24),
    "curves": Kind(_curves, "training runs", "loss, accuracy, ... over the epochs", many=True),
    "confusion": Kind(_confusion, "a trace, run or predictions", "decisions for each label"),
}
_LIST = "\n".join(f"  {name:<11} {kind.of + ':':<28} {kind.text}" for name, kind in KINDS.items())
_HELP = f"""Draw recordings, traces, models and training runs.

\b
KIND is one of
{_LIST}

Of a trace, --sample chooses the recording. Why a spike fired is drawn by 'eventsnn explain --plot'. Pictures
are .png (1600 x 1000), .pdf or .svg.

\b
Example:
  eventsnn plot space-time Test/3/00021.bin -o events.png
  eventsnn plot rates t.h5 -o rates.png
  eventsnn plot fields run/model.h5 --layer hidden -o fields.png
  eventsnn plot curves runs/first runs/second -o curves.pdf
"""


@click.command(cls=ReadingCommand, help=_HELP)
@click.argument("kind", type=click.Choice(list(KINDS)), metavar="KIND")
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@click.option("-o", "--out", type=FILE, required=True, metavar="PICTURE", help="File to write.")
@click.option(
    "--layer", "layers", multiple=True, metavar="L", help="Layer; repeatable for rates and intervals."
)
@click.option(
    "--neuron", "neurons", type=int, multiple=True, metavar="I", help="Neuron, or channel; repeatable."
)
@reading_options(
    sensor="what the file says, else what is usual for its format (34x34x2 for .bin)", on_bad="skip"
)
@json_option
def plot(
    kind: str,
    files: tuple[Path, ...],
    out: Path,
    layers: tuple[str, ...],
    neurons: tuple[int, ...],
    reading: dict[str, Any],
    as_json: bool,
) -> None:
    """Draw a picture."""
    chosen = KINDS[kind]
    if chosen.reads:
        files = tuple(map(name_standard_input, files))
    check_options(kind, chosen, Request(files, out, layers, neurons, reading))
    refuse_overwriting("--out", out, files)
    chosen.draw(Request(files, out, layers, neurons, reading))
    report({"kind": kind, "picture": str(out)}, str(out), as_json)


def check_options(name: str, kind: Kind, asked: Request) -> None:
    """Raise click.UsageError for an option that this kind of picture does not take."""
    if len(asked.files) > 1 and not kind.many:
        raise click.UsageError(f"'plot {name}' takes one file, got {len(asked.files)}.")
    limits = (("layer", asked.layers, kind.layers), ("neuron", asked.neurons, kind.neurons))
    for option, given, most in limits:
        if given and not most:
            raise click.UsageError(f"--{option} is not for 'plot {name}'.")
        if len(given) > most:
            raise click.UsageError(f"'plot {name}' takes --{option} {most} times at most, got {len(given)}.")
    if not kind.reads:
        refuse(asked.reading, f"is not for 'plot {name}'.", ["sample"] if kind.sample else [])
