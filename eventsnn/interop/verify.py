"""A network in exact time and in another simulator, on the same events, spike by spike.

The other simulator runs the NIR graph as it is where that was written for it and for the step in question,
and else one that is written for them in memory. Both simulate a recording from 0 to a while after its last
event.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from eventsnn._util.arguments import check_choice, check_span
from eventsnn.errors import SimulationError
from eventsnn.interop.simulators import SIMULATORS, Simulator, Train
from eventsnn.model import Network
from eventsnn.model.nir import import_network, load_graph
from eventsnn.model.nir.dialects import DIALECTS, SECOND_MS
from eventsnn.model.nir.neurons import SNNTORCH_DT_S
from eventsnn.model.nir.own import read_header
from eventsnn.model.nir.write import write_graph
from eventsnn.simulate.comparison import Comparison, Sample, Side
from eventsnn.simulate.input import to_input
from eventsnn.simulate.run import simulate
from eventsnn.trace.record import LayerSpikes, SpikeRecord, decide

BATCH = 64
TAIL = 5.0
"""How long both go on after the last event, in synaptic time constants."""


@dataclass(frozen=True)
class Recording:
    """What both simulate: a name, events for the network's sensor, and the class where it is known."""

    name: str
    events: Any
    label: int | None = None


@dataclass(eq=False)
class Verification:
    """How another simulator differs from exact time; made by `verify`.

    Attributes
    ----------
    title : str
        The other simulator and its version.
    comparisons : dict of float to Comparison
        By step, s: `a` is exact time, `b` the other simulator.
    equal_counts : dict of float to int
        By step: recordings in which every output neuron fires as often.
    notes : list of str
        What was read, and what the graphs do not say exactly.
    shown : tuple of SpikeRecord and dict, or None
        For the picture: a recording in exact time, and the spikes of every layer in the other simulator at
        the shortest step.
    """

    title: str
    comparisons: dict[float, Comparison] = field(default_factory=dict)
    equal_counts: dict[float, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    shown: tuple[SpikeRecord, dict[str, LayerSpikes]] | None = None

    def rows(self) -> list[dict[str, Any]]:
        """A row for each step: decisions and counts that are equal, and how far spikes are apart.

        ``moved_mean_ms`` is the mean distance of the spikes of all layers that have a partner within the
        comparison's `within_ms`; ``unmatched`` the share of spikes that have none.
        """
        rows = []
        for dt, c in self.comparisons.items():
            layers = [layer for name, layer in c.layers.items() if name != "input"]
            moved = sum(layer.moved for layer in layers)
            alone = sum(layer.only_a + layer.only_b for layer in layers)
            total = sum(layer.spikes_a + layer.spikes_b for layer in layers)
            # A move by 1 ms costs 2 / within_ms in Victor & Purpura's distance, a spike alone 1.
            moves_ms = (sum(layer.victor_purpura for layer in layers) - alone) * c.within_ms / 2.0
            matched = sum(layer.equal for layer in layers) + moved
            rows.append(
                {
                    "dt_s": dt,
                    "recordings": c.samples,
                    "equal_decisions": c.samples - len(c.decisions),
                    "equal_counts": self.equal_counts[dt],
                    "spikes": sum(layer.spikes_a for layer in layers),
                    "spikes_other": sum(layer.spikes_b for layer in layers),
                    "moved_mean_ms": moves_ms / matched if matched else None,
                    "unmatched": alone / total if total else 0.0,
                }
            )
        return rows

    def to_dict(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        comparisons = {f"{dt:g}": c.to_dict() for dt, c in self.comparisons.items()}
        return {"against": self.title, "rows": self.rows(), "notes": self.notes, "comparisons": comparisons}

    def __repr__(self) -> str:
        steps = ", ".join(
            f"{row['equal_decisions']} of {row['recordings']} decisions equal at {row['dt_s']:g} s"
            for row in self.rows()
        )
        return f"<Verification against {self.title}: {steps}>"


def verify(
    source: Any,
    recordings: Sequence[Recording],
    against: str,
    dt_s: Sequence[float] | None = None,
    *,
    within_ms: float = 5.0,
    progress: Any = None,
) -> Verification:
    """Run a NIR graph in exact time and in another simulator, and compare them.

    Parameters
    ----------
    source : path, nir.NIRGraph or Network
    recordings : sequence of Recording
    against : {"snntorch", "norse"}
    dt_s : sequence of float, optional
        Steps, s; by default the one that the graph was written for.
    within_ms : float
        Spikes of a neuron less than this apart can be the same, ms.
    progress : callable, optional
        Called with the number of recordings that were run at a step.

    Raises
    ------
    NetworkError
        The graph cannot be read, by us or by the other simulator.
    SimulationError
        There are no recordings, or a step cannot be.
    MissingExtraError
        Without nir, PyTorch or the simulator.
    """
    check_choice("against", against, SIMULATORS, SimulationError)
    check_span("within_ms", within_ms, SimulationError)
    if not recordings:
        raise SimulationError("there are no recordings to verify on")
    subject = _Subject(source, against)
    steps = list(dt_s or [subject.dt_s])
    for dt in steps:
        if not (math.isfinite(dt) and 1e-6 <= dt <= 1.0):
            raise SimulationError(f"dt must be a time of 1e-6 to 1 s, got {dt!r}")
    found = Verification(against, notes=subject.notes)  # the graph of each step may add some
    runs = [_run_exact(subject.network, recording) for recording in recordings]
    for dt in sorted(set(steps), reverse=True):
        _compare_at(dt, subject, recordings, runs, found, within_ms, progress)
    return found


class _Subject:
    """A network and its graphs for one simulator."""

    def __init__(self, source: Any, against: str) -> None:
        self.against, self.notes = against, list[str]()
        self._graph: Any = None
        self._nodes: tuple[str, ...] = ()
        self._own_dt: float | None = None
        self._is_ours = True  # the graph, which was written from the network
        if isinstance(source, Network):
            self.network = source
            return
        graph = load_graph(source) if isinstance(source, str) or hasattr(source, "__fspath__") else source
        found = import_network(source)
        self.network, self._nodes = found.network, found.nodes
        self.notes += [*found.notes, *found.losses]
        header = read_header(graph)
        self._is_ours = header is not None
        if header is None:
            foreign = any("snnTorch" in note for note in found.notes[:1]) and against == "snntorch"
            self._own_dt = SNNTORCH_DT_S if foreign else None
        elif header.get("dialect") == against and header.get("dt_ms"):
            self._own_dt = header["dt_ms"] / SECOND_MS
        self._graph = graph if self._own_dt is not None else None

    @property
    def dt_s(self) -> float:
        """The step that the graph was written for, or the simulator's own."""
        return self._own_dt or (DIALECTS[self.against].dt_ms or 1.0) / SECOND_MS

    def graph(self, dt_s: float) -> tuple[Any, tuple[str, ...]]:
        """A graph for a step, to be given away, and the node of each layer."""
        from copy import deepcopy

        is_own = self._graph is not None and self._own_dt is not None and math.isclose(dt_s, self._own_dt)
        if is_own and not self._is_ours:
            return deepcopy(self._graph), self._nodes
        dialect = replace(DIALECTS[self.against], fixed_dt=False)
        graph, losses = write_graph(self.network, dialect, dt_s * SECOND_MS)
        self.notes += [text for text in losses if text not in self.notes]
        if is_own:
            return deepcopy(self._graph), self._nodes
        header = read_header(graph)
        assert header is not None
        if self.against == "snntorch":
            # snnTorch 1.0 knows steps of 1e-4 s alone: counted in its steps, times are the same.
            for node in graph.nodes.values():
                for name in ("tau_mem", "tau_syn"):
                    if hasattr(node, name):
                        setattr(node, name, getattr(node, name) * (SNNTORCH_DT_S / dt_s))
        return graph, tuple(header["populations"])


def _run_exact(network: Network, recording: Recording) -> SpikeRecord:
    tail = TAIL * max(float(layer.tau_s) for layer in network.layers)
    last = float(np.max(to_input(network, recording.events).times, initial=0.0))
    return simulate(network, recording.events, t_stop=last + tail)


def _compare_at(
    dt: float,
    subject: _Subject,
    recordings: Sequence[Recording],
    runs: Sequence[SpikeRecord],
    found: Verification,
    within_ms: float,
    progress: Any,
) -> None:
    """Run all recordings at one step, and add the comparison to what was found."""
    network, dt_ms = subject.network, dt * SECOND_MS
    graph, nodes = subject.graph(dt)
    shape = next(
        tuple(int(n) for n in node.input_type["input"])
        for node in graph.nodes.values()
        if type(node).__name__ == "Input"
    )
    simulator = Simulator(subject.against, graph, dt_ms, nodes)
    found.title = simulator.title
    neurons = {"input": network.input.neurons, **{str(x.name): x.neurons for x in network.layers}}
    sides = [
        Side(name, neurons, network.classes, len(recordings)) for name in ("exact time", simulator.title)
    ]
    comparison = Comparison(sides[0], sides[1], within_ms)
    equal = 0
    for start in range(0, len(runs), BATCH):
        batch = runs[start : start + BATCH]
        steps = math.ceil(max(run.t_end for run in batch) / dt_ms)
        trains = simulator.run([(run.input.times, run.input.neurons) for run in batch], shape, steps)
        for n, (run, some) in enumerate(zip(batch, trains, strict=True), start):
            layers = _layers(network, run, some)
            a = Sample(n, run.__getitem__, run.decision, recordings[n].label, recordings[n].name)
            decision = decide(layers[network.names[-1]].votes(network.settings.decision))
            b = Sample(n, layers.__getitem__, decision, recordings[n].label, recordings[n].name)
            comparison.add(a, b)
            equal += bool(np.array_equal(run.output.counts, layers[network.names[-1]].counts))
            if n == 0:
                found.shown = run, layers
        if progress is not None:
            progress(len(batch))
    found.comparisons[dt], found.equal_counts[dt] = comparison, equal


def _layers(network: Network, run: SpikeRecord, trains: Sequence[Train]) -> dict[str, LayerSpikes]:
    """What the other simulator computed, up to the end of the run in exact time."""
    layers = {"input": run.input}
    for layer, train in zip(network.layers, trains, strict=True):
        kept = train.times <= run.t_end
        times, neurons = train.times[kept], train.neurons[kept]
        order = np.lexsort((neurons, times))
        layers[str(layer.name)] = LayerSpikes(str(layer.name), layer.neurons, times[order], neurons[order])
    return layers
