"""Conventional networks on the real N-MNIST recordings: a CNN on accumulated frames, a GRU on binned events.

The folds are those of nmnist_cross_validation.py. A fold chooses among a model's `CANDIDATES` by itself, on
a quarter of its training part (the same for both models and for ours with --choose), trains the winner anew
on the whole training part, and is tested once. Recordings are augmented as ours are, with the same draws.
PyTorch, one thread. Operations are multiplications and additions of one forward pass, counted from the
shapes; time is processor time from events to decision, one recording at a time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from common import describe_machine, find_nmnist
from torch import nn

from eventsnn.data import NMNIST, Augmentation, Distortion
from eventsnn.data.draws import DISTORT, make_key
from eventsnn.data.splits import k_fold, split_validation
from eventsnn.trace.operations import ADDITION_PJ, MULTIPLICATION_PJ

SIDE, POLARITIES, LENGTH_US, CLASSES = 34, 2, 320_000, 10
BATCH, LAST, INNER_FRACTION = 16, 5, 0.25
SENSOR = (SIDE, SIDE, POLARITIES)
DISTORTION = Distortion(elastic=10.0, scale=0.1, rotation=8.0)
"""That of datasets/nmnist/small.toml."""


@dataclass(frozen=True)
class Settings:
    """What is chosen: time bins of the input, learning rate, width and augmentation."""

    bins: int
    rate: float
    width: int
    shift: int = 1
    distorted: bool = False

    def change(self, events: np.ndarray, seed: int, epoch: int, index: int) -> np.ndarray:
        """The events that training sees: what `eventsnn.train` would make of them under these settings."""
        if self.distorted:
            events = DISTORTION.move(events, SENSOR, make_key(seed, DISTORT, epoch, index))
        change = Augmentation(shift=self.shift, drop=0.1, time_scale=0.1)
        return change.apply(events, SENSOR, seed, epoch, index)


CANDIDATES = {
    "cnn": (
        Settings(1, 3e-3, 16),
        Settings(3, 3e-3, 16),
        Settings(3, 3e-3, 16, shift=2),
        Settings(3, 3e-3, 16, distorted=True),
    ),
    "gru": (
        Settings(16, 1e-3, 128),
        Settings(16, 3e-3, 128),
        Settings(16, 3e-3, 128, shift=2),
        Settings(16, 3e-3, 128, distorted=True),
    ),
}
"""At least as many for each as nmnist_cross_validation.py has for ours."""


class FrameCNN(nn.Module):
    """Events accumulated in a few frames, as channels: two convolutions with pooling, two dense layers."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        width = settings.width
        self.layers = nn.Sequential(
            nn.Conv2d(POLARITIES * settings.bins, width, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(2 * width * 6 * 6, 8 * width),
            nn.ReLU(),
            nn.Linear(8 * width, CLASSES),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (n, 10) of frames (n, bins, 2, 34, 34)."""
        return self.layers(x.flatten(1, 2))


class BinGRU(nn.Module):
    """Events in time bins: every bin through a dense layer, a GRU over the bins, its last state decides."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        width = settings.width
        self.inner = nn.Linear(POLARITIES * SIDE * SIDE, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.layers = nn.Sequential(nn.Dropout(0.3), nn.Linear(width, CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (n, 10) of bins (n, bins, 2, 34, 34)."""
        states, _ = self.gru(torch.relu(self.inner(x.flatten(2))))
        return self.layers(states[:, -1])


MODELS: dict[str, Callable[[Settings], nn.Module]] = {"cnn": FrameCNN, "gru": BinGRU}


def accumulate(events: np.ndarray, bins: int) -> np.ndarray:
    """log(1 + events) per bin, polarity and pixel, float32 (bins, 2, 34, 34); late ones are in the last."""
    at = np.clip(events["t"] * bins // LENGTH_US, 0, bins - 1)
    index = ((at * POLARITIES + events["p"]) * SIDE + events["y"]) * SIDE + events["x"]
    counts = np.bincount(index, minlength=bins * POLARITIES * SIDE * SIDE)
    return np.log1p(counts).astype(np.float32).reshape(bins, POLARITIES, SIDE, SIDE)


def train(
    name: str,
    settings: Settings,
    data: NMNIST,
    indices: np.ndarray,
    options: argparse.Namespace,
    judge: np.ndarray,
) -> tuple[nn.Module, list[float], float]:
    """A trained model, its accuracy on `judge` in each of the last epochs, and CPU seconds of an epoch."""
    torch.manual_seed(options.seed)
    model = MODELS[name](settings)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.epochs)
    events = {int(i): data.stream(int(i)).events for i in indices}
    scores, start = [], time.process_time()
    for epoch in range(options.epochs):
        order = np.random.default_rng([options.seed, epoch]).permutation(indices)
        model.train()
        for part in np.array_split(order, -(-len(order) // BATCH)):
            frames = [
                accumulate(settings.change(events[i], options.seed, epoch, i), settings.bins)
                for i in part.tolist()
            ]
            loss = nn.functional.cross_entropy(
                model(torch.from_numpy(np.stack(frames))), torch.from_numpy(data.labels[part])
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        if len(judge) and epoch >= options.epochs - LAST:
            scores.append(test(model, settings, data, judge)[0])
    return model, scores, (time.process_time() - start) / options.epochs


def test(model: nn.Module, settings: Settings, data: NMNIST, indices: np.ndarray) -> tuple[float, float]:
    """Accuracy, and CPU seconds from events to decision, one recording at a time."""
    model.eval()
    streams = [data.stream(int(i)).events for i in indices]
    start = time.process_time()
    with torch.no_grad():
        decisions = [
            int(model(torch.from_numpy(accumulate(e, settings.bins)[None])).argmax()) for e in streams
        ]
    seconds = (time.process_time() - start) / len(indices)
    return float(np.mean(np.array(decisions) == data.labels[indices])), seconds


def operations(model: nn.Module, settings: Settings) -> int:
    """Multiplications and additions of the layers with weights, for one recording."""
    found: list[int] = []

    def count(layer: nn.Module, inputs: Any, output: Any) -> None:
        weights = sum(p.numel() for n, p in layer.named_parameters() if n.startswith("weight"))
        if isinstance(layer, nn.Conv2d):
            found.append(2 * weights * output.shape[2] * output.shape[3])
        else:
            steps = inputs[0].shape[1] if inputs[0].dim() == 3 else 1
            found.append(2 * weights * steps)

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear | nn.GRU)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, settings.bins, POLARITIES, SIDE, SIDE))
    for hook in hooks:
        hook.remove()
    return sum(found)


def run_fold(
    name: str, data: NMNIST, training: np.ndarray, testing: np.ndarray, options: argparse.Namespace
) -> dict[str, Any]:
    """Choose on a part of the training part, train on all of it, test once."""
    learn, judge = split_validation(data.labels[training], INNER_FRACTION, options.seed)
    scores = [
        float(np.mean(train(name, settings, data, training[learn], options, training[judge])[1]))
        for settings in CANDIDATES[name]
    ]
    settings = CANDIDATES[name][int(np.argmax(scores))]
    model, _, seconds = train(name, settings, data, training, options, training[:0])
    accuracy, per_recording = test(model, settings, data, testing)
    count = operations(model, settings)
    return {
        "model": name,
        "accuracy": accuracy,
        "chosen": vars(settings),
        "validation": scores,
        "parameters": sum(p.numel() for p in model.parameters()),
        "operations": count,
        "energy_uj": count / 2 * (MULTIPLICATION_PJ + ADDITION_PJ) * 1e-6,
        "cpu_seconds_per_epoch": seconds,
        "cpu_ms_per_recording": 1e3 * per_recording,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the folds and print a line for each, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one fold, two epochs: does it run")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    data = NMNIST(find_nmnist())
    folds = k_fold(data.labels, options.folds, options.seed)
    if options.quick:
        folds, options.epochs = folds[:1], 2
    for name in options.models:
        results = []
        for number, (training, testing) in enumerate(folds):
            results.append({"fold": number, **run_fold(name, data, training, testing, options)})
            print(json.dumps(results[-1]), flush=True)
        mean = {
            key: float(np.mean([result[key] for result in results]))
            for key in (
                "accuracy",
                "parameters",
                "operations",
                "energy_uj",
                "cpu_seconds_per_epoch",
                "cpu_ms_per_recording",
            )
        }
        print(
            json.dumps({"model": name, "mean": mean, "epochs": options.epochs, **describe_machine()}),
            flush=True,
        )


if __name__ == "__main__":
    main()
