"""Recurrent sparse networks: speed and spike times against NEST's precise-spike models and Brian2.

The network: leaky integrate-and-fire neurons, four fifths of them excitatory, a fixed number of random
inputs each,
delays of 1.5 ms, exponential synaptic currents; a constant current and a Poisson train of 2 kHz per neuron.
Only
simulating is timed, in CPU seconds of one thread, not building. Given to eventsnn and NEST: the same explicit
Poisson trains (NEST: one `spike_train_injector` per neuron), with the cost of sending and delivering them.
Brian2
draws its own numbers on its 0.1 ms grid (`PoissonInput`), which is cheaper for it. `--nest-input poisson`
lets NEST draw its own, too (`poisson_generator_ps`).

    python benchmarks speed/recurrent --nest --brian2-python VENV/bin/python
    python benchmarks speed/recurrent --neurons 10000 --inputs 100
    python benchmarks speed/recurrent --neurons 10000 --inputs 100 --spread 0.5
    python benchmarks speed/recurrent --seeds 100
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import describe_machine
from scipy.sparse import csr_array, eye_array

import eventsnn as es

PRECISE = ("iaf_psc_exp_ps", "iaf_psc_exp_ps_lossless")


@dataclass(frozen=True)
class Setting:
    """A network; times in ms, potentials in the unit of weights."""

    neurons: int = 2000
    inputs: int = 200
    weight: float = 0.4
    inhibition: float = 6.0
    input_weight: float = 0.8
    input_rate_khz: float = 2.0
    resting: float = 13.5
    threshold: float = 20.0
    tau_m: float = 20.0
    tau_s: float = 2.0
    refractory: float = 2.0
    delay: float = 1.5
    spread: float = 0.0
    """Every synapse has a delay of its own, up to so much shorter or longer; 0: all have the same."""


def draw_weights(s: Setting, seed: int) -> csr_array:
    """Recurrent weights (post, pre): every neuron has the same number of inputs, four fifths excitatory."""
    rng = np.random.default_rng([seed, 0])
    excitatory, n = s.neurons * 4 // 5, s.inputs * 4 // 5
    rows = []
    for _ in range(s.neurons):
        up = rng.choice(excitatory, n, replace=False)
        down = excitatory + rng.choice(s.neurons - excitatory, s.inputs - n, replace=False)
        rows.append(np.concatenate([up, down]))
    pre = np.concatenate(rows)
    values = np.where(pre < excitatory, s.weight, -s.inhibition * s.weight)
    indptr = np.arange(s.neurons + 1) * s.inputs
    return csr_array((values, pre, indptr), shape=(s.neurons, s.neurons))


def make_network(s: Setting, seed: int) -> es.Network:
    """The network for eventsnn."""
    of_neurons = ("threshold", "tau_m", "tau_s", "refractory", "resting")
    layer = es.Dense(s.neurons, name="neurons", **{field: getattr(s, field) for field in of_neurons})
    limits = (s.delay - s.spread, s.delay + s.spread) if s.spread else None
    loop = es.Connection("neurons", "neurons", delay=s.delay, name="recurrent", initial_delays=limits)
    feed = s.input_weight * eye_array(s.neurons, format="csr")
    weights = {"neurons": feed, "recurrent": draw_weights(s, seed)}
    return es.Network(es.Input(s.neurons), layer, connections=[loop], weights=weights)


def draw_trains(s: Setting, duration: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Poisson trains: times (ms) and neurons, sorted. They begin at 1 ms: NEST takes none at 0."""
    rng = np.random.default_rng([seed, 1])
    n = rng.poisson(s.neurons * s.input_rate_khz * (duration - 1.0))
    times, neurons = rng.uniform(1.0, duration, n), rng.integers(0, s.neurons, n)
    order = np.lexsort((neurons, times))
    return times[order], neurons[order]


def run_ours(s: Setting, duration: float, seed: int) -> tuple[dict[str, float], es.SpikeRecord]:
    """CPU seconds of eventsnn: the kernel, and the whole call with its preparations."""
    from eventsnn.simulate.engines import windows

    network, trains = make_network(s, seed), draw_trains(s, duration, seed)
    seconds = {"kernel": 0.0}

    def timed(*arguments: Any) -> bool:
        begin = time.process_time()
        done = kernel(*arguments)
        seconds["kernel"] += time.process_time() - begin
        return done

    kernel, windows.run_windows = windows.run_windows, timed
    try:
        begin = time.process_time()
        record = es.simulate(network, trains, t_stop=duration)
        seconds["simulate"] = time.process_time() - begin
    finally:
        windows.run_windows = kernel
    return seconds, record


