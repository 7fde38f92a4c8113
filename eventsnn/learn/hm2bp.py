"""The HM2-BP learning rule and its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_flag, check_numbers, check_whole
from eventsnn._util.numbers import check_magnitudes
from eventsnn.errors import TrainingError
from eventsnn.learn import macro
from eventsnn.learn.heads import HEADS
from eventsnn.learn.heads.count import CountHead
from eventsnn.learn.rule import Counts, Floats, Layer, LayerOptions, Rule
from eventsnn.model import Network

_NOT_NEGATIVE = (
    *("margin", "silent_post_spsp", "silent_post_ratio"),
    *("penalty_lambda", "penalty_beta", "weight_decay"),
)
_POSITIVE = ("boosting_divisor", "weight_limit")
_COUNTS = {"desired": 1, "undesired": 0}
_SWITCHES = ("effect_ratio", "force_label_spikes", "boosting")


@dataclass(frozen=True)
class HM2BP(Rule):
    """Hybrid macro/micro-level back-propagation: rate-coded errors over exact spike-train level PSPs.

    Symbols: i post-synaptic, j pre-synaptic neuron, o spike counts, nu threshold, w weights, e_{i|j} the
    spike-train level post-synaptic potential (S-PSP) of j on i.

    S-PSPs do not depend on a layer's resting potential E, and nu stays the threshold itself. E acts like one
    more input of weight E, whose S-PSP is the sum over the spikes of ``1 - exp(-(t - r)/tau_m)``, r being the
    last reset; it has its share in the self term.

    Parameters
    ----------
    desired, undesired : int
        Numbers of spikes wanted of the label's output neuron and of the others; `desired` >= 1.
    margin : float
        Count errors up to this are no error; the softmax head has no margin.
    effect_ratio : bool
        Dense layers send errors down through ``rho = e_{i|j} / o_j``; False means rho = 1 there. Convolution
        and pooling layers always use it.
    silent_post_spsp : float
        S-PSP on a silent neuron of a neuron that fired, so that silent neurons learn.
    silent_post_ratio : float
        What the self term of a silent neuron uses in place of ``e_{i|l} / o_i``.
    force_label_spikes : bool
        If the label's neuron is silent, give it `desired` spikes, evenly spaced, for its S-PSPs.
    boosting : bool
        Weight the samples: after each epoch those that were classified wrongly gain weight. On in the
        authors' configurations, off by default.
    boosting_divisor : float
        A wrong sample's weight is multiplied by ``exp(error of its class / boosting_divisor)``.
    penalty_lambda, penalty_beta, weight_limit : float
        Adds ``penalty_lambda beta (w/L) exp(beta (mean_j (w_ij/L)^2 - 1))`` to the gradient, with
        beta = `penalty_beta` and L = `weight_limit`. The authors use 10, 0.04 (0.01 for
        N-MNIST, no penalty in their convolutional network) and 8.
        Off by default, since that strength costs several per cent of accuracy in exact time; choose it on a
        validation split.
    weight_decay : float
        Adds ``weight_decay w`` to the gradient.
    head : str
        Loss over the output counts, key of `eventsnn.learn.heads.HEADS`: ``"count"``, half the sum of squared
        errors, or ``"softmax"``, cross entropy of softmax(counts).

    Raises
    ------
    TrainingError
        Naming the field.

    References
    ----------
    Y. Jin, W. Zhang, P. Li: Hybrid Macro/Micro Level Backpropagation for Training Deep Spiking Neural
    Networks, NeurIPS 2018; constants from the authors' released program. W. Zhang, P. Li: Spike-Train Level
    Backpropagation for Training Deep Recurrent Spiking Neural Networks, NeurIPS 2019 (recurrent layers).
    """

    name: ClassVar[str] = "hm2bp"

    desired: int = 35
    undesired: int = 5
    margin: float = 5.0
    effect_ratio: bool = True
    silent_post_spsp: float = 0.1
    silent_post_ratio: float = 0.5
    force_label_spikes: bool = True
    boosting: bool = False
    boosting_divisor: float = 20.0
    penalty_lambda: float = 0.0
    penalty_beta: float = 0.01
    weight_limit: float = 8.0
    weight_decay: float = 0.0
    head: str = "count"

    def __post_init__(self) -> None:
        check_magnitudes(self, TrainingError, "rule: ")
        bounds = {field: {"least": 0.0} for field in _NOT_NEGATIVE}
        bounds |= {field: {"above": 0.0} for field in _POSITIVE}
        check_numbers(self, bounds, TrainingError, "rule: ")
        for field, least in _COUNTS.items():
            count = check_whole(f"rule: {field}", getattr(self, field), TrainingError, least)
            object.__setattr__(self, field, count)
        for field in _SWITCHES:
            check_flag(f"rule: {field}", getattr(self, field), TrainingError)
        HEADS.get(self.head)

    def losses(self, counts: Counts, labels: Counts) -> tuple[Floats, Floats]:
        return HEADS.get(self.head)(self).losses(counts, labels)

    def count_targets(self) -> tuple[int, int, float, bool] | None:
        # A subclass may have methods of its own.
        if type(self) is not HM2BP or HEADS.get(self.head) is not CountHead:
            return None
        return self.desired, self.undesired, self.margin, self.force_label_spikes

    def refusal(self, network: Network) -> str | None:
        for layer in network.layers[:-1]:
            if layer.lateral_inhibition:
                return (
                    f"layer {layer.name!r} cannot be trained: "
                    "HM2-BP knows lateral inhibition in the output layer only"
                )
        if network.output.neurons < 2:
            return f"layer {network.output.name!r}: classification needs at least 2 output neurons"
        return None

    def layer_options(self, layer: Layer, below: Layer | None) -> LayerOptions:
        return LayerOptions(
            1.0 if below is None else layer.error_divisor * below.potential_per_spike,
            self.effect_ratio or layer.uses_effect_ratio,
            self.silent_post_spsp,
            self.silent_post_ratio,
        )

    def lateral_strength(self, layer: Layer) -> float:
        return layer.lateral_inhibition

    def forced_spikes(self, duration_ms: float) -> Floats:
        if not self.force_label_spikes:
            return np.empty(0)
        return macro.forced_spike_times(duration_ms, self.desired)

    def forced_interval(self, steps: int) -> int:
        return max(1, steps // self.desired) if self.force_label_spikes else 0

    def penalty(self, mean_square: Floats) -> Floats:
        return macro.penalty_factor(mean_square, self)

    def reweigh(self, sample_weights: Floats, wrong: npt.NDArray[np.bool_], labels: Counts) -> Floats:
        if not self.boosting:
            return sample_weights
        return macro.boost_weights(sample_weights, wrong, labels, self)
