"""Cross-validation on the real N-MNIST recordings: every recording is tested once, by a network that never
saw it.

As it stands the settings are those of datasets/nmnist/dense.toml, which were fixed on simulated recordings of
other digits; each fold trains on its whole training part for the same number of epochs and is tested after
the last. With --choose each fold chooses schedule, augmentation and number of epochs among `CANDIDATES` and
`STAGES` by itself: every candidate trains on three quarters of the fold's training part and is validated on
the fourth; the best then trains anew on the whole part and is tested once. Nothing is chosen by looking at a
test part.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import EXPERIMENT, describe_machine, find_nmnist

from eventsnn import Network
from eventsnn.data import NMNIST, Augmentation, ListDataset
from eventsnn.data.splits import k_fold, split_validation
from eventsnn.learn.optimisers import Optimiser
from eventsnn.trace.operations import ADDITION_PJ
from eventsnn.train.evaluate import evaluate
from eventsnn.train.experiment import Experiment

MILD = Augmentation(shift=1, drop=0.1, time_scale=0.1)
ANNEALED = Optimiser(learning_rate=0.01, schedule="exponential")
CANDIDATES: dict[str, dict[str, Any]] = {
    "as it stands": {},
    "exponential schedule": {"optimiser": ANNEALED, "augmentation": MILD},
    "exponential schedule, shift 2": {"optimiser": ANNEALED, "augmentation": replace(MILD, shift=2)},
}
"""What replaces parts of the experiment."""

STAGES = (30,)
"""Numbers of epochs to choose from; a stage is judged by the mean of its last `LAST` validations."""

LAST = 5
INNER_FRACTION = 0.25


def take(data: NMNIST, indices: np.ndarray) -> ListDataset:
    """A part of a data set, read into memory."""
    return ListDataset([data.stream(int(i)) for i in indices], [int(data.labels[i]) for i in indices])


def fit(
    experiment: Experiment, data: ListDataset, epochs: int, options: argparse.Namespace, **more: Any
) -> Any:
    """Train on `data` as the experiment says, in a folder that does not stay."""
    with tempfile.TemporaryDirectory() as out:
        return experiment.run(
            data,
            out=Path(out) / "run",
            epochs=epochs,
            threads=options.threads,
            **{"seed": options.seed, "valid_fraction": 0.0, **more},
        )


def choose(
    experiment: Experiment,
    part: Callable[[np.ndarray], ListDataset],
    labels: np.ndarray,
    options: argparse.Namespace,
) -> tuple[str, int, dict[str, list[float]]]:
    """The best candidate and its number of epochs, and what all of them scored at each stage.

    `part` gives some recordings of the fold's training part, whose class numbers are `labels`.
    """
    learn, judge = split_validation(labels, INNER_FRACTION, options.seed)
    scores: dict[str, list[float]] = {}
    for name in options.candidates:
        changed = replace(experiment, **CANDIDATES[name])
        result = fit(changed, part(learn), options.stages[-1], options, valid=part(judge))
        curve = [line["valid_accuracy"] for line in result.history]
        scores[name] = [float(np.mean(curve[max(0, stage - LAST) : stage])) for stage in options.stages]
    # The first of equals: the mildest candidate, and the fewest epochs.
    name = max(scores, key=lambda candidate: max(scores[candidate]))
    return name, options.stages[int(np.argmax(scores[name]))], scores


def synaptic_operations(network: Network, data: ListDataset, most: int = 50) -> float:
    """Weights added per recording, the mean of the first `most`: each event and spike times its targets."""
    first = range(min(most, len(data)))
    several = ListDataset([data.stream(index) for index in first], [data.labels[index] for index in first])
    counted = evaluate(network, several, operations=True).operations
    assert counted is not None
    return float(counted.additions.sum(axis=1).mean())


def run_fold(
    number: int,
    data: NMNIST,
    training: np.ndarray,
    testing: np.ndarray,
    experiment: Experiment,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Train on one part, choosing first if asked to, and test on the other."""
    epochs, chosen = options.epochs, {}
    if options.choose:
        labels = data.labels[training]
        name, epochs, scores = choose(
            experiment, lambda indices: take(data, training[indices]), labels, options
        )
        experiment = replace(experiment, **CANDIDATES[name])
        chosen = {"chosen": name, "stages": list(options.stages), "validation": scores}
    result = fit(experiment, take(data, training), epochs, options)
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        result.network.save(options.keep / f"fold{number}.h5")
    tested = take(data, testing)
    start = time.process_time()
    engine = "clocked" if experiment.training.engine == "clocked" else "auto"
    score = evaluate(result.network, tested, threads=options.threads, engine=engine)
    seconds = time.process_time() - start
    additions = synaptic_operations(result.network, tested)
    return {
        "fold": number,
        "trained_on": len(training),
        "tested_on": score.n,
        "epochs": epochs,
        "accuracy": score.accuracy,
        "train_accuracy": result.history[-1]["accuracy"],
        "seconds_per_epoch": float(np.mean([line["train_seconds"] for line in result.history])),
        "samples_per_s": result.samples_per_s,
        "peak_rss_mb": result.peak_rss_mb,
        "parameters": sum(weights.size for weights in result.network.weights.values()),
        "synaptic_operations": additions,
        "energy_uj": additions * ADDITION_PJ * 1e-6,
        "cpu_ms_per_recording": 1e3 * seconds / len(tested),
        **chosen,
    }


def main() -> None:
    """Run the folds and print their accuracies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", type=Path, default=EXPERIMENT)
    parser.add_argument("--epochs", type=int, default=20, help="without --choose")
    parser.add_argument("--choose", action="store_true", help="settings, in each fold apart")
    parser.add_argument("--stages", type=int, nargs="+", default=STAGES, help="epochs to choose from")
    parser.add_argument("--candidates", choices=CANDIDATES, nargs="+", default=list(CANDIDATES))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, nargs="+", help="folds to run, from 0; all of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--keep", type=Path, help="folder for the models of the folds")
    options = parser.parse_args()
    if not set(options.only or []) <= set(range(options.folds)):
        parser.error(f"--only: folds are 0 to {options.folds - 1}, got {options.only}")

    experiment = Experiment.load(options.experiment)
    data = NMNIST(find_nmnist())
    folds = []
    for number, (training, testing) in enumerate(k_fold(data.labels, options.folds, options.seed)):
        if options.only and number not in options.only:
            continue
        folds.append(run_fold(number, data, training, testing, experiment, options))
        print(json.dumps(folds[-1]), flush=True)
    accuracies = [fold["accuracy"] for fold in folds]
    summary = {
        "mean_accuracy": float(np.mean(accuracies)),
        "worst_fold": min(accuracies),
        "best_fold": max(accuracies),
        "epochs": [fold["epochs"] for fold in folds],
        "seconds_per_epoch": float(np.mean([fold["seconds_per_epoch"] for fold in folds])),
    }
    print(json.dumps({**summary, **describe_machine()}))


if __name__ == "__main__":
    main()
