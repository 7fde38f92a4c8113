"""The verb `compare`: two traces, two models on the same recordings, or two runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from eventsnn._util.hdf5 import read_marks
from eventsnn._util.words import number_of
from eventsnn.data.memory import as_source
from eventsnn.data.splits import cap_per_class
from eventsnn.errors import EventSNNError, SimulationError, TraceError
from eventsnn.model import Network
from eventsnn.simulate.comparison import Comparison, Sample, Side
from eventsnn.simulate.run import simulate
from eventsnn.simulate.weight_comparison import compare_weights
from eventsnn.trace.reader import Trace
from eventsnn.trace.record import LayerSpikes, SpikeRecord
from eventsnn.train.labels import match_source
from eventsnn.train.progress import progress_bar

Compared: TypeAlias = "str | os.PathLike[str] | Trace | Network | SpikeRecord"


def compare(
    a: Compared,
    b: Compared,
    *,
    data: Any = None,
    within_ms: float = 5.0,
    tau_ms: float = 5.0,
    engine: str = "auto",
    dtype: str | None = None,
    step_ms: float | None = None,
    t_stop: float | None = None,
    per_class: int | None = None,
    seed: int = 1,
    progress: bool = False,
) -> Comparison:
    """How two traces, two models or two runs differ, spike by spike.

    Recordings of two traces go together by their source where every source is there once, else by their
    number. Layers go together by name; their spikes are compared one by one where they have as many neurons.
    Memory does not grow with the spikes of the traces.

    Parameters
    ----------
    a, b : path, Trace, Network or SpikeRecord
        Both traces (or their files), both networks (or model files), or both runs.
    data : data set, optional
        Of two networks: recordings that both simulate, as for `eventsnn.evaluate`; or a pair of data sets
        with the same recordings, one for each.
    within_ms : float
        Spikes of a neuron that are less than this apart can be one spike that moved, ms, > 0.
    tau_ms : float
        Time constant of the distance of van Rossum, ms, > 0.
    engine, dtype, step_ms, t_stop
        Of two networks: see `eventsnn.simulate`.
    per_class : int, optional
        Of two networks: at most so many recordings of each class, pairs at random by `seed`.
    progress : bool
        Show a progress bar on standard error, where that is a terminal.

    Returns
    -------
    Comparison
        ``.first`` (the first spike that differs), ``.layers``, ``.decisions``, ``.weights``, ``.same``;
        ``eventsnn.simulate.comparison_text.format_comparison`` makes text of it.

    Raises
    ------
    SimulationError
        `a` and `b` are of different kinds, `data` is missing or too much, or a network cannot run it.
    TraceError, NetworkError
        A file cannot be read, or a trace holds no recording.
    """
    options = {"engine": engine, "dtype": dtype, "step_ms": step_ms, "t_stop": t_stop}
    with ExitStack() as stack:
        first, second = (_open(x, stack) for x in (a, b))
        kinds = [_kind(x) for x in (first, second)]
        if kinds[0] != kinds[1]:
            told = [
                f"{_name(x, letter)} is {kind}" for x, letter, kind in zip((a, b), "ab", kinds, strict=True)
            ]
            raise SimulationError(
                f"{' and '.join(told)}; compare two traces, two models with data, or two runs"
            )
        if isinstance(first, Network):
            if data is None:
                raise SimulationError("data: two models are compared on recordings; give data")
            pairs: _Models | _Traces | _Runs = _Models(
                (first, second), (a, b), data, per_class, seed, options
            )
        elif data is not None:
            raise SimulationError("data: traces and runs hold their spikes; data is for two models")
        elif isinstance(first, Trace):
            pairs = _Traces(first, second)
        else:
            pairs = _Runs(first, second)
        found = Comparison(pairs.sides[0], pairs.sides[1], within_ms, tau_ms)
        found.remarks += pairs.remarks
        if not isinstance(first, SpikeRecord):
            found.weights = compare_weights(
                *(x.network if isinstance(x, Trace) else x for x in (first, second))
            )
        with progress_bar(len(pairs), "comparing", progress) as bar:
            for pair in pairs:
                found.add(*pair)
                bar.update(1)
        return found


_KINDS: dict[type, str] = {Trace: "a trace", Network: "a model", SpikeRecord: "a run"}


def _kind(opened: Any) -> str:
    return next(name for kind, name in _KINDS.items() if isinstance(opened, kind))


def _name(what: Compared, letter: str) -> str:
    """What a text calls a thing to compare: its file, or the name of the argument."""
    if isinstance(what, Trace):
        return str(what.path)
    return str(Path(what)) if isinstance(what, str | os.PathLike) else letter


def _open(what: Compared, stack: ExitStack) -> Any:
    """A trace, a network or a run; files are closed by `stack`."""
    if isinstance(what, tuple(_KINDS)):
        return what
    if not isinstance(what, str | os.PathLike):
        raise SimulationError(f"a trace, a model or a run can be compared, got {type(what).__name__}")
    if "eventsnn_network" in (read_marks(what) or ()):
        return Network.load(what)
    return stack.enter_context(Trace(what))


def _neurons(network: Network) -> dict[str, int]:
    layers = {str(layer.name): layer.neurons for layer in network.layers}
    return {"input": network.input.neurons, **layers}


class _Runs:
    """Two runs."""

    def __init__(self, a: SpikeRecord, b: SpikeRecord) -> None:
        self._runs, self.remarks = (a, b), list[str]()
        self.sides = [
            Side(
                name,
                {"input": run.input.size, **{name: train.size for name, train in run.layers.items()}},
                run.classes,
                facts={"engine": run.engine, "dtype": run.dtype},
            )
            for name, run in zip("ab", self._runs, strict=True)
        ]

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[tuple[Sample, Sample]]:
        a, b = (Sample(0, run.__getitem__, run.decision, readout=run.readout) for run in self._runs)
        yield a, b


class _Traces:
    """The recordings of two traces that go together."""

    def __init__(self, a: Trace, b: Trace) -> None:
        self._traces = a, b
        for trace in self._traces:
            if not len(trace):
                raise TraceError(f"{trace.path}: holds no complete sample to compare")
        self.sides = [_trace_side(trace) for trace in self._traces]
        self._pairs, self.remarks = pair_samples(a.samples, b.samples)

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[tuple[Sample, Sample]]:
        for numbers in self._pairs:
            a, b = (_trace_sample(t, n) for t, n in zip(self._traces, numbers, strict=True))
            yield a, b


def _trace_side(trace: Trace) -> Side:
    told = {
        name: ", ".join(sorted({getattr(sample, name) for sample in trace.samples}))
        for name in ("engine", "dtype")
    }
    return Side(str(trace.path), _neurons(trace.network), trace.network.classes, len(trace), told)


def _trace_sample(trace: Trace, number: int) -> Sample:
    row = trace.samples[number]

    def spikes(layer: str) -> LayerSpikes:
        return trace.spikes(layer, number)

    return Sample(number, spikes, row.prediction, row.label, row.source, trace.readout(number))


def pair_samples(a: Sequence[Any], b: Sequence[Any]) -> tuple[list[tuple[int, int]], list[str]]:
    """Numbers of the samples (`eventsnn.trace.Sample`) that go together, and remarks about the others."""
    keys = [{(sample.source, sample.epoch): sample.index for sample in samples} for samples in (a, b)]
    named = all(sample.source for sample in (*a, *b)) and [len(k) for k in keys] == [len(a), len(b)]
    remarks = []
    if named and keys[0].keys() & keys[1].keys():
        pairs = [(index, keys[1][key]) for key, index in keys[0].items() if key in keys[1]]
        how = "by their sources"
    else:
        pairs = [(index, index) for index in range(min(len(a), len(b)))]
        how = "by their numbers"
        if named:
            remarks.append("the traces name other sources: recordings go together by their numbers")
    left = [len(samples) - len(pairs) for samples in (a, b)]
    if any(left):
        counts = " and ".join(f"{n:,} of {letter}" for n, letter in zip(left, "AB", strict=True) if n)
        remarks.append(f"recordings go together {how}; {counts} have no partner")
    other = sum(a[i].label != b[j].label for i, j in pairs if None not in (a[i].label, b[j].label))
    if other:
        have = "has" if other == 1 else "have"
        remarks.append(
            f"{number_of(other, 'recording')} {have} another label in B: are they the same recordings?"
        )
    return pairs, remarks


class _Models:
    """Recordings that two networks simulate."""

    def __init__(
        self,
        networks: tuple[Network, Network],
        names: tuple[Any, Any],
        data: Any,
        per_class: int | None,
        seed: int,
        options: dict[str, Any],
    ) -> None:
        self._networks, self._options = networks, options
        both = data if isinstance(data, tuple) and len(data) == 2 else (data, data)
        sources = [as_source(x, n.input.sensor_size) for x, n in zip(both, networks, strict=True)]
        self._sources = [match_source(n, x, "data") for n, x in zip(networks, sources, strict=True)]
        a, b = self._sources
        if len(a) != len(b):
            raise SimulationError(f"data: {number_of(len(a), 'recording')} for a and {len(b)} for b")
        self._numbers = np.arange(len(a)) if per_class is None else cap_per_class(a.labels, per_class, seed)
        self.remarks = list[str]()
        self.sides = [
            Side(
                _name(name, letter),
                _neurons(network),
                network.classes,
                len(self._numbers),
            )
            for letter, name, network in zip("ab", names, networks, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[tuple[Sample, Sample]]:
        for number in self._numbers.tolist():
            samples = [self._run(side, number) for side in (0, 1)]
            if None not in samples:
                yield samples[0], samples[1]  # type: ignore[misc]

    def _run(self, side: int, number: int) -> Sample | None:
        source, network = self._sources[side], self._networks[side]
        events = source.read_or_none(number)
        if events is None:
            return None
        try:
            run = simulate(network, events, **self._options)
        except EventSNNError as error:
            raise type(error)(f"{source.paths[number]}: {error}") from None
        label = int(np.asarray(source.labels)[number])
        return Sample(number, run.__getitem__, run.decision, label, source.paths[number], run.readout)
