"""Membrane potentials and S-PSPs of one simulation, kept in memory as a trace file would hold them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from eventsnn._util.arguments import check_span
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.trace import schema
from eventsnn.trace.afferents import check_exact_time
from eventsnn.trace.potential import PotentialTrace, record_potentials, sample_length
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.selection import find_projection, find_spike
from eventsnn.trace.spsp import PairTotals, SpikeShares, pair_totals, spike_shares

LARGEST = 4 << 30
"""Bytes of potentials that are kept in memory."""

_ROW_BYTES = 21


@dataclass(frozen=True, eq=False)
class Recorded:
    """Quantities recorded besides spikes; see `eventsnn.trace.record.Recorded`."""

    network: Network
    run: SpikeRecord
    potentials: dict[str, PotentialTrace]
    shares: dict[str, list[SpikeShares]]
    totals: dict[str, PairTotals]

    def potential(self, layer: str) -> PotentialTrace:
        """Membrane potentials of a layer."""
        self.network.index(layer)
        if layer not in self.potentials:
            raise TraceError(
                f"no membrane potential of layer {layer!r} was recorded; simulate with "
                "record=('potential',), and the layer among potential_layers"
            )
        return self.potentials[layer]

    def spsp(
        self, layer: str, neuron: int, spike: int, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """S-PSPs of one spike: (pre, values)."""
        key = self._find_projection(layer, projection)
        share = self.shares[key][find_spike(self.network, layer, self.run[layer], neuron, spike)]
        return share.pre, share.values

    def spsp_total(
        self, layer: str, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """S-PSPs of the run: (post, pre, value)."""
        return self.totals[self._find_projection(layer, projection)].coordinates()

    def _find_projection(self, layer: str, projection: str | None) -> str:
        if not self.shares:
            raise TraceError("no S-PSPs were recorded; simulate with record=('spsp',)")
        return find_projection(self.network, layer, projection)


def with_recorded(
    network: Network,
    run: SpikeRecord,
    record: tuple[str, ...],
    *,
    potential_step: float,
    potential_layers: Iterable[str] | None,
) -> SpikeRecord:
    """The run together with the recorded quantities; `record` is the result of `schema.check_record`.

    Raises
    ------
    TraceError
        They cannot be computed of this run, or are too large for memory.
    """
    potentials: dict[str, PotentialTrace] = {}
    shares: dict[str, list[SpikeShares]] = {}
    totals: dict[str, PairTotals] = {}
    if "potential" in record:
        layers = network.names if potential_layers is None else tuple(potential_layers)
        _check_size(network, run, layers, potential_step)
        length = sample_length(run)
        for layer in layers:
            potentials[layer] = record_potentials(network, run, layer, length, potential_step)
    if "spsp" in record:
        for projection in network.projections:
            totals[projection.key] = pair_totals(network, run, projection)
            shares[projection.key] = list(spike_shares(network, run, projection, totals[projection.key]))
    return replace(run, recorded=Recorded(network, run, potentials, shares, totals))


def check_recording(
    network: Network, record: Iterable[str], step: float, layers: Iterable[str] | None, engine: str
) -> tuple[str, ...]:
    """Check which quantities are to be recorded, before the simulation.

    Raises
    ------
    TraceError
        An option that there is not, or that the engine does not allow, or a step that is not > 0.
    NetworkError
        There is no such layer.
    """
    options = schema.check_record(record)
    check_span("potential_step", step, TraceError)
    for option in options:
        if option != "spikes":
            check_exact_time(engine, f"record {option!r}")
    for layer in layers or ():
        network[layer]  # raises NetworkError if there is none
    return options


def _check_size(network: Network, run: SpikeRecord, layers: tuple[str, ...], step: float) -> None:
    neurons = sum(network[layer].neurons for layer in layers)
    need = _ROW_BYTES * neurons * (sample_length(run) / step + 1)
    if need > LARGEST:
        raise TraceError(
            f"the membrane potentials take {need / 2**30:.1f} GiB of memory; choose a larger potential_step, "
            "fewer potential_layers, or record them in a file (trace=...)"
        )
