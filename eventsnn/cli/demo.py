"""``eventsnn demo``: all steps from recordings to an explanation, on data that needs no download."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn import __version__
from eventsnn._util.atomic import reason, replace_text
from eventsnn._util.lock import LOCK, Lock
from eventsnn._util.words import number_of
from eventsnn.cli.common import FILE, Interrupted, json_option, note, report, seed_option, threads_option
from eventsnn.cli.explain import most_active
from eventsnn.cli.inspect import draw_pictures
from eventsnn.errors import EventSNNError, MissingExtraError, TrainingError

if TYPE_CHECKING:
    from eventsnn.data import NMNIST
    from eventsnn.model import Network
    from eventsnn.trace import Explanation

MARK = "demo.json"  # marks a folder of the demo, which may be overwritten
SMALL_LIMIT = 300  # recordings per part with --small
SMALL_EPOCHS = 6


@dataclass(frozen=True)
class Folder:
    """Paths of the files that the demo makes."""

    root: Path

    @property
    def recordings(self) -> Path:
        return self.root / "recordings"

    @property
    def experiment(self) -> Path:
        return self.root / "experiment.toml"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def model(self) -> Path:
        return self.run / "model.h5"

    @property
    def trace(self) -> Path:
        return self.root / "trace.h5"

    @property
    def pictures(self) -> Path:
        return self.root / "pictures"

    def make(self) -> None:
        """Make the folder, if it is not there.

        Raises
        ------
        TrainingError
            If it cannot be made.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"{self.root}: the folder cannot be made ({reason(error)})") from None

    def prepare(self) -> None:
        """Remove the files of an earlier demo from the folder, which is locked.

        Raises
        ------
        TrainingError
            If it holds anything and was not made by the demo.
        """
        mark = self.root / MARK
        if any(path.name != LOCK for path in self.root.iterdir()) and not mark.is_file():
            raise TrainingError(
                f"{self.root}: the folder is not empty and not of an earlier demo; choose another --out"
            )
        self._note(finished=False)
        for path in (self.recordings, self.run, self.pictures):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.experiment, self.trace):
            path.unlink(missing_ok=True)

    def finish(self, result: dict[str, Any]) -> None:
        """Put the result down beside what was made."""
        self._note(finished=True, **result)

    def _note(self, **facts: Any) -> None:
        mark = {"made_by": "eventsnn demo", "version": __version__, **facts}
        _write(self.root / MARK, json.dumps(mark, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    replace_text(path, text, lambda problem: TrainingError(f"{path}: cannot be written ({problem})"))


@click.command()
@click.option(
    "--out", type=FILE, default="demo-run", show_default=True, metavar="DIR", help="Folder for the results."
)
@seed_option(1, "Seed of camera noise, weights, validation split, order and augmentation.")
@click.option(
    "--small", is_flag=True, help="A few hundred recordings and a few epochs: quick, but less accurate."
)
@threads_option
@json_option
def demo(out: Path, seed: int, small: bool, threads: int | None, as_json: bool) -> None:
    """Make recordings, train on them, test, explain a spike.

    Shows scikit-learn's handwritten digits to a simulated event camera (files as in N-MNIST), trains on Train
    (a tenth of it set aside for validation), tests on Test, simulates one test recording exactly, and draws
    what happened.

    \b
    Example:
      eventsnn demo --out demo-run
    """
    from eventsnn.trace import format_explanation

    start = time.perf_counter()
    _check_libraries()
    folder = Folder(out)
    folder.make()
    with Lock(out, lambda text: TrainingError(f"{out}: {text}")):
        folder.prepare()
        try:
            result, explanation = _run(folder, seed, small, threads)
        except KeyboardInterrupt:
            raise Interrupted(f"files made so far are in {out}; the same command starts again") from None
        result["seconds"] = time.perf_counter() - start
        folder.finish(result)
    text = f"{format_explanation(explanation, top=3)}\n\n{_closing_text(folder, result)}"
    report(result, text, as_json)


def _check_libraries() -> None:
    """A library that is missing should be known before the training, not after."""
    for library, module in (("scikit-learn", "sklearn"), ("matplotlib", "matplotlib")):
        if find_spec(module) is None:
            raise MissingExtraError(library, "demo", "the demonstration")


def _run(folder: Folder, seed: int, small: bool, threads: int | None) -> tuple[dict[str, Any], Explanation]:
    from eventsnn.data import NMNIST
    from eventsnn.train.evaluate import evaluate
    from eventsnn.train.experiment import Experiment

    note(f"1/5  showing digits to a simulated event camera: {folder.recordings}")
    sensor = _record_digits(folder, seed, SMALL_LIMIT if small else None, threads)
    training, test = (NMNIST(folder.recordings, split=split, sensor=sensor) for split in ("Train", "Test"))

    _write(folder.experiment, files("eventsnn.cli").joinpath("demo.toml").read_text(encoding="utf-8"))
    experiment = Experiment.load(folder.experiment)
    epochs = SMALL_EPOCHS if small else experiment.training.epochs
    size, duration = number_of(len(training), "recording"), number_of(epochs, "epoch")
    note(f"2/5  training on {size}, {duration}: {folder.run}")
    fit = experiment.run(training, out=folder.run, seed=seed, epochs=epochs, threads=threads, progress=True)
    valid = 100 * (fit.valid_accuracy or 0.0)
    note(f"     validation accuracy {valid:.1f} %, {fit.samples_per_s:.0f} recordings/s")

    note(f"3/5  testing on {number_of(len(test), 'recording')} that training never saw")
    tested = evaluate(fit.network, test, threads=threads, progress=True)
    note(f"     test accuracy {100 * tested.accuracy:.1f} %")

    note(f"4/5  simulating one test recording in double precision: {folder.trace}")
    decision = _trace_one(fit.network, test, folder)
    note(f"5/5  explaining one of its spikes, drawing pictures: {folder.pictures}")
    explanation = _explain_and_draw(folder)
    result = {
        "test_accuracy": tested.accuracy,
        "valid_accuracy": fit.valid_accuracy,
        "n_train": len(training),
        "n_test": tested.n,
        "no_decision": tested.no_decision,
        "epochs": fit.epochs,
        "samples_per_s": fit.samples_per_s,
        "peak_rss_mb": fit.peak_rss_mb,
        "seed": seed,
        "small": small,
        "traced": decision,
        "explained": {
            name: getattr(explanation, name)
            for name in ("layer", "neuron", "spike", "time_ms", "threshold", "sum")
        },
        "out": str(folder.root),
    }
    return result, explanation


def _record_digits(folder: Folder, seed: int, limit: int | None, threads: int | None) -> tuple[int, int, int]:
    """Write the recordings; return the camera's sensor size, which their files do not state."""
    from eventsnn.data.digits import load_digits
    from eventsnn.data.synth import DIGITS_CAMERA, write_digits
    from eventsnn.train.progress import progress_bar

    digits = load_digits()
    n = sum(len(part[:limit]) for part in (digits.train, digits.test))
    with progress_bar(n, "recording", True) as bar:
        write_digits(folder.recordings, seed=seed, limit=limit, progress=bar.update, threads=threads)
    return DIGITS_CAMERA.sensor_size


def _trace_one(network: Network, test: NMNIST, folder: Folder) -> dict[str, Any]:
    """Simulate the first test recording on which the network decides anything, with a full trace."""
    from eventsnn.simulate.run import simulate
    from eventsnn.trace.creation import run_config
    from eventsnn.trace.writer import TraceWriter

    for index in range(len(test)):
        run = simulate(network, test.stream(index))
        if run.decision is not None:
            break
    else:
        raise EventSNNError("the network stayed silent on all test recordings; try another --seed")
    label = int(test.labels[index])
    config = run_config(run.engine, run.dtype, None)
    with TraceWriter(folder.trace, network, record=("spikes", "potential", "spsp"), config=config) as writer:
        writer.append(run, source=test.paths[index], label=label)
    return {"file": test.paths[index], "label": label, **run.summary()}


def _explain_and_draw(folder: Folder) -> Explanation:
    """Explain the first spike of the neuron that decided; draw it, and the sample's three pictures."""
    from eventsnn.plots import plot_explanation
    from eventsnn.trace import Trace, explain

    with Trace(folder.trace) as trace:
        output = trace.network.names[-1]
        explanation = explain(trace, layer=output, neuron=most_active(trace, output, 0), spike=0)
        draw_pictures(trace, 0, None, None, folder.pictures)
    plot_explanation(explanation, folder.pictures / "explanation.png")
    return explanation


def _closing_text(folder: Folder, result: dict[str, Any]) -> str:
    """Closing message: the files that were made, and what to try next."""
    accuracy, n, seconds = 100 * result["test_accuracy"], result["n_test"], result["seconds"]
    recording, second = result["traced"]["file"], folder.root / "run2"
    return f"""\
Test accuracy {accuracy:.1f} % on {number_of(n, "recording")}; {seconds:.0f} s in all.

What was made in {folder.root}:
  recordings/Train, recordings/Test   event recordings, one file per digit, in folders named by label
  experiment.toml                     network, rule and training; change it and train again
  run/model.h5                        the trained network; metrics.jsonl and checkpoint.h5 beside it
  trace.h5                            every spike, potential and S-PSP of one test recording
  pictures/                           raster.png, potential.png, spsp.png, explanation.png

Try next:
  eventsnn simulate {folder.model} {recording}
  eventsnn inspect {folder.trace} --layer hidden --out {folder.pictures / "hidden"}
  eventsnn train {folder.experiment} --train {folder.recordings / "Train"} --out {second} --seed 2"""
