"""Membrane potentials and S-PSPs that are recorded besides spikes: in a trace file, or in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.trace import schema
from eventsnn.trace.afferents import check_exact_time
from eventsnn.trace.choice import Choice
from eventsnn.trace.potential import PotentialTrace, record_potentials, sample_length
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.selection import find_projection, find_spike
from eventsnn.trace.spsp import PairTotals, SpikeShares, pair_totals, spike_shares

LARGEST = 4 << 30
"""Bytes of potentials that are kept in memory."""

_ROW_BYTES = 21

SAMPLED = ("potential", "current")
"""What a replay of a layer gives, by its record option; also the group of a trace, with its column."""


class Quantities:
    """What is recorded of the runs of a network besides their spikes.

    Parameters
    ----------
    network : Network
    choice : Choice
    """

    def __init__(self, network: Network, choice: Choice) -> None:
        self.network, self.choice = network, choice

    def check_engine(self, engine: str) -> None:
        """Raise TraceError if they cannot be computed from the spikes of this engine."""
        for option in self.choice.record:
            if option in schema.EXACT:
                check_exact_time(engine, f"record {option!r}")

    def potentials(self, run: SpikeRecord, length: float) -> Iterator[tuple[str, str, PotentialTrace]]:
        """("potential" or "current", layer, values) of what is to be recorded from 0 to `length`, ms."""
        choice, record = self.choice, self.choice.record
        for layer in self.network.names:
            potential = "potential" in record and layer in choice.potential_layers
            current = "current" in record and layer in choice.layers
            if potential or current:
                found = record_potentials(
                    self.network, run, layer, length, choice.step, choice.neurons.get(layer), choice.window
                )
                for wanted, name, values in zip((potential, current), SAMPLED, found, strict=True):
                    if wanted:
                        yield name, layer, values

    def spsps(self, run: SpikeRecord) -> Iterator[tuple[str, Iterator[SpikeShares], PairTotals]]:
        """Projections, the S-PSPs of each spike, and totals, complete once these have been gone through."""
        if not schema.keeps_totals(self.choice.record):
            return
        for projection in self.network.projections:
            layer = self.network.names[projection.target]
            if layer in self.choice.layers:
                totals = pair_totals(self.network, run, projection)
                taken = self.choice.takes_spikes(layer, run[layer].times, run[layer].neurons)
                yield projection.key, spike_shares(self.network, run, projection, totals, taken), totals

    def keep(self, run: SpikeRecord) -> SpikeRecord:
        """The run together with its quantities, in memory.

        Raises
        ------
        TraceError
            They cannot be computed of this run, or are too large for memory.
        """
        choice, length = self.choice, sample_length(run)
        layers = {
            "potential": choice.potential_layers if "potential" in choice.record else (),
            "current": choice.layers if "current" in choice.record else (),
        }
        rows = sum(choice.size(self.network, layer) for each in layers.values() for layer in each)
        span = max(0.0, min(length, choice.window[1]) - choice.window[0])
        need = _ROW_BYTES * rows * (span / choice.step + 1)
        if need > LARGEST:
            raise TraceError(
                f"the membrane potentials take {need / 2**30:.1f} GiB of memory; choose a larger "
                "potential_step, fewer potential_layers, or record them in a file (trace=...)"
            )
        spsps = {key: (list(shares), totals) for key, shares, totals in self.spsps(run)}
        sampled = {(name, layer): values for name, layer, values in self.potentials(run, length)}
        return replace(run, recorded=Recorded(self.network, choice, run, sampled, spsps))


@dataclass(frozen=True, eq=False)
class Recorded:
    """Quantities in memory; see `eventsnn.trace.record.Recorded`."""

    network: Network
    choice: Choice
    run: SpikeRecord
    sampled: dict[tuple[str, str], PotentialTrace]
    spsps: dict[str, tuple[list[SpikeShares], PairTotals]]

    def potential(self, layer: str) -> PotentialTrace:
        """Membrane potentials of a layer."""
        return self._sampled("potential", "membrane potential", layer)

    def current(self, layer: str) -> PotentialTrace:
        """Synaptic currents of a layer."""
        return self._sampled("current", "synaptic current", layer)

    def _sampled(self, name: str, what: str, layer: str) -> PotentialTrace:
        self.network.index(layer)
        if (name, layer) not in self.sampled:
            layers = "potential_layers" if name == "potential" else "record_layers"
            raise TraceError(
                f"no {what} of layer {layer!r} was recorded; simulate with "
                f"record=({name!r},), and the layer among {layers}"
            )
        return self.sampled[name, layer]

    def spsp(
        self, layer: str, neuron: int, spike: int, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """S-PSPs of one spike: (pre, values)."""
        shares, _ = self._projection(layer, projection)
        row = find_spike(self.network, layer, self.run[layer], neuron, spike)
        check_kept(self.choice, layer, neuron, float(self.run[layer].times[row]))
        share = shares[row]
        return share.pre, share.values

    def spsp_total(
        self, layer: str, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """S-PSPs of the run: (post, pre, value)."""
        return self._projection(layer, projection)[1].coordinates()

    def _projection(self, layer: str, projection: str | None) -> tuple[list[SpikeShares], PairTotals]:
        key = find_projection(self.network, layer, projection)
        if key not in self.spsps:
            raise TraceError(
                "no S-PSPs were recorded"
                + (f" of layer {layer!r}" if self.spsps else "; simulate with record=('spsp',)")
            )
        return self.spsps[key]


def check_kept(choice: Choice, layer: str, neuron: int, time: float, where: str = "") -> None:
    """Raise TraceError, which begins with `where`, if the S-PSPs of a spike at `time`, ms, were left out."""
    if not choice.takes_spikes(layer, np.array([time]), np.array([neuron])).all():
        raise TraceError(
            f"{where}no S-PSPs of neuron {neuron} of layer {layer!r} at {time:.6g} ms were recorded: only "
            "chosen neurons and times were"
        )
