"""How would a spike move? Derivatives of its time with respect to all that led to it.

`eventsnn.reference.sensitivity` has the formulas in readable form, `eventsnn.trace.adjoint` computes them.
They hold as long as no spike appears or disappears; what happens then, simulation tells
(`eventsnn.what_if`). What added up to the threshold is another question: `eventsnn.explain`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import TraceError
from eventsnn.model import LIF, Network
from eventsnn.trace.adjoint import Adjoint, Derivatives, pull_back
from eventsnn.trace.afferents import check_exact_time
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.runs import describe_run, find_spike, open_run, until
from eventsnn.trace.spike_facts import PIXEL_EVENT, SpikeFacts, list_events

GRAZING = 0.01
"""A spike is grazing if its potential would have risen by less than this share of the threshold above it."""

EVENT = np.dtype([*PIXEL_EVENT, ("derivative", "f8"), ("strength", "f8")])
SPIKE = np.dtype(
    [
        ("layer", "i4"),
        ("neuron", "i4"),
        ("t_ms", "f8"),
        ("derivative", "f8"),
        ("slope", "f8"),
        ("grazing", "?"),
    ]
)


@dataclass(frozen=True, eq=False, repr=False)
class Sensitivity(SpikeFacts, Derivatives):
    """Derivatives of the time of one spike, through all layers and connections.

    Attributes
    ----------
    layer, neuron, spike, sample, time_ms, layer_names, sensor_size, origin_us
        See `eventsnn.trace.spike_facts.SpikeFacts`.
    slope : float
        u', the slope of the membrane potential at the spike, from before it, unit of weights per ms. All
        derivatives are in proportion to 1/u'.
    events : structured array (t_us, x, y, p, derivative, strength)
        All input events before the spike, by time: row k is input event k of the sample. `derivative` is by
        the event's time, ms per ms, through all the synapses it reaches; `strength` by a factor on all its
        synapses, ms: removing the event moves the spike by about -strength, to first order.
    spikes : structured array (layer, neuron, t_ms, derivative, slope, grazing)
        The spikes that the derivatives pass through, by time, this one included; `layer` is a layer's number,
        `derivative` ms per ms, `slope` the spike's own u'. `grazing`: see `is_grazing`.
    weights : dict of str to array
        By key, ms per unit of weight, float64 in the shape of the network's weights, zeros included (8 bytes
        per weight); ``csr_array`` where those are sparse. A shared weight of a convolution: over all places.
    lateral : dict of str to float
        By layer with lateral inhibition, ms per unit of its strength.
    delays : dict of str to float or array
        By layer or connection, ms per ms. Where source neurons have delays of their own float64 (sources,),
        the bias neuron's last; where synapses have, a ``csr_array`` like `weights`.
    thresholds, resting : dict of str to float
        By layer, ms per unit of the threshold, or of the resting potential.
    refractory : dict of str to float
        By layer, ms per ms of the refractory period.
    """

    slope: float
    events: np.ndarray
    spikes: np.ndarray

    def __repr__(self) -> str:
        grazing = ", grazing" if self.is_grazing else ""
        return (
            f"<Sensitivity of {self.describe_spike()}: slope {self.slope:.6g} per ms{grazing}, "
            f"{number_of(len(self.events), 'event')}, {number_of(len(self.spikes), 'spike')} of neurons>"
        )

    @property
    def is_grazing(self) -> bool:
        """Whether the spike would soon be lost: without a reset and further input, the potential would have
        risen by less than 1 % of the threshold (`GRAZING`) above it. The parabola through the crossing tells:
        ``u'^2 / (2 |u''|)``. Derivatives of such a spike are large, and hold for tiny changes only.
        """
        return bool(self.spikes["grazing"][-1])

    def strongest_weights(self, key: str, top: int = 10) -> list[tuple[tuple[int, ...], float]]:
        """(place, derivative) of the largest derivatives of a projection's weights, largest first."""
        return _strongest(self.weights[key], top)

    def strongest_delays(self, key: str, top: int = 10) -> list[tuple[tuple[int, ...], float]]:
        """The same of its delays, where it has several: (source neuron,) or (post, pre)."""
        return _strongest(self.delays[key], top)

    @property
    def several_delays(self) -> tuple[str, ...]:
        """Keys of the projections whose source neurons or synapses have delays of their own."""
        return tuple(key for key, each in self.delays.items() if not isinstance(each, float))

    def to_dict(self, top: int = 10) -> dict[str, Any]:
        """The sensitivity as plain values that JSON can hold; of every set of weights the `top` strongest."""
        events = [dict(zip(EVENT.names or (), row, strict=True)) for row in self.events.tolist()]
        grazing = self.spikes[self.spikes["grazing"]]
        return {
            **self.spike_to_dict(),
            "slope": self.slope,
            "is_grazing": self.is_grazing,
            "events": events,
            "spikes": len(self.spikes),
            "grazing": [
                {**dict(zip(SPIKE.names or (), row, strict=True)), "layer": self.layer_names[row[0]]}
                for row in grazing.tolist()
            ],
            "weights": {key: _as_table(self.strongest_weights(key, top)) for key in self.weights},
            "lateral": dict(self.lateral),
            "delays": {
                key: _as_table(self.strongest_delays(key, top)) if key in self.several_delays else each
                for key, each in self.delays.items()
            },
            "thresholds": dict(self.thresholds),
            "resting": dict(self.resting),
            "refractory": dict(self.refractory),
        }


