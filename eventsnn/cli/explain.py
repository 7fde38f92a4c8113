"""``eventsnn explain``: contributions to a spike, and how sensitive it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn.cli.common import FILE, file_option, json_option, report, sample_option, top_option
from eventsnn.cli.output import refuse_overwriting, require_picture
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
@sample_option
@top_option("How many causes, or derivatives of a kind, to print.")
@click.option(
    "--sensitivity",
    "sensitive",
    is_flag=True,
    help="Show how the spike's time depends on every event, weight, delay and threshold instead.",
)
@file_option(
    "--plot",
    "PICTURE",
    "Draw the contributions on the sensor and in time; with --sensitivity both (.png, .svg, .pdf).",
)
@json_option
def explain(
    trace: Path,
    layer: str | None,
    neuron: int | None,
    spike: int,
    sample: int,
    top: int,
    sensitive: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Show what contributed to one spike of a trace.

    Contributions to the membrane potential add up to the neuron's threshold. Those of spikes that arrived at
    the neuron itself are exact. Through hidden layers, the contribution of a spike is divided among its own
    causes in proportion to theirs, down to the input events. These shares show where the potential came from.
    They do not show what would happen without an event (eventsnn whatif does), or how far the spike would
    move.

    With --sensitivity: derivatives of the spike's time, exact and through all layers, as long as no spike
    appears or disappears. The trace must be of a float64 run in exact time, as simulate makes it.

    \b
    Example:
      eventsnn simulate run/model.h5 Test/3/00021.bin --trace t.h5
      eventsnn explain t.h5 --layer output --neuron 3 --spike 0
    """
    from eventsnn.trace import Trace, format_explanation, format_sensitivity
    from eventsnn.trace import explain as attribute_spike
    from eventsnn.trace import sensitivity as differentiate_spike

    refuse_overwriting("--plot", plot, [trace])
    require_picture("--plot", plot)
    with Trace(trace) as opened:
        name = opened.network.names[-1] if layer is None else layer
        number = most_active(opened, name, sample) if neuron is None else neuron
        place: dict[str, Any] = {"layer": name, "neuron": number, "spike": spike, "sample": sample}
        derivatives = differentiate_spike(opened, **place) if sensitive else None
        contributions = attribute_spike(opened, **place) if not sensitive or plot is not None else None
    if plot is not None:
        draw(contributions, derivatives, plot)
    drawn = {} if plot is None else {"picture": str(plot)}
    if derivatives is not None:
        result = derivatives.to_dict(top) if as_json else {}
        text = format_sensitivity(derivatives, top=top)
    else:
        assert contributions is not None
        result = contributions.to_dict() if as_json else {}
        text = format_explanation(contributions, top=top)
    report({**result, **drawn}, text if plot is None else f"{text}\n\n{plot}", as_json)


def draw(contributions: Any, derivatives: Any, path: Path) -> None:
    """Draw what is known of a spike: its explanation, and its sensitivity where there is one."""
    from eventsnn.plots import plot_explanation, plot_sensitivity

    if derivatives is None:
        plot_explanation(contributions, path)
    else:
        plot_sensitivity(derivatives, contributions, path)


def most_active(trace: Trace, layer: str, sample: int) -> int:
    """Neuron of a layer with the most spikes in a sample, the lowest number among equals; of the output
    layer, the one that decides.

    Raises
    ------
    TraceError
        If the layer stayed silent, or there is no such layer or sample.
    """
    network = trace.network
    decides = network.decides if layer == network.names[-1] else "count"
    counts = trace.spikes(layer, sample).votes(decides)
    if layer == network.names[-1] and not network.output.fires:
        below = ", ".join(network.names[:-1])
        raise TraceError(
            f"{trace.path}: layer {layer!r} is a readout, which never fires; explain a spike of another "
            f"layer ({below})"
        )
    if not counts.any():
        firing = [name for name in network.names if len(trace.spikes(name, sample))]
        instead = f"explain one of another layer ({', '.join(firing)})" if firing else "no layer has any"
        raise TraceError(f"{trace.path}: layer {layer!r} stayed silent in sample {sample}; {instead}")
    return int(counts.argmax())
