"""What a page shows of one spike: potential, causes, input events, S-PSPs, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from eventsnn.errors import EventSNNError
from eventsnn.model import Network
from eventsnn.model.layers import BIAS
from eventsnn.plots.potential import curve
from eventsnn.trace.attribution import Attribution
from eventsnn.trace.explain import Explanation, explain
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.runs import find_spike
from eventsnn.trace.schema import source_name
from eventsnn.trace.sensitivity import Sensitivity, sensitivity
from eventsnn.view.address import SpikeName

INPUT = -1  # `Projection.source` of the input

CAUSE = np.dtype(
    [
        ("source", "i4"),
        ("row", "i8"),
        ("neuron", "i4"),
        ("t_ms", "f8"),
        ("weight", "f8"),
        ("contribution", "f8"),
        ("derivative", "f8"),
    ]
)
EVENT = np.dtype([("row", "i8"), ("t_ms", "f8"), ("x", "i4"), ("y", "i4"), ("p", "i4"), ("value", "f8")])
BAR = np.dtype([("source", "i4"), ("neuron", "i4"), ("contribution", "f8"), ("spsp", "f8")])


@dataclass(frozen=True, eq=False)
class SpikePanels:
    """One spike, explained. Its sensitivity is computed when it is asked for.

    Attributes
    ----------
    network : Network
    record : SpikeRecord
    name : SpikeName
    explanation : Explanation
    causes : structured array (source, row, neuron, t_ms, weight, contribution, derivative)
        Direct causes: spikes that arrived at the neuron, input events among them, by time. `source` is a
        layer's number, -1 for the input, -2 for the bias neuron; `row` counts the source's spikes in the
        sample; `derivative` (ms per ms) is NaN where there is none, and until `sorted_causes` needs it.
    bars : structured array (source, neuron, contribution, spsp)
        Pre-synaptic neurons, the strongest contribution first: the sum over their spikes, and without the
        synaptic weight, the S-PSP of their spike train in this spike.
    """

    network: Network
    record: SpikeRecord
    name: SpikeName
    explanation: Explanation
    causes: np.ndarray
    bars: np.ndarray

    @property
    def time_ms(self) -> float:
        """Time of the spike, ms."""
        return self.explanation.time_ms

    @cached_property
    def _derived(self) -> tuple[Sensitivity | None, str]:
        """The sensitivity, or why there is none; also fills in the derivatives of the causes."""
        name = self.name
        try:
            found = sensitivity(
                self.record, network=self.network, layer=name.layer, neuron=name.neuron, spike=name.number
            )
        except EventSNNError as error:
            return None, str(error)
        _add_derivatives(self.causes, found)
        # The page does not show derivatives by weights, which take as much memory as the weights.
        return replace(found, weights={}), ""

    @property
    def sensitivity(self) -> Sensitivity | None:
        """None where spikes have no derivatives."""
        return self._derived[0]

    @property
    def no_sensitivity(self) -> str:
        """Why there is no sensitivity; "" if there is one."""
        return self._derived[1]

    def events(self, mode: str) -> np.ndarray:
        """Input events with their contribution, or with the derivative of the spike's time by theirs.

        Parameters
        ----------
        mode : {"contribution", "sensitivity"}

        Returns
        -------
        structured array (row, t_ms, x, y, p, value)
            By time; `row` counts the input events of the sample. Empty for a sensitivity that there is not.
        """
        found, value = self.explanation.events, "contribution"
        if mode == "sensitivity":
            if self.sensitivity is None:
                return np.empty(0, EVENT)
            found, value = self.sensitivity.events, "derivative"
        events = np.empty(len(found), EVENT)
        events["row"] = np.arange(len(found)) if mode == "sensitivity" else self.explanation.event_rows
        events["t_ms"], events["value"] = found["t_us"] / 1000.0, found[value]
        for name in ("x", "y", "p"):
            events[name] = found[name]
        return events

    def sensor_maps(self, mode: str) -> np.ndarray:
        """Sum of the events' values at every pixel, float64 array (polarities, height, width)."""
        width, height, polarities = self.explanation.sensor_size
        events = self.events(mode)
        pixels = (events["p"] * height + events["y"]) * width + events["x"]
        maps = np.bincount(pixels, weights=events["value"], minlength=width * height * polarities)
        return maps.reshape(polarities, height, width)

    def sorted_causes(self, mode: str) -> np.ndarray:
        """The causes, the strongest first; of equals the later."""
        key = "derivative" if mode == "sensitivity" and self.sensitivity is not None else "contribution"
        strength = np.nan_to_num(np.abs(self.causes[key]))
        return self.causes[np.lexsort((-self.causes["t_ms"], -strength))]


