"""Cross-validation on the real N-MNIST recordings: every recording is tested once, by a network that never
saw it.

The settings are those of datasets/nmnist/dense.toml; they were fixed on simulated recordings of other digits.
Each fold trains on its whole training part for the same number of epochs and is tested after the last:
nothing is chosen by looking at a test part.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from common import EXPERIMENT, describe_machine, find_nmnist

from eventsnn.data import NMNIST, ListDataset
from eventsnn.data.splits import k_fold
from eventsnn.train.evaluate import evaluate
from eventsnn.train.experiment import Experiment


def take(data: NMNIST, indices: np.ndarray) -> ListDataset:
    """A part of a data set, read into memory."""
    return ListDataset([data.stream(int(i)) for i in indices], [int(data.labels[i]) for i in indices])


def main() -> None:
    """Run the folds and print their accuracies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", type=Path, default=EXPERIMENT)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()

    experiment = Experiment.load(options.experiment)
    data = NMNIST(find_nmnist())
    folds = []
    for number, (training, testing) in enumerate(k_fold(data.labels, options.folds, options.seed)):
        with tempfile.TemporaryDirectory() as out:
            fit = experiment.run(
                take(data, training),
                out=Path(out) / "run",
                epochs=options.epochs,
                seed=options.seed,
                valid_fraction=0.0,
                threads=options.threads,
            )
        score = evaluate(fit.network, take(data, testing), threads=options.threads)
        folds.append(
            {
                "fold": number,
                "trained_on": len(training),
                "tested_on": score.n,
                "accuracy": score.accuracy,
                "train_accuracy": fit.history[-1]["accuracy"],
                "seconds_per_epoch": float(np.mean([line["train_seconds"] for line in fit.history])),
                "samples_per_s": fit.samples_per_s,
                "peak_rss_mb": fit.peak_rss_mb,
            }
        )
        print(json.dumps(folds[-1]), flush=True)
    accuracies = [fold["accuracy"] for fold in folds]
    print(
        json.dumps(
            {
                "mean_accuracy": float(np.mean(accuracies)),
                "worst_fold": min(accuracies),
                "best_fold": max(accuracies),
                "epochs": options.epochs,
                "seconds_per_epoch": float(np.mean([fold["seconds_per_epoch"] for fold in folds])),
                **describe_machine(),
            }
        )
    )


if __name__ == "__main__":
    main()
