"""What a layer did as a learning rule sees it, and the charges that rules give to its points.

The points of a neuron are its spikes and the ends of its refractory periods. A rule gives each a charge, and
the sweep in reverse time (``spsp.pyx``) sums them at the arrivals: that is the gradient of the weights, and,
weighted, the derivative by the time of each arrival. Charges are float64 (spikes, 2): at each spike, and at
the end of the refractory period that follows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from eventsnn._ext.charges import charge_counts, charge_derivatives
from eventsnn._ext.layer_events import LayerEvents
from eventsnn._ext.spsp import point_currents
from eventsnn._ext.team import Stage
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Share
from eventsnn.model import LIF
from eventsnn.simulate.engines.arrivals import LayerInput, PatchInput


@dataclass(frozen=True)
class Activity:
    """A layer in a number of units: samples, or the positions of a convolution in one sample.

    Attributes
    ----------
    lif : LIF
        Parameters of its neurons.
    size : int
        Number of neurons in a unit.
    constants : structured array (1,)
        The same as the kernels have them.
    weights : real array (blocks, inputs, WIDTH)
        Weights of its synapses, packed.
    arrivals : LayerInput or PatchInput
        What arrived in each unit.
    times, neurons : float64 array (spikes,), ms; int32 array (spikes,)
        The layer's spikes in the order block, unit, time. A block is WIDTH neurons.
    ptr : int64 array (blocks * units + 1,)
        Spikes of a block in a unit are ``[ptr[block * units + unit], ptr[block * units + unit + 1])``.
    after : int32 array (spikes,) or (0,)
        Number of the last arrival of the unit that is not later than the spike, -1 for none, if noted.
    share : callable
        Calls the work it is given once on each thread.
    kept : bool array (units, size), optional
        Neurons that are not dropped; None if all are there.
    own_blocks : range, optional
        Blocks whose charges are asked for, where other processes compute those of the others; None for all.
    """

    lif: LIF
    size: int
    constants: np.ndarray
    weights: np.ndarray
    arrivals: LayerInput | PatchInput
    times: np.ndarray
    neurons: np.ndarray
    ptr: np.ndarray
    after: np.ndarray
    share: Share
    kept: np.ndarray | None = None
    own_blocks: range | None = None

    def counter(self) -> WorkCounter:
        """Over the blocks whose charges are asked for."""
        own = range(len(self.weights)) if self.own_blocks is None else self.own_blocks
        return WorkCounter(own.stop, own.start)

    @property
    def spikes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Times, neurons and pointers."""
        return self.times, self.neurons, self.ptr

    @cached_property
    def events(self) -> LayerEvents:
        """The same as kernels walk over it."""
        return self.arrivals.layer_events(self.constants, (*self.spikes, self.after))

    @property
    def units(self) -> np.ndarray:
        """Unit of each spike, int64 array (spikes,)."""
        units = len(self.arrivals.arrivals)
        return np.repeat(np.arange(len(self.ptr) - 1) % units, np.diff(self.ptr))

    @property
    def counts(self) -> np.ndarray:
        """Spikes of each neuron in each unit, int64 array (units, neurons)."""
        units = len(self.arrivals.arrivals)
        flat = np.bincount(self.units * self.size + self.neurons, minlength=units * self.size)
        return flat.reshape(units, self.size)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of values (units, size) over the units in which a neuron is not dropped; 0 without any."""
        if self.kept is None:
            return values.mean(axis=0)
        total: np.ndarray = (values * self.kept).sum(axis=0)
        return total / np.maximum(1, self.kept.sum(axis=0))

    def of_kept(self, values: np.ndarray) -> np.ndarray:
        """Values (units, size), 0 where a neuron is dropped."""
        return values if self.kept is None else values * self.kept

    @cached_property
    def previous(self) -> np.ndarray:
        """Number of the spike before each spike of the same neuron, -1 for its first; int64 (spikes,)."""
        units = self.units
        order = np.lexsort((self.times, self.neurons, units))
        same = np.diff(units[order], prepend=-1) == 0
        same &= np.diff(self.neurons[order], prepend=-1) == 0
        previous = np.full(len(order), -1)
        previous[order[same]] = order[np.flatnonzero(same) - 1]
        return previous

    @cached_property
    def currents(self) -> np.ndarray:
        """Synaptic currents at each spike and at the end of its refractory period, float64 (spikes, 2)."""
        currents, counter, events = np.zeros((len(self.times), 2)), self.counter(), self.events
        self.share(lambda: point_currents(self.weights, events, currents, counter), counter)
        return currents


def count_charges(activity: Activity, factor: np.ndarray) -> np.ndarray:
    """Charges of spike counts: c at each spike, -c exp(-(t - r)/tau_m) at the reset r before a spike at t.

    Summed at the arrivals they give c times the spike-train level PSPs (Jin, Zhang & Li, NeurIPS 2018).

    Parameters
    ----------
    factor : real array (units, blocks * WIDTH)
        c of each neuron in each unit.
    """
    charges, stage = begin_charges(activity, factor)
    activity.share(stage, items=len(charges))
    return charges


def begin_charges(activity: Activity, factor: np.ndarray, by_unit: bool = False) -> tuple[np.ndarray, Stage]:
    """An array for the charges that `count_charges` returns, and the stage that fills it: block by block, or
    unit by unit. It reads `factor` only then.
    """
    charges = np.zeros((len(activity.times), 2))
    counter = WorkCounter(len(factor)) if by_unit else activity.counter()
    return charges, charge_counts(activity.events, factor, charges, counter, by_unit)


def derivative_charges(activity: Activity, derivatives: np.ndarray, least_slope: float = 0.0) -> np.ndarray:
    """Charges whose sums are the exact derivatives of a loss, from its derivatives by the spikes' times.

    A spike at t solves V(t) - V(r) e^{-(t - r)/tau_m} = nu with the free PSP V and the reset r before it, so
    that dt/dw and dt/dr follow from the implicit function theorem. Walking from a neuron's last spike to its
    first, with the slope u' = I(t)/tau_s - nu/tau_m of the potential at the threshold:

        total = derivative + what the next spike's reset passes on
        charge -total/u' at the spike, total e^{-(t - r)/tau_m}/u' at the reset before it
        passed on to the spike before: total e^{-(t - r)/tau_m} I(r) / (tau_s u')

    the adjoint method of Wunderlich & Pehle, Scientific Reports 11, 2021, with refractory periods.

    Parameters
    ----------
    derivatives : float64 array (spikes,)
    least_slope : float
        Slopes below this count as this: where a spike only just reaches the threshold, u' is near 0 and
        derivatives grow without bound.
    """
    lif, charges = activity.lif, np.zeros((len(activity.times), 2))
    height, currents = lif.threshold - lif.resting, activity.currents
    counter = activity.counter()
    activity.share(
        lambda: charge_derivatives(
            *activity.spikes,
            currents,
            derivatives,
            height,
            lif.resting,
            lif.tau_m,
            lif.tau_s,
            lif.refractory,
            least_slope,
            charges,
            len(activity.arrivals.arrivals),
            counter,
        ),
        counter,
    )
    return charges
