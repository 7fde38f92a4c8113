"""Errors of neurons on their way down, in exact time and on a clock.

A layer's gradient is delta_i (1 + s_i) lambda_i e_{i|j}, with the errors delta, the spike-train level PSPs e,
the self terms s and the lateral factors lambda; the errors of the layer below are sums of delta_i w_ij
rho_{i|j}. S-PSPs come from one of two kernels (`SpspMatrix`); all else is the same for both.
Source: Jin, Zhang & Li, NeurIPS 2018; what else a layer does to errors is the rule's (`LayerOptions`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from eventsnn._ext.lateral_factors import lateral_factors
from eventsnn._ext.optimiser import Update
from eventsnn._ext.rule import learn_units
from eventsnn._ext.spsp_matrix import SpspMatrix
from eventsnn._ext.team import Stage
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Share
from eventsnn.learn.optimisers import Step
from eventsnn.model import Layer
from eventsnn.simulate.engines.blocks import WIDTH, pad, unpack
from eventsnn.train.downward import EVERY, Downward, LayerState, Outcome, by_unit


@dataclass
class Learning:
    """What a layer learns in some samples, when `stage` has been done.

    Attributes
    ----------
    stage : Stage
    errors, terms : float64 arrays (units, blocks * width)
        The layer's errors and self terms; the latter (0, 0) without an observer.
    below : float64 array (1 or blocks, samples, targets)
        Errors of the layer below, to be added up in the order of the blocks.
    own : real array (units, blocks, rows, width)
        Gradients to be added up in the order of the units; of none where they are added at once.
    """

    stage: Stage
    errors: np.ndarray
    terms: np.ndarray
    below: np.ndarray
    own: np.ndarray


# Each thread has a matrix of its own.
MakeMatrix: TypeAlias = Callable[[], SpspMatrix]
# Lateral factors of a layer without them: 1.
NO_FACTORS = np.empty((0, 0))


class ErrorsDown(Downward):
    """Down go errors of the neurons of a layer, float64 (samples, neurons).

    A subclass says where the S-PSPs come from, and how the engine's kernel lays out what belongs to them.
    """

    # Whether kernels go through all blocks of one position of a layer that shares weights before the next.
    units_first = False

    @abstractmethod
    def output_counts(self) -> np.ndarray:
        """True output spikes, int64 (samples, outputs)."""

    @abstractmethod
    def force_spikes(self, samples: np.ndarray, labels: np.ndarray) -> int:
        """Give the silent label neurons of `samples` spikes; returns how many samples got any."""

    @abstractmethod
    def matrices(self, number: int, samples: slice, errors: np.ndarray, share: Share) -> MakeMatrix:
        """S-PSPs of a layer in `samples`, for its `errors` (units, blocks * width)."""

    @abstractmethod
    def lateral_matrices(self) -> MakeMatrix:
        """S-PSPs between the output neurons, from their true spikes."""

    def width(self, number: int) -> int:
        """Neurons of a block of a layer, with padding."""
        return WIDTH

    def hands_down(self, number: int) -> bool:
        """Whether anybody wants errors from a layer."""
        return number > 0

    def below_shape(self, number: int, units: int) -> tuple[int, int]:
        """Of the errors that go down from a layer: those of the inputs of each unit."""
        return units, self.layers[number].inputs

    def to_sources(self, number: int, below: np.ndarray) -> np.ndarray:
        """Errors of the source neurons (samples, sources) from an array of `below_shape`."""
        return below[:, : self.layers[number].patch]  # the bias neuron is no neuron of the layer below

    def begin(self, labels: np.ndarray, sample_weights: np.ndarray) -> Outcome:
        counts = self.output_counts()
        loss, derivative = self.rule.losses(counts, labels)
        self.above = self.rule.output_errors(derivative, sample_weights, self.layers[-1].threshold)
        # Before spikes are forced on silent label neurons: these inhibit nobody.
        self.lateral = self._lateral_factors(labels)
        silent = np.flatnonzero(counts[np.arange(len(labels)), labels] == 0)
        return Outcome(loss, self.force_spikes(silent, labels))

    def _lateral_factors(self, labels: np.ndarray) -> np.ndarray:
        """Lateral factors of the output neurons, as `to_units` has them."""
        layer, number = self.layers[-1], len(self.layers) - 1
        strength = self.rule.lateral_strength(layer)
        if not strength:
            return NO_FACTORS
        errors, labels = self.to_units(number, self.above), np.ascontiguousarray(labels, np.int64)
        factors, matrix, counter = np.ones_like(errors), self.lateral_matrices(), WorkCounter(len(errors))
        threshold = float(layer.threshold)
        self.threads.share(
            lambda: lateral_factors(matrix(), labels, errors, threshold, strength, factors, counter),
            counter,
        )
        return factors

    def of_kept(self, number: int, errors: np.ndarray) -> np.ndarray:
        """Errors of a layer, 0 where a neuron is dropped."""
        return errors * self.kept[number + 1] if number + 1 in self.kept else errors

    def dropped_inputs(self, number: int, samples: slice) -> np.ndarray | None:
        """Inputs of a layer that are dropped, bool (units, inputs); None if it has all of them."""
        if number not in self.kept:
            return None
        layer, dropped = self.layers[number], ~self.kept[number][samples]
        dropped = np.pad(
            dropped, ((0, 0), (0, 1))
        )  # the last is the bias neuron, or beyond the edge, where rows are -1
        return dropped[:, layer.rows].reshape(-1, layer.inputs)

    def row_sums(self, number: int, samples: slice) -> np.ndarray:
        """Sums of the weights of each neuron from inputs that are there; (1 or units, blocks, width)."""
        dropped, state = self.dropped_inputs(number, samples), self.state
        if dropped is None or state is None:
            return self.row_sum
        weights = unpack(state.weights, self.layers[number].channels).astype(np.float64)
        # No BLAS: its sums depend on its threads.
        missing = self._pad(number, np.einsum("ui,ci->uc", dropped.astype(np.float64), weights))
        repeats = len(missing) // len(self.row_sum)
        return np.tile(self.row_sum, (repeats, 1, 1)) - missing.reshape(-1, *self.row_sum.shape[1:])

    def to_units(self, number: int, values: np.ndarray) -> np.ndarray:
        """From (samples, neurons) of a layer to (units, blocks * width), 0 for padding."""
        return self._pad(number, by_unit(self.layers[number], values))

    def unit_errors(self, number: int, samples: slice) -> np.ndarray:
        """Errors of a layer in `samples`, as `to_units` has them."""
        return self.to_units(number, self.above[samples])

    def _from_units(self, number: int, values: np.ndarray) -> np.ndarray:
        """Of one sample what `to_units` made of (1, neurons): (neurons,)."""
        return values[:, : self.layers[number].channels].T.reshape(-1).copy()

    def see_self_terms(self, number: int, errors: np.ndarray, terms: np.ndarray) -> None:
        """Tell the observer the self terms of neurons with an error, both as `to_units` has them."""
        self.see("self_term", number, self._from_units(number, np.where(errors != 0.0, terms, np.nan)))

    def _pad(self, number: int, values: np.ndarray) -> np.ndarray:
        width = self.width(number)
        return pad(values, -(-values.shape[1] // width), width)

    def take_row_sums(self, number: int, state: LayerState | None) -> None:
        """Set `row_sum`, the sums of the weights of each neuron of a layer, and its `state`."""
        layer = self.layers[number]
        # Pooling layers have no gradient, which the sums are for.
        sums = np.zeros((1, layer.channels)) if state is None else row_sums(layer, state)
        padded = self._pad(number, sums)
        self.row_sum, self.state = padded.reshape(len(padded), -1, self.width(number)), state

    def learn_layer(self, number: int, state: LayerState | None, update: Step | None) -> None:
        self.take_row_sums(number, state)
        self.above = self.of_kept(number, self.above)
        if self.observer is not None:
            self.see("errors", number, self.above[0].copy())
            if self.lateral.size:
                self.see("lateral_factor", number, self._from_units(number, self.lateral))
        super().learn_layer(number, state, update)
        self.lateral = NO_FACTORS

    def learn_samples(
        self, number: int, samples: slice, gradient: np.ndarray, update: Update | None, share: Share
    ) -> np.ndarray:
        """Gradient of a layer through its S-PSP matrices."""
        # Threads share out the blocks, or where these are few the units; the sums are the same.
        threads, blocks = self.threads.threads if samples is EVERY else 1, self.row_sum.shape[1]
        own = self.own_blocks(number, blocks)
        by_unit = threads > 1 and blocks < 2 * threads and len(own) == blocks
        units_first = by_unit or (self.units_first and samples is not EVERY)
        learning = self.begin_learning(number, samples, gradient, share, threads, units_first, by_unit)
        share(learning.stage)
        if learning.terms.size:
            self.see_self_terms(number, learning.errors, learning.terms)
        for each in learning.own:
            gradient += each
        if not self.hands_down(number):
            return np.empty(0)
        if len(own) < blocks:
            self.division.ranks.complete(learning.below)
        return self.to_sources(number, learning.below.sum(axis=0))

    def begin_learning(
        self,
        number: int,
        samples: slice,
        gradient: np.ndarray,
        share: Share,
        threads: int,
        units_first: bool,
        by_unit: bool,
    ) -> Learning:
        """The stage for a layer's gradient and the errors below, for so many threads; see ``learn_units``."""
        layer, weights = self.layers[number], self.weights(number)
        errors = self.unit_errors(number, samples)
        units, blocks = len(errors), self.row_sum.shape[1]
        gradients = np.empty((units, *gradient.shape), gradient.dtype) if by_unit else gradient[None]
        shape = (1 if units_first else blocks, *self.below_shape(number, units))
        below = np.zeros(shape if self.hands_down(number) else (0, 0, 0))
        matrix, row_sum = self.matrices(number, samples, errors, share), self.row_sums(number, samples)
        own = self.own_blocks(number, blocks)
        counter = WorkCounter(units) if units_first else WorkCounter(own.stop, own.start)
        terms = np.full_like(errors, np.nan) if self.observer is not None else np.empty((0, 0))
        stage = learn_units(
            [matrix() for _ in range(threads)],
            weights,
            errors,
            self.lateral,
            row_sum,
            float(layer.threshold),
            *self.options(number).to_kernel,
            units_first,
            by_unit,
            gradients,
            below,
            counter,
            terms,
        )
        return Learning(stage, errors, terms, below, gradients if by_unit else gradients[:0])


def row_sums(layer: Layer, state: LayerState) -> np.ndarray:
    """Sums of the weights of each neuron, in each position if they differ; (1 or n, channels).

    The resting potential counts as the weight of an input.
    """
    inside, kind = layer.geometry.borders
    if inside.all():
        return state.row_sum.reshape(1, -1)[:, : layer.channels] + layer.resting
    blocks, _, width = state.weights.shape
    patch = state.weights[:, : layer.patch].reshape(blocks, -1, layer.geometry.area, width)
    by_cell = patch.sum(axis=1, dtype=np.float64)
    sums: np.ndarray = np.where(inside[:, None, :, None], by_cell, 0.0).sum(axis=2)
    if layer.has_bias:
        sums += state.weights[:, -1].astype(np.float64)
    by_kind = sums.reshape(len(sums), -1)[:, : layer.channels]
    return by_kind[kind] + layer.resting
