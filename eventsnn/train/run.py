"""A training run in progress: its state, one epoch after the other, each ending in a checkpoint."""

from __future__ import annotations

import json
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eventsnn._util.interrupts import hold_interrupts
from eventsnn._util.ranks import ALONE, Ranks
from eventsnn._util.threads import Pool
from eventsnn.data.augment import Augmentation
from eventsnn.data.distort import Distortion
from eventsnn.data.source import LabelledSource
from eventsnn.errors import NetworkError, TrainingError
from eventsnn.gpu.device import find_device
from eventsnn.learn.constants import LearnedConstants
from eventsnn.learn.optimisers import Optimiser, OptimiserState, Step
from eventsnn.learn.rule import Rule
from eventsnn.model import Network
from eventsnn.simulate.engines.division import Division, undivided
from eventsnn.simulate.engines.precision import StateOverflow
from eventsnn.trace.options import TraceOptions
from eventsnn.trace.record import decide_all
from eventsnn.train.agreement import check_agreement
from eventsnn.train.batches import Batch, cut, shuffled
from eventsnn.train.best import BestEpoch
from eventsnn.train.checkpoint import Checkpoint, load_for_all, save_checkpoint, write_lines
from eventsnn.train.clocks import Clocks
from eventsnn.train.device_check import check_device
from eventsnn.train.downward import Learner
from eventsnn.train.dropout import Dropout
from eventsnn.train.evaluate import count_outputs
from eventsnn.train.frozen_prefix import split_frozen_prefix
from eventsnn.train.learners import check_learner, make_learner
from eventsnn.train.norms import TOGETHER, GradientNorms
from eventsnn.train.progress import progress_bar
from eventsnn.train.resident import make_loader
from eventsnn.train.run_config import check_resumable, describe_recordings, describe_run, join_devices
from eventsnn.train.tallies import Tallies
from eventsnn.train.training_trace import TrainingTrace

# The files of a run's folder.
MODEL, CHECKPOINT, METRICS = "model.h5", "checkpoint.h5", "metrics.jsonl"


