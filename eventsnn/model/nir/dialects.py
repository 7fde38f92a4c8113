"""How programs read a NIR graph: one equation, several meanings.

NIR's CubaLIF is ``tau_syn I' = -I + w_in S`` and ``tau_mem v' = (v_leak - v) + r I``; it fires at
v_threshold, v becomes v_reset, and I stays. With spikes S that are delta functions in the unit of time, our
neuron is this one for every r, w_in and scale of v with ``r w_in = tau_mem * gain``, where v = gain * u:
weights stay as they are, and the gain goes into v_threshold and v_leak.

Programs with a time step read S as 1 for the length of a step, keep I and v as they like, and use some of the
parameters alone. A `Dialect` says which, and what v is then, so that the potential after an input spike is
ours at every step::

    current    i[n] = a i[n-1] + W S[n]        a = exp(-dt / tau_s)
    potential  v[n] = b v[n-1] + i[n]          b = exp(-dt / tau_m)

gives v[n] = W (b^(n+1) - a^(n+1)) / (b - a), which is our u at the time (n + 1) dt, times a gain. Where a
program computes a as 1 - dt / tau (a step of Euler), the file holds the tau' for which that is exp(-dt /
tau).

The programs' sources: snntorch/import_nir.py (1.0.0), norse/torch/utils/import_nir.py (1.1.0), Rockpool's
nn/modules/torch/nir.py and lif_torch.py, Spyx's nir.py and nn.py. NIR: Pedersen et al., Nature Communications
15, 8122 (2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from eventsnn.errors import NetworkError
from eventsnn.model.neuron import LIF

SECOND_MS = 1000.0


class Constants(NamedTuple):
    """Parameters of a CubaLIF in the units of a file; `gain` is v / u."""

    tau_mem: float
    tau_syn: float
    r: float
    w_in: float
    gain: float


def _delta(lif: LIF, dt: float) -> Constants:
    """Spikes are delta functions in ms: a spike adds its weight to I at once, and r is 1."""
    return Constants(lif.tau_m, lif.tau_s, 1.0, lif.tau_s, lif.tau_s / lif.tau_m)


def step_gain(lif: LIF, dt: float) -> float:
    """Potential v of the recurrence above divided by our u, both after one spike; `dt` in ms.

    u(t) = W (exp(-t/tau_m) - exp(-t/tau_s)) / (1 - tau_s/tau_m), hence (1 - tau_s/tau_m) / (b - a), written
    so that it has its limit where tau_m = tau_s.
    """
    x = dt / lif.tau_m - dt / lif.tau_s
    ratio = x / math.expm1(x) if x else 1.0
    return lif.tau_s / dt * math.exp(dt / lif.tau_m) * ratio


def _euler(lif: LIF, dt: float) -> Constants:
    """Factors 1 - dt / tau', and a spike adds r w_in dt^2 / (tau_mem' tau_syn') = 1 of its weight to v."""
    mem, syn = (dt / -math.expm1(-dt / tau) for tau in (lif.tau_m, lif.tau_s))
    return Constants(mem / SECOND_MS, syn / SECOND_MS, mem / dt, syn / dt, step_gain(lif, dt))


def _rockpool(lif: LIF, dt: float) -> Constants:
    """Factors exp(-dt / tau), dt = tau_mem / (1 + r); the current decays before it adds to v."""
    gain = step_gain(lif, dt) * math.exp(-dt / lif.tau_s)
    return Constants(lif.tau_m / SECOND_MS, lif.tau_s / SECOND_MS, lif.tau_m / dt - 1.0, 1.0, gain)


