"""Training and inference on the real N-MNIST recordings: recordings per second, peak memory."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from common import EXPERIMENT, describe_machine, find_nmnist

from eventsnn.data import NMNIST
from eventsnn.train.evaluate import evaluate
from eventsnn.train.experiment import Experiment
from eventsnn.train.trainer import peak_rss_mb


def main() -> None:
    """Train a few epochs, evaluate a few times, print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", type=Path, default=EXPERIMENT)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()

    data = NMNIST(find_nmnist())
    experiment = Experiment.load(options.experiment)
    with tempfile.TemporaryDirectory() as out:
        fit = experiment.run(
            data,
            out=Path(out) / "run",
            epochs=options.repeats,
            valid_fraction=0.0,
            threads=options.threads,
        )
    train = [line["samples"] / line["train_seconds"] for line in fit.history]
    network = experiment.make_network()
    infer = [
        len(data) / evaluate(network, data, threads=options.threads).seconds for _ in range(options.repeats)
    ]
    print(
        json.dumps(
            {
                "train_recordings_per_s": statistics.median(train),
                "infer_recordings_per_s": statistics.median(infer),
                "train_runs": train,
                "infer_runs": infer,
                "batch_size": experiment.training.batch_size,
                "threads": options.threads,
                "peak_rss_mb": peak_rss_mb(),
                **describe_machine(),
            }
        )
    )


if __name__ == "__main__":
    main()
