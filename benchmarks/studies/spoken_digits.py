"""Spoken digits (Free Spoken Digit Dataset): the official division, and each speaker in turn left out.

The settings are those of datasets/spoken_digits/dense.toml, or of --experiment; --set gives those of the
speech encoder. Each network validates on a tenth of its training recordings, drawn by its seed; the model of
the best epoch is tested once. With --leave-one-out it trains on five speakers and is tested on all 500
recordings of the sixth; --speakers names those to leave out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from common import ROOT, describe_machine

from eventsnn.data import ListDataset, Speech
from eventsnn.encode import make_encoder
from eventsnn.train.evaluate import evaluate
from eventsnn.train.experiment import Experiment

EXPERIMENT = ROOT / "datasets" / "spoken_digits" / "dense.toml"


def take(data: ListDataset, choice: list[int]) -> ListDataset:
    """A part of a data set that is in memory."""
    return ListDataset(
        [data.stream(i) for i in choice],
        data.labels[choice],
        names=[data.paths[i] for i in choice],
        classes=data.classes,
    )


def run_one(
    experiment: Experiment, data: ListDataset, testing: np.ndarray, options: argparse.Namespace, seed: int
) -> dict[str, object]:
    """Train on what is not for the test, then test."""
    with tempfile.TemporaryDirectory() as out:
        fit = experiment.run(
            take(data, np.flatnonzero(~testing).tolist()),
            out=Path(out) / "run",
            epochs=options.epochs,
            seed=seed,
            threads=options.threads,
        )
    score = evaluate(fit.network, take(data, np.flatnonzero(testing).tolist()), threads=options.threads)
    return {
        "seed": seed,
        "trained_on": int(np.count_nonzero(~testing)),
        "tested_on": score.n,
        "accuracy": score.accuracy,
        "no_decision": score.no_decision,
        "valid_accuracy": fit.valid_accuracy,
        "best_epoch": fit.best_epoch,
        "train_accuracy": fit.history[-1]["accuracy"],
        "seconds": fit.seconds,
        "seconds_per_epoch": float(np.mean([line["train_seconds"] for line in fit.history])),
        "peak_rss_mb": fit.peak_rss_mb,
    }


def main() -> None:
    """Encode once, train and test, print a line of JSON for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the data set's folder of .wav files")
    parser.add_argument("--experiment", type=Path, default=EXPERIMENT)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3], help="of the official division")
    parser.add_argument("--leave-one-out", action="store_true", help="also each speaker in turn, seed 1")
    parser.add_argument("--speakers", nargs="*", default=None, help="those to leave out in turn")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the encoder")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()

    experiment = Experiment.load(options.experiment)
    settings = {name: float(value) for name, _, value in (text.partition("=") for text in options.set)}
    whole = {name: int(value) if value.is_integer() else value for name, value in settings.items()}
    sounds = Speech(options.folder, encoder=lambda rate: make_encoder("speech", "sound", whole, rate))
    data = ListDataset(
        [sounds.stream(i) for i in range(len(sounds))],
        sounds.labels,
        names=sounds.paths,
        classes=sounds.classes,
    )
    official = np.array([utterance.part == "test" for utterance in sounds.utterances])
    accuracies = []
    for seed in options.seeds:
        result = run_one(experiment, data, official, options, seed)
        accuracies.append(result["accuracy"])
        print(json.dumps({"division": "official", **result}), flush=True)
    left_out = []
    speakers = np.array([utterance.speaker for utterance in sounds.utterances])
    chosen = np.unique(speakers).tolist() if options.speakers is None else options.speakers
    for speaker in chosen if options.leave_one_out else ():
        result = run_one(experiment, data, speakers == speaker, options, 1)
        left_out.append(result["accuracy"])
        print(json.dumps({"division": f"without {speaker}", **result}), flush=True)
    summary: dict[str, object] = dict(describe_machine())
    for name, values in (("official", accuracies), ("leave_one_out", left_out)):
        if values:
            summary |= {f"{name}_mean": float(np.mean(values)), f"{name}_worst": min(values)}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
