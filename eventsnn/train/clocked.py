"""HM2-BP on the clocked engine: the authors' steps, forward and backward, in float32.

The rule is that of `eventsnn.train.backward`; S-PSPs are those of `eventsnn.learn.clocked`, and the self
term is computed even in the first layer: on a clock a spike overshoots the threshold, so that it is not 1.
Samples run and, in spatial layers, learn side by side; dense layers learn block by block. Sums run over the
samples in their order: the result is the same to the last bit for any number of threads.

Source: Jin, Zhang & Li, NeurIPS 2018, and the authors' program.
"""

from __future__ import annotations

import numpy as np

from eventsnn._ext.engine_clocked import ClockedRun
from eventsnn._ext.rule_clocked import learn_dense, learn_spatial
from eventsnn._ext.spsp_clocked import lateral_spsp
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import Pool as Threads
from eventsnn.errors import TrainingError
from eventsnn.learn import macro
from eventsnn.learn.optimisers import OptimiserState, Step
from eventsnn.learn.rule import LayerOptions, Rule
from eventsnn.model import Conv, Dense, Network, Pool
from eventsnn.model.settings import DEFAULT_STEP_MS
from eventsnn.model.steps import refusal
from eventsnn.simulate.engines import clocked
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.sweep import Arrivals
from eventsnn.train.backward import Errors
from eventsnn.train.clocked_runs import run_samples, steps_of
from eventsnn.train.frozen_prefix import FrozenPrefix
from eventsnn.train.learner import check_trainable
from eventsnn.train.spatial import sum_inside


def check_clocked(network: Network, step_ms: float = DEFAULT_STEP_MS) -> None:
    """Raise TrainingError, saying why, for a chain of layers that cannot be trained on a clock."""
    check_trainable(network)
    reason = refusal(network, step_ms)
    if reason:
        raise TrainingError(f"network cannot be trained with engine 'clocked': {reason}")
    for layer in network.layers:
        if layer.tau_m == layer.tau_s:
            raise TrainingError(
                f"{layer.owner}: engine 'clocked' trains with tau_m and tau_s that differ only"
            )


