"""A network laid out for the kernel of the clock, ``cython_ext/engines/engine_clocked.pyx``.

Position by position, the channels of each together, so that a spike adds whole rows of weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np

from eventsnn._ext.engine_clocked import KINDS, LANES, ClockedLayer, ClockedLink, ClockedRun
from eventsnn.model import Layer, Network, Projection
from eventsnn.model.bias import spike_times
from eventsnn.model.layers.geometry import Geometry
from eventsnn.model.settings import DEFAULT_STEP_MS
from eventsnn.model.sparse import is_sparse
from eventsnn.model.steps import further_connections, latency_steps, sparse_weights, to_steps
from eventsnn.reference.clocked import constants
from eventsnn.simulate.engines.blocks import WIDTH, aligned_zeros, block_count, pack
from eventsnn.simulate.engines.precision import check_network, overflow

# Of a neuron in the kernel: potential, current, end of the refractory period.
STATE_BYTES = 12
# What of it is run at once, the size of a first cache; a tenth or more faster than all at once, as measured
# on 28x28-15C5-P2-40C5-P2-300-10.
CACHE_BYTES = 32_000


class Layout:
    """How the kernel numbers the neurons of a layer or of the input.

    Parameters
    ----------
    channels, cells : int
        Neuron ``channel * cells + cell`` of the network has the number ``cell * width + channel`` here.
    width : int
        At least `channels`.
    """

    def __init__(self, channels: int, cells: int, width: int) -> None:
        self.channels, self.cells, self.width = channels, cells, width
        self.size = cells * width
        cell, channel = np.divmod(np.arange(self.size), width)
        self.neurons = channels * cells
        self.ids = np.ascontiguousarray(
            np.arange(self.size).reshape(cells, width)[:, :channels].T.ravel(), np.int32
        )
        self.names = np.where(channel < channels, channel * cells + cell, -1).astype(np.int32)


class ClockedNetwork:
    """A network as the clocked kernel holds it.

    Parameters
    ----------
    network : Network
        One that `eventsnn.model.steps.refusal` has nothing against.
    blocks : dict of str to float32 array (blocks, pre, WIDTH), optional
        Packed weights, those of `PackedNetwork`; dense layers read them in place, convolutions when `refresh`
        is called. The network's own by default, and in any case for further connections.
    step_ms : float
        Length of a step, ms. The kernel knows steps alone: times and constants are divided by it here.

    Attributes
    ----------
    layers : list of ClockedLayer
    layouts : list of Layout
        Of the input and of each layer.
    kernels : dict of str to float32 array (rows, width)
        Weights of the convolutions as the kernel reads them, rows in the order place in the patch, channel.
    """

    def __init__(
        self,
        network: Network,
        blocks: dict[str, np.ndarray] | None = None,
        step_ms: float = DEFAULT_STEP_MS,
    ) -> None:
        check_network(network, np.float32, clocked=True)
        self.network, self.step_ms, self.blocks = network, step_ms, blocks
        i = network.input
        self.layouts = [Layout(i.polarities, i.width * i.height, i.polarities)]
        self.kernels: dict[str, np.ndarray] = {}
        self.layers: list[ClockedLayer] = []
        for layer in network.layers:
            make = self._spatial if layer.shares_weights else self._dense
            layout, laid_out = make(layer, self.layouts[-1])
            self.layouts.append(layout)
            self.layers.append(laid_out)
        self.links = [self._link(p) for p in further_connections(network)]
        self.refresh()

    def refresh(self) -> None:
        """Take over the weights of convolutions from the blocks."""
        for layer in self.network.layers:
            if str(layer.name) in self.kernels:
                self.kernels[str(layer.name)][:, : layer.channels] = self._shared(layer)

    def _shared(self, layer: Layer) -> np.ndarray:
        """Shared weights (rows, channels), rows as in `kernels`."""
        if self.blocks is None:
            flat = layer.shared_weights(self.network.weights.get(str(layer.name))).T
        else:
            flat = np.concatenate(list(self.blocks[str(layer.name)]), axis=1)[:, : layer.channels]
        return np.asarray(flat[_input_order(layer)])

    def to_blocks(self, layer: Layer, rows: np.ndarray) -> np.ndarray:
        """Rows as in `kernels` in the layout (blocks, pre, WIDTH) of packed weights."""
        flat = np.empty((layer.channels, layer.inputs), np.float32)
        flat[:, _input_order(layer)] = rows[:, : layer.channels].T
        packed = np.zeros((block_count(layer.channels), layer.inputs, WIDTH), np.float32)
        pack(flat, packed)
        return packed

    def run(
        self,
        times: np.ndarray,
        neurons: np.ndarray,
        steps: int,
        bias_end: float | None = None,
        kept: Mapping[int, np.ndarray] = MappingProxyType({}),
    ) -> ClockedRun:
        """One sample: float64 times in ms, sorted, before step `steps`; int32 input neurons.

        The bias neuron fires until `bias_end`, ms; by default until the last input spike. Of layers in
        `kept`, by their numbers from 1, only the neurons that it has as True fire; in chains of layers.
        """
        last = float(np.max(times, initial=0.0)) if bias_end is None else bias_end
        biases = self.bias_steps(spike_times(self.network.input, last), steps)
        return self.compute(
            to_steps(times, self.step_ms), neurons, steps, biases, silent=self.silent(kept) if kept else None
        )

    def silent(self, kept: Mapping[int, np.ndarray]) -> np.ndarray:
        """Neurons that are not to fire, as ``ClockedRun`` takes them."""
        each = [np.zeros(layout.size, np.uint8) for layout in self.layouts[1:]]
        for number, silent in enumerate(each, 1):
            if number in kept:
                silent[self.layouts[number].ids] = ~kept[number]
        return np.concatenate(each)

    def compute(
        self,
        at: np.ndarray,
        neurons: np.ndarray,
        steps: int,
        biases: np.ndarray,
        carried: tuple[Any, ...] | None = None,
        silent: np.ndarray | None = None,
    ) -> ClockedRun:
        """`run` of input spikes in the steps `at`, and of the bias neuron's in `biases`; see ``ClockedRun``.

        Raises
        ------
        SimulationError
            The state has left the range of float32.
        """
        i = self.network.input
        try:
            return ClockedRun(
                self.layers,
                at,
                neurons,
                i.width * i.height,
                i.polarities,
                steps,
                biases if i.has_bias else None,
                self.links,
                carried,
                silent,
            )
        except FloatingPointError:
            raise overflow(np.float32, clocked=True) from None

    def bias_steps(self, times: np.ndarray, steps: int) -> np.ndarray:
        """Steps, below `steps`, in which the bias neuron fires at `times`, ms; int32, ascending."""
        whole_steps = np.unique(to_steps(times, self.step_ms)).astype(np.int32)
        return whole_steps[whole_steps < steps]

    def counts(self, run: ClockedRun, number: int) -> np.ndarray:
        """Spikes of each neuron of a layer (0: the input), int32 array (neurons,)."""
        return np.asarray(run.counts(number)[self.layouts[number].ids])

    def train(self, run: ClockedRun, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(times in ms, neurons) of a layer, sorted by both."""
        return self.to_train(number, *self.fired(run, number))

    def fired(self, run: ClockedRun, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(steps, neurons in the kernel's numbering) of a layer, int32, without the bias neuron."""
        steps, ids = run.fired(number)
        real_neurons = ids < self.layouts[number].size
        return steps[real_neurons], ids[real_neurons]

    def to_train(self, number: int, steps: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(times in ms, neurons) of the spikes of a layer, sorted by both."""
        neurons = self.layouts[number].names[ids]
        order = np.lexsort((neurons, steps))
        return steps[order] * self.step_ms, neurons[order]

    def _link(self, p: Projection) -> ClockedLink:
        """A further connection in the kernel's numbering, by source neuron."""
        source, target = self.layouts[p.source + 1], self.layouts[p.target + 1]
        weights = sparse_weights(self.network, p)
        pre, post = source.ids[weights.col], target.ids[weights.row]
        order = np.lexsort((post, pre))
        ptr = np.searchsorted(pre[order], np.arange(source.size + 1)).astype(np.int32)
        return ClockedLink(
            p.source + 1,
            p.target + 1,
            latency_steps(p.delay, self.step_ms),
            ptr,
            post[order].astype(np.int32),
            weights.data[order].astype(np.float32),
        )

    def _dense(self, layer: Layer, source: Layout) -> tuple[Layout, ClockedLayer]:
        # Blocks of neurons are positions to the loops; one cell to whoever reads the spikes.
        blocks = block_count(layer.neurons)
        # The bias neuron is the source's last in either numbering; a layer without biases has no row for it.
        rows, size = layer.inputs, source.size + self.network.input.has_bias
        bias_row = source.neurons if layer.has_bias else -1
        if self.blocks is None:
            weights = aligned_zeros((blocks, rows, WIDTH), np.float32)
            own: Any = self.network.weights[str(layer.name)]
            pack(own.toarray() if is_sparse(own) else own, weights)
        else:
            weights = self.blocks[str(layer.name)]
        return Layout(layer.neurons, 1, blocks * WIDTH), self._layer(
            "dense",
            layer,
            source,
            positions=blocks,
            width=WIDTH,
            channels=layer.neurons,
            area=1,
            source_size=size,
            row_of=np.append(source.names, np.int32(bias_row))[:size],
            id_of=np.append(source.ids, np.int32(source.size))[:rows],
            weights=weights.reshape(-1),
            parts=[],
        )

    def _spatial(self, layer: Layer, source: Layout) -> tuple[Layout, ClockedLayer]:
        layout = Layout(layer.channels, layer.positions, -(-layer.channels // LANES) * LANES)
        geometry, kind = layer.geometry, "pool" if _sums_windows(layer) else "conv"
        weights = np.empty(0, np.float32)
        if kind == "conv":
            kernel = self.kernels[str(layer.name)] = aligned_zeros((layer.inputs, layout.width), np.float32)
            weights = kernel.reshape(-1)

        def make(first: int, last: int, parts: list[ClockedLayer]) -> ClockedLayer:
            ptr, patch, offset, cells = _tables(geometry, layer.has_bias, first, last)
            return self._layer(
                kind,
                layer,
                source,
                positions=last - first,
                width=layout.width,
                channels=layout.channels,
                area=geometry.area,
                source_size=source.size,
                ptr=ptr,
                patch=patch,
                offset=offset,
                cells=cells,
                weights=weights,
                parts=parts,
            )

        # Ranges of equal length, as few as keep the state in the first cache.
        count = -(-layout.size * STATE_BYTES // CACHE_BYTES)
        bounds = np.linspace(0, layout.cells, min(count, layout.cells) + 1).round().astype(int).tolist()
        parts = [make(a, b, []) for a, b in pairwise(bounds)] if len(bounds) > 2 else []
        return layout, make(0, layout.cells, parts)

    def _layer(self, kind: str, layer: Layer, source: Layout, **more: Any) -> ClockedLayer:
        return ClockedLayer(
            kind=KINDS[kind],
            rows=layer.inputs,
            source_width=source.width,
            source_channels=source.channels,
            **_constants(layer, self.step_ms),
            **more,
        )


def _input_order(layer: Layer) -> np.ndarray:
    """Input of a position that each row of its kernel is: cell by cell, channels together, the bias last."""
    order = np.arange(layer.patch).reshape(layer.known_source[0], -1).T.ravel()
    return np.append(order, layer.patch)[: layer.inputs]


@lru_cache(maxsize=256)  # a network is laid out anew for every recording
def _tables(
    geometry: Geometry, has_bias: bool, first: int, last: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`Geometry.table` and the cells of the patches first, ..., last - 1 alone, numbered from 0; int32.

    The bias neuron is one more cell, seen by all patches of a layer with biases as one more cell of theirs.
    """
    ptr, patch, offset = geometry.table
    inside = (patch >= first) & (patch < last)
    before = np.concatenate([[0], np.cumsum(inside)])
    biased = np.arange((last - first) * has_bias)
    return (
        np.append(before[ptr], before[-1] + len(biased)).astype(np.int32),
        np.append(patch[inside] - first, biased).astype(np.int32),
        np.append(offset[inside], np.full(len(biased), geometry.area)).astype(np.int32),
        np.ascontiguousarray(geometry.cells[first:last].ravel(), np.int32),
    )


def _sums_windows(layer: Layer) -> bool:
    """Whether each neuron sums the spikes of a window of one map, each with weight 1."""
    weightless = layer.weight_shape is None and layer.depthwise
    return weightless and bool((layer.shared_weights(None) == layer.connected).all())


def _constants(layer: Layer, step_ms: float) -> dict[str, Any]:
    """Constants of a layer as `ClockedLayer` takes them."""
    c = constants(layer, layer.threshold_slack, step_ms)
    # Dividing by a power of two is multiplying by its inverse: the kernel is then much faster.
    exact = all(math.frexp(float(np.float32(tau)))[0] == 0.5 for tau in (c.tau_m, c.tau_s))
    return {**c._asdict(), "latency": latency_steps(layer.least_delay, step_ms), "exact": exact}
