"""Everybody who runs a `Job` on a card, behind one interface; each in its own process (`workers.Worker`).

`infer` and `train` return samples per second of wall time (one figure per repeat) and the peak of the card's
memory. Rivals have their dense input ready on the card; ours has its recordings there, and makes everything
that depends on the choice of recordings in the time measured. ``device="cpu"`` runs the same code without a
card, in a small form.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np

from speed.rivals.gpu_timing import measure
from speed.rivals.jobs import Job, binned


class Contender(Protocol):
    """What a worker can do."""

    def setup(self, job: Job) -> dict[str, Any]: ...
    def infer(self, batch: int, seconds: float) -> dict[str, Any]: ...
    def train(self, batch: int, seconds: float) -> dict[str, Any]: ...
    def score(self, batch: int) -> dict[str, Any]: ...


class Dense:
    """What the clocked rivals share: dense batches on the device, times, memory."""

    dtype = "float32"
    loop = False

    def setup(self, job: Job) -> dict[str, Any]:
        self.torch = importlib.import_module("torch")
        self.libraries = importlib.import_module("speed.rivals.gpu_libraries")
        self.job = job
        if job.device.startswith("cuda"):
            if not self.torch.cuda.is_available():
                raise ImportError("PyTorch finds no card")
            self.torch.zeros(1, device=job.device)
        else:
            self.torch.set_num_threads(job.threads)
        self.network = job.network()
        data = job.recordings()
        self.events = binned([data.stream(i) for i in range(len(data))], job.bins)
        self.labels = np.asarray(data.labels, np.int64)
        self.held: dict[int, tuple[Any, Any]] = {}
        self.make()
        return {"torch": self.torch.__version__, "device": self._name()}

    def make(self) -> None:
        """Build the network on the device."""
        raise NotImplementedError

    def forward(self, x: Any) -> Any:
        """Output spike counts (batch, outputs) of dense input."""
        raise NotImplementedError

    def step(self, x: Any, labels: Any) -> None:
        """One training step."""
        raise NotImplementedError

    def infer(self, batch: int, seconds: float) -> dict[str, Any]:
        x, _ = self._batch(batch)
        return self._time(lambda: self.forward(x), batch, seconds)

    def train(self, batch: int, seconds: float) -> dict[str, Any]:
        x, labels = self._batch(batch)
        return self._time(lambda: self.step(x, labels), batch, seconds)

    def score(self, batch: int) -> dict[str, Any]:
        """Accuracy on all recordings of the job."""
        right = 0
        self.held.clear()
        for first in range(0, len(self.events), batch):
            part = slice(first, first + batch)
            counts = self.forward(self._dense(self.events[part])).float().cpu().numpy()
            # A silent output is no decision, as for eventsnn.
            right += int(((counts.argmax(1) == self.labels[part]) & (counts.max(1) > 0)).sum())
        return {"accuracy": right / len(self.events), "samples": len(self.events)}

    def _dense(self, events: Any) -> Any:
        kind = getattr(self.torch, self.dtype)
        inputs = self.network.input.neurons
        return self.libraries.dense(events, self.job.bins, inputs, self.job.device, kind)

    def _batch(self, size: int) -> tuple[Any, Any]:
        """One dense batch, of recordings taken in turn; only one is held."""
        if size not in self.held:
            self.held.clear()
            which = np.arange(size) % len(self.events)
            labels = self.torch.from_numpy(self.labels[which]).to(self.job.device)
            self.held = {size: (self._dense([self.events[i] for i in which]), labels)}
        return self.held[size]

    def _time(self, do: Any, samples: int, seconds: float) -> dict[str, Any]:
        on_card = self.job.device.startswith("cuda")
        cuda = self.torch.cuda
        if on_card:
            cuda.empty_cache()
            cuda.reset_peak_memory_stats()
        wait = cuda.synchronize if on_card else (lambda: None)
        found = measure(do, samples, seconds, wait)
        if on_card and self.loop:
            found = max(found, self._time_graph(do, samples, seconds, wait), key=lambda f: max(f["rates"]))
        peak = cuda.max_memory_allocated() / 2**20 if on_card else None
        return {**found, "peak_mib": peak}

    def _time_graph(self, do: Any, samples: int, seconds: float, wait: Any) -> dict[str, Any]:
        """The same as one CUDA graph, if that can be had."""
        try:
            return {**measure(self.libraries.capture(do), samples, seconds, wait), "form": "CUDA graph"}
        except Exception as error:
            return {"rates": [0.0], "steps": 0, "form": f"no CUDA graph: {error}"}

    def _name(self) -> str:
        return self.torch.cuda.get_device_name() if self.job.device.startswith("cuda") else "cpu"


class Library(Dense):
    """A form of gpu_libraries.py."""

    def __init__(self, name: str) -> None:
        self.name = name

    def make(self) -> None:
        self.loop = self.libraries.FORMS[self.name][1] == "loop"
        made = self.libraries.make(self.name, self.network, self.job)
        self.net = self.libraries.put(made, self.job.device)

    def forward(self, x: Any) -> Any:
        with self.torch.no_grad():
            return self.net(x)

    def step(self, x: Any, labels: Any) -> None:
        self.libraries.train_step(self.net, x, labels)


class HandWritten(Dense):
    """gpu_fused.py."""

    dtype = "bfloat16"

    def make(self) -> None:
        module = importlib.import_module("speed.rivals.gpu_fused")
        network, job = self.network, self.job
        pairs = zip(network.names, job.thresholds, strict=True)
        weights = [network.weights[name] / (job.tau_s * nu) for name, nu in pairs]
        self.net = module.Fused(weights, job.tau_m, job.tau_s, 3e-5, job.device)

    def forward(self, x: Any) -> Any:
        return self.net.infer(x)

    def step(self, x: Any, labels: Any) -> None:
        self.net.train_step(x, labels)


FUSED = "hand-written: bfloat16 products and fused Triton neurons"
FASTEST_JELLY = "SpikingJelly, fused LIF without synaptic filter"
LIBRARY_FORMS = (
    FASTEST_JELLY,
    "SpikingJelly, fused FlexSN",
    "SpikingJelly, loop",
    "snnTorch, loop",
    "Norse, loop",
)
OURS = ("eventsnn, float32", "eventsnn, float64")


def _ours(dtype: str) -> Any:
    return importlib.import_module("speed.gpu_ours").Ours(dtype)


CONTENDERS: dict[str, Any] = {
    OURS[0]: lambda: _ours("float32"),
    OURS[1]: lambda: _ours("float64"),
    FUSED: HandWritten,
    **{name: (lambda name=name: Library(name)) for name in LIBRARY_FORMS},
}
