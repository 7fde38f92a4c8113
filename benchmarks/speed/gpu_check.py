"""NVIDIA's compute-sanitizer over small runs of every kernel on a card: memory, races, barriers, unset data.

    python benchmarks speed/gpu_check                      all tools, some minutes
    python benchmarks speed/gpu_check --tools memcheck     one
    python benchmarks speed/gpu_check --plain              no tool: results alone
    python benchmarks speed/gpu_check --emulate            the same runs on the CPU: do they work

The runs compare what a card computes with the CPU: networks of all kinds, in float32 and float64, with more
blocks and samples than fit a multiprocessor at once, and training. A tool is a process of its own; one that
finds something, or results that differ, make the exit status 1. Install compute-sanitizer with CUDA or by
``pip install nvidia-cuda-sanitizer-api``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import eventsnn as es

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
FOUND = 9
"""Exit status of a tool that found something."""
RUN = "--run"
SENSOR = (8, 8, 2)
NEURON = {"tau_m": 20.0, "tau_s": 5.0}


def networks() -> dict[str, es.Network]:
    """Small networks that need every kernel between them."""
    output = es.Dense(3, threshold=0.8, lateral_inhibition=0.4, **NEURON)
    wide = es.Dense(150, threshold=1.0, refractory=0.5, **NEURON)
    plain = es.Dense(3, threshold=0.8, **NEURON)
    return {
        "dense": es.Network(es.Input(*SENSOR), wide, es.Dense(40, delay=1.5, **NEURON), output, seed=1),
        "biases": es.Network(es.Input(*SENSOR, bias_interval=7.0), wide, plain, seed=2),
        "spatial": es.Network(
            es.Input(*SENSOR),
            es.Conv(5, 3, padding=1, threshold=1.5, **NEURON),
            es.Pool(2, threshold=0.8, **NEURON),
            plain,
            seed=3,
        ),
        "dropout": es.Network(
            es.Input(*SENSOR, dropout=0.1),
            es.Conv(5, 3, padding=1, threshold=1.5, dropout=0.2, **NEURON),
            es.Dense(40, threshold=1.0, dropout=0.2, **NEURON),
            plain,
            seed=4,
        ),
    }


def recordings(count: int = 80, seed: int = 1) -> es.data.ListDataset:
    """Recordings with simultaneous events, and an empty one."""
    rng = np.random.default_rng(seed)
    streams = []
    for k in range(count):
        n = 0 if k == 3 else int(rng.integers(100, 700))
        x, y, p = (rng.integers(0, size, n) for size in (8, 8, 2))
        streams.append(
            es.EventStream.from_arrays(np.sort(rng.integers(0, 60_000, n)), x, y, p, sensor_size=(8, 8, 2))
        )
    return es.data.ListDataset(streams, np.arange(count) % 3)


def faults(few: bool) -> Iterator[str]:
    """What is computed otherwise than on the CPU."""
    data = recordings(6 if few else 80)
    for name, network in networks().items():
        for dtype in ("float64", "float32"):
            counts = [
                es.evaluate(network, data, engine=engine, dtype=dtype).predictions.counts
                for engine in ("sweep", "gpu")
            ]
            # Layers with many positions have other roundings on a card.
            same = dtype == "float64" or all(layer.geometry.whole for layer in network.layers)
            if same and not np.array_equal(*counts):
                apart = int((counts[0] != counts[1]).sum())
                yield f"{name}, {dtype}: {apart} of {counts[0].size} counts differ"
            for rule in [es.HM2BP()] if network.output.lateral_inhibition else [es.HM2BP(), es.EventProp()]:
                weights = [learn(network, data, dtype, rule, device) for device in ("cpu", "cuda")]
                for layer, own in weights[0].items():
                    far = float(np.abs(own - weights[1][layer]).max() / np.abs(own).max())
                    if not far < (1e-9 if dtype == "float64" else 1e-2):
                        yield f"{name}, {dtype}, {rule.name}: weights of {layer} are {far:.1e} apart"


def learn(
    network: es.Network, data: es.data.ListDataset, dtype: str, rule: Any, device: str
) -> dict[str, np.ndarray]:
    """Weights after two epochs."""
    fit = es.train(
        network,
        data,
        batch_size=40,
        epochs=2,
        rule=rule,
        dtype=dtype,
        device=device,
        valid_fraction=0.0,
        augmentation=es.Augmentation(shift=1, drop=0.1, jitter=500.0),
    )
    return dict(fit.network.weights)


def run(few: bool) -> int:
    """The runs themselves, in the process that a tool watches; returns the exit status."""
    if os.environ.get("EVENTSNN_GPU") != "emulate":
        import cupy

        cupy.cuda.set_allocator(None)  # every array by itself, so that memcheck sees what is outside
    found = list(faults(few))
    print("\n".join(found) or "results are those of the CPU")
    return int(bool(found))


def find_sanitizer() -> str | None:
    """Where compute-sanitizer is."""
    site = Path(sysconfig.get_paths()["purelib"]) / "nvidia"
    places = [*site.glob("*/bin"), *Path("/usr/local").glob("cuda*/bin")]
    return shutil.which(
        "compute-sanitizer", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, places)])
    )


def check(tool: str, sanitizer: str, limit: float) -> str:
    """The outcome of one tool; "" if it found nothing."""
    command = [sanitizer, "--tool", tool, "--error-exitcode", str(FOUND), "--print-limit", "20"]
    if tool == "memcheck":
        command += ["--leak-check", "no"]
    command += [sys.executable, str(Path(__file__).resolve().parents[1]), "speed/gpu_check", RUN]
    try:
        status = subprocess.run(command, timeout=limit, check=False).returncode
    except subprocess.TimeoutExpired:
        return f"not done after {limit:.0f} s"
    return {0: "", FOUND: "it found what is printed above"}.get(
        status, f"the runs ended with status {status}"
    )


def read_options(arguments: Sequence[str] | None) -> Namespace:
    """The options."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=TOOLS)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for a tool")
    parser.add_argument("--plain", action="store_true", help="no tool")
    parser.add_argument("--emulate", action="store_true", help="no tool, and no card")
    parser.add_argument(RUN, action="store_true", help="the runs, for a tool to watch")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tools one after another; the exit status is 1 if one is not content."""
    given = read_options(arguments)
    if given.emulate:
        os.environ["EVENTSNN_GPU"] = "emulate"
    if given.run or given.plain or given.emulate:
        sys.exit(run(few=given.emulate))
    sanitizer = find_sanitizer()
    if sanitizer is None:
        sys.exit("compute-sanitizer is not there: pip install nvidia-cuda-sanitizer-api")
    outcomes = {}
    for tool in given.tools:
        print(f"== {tool}", flush=True)
        outcomes[tool] = check(tool, sanitizer, given.limit)
    print("\n".join(f"{tool}: {outcome or 'nothing found'}" for tool, outcome in outcomes.items()))
    sys.exit(int(any(outcomes.values())))


if __name__ == "__main__":
    main()
