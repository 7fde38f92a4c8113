"""Training: epochs over labelled recordings, validation, the best network, metrics, checkpoints."""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eventsnn._util import html
from eventsnn._util.arguments import check_choice, check_kind, check_number, check_whole
from eventsnn._util.atomic import remove_parts
from eventsnn._util.lock import Lock
from eventsnn._util.ranks import Ranks, find_ranks
from eventsnn._util.threads import Pool
from eventsnn._util.words import number_of
from eventsnn.data.augment import Augmentation
from eventsnn.data.distort import Distortion
from eventsnn.data.memory import EventTargetSequence, as_source
from eventsnn.data.source import LabelledSource
from eventsnn.data.splits import cap_per_class, split_validation
from eventsnn.errors import NetworkError, SilentOutputWarning, TrainingError
from eventsnn.learn.optimisers import Optimiser
from eventsnn.learn.rule import Rule, default_rule
from eventsnn.model import Network, RunSettings
from eventsnn.model.steps import check_network
from eventsnn.simulate.engines import ENGINES, preferred
from eventsnn.simulate.engines.arguments import check_dtype
from eventsnn.trace.options import TraceOptions
from eventsnn.train.batches import check_source
from eventsnn.train.device_check import DEVICES
from eventsnn.train.labels import match_source, name_outputs
from eventsnn.train.run import CHECKPOINT, METRICS, MODEL, TrainingRun


@dataclass(frozen=True, eq=False, repr=False)
class TrainResult:
    """Outcome of `train`.

    Attributes
    ----------
    network : Network
        The network of the best epoch by validation (of the last one without validation).
    history : list of dict
        Metrics per epoch, as in ``metrics.jsonl``.
    epochs : int
        Epochs done in all, those before a resume included.
    best_epoch : int
        Counted from 1.
    valid_accuracy : float or None
        Of the best epoch; None without validation.
    seconds : float
        Wall time of this call.
    samples_per_s : float
        Training recordings per second of training proper, over the epochs of the history.
    peak_rss_mb : float or None
        Peak resident memory of the process, MiB.
    skipped : int
        Unreadable recordings left out.
    out : str
        The run's folder.
    """

    network: Network
    history: list[dict[str, Any]]
    epochs: int
    best_epoch: int
    valid_accuracy: float | None
    seconds: float
    samples_per_s: float
    peak_rss_mb: float | None
    skipped: int
    out: str

    def summary(self) -> dict[str, Any]:
        """All but network and history, as plain values."""
        return {name: value for name, value in vars(self).items() if name not in ("network", "history")}

    @property
    def hint(self) -> str | None:
        """Advice for when no output neuron fired in the last epoch; None if one did."""
        last = self.history[-1]
        if last["no_decision"] < last["samples"]:
            return None
        return (
            f"no output neuron fired in any of the {last['samples']} training recordings of the last epoch: "
            "train for more epochs, lower the thresholds of the layers, or raise their initial_weight"
        )

    def __repr__(self) -> str:
        valid = "" if self.valid_accuracy is None else f", validation {100 * self.valid_accuracy:.2f} %"
        return (
            f"<TrainResult: {number_of(self.epochs, 'epoch')}, best {self.best_epoch}{valid}, "
            f"{self.network!r}, in {self.out!r}>"
        )

    def _repr_html_(self) -> str:
        valid = "-" if self.valid_accuracy is None else f"{100 * self.valid_accuracy:.2f} %"
        table = [
            ("epochs", self.epochs),
            ("best epoch", self.best_epoch),
            ("validation", valid),
            ("recordings/s", f"{self.samples_per_s:,.0f}"),
            ("folder", self.out),
        ]
        names = [("loss", html.ORANGE), ("accuracy", html.BLUE), ("valid_accuracy", html.GREY)]
        lines = [([epoch[name] for epoch in self.history if name in epoch], colour) for name, colour in names]
        picture = html.draw_lines([line for line in lines if line[0]])
        return html.describe(
            "TrainResult: loss orange, accuracy blue, validation grey", table, picture, head=False
        )


