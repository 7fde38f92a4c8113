"""Training on the clock: the steps of the authors of HM2-BP, forward and backward, in float32.

The way down is that of `eventsnn.train.errors`, for rules that send errors; S-PSPs are those of
`eventsnn.reference.spsp_clocked`. Even the first layer needs their matrices: on a clock a spike overshoots
the threshold, so that the self term is not 1.

Source: Jin, Zhang & Li, NeurIPS 2018, and the authors' program.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from eventsnn._ext.engine_clocked import ClockedRun
from eventsnn._ext.spsp_clocked import ClockedSpsp
from eventsnn._util.threads import Pool as Threads
from eventsnn._util.threads import Share
from eventsnn.errors import TrainingError
from eventsnn.learn.optimisers import Step
from eventsnn.learn.rule import Rule
from eventsnn.model import Network
from eventsnn.model.settings import DEFAULT_STEP_MS
from eventsnn.model.steps import refusal
from eventsnn.simulate.engines.arrivals import EVERYONE, Arrivals, Kept
from eventsnn.simulate.engines.blocks import WIDTH
from eventsnn.simulate.engines.clocked import records_of
from eventsnn.simulate.engines.clocked_network import ClockedNetwork
from eventsnn.simulate.engines.clocked_samples import run_samples, steps_of
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.trace.record import SpikeRecord
from eventsnn.train.downward import LayerState, Learner, Observer, Outcome
from eventsnn.train.errors import ErrorsDown, MakeMatrix
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
        self.network, self.packed = packed.network, packed
        self.clock = ClockedNetwork(packed.network, packed.blocks, step_ms)
        self.prefix = prefix

    def forward(self, samples: Arrivals, threads: Threads, kept: Kept = EVERYONE) -> list[ClockedRun]:
        threads.finish()  # the weights, which may be under way
        self.clock.refresh()
        steps, ends = steps_of(samples, self.clock.step_ms), samples.ends.tolist()
        if self.prefix is not None:
            samples = self.prefix.spikes(samples, threads)
        if 0 in kept:
            samples = samples.where(kept[0])
        return run_samples(self.clock, samples, steps, ends, threads, kept)

    def counts(self, run: list[ClockedRun], number: int) -> np.ndarray:
        return np.array([self.clock.counts(each, number) for each in run], np.int64)

    def records(self, run: list[ClockedRun], samples: Arrivals, threads: Threads) -> list[SpikeRecord]:
        above = records_of(self.clock, samples, samples.ends.tolist(), run)
        return above if self.prefix is None else self.prefix.stack(samples, above, threads)

    def output_spikes(self, run: list[ClockedRun]) -> Arrivals:
        return Arrivals.join([self.clock.train(each, len(self.network.layers)) for each in run])

    def votes(self, run: list[ClockedRun]) -> np.ndarray:
        return self.counts(run, len(self.network.layers))  # rules whose times decide need exact time

    def accumulate(
        self,
        states: Mapping[str, LayerState],
        run: list[ClockedRun],
        labels: np.ndarray,
        sample_weights: np.ndarray,
        rule: Rule,
        threads: Threads,
        updates: Mapping[str, Step] | None = None,
        kept: Kept = EVERYONE,
        observer: Observer | None = None,
        *,
        to_inputs: bool = False,
    ) -> Outcome:
        down = ClockedErrors(self.packed, self.clock, states, run, rule, threads)
        down.kept, down.observer = kept, observer
        return down.run(labels, sample_weights, updates or {})


class ClockedErrors(ErrorsDown):
    """Errors by the S-PSPs of clocked spikes."""

    def __init__(
        self,
        packed: PackedNetwork,
        clock: ClockedNetwork,
        states: Mapping[str, LayerState],
        runs: list[ClockedRun],
        rule: Rule,
        threads: Threads,
    ) -> None:
        super().__init__(clock.network, states, len(runs), rule, threads)
        self.packed, self.clock, self.runs = packed, clock, runs
        # Output neuron with forced spikes (-1: none) and the steps between them, sample by sample.
        self.forced = np.full((len(runs), 2), (-1, 1), np.int64)

    def output_counts(self) -> np.ndarray:
        return np.array([self.clock.counts(run, len(self.layers)) for run in self.runs], np.int64)

    def weights(self, number: int) -> np.ndarray:
        layer = self.layers[number]
        if not layer.shares_weights:
            return self.packed.blocks[str(layer.name)]
        # Pooling layers have no weights.
        return self.clock.kernels.get(str(layer.name), np.empty((0, 0), np.float32))[None]

    def width(self, number: int) -> int:
        shared = self.layers[number].shares_weights
        return self.clock.layouts[number + 1].width if shared else WIDTH

    def force_spikes(self, samples: np.ndarray, labels: np.ndarray) -> int:
        for sample in samples:
            interval = self.rule.forced_interval(self.runs[sample].steps)
            if interval:
                self.forced[sample] = labels[sample], interval
                times = np.arange(interval, self.runs[sample].steps, interval) * self.clock.step_ms
                self.see("lent_spikes", len(self.layers) - 1, (times, np.full(len(times), labels[sample])))
        return int((self.forced[:, 0] >= 0).sum())

    def lateral_matrices(self) -> MakeMatrix:
        kernel, number, forced = self.clock.layers[-1], len(self.layers), self.forced
        return lambda: ClockedSpsp(kernel, self.runs, number, forced, within=True)

    def matrices(self, number: int, samples: slice, errors: np.ndarray, share: Share) -> MakeMatrix:
        kernel, runs, forced = self.clock.layers[number], self.runs[samples], self.forced[samples]
        if number + 1 < len(self.layers):
            forced = np.full_like(forced, (-1, 1))
        return lambda: ClockedSpsp(kernel, runs, number + 1, forced)

    def below_shape(self, number: int, units: int) -> tuple[int, int]:
        layer = self.layers[number]
        if not layer.shares_weights:
            return super().below_shape(number, units)
        return units // layer.positions, math.prod(layer.known_source)

    def to_sources(self, number: int, below: np.ndarray) -> np.ndarray:
        return below if self.layers[number].shares_weights else super().to_sources(number, below)

    def to_blocks(self, number: int, gradient: np.ndarray) -> np.ndarray:
        return self.clock.to_blocks(self.layers[number], gradient[0])
