"""Membrane potentials and S-PSPs that are recorded besides spikes: in a trace file, or in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


class Quantities:
    """What is to be recorded of the runs of a network.

    Parameters
    ----------
    network : Network
    record : iterable of str
        Of `schema.RECORD`.
    step : float
        Grid of the potentials, ms, > 0.
    layers : iterable of str, optional
        Layers whose potentials are recorded, all by default.

    Attributes
    ----------
    record : tuple of str
        In their usual order, "spikes" always among them.

    Raises
    ------
    TraceError
        An option that there is not, or a step that is not > 0.
    NetworkError
        There is no such layer.
    """

    def __init__(
        self, network: Network, record: Iterable[str], step: float, layers: Iterable[str] | None
    ) -> None:
        self.network, self.record = network, schema.check_record(record)
        self.step = check_span("potential_step", step, TraceError)
        self.layers = network.names if layers is None else tuple(layers)
        for layer in self.layers:
            network[layer]  # raises NetworkError if there is none

    def check_engine(self, engine: str) -> None:
        """Raise TraceError if they cannot be computed from the spikes of this engine."""
        for option in self.record:
            if option != "spikes":
                check_exact_time(engine, f"record {option!r}")

    def potentials(self, run: SpikeRecord, length: float) -> Iterator[tuple[str, PotentialTrace]]:
        """Layers and their potentials from 0 to `length` (ms); none where they are not to be recorded."""
        for layer in self.layers if "potential" in self.record else ():
            yield layer, record_potentials(self.network, run, layer, length, self.step)

    def spsps(self, run: SpikeRecord) -> Iterator[tuple[str, Iterator[SpikeShares], PairTotals]]:
        """Projections, the S-PSPs of each spike, and totals, complete once these have been gone through."""
        for projection in self.network.projections if "spsp" in self.record else ():
            totals = pair_totals(self.network, run, projection)
            yield projection.key, spike_shares(self.network, run, projection, totals), totals

    def keep(self, run: SpikeRecord) -> SpikeRecord:
        """The run together with its quantities, in memory.

        Raises
        ------
        TraceError
            They cannot be computed of this run, or are too large for memory.
        """
        length = sample_length(run)
        neurons = sum(self.network[layer].neurons for layer in self.layers)
        need = _ROW_BYTES * neurons * (length / self.step + 1)
        if "potential" in self.record and need > LARGEST:
            raise TraceError(
                f"the membrane potentials take {need / 2**30:.1f} GiB of memory; choose a larger "
                "potential_step, fewer potential_layers, or record them in a file (trace=...)"
            )
        spsps = {key: (list(shares), totals) for key, shares, totals in self.spsps(run)}
        return replace(run, recorded=Recorded(self.network, run, dict(self.potentials(run, length)), spsps))


@dataclass(frozen=True, eq=False)
class Recorded:
    """Quantities in memory; see `eventsnn.trace.record.Recorded`."""

    network: Network
    run: SpikeRecord
    potentials: dict[str, PotentialTrace]
    spsps: dict[str, tuple[list[SpikeShares], PairTotals]]

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
        shares, _ = self._projection(layer, projection)
        share = shares[find_spike(self.network, layer, self.run[layer], neuron, spike)]
        return share.pre, share.values

    def spsp_total(
        self, layer: str, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """S-PSPs of the run: (post, pre, value)."""
        return self._projection(layer, projection)[1].coordinates()

    def _projection(self, layer: str, projection: str | None) -> tuple[list[SpikeShares], PairTotals]:
        if not self.spsps:
            raise TraceError("no S-PSPs were recorded; simulate with record=('spsp',)")
        return self.spsps[find_projection(self.network, layer, projection)]
