"""EventProp: exact derivatives of a loss on the first output spikes, or on a readout layer's potentials."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from eventsnn._util.arguments import check_numbers
from eventsnn._util.numbers import check_magnitudes
from eventsnn.errors import TrainingError
from eventsnn.learn.charges import Activity
from eventsnn.learn.rule import Counts, Floats, Pulls, Rule
from eventsnn.model import LIF, Network
from eventsnn.trace.record import decide_all

_NOT_NEGATIVE = (
    *("early", "silent_after", "silent_label", "silent_hidden", "least_slope"),
    *("spikes_pull", "spikes_target"),
)


@dataclass(frozen=True)
class EventProp(Rule):
    """Exact derivatives of a loss on the first output spikes, or on what a readout layer gives.

    Where the last layer fires, the output neuron that fires first decides; its time is learned. With t_i the
    first spike of output neuron i and l the label, the loss of a sample is

        L = -log p_l + early t_l,    p_i = exp(-t_i / scale) / sum_k exp(-t_k / scale)

    so that dL/dt_i = (delta_il - p_i) / scale + early delta_il. Where it is an `eventsnn.model.Readout`, with
    r_i what neuron i gives, L = -log p_l and p_i = exp(r_i) / sum_k exp(r_k). The adjoint method takes the
    derivatives through all layers, refractory periods and delays included (`eventsnn.learn.charges`). They
    are exact as long as no spike appears or vanishes; silent neurons have none, and are pulled up instead.

    Parameters
    ----------
    scale : float
        In ms, > 0: differences of first spikes that count.
    early : float
        Per ms: pulls the label's first spike to time 0. Goltz et al. have alpha (exp(t_l / (beta tau_s)) - 1)
        here, of which this is the first term: it stays moderate in long recordings.
    silent_after : float
        In ms: a silent output neuron counts as firing so long after the end of the sample, in the loss.
    silent_label : float
        The gradient of a weight onto the label's neuron, where this is silent, is minus this for every
        pre-synaptic neuron that fired.
    silent_hidden : float
        The same for hidden neurons that are silent in more than the share `silent_share` of the samples of a
        mini-batch (in a convolution: of the positions in a sample), in the samples where they are.
    silent_share : float
        From 0 to 1.
    spikes_pull, spikes_target : float
        Pulls the spike count of every hidden neuron to a target: (spikes_pull / 2) (n - spikes_target)^2 is
        added to the loss, with n its mean count over the mini-batch (in a convolution: that of a channel over
        the positions in a sample). A count has no derivative: each spike has a constant charge instead, as
        in HM2-BP. Chains of layers only; 0: none.
    least_slope : float
        Of the potential at a spike, per ms, where the threshold is 1 above rest, and in proportion for
        others. Smaller slopes count as this: derivatives by the time of a spike that only just reaches the
        threshold grow without bound.

    Raises
    ------
    TrainingError
        Naming the field.

    References
    ----------
    T. C. Wunderlich, C. Pehle: Event-based backpropagation can compute exact gradients for spiking neural
    networks, Scientific Reports 11, 2021 (the adjoint method). J. Goltz et al.: Fast and energy-efficient
    neuromorphic deep learning with first-spike times, Nature Machine Intelligence 3, 2021 (the loss; a
    constant added to the weights of silent neurons where too many are). T. Nowotny, J. P. Turner, J. C.
    Knight: Loss shaping enhances exact gradient learning with Eventprop in spiking neural networks, arXiv
    2212.01232, 2022 (readouts of potentials; the pull on counts).
    """

    name: ClassVar[str] = "eventprop"
    sends: ClassVar = "derivatives"
    decision: ClassVar = "first"

    scale: float = 1.0
    early: float = 0.0
    silent_after: float = 10.0
    silent_label: float = 1.0
    silent_hidden: float = 0.01
    silent_share: float = 0.95
    spikes_pull: float = 0.0
    spikes_target: float = 5.0
    least_slope: float = 0.05

    def __post_init__(self) -> None:
        check_magnitudes(self, TrainingError, "rule: ")
        bounds: dict[str, dict[str, float]] = {field: {"least": 0.0} for field in _NOT_NEGATIVE}
        bounds |= {"scale": {"above": 0.0}, "silent_share": {"least": 0.0, "most": 1.0}}
        check_numbers(self, bounds, TrainingError, "rule: ")

    def losses(self, counts: Counts, labels: Counts) -> tuple[Floats, Floats]:
        """Of validation: 1 for a wrong or missing decision, 0 for a right one; counts have no derivative."""
        return (decide_all(counts) != labels).astype(np.float64), np.zeros(counts.shape)

    def spike_losses(self, output: Activity, labels: Counts, durations: Floats) -> tuple[Floats, Floats]:
        first = np.flatnonzero(output.previous < 0)
        sample, neuron = output.units[first], output.neurons[first]
        times = np.tile((durations + self.silent_after)[:, None], output.size)
        times[sample, neuron] = output.times[first]
        each = np.arange(len(labels))
        # Shifted by the earliest: the sum is at least 1, and none of its terms overflows.
        shifted = (times.min(axis=1, keepdims=True) - times) / self.scale
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        d = np.exp(log_p) / -self.scale
        d[each, labels] += 1.0 / self.scale + self.early
        derivatives = np.zeros(len(output.times))
        derivatives[first] = d[sample, neuron]
        return self.early * times[each, labels] - log_p[each, labels], derivatives

    def count_factors(self, layer: Activity) -> Floats | None:
        if not self.spikes_pull:
            return None
        counts = layer.counts
        factors = self.spikes_pull * (layer.mean(counts) - self.spikes_target)
        return np.broadcast_to(factors, counts.shape)

    def slope_floor(self, lif: LIF) -> float:
        return self.least_slope * (lif.threshold - lif.resting)

    def silent_gradients(self, layer: Activity, labels: Counts | None) -> Floats:
        silent = layer.counts == 0
        pull = np.zeros(silent.shape)
        if labels is not None:
            each = np.arange(len(labels))
            pull[each, labels] = -self.silent_label * silent[each, labels]
        elif self.silent_hidden:
            pull[silent & (layer.mean(silent) > self.silent_share)] = -self.silent_hidden
        return pull

    def pulls(self) -> Pulls | None:
        if not self._has_methods_of(EventProp):
            return None
        return Pulls(**{field.name: getattr(self, field.name) for field in fields(Pulls)})

    def refusal(self, network: Network) -> str | None:
        if network.output.neurons < 2:
            return f"layer {network.output.name!r}: classification needs at least 2 output neurons"
        lateral = any(layer.lateral_inhibition for layer in network.layers)
        if self.spikes_pull and (network.connections or network.sparse_keys or lateral):
            return "rule: spikes_pull takes a chain of layers with dense weights; leave it out"
        return None
