"""Additions: what the spikes of a run make a network do, synapse by synapse."""

from __future__ import annotations

import numpy as np

from eventsnn.trace.reader import Trace
from eventsnn.trace.schema import source_name


def count_additions(trace: Trace) -> dict[str, int]:
    """Additions of a synaptic weight to a synaptic current, by layer, in all complete samples of a trace.

    Every spike of a neuron is one for each of its synapses: zeros of dense weights, biases, recurrent
    connections and lateral inhibition count, cells beyond the edge of a convolution do not. The steps of a
    clock, decays and comparisons with the threshold are not among them.
    """
    network = trace.network
    found = dict.fromkeys(network.names, 0)
    for projection in network.projections:
        synapses = network.fan_out(projection)
        source, target = source_name(network, projection), network.names[projection.target]
        if len(synapses) and (synapses == synapses[0]).all():  # no need to know whose spikes they are
            found[target] += int(synapses[0]) * trace.n_spikes(source)
        else:
            found[target] += int(np.dot(synapses, trace.totals(source)))
    return found
