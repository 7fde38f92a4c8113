"""One pass of a mini-batch through a network, and back: what a `SpikingNetwork` does for PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsnn._ext.optimiser import sum_rows
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool
from eventsnn.errors import SimulationError
from eventsnn.learn.constants import LearnedConstant, LearnedConstants
from eventsnn.learn.rule import Rule
from eventsnn.simulate.engines.arrivals import Arrivals, Kept
from eventsnn.simulate.engines.blocks import aligned_zeros
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.torch.given import GivenLoss, rank_spikes
from eventsnn.torch.library import torch
from eventsnn.train.downward import Learner
from eventsnn.train.graph_weights import GraphWeights

OUTPUTS = ("counts", "first", "times", "readout")
"""What a `SpikingNetwork` can give out."""


@dataclass
class Model:
    """A network as it learns.

    Attributes
    ----------
    packed : PackedNetwork or GraphWeights
    learner : Learner
    constants : LearnedConstants
    blocks : dict of str to real array (blocks, sources, WIDTH)
        The weights that are trained, by key: views of those that the kernels read.
    """

    packed: PackedNetwork | GraphWeights
    learner: Learner[Any]
    constants: LearnedConstants

    def __post_init__(self) -> None:
        blocks = self.packed.blocks
        self.blocks = {key: blocks[key] for key in self.packed.network.weights}

    @property
    def learned(self) -> list[LearnedConstant]:
        """The constants, in the order of `variables`."""
        return [one for each in self.constants.by_key.values() for one in each.values()]

    @property
    def variables(self) -> dict[str, np.ndarray]:
        """What stands for each constant, see `LearnedConstant.x`, by ``layer/name``."""
        names = [f"{key}/{name}" for key, each in self.constants.by_key.items() for name in each]
        return {name: one.x for name, one in zip(names, self.learned, strict=True)}


class WeightGradient:
    """What the way down needs to know of a projection's weights; see `LayerState`."""

    def __init__(self, weights: np.ndarray, pool: Pool) -> None:
        self.weights, self._pool = weights, pool
        self.gradient = aligned_zeros(weights.shape, weights.dtype)

    @property
    def row_sum(self) -> np.ndarray:
        """Sums over the sources of each neuron's weights, float64 (blocks, WIDTH)."""
        sums = np.empty((len(self.weights), self.weights.shape[2]))
        counter = WorkCounter(len(sums))
        self._pool.share(lambda: sum_rows(self.weights, sums, counter), counter)
        return sums


