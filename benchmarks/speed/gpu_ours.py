"""eventsnn in the race on a graphics card: its contender, the check of right results, and whole trainings.

With ``EVENTSNN_GPU=emulate`` all of it runs in the emulation of the card.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT

import eventsnn as es
from eventsnn.gpu.device import find_device
from eventsnn.gpu.recordings import DeviceLoader, DeviceRecordings
from eventsnn.simulate.engines.gpu import DeviceNetwork
from eventsnn.train.experiment import Experiment
from speed.rivals.gpu_timing import measure
from speed.rivals.jobs import Job

FEW = ROOT / "datasets" / "nmnist" / "small.toml"
SIMULATED = ROOT / "datasets" / "nmnist" / "transfer_all.toml"
CONVOLUTIONS = ROOT / "datasets" / "nmnist" / "cnn.toml"
SET_BATCH = 64
"""Mini-batch of the simulated recordings; the rate is the file's times the root of the ratio."""
# A check may run on a few recordings through a network that has learned nothing.
warnings.filterwarnings("ignore", category=es.SilentOutputWarning)
EXACT = es.EventProp(scale=4.0)
LONG = 8192
"""Recordings of an epoch whose speed is measured."""
EMULATED = os.environ.get("EVENTSNN_GPU") == "emulate"