def sensitivity(
    trace: str | os.PathLike[str] | Trace | SpikeRecord,
    *,
    layer: str,
    neuron: int,
    spike: int,
    sample: int = 0,
    network: Network | None = None,
) -> Sensitivity:
    """Derivatives of the time of one spike with respect to events, weights, delays, thresholds.

    They are exact, and go through all layers and connections: feed-forward, convolutions and pooling,
    recurrent, feedback and skip connections, lateral inhibition, biases, refractory periods. They say how far
    the spike moves for a small change, as long as no spike of the network appears or disappears.

    An arrival at the very instant of a spike, or of the end of a refractory period, counts as later than it:
    these are derivatives from one side. Spikes at one instant do not move each other.

    Parameters
    ----------
    trace : path, Trace or SpikeRecord
        A trace (spikes and network are enough), or what `eventsnn.simulate` returned; in exact time and
        float64.
    layer : str
    neuron : int
    spike : int
        Which of the neuron's spikes in the sample, from 0.
    sample : int
    network : Network, optional
        The one that ran, if `trace` is a `SpikeRecord`.

    Returns
    -------
    Sensitivity

    Raises
    ------
    TraceError
        Not a trace; no such sample, layer, neuron or spike; a record without its network;
        spikes on a clock or in float32; spikes that are not of this network and input; a spike that only
        touches its threshold, which has no derivative.

    Examples
    --------
    >>> found = es.sensitivity("t.h5", layer="output", neuron=3, spike=0)
    >>> found.events["derivative"], found.weights["hidden"], found.slope
    """
    network, record = open_run(trace, sample, network)
    number, row = find_spike(network, record, layer, neuron, spike, describe_run(trace, sample))
    check_differentiable(record)
    record = until(record, float(record[layer].times[row]))
    found = pull_back(network, record, {(number, row): 1.0})
    return Sensitivity(
        layer=layer,
        neuron=int(neuron),
        spike=int(spike),
        sample=int(sample),
        time_ms=float(record[layer].times[row]),
        slope=float(found.slopes[number][row]),
        events=_events(network, record, found, float(record[layer].times[row])),
        spikes=_spikes(network, record, found, (number, row)),
        **found.derivatives(),
        layer_names=network.names,
        sensor_size=network.input.sensor_size,
        origin_us=record.origin_us,
    )


def check_differentiable(record: SpikeRecord) -> None:
    """Refuse spikes whose times are not exact.

    Raises
    ------
    TraceError
    """
    check_exact_time(record.engine, "a sensitivity")
    if record.dtype != "float64":
        raise TraceError(
            f"a sensitivity needs spikes in float64, but these were computed in {record.dtype}, whose spike "
            "times are rounded; simulate again with dtype='float64' (simulate --dtype float64)"
        )


def _events(network: Network, record: SpikeRecord, found: Adjoint, before: float) -> np.ndarray:
    n = int(np.searchsorted(record.input.times, before))
    events = list_events(network, record, np.arange(n), EVENT)
    events["derivative"], events["strength"] = found.events[:n], found.strengths[:n]
    return events


def _spikes(network: Network, record: SpikeRecord, found: Adjoint, last: tuple[int, int]) -> np.ndarray:
    """The spikes that matter by time, `last` (layer, row) after those of its instant."""
    parts = []
    for number, (name, derivatives) in enumerate(zip(network.names, found.spikes, strict=True)):
        used = np.flatnonzero(derivatives)
        part = np.empty(used.size, SPIKE)
        part["layer"], part["neuron"], part["t_ms"] = (
            number,
            record[name].neurons[used],
            record[name].times[used],
        )
        part["derivative"], part["slope"] = derivatives[used], found.slopes[number][used]
        part["grazing"] = overshoot(part["slope"], network.layers[number].lif) < GRAZING
        is_last = (used == last[1]) & (number == last[0])
        parts.append((part, is_last))
    spikes, is_last = (np.concatenate(column) for column in zip(*parts, strict=True))
    return spikes[np.lexsort((spikes["neuron"], spikes["layer"], is_last, spikes["t_ms"]))]


