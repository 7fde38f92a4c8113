"""Explanations of spikes: contributions to the membrane potential, traced back to the input events.

At a spike the membrane potential equals the threshold, and it is the sum of what each arriving spike
contributes (`eventsnn.trace.afferents`, times the synaptic weight): the direct causes. Between resets the
neuron is linear, so these contributions are exact. A cause that is itself the spike of a neuron has causes in
turn; it hands its contribution down to them in proportion to theirs. Doing so for all spikes in reverse order
of time, each once, ends at input events whose contributions still add up to the threshold.

The proportional division is a convention, that of layer-wise relevance propagation (Bach et al., PLoS ONE
2015): a spike is all or nothing, and no division among its causes follows from the neuron's equations. The
result is neither the sensitivity of the spike's time nor the effect of removing an event; docs/trace.md.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.model.layers import BIAS
from eventsnn.trace.afferents import Afferents
from eventsnn.trace.attribution import INPUT, Attribution
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.runs import describe_run, find_spike, open_run, until
from eventsnn.trace.schema import source_name
from eventsnn.trace.spike_facts import PIXEL_EVENT, SpikeFacts, list_events

EVENT = np.dtype([*PIXEL_EVENT, ("contribution", "f8")])
CAUSE = np.dtype([("layer", "i4"), ("neuron", "i4"), ("t_ms", "f8"), ("contribution", "f8")])


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(SpikeFacts):
    """Contributions to the membrane potential at one spike.

    Attributes
    ----------
    layer, neuron, spike, sample, time_ms, layer_names, sensor_size, origin_us
        See `eventsnn.trace.spike_facts.SpikeFacts`.
    threshold : float
        Threshold of the neuron, to which the contributions add up.
    events : structured array (t_us, x, y, p, contribution)
        Input events before the spike, by time, with their contributions to the membrane potential at the
        spike. Those through a layer in between are shares of its spikes' contributions, in proportion to the
        causes of each.
    event_rows : int64 array (events,)
        Row of each of `events` in the sample's input spikes, by which `eventsnn.what_if` removes it.
    causes : structured array (layer, neuron, t_ms, contribution)
        The direct causes that are spikes of neurons, by time; `layer` is a layer's number.
    direct_input : float
        What input events contribute without a neuron in between; with `causes`, `direct_resting` and
        `direct_bias` this too adds up to the threshold.
    direct_resting : float
        What the neuron's own resting potential contributes.
    direct_bias : float
        What the neuron's own bias contributes.
    resting, bias : float
        The same through all layers in between: what the resting potentials and the biases of all neurons
        that took part contribute. With `events` they add up to the threshold.
    """

    threshold: float
    events: np.ndarray
    event_rows: np.ndarray
    causes: np.ndarray
    direct_input: float
    direct_resting: float
    direct_bias: float
    resting: float
    bias: float

    def __repr__(self) -> str:
        return (
            f"<Explanation of {self.describe_spike()}: {number_of(len(self.events), 'event')}, "
            f"{number_of(len(self.causes), 'spike')} of neurons>"
        )

    @property
    def sum(self) -> float:
        """Sum of all contributions, of events, resting potentials, biases: the threshold, up to rounding."""
        return math.fsum([self.resting, self.bias, *self.events["contribution"]])

    def to_dict(self) -> dict[str, Any]:
        """The explanation as plain values that JSON can hold; keys in the class docstring's terms."""
        events = [dict(zip(EVENT.names or (), row, strict=True)) for row in self.events.tolist()]
        presynaptic = [
            {"layer": self.layer_names[layer], "neuron": neuron, "t_ms": t, "contribution": contribution}
            for layer, neuron, t, contribution in self.causes.tolist()
        ]
        return {
            **self.spike_to_dict(),
            "threshold": self.threshold,
            "sum": self.sum,
            "direct_input": self.direct_input,
            "direct_resting": self.direct_resting,
            "direct_bias": self.direct_bias,
            "resting": self.resting,
            "bias": self.bias,
            "events": events,
            "presynaptic": presynaptic,
        }


