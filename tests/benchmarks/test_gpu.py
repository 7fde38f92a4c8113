"""The benchmark of graphics cards, without one: it runs through, and its hand-written rival is right."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from tests.gpu.emulation import needs_emulation

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="benchmarks/ is not part of an installation")


@pytest.fixture
def modules(monkeypatch):
    """Import from benchmarks/, which is a folder of scripts."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def recordings(tmp_path):
    """Four tiny recordings of two classes, and the same in one file."""
    rng = np.random.default_rng(1)
    for label in (0, 1):
        folder = tmp_path / "recordings" / "Train" / str(label)
        folder.mkdir(parents=True)
        for number in range(2):
            x, y = rng.integers(0, 34, (2, 120))
            t = np.sort(rng.integers(0, 60_000, 120))
            stream = es.EventStream.from_arrays(t, x, y, rng.integers(0, 2, 120), sensor_size=(34, 34, 2))
            es.write(folder / f"{label}{number:04}.bin", stream)
    es.data.pack(es.data.NMNIST(tmp_path / "recordings", split="Train"), tmp_path / "set.esp")
    return tmp_path


@needs_emulation
def test_the_runs_for_sanitizers_go_through_in_emulation():
    command = [sys.executable, str(FOLDER), "speed/gpu_check", "--emulate"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "results are those of the CPU\n"


@needs_emulation
def test_the_benchmark_runs_through_in_emulation(recordings):
    out = recordings / "gpu.json"
    arguments = ["--emulate", "--data", str(recordings / "recordings"), "--out", str(out)]
    arguments += ["--packed", str(recordings / "set.esp"), "--hidden", "8"]
    done = subprocess.run(
        [sys.executable, str(FOLDER), "speed/gpu", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert json.loads(out.read_text())["rows"] == result["rows"]
    facts = result["facts"]
    assert facts["check"]["right"]
    assert facts["check"]["float64_times_apart_ms"] <= 1e-9
    assert 0.0 <= facts["N-MNIST-1k"]["best_accuracy"] <= 1.0
    assert facts["simulated recordings"]["recordings"] == 4
    found = {(row["contender"], row["what"], row["batch"]) for row in result["rows"]}
    kinds = "inference", "training", "training, exact gradients", "training, convolutions"
    ours = {("eventsnn, float32", what, batch) for what in kinds for batch in (2, 4)}
    assert found >= ours | {("eventsnn, float64", "inference", batch) for batch in (2, 4)}
    assert all(row["min"] > 0 for row in result["rows"])
    # Whoever is not installed is a line; whoever is has run, with an accuracy.
    missing = {each["contender"] for each in result["missing"]}
    assert {each["status"] for each in result["missing"]} <= {"not installed"}, result["missing"]
    rivals = {row["contender"] for row in result["rows"]} - {"eventsnn, float32", "eventsnn, float64"}
    assert len(rivals | missing) == 6
    assert all(0 <= row["accuracy"] <= 1 for row in result["rows"] if row["contender"] in rivals)
    assert "| eventsnn, float32 |" in done.stderr


def test_nothing_is_begun_after_the_limit(modules):
    gpu, jobs = modules("speed.gpu"), modules("speed.rivals.jobs")
    given = gpu.read_options(["--emulate", "--limit", "60", "--data", "nowhere"])
    bench = gpu.Bench(given, jobs.Job("nowhere"), time.monotonic() - 1.0)
    gpu.run_ours(bench)
    gpu.run_rivals(bench, gpu.LIBRARY_FORMS, None)
    assert not bench.rows
    assert {each["status"] for each in bench.missing} == {"no time"}
    assert len(bench.missing) == 7


def test_a_contender_that_hangs_is_ended(modules, tmp_path, monkeypatch):
    workers = modules("speed.rivals.workers")
    (tmp_path / "slow.py").write_text(
        "import time\nclass Slow:\n    batches = {}\n    def setup(self, job): time.sleep(60)\n"
        "CONTENDERS = {'slow': Slow}\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(es.__file__).parents[1]}")
    start = time.monotonic()
    with (
        workers.Worker("slow", "slow") as worker,
        pytest.raises(RuntimeError, match="slow: the process ended with status -9"),
    ):
        worker.ask("setup", limit=5.0, data="nowhere")
    assert time.monotonic() - start < 30


def test_a_contender_that_ends_leaves_the_others_their_turn(modules, tmp_path, monkeypatch):
    workers = modules("speed.rivals.workers")
    (tmp_path / "dying.py").write_text(
        "import os\nclass Dying:\n    def setup(self, job): os._exit(3)\nCONTENDERS = {'dying': Dying}\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(es.__file__).parents[1]}")
    with workers.Worker("dying", "dying") as worker:
        for _ in range(2):  # the second request finds nobody who reads
            with pytest.raises(RuntimeError, match="dying: the process ended with status 3"):
                worker.ask("setup", data="nowhere")


def test_a_set_that_cannot_be_made_is_a_line(modules, tmp_path, monkeypatch):
    gpu, jobs = modules("speed.gpu"), modules("speed.rivals.jobs")
    monkeypatch.delenv("EVENTSNN_DATA", raising=False)
    bench = gpu.Bench(gpu.read_options(["--emulate"]), jobs.Job("nowhere"), time.monotonic() + 1000.0)
    gpu.train_set(bench, tmp_path)
    assert [each["contender"] for each in bench.missing] == ["simulated recordings"]
    assert "set EVENTSNN_DATA" in bench.missing[0]["reason"]


def test_gradients_of_the_fused_rival_agree_with_autograd(modules):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[bench]'")
    fused, event = modules("speed.rivals.gpu_fused"), modules("speed.rivals.event_torch")
    libraries = modules("speed.rivals.gpu_libraries")
    rng = np.random.default_rng(2)
    bins, n_inputs, size = 60, 30, 3
    events = [
        (np.sort(rng.integers(0, bins, 400)).astype(np.int32), rng.integers(0, n_inputs, 400))
        for _ in range(size)
    ]
    weights = [rng.uniform(-1, 1, (20, n_inputs)) / 40, rng.uniform(-1, 1, (4, 20)) / 40]
    labels = torch.tensor([0, 1, 3])
    x = libraries.dense(events, bins, n_inputs, "cpu", torch.float32)
    assert float(x.sum()) == 400 * size
    net = fused.Fused(weights, 64.0, 8.0, 1e-3, "cpu", torch.float32)
    # The other rival's model has the opposite sign, and weights not yet divided by tau_s and the threshold.
    reference = event.EventTorch([8.0 * w for w in weights], [1.0, 1.0])
    loss = event.loss_by_autograd(reference, x, labels)
    loss.backward()
    assert float(net.gradients(x, labels)) == pytest.approx(float(loss.detach()), rel=1e-5)
    for ours, theirs in ((net.w1, reference.w1), (net.w2, reference.w2)):
        assert float(theirs.grad.norm()) > 0
        scale = float(theirs.grad.abs().max())
        assert torch.allclose(ours.grad, -theirs.grad, rtol=1e-3, atol=1e-5 * scale)
    before = net.w1.detach().clone()
    net.train_step(x, labels)
    assert not torch.equal(net.w1, before)


def test_kernels_of_the_fused_rival_do_what_pytorch_does():
    pytest.importorskip("triton", reason="triton is not installed")
    program = f"""
import sys
sys.path.insert(0, {str(FOLDER)!r})
import torch
from speed.rivals.gpu_fused import TorchLoops
from speed.rivals.gpu_triton import TritonLoops
torch.manual_seed(1)
x = torch.rand(30, 300) * 0.5 - 0.1
want = TorchLoops.forward(x, 0.98, 0.88, True)
got = TritonLoops.forward(x, 0.98, 0.88, True)
assert all(torch.equal(a, b) for a, b in zip(want, got))
assert 100 < want[0].sum() < 8000
for error in (torch.randn(30, 300), torch.randn(300)):
    pair = [each.backward(error, want[1], 0.98, 0.88) for each in (TorchLoops, TritonLoops)]
    assert torch.allclose(*pair, rtol=1e-6)
"""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr


def test_rates_are_those_of_enough_mini_batches(modules, monkeypatch):
    timing = modules("speed.rivals.gpu_timing")
    clock = [0.0]

    class Clock:
        @staticmethod
        def perf_counter():
            return clock[0]

    def do():
        clock[0] += 0.002

    monkeypatch.setattr(timing, "time", Clock)
    found = timing.measure(do, 10, 0.3, lambda: None)
    assert found["rates"] == pytest.approx([5000.0] * timing.REPEATS)
    assert found["steps"] == timing.REPEATS * 25
    assert timing.measure(do, 10, 0.0, lambda: None)["steps"] == 1
