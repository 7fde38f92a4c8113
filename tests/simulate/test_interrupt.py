"""Ctrl-C during a simulation: noticed soon, and what was simulated until then is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from eventsnn.model import Connection, Dense, Input, Network
from eventsnn.simulate.engines import sweep
from eventsnn.simulate.engines.packed import PackedNetwork
from eventsnn.simulate.engines.queue import Chunks
from eventsnn.simulate.run import simulate
from eventsnn.trace.record import ExitReason, SimulationInterrupted, SpikeRecord

ROOT = Path(__file__).resolve().parents[2]

# In a process of its own: a simulation that would take minutes, stopped after 0.3 s. The timer counts the
# processor's time, so that a busy machine does not disturb it.
BUSY = """
import signal, sys, time
import numpy as np
from eventsnn.trace.record import SimulationInterrupted
from tests.simulate.test_interrupt import busy_network, run_busy
network = busy_network()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
signal.signal(signal.SIGPROF, lambda number, frame: signal.raise_signal(signal.SIGINT))
signal.setitimer(signal.ITIMER_PROF, 0.3)
start = time.process_time()
try:
    run_busy(network, 1e6)
except SimulationInterrupted as stop:
    delay = time.process_time() - start - 0.3
    run = stop.record
    found = {"delay": delay, "t_end": run.t_end, "reason": run.exit_reason.value, "text": str(stop)}
    for name, spikes in run.layers.items():
        found |= {f"{name} times": spikes.times, f"{name} neurons": spikes.neurons}
    np.savez(sys.argv[1], **found)
"""


def busy_network() -> Network:
    """Neurons that excite each other through delays, and go on for ever."""
    rng = np.random.default_rng(4)
    net = Network(
        Input(5),
        Dense(600, threshold=1.0, tau_m=20.0, tau_s=5.0),
        Dense(3, threshold=1.0),
        connections=[Connection("hidden", "hidden", delay=1.0)],
    )
    shapes = net.weight_shapes()
    weights = {key: rng.normal(0.0, 1.0, shape) for key, shape in shapes.items()}
    weights["hidden"] = rng.uniform(5.0, 10.0, shapes["hidden"])
    weights["hidden->hidden"] = rng.normal(0.01, 0.05, shapes["hidden->hidden"])
    return net.with_weights(weights)


def run_busy(net: Network, t_stop: float) -> SpikeRecord:
    """Simulate a few input spikes and what comes of them."""
    return simulate(net, (np.arange(5.0), np.arange(5)), engine="queue", t_stop=t_stop)


# Ctrl-C is looked at between chunks of the kernel, which were seen to take up to 0.08 s.
NOTICED_S = 0.2


def firing_network() -> Network:
    """So many neurons on the verge of firing that looking through them costs more than updating them."""
    weights = 200.0 * np.random.default_rng(4).uniform(1.0, 2.0, (8000, 5))
    layer = Dense(8000, name="hidden", threshold=1.0, tau_m=20.0, tau_s=5.0, refractory=0.0)
    return Network(Input(5), layer, weights={"hidden": weights})


@pytest.mark.parametrize("make", [busy_network, firing_network])
def test_chunks_of_the_kernel_are_short(make):
    packed = PackedNetwork(make(), np.float64)
    state = packed.state()
    chunks = Chunks(state, packed.flat)
    took = []
    for _ in range(8):
        start = time.thread_time()
        done = chunks.advance(np.arange(5.0), np.arange(5, dtype=np.int32), 1e6)
        took.append(time.thread_time() - start)
        assert not done
    assert len(state.spikes(0)[0]) > 100
    # The median: a page fault or a frequency step is not the kernel's doing.
    assert np.median(took) < NOTICED_S


def test_ctrl_c_is_noticed_soon_and_keeps_the_spikes_so_far(tmp_path):
    path = tmp_path / "stopped.npz"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", BUSY, str(path)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(path) as stopped:
        assert float(stopped["delay"]) < NOTICED_S
        t_end = float(stopped["t_end"])
        assert str(stopped["reason"]) == "interrupted"
        assert str(stopped["text"]) == f"simulation stopped by the user; complete up to {t_end:.6g} ms"
        whole = run_busy(busy_network(), t_end + 1.0)
        assert len(stopped["hidden times"]) > 100
        for name in whole.layers:
            times, neurons = stopped[f"{name} times"], stopped[f"{name} neurons"]
            n = len(times)
            assert np.array_equal(times, whole[name].times[:n])
            assert np.array_equal(neurons, whole[name].neurons[:n])
            assert (whole[name].times[n:] >= t_end).all(), "spikes before t_end are missing"


def test_the_sweep_engine_keeps_the_layers_it_has_finished(monkeypatch):
    net = Network(Input(5), Dense(40, threshold=0.5), Dense(3, threshold=0.5), seed=1)
    events = (np.arange(20.0), np.arange(20) % 5)
    whole = simulate(net, events, engine="sweep")
    assert min(len(whole[name]) for name in whole.layers) > 0
    sweep_all = sweep.sweep_all

    def stopped(packed, number, *arguments, **more):
        if number == 1:
            raise KeyboardInterrupt
        return sweep_all(packed, number, *arguments, **more)

    monkeypatch.setattr(sweep, "sweep_all", stopped)
    with pytest.raises(SimulationInterrupted) as caught:
        simulate(net, events, engine="sweep")
    record = caught.value.record
    assert isinstance(caught.value, KeyboardInterrupt)
    assert (record.exit_reason, record.t_end) == (ExitReason.INTERRUPTED, 0.0)
    assert np.array_equal(record["hidden"].times, whole["hidden"].times)
    assert len(record["output"]) == 0