def build_nest(
    s: Setting, model: str, h: float, duration: float, seed: int, source: str, record: bool
) -> Any:
    """Set NEST up: with C_m = tau_s pF a weight of w pA is our weight w; I_e gives the resting potential."""
    import nest

    nest.set_verbosity("M_ERROR")
    nest.ResetKernel()
    nest.set(resolution=h, local_num_threads=1, rng_seed=seed + 1, print_time=False)
    parameters = {
        "C_m": s.tau_s,
        "tau_m": s.tau_m,
        "tau_syn_ex": s.tau_s,
        "tau_syn_in": s.tau_s,
        "E_L": 0.0,
        "V_reset": 0.0,
        "V_m": 0.0,
        "V_th": s.threshold,
        "t_ref": s.refractory,
        "I_e": s.resting * s.tau_s / s.tau_m,
    }
    neurons = nest.Create(model, s.neurons, params=parameters)
    weights = draw_weights(s, seed).tocoo()
    first = neurons[0].global_id
    post, pre = weights.coords
    delays = np.full(weights.nnz, s.delay)
    nest.Connect(
        pre + first,
        post + first,
        "one_to_one",
        {"synapse_model": "static_synapse", "weight": weights.data, "delay": delays},
    )
    if source == "poisson":
        generators = nest.Create(
            "poisson_generator_ps", s.neurons, params={"rate": 1000.0 * s.input_rate_khz}
        )
    else:
        times, targets = draw_trains(s, duration, seed)
        order = np.argsort(targets, kind="stable")
        # Arrivals are delayed by one step, the least there is: the trains are sent that much earlier.
        parts = np.split(times[order] - h, np.cumsum(np.bincount(targets, minlength=s.neurons))[:-1])
        generators = nest.Create("spike_train_injector", s.neurons, params={"precise_times": True})
        generators.set([{"spike_times": part} for part in parts])
    nest.Connect(generators, neurons, "one_to_one", {"weight": s.input_weight, "delay": h})
    recorder = nest.Create("spike_recorder")
    if record:
        nest.Connect(neurons, recorder, "all_to_all", {"delay": h})
    return recorder, first, neurons


def run_nest(s: Setting, model: str, h: float, duration: float, seed: int, source: str) -> dict[str, Any]:
    """CPU seconds of NEST, or the error that it stopped with."""
    import nest

    recorder, _, _ = build_nest(s, model, h, duration, seed, source, record=True)
    nest.Prepare()
    begin = time.process_time()
    try:
        nest.Run(duration)
    except Exception as error:
        return {"error": str(error)[:200]}
    seconds = time.process_time() - begin
    nest.Cleanup()
    return {"seconds": seconds, "spikes": int(recorder.n_events)}


