"""The way down through the layers of a mini-batch, which all rules and both engines have in common.

Layers are gone through from the output down. Each is a number of units, small dense layers that share their
weights: samples, or the positions of a convolution in one sample. Layers that share weights are taken sample
by sample, side by side; others all samples at once, the threads sharing out their blocks. Gradients are added
up in the order of the samples: the number of threads changes no bit.

Where several processes train (`eventsnn.simulate.engines.division`), each goes down with all errors, through
its own blocks of dense layers and its own samples of layers that share weights.

Going layer by layer needs a chain. In a loop a spike also receives something from later spikes of its own
layer: `eventsnn.train.graph` goes through the spikes of all layers in reverse order of time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from eventsnn._ext.optimiser import Update
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool, Share, call
from eventsnn.learn.optimisers import Optimiser, OptimiserState, Step
from eventsnn.learn.rule import LayerOptions, Rule
from eventsnn.model import Layer, Network
from eventsnn.simulate.engines.arrivals import EVERYONE, Arrivals, Kept
from eventsnn.simulate.engines.blocks import pack, unpack
from eventsnn.simulate.engines.division import WHOLE, Division
from eventsnn.trace.record import SpikeRecord
from eventsnn.train.tallies import Activity

EVERY = slice(None)
"""All samples of a mini-batch."""

ForwardRun = TypeVar("ForwardRun")


@dataclass
class Outcome:
    """Losses of a mini-batch.

    Attributes
    ----------
    loss : float64 array (samples,)
    forced : int
        Samples whose label neuron was silent and was given spikes for the S-PSPs.
    by_inputs : float64 array (input spikes,) or None
        Derivatives by the times of the input spikes, in their order, where these were asked for.
    """

    loss: np.ndarray
    forced: int
    by_inputs: np.ndarray | None = None


class LayerState(Protocol):
    """What the way down needs to know of a layer's weights; see `OptimiserState`."""

    weights: np.ndarray
    gradient: np.ndarray

    @property
    def row_sum(self) -> np.ndarray: ...


class Observer(Protocol):
    """Is told the quantities of a rule on their way down, of one sample; see `Rule.quantities`."""

    def see(self, quantity: str, layer: str, values: Any) -> None:
        """A quantity of a layer: see `eventsnn.trace.schema.LEARNING`."""


class Learner(ABC, Generic[ForwardRun]):
    """A network that learns on one of the engines, forward and backward, mini-batch after mini-batch.

    Attributes
    ----------
    batch : int
        Recordings that validation takes at once; for speed alone.
    """

    batch: int = 16

    @abstractmethod
    def forward(self, samples: Arrivals, threads: Pool, kept: Kept = EVERYONE) -> ForwardRun:
        """Every sample through all layers; only neurons that are `kept` pass spikes on.

        Raises
        ------
        SimulationError
            For samples that the engine cannot run.
        """

    def prepare(self, samples: Arrivals) -> Arrivals:
        """The samples with what can be made of them while the mini-batch before is learned."""
        return samples

    @abstractmethod
    def counts(self, run: ForwardRun, number: int) -> np.ndarray:
        """Spikes of each neuron of layer `number`, counted from 1; int64 array (samples, neurons)."""

    def hidden_activity(self, run: ForwardRun, layers: int, kept: Kept = EVERYONE) -> Activity:
        """What the hidden ones of so many `layers` did, as far as they are `kept`."""
        counts = {number: self.counts(run, number) for number in range(1, layers)}
        return Activity.of(each[kept[number]] if number in kept else each for number, each in counts.items())

    def make_state(self, optimiser: Optimiser, packed: Any, key: str) -> OptimiserState:
        """What the optimiser keeps of the weights `key` of `packed`, those that the learner was made with."""
        return OptimiserState(optimiser, packed.blocks[key], packed.synapses(key), packed.updated(key))

    @abstractmethod
    def output_spikes(self, run: ForwardRun) -> Arrivals:
        """Spikes of the last layer in every sample."""

    @abstractmethod
    def votes(self, run: ForwardRun) -> np.ndarray:
        """What decides, array (samples, outputs); see `eventsnn.trace.record.no_votes`."""

    @abstractmethod
    def accumulate(
        self,
        states: Mapping[str, LayerState],
        run: ForwardRun,
        labels: np.ndarray,
        sample_weights: np.ndarray,
        rule: Rule,
        threads: Pool,
        updates: Mapping[str, Step] | None = None,
        kept: Kept = EVERYONE,
        observer: Observer | None = None,
        *,
        to_inputs: bool = False,
    ) -> Outcome:
        """Add the gradients of a mini-batch, summed over its samples, to ``states[...].gradient``.

        Parameters
        ----------
        labels : int array (samples,)
        sample_weights : float64 array (samples,)
            Boosting weights.
        updates : dict of str to Step, optional
            What to do with the weights of each layer as soon as its gradient is complete.
        kept : Kept
            That of the forward pass.
        observer : Observer, optional
            Of a mini-batch of one sample, of which nothing but the weights' gradients is learned.
        to_inputs : bool
            Derive also by the times of the spikes that the first layer was given, where the rule sends
            derivatives.
        """

    @abstractmethod
    def records(self, run: ForwardRun, samples: Arrivals, threads: Pool) -> Sequence[SpikeRecord]:
        """All spikes of the samples that `forward` took."""

    def change(self, constants: Mapping[str, Mapping[str, Any]]) -> None:
        """Other thresholds, time constants or delays from now on, by layer and field, if any are learned."""


