"""Delays, time constants and thresholds that are learned, by rules that have exact derivatives.

Each is changed in a variable x of its own, 0 at first, by the optimiser of the weights:

    delay       initial + x, kept >= 0
    tau_m, tau_s, threshold     base + (initial - base) e^x, |x| <= ln 10

where base is 0, of a threshold the resting potential if this is above 0: so they stay positive, and
thresholds above rest. As x is 0 at first, weight decay pulls them back to where they began.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from eventsnn._ext.time_constants import BY_COLUMNS, derive_blocks, fill_changes
from eventsnn._ext.work_counter import WorkCounter
from eventsnn.errors import TrainingError
from eventsnn.learn.charges import Activity
from eventsnn.learn.optimisers import Optimiser
from eventsnn.model import Connection, Layer

FARTHEST = math.log(10.0)
"""Time constants and thresholds may become ten times as large or as small as they were."""


class LearnedConstant:
    """A number of a layer or connection that is learned, or one for each input of a layer (``"delays"``), or
    the delays of all synapses.

    Parameters
    ----------
    part : Layer or Connection
        As it is before training.
    name : str
        Which, of `LEARNABLE`.
    optimiser : Optimiser
        That of the weights; `Optimiser.delay_rate` and `constant_rate` multiply its learning rate.
    synaptic : float64 array (synapses,), optional
        The delays of its synapses, ms, where these have delays of their own.

    Attributes
    ----------
    field : str
        Of the layer, which holds it; ``"delays"`` are those of synapses, which the network holds.
    x : float64 array (), (inputs,) or (synapses,)
    moments : list of float64 arrays like `x`
    gradient : float64 array like `x`
        Derivative of the loss by the number itself, summed over a mini-batch.
    """

    def __init__(
        self, part: Layer | Connection, name: str, optimiser: Optimiser, synaptic: np.ndarray | None = None
    ) -> None:
        self._is_delay = name in ("delay", "delays")
        self.field = "delay" if self._is_delay else name
        given, self._base = getattr(part, self.field), 0.0
        shape: tuple[int, ...] = ()
        if isinstance(part, Layer):
            shape = (part.inputs,) if name == "delays" else ()
            self._base = max(part.lif.resting, 0.0) if name == "threshold" else 0.0
        if isinstance(given, tuple) and name == "delay":
            raise TrainingError(
                f"{part.owner} has a delay for each source neuron: let it learn 'delays', not 'delay'"
            )
        self.synaptic = self._is_delay and synaptic is not None
        if self._is_delay and synaptic is not None:
            self.field, given, shape = "delays", synaptic, (len(synaptic),)
        self._initial = np.broadcast_to(np.asarray(given, np.float64), shape)
        self._factor = optimiser.delay_rate if self._is_delay else optimiser.constant_rate
        self._method = optimiser.method
        self.x, self.gradient, *self.moments = (np.zeros(shape) for _ in range(2 + self._method.moments))

    @property
    def value(self) -> float | tuple[float, ...] | np.ndarray:
        """The number, or all of them."""
        if self.synaptic:
            return self._values()
        values: Any = self._values().tolist()
        return tuple(values) if self.x.shape else values

    def _values(self) -> np.ndarray:
        if self._is_delay:
            return self._initial + self.x
        return np.asarray(self._base + (self._initial - self._base) * math.exp(float(self.x)))

    @property
    def gradient_by_x(self) -> np.ndarray:
        """The derivative by `x` instead, float64 array like it."""
        slope = 1.0 if self._is_delay else self._values() - self._base
        return np.asarray(slope * self.gradient)

    def clip(self) -> None:
        """Keep `x` where the number is one that can be."""
        least, most = (-self._initial, np.inf) if self._is_delay else (-FARTHEST, FARTHEST)
        np.clip(self.x, least, most, out=self.x)

    def update(self, scale: float, rate: float, number: int) -> None:
        """Step `number` with the gradient ``scale * gradient``, which becomes zero."""
        new = self._method.step(self.x, scale * self.gradient_by_x, self.moments, self._factor * rate, number)
        for array, values in zip((self.x, *self.moments), new, strict=True):
            array[...] = values
        self.clip()
        self.gradient[...] = 0.0


class LearnedConstants:
    """All that is learned of a network besides its weights.

    Parameters
    ----------
    parts : iterable of Layer and Connection
        As they are before training; their ``learn`` says what.
    optimiser : Optimiser
    delays : mapping of str to float64 array, optional
        Of synapses, see `Network.delays`.

    Attributes
    ----------
    by_key : dict of str to dict of str to LearnedConstant
        By the name of a layer or the key of a connection, where there are any, and what ``learn`` calls it.
    """

    def __init__(
        self,
        parts: Iterable[Layer | Connection],
        optimiser: Optimiser,
        delays: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        delays = delays or {}
        self.by_key = {
            _key(part): {
                name: LearnedConstant(part, name, optimiser, delays.get(_key(part))) for name in part.learn
            }
            for part in parts
            if part.learn
        }

    def __bool__(self) -> bool:
        return bool(self.by_key)

    def of(self, part: Layer | Connection) -> Mapping[str, LearnedConstant]:
        """What is learned of a layer or connection, as ``learn`` calls it."""
        return self.by_key.get(_key(part), {})

    @property
    def values(self) -> dict[str, dict[str, Any]]:
        """The numbers, by key and field, as `Network.with_constants` takes them."""
        return {key: {one.field: one.value for one in each.values()} for key, each in self.by_key.items()}

    @property
    def listed(self) -> dict[str, dict[str, Any]]:
        """`values` without the delays of synapses, which are as many as weights."""
        kept = {key: [one for one in each.values() if not one.synaptic] for key, each in self.by_key.items()}
        return {key: {one.field: one.value for one in each} for key, each in kept.items() if each}

    @property
    def delays(self) -> dict[str, Any]:
        """The delays of synapses, by key, as `Network.with_delays` takes them."""
        return {key: one.value for key, each in self.by_key.items() for one in each.values() if one.synaptic}

    @property
    def by_source(self) -> dict[str, dict[str, Any]]:
        """Of `values` the delays of source neurons."""
        return {key: {"delay": each["delays"].value} for key, each in self.by_key.items() if "delays" in each}

    def update(self, scale: float, rate: float, number: int) -> None:
        """See `LearnedConstant.update`."""
        for each in self.by_key.values():
            for one in each.values():
                one.update(scale, rate, number)

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps of them, to be filled in on resuming."""
        found = {}
        for key, each in self.by_key.items():
            for name, one in each.items():
                found[f"constant/{key}/{name}"] = one.x
                for n, moment in enumerate(one.moments):
                    found[f"constant_moment{n}/{key}/{name}"] = moment
        return found


