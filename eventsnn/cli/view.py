"""``eventsnn view``: a page in the browser, or in a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn.cli.common import FILE, file_option, json_option, note, report
from eventsnn.cli.output import refuse_overwriting
from eventsnn.cli.reading import ReadingCommand, reading_options

if TYPE_CHECKING:
    from eventsnn.view.address import SpikeName
    from eventsnn.view.server import PageServer


@click.command(cls=ReadingCommand)
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--spike",
    metavar="LAYER:I:K",
    help="Of a trace: explain spike K (from 0) of neuron I of this layer first.",
)
@file_option("--export", "PAGE.html", "Write the page into a file, and start no server.")
@click.option(
    "--port", type=int, default=0, metavar="N", help="Port to listen at; one that is free by default."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen at. Others than this one let other machines in, if they have the token.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="With --host: a name by which browsers call this machine; repeatable.",
)
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser; the default.")
@reading_options(
    sensor="what the file says, else what is usual for its format (34x34x2 for .bin)", on_bad="skip"
)
@json_option
def view(
    files: tuple[Path, ...],
    reading: dict[str, Any],
    spike: str | None,
    export: Path | None,
    port: int,
    host: str,
    names: tuple[str, ...],
    browser: bool,
    as_json: bool,
) -> None:
    """Show a trace, a recording or training runs in the browser.

    Of a trace: the table of samples, the raster of all layers, and of a spike that you click its membrane
    potential, the input events and spikes that caused it, and what would change without them; --sample is
    the one to show first. Of a recording: the sensor in a window of time that plays, space and time, and the
    event rate. Of training runs (folders made by train): curves, live while they train, weights, confusion.

    The page is served for this machine alone, at an address that contains a secret token, until Ctrl-C.

    \b
    Example:
      eventsnn view Test/3/00021.bin
      eventsnn view runs/first runs/second
      eventsnn simulate run/model.h5 Test/3/*.bin --trace t.h5
      eventsnn view t.h5
      eventsnn view t.h5 --sample 2 --spike output:3:0 --export why.html
    """
    from eventsnn.view.open import export_page, serve_page

    state = first_view(files[0], reading, spike)
    if export is not None:
        refuse_overwriting("--export", export, files)
        export_page(files, export, reading=reading, state=state)
        report({"page": str(export)}, str(export), as_json)
        return

    def started(server: PageServer) -> None:
        report({"address": server.address, "port": server.port}, server.address, as_json)
        sys.stdout.flush()
        note("Ctrl-C ends the server.")
        if browser and has_display():
            import webbrowser

            webbrowser.open(server.address)

    try:
        serve_page(files, reading=reading, host=host, port=port, names=names, state=state, started=started)
    except KeyboardInterrupt:
        note("the page is closed")


def first_view(file: Path, reading: dict[str, Any], spike: str | None) -> dict[str, str]:
    """What the page shows first, as its address has it; takes ``--sample`` of a trace out of `reading`."""
    from eventsnn.view.open import find_kind

    if "sample" not in reading and spike is None:
        return {}
    if find_kind(file, reading) != "trace":
        if spike is not None:
            raise click.UsageError(f"--spike is for traces; {file} is none.")
        # Of a file with several recordings --sample says which one to read.
        return {}
    state = {"sample": str(reading.pop("sample", 0))}
    return state if spike is None else {**state, "path": str(parse_spike(spike))}


def parse_spike(text: str) -> SpikeName:
    """A spike by its name; wrong use if it is none."""
    from eventsnn.view.address import SpikeName

    try:
        layer, neuron, number = text.rsplit(":", 2)
        return SpikeName(layer, int(neuron), int(number))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a spike; write layer, neuron and number of the spike, such as output:3:0",
            param_hint="--spike",
        ) from None


def has_display() -> bool:
    """Whether a browser could open a window here; text browsers would take the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
