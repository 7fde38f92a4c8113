"""Commands as several processes under a launcher: they give what one process does, byte for byte."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

import eventsnn as es
from eventsnn.simulate.engines.leading import WORTH
from tests.cli.conftest import write_recordings
from tests.cli.test_synth import write_idx
from tests.ranks import launch, needs_mpi, start

SENSOR = ("--sensor", "6x5x2")
CLOCKS = ("seconds", "out", "model", "data", "trace", "predictions")
pytestmark = needs_mpi


def run(n: int, *arguments: object) -> str:
    code, out, err = launch(n, "-m", "eventsnn", *arguments)
    assert code == 0, err
    return out


def timeless(text: str) -> dict[str, object]:
    return {key: value for key, value in json.loads(text).items() if key not in CLOCKS}


def test_pack(tmp_path: Path) -> None:
    folder = write_recordings(tmp_path / "folder", 5)
    results = [
        run(n, "pack", folder, tmp_path / f"{n}.esp", *SENSOR, "--json", "--bad-files", "skip")
        for n in (1, 3)
    ]
    assert timeless(results[1]) == timeless(results[0])
    assert (tmp_path / "3.esp").read_bytes() == (tmp_path / "1.esp").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.esp", "3.esp", "folder"]


def test_encode(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", np.random.default_rng(0).integers(0, 256, (9, 4, 4)))
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.arange(9) % 3)
    for n in (1, 2):
        run(n, "encode", tmp_path, tmp_path / f"{n}.esp")
    assert (tmp_path / "2.esp").read_bytes() == (tmp_path / "1.esp").read_bytes()


def test_synth(tmp_path: Path) -> None:
    for n in (1, 2):
        run(n, "synth", tmp_path / str(n), "--images", "digits", "--limit", 3)
    one, two = (
        sorted(path.relative_to(tmp_path / n) for path in (tmp_path / n).rglob("*.bin")) for n in "12"
    )
    assert one == two
    assert len(one) == 6
    for path in one:
        assert (tmp_path / "1" / path).read_bytes() == (tmp_path / "2" / path).read_bytes()
    code, _, err = launch(2, "-m", "eventsnn", "synth", tmp_path / "2", "--images", "digits", "--limit", 3)
    assert code == 1
    assert "the folder is not empty" in err


def test_evaluate_and_simulate(recordings: Path, model: Path, tmp_path: Path) -> None:
    (recordings / "0" / "broken.bin").write_bytes(b"abc")
    read = ("--bad-files", "skip", "--json")
    found = []
    for n in (1, 3):
        out = ("--predictions", tmp_path / f"{n}.csv", "--trace", tmp_path / f"{n}.h5")
        found.append(timeless(run(n, "evaluate", model, "--data", recordings, *out, *read)))
    assert found[1] == found[0]
    assert found[0]["skipped"] == 1
    assert (tmp_path / "3.csv").read_bytes() == (tmp_path / "1.csv").read_bytes()
    assert_same_samples(tmp_path / "1.h5", tmp_path / "3.h5")
    files, texts = sorted(recordings.rglob("*.bin")), []
    for n in (1, 2):
        trace = ("--trace", tmp_path / f"s{n}.h5", "--trace-samples", "1,3,4")
        text = run(n, "simulate", model, *files, *trace, *read)
        texts.append([{**each, "seconds": None} for each in json.loads(text)])
    assert texts[1] == texts[0]
    assert_same_samples(tmp_path / "s1.h5", tmp_path / "s2.h5")
    assert not list(tmp_path.glob("*-of-*"))


def assert_same_samples(a: Path, b: Path) -> None:
    with es.Trace(a) as one, es.Trace(b) as two:
        assert len(one) == len(two) > 0
        for x, y in zip(one.samples, two.samples, strict=True):
            assert (x.source, x.label) == (y.source, y.label)
            spikes, others = one.record(x.index).output, two.record(y.index).output
            assert np.array_equal(spikes.times, others.times)
            assert np.array_equal(spikes.neurons, others.neurons)


def test_shards_and_ranks_do_not_go_together(tmp_path: Path) -> None:
    code, _, err = launch(2, "-m", "eventsnn", "pack", tmp_path, tmp_path / "x.esp", "--shard", "1/2")
    assert code == 2
    assert err.count("leave --shard out") == 1


def test_other_commands_are_done_once(model: Path) -> None:
    assert run(2, "info", model, "--json") == run(1, "info", model, "--json")


# -- one recording through a large network ---------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recurrent network that three ranks divide, and a recording that keeps it firing."""
    folder, n, rng = tmp_path_factory.mktemp("large"), 3 * WORTH, np.random.default_rng(4)
    neuron = {"threshold": 1.0, "tau_m": 20.0, "tau_s": 2.0, "refractory": 2.0}
    network = es.Network(
        es.Input(10, 10, 1),
        es.Dense(n, name="n", **neuron),
        es.Dense(3, **neuron),
        connections=[es.Connection("n", "n", delay=1.5, name="loop")],
    )
    loop = random_array((n, n), density=5.0 / n, rng=rng, format="csr")
    loop.data = rng.normal(0.0, 0.5, loop.nnz)
    feed = csr_array((np.full(n, 0.25), (np.arange(n), np.arange(n) % 100)), shape=(n, 100))
    out = csr_array(rng.random((3, n)) * (rng.random((3, n)) < 0.05))
    network.with_weights({"n": feed, "loop": loop, "output": out}).save(folder / "large.h5")
    t, where = np.arange(0, 100_000, 2), rng.integers(0, 100, 50_000)
    es.write(
        folder / "r.npz", es.EventStream.from_arrays(t, where % 10, where // 10, sensor_size=(10, 10, 1))
    )
    return folder / "large.h5", folder / "r.npz"


def simulate_large(n: int, large: tuple[Path, Path], *more: object) -> dict[str, object]:
    found = json.loads(run(n, "simulate", *large, "--json", *more))
    assert found["layers"]["n"]["spikes"] > 1000
    return {**found, "seconds": 0}


@pytest.mark.parametrize("n", [2, 3])
def test_ranks_divide_a_large_network(n: int, large: tuple[Path, Path], tmp_path: Path) -> None:
    """As a whole, with a trace; in parts, with a table of spikes; through a saved state."""
    found = {}
    for ranks in (1, n):
        trace, spikes, state = (tmp_path / f"{ranks}.{kind}" for kind in ("h5", "csv", "npz"))
        whole = simulate_large(ranks, large, "--t-stop", 20, "--trace", trace)
        parts = simulate_large(ranks, large, "--until", 20, "--spikes", spikes, "--save-state", state)
        # Another number of processes goes on.
        rest = ("--until", 25, "--resume-from", state, "--save-state", state)
        simulate_large(n + 1 - ranks, large, *rest, "--spikes", spikes)
        found[ranks] = whole, parts, spikes.read_bytes()
    assert found[1] == found[n]
    assert_same_samples(tmp_path / "1.h5", tmp_path / f"{n}.h5")
    with np.load(tmp_path / "1.npz") as one, np.load(tmp_path / f"{n}.npz") as other:
        assert all(np.array_equal(one[key], other[key]) for key in one.files if key != "head")


def test_ctrl_c_keeps_what_the_ranks_have_simulated(large: tuple[Path, Path], tmp_path: Path) -> None:
    spikes = tmp_path / "s.csv"
    given = ("--t-stop", 1e9, "--save-state", tmp_path / "s.npz", "--save-every", 0, "--spikes", spikes)
    with start(2, "-m", "eventsnn", "simulate", *large, *given) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "s.npz").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "interrupted; " in err
    rest = ("--t-stop", 90, "--spikes")
    simulate_large(1, large, "--resume-from", tmp_path / "s.npz", *rest, spikes)
    simulate_large(1, large, *rest, tmp_path / "whole.csv")
    assert spikes.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_an_error_of_the_first_rank_ends_all(large: tuple[Path, Path], tmp_path: Path) -> None:
    code, out, err = launch(2, "-m", "eventsnn", "simulate", large[0], tmp_path / "none.npz", "--t-stop", 5)
    assert code == 1
    assert out == ""
    assert err.count("none.npz") == 1


