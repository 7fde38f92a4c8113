"""Smoke test of an installed eventsnn: every public name, one simulation, no file that does not belong.

Usage: python smoke.py SOURCE, where SOURCE is the folder that must not be what is imported.
"""

import sys
from importlib.metadata import files
from pathlib import Path

import numpy as np

import eventsnn as es

home = Path(es.__file__).resolve()
assert not home.is_relative_to(Path(sys.argv[1]).resolve()), f"imported from the source: {home}"

for name in es.__all__:
    getattr(es, name)

installed = [str(path) for path in files("eventsnn") or []]
# The kernels of graphics cards are compiled where they are used; no other source has a place in a wheel.
KERNELS = "eventsnn/gpu/kernels/"
sources = [path for path in installed if path.endswith((".pyx", ".pxd", ".c", ".h"))]
assert all(path.startswith(KERNELS) for path in sources), f"sources in the wheel: {sources}"
assert not [path for path in installed if path.startswith(("tests", "cython_ext", "benchmarks"))]
for wanted in (
    "eventsnn/py.typed",
    "eventsnn/cli/demo.toml",
    "eventsnn/_ext/engine_queue.pyi",
    KERNELS + "forward.h",
    KERNELS + "shared/lif.h",
):
    assert wanted in installed, f"{wanted} is missing from the wheel"

# One input spike through a synapse so strong that its potential alone exceeds the threshold.
network = es.Network(
    es.Input(1), es.Dense(1, name="output", threshold=1.0), weights={"output": np.array([[20.0]])}
)
run = es.simulate(network, (np.array([0.0]), np.array([0])))
assert run.decision == 0, run
assert len(run.output) >= 1, run
print(f"smoke test passed: {len(es.__all__)} public names, {len(installed)} files, one neuron fired")