def train(
    network: Network,
    data: LabelledSource | EventTargetSequence,
    *,
    rule: Rule | None = None,
    epochs: int = 20,
    batch_size: int = 5,
    seed: int = 1,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    valid: LabelledSource | EventTargetSequence | None = None,
    valid_fraction: float = 0.1,
    optimiser: Optimiser | None = None,
    augmentation: Augmentation | None = None,
    distortion: Distortion | None = None,
    engine: str = "exact",
    step_ms: float | None = None,
    duration_ms: float | None = None,
    stabilise: str | None = None,
    per_class: int | None = None,
    dtype: str = "float32",
    threads: int | None = None,
    resume: bool = False,
    progress: bool = False,
    trace: str | os.PathLike[str] | TraceOptions | None = None,
    device: str = "cpu",
) -> TrainResult:
    """Train a network on labelled recordings, with HM2-BP or another rule.

    Parameters
    ----------
    network : Network
        A chain of layers, the last a `Dense`; or dense layers with connections from a layer to itself and to
        later ones; or, with a rule of exact derivatives (EventProp), any network, where reservoirs come
        first. Training starts from its weights.
    data : LabelledSource
        For instance `eventsnn.data.Folder`; or a data set of tonic's, see `eventsnn.data.from_tonic`; or a
        list of (events, label). The network keeps the names of its classes, or, if it has names already, the
        classes are matched by them.
    rule : Rule, optional
        HM2-BP by default.
    epochs : int
        Epochs in all, those before a resume included.
    batch_size : int
    seed : int
        Of the validation split, the order and the augmentation. The same seed gives the same bits, whatever
        the number of threads.
    out : path, optional
        Folder for ``model.h5`` (best epoch by validation), ``metrics.jsonl`` (a line per epoch) and
        ``checkpoint.h5`` (the state after the last whole epoch). Left out, a new temporary folder, which
        stays; `TrainResult.out` names it.
    overwrite : bool
        Begin again in a folder that already holds a run: its files are replaced after the first epoch.

    Other Parameters
    ----------------
    valid : LabelledSource, optional
        Recordings to validate on; else `valid_fraction` of `data` is set aside, class by class (0: none).
    optimiser : Optimiser, optional
        Adam by default.
    augmentation : Augmentation, optional
        Applied to training recordings, drawn again in each epoch.
    distortion : Distortion, optional
        Applied to training images (`eventsnn.data.Images`) before they are coded, or to the events of
        training recordings, drawn again in each epoch.
    engine : {"exact", "clocked"}
        Exact spike times, or the authors' steps, the last being that of a recording's last event.
    step_ms : float, optional
        Length of the clock's step, ms; 1 by default. Time constants are in ms whatever it is.
    duration_ms : float, optional
        A recording lasts so long, ms; until its last event by default. See `RunSettings`.
    stabilise : {"nmnist"}, optional
        Remove the motion of N-MNIST's sensor from all recordings; see `eventsnn.events.Stabilisation`.
    per_class : int, optional
        Use at most so many recordings of each class of `data`, drawn at random by `seed`; what is set aside
        for validation is taken from them. All by default.
    dtype : {"float32", "float64"}
        Precision of the state, the weights and the gradients; float32 on a clock.
    threads : int, optional
    resume : bool
        Go on from the checkpoint in `out`, with the bits of an uninterrupted run; from the start if there is
        none.
    progress : bool
        Show a progress bar on standard error, where that is a terminal.
    trace : path or TraceOptions, optional
        Write a trace: some training recordings (`samples`; the first ten by default) as each epoch meets
        them, and, as `record` says, the learning rule's quantities ("learning") and the weights before the
        first epoch and after each ("weights"). The training has the same bits without it.
    device : {"cpu", "cuda"}
        Where mini-batches are computed: "cuda" is a graphics card of NVIDIA, for chains of layers that
        learn by HM2-BP or EventProp in exact time (extra ``gpu``). Its results have the same bits after a
        resume, and whether or not a mini-batch fits its memory, but other last digits than those of the CPU.

    Returns
    -------
    TrainResult

    Raises
    ------
    TrainingError
        For arguments, data or a checkpoint that do not fit.
    SimulationError
        For an unknown dtype.
    EventFileError
        For an unreadable recording, unless the data set is told to skip such.
    """
    check_options(epochs, batch_size, seed, valid_fraction)
    check_network(network)
    for name, value, kind in (
        ("rule", rule, Rule),
        ("optimiser", optimiser, Optimiser),
        ("augmentation", augmentation, Augmentation),
        ("distortion", distortion, Distortion),
    ):
        if value is not None:
            check_kind(name, value, kind, TrainingError)
    settings = check_settings(engine, dtype, step_ms, duration_ms, stabilise)
    check_choice("device", device, DEVICES, TrainingError)
    if trace is not None and device != "cpu":
        raise TrainingError(
            f"device {device} writes no trace of training; leave trace out, or use device cpu"
        )
    if network.output.fires:  # a readout decides by itself
        settings = replace(settings, decision=(rule or default_rule()).decision)
    real = check_dtype(dtype)
    if resume and (out is None or overwrite):
        raise TrainingError(
            "resume continues the run in out: give its folder, and not overwrite, which begins again"
        )
    start = time.perf_counter()
    source = as_source(data, network.input.sensor_size)
    network, source = _fit_source(network.with_settings(settings), source)
    others = None if valid is None else as_source(valid, network.input.sensor_size)
    training, validation, valid_source = _split(network, source, others, valid_fraction, seed, per_class)
    ranks = find_ranks()
    made = ranks.first and (out is None or not Path(out).exists())
    folder = ranks.of_first(lambda: _prepare_folder(out, resume or overwrite))
    with _removed_if_empty(folder, made), _only_writer(folder, ranks), Pool(threads) as pool:
        if ranks.first:
            _check_folder(folder, resume or overwrite)
        run = TrainingRun(
            network,
            default_rule() if rule is None else rule,
            optimiser or Optimiser(),
            augmentation,
            distortion,
            real=real,
            batch_size=batch_size,
            seed=seed,
            data=source,
            indices=training,
            valid=valid_source,
            valid_indices=validation,
            folder=folder,
            pool=pool,
            progress=progress and ranks.first,
            ranks=ranks,
            device=device,
        )
        if ranks.first:
            remove_parts(folder, (MODEL, CHECKPOINT, METRICS))  # of a run that was killed
        if resume:
            run.resume()
        tracing = nullcontext() if trace is None else run.open_trace(TraceOptions.of(trace))
        with tracing:
            while run.epoch < epochs:
                run.run_epoch(epochs)
        outcome = _sum_up(run, time.perf_counter() - start)
    if outcome.hint is not None and ranks.first:
        warnings.warn(outcome.hint, SilentOutputWarning, stacklevel=2)
    return outcome


