"""Reads what training left in a trace: see `eventsnn.trace.learning`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn._util.arguments import is_whole
from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.model.sparse import is_sparse, with_data
from eventsnn.trace import checks
from eventsnn.trace.choice import Choice, Training
from eventsnn.trace.learning import Snapshot
from eventsnn.trace.record import LayerSpikes
from eventsnn.trace.schema import LEARNING, SNAPSHOT_COMPLETE, train_size

if TYPE_CHECKING:
    import h5py


class LearningReader:
    """The part of `Trace` that is about training."""

    path: Path
    _choice: Choice

    if TYPE_CHECKING:

        @property
        def network(self) -> Network: ...

        def _checking(self) -> AbstractContextManager[None]: ...
        def _check_sample(self, sample: int) -> None: ...
        def _dataset(self, path: str) -> h5py.Dataset: ...
        def _sample_columns(self, path: str, names: tuple[str, ...], sample: int) -> list[np.ndarray]: ...

    def learning(self, layer: str, quantity: str, sample: int = 0) -> Any:
        """What the learning rule delivered of a layer in a sample of training.

        Parameters
        ----------
        layer : str
        quantity : str
            Of `eventsnn.trace.schema.LEARNING`: "errors", "self_term", "lateral_factor" (float64, a value
            for each neuron), "spike_derivatives" (float64, one for each spike of
            ``trace.spikes(layer, sample)``), "lent_spikes" (`LayerSpikes`).
        sample : int

        Raises
        ------
        TraceError
            That was not recorded, or no such layer, quantity or sample.
        """
        self._check_sample(sample)
        there = self._training("learning").quantities
        if quantity not in there.get(layer, ()):
            held = "; ".join(f"{name}: {', '.join(names)}" for name, names in there.items())
            raise TraceError(f"{self.path}: no {quantity!r} of layer {layer!r}; there are {held}")
        group, per = f"/learning/{layer}/{quantity}", LEARNING[quantity].per
        with self._checking():
            if per == "neuron":
                return self._row(f"{group}/value", f"{group}/sample_crc", sample)
            if per == "spike":
                return self._sample_columns(group, ("value",), sample)[0]
            times, neurons = self._sample_columns(group, ("local_ms", "node_ids"), sample)
            size = train_size(self.network, layer)
            checks.check_train(times, neurons, size, f"{group}, sample {sample}")
            return LayerSpikes(layer, size, times, neurons.astype(np.int32))

    def gradient_norms(self, sample: int = 0) -> dict[str, float]:
        """Norms of a sample's gradient, by layer or connection that is trained."""
        self._check_sample(sample)
        keys = self._training("learning").keys
        with self._checking():
            row = self._row("/gradient_norms/value", "/gradient_norms/sample_crc", sample)
            return dict(zip(keys, row.tolist(), strict=True))

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """Moments of training whose weights are in the file: before the first epoch, and after each."""
        self._training("weights")
        with self._checking():
            return tuple(self._snapshots())

    def weights(self, key: str, snapshot: int = -1) -> Any:
        """Weights of a layer or connection in a snapshot, in the form of ``network.weights[key]``.

        Raises
        ------
        TraceError
            No weights were recorded, or no such layer, connection or snapshot.
        """
        training, n = self._training("weights"), len(self.snapshots)
        if key not in training.keys:
            raise TraceError(f"{self.path}: no weights of {key!r}; there are {', '.join(training.keys)}")
        if not is_whole(snapshot) or not -n <= snapshot < n:
            raise TraceError(f"{self.path}: no snapshot {snapshot!r}; there are 0..{n - 1}")
        with self._checking():
            group = f"/weights/{key}"
            row = self._row(f"{group}/value", f"{group}/snapshot_crc", snapshot % n)
            like: Any = self.network.weights[key]
            return with_data(like, row) if is_sparse(like) else row.reshape(np.shape(like))

    def _training(self, option: str) -> Training:
        if self._choice.training is None or option not in self._choice.record:
            raise TraceError(
                f"{self.path}: holds no {option}; 'eventsnn train --trace t.h5 --record {option}' "
                "records them"
            )
        return self._choice.training

    def _snapshots(self) -> Iterator[Snapshot]:
        count = checks.count_complete(self._dataset(SNAPSHOT_COMPLETE.path)[()])
        columns = (self._dataset(f"/snapshots/{name}")[:count].tolist() for name in ("epoch", "step"))
        for index, (epoch, step) in enumerate(zip(*columns, strict=True)):
            yield Snapshot(index, epoch, step)

    def _row(self, path: str, crc: str, row: int) -> np.ndarray:
        """A row with its checksum."""
        values: np.ndarray = self._dataset(path)[row]
        checks.check_crc(self._dataset(crc)[row], (values,), f"{path}, row {row}")
        return values
