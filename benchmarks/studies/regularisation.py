"""What helps when recordings are few: 2312-800-10 on 800 simulated recordings, validated on 2000 others.

The digits are MNIST's test images seen by the simulated camera; the real N-MNIST recordings of the other
benchmarks show training images, so that nothing here has to do with what they are tested on. Each variant
trains for the same number of epochs, the rate falling off, and is validated after the last.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, describe_machine, find_data

from eventsnn.data import NMNIST, Augmentation, Distortion, ListDataset
from eventsnn.data.synth import write_idx_folder
from eventsnn.encode import SaccadeCamera
from eventsnn.train.evaluate import evaluate
from eventsnn.train.experiment import Experiment
from studies.nmnist_cross_validation import MILD, fit, take

TRAINING = 800
WEAK = Distortion(elastic=10.0, scale=0.08, rotation=6.0)
STRONG = Distortion(elastic=20.0, scale=0.15, rotation=12.0)
VARIANTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "shift 1": {"augmentation": Augmentation(shift=1)},
    "drop 0.1, time_scale 0.1": {"augmentation": Augmentation(drop=0.1, time_scale=0.1)},
    "shift 1, drop 0.1, time_scale 0.1": {"augmentation": MILD},
    "the same, shift 2": {"augmentation": replace(MILD, shift=2)},
    "the same, jitter 2000": {"augmentation": replace(MILD, jitter=2000.0)},
    "the same, weak distortion": {"augmentation": MILD, "distortion": WEAK},
    "the same, strong distortion": {"augmentation": MILD, "distortion": STRONG},
    "strong distortion alone": {"distortion": STRONG},
}
PENALTY = {"penalty_lambda": 0.1}
"""A hundredth of the authors'."""


def make_recordings(folder: Path, n: int, options: argparse.Namespace) -> NMNIST:
    """The first `n` of MNIST's test images, recorded."""
    write_idx_folder(
        find_data("mnist"),
        folder,
        camera=SaccadeCamera(),
        seed=options.seed,
        splits=["test"],
        limit=n,
        threads=options.threads,
    )
    return NMNIST(folder, split="Test")


def run_variant(
    experiment: Experiment, learn: ListDataset, judge: ListDataset, options: argparse.Namespace
) -> dict[str, Any]:
    """Accuracies of one variant, by seed of the weights, the order and the draws."""
    trained, validated = [], []
    for seed in options.seeds:
        fitted = fit(experiment, learn, options.epochs, options, seed=seed)
        trained.append(fitted.history[-1]["accuracy"])
        validated.append(evaluate(fitted.network, judge, threads=options.threads).accuracy)
    return {"training": trained, "validation": validated, "mean": float(np.mean(validated))}


def main() -> None:
    """Train and validate every variant; a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--decay", type=float, default=0.94, help="of the learning rate, per epoch")
    parser.add_argument("--validation", type=int, default=2000, help="recordings to validate on")
    parser.add_argument("--seed", type=int, default=1, help="of the camera")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    base = Experiment.load(ROOT / "datasets" / "nmnist" / "small.toml")
    base = replace(
        base,
        augmentation=None,
        distortion=None,
        optimiser=replace(base.optimiser, decay=options.decay),
    )
    variants = {
        **VARIANTS,
        "shift 1, drop 0.1, time_scale 0.1, weight penalty": {
            "augmentation": MILD,
            "rule": replace(base.rule, **PENALTY),
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        data = make_recordings(Path(folder) / "digits", TRAINING + options.validation, options)
        order = np.random.default_rng(options.seed).permutation(len(data))
        learn, judge = take(data, order[:TRAINING]), take(data, order[TRAINING:])
    for name, change in variants.items():
        found = run_variant(replace(base, **change), learn, judge, options)
        print(json.dumps({"variant": name, "epochs": options.epochs, **found}), flush=True)
    print(json.dumps(describe_machine()))


if __name__ == "__main__":
    main()
