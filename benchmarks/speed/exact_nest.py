"""Exact simulation, recording by recording: 2312-800-10 in double precision against NEST's precise neuron.

NEST: `iaf_psc_exp_ps_lossless`, resolution 1 ms, one spike generator per input, 330 ms per recording;
setting the generators' times and making the connections is not counted. Ours: `eventsnn.simulate`,
everything it does. Seconds of processor time, the same core, taking turns. Delays of NEST (1 ms per layer)
are taken off its spike times.
"""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

import numpy as np
from common import comparison, emit, find_nmnist, missing_row, options, row, stopwatch, use_cores

import eventsnn as es
from speed.rivals.jobs import Job
from speed.rivals.workers import Missing, Worker

DURATION = 330.0  # ms simulated by NEST per recording
DELAY = SHIFT = 1.0  # ms; NEST's least delay is its resolution, and inputs must not come before it
BAR = 150.0
OURS, NEST = "eventsnn, float64", "NEST iaf_psc_exp_ps_lossless"


class Ours:
    """eventsnn.simulate, float64."""

    batches: ClassVar[dict[str, list[int]]] = {}

    def setup(self, job: Job) -> dict[str, Any]:
        self.network, self.data = job.network(), job.recordings()
        return {}

    def run(self, index: int) -> dict[str, Any]:
        stream = self.data.stream(index)
        with stopwatch() as took:
            run = es.simulate(self.network, stream)
        spikes = {
            name: [run[name].neurons.tolist(), run[name].times.tolist()] for name in ("hidden", "output")
        }
        return {"cpu": took[0].cpu, "wall": took[0].wall, "events": len(stream), "spikes": spikes}


class NestPrecise:
    """The same network in NEST."""

    batches: ClassVar[dict[str, list[int]]] = {}

    def setup(self, job: Job) -> dict[str, Any]:
        self.nest = nest = importlib.import_module("nest")
        nest.set_verbosity("M_ERROR")
        nest.ResetKernel()
        nest.resolution, nest.local_num_threads = DELAY, 1
        self.data, network = job.recordings(), job.network()
        # C_m dV/dt = -C_m V / tau_m + I: with C_m = tau_s the equations are ours.
        neuron = {"C_m": job.tau_s, "tau_m": job.tau_m, "tau_syn_ex": job.tau_s, "tau_syn_in": job.tau_s}
        neuron |= {"E_L": 0.0, "V_m": 0.0, "V_reset": 0.0, "I_e": 0.0, "t_ref": 2.0}
        self.inputs = nest.Create("spike_generator", network.input.neurons, {"precise_times": True})
        self.layers, self.recorders, source = [], [], self.inputs
        for name, threshold in zip(network.names, job.thresholds, strict=True):
            layer = nest.Create(
                "iaf_psc_exp_ps_lossless", network[name].neurons, {**neuron, "V_th": threshold}
            )
            weights = np.asarray(network.weights[name], np.float64)
            nest.Connect(source, layer, "all_to_all", {"weight": weights, "delay": DELAY})
            self.recorders.append(nest.Create("spike_recorder"))
            nest.Connect(layer, self.recorders[-1])
            self.layers.append(layer)
            source = layer
        return {}

    def run(self, index: int) -> dict[str, Any]:
        nest, start = self.nest, self.nest.biological_time
        stream = self.data.stream(index)
        width, height, _ = stream.sensor_size
        events = stream.events
        address = (events["p"].astype(np.int64) * height + events["y"]) * width + events["x"]
        times = events["t"] / 1000.0 + SHIFT + start
        order = np.argsort(address, kind="stable")
        parts = np.split(times[order], np.searchsorted(address[order], np.arange(1, len(self.inputs))))
        self.inputs.set([{"spike_times": part} for part in parts])
        for recorder in self.recorders:
            recorder.n_events = 0
        with stopwatch() as took:
            nest.Simulate(DURATION)
        spikes = {}
        for depth, name in enumerate(("hidden", "output")):
            found = self.recorders[depth].events
            first = self.layers[depth][0].global_id
            later = start + SHIFT + (depth + 1) * DELAY
            spikes[name] = [(found["senders"] - first).tolist(), (found["times"] - later).tolist()]
        self._silence()
        return {"cpu": took[0].cpu, "wall": took[0].wall, "events": len(stream), "spikes": spikes}

    def _silence(self) -> None:
        """Bring every neuron back to rest; what is on its way arrives first."""
        for _ in range(2):
            for layer in self.layers:
                layer.set(V_m=0.0, I_syn_ex=0.0, I_syn_in=0.0)
            self.nest.Simulate(5.0)


CONTENDERS = {OURS: Ours, NEST: NestPrecise}


def differences(ours: Any, theirs: Any, t_end: float) -> dict[str, float]:
    """Spikes before `t_end` (ms): largest difference in time, neurons with different numbers of spikes."""
    compared, largest, unequal = 0, 0.0, 0
    trains = []
    for neurons, times in (ours, theirs):
        neurons, times = np.asarray(neurons, int), np.asarray(times, float)
        keep = times < t_end
        trains.append((neurons[keep], times[keep]))
    for neuron in np.unique(np.concatenate([trains[0][0], trains[1][0]])):
        a, b = (np.sort(times[neurons == neuron]) for neurons, times in trains)
        if len(a) != len(b):
            unequal += 1
        elif len(a):
            compared += len(a)
            largest = max(largest, float(np.abs(a - b).max()))
    return {"spikes": compared, "largest_ms": largest, "unequal_neurons": unequal}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    given = options(__doc__, arguments)
    use_cores(1)
    job = Job(str(find_nmnist()), samples=2 if given.quick else 10)
    milliseconds: dict[str, list[float]] = {OURS: [], NEST: []}
    notes, missing, compared = [], [], []
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(name, "speed.exact_nest")) for name in (OURS, NEST)}
        for name in list(workers):
            try:
                workers[name].ask("setup", **job.to_dict())
            except (Missing, RuntimeError) as reason:
                missing.append(missing_row(name, str(reason)))
                del workers[name]
        for index in range(job.samples):
            answers: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
            for _ in range(given.repeats):
                for name, worker in workers.items():
                    answers[name].append(worker.ask("run", index=index))
            for name, found in answers.items():
                milliseconds[name].append(1e3 * statistics.median(a["cpu"] for a in found))
            if NEST in answers:
                both = [answers[name][0]["spikes"] for name in (OURS, NEST)]
                compared.append(
                    {layer: differences(both[0][layer], both[1][layer], DURATION - 5.0) for layer in both[0]}
                )
    unit = "ms of processor time per recording"
    rows = [row(name, "one recording, exact", unit, milliseconds[name]) for name in workers]
    found = []
    if NEST in workers:
        found.append(comparison("exact: NEST / eventsnn", rows[1]["median"] / rows[0]["median"], BAR))
        for layer in ("hidden", "output"):
            total = {k: sum(c[layer][k] for c in compared) for k in ("spikes", "unequal_neurons")}
            largest = max(c[layer]["largest_ms"] for c in compared)
            notes.append(
                f"{layer}: {total['spikes']} spikes of both, largest difference {largest:.2g} ms; "
                f"{total['unequal_neurons']} neurons with another number of spikes"
            )
    emit("exact_nest", rows=rows, missing=missing, comparisons=found, notes=notes)


if __name__ == "__main__":
    main()