class Downward(ABC):
    """The backward pass of one mini-batch; a subclass says what goes down, and how through one layer.

    Parameters
    ----------
    network : Network
    states : mapping of str to LayerState
        Of the layers that are trained; gradients are added to theirs.
    samples : int
    rule : Rule
    threads : Pool

    Attributes
    ----------
    above : array
        What came to the present layer from the one above.
    kept : Kept
        Neurons that were not dropped in the forward pass.
    observer : Observer or None
        Where there is one, there is one sample.
    division : Division
        Who computes what.
    to_inputs : bool
        Whether the first layer hands something down, too.
    """

    division: Division = WHOLE
    above: np.ndarray
    kept: Kept = EVERYONE
    observer: Observer | None = None
    to_inputs: bool = False

    def __init__(
        self,
        network: Network,
        states: Mapping[str, LayerState],
        samples: int,
        rule: Rule,
        threads: Pool,
    ) -> None:
        self.layers, self.states, self.samples = network.layers, states, samples
        self.rule, self.threads = rule, threads

    @abstractmethod
    def begin(self, labels: np.ndarray, sample_weights: np.ndarray) -> Outcome:
        """Compute the losses, and from them the quantities that go down."""

    @abstractmethod
    def learn_samples(
        self, number: int, samples: slice, gradient: np.ndarray, update: Update | None, share: Share
    ) -> np.ndarray:
        """Add the gradient of a layer in `samples` to `gradient`; returns the quantities that go down from
        it.

        `update`, if there is one, is applied to each block when its gradient is complete.
        """

    def applies_updates(self, number: int) -> bool:
        """Whether `learn_samples` takes an update for a layer."""
        return False

    @abstractmethod
    def weights(self, number: int) -> np.ndarray:
        """Weights of a layer as the engine holds them, (blocks, inputs, neurons of a block)."""

    def empty_gradient(self, number: int) -> np.ndarray:
        """Zeros, which the gradient of a layer is added to: in one sample, or where nobody wants it."""
        return np.zeros_like(self.weights(number))

    def to_blocks(self, number: int, gradient: np.ndarray) -> np.ndarray:
        """The gradient in the layout of `OptimiserState.gradient`."""
        return gradient

    def run(self, labels: np.ndarray, sample_weights: np.ndarray, updates: Mapping[str, Step]) -> Outcome:
        """Add up the gradients of all layers; `updates` are applied when a layer's is complete.

        That of the first layer may be under way on return, until `Pool.finish`.
        """
        outcome = self.begin(labels, sample_weights)
        for number in range(len(self.layers) - 1, -1, -1):
            state = self.states.get(str(self.layers[number].name))
            # Seldom anybody needs what the first layer hands down; others hand on even if they learn nothing.
            if number or self.to_inputs or self.trains(number):
                self.learn_layer(number, state, updates.get(str(self.layers[number].name)))
        if self.to_inputs:
            outcome.by_inputs = self.above
        return outcome

    def learn_layer(self, number: int, state: LayerState | None, update: Step | None) -> None:
        """Add up the gradient of a layer, update its weights, and go down one layer."""
        share, fused, layer = self.threads.share, None, self.layers[number]
        if not layer.shares_weights:
            # A block is updated while it is in the cache, if its gradient is complete then.
            at_once = state is not None and not layer.ties_weights
            if update is not None and at_once and self.applies_updates(number):
                fused = update.fused
            target = state.gradient if state is not None and at_once else self.empty_gradient(number)
            self.above = self.learn_samples(number, EVERY, target, fused, share)
            if state is not None and not at_once:
                state.gradient += tie_weights(layer, target)
        else:
            # A gradient of its own for each sample: added up in their order, whoever computed them.
            own = self.division.samples(str(layer.name), self.samples)
            gradients: list[np.ndarray] = [np.empty(0)] * self.samples
            below, counter = list(gradients), WorkCounter(own.stop, own.start)

            def work() -> None:
                while (sample := counter.take()) >= 0:
                    gradients[sample] = self.empty_gradient(number)
                    one = slice(sample, sample + 1)
                    # `call`: the samples already keep all threads busy.
                    below[sample] = self.learn_samples(number, one, gradients[sample], None, call)

            share(work, counter)
            taken = slice(own.start, own.stop)
            found = np.concatenate(below[taken]) if own else np.empty(0)
            of_samples = np.stack(gradients[taken]) if own and state is not None else np.empty(0)
            self.above, of_samples = self.division.join_samples(str(layer.name), found, of_samples)
            if state is not None:
                total = of_samples[0]
                for gradient in of_samples[1:]:
                    total += gradient
                state.gradient += tie_weights(layer, self.to_blocks(number, total))
        if update is not None and fused is None:
            self.step(number, update)

    def step(self, number: int, update: Step) -> None:
        """Update the weights of a layer whose gradient is complete."""
        # Nothing of this mini-batch waits for the last of its updates.
        update.run(self.threads.share if number else self.threads.begin)

    def own_blocks(self, number: int, blocks: int) -> range:
        """Blocks of a layer whose gradients this process computes."""
        layer = self.layers[number]
        return range(blocks) if layer.shares_weights else self.division.blocks(str(layer.name), blocks)

    def trains(self, number: int) -> bool:
        """Whether anything of a layer is learned."""
        return str(self.layers[number].name) in self.states

    def see(self, quantity: str, number: int, values: Any) -> None:
        """Tell the observer, if there is one, a quantity of a layer."""
        if self.observer is not None:
            self.observer.see(quantity, str(self.layers[number].name), values)

    def options(self, number: int) -> LayerOptions:
        """How the rule sends errors through a layer."""
        return self.rule.layer_options(self.layers[number], self.layers[number - 1] if number else None)


def by_unit(layer: Layer, values: np.ndarray) -> np.ndarray:
    """From (samples, neurons) of a layer to (units, channels)."""
    if layer.positions > 1:
        values = values.reshape(len(values), layer.channels, layer.positions).transpose(0, 2, 1)
    return values.reshape(-1, layer.channels)


def tie_weights(layer: Layer, gradient: np.ndarray) -> np.ndarray:
    """The gradient (blocks, inputs, WIDTH) of shared weights that keeps tied what is; see `Layer`."""
    if not layer.ties_weights:
        return gradient
    # To the layer's own weights and back: each shared weight gets the sum over its copies.
    summed = layer.own_gradient(unpack(gradient, layer.channels))
    tied = np.zeros_like(gradient)
    pack(layer.shared_weights(summed), tied)
    return tied
