"""Reads what was recorded of a trace's samples besides spikes: potentials, currents, S-PSPs."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from eventsnn.errors import TraceError
from eventsnn.trace import checks, schema
from eventsnn.trace.potential import CurrentTrace, PotentialTrace, membrane_potential, synaptic_current
from eventsnn.trace.quantities import check_kept
from eventsnn.trace.selection import find_projection

if TYPE_CHECKING:
    import h5py

    from eventsnn.model import Network
    from eventsnn.trace.choice import Choice
    from eventsnn.trace.record import LayerSpikes, SpikeRecord


class QuantityReader:
    """The part of `Trace` that is about what is recorded, or computed, on demand."""

    path: Path
    _choice: Choice
    _file: h5py.File
    _has_crc: bool

    if TYPE_CHECKING:

        @property
        def network(self) -> Network: ...
        @property
        def recorded(self) -> tuple[str, ...]: ...

        def record(self, sample: int = 0) -> SpikeRecord: ...
        def spikes(self, layer: str, sample: int = 0) -> LayerSpikes: ...
        def _checking(self) -> AbstractContextManager[None]: ...
        def _check_layer(self, layer: str) -> None: ...
        def _pointer(self, group: str) -> np.ndarray: ...
        def _sample_columns(self, path: str, names: tuple[str, ...], sample: int) -> list[np.ndarray]: ...
        def _spike_row(self, layer: str, neuron: int, spike: int, sample: int) -> int: ...

    @overload
    def potential(self, layer: str, *, sample: int = 0) -> PotentialTrace: ...
    @overload
    def potential(self, layer: str, sample: int, /) -> PotentialTrace: ...
    @overload
    def potential(
        self, layer: str, neuron: int, times: npt.ArrayLike, *, sample: int = 0
    ) -> npt.NDArray[np.float64]: ...

    def potential(self, layer: str, neuron: Any = None, times: Any = None, *, sample: int = 0) -> Any:
        """Membrane potential of a neuron at any times, ms: exact, computed from the spikes.

        ``trace.potential(layer, neuron, times, sample=s)`` gives a float64 array like `times`, see
        `eventsnn.trace.membrane_potential`; ``trace.potential(layer, s)`` what was recorded of a layer in
        sample s, a `PotentialTrace`.

        Raises
        ------
        TraceError
            No such layer, neuron or sample, times beyond the end of the run, spikes of the clocked engine;
            or nothing was recorded.
        """
        if times is not None:
            return membrane_potential(self.network, self.record(sample), layer, neuron, times)
        return self._sampled("potential", "membrane potential", layer, sample if neuron is None else neuron)

    @overload
    def current(self, layer: str, *, sample: int = 0) -> CurrentTrace: ...
    @overload
    def current(self, layer: str, sample: int, /) -> CurrentTrace: ...
    @overload
    def current(
        self, layer: str, neuron: int, times: npt.ArrayLike, *, sample: int = 0
    ) -> npt.NDArray[np.float64]: ...

    def current(self, layer: str, neuron: Any = None, times: Any = None, *, sample: int = 0) -> Any:
        """Synaptic current of a neuron at any times, ms, or what was recorded of a layer; see `potential`."""
        if times is not None:
            return synaptic_current(self.network, self.record(sample), layer, neuron, times)
        return self._sampled("current", "synaptic current", layer, sample if neuron is None else neuron)

    def _sampled(self, name: str, what: str, layer: str, sample: int) -> PotentialTrace:
        """Recorded potentials or currents of a layer."""
        self._check_layer(layer)
        path = f"/{name}/{layer}"
        if path not in self._file:
            compute = {"potential": "membrane_potential", "current": "synaptic_current"}[name]
            raise TraceError(
                f"{self.path}: holds no {what} of layer {layer!r}; record it with "
                f"record=('spikes', {name!r}), or compute it with eventsnn.trace.{compute}"
            )
        columns = (
            ("timestamps", "node_ids", "v", "kind")
            if name == "potential"
            else ("timestamps", "node_ids", "i")
        )
        with self._checking():
            times, neurons, values, *kinds = self._sample_columns(path, columns, sample)
            size = self.network[layer].neurons
            checks.check_train(times, neurons, size, f"{path}, sample {sample}")
            kind = kinds[0] if kinds else np.zeros(len(times), np.uint8)
            if not np.isfinite(values).all() or (kind > schema.KIND_POST_RESET).any():
                raise checks.DamagedError(f"{path}, sample {sample}: values are not finite, or of no kind")
        return (PotentialTrace if kinds else CurrentTrace)(times, neurons, values, kind)

    def spsp(
        self, layer: str, neuron: int, spike: int, sample: int = 0, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """S-PSPs of one spike: how much each pre-synaptic train took part in it, without its synaptic weight.

        Parameters
        ----------
        layer, neuron, spike, sample
            Which spike; `spike` counts the neuron's spikes in the sample from 0.
        projection : str, optional
            Key of the projection, such as ``"output:lateral"``; the feed-forward one by default.

        Returns
        -------
        pre : uint32 array (n,)
            Pre-synaptic neurons, ascending; the others have S-PSP 0.
        values : float32 array (n,)

        Raises
        ------
        TraceError
            Not recorded, or no such projection, layer, neuron, spike or sample.
        """
        key = self._check_projection(layer, projection, "spsp")
        row = self._spike_row(layer, neuron, spike, sample)
        time = float(self.spikes(layer, sample).times[row])
        check_kept(self._choice, layer, neuron, time, f"{self.path}: ")
        with self._checking():
            k = int(self._pointer(f"/spikes/{layer}")[sample]) + row
            group = self._file[f"/spsp/{key}"]
            ends = group["post_ptr"][k : k + 2]
            if len(ends) != 2 or not ends[0] <= ends[1] <= len(group["value"]):
                raise checks.DamagedError(f"/spsp/{key}/post_ptr, row {k}, points to no entries")
            first, last = (int(n) for n in ends)
            pre, values = group["pre_node_ids"][first:last], group["value"][first:last]
            if len(pre) != len(values) or not np.isfinite(values).all():
                raise checks.DamagedError(f"/spsp/{key}, row {k}: values are missing or not finite")
            if self._has_crc:
                checks.check_crc(group["post_crc"][k], (pre, values), f"/spsp/{key}, row {k}")
        return pre, values

    def spsp_total(
        self, layer: str, sample: int = 0, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """S-PSPs of a sample: (post uint32, pre uint32, value float32) of the pairs that are not 0."""
        key = self._check_projection(layer, projection, "spsp_total")
        names = ("post_node_ids", "pre_node_ids", "value")
        with self._checking():
            post, pre, value = self._sample_columns(f"/spsp_total/{key}", names, sample)
            if not np.isfinite(value).all():
                raise checks.DamagedError(f"/spsp_total/{key}, sample {sample}: values are not finite")
        return post, pre, value

    def _check_projection(self, layer: str, projection: str | None, what: str) -> str:
        self._check_layer(layer)
        recorded = set(self.recorded) | ({"spsp_total"} if schema.keeps_totals(self.recorded) else set())
        if what not in recorded:
            raise TraceError(f"{self.path}: holds no S-PSPs; record them with record=('spikes', {what!r})")
        key = find_projection(self.network, layer, projection, f"{self.path}: ")
        if layer not in self._choice.layers:
            raise TraceError(f"{self.path}: S-PSPs of layer {layer!r} were not among those to be recorded")
        return key