class TrainingRun:
    """State of a training run; see `eventsnn.train.trainer.train` for the arguments."""

    def __init__(
        self,
        network: Network,
        rule: Rule,
        optimiser: Optimiser,
        augmentation: Augmentation | None,
        distortion: Distortion | None,
        *,
        real: type[np.floating],
        batch_size: int,
        seed: int,
        data: LabelledSource,
        indices: np.ndarray,
        valid: LabelledSource | None,
        valid_indices: np.ndarray,
        folder: Path,
        pool: Pool,
        progress: bool,
        ranks: Ranks = ALONE,
        device: str = "cpu",
    ) -> None:
        step = self.step_ms = network.settings.step_ms
        # What is never trained runs forward only: input spikes go through it, and training begins behind it.
        prefix, chain = split_frozen_prefix(network, step)
        check_learner(chain, rule, step)
        self.network, self.rule, self.optimiser, self.augmentation = network, rule, optimiser, augmentation
        self.distortion = distortion
        self.batch_size, self.seed = batch_size, seed
        self.data, self.indices = data, indices
        self.valid, self.valid_indices = valid, valid_indices
        self.folder, self.pool, self.progress, self.ranks = folder, pool, progress, ranks
        inputs, settings = network.input.neurons, network.settings
        change = augmentation, seed, distortion, settings
        there = None
        if device != "cpu":
            check_device(chain, rule, optimiser, step, ranks)
            there = find_device()
        self.loader = make_loader(there, indices, data, inputs, *change)
        self.valid_loader = (
            None if valid is None else make_loader(there, valid_indices, valid, inputs, settings=settings)
        )
        self.constants = LearnedConstants([*chain.layers, *chain.connections], optimiser, chain.delays)
        self.dropout = Dropout(chain, seed)
        self.division = Division(ranks, undivided(chain, self.constants.by_key))
        self._make = partial(make_learner, rule=rule, real=real, step_ms=step, prefix=prefix, device=there)
        self.packed, self.learner = self._make(
            self.dropout.thin(chain), constants=self.constants, division=self.division
        )
        self.states = {key: self.learner.make_state(optimiser, self.packed, key) for key in chain.weights}
        self.boost = np.ones(len(data))
        self.epoch = 0
        self.step = 0
        self.clocks = Clocks()
        self.history: list[dict[str, Any]] = []
        self.best = BestEpoch()
        self.config = describe_run(
            network,
            rule,
            optimiser,
            augmentation,
            distortion,
            real=real,
            batch_size=batch_size,
            seed=seed,
            training=describe_recordings(data, indices),
            validation=None if valid is None else describe_recordings(valid, valid_indices),
            device=device,
        )
        self.trace: TrainingTrace | None = None  # of the first rank
        self.traced: frozenset[int] = frozenset()
        self.norms = GradientNorms(self.states)
        self._unsettled = False  # whether the last step's update may be under way

    def open_trace(self, options: TraceOptions) -> AbstractContextManager[Any]:
        """Begin a trace of what follows; the weights as they are now are its first snapshot."""
        if self.ranks.first:
            self._open_trace(options)
        self.traced = self.ranks.of_first(lambda: frozenset() if self.trace is None else self.trace.taken)
        return nullcontext() if self.trace is None else self.trace

    def _open_trace(self, options: TraceOptions) -> None:
        self.trace = TrainingTrace(
            options,
            self.network,
            self.packed.network,
            self.states,
            self.rule,
            self.learner,
            self.loader,
            self.data,
            self.indices,
            np.dtype(self.packed.real).name,
            self.seed,
        )
        self.trace.snapshot(self.epoch, self.step, self.dropout.whole(self.packed.weights()))

    def run_epoch(self, epochs: int) -> None:
        """One epoch over the training set, validation, and everything written down."""
        number = self.epoch + 1
        try:
            self._run_epoch(epochs)
        except StateOverflow as error:
            if self.step == 1:  # nothing has been learned: it is the network that was given
                raise
            raise _diverged(number, error.layer) from None

    def _run_epoch(self, epochs: int) -> None:
        start, cpu = time.perf_counter(), time.process_time()
        tallies = Tallies(len(self.data))
        rate = self.optimiser.rate(self.epoch)
        batches = cut(shuffled(self.indices, self.seed, self.epoch), self.batch_size)
        with progress_bar(len(self.indices), f"epoch {self.epoch + 1}/{epochs}", self.progress) as bar:
            # Recordings are read and prepared on other threads while a batch is learned.
            reading = self.clocks.divides_reading(self.ranks)
            for part in self.pool.prefetch(partial(self._read, reading), batches):
                batch = part.whole(reading)
                if len(batch):  # none where all files of a batch were unreadable
                    with self.clocks.learning():
                        self._learn(batch, rate, tallies)
                bar.update(len(batch))
                bar.set_postfix_str(
                    f"loss {tallies.loss:.1f}, accuracy {tallies.accuracy:.3f}", refresh=False
                )
        self._settle(tallies)
        if not tallies.samples:
            raise TrainingError("the training set holds no readable recording")
        self._complete()
        train_seconds = time.perf_counter() - start
        # Unreadable recordings were not classified: their weights stay.
        learned = tallies.learned
        self.boost[learned] = self.rule.reweigh(
            self.boost[learned], tallies.wrong[learned], np.asarray(self.data.labels)[learned]
        )
        self.epoch += 1
        line = {"epoch": self.epoch, **tallies.line(), "learning_rate": rate, **self._validate()}
        if listed := self.constants.listed:
            line["constants"] = listed
        if delays := self.constants.delays:
            line["delays"] = {
                key: {
                    "least_ms": float(each.min()),
                    "mean_ms": float(each.mean()),
                    "most_ms": float(each.max()),
                }
                for key, each in delays.items()
                if each.size
            }
        line["train_seconds"] = train_seconds
        line["seconds"] = time.perf_counter() - start
        line["cpu_seconds"] = sum(self.ranks.collect(time.process_time() - cpu))
        with hold_interrupts():  # Ctrl-C between two files would leave a folder of two epochs
            self._keep(line)
            if self.trace is not None:
                self.trace.snapshot(self.epoch, self.step, self.dropout.whole(self.packed.weights()))

    def resume(self) -> None:
        """Go on from the folder's checkpoint, if there is one."""
        path = self.folder / CHECKPOINT
        arrays = self._arrays()
        saved = load_for_all(path, arrays, self.ranks)
        if saved is None:
            return
        check_resumable(path, saved.config, self.config)
        devices = join_devices(path, saved.config, self.config)
        if devices != "cpu":
            self.config["device"] = devices
        for name, array in arrays.items():
            if name not in saved.arrays or saved.arrays[name].shape != array.shape:
                raise TrainingError(f"{path}: cannot resume, array {name!r} is missing or of another shape")
            if saved.arrays[name] is not array:
                array[...] = saved.arrays[name]  # in place: kernels and learner hold views of these arrays
        for state in self.states.values():
            state.loaded()
        self.learner.change(self.constants.values)
        self.epoch, self.step = saved.epoch, saved.step
        self.history, self.best.line = saved.history, saved.best
        self._restore_model(saved.arrays)
        # A kill may have come between the checkpoint and its line.
        if self.ranks.first:
            write_lines(self.folder / METRICS, self.history)

    def _read(self, ranks: Ranks, indices: np.ndarray) -> Batch:
        """This rank's part of a mini-batch, of those that `ranks` divide among them."""
        own = ranks.part(len(indices))
        with self.clocks.reading():
            batch = self.loader.prepare(indices[own.start : own.stop], self.epoch)
        # Dropout makes other samples of them. Several ranks wait for each other, and for longer where each
        # does more at times of its own.
        if self.dropout or self.ranks.size > 1 or self.pool.threads == 1:  # one thread gains nothing
            return batch
        if batch.ready is not None:  # on a device
            return batch
        return replace(batch, ready=self.learner.prepare(batch.arrivals))

    def _complete(self) -> None:
        """Take over what other ranks have learned: between epochs every rank holds everything."""
        for state in self.states.values():
            state.complete(self.ranks)
        check_agreement(self.ranks, self.states, self.epoch + 1)

    def _learn(self, batch: Batch, rate: float, tallies: Tallies) -> None:
        self.step += 1
        rate *= self.optimiser.warm(self.step)
        kept = self.dropout.draw(self.epoch, batch.indices)
        boost = self.boost[batch.indices]
        if not self.traced.isdisjoint(batch.indices.tolist()):
            self._observe(batch, boost)
        updates: dict[str, Step] = {}

        def begin_step() -> None:
            """Once the last update of the step before is complete."""
            self._add_norms(tallies)
            for key, state in self.states.items():
                # The mean over the recordings that could be read, empty ones included.
                updates[key] = state.update(1.0 / len(batch.labels), self._decay(key), rate, self.step)

        self.pool.meanwhile(begin_step)
        run = self.learner.forward(batch.arrivals, self.pool, kept)
        self.pool.finish()
        outcome = self.learner.accumulate(
            self.states, run, batch.labels, boost, self.rule, self.pool, updates, kept
        )
        if self.constants:
            self._learn_constants(1.0 / len(batch.labels), rate)
        # Of hidden layers only: a layer that falls silent stops learning, and the epoch's line says so.
        hidden = self.learner.hidden_activity(run, len(self.packed.network.layers), kept)
        tallies.add(batch, self.learner.votes(run), outcome.loss, outcome.forced, hidden)
        self._unsettled = True

    def _settle(self, tallies: Tallies) -> None:
        """Complete the step before: while its last update is under way, the next mini-batch begins."""
        self.pool.finish()
        self._add_norms(tallies, last=True)

    def _add_norms(self, tallies: Tallies, last: bool = False) -> None:
        """Count the norms of the gradients of the step before, unless that is done."""
        if self._unsettled:
            self.norms.note()
        self._unsettled = False
        if self.norms.steps >= (1 if last else TOGETHER):
            for norms in self.norms.take(self.ranks):
                tallies.add_norms(norms)

    def _observe(self, batch: Batch, boost: np.ndarray) -> None:
        """Trace what is to be traced of a mini-batch: the first rank does, by itself."""
        self.pool.finish()
        self._complete()
        if self.trace is not None:
            with self.division.alone():
                self.trace.observe(batch, self.epoch, boost, self.packed.weights, self.dropout, self.pool)

    def _learn_constants(self, scale: float, rate: float) -> None:
        self.constants.update(scale, rate, self.step)
        try:
            self.learner.change(self.constants.values)
        except NetworkError as error:
            raise TrainingError(
                f"epoch {self.epoch + 1}: {error}: learning it diverged; lower the learning rate, or "
                "delay_rate or constant_rate of the optimiser. The checkpoint is that of the epoch before"
            ) from None

    def _decay(self, key: str) -> np.ndarray:
        """Factors (blocks, WIDTH) by which the weight penalties add a multiple of the weights."""
        return weight_decay(self.rule, self.states[key], self.packed.real)

    def _validate(self) -> dict[str, Any]:
        if self.valid_loader is None:
            return {"valid_accuracy": None, "valid_loss": None}
        outputs, learner = self.network.output.neurons, self._whole()
        own = self.ranks.part(len(self.valid_indices))
        with self.division.alone():
            found = count_outputs(
                lambda batch: learner.votes(learner.forward(batch.arrivals, self.pool)),
                outputs,
                self.valid_loader,
                self.valid_indices[own.start : own.stop],
                self.pool,
                progress=self.progress,
                batch_size=learner.batch,
            )
        counts, labels = self.ranks.join(found.counts, found.labels)
        if not len(labels):
            raise TrainingError("the validation set holds no readable recording")
        accuracy = float(np.mean(decide_all(counts) == labels))
        losses = self.rule.losses if self.network.output.fires else self.rule.readout_losses
        loss = float(np.mean(losses(counts, labels)[0]))
        return {"valid_accuracy": accuracy, "valid_loss": loss}

    def _whole(self) -> Learner[Any]:
        """The network as it is, of which dropout trains thinned ones."""
        if not self.dropout:
            return self.learner
        trained = self.packed.network.with_weights(self.dropout.whole(self.packed.weights()))
        return self._make(trained, constants=self.constants)[1]

    def _keep(self, line: dict[str, Any]) -> None:
        """Write the epoch down, in an order in which a kill at any moment loses nothing reported as saved."""
        for key, state in self.states.items():
            # A NaN anywhere shows in the sums, which the optimiser's step keeps anyway.
            if not np.isfinite(state.row_sum).all():
                raise _diverged(self.epoch, key)
        if self.best.is_beaten_by(line):
            self.best.take(line, self.dropout.whole(self.packed.weights()), self.constants.delays)
            self._save_model()
        self.history.append(line)
        if not self.ranks.first:
            return
        # The checkpoint can restore both other files: it decides at which epoch the folder is.
        arrays = self._arrays() | self.best.arrays()
        saved = Checkpoint(self.epoch, self.step, arrays, self.history, self.best.line, self.config)
        save_checkpoint(self.folder / CHECKPOINT, saved)
        write_lines(self.folder / METRICS, self.history)

    @property
    def best_network(self) -> Network:
        """The network of the best epoch."""
        return self.best.network(self.network)

    def _save_model(self) -> None:
        if self.ranks.first:
            self.best_network.save(
                self.folder / MODEL,
                training=json.dumps({"config": self.config, "best": self.best.line}, sort_keys=True),
            )

    def _restore_model(self, arrays: dict[str, np.ndarray]) -> None:
        """Restore model.h5 to its state at the time of the checkpoint, whatever has happened to it since."""
        names = self.packed.weights()
        if self.best.restore(arrays, names, self.constants.delays):
            self._save_model()
            return
        try:  # a checkpoint of a version that left the best weights to model.h5
            best = self.ranks.of_first(lambda: Network.load(self.folder / MODEL).weights)
        except NetworkError as error:
            raise TrainingError(
                f"{error}; the checkpoint was written by an earlier eventsnn and cannot replace it: "
                "put the file back, or train again in another folder"
            ) from None
        self.best.weights = {key: best[key] for key in names}

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {"boost": self.boost, **self.constants.arrays()}
        for key, state in self.states.items():
            arrays[f"weights/{key}"] = state.weights
            arrays[f"row_sum/{key}"] = state.row_sum
            arrays[f"row_square/{key}"] = state.row_square
            for n, moment in enumerate(state.moments):
                arrays[f"moment{n}/{key}"] = moment
        return arrays


def weight_decay(rule: Rule, state: OptimiserState, real: type[np.floating]) -> np.ndarray:
    """Factors (blocks, WIDTH) by which the weight penalties add a multiple of the weights to the gradient."""
    mean_square = state.row_square / state.synapses
    factor: np.ndarray = rule.penalty(mean_square).astype(real)
    return factor


def _diverged(epoch: int, layer: str) -> TrainingError:
    whose = f"the weights of {layer!r}" if layer else "the weights"
    return TrainingError(
        f"epoch {epoch}: {whose} overflowed (inf or NaN); lower the learning rate. The checkpoint is "
        "that of the epoch before"
    )