def _only_writer(folder: Path, ranks: Ranks) -> AbstractContextManager[Any]:
    """The lock of a run's folder; of several ranks the first one writes, and has it."""
    return Lock(folder, lambda text: TrainingError(f"{folder}: {text}")) if ranks.first else nullcontext()


@contextmanager
def _removed_if_empty(folder: Path, made: bool) -> Iterator[None]:
    """Remove a folder made for a run that did not reach its first checkpoint."""
    try:
        yield
    finally:
        if made:
            with suppress(OSError):
                folder.rmdir()


def _sum_up(run: TrainingRun, seconds: float) -> TrainResult:
    sources = [source for source in (run.data, run.valid) if source is not None]
    trained = sum(line["samples"] for line in run.history)
    spent = sum(line["train_seconds"] for line in run.history)
    skipped = {path for source in sources for path, _ in source.skipped}
    return TrainResult(
        network=run.best_network,  # what model.h5 holds
        history=run.history,
        epochs=run.epoch,
        best_epoch=run.best.line["epoch"],
        valid_accuracy=run.best.line["valid_accuracy"],
        seconds=seconds,
        samples_per_s=trained / spent if spent else 0.0,
        peak_rss_mb=peak_rss_mb(),
        skipped=len(set().union(*run.ranks.collect(skipped))),
        out=str(run.folder),
    )


