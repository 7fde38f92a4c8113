"""The benchmarks run: parts import, a tiny run prints what it promises, a missing rival is no crash."""

from __future__ import annotations

import importlib
import json
import os
import re
import runpy
import struct
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="benchmarks/ is not part of an installation")
ROW = {"contender", "workload", "unit", "median", "min", "max", "repeats"}


@pytest.fixture
def modules(monkeypatch):
    """Import from benchmarks/, which is a folder of scripts."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_scripts_are_listed_and_run_by_name():
    done = subprocess.run([sys.executable, str(FOLDER)], capture_output=True, text=True, check=True)
    for name in ("speed/nmnist", "speed/track", "studies/fit_camera"):
        assert re.search(rf"^  {name} +\w", done.stdout, flags=re.MULTILINE)
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"^  (\w+/\S+) ", done.stdout, flags=re.MULTILINE):
        assert f"`{name}" in page or f" {name}" in page or name == "speed/recurrent_brian2", name
    for page in [*FOLDER.parent.glob("docs/**/*.md"), FOLDER / "README.md", *FOLDER.parent.glob("*.md")]:
        for name in re.findall(r"python benchmarks (\S+/\w+)", page.read_text(encoding="utf-8")):
            assert f"  {name} " in done.stdout, f"{page.name}: python benchmarks {name}"
    done = subprocess.run([sys.executable, str(FOLDER), "speed/none"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "no script 'speed/none' in benchmarks/" in done.stderr


def test_model_of_scaling(modules):
    scaling = modules("speed.scaling")
    one = scaling.Measured(16, 1, step=0.020, blocks=0.014, samples=0.002, received=0.0, exchanges=0.0)
    two = scaling.Measured(16, 2, step=0.012, blocks=0.007, samples=0.001, received=500_000.0, exchanges=4.0)
    for way in (scaling.by_neurons, scaling.by_recordings):
        assert way(one, two, 800, 1, 10) == pytest.approx(one.step)
    # 13 of 25 blocks, 8 of 16 recordings, 4 ms that both do, half a megabyte at 10 Gb/s, and four waits.
    assert scaling.by_neurons(one, two, 800, 2, 10) == pytest.approx(
        0.014 * 13 / 25 + 0.002 / 2 + 0.004 + 500_000 / 1.25e9 + 4 * 15e-6
    )
    # More ranks than blocks or recordings: one of each. Spikes of a 16th of the recordings, and all errors.
    errors, spikes = 16 * 16 * 800, 4 * (500_000 - 16 * 16 * 800 / 2)
    assert scaling.by_neurons(one, two, 800, 64, 10) == pytest.approx(
        0.014 / 25 + 0.002 / 16 + 0.004 + (errors + spikes / 16) * 63 / 64 / 1.25e9 + 4 * 15e-6 * 6
    )
    # 8 of 16 recordings, and all weights in float32 twice, but for the rank's own half.
    assert scaling.by_recordings(one, two, 800, 2, 1) == pytest.approx(
        0.010 + 4 * 800 * 2322 / 125e6 + 2 * 50e-6
    )


def test_tracked_figures_beside_stored_ones(modules, tmp_path, capsys):
    track, store = modules("speed.track"), tmp_path / "baselines.json"
    arguments = ["--only", "simulate_queue", "--repeats", "1", "--store", str(store)]
    track.main([*arguments, "--save"])
    assert "| nothing stored, s | now, s |" in capsys.readouterr().out
    (entry,) = track.load(store)
    figure = entry["figures"]["simulate_queue"]
    assert min(figure["cpu"], figure["wall"], figure["peak_mib"]) > 0
    figure["cpu"], figure["peak_mib"] = figure["cpu"] / 100, figure["peak_mib"] * 2
    store.write_text(json.dumps([entry]))
    track.main(arguments)
    printed = capsys.readouterr().out
    assert re.search(r"\| simulate_queue \| \S+ \| \S+ \| \S+ slower \| \S+ \| \S+ \| 0\.\d+ \|", printed)
    # One entry per commit and processor; others stay, and their figures are not compared.
    entry["machine"]["processor"] = "another"
    store.write_text(json.dumps([entry]))
    track.main([*arguments, "--save"])
    assert "nothing stored" in capsys.readouterr().out
    assert len(track.load(store)) == 2
    with pytest.raises(SystemExit):
        track.main([*arguments, "--commit", "none"])


def test_the_table_of_tracked_commits(modules, tmp_path, capsys):
    history, store, page = modules("speed.history"), tmp_path / "baselines.json", tmp_path / "page.md"
    machine = {"processor": "one", "instruction_set": "avx2"}
    entries = [
        {"commit": name, "date": "2026-01-02", "machine": {**machine, "processor": kind}, "figures": figures}
        for name, kind, figures in (
            ("aaa", "one", {"train_dense": {"cpu": 0.2}}),
            ("bbb", "another", {"train_dense": {"cpu": 7.0}}),
            ("ccc", "one", {"train_dense": {"cpu": 0.1}, "read_evt3": {"cpu": 0.05}}),
        )
    ]
    store.write_text(json.dumps(entries))
    page.write_text(f"before\n{history.BEGIN}\nold\n{history.END}\nafter\n")
    history.main(["--store", str(store), "--page", str(page)])
    lines = page.read_text().splitlines()
    assert lines[2] == "| processor time, ms | aaa (2026-01-02) | ccc (2026-01-02) | last / first |"
    assert "| `train_dense` | 200.0 | 100.0 | 0.50 |" in lines
    assert "| `read_evt3` |  | 50.0 |  |" in lines
    assert (lines[0], lines[-1], "old" in lines) == ("before", "after", False)
    history.main(["--store", str(store), "--processor", "another"])
    assert "7000.0" in capsys.readouterr().out
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="no lines"):
        history.main(["--store", str(store), "--page", str(page)])
    with pytest.raises(SystemExit):
        history.main(["--store", str(store), "--processor", "none"])


def test_workloads_of_tracked_figures_run(modules):
    figures = modules("speed.figures")
    for name in figures.FIGURES:
        if name not in ("command_line", "import_package", "plain_numpy"):
            with contextmanager(figures.FIGURES[name])() as work:
                work()


def test_results_of_runs(modules, recordings, tmp_path, capsys):
    results = modules("studies.results")
    run = tmp_path / "run"
    network = es.Network(es.Input(34, 34, 2), es.Dense(4), es.Dense(2), seed=1)
    es.train(network, es.data.NMNIST(recordings, split="Train"), epochs=3, valid_fraction=0.34, out=run)
    results.main([str(run)])
    printed = capsys.readouterr().out
    assert "| 1 | 2312-4-2 | 9,256 | rate 0.001 inverse_sqrt, batch 5 | 1 | 4 | 3 | " in printed
    assert "not tested" in printed
    assert "| command |" not in printed
    assert "| 1, training, % | " in printed

    (run / "command.txt").write_text("eventsnn train a.toml --train b\n")
    (run / "test.json").write_text('{"accuracy": 0.98765, "n": 10000}')
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- runs: toy -->\nold\n<!-- end of runs -->\nafter\n")
    for _ in range(2):  # a second time changes nothing
        results.main(["--page", str(page), "--name", "toy", str(run)])
        text = page.read_text()
        assert text.startswith("before\n<!-- runs: toy -->\n| run |")
        assert text.endswith("|\n<!-- end of runs -->\nafter\n")
        assert text.count("| **98.77** of 10,000 |") == 1
        assert "`eventsnn train a.toml --train b`" in text
        assert "old" not in text

    with pytest.raises(SystemExit, match="the marks <!-- runs: other -->"):
        results.main(["--page", str(page), "--name", "other", str(run)])
    with pytest.raises(SystemExit, match="no folder of a training run"):
        results.main([str(tmp_path)])


@pytest.fixture
def recordings(tmp_path):
    """Six tiny recordings of two classes."""
    rng = np.random.default_rng(1)
    for label in (0, 1):
        folder = tmp_path / "Train" / str(label)
        folder.mkdir(parents=True)
        for number in range(3):
            x, y = rng.integers(0, 34, (2, 300))
            t = np.sort(rng.integers(0, 100_000, 300))
            stream = es.EventStream.from_arrays(t, x, y, rng.integers(0, 2, 300), sensor_size=(34, 34, 2))
            es.write(folder / f"{label}{number:04}.bin", stream)
    return tmp_path


def last_line(*arguments: str) -> dict:
    done = subprocess.run(
        [sys.executable, str(FOLDER), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_script_imports_and_has_a_main(modules):
    runner = runpy.run_path(str(FOLDER / "__main__.py"), run_name="benchmarks")
    known = [name.replace("/", ".") for name in runner["scripts"]()]
    for part in modules("speed.compare").PARTS:
        assert f"{'studies' if part == 'accuracy' else 'speed'}.{part}" in known
    missing = set()
    for name in known:
        try:
            assert callable(modules(name).main)
        except ModuleNotFoundError as error:
            missing.add(error.name)
    assert missing <= {"torch", "brian2", "nest"}  # of the extra bench


def test_speed_of_ours_prints_the_promised_keys(recordings):
    result = last_line(
        *("speed/nmnist", "--quick", "--repeats", "2", "--data", str(recordings)),
        *("--samples", "6", "--hidden", "16", "--only", "eventsnn", "eventsnn, from files"),
    )
    assert set(result) >= {"part", "rows", "missing", "comparisons", "notes", "machine"}
    assert [row["contender"] for row in result["rows"]] == ["eventsnn", "eventsnn, from files"] * 3
    for row in result["rows"]:
        assert set(row) >= ROW | {"rate_wall", "batch", "samples"}
        assert row["samples"] == 6
        assert len(row["repeats"]) == 2
        assert row["min"] > 0
    assert {row["peak_mib"] > 0 for row in result["rows"] if row["workload"] == "training"} == {True}


def test_rules_are_measured_side_by_side():
    result = last_line("speed/rules", "--quick", "--repeats", "1", "--samples", "2", "--hidden", "16")
    contenders = [row["contender"] for row in result["rows"]]
    assert contenders == [
        *("hm2bp", "eventprop", "eventprop, learned"),
        *("hm2bp, recurrent", "eventprop, recurrent"),
    ]
    for row in result["rows"]:
        assert set(row) >= ROW | {"wall", "peak_mib"}
        assert row["min"] > 0
        assert row["peak_mib"] > 0
    assert len(result["comparisons"]) == len(contenders) - 1


def test_a_missing_rival_is_reported_and_the_others_go_on(recordings, tmp_path, monkeypatch):
    # A folder in front of the path whose torch cannot be imported.
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "torch.py").write_text("raise ImportError('no torch here')\n")
    path = [str(tmp_path / "broken"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path).rstrip(os.pathsep))
    result = last_line(
        *("speed/nmnist", "--quick", "--repeats", "1", "--data", str(recordings)),
        *("--samples", "6", "--hidden", "16", "--only", "eventsnn", "Norse", "PyTorch, event-sparse loop"),
    )
    assert {m["contender"]: m["status"] for m in result["missing"]} == {
        "PyTorch, event-sparse loop": "not installed",
        "Norse": "not installed",
    }
    assert all("no torch here" in m["reason"] for m in result["missing"])
    assert {row["contender"] for row in result["rows"]} == {"eventsnn"}


def test_driver_writes_json_table_and_survives_a_failing_part(modules, tmp_path, monkeypatch):
    compare = modules("speed.compare")
    monkeypatch.setattr(compare, "PARTS", {"gone": "not there", "nmnist": "fails: no data"})
    monkeypatch.delenv("EVENTSNN_DATA", raising=False)
    with pytest.raises(SystemExit):
        compare.main(["--quick", "--out", str(tmp_path / "out")])
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["parts"]["gone"]["status"] == "not there"
    assert results["parts"]["nmnist"]["status"] == "failed"
    assert "failed" in (tmp_path / "out" / "results.md").read_text()


def test_report_shows_rows_missing_rivals_and_pictures(modules, tmp_path):
    common, report = modules("common"), modules("speed.report")
    rows = [common.row(name, "training", "samples/s", [1.0, 2.0]) for name in ("eventsnn", "Norse")]
    curve = {"axis": "events", "what": "train", "sizes": [1, 2, 4], "seconds": [1, 2, 4], "exponent": 1.0}
    points = [{"contender": "eventsnn", "checkpoint": c, "mean": 9.0, "min": 8, "max": 9} for c in (10, 30)]
    results = {
        **{"quick": True, "repeats": 2, "machine": common.describe_machine(), "versions": common.versions()},
        "parts": {
            "nmnist": {
                "rows": rows,
                "missing": [common.missing_row("snnTorch", "no module")],
                "comparisons": [common.comparison("a ratio", 2.0, 3.0)],
            },
            "linear_cost": {"curves": [curve]},
            "accuracy": {"rows": [{**rows[0], **point} for point in points]},
        },
    }
    text = report.markdown(results)
    assert "| not installed | snnTorch | no module" in text
    assert "| a ratio | 2 | >= 3 | no |" in text
    drawn = report.draw(results, tmp_path)
    assert [path.name for path in drawn] == ["rates.png", "linear_cost.png", "accuracy.png"]
    assert all(path.stat().st_size > 1000 for path in drawn)


def test_hand_written_gradients_agree_with_autograd(modules):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[bench]'")
    module = modules("speed.rivals.event_torch")
    rng = np.random.default_rng(2)
    bins, n_inputs, size = 70, 30, 3
    recordings = [
        (
            np.sort(rng.integers(0, bins, 400)).astype(np.int32),
            rng.integers(0, n_inputs, 400).astype(np.int32),
        )
        for _ in range(size)
    ]
    weights = [rng.uniform(-1, 1, (20, n_inputs)), rng.uniform(-1, 1, (4, 20))]
    net = module.EventTorch(weights, [5.0, 5.0])
    batch = module.make_batch(recordings, [0, 1, 3], bins, n_inputs)
    dense = np.zeros((bins, size, n_inputs), np.float32)
    for k, (step, neuron) in enumerate(recordings):
        np.add.at(dense, (step, k, neuron), 1)
    loss = module.loss_by_autograd(net, torch.from_numpy(dense), batch.labels)
    loss.backward()
    expected = [p.grad.clone() for p in (net.w1, net.w2)]
    assert net.gradients(batch) == pytest.approx(float(loss.detach()), rel=1e-6)
    for parameter, gradient in zip((net.w1, net.w2), expected, strict=True):
        assert gradient.norm() > 0
        # float32; sums in another order, some hundred terms.
        assert torch.allclose(parameter.grad, gradient, rtol=1e-3, atol=1e-5 * float(gradient.abs().max()))


def test_accuracy_curve_tests_once_where_checkpoints_are_passed_together(modules):
    tests = []
    curve = modules("studies.accuracy").Curve([1, 2, 5], lambda: tests.append(1) or 0.5)
    assert curve.pass_to(0.5, 0)
    assert curve.pass_to(3.0, 1)
    assert not curve.pass_to(6.0, 2, 4.0)
    assert [(p["checkpoint"], p["seconds"]) for p in curve.points] == [(1, 3.0), (2, 3.0), (5, 4.0)]
    assert len(tests) == 2


@pytest.fixture
def digits(tmp_path):
    """A folder of data sets: ten images in MNIST's form, and "real" recordings of them, by a quick camera."""
    rng = np.random.default_rng(2)
    images = np.zeros((10, 28, 28), np.uint8)
    for image in images:
        x, y = rng.integers(4, 16, 2)
        image[y : y + rng.integers(3, 9), x : x + rng.integers(3, 9)] = 255
    labels = np.arange(10, dtype=np.uint8)
    (tmp_path / "mnist").mkdir()
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = struct.pack(f">2xBB{array.ndim}I", 8, array.ndim, *array.shape)
        (tmp_path / "mnist" / f"train-{name}-ubyte").write_bytes(header + array.tobytes())
    es.data.write_idx_folder(
        tmp_path / "mnist", tmp_path / "nmnist-1k", camera=es.SaccadeCamera(), seed=7, splits=["train"]
    )
    return tmp_path


