"""Parameters of the leaky integrate-and-fire neuron with exponential synapses."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class LIF:
    """Leaky integrate-and-fire neuron, exponential synaptic current, reset to zero.

    Between input spikes, with membrane potential u and synaptic current I (Jin, Zhang & Li 2018, eq. 1-3)::

        du/dt = (resting - u) / tau_m + I / tau_s        dI/dt = -I / tau_s

    An input spike adds its synaptic weight to I. When u reaches the threshold from below the neuron fires, u
    is held at 0 for the refractory period, and I keeps integrating. u begins at 0, too, at time 0.

    Attributes
    ----------
    threshold : float
        Firing threshold of the membrane potential, > 0 (dimensionless, the unit of the weights); infinite in
        a neuron that never fires.
    tau_m : float
        Membrane time constant, ms, > 0.
    tau_s : float
        Synaptic time constant, ms, > 0; may equal `tau_m`.
    refractory : float
        Refractory period, ms, >= 0.
    resting : float
        Resting potential, to which u tends without input; below the threshold.
    """

    threshold: float = 15.0
    tau_m: float = 64.0
    tau_s: float = 8.0
    refractory: float = 2.0
    resting: float = 0.0

    def problems(self) -> list[str]:
        """Texts that describe faults of the parameters, each beginning with the field's name."""
        texts = []
        for field in ("threshold", "tau_m", "tau_s"):
            value = getattr(self, field)
            if not value > 0 or (field != "threshold" and value == math.inf):
                texts.append(f"{field} must be a finite number > 0, got {value!r}")
        if not (math.isfinite(self.refractory) and self.refractory >= 0):
            texts.append(f"refractory must be a finite number >= 0 ms, got {self.refractory!r}")
        if not math.isfinite(self.resting):
            texts.append(f"resting must be a finite number, got {self.resting!r}")
        elif not texts and self.resting >= self.threshold:
            texts.append(
                f"resting must be below the threshold {self.threshold!r}, got {self.resting!r}: the neuron "
                "would fire for ever without any input; give it a stronger input instead"
            )
        return texts

    @property
    def from_rest(self) -> LIF:
        """The same neuron with potentials counted from the resting potential, which is 0 then.

        v = u - resting obeys the equation without a resting potential; it is reset to -resting, and fires at
        threshold - resting.
        """
        return replace(self, threshold=self.threshold - self.resting, resting=0.0) if self.resting else self