def check_options(epochs: int, batch_size: int, seed: int, valid_fraction: float) -> None:
    """Raise TrainingError, naming the first of the options that is of the wrong kind or out of its range."""
    for name, value, least in (("epochs", epochs, 1), ("batch_size", batch_size, 1), ("seed", seed, 0)):
        check_whole(name, value, TrainingError, least)
    check_number("valid_fraction", valid_fraction, TrainingError, least=0.0, below=1.0)


def check_settings(
    engine: str, dtype: str, step_ms: float | None, duration_ms: float | None, stabilise: str | None
) -> RunSettings:
    """Check how samples are to be run; TrainingError for impossible settings, or for this precision."""
    if isinstance(engine, str) and engine == "gpu":
        raise TrainingError(
            "engine 'gpu' simulates; to train on a graphics card give device='cuda' (--device cuda)"
        )
    try:
        settings = RunSettings(engine, step_ms, duration_ms, stabilise)
    except NetworkError as error:
        raise TrainingError(str(error)) from None
    trained_by = ENGINES.get(preferred(settings)[0])
    reason = trained_by.refuse_dtype(dtype)
    if reason is not None:
        raise TrainingError(f"{reason}; set dtype to {trained_by.dtypes[0]}")
    return settings


def _fit_source(network: Network, data: Any) -> tuple[Network, LabelledSource]:
    """The network with the names of the classes, and the training set with its numbers, both checked."""
    what = "the training set"
    if len(data):
        network = name_outputs(network, data)
        if network.classes is not None:
            data = match_source(network, data, what)
    check_source(network, data, what)
    return network, data


def _split(
    network: Network,
    data: LabelledSource,
    valid: LabelledSource | None,
    fraction: float,
    seed: int,
    per_class: int | None,
) -> tuple[np.ndarray, np.ndarray, LabelledSource | None]:
    """Numbers of the training recordings and of those that validate, and whose they are."""
    used = np.arange(len(data)) if per_class is None else cap_per_class(data.labels, per_class, seed)
    if valid is not None:
        valid = match_source(network, valid, "the validation set")
        check_source(network, valid, "the validation set")
        return used, np.arange(len(valid)), valid
    if fraction == 0:
        return used, np.empty(0, np.int64), None
    training, validation = split_validation(np.asarray(data.labels)[used], fraction, seed)
    return used[training], used[validation], data


def _prepare_folder(out: str | os.PathLike[str] | None, used: bool) -> Path:
    """The run's folder; `used` if it may hold a run already."""
    if out is None:
        return Path(tempfile.mkdtemp(prefix="eventsnn-run-"))
    folder = Path(out)
    _check_folder(folder, used)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{folder}: the folder cannot be made ({error.strerror})") from None
    return folder


def _check_folder(folder: Path, used: bool) -> None:
    if not used and (folder / CHECKPOINT).exists():
        raise TrainingError(
            f"{folder}: already holds a training run; resume it (resume=True, --resume), begin it again "
            "(overwrite=True, --overwrite), or choose another folder"
        )


def peak_rss_mb() -> float | None:
    """Peak resident memory of this process, MiB; None on systems that do not report it (Windows)."""
    import sys

    try:
        import resource
    except ImportError:
        return None

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
