"""Reads traces, finished or still being written, and hands out spikes as the engine returned them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn._util.atomic import PART, find_parts
from eventsnn._util.hdf5 import open_file
from eventsnn.engines.record import ExitReason, LayerSpikes, SpikeRecord
from eventsnn.errors import TraceError
from eventsnn.network import Network
from eventsnn.network.file import read_network
from eventsnn.trace import schema
from eventsnn.trace.potential import PotentialTrace, check_neuron

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True)
class Sample:
    """One simulation of a trace.

    Attributes
    ----------
    index : int
    source : str
        Where it came from; "" if not given.
    label : int or None
        Its class.
    prediction : int or None
        Output neuron with the most spikes; None if the output stayed silent.
    epoch : int or None
    t_start, t_stop : float
        Its stretch of the file's global time, ms.
    t_end : float
        Local time (ms) up to which every spike is recorded; infinite when the network fell quiet.
    engine, dtype : str
    exit_reason : ExitReason
    origin_us : int
        The recording's time that is local time 0, microseconds; see `eventsnn.events.origin`.
    """

    index: int
    source: str
    label: int | None
    prediction: int | None
    epoch: int | None
    t_start: float
    t_stop: float
    t_end: float
    engine: str
    dtype: str
    exit_reason: ExitReason
    origin_us: int = 0

    @property
    def length(self) -> float:
        """Length of the sample, ms."""
        return self.t_stop - self.t_start


class Trace:
    """A trace file, opened for reading; use it in a ``with`` statement.

    A ``.part`` file, left by a run that was killed or is still going on, shows the samples that were complete
    when it was opened.

    Parameters
    ----------
    path : path

    Raises
    ------
    TraceError
        No such file, not a trace, damaged, or written by a newer eventsnn.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            version = int(self._file.attrs["eventsnn_trace"])
            if version > schema.LAYOUT_VERSION:
                raise TraceError(
                    f"{self.path}: written in layout {version}; this eventsnn reads up to "
                    f"{schema.LAYOUT_VERSION}, install a newer one"
                )
            self.config: dict[str, Any] = json.loads(self._file.attrs["config_json"])
            self.versions: dict[str, str] = json.loads(self._file.attrs["versions_json"])
            self.created = str(self._file.attrs["created"])
            seed = int(self._file.attrs["seed"])
            self._count = int(np.sum(self._file[schema.COMPLETE.path][()]))
        except (KeyError, OSError, json.JSONDecodeError) as error:
            self._file.close()
            raise TraceError(f"{self.path}: not an eventsnn trace, or a damaged one ({error})") from None
        except TraceError:
            self._file.close()
            raise
        self.seed = None if seed < 0 else seed

    def __enter__(self) -> Trace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        """Number of complete samples."""
        return self._count

    def __repr__(self) -> str:
        if not self._file:
            return f"<Trace {str(self.path)!r}, closed>"
        held = f"{len(self)} sample{'' if len(self) == 1 else 's'}"
        return f"<Trace {str(self.path)!r}: {held} of {', '.join(self.recorded)}, {self.network!r}>"

    @property
    def recorded(self) -> tuple[str, ...]:
        """Record options the trace was written with."""
        return tuple(self.config["record"])

    @property
    def is_part(self) -> bool:
        """True for the file of a run that was killed or is still going on."""
        return self.path.name.endswith(PART)

    @cached_property
    def network(self) -> Network:
        """The network that ran, with its weights."""
        return read_network(self._file["network"], str(self.path))

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """The complete samples."""
        table = {
            column.path.rpartition("/")[2]: self._file[column.path][: self._count].tolist()
            for column in schema.SAMPLE_COLUMNS
            if column.path in self._file  # traces of earlier versions have no origins
        }
        rows = (dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True))
        return tuple(_sample(index, row) for index, row in enumerate(rows))

    # -- what happened ----------------------------------------------------------------------

    def spikes(self, layer: str, sample: int = 0) -> LayerSpikes:
        """Spikes of a layer, of "input" or "bias", as the engine returned them, times in local ms.

        Raises
        ------
        TraceError
            No such layer or sample.
        """
        self._check_layer(layer)
        rows = self._rows(f"/spikes/{layer}", sample)
        group = self._file[f"/spikes/{layer}"]
        return LayerSpikes(
            layer,
            int(group.attrs["n_nodes"]),
            group["local_ms"][rows],
            group["node_ids"][rows].astype(np.int32),
        )

    def record(self, sample: int = 0) -> SpikeRecord:
        """The whole simulation, as the engine returned it."""
        self._check_sample(sample)
        row, network = self.samples[sample], self.network
        record = SpikeRecord(
            layers={name: self.spikes(name, sample) for name in network.names},
            input=self.spikes("input", sample),
            t_end=row.t_end,
            exit_reason=row.exit_reason,
            engine=row.engine,
            dtype=row.dtype,
            classes=network.classes,
            origin_us=row.origin_us,
        )
        return replace(record, bias=self.spikes("bias", sample)) if network.input.has_bias else record

    def counts(self, layer: str) -> np.ndarray:
        """Spikes of each neuron of a layer (not the input) in each sample, int64 array (samples, neurons)."""
        self._check_layer(layer)
        if layer not in self.network.names:
            raise TraceError(
                f"counts are stored per layer of neurons; for the {layer} use Trace.spikes({layer!r}).counts"
            )
        return self._file[f"/counts/{layer}"][: self._count].astype(np.int64)

    def n_spikes(self, layer: str) -> int:
        """Number of spikes of a layer, or of input events, in all complete samples."""
        self._check_layer(layer)
        return int(self._file[f"/spikes/{layer}/sample_ptr"][self._count])

    def spike_time(self, layer: str, neuron: int, spike: int, sample: int = 0) -> float:
        """Time (local ms) of spike number `spike` (from 0) of a neuron.

        Raises
        ------
        TraceError
            Saying which of layer, neuron, sample or spike there is not, and what there is.
        """
        return float(self.spikes(layer, sample).times[self._spike_row(layer, neuron, spike, sample)])

    # -- what was recorded on demand ---------------------------------------------------------------

    def potential(self, layer: str, sample: int = 0) -> PotentialTrace:
        """Recorded membrane potentials of a layer.

        Raises
        ------
        TraceError
            They were not recorded, or no such layer or sample.
        """
        self._check_layer(layer)
        if f"/potential/{layer}" not in self._file:
            raise TraceError(
                f"{self.path}: holds no membrane potential of layer {layer!r}; record it with "
                "record=('spikes', 'potential'), or compute it with eventsnn.trace.membrane_potential"
            )
        rows = self._rows(f"/potential/{layer}", sample)
        group = self._file[f"/potential/{layer}"]
        return PotentialTrace(*(group[name][rows] for name in ("timestamps", "node_ids", "v", "kind")))

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
        key = self._check_projection(layer, projection)
        row = self._spike_row(layer, neuron, spike, sample)
        k = int(self._file[f"/spikes/{layer}/sample_ptr"][sample]) + row
        group = self._file[f"/spsp/{key}"]
        first, last = (int(n) for n in group["post_ptr"][k : k + 2])
        return group["pre_node_ids"][first:last], group["value"][first:last]

    def spsp_total(
        self, layer: str, sample: int = 0, *, projection: str | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """S-PSPs of a sample: (post uint32, pre uint32, value float32) of the pairs that are not 0."""
        key = self._check_projection(layer, projection)
        rows = self._rows(f"/spsp_total/{key}", sample)
        group = self._file[f"/spsp_total/{key}"]
        return group["post_node_ids"][rows], group["pre_node_ids"][rows], group["value"][rows]

    # -- checks ------------------------------------------------------------------------------------

    def _check_layer(self, layer: str) -> None:
        names = schema.trains(self.network)
        if layer not in names:
            raise TraceError(f"{self.path}: no layer {layer!r}; there are {', '.join(names)}")

    def _check_sample(self, sample: int) -> None:
        if (
            isinstance(sample, bool)
            or not isinstance(sample, int | np.integer)
            or not 0 <= sample < len(self)
        ):
            held = f"the samples 0..{len(self) - 1}" if len(self) else "no complete sample"
            raise TraceError(f"{self.path}: no sample {sample!r}; the trace holds {held}")

    def _check_projection(self, layer: str, projection: str | None) -> str:
        self._check_layer(layer)
        if "spsp" not in self.recorded:
            raise TraceError(f"{self.path}: holds no S-PSPs; record them with record=('spikes', 'spsp')")
        keys = [p.key for p in self.network.projections if p.target == self.network.index(layer)]
        key = layer if projection is None else projection
        if key not in keys:
            there = f"there are {', '.join(keys)}" if keys else "nothing feeds the input"
            raise TraceError(f"{self.path}: no projection {key!r} into layer {layer!r}; {there}")
        return key

    def _rows(self, group: str, sample: int) -> slice:
        self._check_sample(sample)
        first, last = (int(n) for n in self._file[f"{group}/sample_ptr"][sample : sample + 2])
        return slice(first, last)

    def _spike_row(self, layer: str, neuron: int, spike: int, sample: int) -> int:
        spikes = self.spikes(layer, sample)
        check_neuron(self.network, layer, neuron)
        rows = np.flatnonzero(spikes.neurons == neuron)
        if isinstance(spike, bool) or not isinstance(spike, int | np.integer) or not 0 <= spike < rows.size:
            had = f"has the spikes 0..{rows.size - 1}" if rows.size else "stayed silent"
            raise TraceError(
                f"{self.path}: no spike {spike!r}: neuron {neuron} of {layer!r} {had} in sample {sample}"
            )
        return int(rows[spike])


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        parts = [os.fspath(part) for part in find_parts(path)]
        hint = (
            f"; its run was killed or is still going on: {', '.join(parts)} holds what is complete"
            if parts
            else ""
        )
        raise TraceError(f"{path}: no such file{hint}")
    # A file whose writer did not close it (killed, or at work) opens in single-writer-multiple-reader mode
    # only.
    return open_file(path, lambda text: TraceError(f"{path}: {text}"), swmr=path.name.endswith(PART))


def _sample(index: int, row: dict[str, Any]) -> Sample:
    return Sample(
        index=index,
        source=row["source"].decode("utf-8"),
        label=row["label"] if row["label"] >= 0 else None,
        prediction=row["prediction"] if row["prediction"] >= 0 else None,
        epoch=row["epoch"] if row["epoch"] >= 0 else None,
        t_start=row["t_start"],
        t_stop=row["t_stop"],
        t_end=row["t_end"],
        engine=row["engine"].decode(),
        dtype=row["dtype"].decode(),
        exit_reason=ExitReason(row["exit_reason"].decode()),
        origin_us=row.get("origin_us", 0),
    )
