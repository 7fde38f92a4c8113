"""snnTorch and Norse, run by the importers of NIR graphs that they bring along.

Both take steps. A step begins at n dt; events of that step are its input, counted, and a spike of that step
is listed at its end, (n + 1) dt, where the potential is compared with the threshold.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np

from eventsnn.errors import MissingExtraError, NetworkError
from eventsnn.model.nir.dialects import SECOND_MS

SIMULATORS = ("snntorch", "norse")
"""What a network can be verified against."""


@dataclass(frozen=True)
class Train:
    """Spikes of one population in one recording: times (ms) and neurons, by time."""

    times: np.ndarray
    neurons: np.ndarray


class Simulator:
    """A NIR graph in another simulator.

    Parameters
    ----------
    name : {"snntorch", "norse"}
    graph : nir.NIRGraph
        Of that dialect; it is changed by some importers, so give it away.
    dt_ms : float
        The step, ms. The graph must have been written for it.
    nodes : sequence of str
        Nodes whose spikes are wanted.

    Raises
    ------
    MissingExtraError
        Without the simulator.
    NetworkError
        If its importer fails on the graph; the text says with what.
    """

    def __init__(self, name: str, graph: Any, dt_ms: float, nodes: Sequence[str]) -> None:
        self._torch = _import("torch", name)
        library = _import(name, name)
        self.title = f"{name} {getattr(library, '__version__', None) or version(name)}"
        self._name, self._dt, self._nodes = name, dt_ms, tuple(nodes)
        try:
            # Both print about what they do, and nirtorch warns of its own calls.
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                self._module = self._load(graph)
        except ImportError as error:  # snnTorch needs nirtorch for it, and does not say so
            raise MissingExtraError(str(error.name), "verify", f"reading a graph in {name}") from None
        except Exception as error:
            text = " ".join(str(error).split()) or "no reason given"
            raise NetworkError(
                f"{self.title} cannot read the graph ({type(error).__name__}: {text}); export it for this "
                "program, "
                f"--dialect {name}"
            ) from error
        self._spiking = self._find_modules()

    def _load(self, graph: Any) -> Any:
        if self._name == "snntorch":
            return import_module("snntorch.import_nir").import_from_nir(graph)
        from_nir = import_module("norse.torch.utils.import_nir").from_nir
        return from_nir(graph, dt=self._dt / SECOND_MS, ignore_warnings=True)

    def _find_modules(self) -> list[Any]:
        """The module of each node."""
        modules = dict(self._module.named_modules())
        found = []
        for node in self._nodes:
            names = (node, node.replace(".", "_"))
            module = next((modules[name] for name in names if name in modules), None)
            if module is None:
                raise NetworkError(f"{self.title} made no module of node {node!r}")
            found.append(module)
        return found

    def run(
        self, inputs: Sequence[tuple[np.ndarray, np.ndarray]], shape: tuple[int, ...], steps: int
    ) -> list[list[Train]]:
        """The spikes of some recordings, run side by side.

        Parameters
        ----------
        inputs : sequence of (times, neurons)
            Input spikes of each recording, ms.
        shape : tuple of int
            Shape of the graph's input.
        steps : int

        Returns
        -------
        list of list of Train
            By recording and node.
        """
        torch = self._torch
        ptr, places = _by_step(inputs, int(np.prod(shape)), self._dt, steps)
        found: list[list[tuple[int, Any]]] = [[] for _ in self._nodes]
        step = [0]

        def keep(n: int) -> Any:
            def hook(module: Any, given: Any, out: Any) -> None:
                spikes = out[0] if isinstance(out, tuple) else out
                fired = spikes.reshape(len(inputs), -1).nonzero()
                if len(fired):
                    found[n].append((step[0], fired.numpy()))

            return hook

        # A step is so short that a second thread costs more than it does.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        self._reset()
        hooks = [module.register_forward_hook(keep(n)) for n, module in enumerate(self._spiking)]
        batch, state = torch.zeros(len(inputs) * int(np.prod(shape))), None
        try:
            with torch.no_grad():
                for step[0] in range(steps):
                    batch.zero_()
                    some = places[ptr[step[0]] : ptr[step[0] + 1]]
                    batch.index_add_(0, torch.from_numpy(some), torch.ones(len(some)))
                    _, state = self._module(batch.reshape(len(inputs), *shape), state)
        except Exception as error:
            text = " ".join(str(error).split())
            raise NetworkError(
                f"{self.title} fails to run the graph ({type(error).__name__}: {text})"
            ) from error
        finally:
            torch.set_num_threads(threads)
            for hook in hooks:
                hook.remove()
        return [[_train(rows, sample, self._dt) for rows in found] for sample in range(len(inputs))]

    def _reset(self) -> None:
        """snnTorch's neurons keep their state."""
        for module in self._module.modules():
            for name in ("reset_mem", "reset_hidden"):
                if hasattr(module, name):
                    getattr(module, name)()
                    break


def _by_step(
    inputs: Sequence[tuple[np.ndarray, np.ndarray]], size: int, dt_ms: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Places in a batch (recordings, neurons) that get an event, step after step: pointers and places."""
    # Times are multiples of 1 us, and steps no binary numbers: 0.3 / 0.1 must be 3.
    number = [np.floor(times / dt_ms + 1e-9).astype(np.int64) for times, _ in inputs]
    places = [n * size + neurons.astype(np.int64) for n, (_, neurons) in enumerate(inputs)]
    when, where = np.concatenate(number), np.concatenate(places)
    order = np.argsort(when, kind="stable")
    return np.searchsorted(when[order], np.arange(steps + 1)), where[order]


def _train(rows: list[tuple[int, np.ndarray]], sample: int, dt_ms: float) -> Train:
    times, neurons = [], []
    for step, fired in rows:
        mine = fired[fired[:, 0] == sample, 1]
        times.append(np.full(len(mine), (step + 1) * dt_ms))
        neurons.append(mine)
    if not times:
        return Train(np.empty(0), np.empty(0, np.int32))
    return Train(np.concatenate(times), np.concatenate(neurons).astype(np.int32))


def _import(library: str, simulator: str) -> Any:
    try:
        return import_module(library)
    except ImportError:
        raise MissingExtraError(library, "verify", f"running a network in {simulator}") from None
