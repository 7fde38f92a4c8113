"""Neuron nodes of NIR as neurons of ours.

A `Reading` says what a file's numbers mean. Ours have u = (v - v_reset) / gain: potentials from the reset on,
divided by the gain that makes an input spike of weight W add W to the synaptic current (see
`eventsnn.model.nir.dialects`). Neurons without a synaptic current jump at a spike; here they rise with a time
constant of `INSTANT_MS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsnn._util.words import number_of
from eventsnn.errors import NetworkError
from eventsnn.model.layers.checks import LONGEST_MS
from eventsnn.model.neuron import LIF
from eventsnn.model.nir.dialects import SECOND_MS, step_gain
from eventsnn.model.nir.graph import NEURONS, FlatGraph, kind_of, numbers_of

INSTANT_MS = 1e-3
"""Synaptic time constant, ms, of neurons that have none: events are 0.001 ms apart."""
OVERSHOOT_MS = 20 * INSTANT_MS
"""Refractory period, ms, of those: the rest of the jump that made a neuron fire is lost, as in a reset."""

READINGS = {
    "portable": "NIR's equations, a spike is a delta function",
    "snntorch": "snnTorch, a spike is 1 for one step",
    "norse": "written by Norse: time constants times dt, a spike adds its weight to the current",
}
"""What the numbers of a file can mean."""

SNNTORCH_DT_S = 1e-4


@dataclass(frozen=True)
class Reading:
    """What the numbers of a file mean.

    Attributes
    ----------
    dialect : str
        A key of `READINGS`.
    unit_ms : float
        The file's unit of time, ms.
    dt_ms : float or None
        The step, ms; None where there is none.
    """

    dialect: str
    unit_ms: float
    dt_ms: float | None

    @property
    def text(self) -> str:
        """The reading in words."""
        unit = "ms" if self.unit_ms == 1.0 else "s"
        step = "" if self.dt_ms is None else f", steps of {self.dt_ms / SECOND_MS:g} s"
        return f"read as {READINGS[self.dialect]}; times in {unit}{step}"


@dataclass(frozen=True)
class Neurons:
    """A population as a layer of ours.

    Attributes
    ----------
    lif : LIF
        The neuron; an infinite threshold where it never fires.
    scale : float64 array (neurons,) or None
        Factor of the weights into each neuron; None where it is 1 for all.
    notes : list of str
        What is not exactly what the file says.
    """

    lif: LIF
    scale: np.ndarray | None
    notes: list[str]


def choose_reading(graph: FlatGraph, dialect: str | None, unit: str | None, dt_s: float | None) -> Reading:
    """What a graph's numbers mean, by what is given and by what they look like.

    Files of snnTorch are known by r = tau / 1e-4 s. Without a `unit`, times are in seconds if all time
    constants are below 1, else in ms.

    Raises
    ------
    NetworkError
        For an unknown dialect or unit, or a step that is none.
    """
    if dialect is not None and dialect not in READINGS:
        raise NetworkError(f"dialect must be one of {', '.join(READINGS)} to read a file, got {dialect!r}")
    if unit not in (None, "s", "ms"):
        raise NetworkError(f"unit must be s or ms, got {unit!r}")
    if dt_s is not None and not (math.isfinite(dt_s) and dt_s > 0.0):
        raise NetworkError(f"dt must be a time above 0, got {dt_s!r} s")
    if dialect is None:
        dialect = "snntorch" if dt_s is None and _is_snntorch(graph) else "portable"
    if dialect == "portable":
        if dt_s is not None:
            raise NetworkError(
                "dt: the dialect 'portable' has no time step; leave dt out or name the dialect"
            )
        times = [abs(values).max(initial=0.0) for _, _, values in _time_constants(graph)]
        seconds = unit == "s" or (unit is None and bool(times) and max(times) < 1.0)
        return Reading(dialect, SECOND_MS if seconds else 1.0, None)
    if unit == "ms":
        raise NetworkError(f"unit: the dialect {dialect!r} writes seconds, got ms")
    default = SNNTORCH_DT_S if dialect == "snntorch" else 1e-3
    return Reading(dialect, SECOND_MS, (dt_s or default) * SECOND_MS)


def _time_constants(graph: FlatGraph) -> list[tuple[str, str, np.ndarray]]:
    found = []
    for name, node in graph.nodes.items():
        for field in ("tau", "tau_mem", "tau_syn"):
            if kind_of(node) in NEURONS and hasattr(node, field):
                found.append((name, field, numbers_of(name, field, getattr(node, field))))
    return found


def _is_snntorch(graph: FlatGraph) -> bool:
    """Whether all r are what snnTorch writes."""
    checks = []
    for name, field, tau in _time_constants(graph):
        if field != "tau_syn":
            r = numbers_of(name, "r", graph.nodes[name].r)
            checks.append(r.shape == tau.shape and np.allclose(r * SNNTORCH_DT_S, tau, rtol=1e-3, atol=0.0))
    return bool(checks) and all(checks)


def read_neurons(name: str, node: Any, size: int, reading: Reading) -> Neurons:
    """A neuron node of `size` neurons as a layer.

    Raises
    ------
    NetworkError
        Naming the node and the parameter: time constants that differ within the layer, a threshold that is
        not above the reset, and others that no LIF neuron can have.
    """
    kind = kind_of(node)
    notes: list[str] = []
    values = _parameters(name, node, size)
    tau_m, tau_s, gain = _dynamics(name, kind, values, reading, notes)
    reset = values.get("v_reset", np.zeros(size))
    resting = (values.get("v_leak", np.zeros(size)) - reset) / gain
    if reset.any():
        notes.append(f"{name!r}: potentials count from v_reset, where they begin, too")
    if "v_threshold" not in values:
        return _readout(name, LIF(math.inf, tau_m, tau_s, 0.0, 0.0), gain, resting, notes)
    threshold = (values["v_threshold"] - reset) / gain
    if (threshold <= 0.0).any():
        n = int(np.argmax(threshold <= 0.0))
        raise NetworkError(
            f"node {name!r}: v_threshold of neuron {n} is {values['v_threshold'][n]:g}, and must be above "
            "v_reset, "
            f"{reset[n]:g}"
        )
    scale = None if (threshold == threshold[0]).all() else threshold[0] / threshold
    if scale is not None:
        resting = resting * scale
    if not np.allclose(resting, resting[0], rtol=1e-6, atol=0.0):
        raise NetworkError(f"node {name!r}: v_leak must be the same for all neurons of a layer")
    refractory = 0.0 if kind.startswith("Cuba") else OVERSHOOT_MS
    lif = LIF(float(threshold[0]), tau_m, tau_s, refractory, float(resting[0]))
    for problem in lif.problems():
        raise NetworkError(f"node {name!r}: {problem}")
    return Neurons(lif, scale, notes)


def _readout(name: str, lif: LIF, gain: np.ndarray, resting: np.ndarray, notes: list[str]) -> Neurons:
    if not np.allclose(resting, resting[0], rtol=1e-6, atol=0.0):
        raise NetworkError(f"node {name!r}: v_leak of a readout must be the same for all neurons")
    if resting.any():
        notes.append(f"{name!r}: v_leak of a readout is taken as 0, which changes no decision")
    notes.append(f"{name!r} never fires: its highest potential is read out, which NIR does not say")
    return Neurons(lif, None if (gain == gain[0]).all() else gain / gain[0], notes)


def _parameters(name: str, node: Any, size: int) -> dict[str, np.ndarray]:
    """The parameters of each neuron, float64 (size,)."""
    found = {}
    for field in ("tau", "tau_mem", "tau_syn", "r", "w_in", "v_leak", "v_threshold", "v_reset"):
        if getattr(node, field, None) is None:
            continue
        array = numbers_of(name, field, getattr(node, field)).astype(np.float64).ravel()
        if array.size not in (1, size):
            raise NetworkError(
                f"node {name!r}: {field} has {number_of(array.size, 'value')} for {number_of(size, 'neuron')}"
            )
        found[field] = np.broadcast_to(array, (size,))
        if field.startswith("tau") and (array <= 0.0).any():
            raise NetworkError(f"node {name!r}: {field} must be above 0, got {array.min():g}")
    return found


def _dynamics(
    name: str, kind: str, values: dict[str, np.ndarray], reading: Reading, notes: list[str]
) -> tuple[float, float, np.ndarray]:
    """tau_m and tau_s (ms), and the gain of each neuron."""
    unit, dt = reading.unit_ms, reading.dt_ms
    current = kind.startswith("Cuba")
    mem = values.get("tau_mem", values.get("tau"))
    if mem is None:
        notes.append(f"{name!r} has no leak: its membrane time constant is {LONGEST_MS:g} ms")
    if not current:
        notes.append(
            f"{name!r} has no synaptic current: the jump at a spike becomes a rise with a time constant of "
            f"{INSTANT_MS:g} ms, and the rest of a jump is lost in a refractory period of {OVERSHOOT_MS:g} ms"
        )
    r = values["r"]
    if reading.dialect == "snntorch":
        assert dt is not None
        tau_m = LONGEST_MS if mem is None else _of_factor(name, "tau_mem", mem, dt)
        tau_s = _of_factor(name, "tau_syn", values["tau_syn"], dt) if current else INSTANT_MS
        jump = r if mem is None else r * (dt / (mem * unit))
        if current:
            lif = LIF(1.0, tau_m, tau_s)
            jump = jump * values["w_in"] * (dt / (values["tau_syn"] * unit)) * step_gain(lif, dt)
    else:
        by_step = reading.dialect == "norse"  # whose tau are times dt, by mistake
        scale = unit * (SECOND_MS / dt if by_step and dt else 1.0)
        tau_m = LONGEST_MS if mem is None else _one(name, "tau_mem", mem) * scale
        tau_s = _one(name, "tau_syn", values["tau_syn"]) * scale if current else INSTANT_MS
        if by_step:
            jump = r * (tau_s / tau_m if current else (dt or 0.0) / tau_m)
        else:
            jump = r if mem is None else r / mem
            jump = jump * values["w_in"] if current else jump
    if not (np.isfinite(jump) & (jump > 0.0)).all():
        raise NetworkError(f"node {name!r}: r and w_in must be above 0, so that a weight keeps its sign")
    return tau_m, tau_s, jump


def _one(name: str, field: str, values: np.ndarray) -> float:
    """The one value of all neurons of a layer."""
    if not np.allclose(values, values[0], rtol=1e-6, atol=0.0):
        raise NetworkError(
            f"node {name!r}: {field} is {values.min():g} to {values.max():g}; all neurons of a layer must "
            "have the "
            "same time constants"
        )
    return float(values[0])


def _of_factor(name: str, field: str, tau: np.ndarray, dt_ms: float) -> float:
    """The time constant, ms, whose decay in a step is 1 - dt / tau."""
    one = _one(name, field, tau) * SECOND_MS
    if one <= dt_ms * (1 + 1e-9):
        raise NetworkError(
            f"node {name!r}: {field} is {one / SECOND_MS:g} s, one step or less: nothing is left after a "
            "step, which "
            "no time constant gives"
        )
    return -dt_ms / math.log1p(-dt_ms / one)
