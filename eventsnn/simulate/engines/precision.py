"""Range checks of a precision: of a network before it runs, and of its state afterwards.

Between two events the state only decays, so that whatever leaves the range of floating point does so at an
arrival: a synaptic current becomes infinite and stays so, or becomes NaN. It is enough to look at the state
where an engine stops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.model.layers import Layer
from eventsnn.model.sparse import is_sparse

ROOM = 16.0
"""By how many units in the last place the threshold must lie above the reset potential, both from rest."""


def check_network(network: Network, real: type[np.floating], *, clocked: bool = False) -> None:
    """Refuse weights and constants that numbers of type `real` cannot hold.

    A weight that is rounded to 0 is no matter: thresholds are normal numbers, 10^7 times as large at least.

    Parameters
    ----------
    network : Network
    real : numpy.float32 or numpy.float64
        Type of potentials, currents and weights.
    clocked : bool
        Of the clocked engine, which knows no other type.

    Raises
    ------
    SimulationError
        Naming the layer or connection, the field and the value.
    """
    limits = np.finfo(real)
    largest, smallest = float(limits.max), float(limits.tiny)
    for layer in network.layers:
        for field, value, vital in _constants(layer):
            if not abs(value) <= largest:
                raise _unheld(f"{layer.owner}: {field} = {value:g} is beyond", real, clocked)
            if vital and abs(value) < smallest:
                raise _unheld(f"{layer.owner}: {field} = {value:g} is below", real, clocked)
        if layer.threshold < ROOM * float(limits.eps) * -layer.resting:
            raise SimulationError(
                f"{layer.owner}: threshold = {layer.threshold:g} is lost beside resting = {layer.resting:g} "
                f"in {np.dtype(real).name}: a neuron would fire for ever; {_wider(real, clocked)}take them "
                "nearer to each other"
            )
    for key, weights in network.weights.items():
        values = weights.data if is_sparse(weights) else weights
        if values.dtype == real or real is np.float64 or not values.size:
            continue  # they are finite in the type that they have
        most = max(float(values.max()), -float(values.min()))
        if most > largest:
            raise _unheld(f"weights of {key!r}: one of size {most:g} is beyond", real, clocked)


def _constants(layer: Layer) -> list[tuple[str, float, bool]]:
    """(field, value, whether 0 would change its meaning) of the constants in potentials."""
    lif = layer.lif
    if not layer.fires:
        return []
    constants = [
        ("threshold", lif.threshold, True),
        ("resting", lif.resting, False),
        ("lateral_inhibition", float(layer.lateral_inhibition), False),
    ]
    if lif.resting:
        constants.append(("threshold - resting", lif.from_rest.threshold, True))
    return constants


def _unheld(what: str, real: type[np.floating], clocked: bool) -> SimulationError:
    limits = np.finfo(real)
    return SimulationError(
        f"{what} what {np.dtype(real).name} holds ({limits.tiny:.3g} .. {limits.max:.3g}); "
        f"{_wider(real, clocked)}divide weights, threshold and resting potential of the layer by one number"
    )


def _wider(real: type[np.floating], clocked: bool) -> str:
    return "" if clocked or real is np.float64 else "compute in float64 (dtype), or "


class StateOverflow(SimulationError):
    """A state that is no longer finite; `layer` is the layer's name, "" if unknown."""

    layer = ""


def overflow(real: type[np.floating], layer: str = "", *, clocked: bool = False) -> StateOverflow:
    """The error for a state that is no longer finite."""
    where = f"layer {layer!r}: " if layer else ""
    error = StateOverflow(
        f"{where}a membrane potential or synaptic current has left the range of {np.dtype(real).name} (up to "
        f"{np.finfo(real).max:.3g}); {_wider(real, clocked)}give it smaller weights (in training a lower "
        "learning rate)"
    )
    error.layer = layer
    return error


def check_state(real: type[np.floating], *arrays: Any) -> None:
    """Raise SimulationError unless all potentials and currents are finite."""
    for array in arrays:
        if not np.isfinite(array).all():
            raise overflow(real)
