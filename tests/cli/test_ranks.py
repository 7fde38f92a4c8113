"""Commands as several processes under a launcher: they give what one process does, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import eventsnn as es
from tests.cli.conftest import write_recordings
from tests.cli.test_synth import write_idx
from tests.ranks import launch, needs_mpi

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


def test_one_recording_is_done_by_one(recordings: Path, model: Path) -> None:
    file = next(recordings.rglob("*.bin"))
    one, two = (json.loads(run(n, "simulate", model, file, "--json")) for n in (1, 2))
    assert {**one, "seconds": 0} == {**two, "seconds": 0}
