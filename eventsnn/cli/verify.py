"""``eventsnn verify``: a NIR graph in exact time and in another simulator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn.cli.common import FILE, file_option, json_option, report, top_option, within_option
from eventsnn.cli.output import refuse_overwriting, require_picture
from eventsnn.cli.reading import ReadingCommand, reading_options
from eventsnn.errors import EventFileError

if TYPE_CHECKING:
    from eventsnn.interop.verify import Recording
    from eventsnn.model import Network


@click.command(cls=ReadingCommand)
@click.argument("source", type=FILE, metavar="MODEL.nir")
@click.argument("recordings", type=FILE, metavar="RECORDINGS...", nargs=-1, required=True)
@click.option(
    "--against",
    type=click.Choice(["snntorch", "norse"]),
    required=True,
    help="The other simulator; the extra verify brings both.",
)
@click.option(
    "--dt",
    type=float,
    multiple=True,
    metavar="SECONDS",
    help="Its step; repeatable, to see the error against it. By default the step that MODEL.nir was written "
    "for.",
)
@within_option
@top_option("How many of the differing decisions to print.")
@file_option(
    "--plot", "PICTURE", "Draw the spikes of both, and the error against the step (.png, .pdf, .svg)."
)
@reading_options(sensor="the network's input")
@json_option
def verify(
    source: Path,
    recordings: tuple[Path, ...],
    against: str,
    dt: tuple[float, ...],
    within_ms: float,
    top: int,
    plot: Path | None,
    reading: dict[str, Any],
    as_json: bool,
) -> None:
    """Compare a network in exact time with another simulator.

    Both run the same events; their spikes, counts and decisions are compared, and the error against the step.

    RECORDINGS are files, or one folder of <label>/<recordings>. The other simulator gets MODEL.nir as it is
    where it was written for this simulator and step, else a graph that is written for them in memory. A model
    (.h5) is taken, too.

    \b
    Example:
      eventsnn export run/model.h5 model.nir --dialect snntorch
      eventsnn verify model.nir --against snntorch recordings/Test
      eventsnn verify model.nir --against norse --dt 1e-3 --dt 1e-4 recordings/Test --plot error.png
    """
    from eventsnn.interop.verify import verify as run
    from eventsnn.interop.verify_text import format_verification
    from eventsnn.train.progress import progress_bar

    refuse_overwriting("--plot", plot, [source, *recordings])
    require_picture("--plot", plot)
    model = _open_model(source)
    listed = _read(recordings, model[1], reading)
    with progress_bar(len(listed) * max(1, len(dt)), "verifying", True) as bar:
        found = run(model[0], listed, against, dt or None, within_ms=within_ms, progress=bar.update)
    text = format_verification(found, top=top)
    if plot is not None:
        from eventsnn.interop.verify_picture import plot_verification

        plot_verification(found, plot)
        text += f"\npicture {plot}"
    report({**found.to_dict(), **({} if plot is None else {"plot": str(plot)})}, text, as_json)


def _open_model(source: Path) -> tuple[Any, Network]:
    """What is verified (the path of a graph, or a network), and its network."""
    from eventsnn.cli.compare import is_model
    from eventsnn.model import Network
    from eventsnn.model.nir import import_network

    if is_model(source):
        network = Network.load(source)
        return network, network
    return source, import_network(source).network


def _read(paths: tuple[Path, ...], network: Network, reading: dict[str, Any]) -> list[Recording]:
    """The recordings, for the network's sensor; with their classes where a folder names them."""
    from eventsnn.data import Folder
    from eventsnn.events import ReadingOptions, read
    from eventsnn.interop.verify import Recording
    from eventsnn.train.labels import match_source

    options = ReadingOptions(**reading).for_input(network.input.sensor_size)
    if len(paths) == 1 and paths[0].is_dir():
        folder = match_source(network, Folder(paths[0], reading=options), "RECORDINGS")
        return [
            Recording(str(folder.paths[n]), folder.stream(n), int(folder.labels[n]))
            for n in range(len(folder))
        ]
    folders = [path for path in paths if path.is_dir()]
    if folders:
        raise EventFileError(folders[0], "is a folder; give files, or one folder alone")
    return [Recording(str(path), read(path, **options.given())) for path in paths]