class Step:
    """A mini-batch on its way through a network and back.

    Parameters
    ----------
    model : Model
    rule : Rule
    output : str
        One of `OUTPUTS`.
    samples : Arrivals
        Input spikes.
    kept : Kept
        Neurons that are not dropped.
    labels : int64 array (samples,) or None
        For what the rule does about silent neurons.
    pool : Pool
    """

    def __init__(
        self,
        model: Model,
        rule: Rule,
        output: str,
        samples: Arrivals,
        kept: Kept,
        labels: np.ndarray | None,
        pool: Pool,
    ) -> None:
        self.model, self.rule, self.output = model, rule, output
        self.samples, self.kept, self.labels, self.pool = samples, kept, labels, pool

    def forward(self) -> np.ndarray:
        """What the network gives out; see `SpikingNetwork.forward`."""
        learner = self.model.learner
        self.run = learner.forward(self.samples, self.pool, self.kept)
        if self.output == "readout":
            return learner.votes(self.run)
        self.counts = learner.counts(self.run, len(self.model.packed.network.layers))
        if self.output == "counts":
            return self.counts
        spikes = learner.output_spikes(self.run)
        sample = np.repeat(np.arange(len(spikes)), np.diff(spikes.ptr))
        rank = rank_spikes(sample, spikes.neurons, spikes.times)
        if self.output == "times":
            times = np.full((*self.counts.shape, int(self.counts.max(initial=0))), np.inf)
            times[sample, spikes.neurons, rank] = spikes.times
            return times
        late = self.samples.ends + getattr(self.rule, "silent_after", 0.0)
        times = np.repeat(late[:, None], self.counts.shape[1], axis=1)
        first = rank == 0
        times[sample[first], spikes.neurons[first]] = spikes.times[first]
        return times

    def backward(
        self, above: np.ndarray, needed: Sequence[bool], to_inputs: bool
    ) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray | None]:
        """Gradients of a loss from its derivatives by what `forward` returned, float64.

        Parameters
        ----------
        needed : sequence of bool
            Which weights are trained.
        to_inputs : bool
            Whether to derive by the times of the input spikes.

        Returns
        -------
        weights : list of arrays like the weights
        constants : list of float64 arrays
        by_inputs : float64 array (input spikes,) or None
        """
        packed, learner = self.model.packed, self.model.learner
        # Networks that are no chains go through all their weights at once.
        every = isinstance(packed, GraphWeights)
        states = {
            key: WeightGradient(block, self.pool)
            for (key, block), used in zip(self.model.blocks.items(), needed, strict=True)
            if used or every
        }
        loss, learned = self._given(above), self.model.learned
        for one in learned:
            one.gradient[...] = 0.0
        outcome = learner.accumulate(
            states,
            self.run,
            loss.labels,
            np.ones(len(self.samples)),
            loss,  # type: ignore[arg-type]
            self.pool,
            kept=self.kept,
            to_inputs=to_inputs,
        )
        nothing = np.empty(0)
        gradients = [states[key].gradient if key in states else nothing for key in self.model.blocks]
        return gradients, [one.gradient_by_x.copy() for one in learned], self._of_all(outcome.by_inputs)

    def _given(self, above: np.ndarray) -> GivenLoss:
        """The loss in the place of the rule's."""
        rule, labels = self.rule, self.labels
        if self.output == "readout":
            return GivenLoss(rule, -above, np.zeros(above.shape, np.int64), above, labels)
        if self.output == "counts":
            return GivenLoss(rule, -above, self.counts, above, labels)
        each = above[:, :, None] if self.output == "first" else above
        return GivenLoss(rule, np.nan_to_num(each).sum(axis=2), self.counts, each, labels)

    def _of_all(self, by_inputs: np.ndarray | None) -> np.ndarray | None:
        """Derivatives by all input spikes, 0 for those that were dropped."""
        if by_inputs is None or 0 not in self.kept:
            return by_inputs
        sample = np.repeat(np.arange(len(self.samples)), np.diff(self.samples.ptr))
        found = np.zeros(len(sample))
        found[self.kept[0][sample, self.samples.neurons]] = by_inputs
        return found


class Pass(torch.autograd.Function):
    """The whole network as one function of the times of its input spikes, its weights and its constants."""

    @staticmethod
    def forward(ctx: Any, step: Step, times: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        ctx.step = step
        # So that PyTorch says it if somebody changes them before the way back.
        ctx.save_for_backward(*parameters)
        real = step.model.packed.real
        return torch.from_numpy(step.forward().astype(real))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, above: torch.Tensor) -> tuple[Any, ...]:
        step, parameters = ctx.step, ctx.saved_tensors
        _, to_inputs, *needed = ctx.needs_input_grad
        if to_inputs and step.output == "counts":
            raise SimulationError(
                "counts have no derivative by the times of input spikes: choose output 'first', 'times' or "
                "'readout', or give times that require no gradient"
            )
        n = len(step.model.blocks)
        weights, constants, by_inputs = step.backward(above.to(torch.float64).numpy(), needed[:n], to_inputs)
        found = [torch.from_numpy(each) for each in (*weights, *constants)]
        gradients = [
            each.to(parameter.dtype) if used else None
            for each, parameter, used in zip(found, parameters, needed, strict=True)
        ]
        return None, None if by_inputs is None else torch.from_numpy(by_inputs), *gradients
