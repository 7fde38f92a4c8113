"""A layer of a network of any graph as one dense layer: the inputs of all its projections side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn._util.threads import Share
from eventsnn.errors import TrainingError
from eventsnn.model import Network, Projection
from eventsnn.model.layers import BIAS
from eventsnn.reference.lif import record as constants_of
from eventsnn.simulate.engines.arrivals import Arrivals, LayerInput
from eventsnn.simulate.engines.blocks import WIDTH, block_count, pack
from eventsnn.simulate.engines.layer_run import LayerRun, order_by_block
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.schema import source_name

MOST_BYTES = 4 << 30
"""Of the weights of a layer's inputs, written out."""


@dataclass
class GraphRun:
    """A mini-batch after the forward pass.

    Attributes
    ----------
    network : Network
        With the weights that it ran with.
    records : list of SpikeRecord
        Of each sample.
    durations : float64 array (samples,)
        When each sample ends, ms; see `Arrivals.ends`.
    """

    network: Network
    records: list[SpikeRecord]
    durations: np.ndarray


@dataclass(frozen=True)
class Inputs:
    """The inputs of a layer: its source neurons, or `apart` their synapses where these have own delays.

    Attributes
    ----------
    first : dict of str to int
        Number of the first input of each key of weights; the bias neuron comes after its layer's own.
    projections : list of (Projection, int)
        Those that end there, and the number of the first input of each.
    size : int
    """

    first: dict[str, int]
    projections: list[tuple[Projection, int]]
    size: int

    @classmethod
    def of(cls, network: Network, number: int, lateral: bool = False, apart: bool = False) -> Inputs:
        """Of layer `number`, lateral inhibition left out unless it is to be there."""
        incoming = [p for p in network.projections if p.target == number and (lateral or not p.lateral)]
        layer, first, size = network.layers[number], {}, 0

        def count(p: Projection) -> int:
            return network.senders(p) if apart else network.source_size(p.source)

        biases, bias = sum(count(p) for p in incoming if p.source == BIAS), 0
        for p in incoming:
            if p.source != BIAS:
                first[p.key] = size
                size += count(p)
                if layer.has_bias and p.key == layer.name:
                    bias, size = size, size + biases
        return cls(first, [(p, bias if p.source == BIAS else first[p.key]) for p in incoming], size)


def join_weights(network: Network, number: int, inputs: Inputs) -> np.ndarray:
    """Weights of a layer's inputs, `apart`, packed, float64 (blocks, inputs, WIDTH)."""
    neurons = network.layers[number].neurons
    if 8 * neurons * inputs.size > MOST_BYTES:
        raise TrainingError(
            f"layer {network.names[number]!r}: learning its time constants takes "
            f"{16 * neurons * inputs.size / 2**30:,.1f} GiB where so many synapses have delays of their own; "
            "leave 'tau_m' and 'tau_s' out of its learn, or give it one delay for all"
        )
    joined = np.zeros((neurons, inputs.size))
    for p, first in inputs.projections:
        branches = p.branches
        if branches is not None and branches.post is not None:
            joined[branches.post, first + np.arange(len(branches.post))] = network.sender_weights(p)
            continue
        joined[:, first : first + network.source_size(p.source)] = network.projection_weights(p)
    packed = np.zeros((block_count(len(joined)), inputs.size, WIDTH))
    pack(joined, packed)
    return packed


def run_joined(
    network: Network,
    run: GraphRun,
    number: int,
    projections: list[tuple[Projection, int]],
    real: type[np.floating],
    share: Share,
    apart: bool = False,
) -> LayerRun:
    """What arrived at a layer through some projections in each sample, and what it fired.

    Synapses with delays of their own arrive one by one if `apart`, else all with the first of their neuron's.

    In a network with loops, whose samples are cut, arrivals after the end are left out.
    """
    layer, samples = network.layers[number], []
    for record, end in zip(run.records, run.durations.tolist(), strict=True):
        trains = []
        for p, first in projections:
            source = record[source_name(network, p)]
            if p.branches is None or (p.branches.each_synapse and len(p.branches.delays) and not apart):
                times, senders = source.times + p.delay, source.neurons
            else:
                times, _, senders = p.arrive(source.times, source.neurons)
            n = int(np.searchsorted(times, end, side="right")) if network.is_recurrent else len(times)
            trains.append((times[:n], senders[:n].astype(np.int32, copy=False) + np.int32(first)))
        times, neurons = (np.concatenate(column) for column in zip(*trains, strict=True))
        order = np.lexsort((neurons, times))
        samples.append((times[order], neurons[order]))
    arrived = LayerInput.of(Arrivals.join(samples), constants_of(layer.lif), real, share)
    fired = [(spikes.times, spikes.neurons) for record in run.records for spikes in [record[str(layer.name)]]]
    return order_by_block(arrived, Arrivals.join(fired), layer)