def _key(part: Layer | Connection) -> str:
    return part.key if isinstance(part, Connection) else str(part.name)


def time_constant_derivatives(activity: Activity, charges: np.ndarray) -> tuple[float, float]:
    """Derivatives of the loss by tau_m and tau_s of a layer, from the charges of its points.

    The formulas stand in eventsnn/reference/time_constants.py.
    """
    blocks, arrivals = len(activity.weights), activity.arrivals.arrivals
    changes = np.zeros((len(arrivals.times), BY_COLUMNS), activity.weights.dtype)
    found = np.zeros((blocks, 2, activity.weights.shape[2]))
    counter, turns, events = WorkCounter(len(arrivals)), WorkCounter(blocks), activity.events
    activity.share(
        lambda: fill_changes(arrivals.times, arrivals.ptr, activity.constants, changes, counter), counter
    )
    activity.share(lambda: derive_blocks(activity.weights, events, changes, charges, found, turns), turns)
    by_m, by_s = found.sum(axis=(0, 2)).tolist()
    return by_m, by_s


def constant_derivatives(
    activity: Activity, charges: np.ndarray, names: Mapping[str, object]
) -> dict[str, Any]:
    """Derivatives of the loss by those of threshold, tau_m and tau_s of a layer that are among `names`.

    A spike at t moves by dt/dnu = 1/u' with the threshold nu, and its charge is -dL/dt / u'.
    """
    found: dict[str, Any] = {}
    if "threshold" in names:
        found["threshold"] = -float(charges[:, 0].sum())
    if "tau_m" in names or "tau_s" in names:
        both = dict(zip(("tau_m", "tau_s"), time_constant_derivatives(activity, charges), strict=True))
        found |= {name: both[name] for name in both if name in names}
    return found


NO_CONSTANTS = LearnedConstants((), Optimiser())
"""Nothing but weights is learned."""