class ClockedLearner:
    """A network on a clock, forward and backward.

    Parameters
    ----------
    packed : PackedNetwork
        In float32; its weights are read anew for each mini-batch.
    step_ms : float
        Length of the clock's step, ms.
    front : FrozenPrefix, optional
        What the input spikes go through first, in the same steps.
    """

    def __init__(
        self, packed: PackedNetwork, step_ms: float = DEFAULT_STEP_MS, front: FrozenPrefix | None = None
    ) -> None:
        self.network = packed.network
        self.clock = clocked.ClockedNetwork(packed.network, packed.blocks, step_ms)
        self.front = front

    def forward(self, samples: Arrivals, threads: Threads) -> list[ClockedRun]:
        """Every sample through all layers; see `steps_of` for how long.

        Raises
        ------
        SimulationError
            For more steps than the clock takes.
        """
        self.clock.refresh()
        steps, ends = steps_of(samples, self.clock.step_ms), samples.ends.tolist()
        if self.front is not None:
            samples = self.front.spikes(samples, threads)
        return run_samples(self.clock, samples, steps, ends, threads)

    def counts(self, runs: list[ClockedRun], number: int) -> np.ndarray:
        """Spikes of each neuron of a layer (0: the input), int64 array (samples, neurons)."""
        return np.array([self.clock.counts(run, number) for run in runs], np.int64)

    def accumulate(
        self,
        states: dict[str, OptimiserState],
        runs: list[ClockedRun],
        labels: np.ndarray,
        sample_weights: np.ndarray,
        rule: Rule,
        threads: Threads,
        updates: dict[str, Step] | None = None,
    ) -> Errors:
        """Gradients of a mini-batch; see `eventsnn.train.backward.accumulate_gradients`."""
        layers = self.network.layers
        counts = self.counts(runs, len(layers))
        loss, derivative = rule.losses(counts, labels)
        delta = rule.output_errors(derivative, sample_weights, self.network.output.threshold)
        factor = self._lateral_factors(runs, counts, labels, delta, rule)
        silent = counts[np.arange(len(labels)), labels] == 0
        lent = np.full((len(runs), 2), (-1, 1), np.int64)
        for sample in np.flatnonzero(silent):
            interval = rule.forced_interval(runs[sample].steps)
            if interval:
                lent[sample] = labels[sample], interval
        forced = int((lent[:, 0] >= 0).sum())
        for number in range(len(layers), 0, -1):
            layer = layers[number - 1]
            if not isinstance(layer, Dense):
                self._learn_spatial(number, states, runs, delta, rule, threads)
                break
            state = states[str(layer.name)]
            delta = self._learn_dense(number, state, runs, delta, factor, lent, rule, threads)
            factor, lent = np.ones_like(delta), np.full_like(lent, (-1, 1))
        for update in (updates or {}).values():
            update.run(threads.share)
        return Errors(loss, forced)

    def _lateral_factors(
        self,
        runs: list[ClockedRun],
        counts: np.ndarray,
        labels: np.ndarray,
        delta: np.ndarray,
        rule: Rule,
    ) -> np.ndarray:
        """Lateral factors of the output neurons (samples, outputs), from their true spikes."""
        layer, number = self.network.output, len(self.network.layers)
        factor, strength = np.ones_like(delta), rule.lateral_strength(layer)
        if not strength:
            return factor
        e = np.empty((self.clock.layers[-1].size, layer.neurons), np.float32)
        for sample, run in enumerate(runs):
            if not delta[sample].any() or not counts[sample].any():
                continue
            lateral_spsp(self.clock.layers[-1], run, number, e)
            active = counts[sample] > 0
            active[labels[sample]] = True
            factor[sample] = macro.lateral_factor(
                e[: layer.neurons].astype(np.float64),
                counts[sample],
                active,
                layer.threshold,
                strength,
            )
        return factor

    def _learn_dense(
        self,
        number: int,
        state: OptimiserState,
        runs: list[ClockedRun],
        delta: np.ndarray,
        factor: np.ndarray,
        lent: np.ndarray,
        rule: Rule,
        threads: Threads,
    ) -> np.ndarray:
        """Gradient of a dense layer; returns the errors of the layer below (samples, neurons)."""
        layer, kernel = self.network.layers[number - 1], self.clock.layers[number - 1]
        blocks, rows, _ = state.gradient.shape
        assert isinstance(layer, Dense)
        errors, factors = np.zeros((2, len(runs), kernel.size), np.float32)
        errors[:, : layer.neurons], factors[:, : layer.neurons] = delta, factor
        below = np.zeros((blocks if number > 1 else 0, len(runs), rows), np.float32)
        turns, row_sum = WorkCounter(blocks), state.row_sum.astype(np.float32)
        options, gradient = self._options(number, rule), state.gradient
        threads.share(
            lambda: learn_dense(
                kernel,
                runs,
                number,
                errors,
                factors,
                row_sum,
                float(layer.threshold),
                options.silent_spsp,
                options.silent_ratio,
                options.effect_ratio,
                lent,
                gradient,
                below,
                turns,
            )
        )
        total = below.sum(axis=0, dtype=np.float64) / options.divisor
        # The bias neuron is none of the layer below.
        return total[:, :-1] if self.network.input.has_bias else total

    def _learn_spatial(
        self,
        last: int,
        states: dict[str, OptimiserState],
        runs: list[ClockedRun],
        delta: np.ndarray,
        rule: Rule,
        threads: Threads,
    ) -> None:
        """Gradients of the convolutions from the errors of layer number `last`, the last spatial one."""
        gradients: list[dict[str, np.ndarray]] = [{} for _ in runs]
        row_sums = {}
        for layer in self.network.layers[:last]:
            if isinstance(layer, Conv):
                own = sum_inside(layer, states[str(layer.name)])
                width = self.clock.kernels[str(layer.name)].shape[1]
                row_sums[str(layer.name)] = np.zeros((len(own), width), np.float32)
                channels = own.reshape(len(own), -1)[:, : layer.channels]
                row_sums[str(layer.name)][:, : layer.channels] = channels
        turns = WorkCounter(len(runs))

        def work() -> None:
            while (sample := turns.take()) >= 0:
                if delta[sample].any():
                    gradients[sample] = self._learn_sample(last, runs[sample], delta[sample], row_sums, rule)

        threads.share(work)
        for layer in self.network.layers[:last]:
            name = str(layer.name)
            parts = [own[name] for own in gradients if name in own]
            if parts:
                assert isinstance(layer, Conv)
                total = parts[0]
                for part in parts[1:]:
                    total += part
                states[name].gradient += self.clock.to_blocks(layer, total)

    def _learn_sample(
        self, last: int, run: ClockedRun, delta: np.ndarray, row_sums: dict[str, np.ndarray], rule: Rule
    ) -> dict[str, np.ndarray]:
        """One sample from the last spatial layer down; gradients (rows, width) by layer."""
        found: dict[str, np.ndarray] = {}
        layers, nothing = self.network.layers, np.empty((0, 0), np.float32)
        own = np.zeros(self.clock.layouts[last].size, np.float32)
        own[self.clock.layouts[last].ids] = delta
        for number in range(last, 0, -1):
            layer = layers[number - 1]
            assert isinstance(layer, Conv | Pool)
            name = str(layer.name)
            below = np.empty(self.clock.layouts[number - 1].size if number > 1 else 0, np.float32)
            gradient = np.zeros_like(self.clock.kernels[name]) if isinstance(layer, Conv) else nothing
            row_sum, options = row_sums.get(name, nothing), self._options(number, rule)
            learn_spatial(
                self.clock.layers[number - 1],
                run,
                number,
                own,
                row_sum,
                float(layer.threshold),
                options.silent_spsp,
                options.silent_ratio,
                options.effect_ratio,
                gradient,
                below,
            )
            if isinstance(layer, Conv):
                found[name] = gradient
            if number > 1:
                below /= np.float32(options.divisor)
            own = below
        return found

    def _options(self, number: int, rule: Rule) -> LayerOptions:
        """How errors go through layer `number`, counted from 1."""
        layers = self.network.layers
        return rule.layer_options(layers[number - 1], layers[number - 2] if number > 1 else None)
