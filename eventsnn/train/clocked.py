"""Training on the clock: the steps of the authors of HM2-BP, forward and backward, in float32.

The way down is that of `eventsnn.train.downward`, for rules that send errors; S-PSPs are those of
`eventsnn.reference.spsp_clocked`, and the self term is computed even in the first layer: on a clock a spike
overshoots the threshold, so that it is not 1.

Source: Jin, Zhang & Li, NeurIPS 2018, and the authors' program.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from eventsnn._ext.engine_clocked import ClockedRun
from eventsnn._ext.optimiser import Update
from eventsnn._ext.rule_clocked import learn_layer
from eventsnn._ext.spsp_clocked import lateral_spsp
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool as Threads
from eventsnn.errors import TrainingError
from eventsnn.learn import macro
from eventsnn.learn.optimisers import OptimiserState, Step
from eventsnn.learn.rule import Rule
from eventsnn.model import Network
from eventsnn.model.settings import DEFAULT_STEP_MS
from eventsnn.model.steps import refusal
from eventsnn.simulate.engines import clocked
from eventsnn.simulate.engines.arrivals import Arrivals, Share
from eventsnn.simulate.engines.clocked_samples import run_samples, steps_of
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.downward import Downward, LayerState, Learner, Outcome
from eventsnn.train.errors import row_sums
from eventsnn.train.frozen_prefix import FrozenPrefix
from eventsnn.train.learner import check_trainable


def check_clocked(network: Network, step_ms: float = DEFAULT_STEP_MS, rule: Rule | None = None) -> None:
    """Raise TrainingError, saying why, for a chain of layers or a rule that cannot be trained on a clock."""
    check_trainable(network)
    if rule is not None and rule.sends == "derivatives":
        raise TrainingError(
            f"rule {rule.name!r} cannot be trained with engine 'clocked': it needs derivatives by spike "
            "times, which steps have not; use engine 'exact'"
        )
    reason = refusal(network, step_ms)
    if reason:
        raise TrainingError(f"network cannot be trained with engine 'clocked': {reason}")
    for layer in network.layers:
        if layer.tau_m == layer.tau_s:
            raise TrainingError(
                f"{layer.owner}: engine 'clocked' trains with tau_m and tau_s that differ only"
            )


class ClockedLearner(Learner[list[ClockedRun]]):
    """A network on a clock, forward and backward.

    Parameters
    ----------
    packed : PackedNetwork
        In float32; its weights are read again for each mini-batch.
    step_ms : float
        Length of the clock's step, ms.
    prefix : FrozenPrefix, optional
        What the input spikes go through first, in the same steps.
    """

    def __init__(
        self, packed: PackedNetwork, step_ms: float = DEFAULT_STEP_MS, prefix: FrozenPrefix | None = None
    ) -> None:
        self.network = packed.network
        self.clock = clocked.ClockedNetwork(packed.network, packed.blocks, step_ms)
        self.prefix = prefix

    def forward(self, samples: Arrivals, threads: Threads) -> list[ClockedRun]:
        self.clock.refresh()
        steps, ends = steps_of(samples, self.clock.step_ms), samples.ends.tolist()
        if self.prefix is not None:
            samples = self.prefix.spikes(samples, threads)
        return run_samples(self.clock, samples, steps, ends, threads)

    def counts(self, run: list[ClockedRun], number: int) -> np.ndarray:
        return np.array([self.clock.counts(each, number) for each in run], np.int64)

    def votes(self, run: list[ClockedRun]) -> np.ndarray:
        return self.counts(run, len(self.network.layers))  # rules whose times decide need exact time

    def accumulate(
        self,
        states: dict[str, OptimiserState],
        run: list[ClockedRun],
        labels: np.ndarray,
        sample_weights: np.ndarray,
        rule: Rule,
        threads: Threads,
        updates: Mapping[str, Step] | None = None,
    ) -> Outcome:
        return ClockedDown(self.clock, states, run, rule, threads).run(labels, sample_weights, updates or {})


class ClockedDown(Downward):
    """Errors of neurons on their way down, on a clock.

    They are float32 (samples, neurons), the neurons as the kernel numbers them, with padding.
    """

    def __init__(
        self,
        clock: clocked.ClockedNetwork,
        states: dict[str, OptimiserState],
        runs: list[ClockedRun],
        rule: Rule,
        threads: Threads,
    ) -> None:
        super().__init__(clock.network, states, len(runs), rule, threads)
        self.clock, self.runs = clock, runs
        # Neuron with forced spikes (-1: none) and the steps between them, sample by sample.
        self.forced = np.full((len(runs), 2), (-1, 1), np.int64)

    def begin(self, labels: np.ndarray, sample_weights: np.ndarray) -> Outcome:
        counts = np.array([self.clock.counts(run, len(self.layers)) for run in self.runs], np.int64)
        loss, derivative = self.rule.losses(counts, labels)
        errors = self.rule.output_errors(derivative, sample_weights, self.layers[-1].threshold)
        self.above = self._number(-1, errors)
        self.factor = self._number(-1, self._lateral_factors(counts, labels))
        for sample in np.flatnonzero(counts[np.arange(len(labels)), labels] == 0):
            interval = self.rule.forced_interval(self.runs[sample].steps)
            if interval:
                self.forced[sample] = labels[sample], interval
        return Outcome(loss, int((self.forced[:, 0] >= 0).sum()))

    def _number(self, layout: int, values: np.ndarray) -> np.ndarray:
        """Values of neurons (samples, neurons) as the kernel numbers these, 0 for padding; float32."""
        numbered = np.zeros((len(values), self.clock.layouts[layout].size), np.float32)
        numbered[:, self.clock.layouts[layout].ids] = values
        return numbered

    def _lateral_factors(self, counts: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Lateral factors of the output neurons (samples, outputs), from their true spikes."""
        layer, kernel = self.layers[-1], self.clock.layers[-1]
        factor, strength = np.ones(counts.shape), self.rule.lateral_strength(layer)
        if not strength:
            return factor
        e = np.empty((kernel.size, layer.neurons), np.float32)
        for sample, run in enumerate(self.runs):
            if not self.above[sample].any() or not counts[sample].any():
                continue
            lateral_spsp(kernel, run, len(self.layers), e)
            active = counts[sample] > 0
            active[labels[sample]] = True
            spsp = e[: layer.neurons].astype(np.float64)
            factor[sample] = macro.lateral_factor(spsp, counts[sample], active, layer.threshold, strength)
        return factor

    def empty_gradient(self, number: int) -> np.ndarray:
        name = str(self.layers[number].name)
        # Pooling layers have no weights, and need no gradient.
        return np.zeros_like(self.clock.kernels.get(name, np.empty((0, 0), np.float32)))

    def to_blocks(self, number: int, gradient: np.ndarray) -> np.ndarray:
        return self.clock.to_blocks(self.layers[number], gradient)

    def learn_layer(self, number: int, state: LayerState | None, update: Step | None) -> None:
        layer, width = self.layers[number], self.clock.layouts[number + 1].width
        sums = np.zeros((1, 1, width)) if state is None else row_sums(layer, state)
        if layer.shares_weights:
            self.row_sum = np.zeros((len(sums), width), np.float32)
            self.row_sum[:, : layer.channels] = sums.reshape(len(sums), -1)[:, : layer.channels]
        else:
            self.row_sum = sums[0].astype(np.float32)
        super().learn_layer(number, state, update)
        self.factor, self.forced = np.ones_like(self.above), np.full_like(self.forced, (-1, 1))

    def learn_samples(
        self, number: int, samples: slice, gradient: np.ndarray, update: Update | None, share: Share
    ) -> np.ndarray:
        layer, kernel = self.layers[number], self.clock.layers[number]
        runs, options, shared = self.runs[samples], self.options(number), layer.shares_weights
        positions = layer.positions if shared else len(gradient)
        inputs = self.clock.layouts[number].size if shared else gradient.shape[1]
        below = np.zeros((number and (1 if shared else positions), len(runs), inputs), np.float32)
        counter = WorkCounter(positions)
        share(
            lambda: learn_layer(
                kernel,
                runs,
                number + 1,
                self.above[samples],
                self.factor[samples],
                self.row_sum,
                float(layer.threshold),
                options.silent_spsp,
                options.silent_ratio,
                options.effect_ratio,
                self.forced[samples],
                gradient[None] if shared else gradient,
                below,
                counter,
            )
        )
        if not number:
            return below
        if shared:
            return below[0] / np.float32(options.divisor)
        total = below.sum(axis=0, dtype=np.float64) / options.divisor
        return self._number(number, total[:, : layer.patch])  # the bias neuron is none of the layer below