def nest_spikes(s: Setting, h: float, duration: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(times, neurons) of NEST's precise model for the trains that eventsnn gets."""
    import nest

    recorder, first, _ = build_nest(s, PRECISE[0], h, duration, seed, "trains", record=True)
    nest.Simulate(duration)
    events = recorder.get("events")
    order = np.lexsort((events["senders"], events["times"]))
    return events["times"][order], events["senders"][order] - first


def compare_spikes(s: Setting, h: float, duration: float, seed: int) -> dict[str, Any]:
    """Spikes of eventsnn and NEST over the first `duration` ms: how many, and how far apart at most."""
    record = run_ours(s, duration, seed)[1].output
    times, neurons = nest_spikes(s, h, duration, seed)
    keep = times <= duration - h
    ours = record.times <= duration - h
    same = np.array_equal(
        np.bincount(neurons[keep], minlength=s.neurons),
        np.bincount(record.neurons[ours], minlength=s.neurons),
    )
    found = {"ms": duration, "spikes": int(ours.sum()), "nest_spikes": int(keep.sum()), "same_counts": same}
    if same:
        a, b = (
            np.lexsort((record.times[ours], record.neurons[ours])),
            np.lexsort((times[keep], neurons[keep])),
        )
        found["largest_difference_ms"] = float(
            np.abs(record.times[ours][a] - times[keep][b]).max(initial=0.0)
        )
    return found


def run_brian2(s: Setting, python: str, duration: float, seed: int) -> dict[str, Any]:
    """Seconds of Brian2's C++ standalone program, in an interpreter of its own."""
    probe = subprocess.run([python, "-c", "import brian2"], capture_output=True, check=False)
    if probe.returncode:
        return {"error": "not installed"}
    with tempfile.TemporaryDirectory() as folder:
        coo = draw_weights(s, seed).tocoo()
        np.savez(Path(folder) / "weights.npz", post=coo.coords[0], pre=coo.coords[1], values=coo.data)
        job = {"setting": asdict(s), "duration": duration, "folder": folder, "seed": seed}
        script = Path(__file__).with_name("recurrent_brian2.py")
        done = subprocess.run(
            [python, str(script), json.dumps(job)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        return {"error": done.stderr[-300:]}
    return json.loads(done.stdout.splitlines()[-1])


def summarise(s: Setting, duration: float, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of several runs, in the units that simulators are compared in."""
    good = [run for run in runs if "seconds" in run]
    if not good:
        return {"error": runs[0]["error"]}
    seconds = [run["seconds"] * 1000.0 / duration for run in good]
    rates = [run["spikes"] * s.inputs / run["seconds"] for run in good]
    return {
        "cpu_s_per_s": statistics.median(seconds),
        "best_cpu_s_per_s": min(seconds),
        "recurrent_events_per_s": statistics.median(rates),
        "best_recurrent_events_per_s": max(rates),
        "rate_hz": statistics.median([1000.0 * r["spikes"] / duration / s.neurons for r in good]),
        "failures": len(runs) - len(good),
    }


def try_seeds(s: Setting, count: int, duration: float) -> dict[str, Any]:
    """Run `count` seeds and count those that end in an error."""
    rates, failures = [], []
    for seed in range(count):
        try:
            record = run_ours(s, duration, seed)[1]
            rates.append(1000.0 * len(record.output) / duration / s.neurons)
        except Exception as error:
            failures.append(f"seed {seed}: {error}")
    return {
        "seeds": count,
        "ms": duration,
        "failures": failures,
        "rates_hz": [min(rates, default=0.0), max(rates, default=0.0)],
    }


def compare(s: Setting, options: argparse.Namespace) -> dict[str, Any]:
    """Time all simulators in turns, so that a busy machine troubles all alike."""
    runs: dict[str, list[dict[str, Any]]] = {}

    def add(name: str, run: dict[str, Any]) -> None:
        runs.setdefault(name, []).append(run)
        print(json.dumps({name: run}), file=sys.stderr, flush=True)

    for seed in range(options.repeats):
        seconds, record = run_ours(s, options.duration, seed)
        for name, value in seconds.items():
            add(f"eventsnn {name}", {"seconds": value, "spikes": len(record.output)})
        if options.nest:
            for model in PRECISE:
                add(
                    f"nest {model} h={options.resolution:g}",
                    run_nest(s, model, options.resolution, options.duration, seed, options.nest_input),
                )
        if options.brian2_python:
            add("brian2 C++ standalone", run_brian2(s, options.brian2_python, options.duration, seed))
    return {name: summarise(s, options.duration, found) for name, found in runs.items()}


def main() -> None:
    """Run what was asked for and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--neurons", type=int, default=2000)
    parser.add_argument("--inputs", type=int, default=200, help="recurrent inputs of each neuron")
    parser.add_argument("--spread", type=float, default=0.0, help="of the delays of single synapses, ms")
    parser.add_argument("--duration", type=float, default=500.0, help="ms")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=0, help="instead: run so many seeds and count failures")
    parser.add_argument("--nest", action="store_true")
    parser.add_argument("--nest-input", choices=["trains", "poisson"], default="trains")
    parser.add_argument("--resolution", type=float, default=0.5, help="NEST's, ms")
    parser.add_argument("--brian2-python", help="an interpreter that has brian2 (it needs an older NumPy)")
    options = parser.parse_args()
    # Half the inputs of the default network: stronger ones keep the neurons at the same rate.
    scale = (200.0 / options.inputs) ** 0.5
    s = Setting(neurons=options.neurons, inputs=options.inputs, weight=0.4 * scale, spread=options.spread)
    if s.spread and (options.nest or options.brian2_python):
        parser.error("--spread is for eventsnn alone")
    result: dict[str, Any] = {"setting": asdict(s), "duration_ms": options.duration}
    if options.seeds:
        result |= try_seeds(s, options.seeds, options.duration)
    else:
        if options.nest and importlib.util.find_spec("nest") is None:
            options.nest, result["nest"] = False, "not installed"
        if options.nest:
            result["equality"] = compare_spikes(s, options.resolution, 50.0, 0)
        result |= compare(s, options)
    print(json.dumps(result | describe_machine()))


if __name__ == "__main__":
    main()