def explain_spike(network: Network, record: SpikeRecord, name: SpikeName, sample: int) -> SpikePanels:
    """Everything about one spike.

    Raises
    ------
    TraceError
        There is no such spike, or it has no explanation; see `eventsnn.explain`.
    """
    where = ("", f" in sample {sample}")
    number, row = find_spike(network, record, name.layer, name.neuron, name.number, where)
    explanation = explain(record, network=network, layer=name.layer, neuron=name.neuron, spike=name.number)
    return SpikePanels(network, record, name, explanation, *_list_causes(network, record, number, row))


def _list_causes(
    network: Network, record: SpikeRecord, number: int, row: int
) -> tuple[np.ndarray, np.ndarray]:
    """`SpikePanels.causes`, without derivatives, and `SpikePanels.bars`."""
    causes, bars = [np.empty(0, CAUSE)], [np.empty(0, BAR)]
    for incoming, shares in Attribution(network, record).contributions(number, row)[0]:
        source = incoming.projection.source
        times = record[source_name(network, incoming.projection)].times
        weights = incoming.weights[: shares.size]
        used = np.flatnonzero(weights != 0.0)
        rows = incoming.rows[used]
        part = np.empty(used.size, CAUSE)
        part["source"], part["row"], part["derivative"] = source, rows, np.nan
        part["neuron"], part["t_ms"] = incoming.neurons[used], times[rows]
        part["weight"], part["contribution"] = weights[used], shares[used]
        causes.append(part)
        neurons, position = np.unique(part["neuron"], return_inverse=True)
        summed = np.empty(neurons.size, BAR)
        summed["source"], summed["neuron"] = source, neurons
        summed["contribution"] = np.bincount(position, part["contribution"], neurons.size)
        summed["spsp"] = np.bincount(position, part["contribution"] / part["weight"], neurons.size)
        bars.append(summed)
    listed, summed = np.concatenate(causes), np.concatenate(bars)
    return (
        listed[np.argsort(listed["t_ms"], kind="stable")],
        summed[np.argsort(-np.abs(summed["contribution"]), kind="stable")],
    )


def _add_derivatives(causes: np.ndarray, found: Sensitivity) -> None:
    """Fill in how the spike's time depends on that of each cause."""
    events = causes["source"] == INPUT
    causes["derivative"][events] = found.events["derivative"][causes["row"][events]]
    known = {(layer, neuron, t): derivative for layer, neuron, t, derivative, *_ in found.spikes.tolist()}
    for k in np.flatnonzero((causes["source"] != INPUT) & (causes["source"] != BIAS)).tolist():
        cause = causes[k]
        key = (int(cause["source"]), int(cause["neuron"]), float(cause["t_ms"]))
        causes["derivative"][k] = known.get(key, np.nan)


def draw_potential(
    network: Network, record: SpikeRecord, layer: str, neuron: int, start: float, end: float, points: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points (ms, potential) of the membrane potential within [start, end] (ms); jumps at resets."""
    times, values = curve(network, record, layer, neuron, np.linspace(start, min(end, record.t_end), points))
    shown = times >= start
    return times[shown], values[shown]