def test_camera_against_recordings_of_its_own(digits, monkeypatch):
    monkeypatch.setenv("EVENTSNN_DATA", str(digits))
    result = last_line("studies/camera_against_real", "--quick", "--repeats", "1")
    assert set(result["rows"][0]) >= ROW
    figures = result["figures"]
    assert [figures[part]["recordings"] for part in ("check", "fit", "all")] == [5, 5, 10]
    # The "real" recordings are the camera's own, with other noise.
    assert figures["all"]["rate_correlation"] > 0.99
    assert figures["all"]["active_pixels_off_by"] < 0.05
    assert {row["name"] for row in result["comparisons"]} >= {"map_correlation, check", "digits/s"}


def test_comparison_of_recordings_tells_them_apart(digits, modules, monkeypatch):
    monkeypatch.setenv("EVENTSNN_DATA", str(digits))
    streams = modules("studies.real_digits").load_real_digits().streams
    compare = modules("studies.camera_against_real").compare
    same = compare(streams, streams)
    for name in ("count_correlation", "rate_correlation", "map_correlation", "map_correlation_by_polarity"):
        assert same[name] == pytest.approx(1.0)
    assert same["active_pixels_off_by"] == 0.0
    other = compare(streams, streams[::-1])
    assert other["map_correlation"] < 0.7
    assert other["count_correlation"] < 0.9


