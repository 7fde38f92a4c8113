"""What a learning rule is, and the list of rules: a new one is a module in this folder and a line here.

Training runs the network forward, asks the rule what to send down from the output layer, and sweeps backward
through the layers. The sweep, the accumulation of gradients and the optimiser's step know no rule by name. A
rule says

- what goes down (`Rule.sends`): errors of neurons, which each layer scales by its spike-train level PSPs
  (`LayerOptions` says how), or derivatives by the time of each spike, which are exact;
- which charges the spikes of a layer have for what came from above (`Rule.charges`);
- what is done about silent neurons, weights that grow, and samples that are classified wrongly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import describe_unknown
from eventsnn._util.registry import Registry
from eventsnn.errors import TrainingError
from eventsnn.learn.charges import Activity, count_charges, derivative_charges
from eventsnn.learn.heads.softmax import cross_entropy
from eventsnn.model import LIF, Layer, Network

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.integer]
DEFAULT = "hm2bp"


@dataclass(frozen=True)
class LayerOptions:
    """How the reverse sweep takes errors through one layer.

    Attributes
    ----------
    divisor : float
        The errors of the layer below are ``sum_i delta_i w_ij rho_{i|j}`` divided by this.
    effect_ratio : bool
        Whether rho is ``e_{i|j} / o_j``, S-PSP per spike, or 1.
    silent_spsp : float
        S-PSP on a silent neuron of a neuron that fired.
    silent_ratio : float
        What the self term of a silent neuron uses in place of ``e_{i|l} / o_i``.
    """

    divisor: float = 1.0
    effect_ratio: bool = True
    silent_spsp: float = 0.0
    silent_ratio: float = 0.0

    @property
    def to_kernel(self) -> tuple[float, float, float, bool]:
        """In the order in which ``eventsnn._ext.rule.learn_units`` takes them."""
        return self.divisor, self.silent_spsp, self.silent_ratio, self.effect_ratio


@dataclass(frozen=True)
class Pulls:
    """What a rule of exact derivatives does where there are none, as kernels take it.

    Attributes
    ----------
    silent_label, silent_hidden, silent_share : float
        Minus what a silent neuron adds to the gradients of its weights, for every pre-synaptic neuron that
        fired: the label's neuron, and a hidden one that is silent in more than this share of a mini-batch's
        samples (of the positions in a sample, where these share weights).
    spikes_pull, spikes_target : float
        ``spikes_pull (mean count - spikes_target)`` is the constant charge of a hidden neuron's spikes, the
        mean being over the same.
    """

    silent_label: float = 0.0
    silent_hidden: float = 0.0
    silent_share: float = 0.0
    spikes_pull: float = 0.0
    spikes_target: float = 0.0


class Rule(ABC):
    """A learning rule; a subclass is a frozen dataclass whose fields are the options of its ``[rule]`` table.

    Only `losses` must be written, and `spike_losses` by a rule that sends derivatives; everything else has a
    plain default.

    Attributes
    ----------
    sends : {"errors", "derivatives"}
        What goes down from layer to layer: an error of each neuron, or the derivative of the loss by the time
        of each spike.
    decision : {"count", "first"}
        Which output neuron decides in the networks that it trains; see `eventsnn.model.RunSettings`.
    """

    name: ClassVar[str]
    sends: ClassVar[Literal["errors", "derivatives"]] = "errors"
    decision: ClassVar[Literal["count", "first"]] = "count"

    @abstractmethod
    def losses(self, counts: Counts, labels: Counts) -> tuple[Floats, Floats]:
        """Loss of each sample, and its derivative by each output count; see `eventsnn.learn.heads.Head`.
        Where the first spike decides, counts are those at its instant.

        Of a rule that sends derivatives only the losses are used, and for validation alone.
        """

    def spike_losses(self, output: Activity, labels: Counts, durations: Floats) -> tuple[Floats, Floats]:
        """Loss of each sample, and its derivative by the time of each output spike, where a rule sends these.

        Parameters
        ----------
        output : Activity
            The output layer, a unit for each sample.
        labels : int array (samples,)
        durations : float64 array (samples,)
            When each sample ends, ms.

        Returns
        -------
        loss : float64 array (samples,)
        derivatives : float64 array (spikes,)
            In the order of the spikes of `output`.
        """
        raise NotImplementedError(f"rule {self.name!r} sends derivatives and has no spike_losses")

    def readout_losses(self, values: Floats, labels: Counts) -> tuple[Floats, Floats]:
        """Loss of each sample where the last layer is a readout, and its derivative by what is read out,
        (samples,) and (samples, outputs): cross entropy of softmax(values) by default.
        """
        return cross_entropy(values, labels)

    def charges(self, layer: Activity, above: Floats) -> Floats:
        """Charges of a layer's spikes, float64 (spikes, 2); see `eventsnn.learn.charges`. By default those of
        what the rule sends: spike counts, or exact derivatives.

        Parameters
        ----------
        layer : Activity
        above : array
            What came from above: derivatives by the times of the spikes, (spikes,), or a factor of each
            neuron, (units, blocks * WIDTH).
        """
        if self.sends == "derivatives":
            return derivative_charges(layer, above, self.slope_floor(layer.lif))
        return count_charges(layer, above)

    @property
    def usual_charges(self) -> bool:
        """Whether `charges` are those by default, for which there are kernels without Python between."""
        return type(self).charges is Rule.charges

    def count_factors(self, layer: Activity) -> Floats | None:
        """Where a rule sends derivatives: factors (units, neurons) of the spike counts of a hidden layer,
        whose charges (`eventsnn.learn.charges.count_charges`) are added to those of derivatives; None: none.
        """
        return None

    def slope_floor(self, lif: LIF) -> float:
        """Where a rule sends derivatives: slopes of the potential at a spike below this, per ms, count as
        this. In networks that are no chains the charges are those of exact derivatives with this floor.
        """
        return 0.0

    def silent_gradients(self, layer: Activity, labels: Counts | None) -> Floats:
        """What is added to the gradients of a layer's weights for neurons that are silent, (units, neurons),
        where a rule sends derivatives: for every pre-synaptic neuron that fired in the unit.

        Parameters
        ----------
        layer : Activity
        labels : int array (samples,) or None
            Of the output layer, whose units are the samples; None for a hidden layer.
        """
        return np.zeros((len(layer.arrivals.arrivals), layer.size))

    def pulls(self) -> Pulls | None:
        """`silent_gradients` and `count_factors` in numbers, where a rule sends derivatives; None if they are
        others than `Pulls` says: only Python knows them then.
        """
        return Pulls() if self._has_methods_of(Rule) else None

    def _has_methods_of(self, rule: Any) -> bool:
        """Whether what it does where there are no derivatives is what the class `rule` does."""
        own = type(self)
        return own.silent_gradients is rule.silent_gradients and own.count_factors is rule.count_factors

    def quantities(self, network: Network) -> dict[str, tuple[str, ...]]:
        """What the rule delivers of each layer in a sample, for traces of training: names of
        `eventsnn.trace.schema.LEARNING`. By default what goes down, and what it is multiplied by.
        """
        output, names = network.output, [str(layer.name) for layer in network.layers]
        found: dict[str, tuple[str, ...]]
        if self.sends == "derivatives":
            found = dict.fromkeys(names, ("spike_derivatives",))
            return found if output.fires else {**found, str(output.name): ("errors",)}
        found = dict.fromkeys(names, ("errors", "self_term"))
        lateral = ("lateral_factor",) if self.lateral_strength(output) else ()
        return {**found, str(output.name): ("errors", "self_term", *lateral, "lent_spikes")}

    def refusal(self, network: Network) -> str | None:
        """Why the rule cannot train a network, naming the layer; None if it can."""
        return None

    def output_errors(self, d: Floats, sample_weights: Floats, threshold: float) -> Floats:
        """Errors delta of the output neurons (samples, n) from the derivatives of the losses."""
        delta: Floats = sample_weights[:, None] * d / threshold
        return delta

    def count_targets(self) -> tuple[int, int, float, bool] | None:
        """What a compiled stage needs to compute the losses by output counts, and to force spikes: the spikes
        wanted of the label's neuron and of the others, the margin, and whether a silent label neuron is
        given the former. None where `losses`, `output_errors` or `forced_spikes` are others than that.
        """
        return None

    def layer_options(self, layer: Layer, below: Layer | None) -> LayerOptions:
        """How errors go through `layer` to the layer below it, which the first has not."""
        return LayerOptions()

    def lateral_strength(self, layer: Layer) -> float:
        """Strength of the output layer's lateral inhibition as gradients take it; 0: they leave it out."""
        return 0.0

    def forced_spikes(self, duration_ms: float) -> Floats:
        """Times in ms of the spikes that a silent label neuron is given for its gradients; empty: none."""
        return np.empty(0)

    def forced_interval(self, steps: int) -> int:
        """Steps of the clock between the spikes given to a silent label neuron; 0: none."""
        return 0

    def penalty(self, mean_square: Floats) -> Floats:
        """Multiple of the weights that is added to the gradient, array like `mean_square`.

        `mean_square` holds the mean squared weight of each neuron, in a convolution of each channel.
        """
        return np.zeros_like(mean_square)

    def reweigh(self, sample_weights: Floats, wrong: npt.NDArray[np.bool_], labels: Counts) -> Floats:
        """Weights of the samples in the next epoch; `wrong` marks the misclassified samples of this epoch."""
        return sample_weights

    @classmethod
    def from_table(cls, table: Any, where: str = "rule") -> Self:
        """Build from the options of a ``[rule]`` table.

        Raises
        ------
        TrainingError
            Naming `where`, the field and, for an unknown one, the fields there are.
        """
        if not isinstance(table, dict):
            raise TrainingError(f"{where} must be a table, got {table!r}")
        known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        for key in table:
            if key not in known:
                raise TrainingError(f"{where}: {describe_unknown(key, known)}")
        return cls(**table)

    def to_table(self) -> dict[str, Any]:
        """The ``[rule]`` table, as checkpoints hold it; the default rule goes without its name."""
        table: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        return table if self.name == DEFAULT else {"name": self.name, **table}


RULES: Registry[type[Rule]] = Registry(
    "rule",
    "rule: name",
    {DEFAULT: "eventsnn.learn.hm2bp:HM2BP", "eventprop": "eventsnn.learn.eventprop:EventProp"},
    TrainingError,
    "eventsnn.rules",
)
"""All learning rules, by name; other packages may add theirs."""


def default_rule() -> Rule:
    """The default rule with its default options."""
    return RULES.get(DEFAULT)()


def rule_from_table(table: Any, where: str = "rule") -> Rule:
    """The rule of an experiment file's ``[rule]`` table: ``name`` chooses it, the other fields are its
    options.
    """
    if not isinstance(table, Mapping):
        raise TrainingError(f"{where} must be a table, got {table!r}")
    options = dict(table)
    return RULES.get(options.pop("name", DEFAULT)).from_table(options, where)
