"""A readout layer in a mini-batch of the sweep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Share, call
from eventsnn.simulate.engines.arrivals import Arrivals, LayerInput
from eventsnn.simulate.engines.blocks import unpack
from eventsnn.simulate.engines.layer_run import LayerRun, order_by_block
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.precision import overflow
from eventsnn.trace.readout import SLOPE, WHEN, Reading


@dataclass(frozen=True)
class BatchReadout:
    """What a readout layer gives in every sample.

    Attributes
    ----------
    values : float64 array (samples, outputs)
    when, slope : float64 array (samples, outputs)
        Of a maximum: its time, ms, -1 where no potential is above 0; and u' just after it, per ms, below 0
        where an arrival then turned the potential.
    """

    values: np.ndarray
    when: np.ndarray
    slope: np.ndarray

    @property
    def maxima(self) -> Arrivals:
        """The times of the maxima above 0 and their neurons, as if these were spikes."""
        samples, neurons = np.nonzero(self.when >= 0.0)
        order = np.lexsort((neurons, self.when[samples, neurons], samples))
        samples, neurons = samples[order], neurons[order]
        ptr = np.searchsorted(samples, np.arange(len(self.when) + 1))
        return Arrivals(self.when[samples, neurons], neurons.astype(np.int32), ptr.astype(np.int64))


def read_out_batch(
    packed: PackedNetwork, arrivals: Arrivals, ends: np.ndarray, share: Share = call
) -> BatchReadout:
    """Read out the last layer in every sample, to the end of the run; a plain mean, to that of the sample.

    Raises
    ------
    StateOverflow
        The potentials are beyond what float64 holds.
    """
    layer = packed.network.output
    rows = unpack(packed.blocks[str(layer.name)], layer.channels).astype(np.float64)
    weights = np.ascontiguousarray(rows.T)
    found = BatchReadout(*(np.zeros((len(arrivals), layer.neurons)) for _ in range(3)))
    counter = WorkCounter(len(arrivals))

    def work() -> None:
        while (sample := counter.take()) >= 0:
            times, sources = arrivals.sample(sample)
            end = ends[sample] if layer.value == "mean" else np.inf
            known, reading = int(np.searchsorted(times, end)), Reading(layer, weights)
            reading.arrive(times[:known], sources[:known])
            found.values[sample] = reading.values(end)
            if layer.value == "max":
                state = reading.finish(end)
                found.when[sample], found.slope[sample] = state[WHEN], state[SLOPE]

    try:
        share(work, counter)
    except FloatingPointError:
        raise overflow(np.float64, str(layer.name)) from None
    return found


def silent_run(packed: PackedNetwork, number: int, arrivals: Arrivals, share: Share = call) -> LayerRun:
    """The run of a layer of one position that does not fire."""
    ready = LayerInput.of(arrivals, packed.constants[number], packed.real, share)
    silent = Arrivals(np.empty(0), np.empty(0, np.int32), np.zeros(len(arrivals) + 1, np.int64))
    return order_by_block(ready, silent, packed.network.layers[number])