def test_a_file_that_another_rank_misses_leaves_nothing_behind(
    recordings: Path, model: Path, tmp_path: Path
) -> None:
    files = [min(recordings.rglob("*.bin")), tmp_path / "none.bin"]
    code, out, err = launch(2, "-m", "eventsnn", "simulate", model, *files, "--trace", tmp_path / "t.h5")
    assert (code, out) == (1, "")
    assert f"eventsnn: error: {files[1]}: no such file" in err
    assert not list(tmp_path.glob("t*"))


def test_a_rank_that_dies_ends_all(large: tuple[Path, Path]) -> None:
    code, out, err = launch(2, "-m", "tests.cli.dying_rank", "simulate", *large, "--t-stop", 90)
    assert code != 0
    assert out == ""
    assert "rank 1 of 2: error: not enough memory" in err


def test_python_calls_of_all_ranks(large: tuple[Path, Path], tmp_path: Path) -> None:
    """Every process makes the same call and is returned the same; the first one writes."""
    code = f"""
import eventsnn as es
network, events = es.Network.load({str(large[0])!r}), es.read({str(large[1])!r})
run = es.simulate(network, events, t_stop=20.0, ranks=True, trace={str(tmp_path / "t.h5")!r})
print(run["n"].times.sum().hex(), int(run["n"].neurons.sum()), len(run["n"]))
"""
    (tmp_path / "script.py").write_text(code)
    results = [launch(n, tmp_path / "script.py") for n in (1, 2)]
    for result, _, err in results:
        assert result == 0, err
    (_, one, _), (_, two, _) = results
    assert one.splitlines() * 2 == two.splitlines()
    with es.Trace(tmp_path / "t.h5") as trace:
        assert len(trace) == 1


def test_small_networks_are_done_by_one(recordings: Path, model: Path) -> None:
    file = next(recordings.rglob("*.bin"))
    one, two = (json.loads(run(n, "simulate", model, file, "--json")) for n in (1, 2))
    assert {**one, "seconds": 0} == {**two, "seconds": 0}
