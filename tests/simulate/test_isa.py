"""Every instruction set of this processor gives the bits of the baseline, in every loop over blocks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eventsnn._ext import block
from eventsnn._util.threads import Pool as Threads
from eventsnn._util.threads import call
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.model import Conv, Dense, Input, Network, Pool
from eventsnn.simulate.engines import queue, sweep
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.train.backward import ExactLearner
from eventsnn.train.learner import run_forward

ROOT = Path(__file__).resolve().parents[2]
REALS = {"float32": np.float32, "float64": np.float64}
OTHERS = [name for name in block.supported() if name != "baseline"]


@pytest.fixture
def select():
    """`block.select`; the former choice is back afterwards."""
    before = block.selected
    yield block.select
    block.select(before)
    assert block.selected == before


def make_network() -> Network:
    """Blocks of 32 that are full, part full, and more than one; refractory neurons; lateral inhibition."""
    network = Network(
        Input(50),
        Dense(75, threshold=3.0, tau_m=30.0, tau_s=6.0),
        Dense(40, threshold=3.0, tau_m=20.0, tau_s=9.0, delay=0.5),
        Dense(4, threshold=3.0, tau_m=20.0, tau_s=5.0, lateral_inhibition=0.5),
    )
    rng = np.random.default_rng(2)
    return network.with_weights(
        {key: rng.normal(0.3, 1.0, shape) for key, shape in network.weight_shapes().items()}
    )


def make_spatial_network() -> Network:
    """Positions that share weights; blocks of 20 and of 8 neurons besides a full one, padding."""
    return Network(
        Input(6, 8, 2),
        Conv(20, 3, stride=(1, 2), padding=1, threshold=0.4),
        Pool(2, stride=1, threshold=0.3, delay=0.25),
        Conv(40, 2, threshold=0.2, dilation=(2, 1)),
        Dense(4, threshold=0.2),
        seed=1,
    )


def make_train(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Train 2 is on a grid, many spikes at a time."""
    rng = np.random.default_rng(seed)
    times, neurons = (
        np.round(rng.uniform(0.0, 100.0, 400), 0 if seed == 2 else 1),
        rng.integers(0, 50, 400).astype(np.int32),
    )
    order = np.lexsort((neurons, times))
    return times[order], neurons[order]


def simulate_bits(engine, dtype: str) -> list[bytes]:
    record = engine.run(make_network(), *make_train(1), dtype=dtype)
    assert all(len(record[name]) > 20 for name in record.layers)
    return [part.tobytes() for name in record.layers for part in (record[name].times, record[name].neurons)]


def learn_bits(network: Network, optimiser: Optimiser, real: type) -> list[bytes]:
    """Gradients of a mini-batch, and everything after three steps of the optimiser."""
    packed = PackedNetwork(network, real)
    states = {name: OptimiserState(optimiser, packed.blocks[name]) for name in network.names}
    samples, bits = [make_train(seed) for seed in range(3)], []
    with Threads(1) as pool:
        for step in range(1, 4):
            run = run_forward(packed, Arrivals.join(samples), pool)
            ExactLearner(packed).accumulate(states, run, np.array([0, 1, 2]), np.ones(3), HM2BP(), pool)
            for state in states.values():
                assert np.count_nonzero(state.gradient) > 50
                bits.append(state.gradient.tobytes())
                decay = np.full(state.row_sum.shape, 0.01, real)
                state.update(1 / 3, decay, 1e-4, step).run(call)
                sums = (state.row_sum, state.row_square, state.gradient_square)
                arrays = (state.weights, *state.moments, *sums)
                bits += [array.tobytes() for array in arrays]
    return bits


def bits_of(workload: str) -> list[bytes]:
    kind, precision = workload.split()
    if kind in ("adam", "sgd"):
        return learn_bits(make_network(), Optimiser(name=kind), REALS[precision])
    if kind == "positions":
        return learn_bits(make_spatial_network(), Optimiser(name="adam"), REALS[precision])
    return simulate_bits({"queue": queue, "sweep": sweep}[kind], precision)


@pytest.mark.skipif(not OTHERS, reason="this processor has the baseline only")
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["queue", "sweep", "adam", "sgd", "positions"])
def test_same_bits(select, kind, precision):
    select("baseline")
    expected = bits_of(f"{kind} {precision}")
    for name in OTHERS:
        select(name)
        assert block.selected == name
        assert bits_of(f"{kind} {precision}") == expected, f"{name} gives other bits than the baseline"


def test_the_widest_is_chosen_by_itself():
    assert block.supported()[0] == "baseline"
    assert set(block.supported()) <= set(block.ISAS)
    assert run_python("print(block.selected)", None).stdout.split() == [block.supported()[-1]]


def test_the_environment_chooses():
    assert run_python("print(block.selected)", "baseline").stdout.split() == ["baseline"]


@pytest.mark.parametrize("name", ["nonsense", "AVX2", ""])
def test_unknown_names_are_refused(select, name):
    before = block.selected
    with pytest.raises(ValueError, match=rf"must be one of baseline.* on this processor, got '{name}'"):
        select(name)
    assert block.selected == before


def test_an_unknown_name_in_the_environment_is_refused():
    done = run_python("", "nonsense")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "eventsnn.errors.SimulationError: environment variable EVENTSNN_ISA: instruction set must be one of"
    )
    assert "got 'nonsense'; unset it" in last


def run_python(code: str, isa: str | None) -> subprocess.CompletedProcess[str]:
    """Run code after importing `block` in a process of its own with EVENTSNN_ISA set or not."""
    environment = {name: value for name, value in os.environ.items() if name != "EVENTSNN_ISA"}
    if isa is not None:
        environment["EVENTSNN_ISA"] = isa
    command = [sys.executable, "-c", f"from eventsnn._ext import block\n{code}"]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