def overshoot(slope: np.ndarray, lif: LIF) -> np.ndarray:
    """How far above the threshold u would rise after a crossing with this slope, as a share of the threshold.

    From the parabola, u'^2 / (2 |u''|), with u'' = -u'/tau_m - I/tau_s^2 and I/tau_s = u' + (nu - E)/tau_m.
    """
    driven = slope + (lif.threshold - lif.resting) / lif.tau_m
    return np.asarray(slope**2 / (2.0 * (slope / lif.tau_m + driven / lif.tau_s)) / lif.threshold)


def _strongest(found: Any, top: int) -> list[tuple[tuple[int, ...], float]]:
    """(place, value) of the largest values of an array, which may be sparse, largest first."""
    if isinstance(found, np.ndarray):
        flat = found.ravel()
        order = _largest(flat, top)
        places = np.stack(np.unravel_index(order, found.shape), axis=1)
    else:
        coordinates = found.tocoo()
        flat = coordinates.data
        order = _largest(flat, top)
        places = np.stack([part[order] for part in coordinates.coords], axis=1)
    return [(tuple(place), float(flat[k])) for place, k in zip(places.tolist(), order, strict=True)]


def _as_table(strongest: list[tuple[tuple[int, ...], float]]) -> list[dict[str, Any]]:
    return [{"place": list(place), "derivative": value} for place, value in strongest]


def _largest(values: np.ndarray, top: int) -> np.ndarray:
    """Places of the values of largest size, not 0, largest first, the first among equals."""
    size = np.abs(values)
    if len(size) > top:
        bound = np.partition(size, len(size) - top)[len(size) - top]
        places = np.flatnonzero(size >= max(bound, np.nextafter(0.0, 1.0)))
    else:
        places = np.flatnonzero(size)
    return places[np.argsort(-size[places], kind="stable")][:top]


def format_sensitivity(found: Sensitivity, *, top: int = 10) -> str:
    """The sensitivity as text for people: the largest derivatives of every kind.

    Parameters
    ----------
    found : Sensitivity
    top : int
        How many events, and weights of a projection, to list.
    """
    s = found
    lines = [
        f"Spike {s.spike} of neuron {s.neuron} in layer {s.layer!r}, sample {s.sample}, "
        f"at {s.time_ms:.4f} ms",
        f"slope of the membrane potential {s.slope:.6g} per ms"
        + (": grazing, a small change may lose the spike" if s.is_grazing else ""),
    ]
    if s.origin_us:
        lines.append(f"times count from {s.origin_us} us of the recording")
    grazing = int(np.count_nonzero(s.spikes["grazing"]))
    lines += [
        f"through {number_of(len(s.spikes), 'spike')} of neurons, {grazing} of them grazing",
        "",
        "Layers: ms per unit of threshold and of resting potential, ms per ms of refractory period",
        *_table(
            {name: [s.thresholds[name], s.resting[name], s.refractory[name]] for name in s.layer_names},
            ("threshold", "resting", "refractory"),
        ),
        "",
        "Delays: ms per ms",
        *_table(
            {name: [value if isinstance(value, float) else value.sum()] for name, value in s.delays.items()},
            ("delay",),
        ),
    ]
    for key in s.several_delays:
        lines += ["", f"Delays of {key!r}, of which the above is the sum: the strongest"]
        lines += [f"  {_place(place):<20} {value:+.6g}" for place, value in s.strongest_delays(key, top)]
    if s.lateral:
        lines += ["", "Lateral inhibition: ms per unit of its strength"]
        lines += _table({name: [value] for name, value in s.lateral.items()}, ("strength",))
    for key in s.weights:
        lines += ["", f"Weights of {key!r}: ms per unit of weight, the strongest"]
        lines += [f"  {_place(place):<20} {value:+.6g}" for place, value in s.strongest_weights(key, top)]
    lines += [
        "",
        f"Input events: {s.events.size} before the spike; ms per ms of the event's time, "
        "ms per unit of its strength",
        "        t (us)     x     y  p     by time    strength",
    ]
    lines += [
        f"  {row['t_us']:>12d} {row['x']:>5d} {row['y']:>5d} {row['p']:>2d}  {row['derivative']:+10.6f}  "
        f"{row['strength']:+10.6f}"
        for row in s.events[_largest(s.events["derivative"], top)]
    ]
    return "\n".join(lines)


def _place(place: tuple[int, ...]) -> str:
    if len(place) == 1:
        return f"pre {place[0]}"
    if len(place) == 2:
        return f"post {place[0]}, pre {place[1]}"
    return f"channel {place[0]} from {place[1]}, y {place[2]}, x {place[3]}"


def _table(rows: dict[str, list[float]], columns: tuple[str, ...]) -> list[str]:
    """Lines of named numbers, right under their headings."""
    width = max(map(len, rows))
    head = "  " + " " * width + "".join(f"  {column:>12}" for column in columns)
    return [head] + [
        f"  {name:<{width}}" + "".join(f"  {value:>+12.6g}" for value in values)
        for name, values in rows.items()
    ]
