"""``eventsnn inspect``: a trace in numbers and pictures."""

from __future__ import annotations

from pathlib import Path

import click

from eventsnn.cli.common import FILE, file_option, json_option, note, report
from eventsnn.errors import MissingExtraError
from eventsnn.trace import Trace, format_summary, summarise


@click.command()
@click.argument("trace", type=FILE, metavar="T.h5")
@click.option(
    "--sample", type=int, default=0, show_default=True, metavar="S", help="Number of the recording, from 0."
)
@click.option("--layer", metavar="L", help="Layer of potential.png and spsp.png; the output by default.")
@click.option(
    "--neuron", type=int, metavar="I", help="Neuron of the two pictures; by default the most active ones."
)
@file_option("--out", "DIR", "Folder for the pictures; T-pictures beside T.h5 by default.")
@json_option
def inspect(
    trace: Path, sample: int, layer: str | None, neuron: int | None, out: Path | None, as_json: bool
) -> None:
    """Summarise a trace and draw one of its recordings.

    Pictures: raster.png (every spike), potential.png (membrane potentials), spsp.png (the share of
    each pre-synaptic neuron in the spikes). They are computed exactly from spikes and weights, which every
    trace holds.

    \b
    Example:
      eventsnn inspect t.h5
      eventsnn inspect t.h5 --sample 2 --layer hidden --neuron 17 --out pictures
    """
    with Trace(trace) as opened:
        summary = summarise(opened)
        folder = trace.with_name(f"{trace.stem}-pictures") if out is None else out
        try:
            pictures = draw_pictures(opened, sample, layer, neuron, folder) if len(opened) else []
        except MissingExtraError as error:
            if out is not None:
                raise
            note(f"no pictures: {error}")
            pictures = []
    lines = [format_summary(summary), *([""] if pictures else []), *map(str, pictures)]
    report({**summary, "pictures": [str(path) for path in pictures]}, "\n".join(lines), as_json)


def draw_pictures(
    trace: Trace, sample: int, layer: str | None, neuron: int | None, folder: Path
) -> list[Path]:
    """Write the pictures of a sample; `layer` None is the output, `neuron` None those that fired most."""
    from eventsnn.plots import plot_potential, plot_raster, plot_spsp
    from eventsnn.plots.spsp import draws_pairs

    name = trace.network.names[-1] if layer is None else layer
    spikes = trace.spikes(name, sample)  # refuses a wrong layer or sample before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    raster, potential, spsp = (folder / f"{kind}.png" for kind in ("raster", "potential", "spsp"))
    plot_raster(trace, sample, raster)
    plot_potential(trace, sample, name, None if neuron is None else [neuron], path=potential)
    if neuron is None and not draws_pairs(trace.network, name):
        neuron = int(spikes.counts.argmax())
    plot_spsp(trace, sample, name, neuron, spsp)
    return [raster, potential, spsp]