@dataclass(frozen=True)
class Dialect:
    """What a program makes of a NIR graph.

    Attributes
    ----------
    name, title : str
        In options, and in texts.
    unit_ms : float
        The file's unit of time, ms.
    constants : callable
        `Constants` of a neuron at a step of so many ms.
    dt_ms : float or None
        The step where none is given, ms; None if the meaning needs none.
    fixed_dt : bool
        Whether no other step is possible.
    leak : {"own", "current", "bias", "input"}
        What gives the resting potential: v_leak; v_leak, which also feeds the current; v_leak, which is added
        at every step; a constant input.
    delays, maps, readouts : bool
        Whether it reads Delay; Conv2d and pools; neurons that never fire.
    average : bool
        Whether it reads AvgPool2d, and no SumPool2d.
    one_loop : bool
        Whether loops take a step, whatever the delay says, and all loops of a layer are one matrix.
    remarks : tuple of str
        What it computes otherwise in any case.
    """

    name: str
    title: str
    unit_ms: float
    constants: Callable[[LIF, float], Constants]
    dt_ms: float | None = None
    fixed_dt: bool = False
    leak: str = "own"
    delays: bool = False
    maps: bool = True
    readouts: bool = False
    average: bool = False
    one_loop: bool = True
    remarks: tuple[str, ...] = ()

    def v_leak(self, lif: LIF, constants: Constants, dt_ms: float) -> float:
        """v_leak of a neuron."""
        resting = constants.gain * lif.resting
        if self.leak == "current":  # i tends to v_leak, and v to v_leak + r i
            return resting / (1.0 + constants.r)
        if self.leak == "bias":
            return -resting * math.expm1(-dt_ms / lif.tau_m)
        return resting if self.leak == "own" else 0.0

    def rest_input(self, lif: LIF, constants: Constants, dt_ms: float) -> float:
        """Input at every step that makes v tend to the resting potential, where v_leak cannot."""
        if self.leak != "input":
            return 0.0
        loss = math.expm1(-dt_ms / lif.tau_s) * math.expm1(-dt_ms / lif.tau_m)
        return constants.gain * lif.resting * loss

    def step(self, dt_ms: float | None) -> float | None:
        """The step to write for, ms, when `dt_ms` is asked for; NetworkError if that cannot be."""
        if self.dt_ms is None:
            if dt_ms is not None:
                raise NetworkError(f"dt: the dialect {self.name!r} has no time step; leave dt out")
            return None
        if dt_ms is None:
            return self.dt_ms
        if not (math.isfinite(dt_ms) and dt_ms > 0.0):
            raise NetworkError(f"dt must be a time above 0, got {dt_ms / SECOND_MS!r} s")
        if self.fixed_dt and dt_ms != self.dt_ms:
            raise NetworkError(
                f"dt: {self.title} reads files with a step of {self.dt_ms / SECOND_MS:g} s only, got "
                f"{dt_ms / SECOND_MS:g} s"
            )
        return dt_ms


_SUBTRACTS = "resets by subtracting the threshold, not to 0"

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect("portable", "NIR", 1.0, _delta, delays=True, readouts=True, one_loop=False),
        Dialect("snntorch", "snnTorch 1.0", SECOND_MS, _euler, 0.1, True, "input", average=True),
        Dialect("norse", "Norse 1.1", SECOND_MS, _euler, 1.0, leak="current"),
        Dialect(
            "rockpool", "Rockpool", SECOND_MS, _rockpool, 1.0, leak="bias", maps=False, remarks=(_SUBTRACTS,)
        ),
        Dialect(
            "spyx",
            "Spyx",
            SECOND_MS,
            _euler,
            1.0,
            leak="input",
            remarks=(_SUBTRACTS, "fires one step after the threshold is reached"),
        ),
    )
}
"""By name; `portable` is NIR's own meaning, in ms and with a unit jump, which jaxsnn and hxtorch read too."""


def find_dialect(name: object) -> Dialect:
    """The dialect of a name; NetworkError, which lists the names, for another."""
    found = DIALECTS.get(name) if isinstance(name, str) else None
    if found is None:
        raise NetworkError(f"dialect must be one of {', '.join(DIALECTS)}, got {name!r}")
    return found
