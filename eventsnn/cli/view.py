"""``eventsnn view``: a page in the browser, or in a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from eventsnn.cli.common import FILE, file_option, note
from eventsnn.cli.output import refuse_overwriting

if TYPE_CHECKING:
    from eventsnn.view.server import PageServer


@click.command()
@click.argument("file", type=FILE)
@click.option("--sample", type=click.IntRange(min=0), metavar="S", help="Which recording to show first.")
@click.option(
    "--spike", metavar="LAYER:I:K", help="Explain spike K (from 0) of neuron I of this layer first."
)
@file_option("--export", "PAGE.html", "Write the page of one recording into a file, and start no server.")
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
def view(
    file: Path,
    sample: int | None,
    spike: str | None,
    export: Path | None,
    port: int,
    host: str,
    names: tuple[str, ...],
    browser: bool,
) -> None:
    """Show a trace in the browser: from a spike to its causes.

    The page shows the table of samples, the raster of all layers, and of a spike that you click its membrane
    potential, the input events and spikes that caused it, and what would change without them. It is served
    for this machine alone, at an address that contains a secret token, until Ctrl-C.

    \b
    Example:
      eventsnn simulate run/model.h5 Test/3/*.bin --trace t.h5
      eventsnn view t.h5
      eventsnn view t.h5 --sample 2 --spike output:3:0 --export why.html
    """
    from eventsnn.view.open import export_page, serve_page

    state = {} if sample is None else {"sample": str(sample)}
    if spike is not None:
        state["path"] = check_spike(spike)
    if export is not None:
        refuse_overwriting("--export", export, [file])
        export_page(file, export, state=state)
        click.echo(str(export))
        return

    def started(server: PageServer) -> None:
        address = "&".join([server.address, *(f"{key}={value}" for key, value in state.items())])
        click.echo(address)
        note("Ctrl-C ends the server.")
        if browser and has_display():
            import webbrowser

            webbrowser.open(address)

    try:
        serve_page(file, host=host, port=port, names=names, started=started)
    except KeyboardInterrupt:
        note("the page is closed")


def check_spike(text: str) -> str:
    """A spike as the page's address has it; wrong use if it is none."""
    from eventsnn.view.address import SpikeName

    try:
        layer, neuron, number = text.rsplit(":", 2)
        return str(SpikeName(layer, int(neuron), int(number)))
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