def test_fit_of_the_camera_is_best_at_the_truth(digits, modules, monkeypatch):
    monkeypatch.setenv("EVENTSNN_DATA", str(digits))
    fit, real = modules("studies.fit_camera"), modules("studies.real_digits").load_real_digits()
    free = fit.to_free(es.SaccadeCamera())
    np.testing.assert_allclose(fit.to_free(fit.to_camera(free)), free)
    assert fit.load_start(None).tolist() == free.tolist()
    at_truth = fit.misfit(free, real)
    for k, step in (
        (10, 0.5),
        (fit.N + 20, 0.5),
        (2 * fit.N, 0.2),
        (2 * fit.N + 2, 0.3),
        (len(free) - 2, 0.05),
    ):
        moved = free.copy()
        moved[k] += step
        assert fit.misfit(moved, real) > at_truth
    assert 0.1 < fit.fit_noise(free, real)["noise_hz"] < 1.0  # 0.388, from ten recordings


def test_long_and_live_input_print_their_rows():
    result = last_line("speed/long_input", "--quick", "--hidden", "16")
    assert [row["workload"] for row in result["rows"]] == ["20000 events", "40000 events"]
    assert all(row.keys() >= ROW and row["peak_mb"] > 0 for row in result["rows"])
    result = last_line("speed/live_latency", "--quick")
    assert len(result["rows"]) == 3
    assert all(row.keys() >= ROW and row["median"] > 0 for row in result["rows"])