def explain(
    trace: str | os.PathLike[str] | Trace | SpikeRecord,
    *,
    layer: str,
    neuron: int,
    spike: int,
    sample: int = 0,
    network: Network | None = None,
) -> Explanation:
    """Attribute the membrane potential at one spike to spikes of neurons and to input events.

    What arrived at the neuron itself contributes exactly what is stated. Through layers in between, the
    contribution of a spike is divided among its own causes in proportion to theirs, down to input events:
    shares of the potential, neither the sensitivity of the spike's time nor the effect of removing an event.

    Parameters
    ----------
    trace : path, Trace or SpikeRecord
        A trace, or what `eventsnn.simulate` returned; spikes are enough, nothing more needs to be recorded.
    layer : str
    neuron : int
    spike : int
        Which of the neuron's spikes in the sample, from 0.
    sample : int
    network : Network, optional
        The one that ran, if `trace` is a `SpikeRecord`.

    Returns
    -------
    Explanation
        The contributions add up to the threshold: to rounding for a float64 run (1e-9 relative), to about
        1e-5 for a float32 run.

    Raises
    ------
    TraceError
        The file is not a trace; there is no such sample, layer, neuron or spike; or the spikes come from the
        clocked engine, to which the exact formula does not apply; or the contributions to a spike do not add
        up to its threshold (to 1e-6 of their absolute sum for a float64 run, 1e-3 for float32): then the
        trace is damaged.
    """
    if layer == "input":
        raise TraceError("an input event has no cause: give the name of a layer of neurons")
    if layer == "bias":
        raise TraceError("a spike of the bias neuron has no cause: give the name of a layer of neurons")
    network, record = open_run(trace, sample, network)
    target, row = find_spike(network, record, layer, neuron, spike, describe_run(trace, sample))
    record = until(record, float(record[layer].times[row]))
    attribution = Attribution(network, record)
    direct, direct_resting = attribution.contributions(target, row)
    credit, reached, resting, bias = attribution.to_input({(target, row): 1.0})
    causes = _direct_causes(direct, record, network)
    rows = np.flatnonzero(reached)
    events = list_events(network, record, rows, EVENT)
    events["contribution"] = credit[rows]
    return Explanation(
        layer=layer,
        neuron=int(neuron),
        spike=int(spike),
        sample=int(sample),
        time_ms=float(record[layer].times[row]),
        threshold=float(network[layer].threshold),
        events=events,
        event_rows=rows,
        causes=causes,
        direct_input=_sum_from(direct, INPUT),
        direct_resting=direct_resting,
        direct_bias=_sum_from(direct, BIAS),
        resting=resting,
        bias=bias,
        layer_names=network.names,
        sensor_size=network.input.sensor_size,
        origin_us=record.origin_us,
    )


def _sum_from(direct: list[tuple[Afferents, np.ndarray]], source: int) -> float:
    """Direct contributions of the arrivals from the input or from the bias neuron."""
    return math.fsum(x for a, share in direct if a.projection.source == source for x in share)


def _direct_causes(
    direct: list[tuple[Afferents, np.ndarray]], record: SpikeRecord, network: Network
) -> np.ndarray:
    parts = []
    for incoming, share in direct:
        source = incoming.projection.source
        if source < 0:
            continue
        # A neuron's own spikes are arrivals of its lateral inhibition with weight 0: no cause.
        used = np.flatnonzero(incoming.weights[: share.size] != 0.0)
        part = np.empty(used.size, CAUSE)
        part["layer"] = source
        part["neuron"] = incoming.neurons[used]
        part["t_ms"] = record[source_name(network, incoming.projection)].times[incoming.rows[used]]
        part["contribution"] = share[used]
        parts.append(part)
    causes = np.concatenate(parts) if parts else np.empty(0, CAUSE)
    return causes[np.lexsort((causes["neuron"], causes["layer"], causes["t_ms"]))]


def format_explanation(explanation: Explanation, *, top: int = 10) -> str:
    """The explanation as text for people: the strongest contributions, the rest summed up.

    Parameters
    ----------
    explanation : Explanation
    top : int
        How many direct causes and how many events to list.
    """
    e = explanation
    lines = [
        f"Spike {e.spike} of neuron {e.neuron} in layer {e.layer!r}, sample {e.sample}, "
        f"at {e.time_ms:.4f} ms",
        f"threshold {e.threshold:g}; contributions add up to {e.sum:.9g}",
    ]
    if e.origin_us:
        lines.append(f"times count from {e.origin_us} us of the recording")
    if e.resting:
        lines.append(
            f"of which the resting potential {e.direct_resting:+.5f}, through all layers {e.resting:+.5f}"
        )
    if e.bias:
        lines.append(f"of which the biases {e.direct_bias:+.5f}, through all layers {e.bias:+.5f}")
    if e.causes.size:
        lines += [
            "",
            f"Direct causes: {number_of(e.causes.size, 'spike')} of neurons "
            "(contribution to the membrane potential)",
        ]
        if e.direct_input:
            lines.append(f"  input events without a neuron in between  {e.direct_input:+.5f}")
        name = max(len(n) for n in e.layer_names)
        lines += [
            f"  {e.layer_names[row['layer']]:<{name}} {row['neuron']:>6d}  at {row['t_ms']:>10.4f} ms  "
            f"{row['contribution']:+.5f}"
            for row in e.causes[_strongest(e.causes, top)]
        ]
        lines += _remainder(e.causes, top)
    shares = ", with their shares of the causes' contributions" if e.causes.size else ""
    lines += [
        "",
        f"Input events: {e.events.size} before the spike{shares}",
        "        t (us)     x     y  p  contribution",
    ]
    lines += [
        f"  {row['t_us']:>12d} {row['x']:>5d} {row['y']:>5d} {row['p']:>2d}  {row['contribution']:+.5f}"
        for row in e.events[_strongest(e.events, top)]
    ]
    lines += _remainder(e.events, top)
    return "\n".join(lines)


def _strongest(rows: np.ndarray, top: int) -> np.ndarray:
    return np.argsort(-np.abs(rows["contribution"]), kind="stable")[:top]


def _remainder(rows: np.ndarray, top: int) -> list[str]:
    weaker = np.delete(rows["contribution"], _strongest(rows, top))
    return [f"  and {weaker.size} more, together {math.fsum(weaker):+.5f}"] if weaker.size else []
