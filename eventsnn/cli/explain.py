"""``eventsnn explain``: contributions to a spike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from eventsnn.cli.common import FILE, json_option, report
from eventsnn.errors import TraceError

if TYPE_CHECKING:
    from eventsnn.trace import Trace


@click.command()
@click.argument("trace", type=FILE, metavar="T.h5")
@click.option("--layer", metavar="L", help="Layer of the neuron; the output by default.")
@click.option("--neuron", type=int, metavar="I", help="Neuron; the layer's most active one by default.")
@click.option(
    "--spike", type=int, default=0, show_default=True, metavar="K", help="Which of its spikes, from 0."
)
@click.option(
    "--sample", type=int, default=0, show_default=True, metavar="S", help="Which recording, from 0."
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="N",
    help="How many causes to print.",
)
@json_option
def explain(
    trace: Path, layer: str | None, neuron: int | None, spike: int, sample: int, top: int, as_json: bool
) -> None:
    """Show what contributed to one spike of a trace.

    Contributions to the membrane potential add up to the neuron's threshold. Those of spikes that arrived at
    the neuron itself are exact. Through hidden layers, the contribution of a spike is divided among its own
    causes in proportion to theirs, down to the input events. These shares show where the potential came from.
    They do not show what would happen without an event, or how far the spike would move.

    \b
    Example:
      eventsnn simulate run/model.h5 Test/3/00021.bin --trace t.h5
      eventsnn explain t.h5 --layer output --neuron 3 --spike 0
    """
    from eventsnn.trace import Trace, format_explanation
    from eventsnn.trace import explain as attribute_spike

    with Trace(trace) as opened:
        name = opened.network.names[-1] if layer is None else layer
        number = most_active(opened, name, sample) if neuron is None else neuron
        explanation = attribute_spike(opened, layer=name, neuron=number, spike=spike, sample=sample)
    report(explanation.to_dict(), format_explanation(explanation, top=top), as_json)


def most_active(trace: Trace, layer: str, sample: int) -> int:
    """Neuron of a layer with the most spikes in a sample, the lowest number among equals.

    Raises
    ------
    TraceError
        If the layer stayed silent, or there is no such layer or sample.
    """
    counts = trace.spikes(layer, sample).counts
    if not counts.any():
        raise TraceError(
            f"{trace.path}: layer {layer!r} stayed silent in sample {sample}; there is no spike to look at"
        )
    return int(counts.argmax())