class Ours:
    """A contender of gpu_contenders.py.

    ``infer`` times what becomes of recordings on the card: choosing, decoding, sorting, all layers, and
    output counts on the host. ``train`` times the training of epochs by `eventsnn.train` with HM2-BP,
    ``train_exactly`` the same with exact gradients, ``train_convolutions`` with the convolutional network of
    datasets/nmnist/cnn.toml.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def setup(self, job: Job) -> dict[str, Any]:
        self.job, self.network = job, job.network()
        self.device = find_device()
        self.data = job.recordings()
        self.recordings = DeviceRecordings(self.device, self.data)
        facts: dict[str, Any] = {"device": self.device.name, "resident": self.recordings.resident}
        return {**facts, **_describe_card()}

    def infer(self, batch: int, seconds: float) -> dict[str, Any]:
        real = np.dtype(self.dtype).type
        on_device = DeviceNetwork.of(self.network, real)
        loader = DeviceLoader(self.recordings, self.network.input.neurons)
        indices = np.arange(batch) % len(self.data)
        outputs = self.network.output.neurons

        def do() -> np.ndarray:
            arrivals = loader.prepare(indices, 0).arrivals
            passes = on_device.forward.run(arrivals, math.inf)
            return passes[-1].spikes.counts.read()[:, :outputs]

        _forget_memory()
        found = measure(do, batch, seconds, self.device.synchronize)
        return {**found, "peak_mib": _peak_mib()}

    def train_exactly(self, batch: int, seconds: float) -> dict[str, Any]:
        return self.train(batch, seconds, rule=EXACT)

    def train_convolutions(self, batch: int, seconds: float) -> dict[str, Any]:
        experiment = Experiment.load(CONVOLUTIONS)
        network = es.Network(es.Input(34, 34, 2), es.Conv(4, 8, stride=8), es.Dense(10), seed=1)
        if not EMULATED:
            network = experiment.make_network()
        # An epoch of a fourth: a recording takes many times as long.
        given = {"rule": experiment.rule, "optimiser": experiment.optimiser, "long": LONG // 4}
        return self.train(batch, seconds, network=network, **given)

    def train(self, batch: int, seconds: float, long: int = LONG, **options: Any) -> dict[str, Any]:
        # Long epochs: at the end of each one the weights come back to the host.
        n = batch if EMULATED else max(batch, long)
        data = self.data.subset(np.arange(n) % len(self.data))
        epochs = 1 if EMULATED else 3
        _forget_memory()
        start = time.perf_counter()
        fit = self._fit(data, batch, epochs=epochs, **options)
        lines = fit.history[1:] or fit.history  # the first epoch compiles
        return {
            "rates": [line["samples"] / line["train_seconds"] for line in lines],
            "steps": sum(-(-line["samples"] // batch) for line in lines),
            "warm_s": time.perf_counter() - start - sum(line["seconds"] for line in lines),
            "peak_mib": _peak_mib(),
        }

    def score(self, batch: int) -> dict[str, Any]:
        found = es.evaluate(self.network, self.data, engine="gpu", dtype=self.dtype)
        return {"accuracy": found.accuracy, "samples": found.n, "per_s": found.n / found.seconds}

    def _fit(self, data: Any, batch: int, **options: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            return es.train(
                options.pop("network", self.network),
                data,
                batch_size=batch,
                dtype=options.pop("dtype", self.dtype),
                device=options.pop("device", "cuda"),
                out=Path(folder) / "run",
                **{"valid_fraction": 0.0, **options},
            )

    def check(self) -> dict[str, Any]:
        """Spikes and training steps of both rules on the card beside those on the CPU; ``right`` sums up."""
        network = self.network
        few = self.data.subset(np.arange(min(16, len(self.data))))
        off, same, trains = 0.0, True, [0, 0]
        for index in range(len(few)):
            stream = few.stream(index)
            cpu, card = (
                es.simulate(network, stream, engine=engine, dtype="float64")["hidden"]
                for engine in ("sweep", "gpu")
            )
            same &= np.array_equal(cpu.neurons, card.neurons)
            if same and len(cpu):
                off = max(off, float(np.abs(cpu.times - card.times).max()))
        counts = [
            es.evaluate(network, few, engine=e, dtype="float32").predictions.counts for e in ("sweep", "gpu")
        ]
        trains = [int((counts[0] == counts[1]).sum()), counts[0].size]
        apart = self._weights_apart(few)
        # Silent neurons have no derivatives.
        active = network.replace("output", threshold=0.1)
        exactly = self._weights_apart(few, network=active, rule=EXACT, dtype="float64")
        right = same and off <= 1e-9 and trains[0] >= 0.999 * trains[1] and apart < 1e-3 and exactly < 1e-6
        return {
            "right": bool(right),
            "float64_spikes_equal": bool(same),
            "float64_times_apart_ms": off,
            "float32_counts_equal": trains,
            "weights_apart_after_training": apart,
            "weights_apart_after_exact_gradients_in_float64": exactly,
        }

    def _weights_apart(self, data: Any, **options: Any) -> float:
        """How far weights that the card learned are from those of the CPU, over the largest of a layer."""
        fits = [self._fit(data, 8, epochs=1, device=device, **options) for device in ("cpu", "cuda")]
        cpu, card = (fit.network.weights for fit in fits)
        return max(float(np.abs(cpu[n] - card[n]).max() / np.abs(cpu[n]).max()) for n in self.network.names)

    def learn(self, path: str, target: float) -> dict[str, Any]:
        """Train on four fifths of the recordings until `target` of the others are right; save the weights."""
        experiment = Experiment.load(FEW)
        aside = np.arange(len(self.data)) % 5 == 4
        if not aside.any():
            aside[-1] = True
        epochs = 1 if EMULATED else experiment.training.epochs
        fit = self._fit(
            self.data.subset(~aside),
            experiment.training.batch_size,
            network=self.network if EMULATED else experiment.make_network(),
            epochs=epochs,
            valid=self.data.subset(aside),
            rule=experiment.rule,
            optimiser=experiment.optimiser,
            augmentation=experiment.augmentation,
            distortion=experiment.distortion,
        )
        np.savez(path, **fit.network.weights)
        spent = np.cumsum([line["seconds"] for line in fit.history])
        accuracy = [line["valid_accuracy"] for line in fit.history]
        reached = next((k for k, value in enumerate(accuracy) if value >= target), None)
        return {
            "seconds_to_target": None if reached is None else float(spent[reached]),
            "epochs_to_target": None if reached is None else reached + 1,
            "best_accuracy": max(accuracy),
            "epochs": epochs,
            "seconds": float(spent[-1]),
            "samples_per_s": fit.samples_per_s,
        }

    def train_set(self, packed: str, epochs: int) -> dict[str, Any]:
        """Train on a packed set, from the file to the model, and test on the job's recordings."""
        experiment = Experiment.load(SIMULATED)
        ratio = math.sqrt(SET_BATCH / experiment.training.batch_size)
        rate = experiment.optimiser.learning_rate * ratio
        start = time.perf_counter()
        data = es.data.Packed(packed)
        fit = self._fit(
            data,
            SET_BATCH,
            network=self.network if EMULATED else experiment.make_network(),
            epochs=1 if EMULATED else epochs,
            valid_fraction=experiment.training.valid_fraction if len(data) > 500 else 0.0,
            rule=experiment.rule,
            optimiser=replace(experiment.optimiser, learning_rate=rate),
            augmentation=experiment.augmentation,
            distortion=experiment.distortion,
        )
        seconds = time.perf_counter() - start
        tested = es.evaluate(fit.network, self.data, engine="gpu")
        return {
            "recordings": len(data),
            "events": data.events,
            "epochs": fit.epochs,
            "seconds": seconds,
            "training_samples_per_s": fit.samples_per_s,
            "valid_accuracy": fit.valid_accuracy,
            "accuracy_on_real_recordings": tested.accuracy,
        }


def _pool() -> Any:
    """CuPy's pool of the card's memory; None in the emulation."""
    if EMULATED:
        return None
    import cupy

    return cupy.get_default_memory_pool()


def _forget_memory() -> None:
    """Give back what is not in use, so that the next peak is that of what follows."""
    pool = _pool()
    if pool is not None:
        pool.free_all_blocks()


def _peak_mib() -> float | None:
    """Memory that was taken from the card since `_forget_memory`, MiB: the pool gives nothing back itself."""
    pool = _pool()
    return None if pool is None else pool.total_bytes() / 2**20


def _describe_card() -> dict[str, Any]:
    """Card, driver and versions of CUDA; nothing in the emulation."""
    if EMULATED:
        return {}
    import cupy

    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    return {
        "card": properties["name"].decode(),
        "multiprocessors": properties["multiProcessorCount"],
        "memory_mib": properties["totalGlobalMem"] / 2**20,
        "driver_cuda": runtime.driverGetVersion(),
        "runtime_cuda": runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
    }
