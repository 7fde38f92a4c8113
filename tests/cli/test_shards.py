"""--shard: the shards of a command together are what it does without; join makes one file of theirs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from tests.cli.conftest import Cli, write_recordings
from tests.cli.test_synth import write_idx

SENSOR = ("--sensor", "6x5x2")


def shards(n: int) -> list[tuple[str, str]]:
    return [("--shard", f"{number}/{n}") for number in range(1, n + 1)]


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_packed_shards_joined_are_the_set(cli: Cli, tmp_path: Path, n: int) -> None:
    folder = write_recordings(tmp_path / "folder", 5)
    assert cli("pack", folder, tmp_path / "whole.esp", *SENSOR).code == 0
    sizes = [cli("pack", folder, tmp_path / "set.esp", *SENSOR, *shard, "--json").json for shard in shards(n)]
    assert sum(size["recordings"] for size in sizes) == 10
    assert max(size["recordings"] for size in sizes) - min(size["recordings"] for size in sizes) <= 1
    parts = sorted(tmp_path.glob(f"set.*-of-{n}.esp"), reverse=True)
    assert len(parts) == n
    result = cli("join", *parts, "--out", tmp_path / "set.esp", "--json").json
    assert (result["recordings"], result["events"]) == (10, 1200)
    assert (tmp_path / "set.esp").read_bytes() == (tmp_path / "whole.esp").read_bytes()


def test_encoded_shards_joined_are_the_set(cli: Cli, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 4))
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.arange(9) % 3)
    out = tmp_path / "set.esp"
    assert cli("encode", tmp_path, tmp_path / "whole.esp").code == 0
    for shard in shards(4):
        assert cli("encode", tmp_path, out, *shard).code == 0
    assert cli("join", *tmp_path.glob("set.*-of-4.esp"), "-o", out).code == 0
    assert out.read_bytes() == (tmp_path / "whole.esp").read_bytes()


@pytest.mark.parametrize("kind", ["csv", "json"])
@pytest.mark.parametrize("options", [(), ("--per-class", 2, "--seed", 5)])
def test_predictions_of_shards_joined_are_those_of_all(
    cli: Cli, recordings: Path, model: Path, tmp_path: Path, kind: str, options: tuple[object, ...]
) -> None:
    def evaluate(out: Path, *more: object) -> dict[str, object]:
        arguments = ("evaluate", model, "--data", recordings, "--predictions", out, *options, *more, "--json")
        result: dict[str, object] = cli(*arguments).json
        return result

    whole, out = tmp_path / f"whole.{kind}", tmp_path / f"p.{kind}"
    expected = evaluate(whole)
    for shard in shards(3):
        evaluate(out, *shard)
    result = cli("join", *tmp_path.glob("p.*"), "--out", out, "--json").json
    assert out.read_bytes() == whole.read_bytes()
    assert (result["n"], result["accuracy"]) == (expected["n"], expected["accuracy"])


def test_files_of_shards_are_simulated_by_one_of_them(cli: Cli, recordings: Path, model: Path) -> None:
    files = sorted(recordings.glob("*/*.bin"))
    whole = cli("simulate", model, *files, "--json").json
    parts = [cli("simulate", model, *files, *shard, "--json").json for shard in shards(4)]
    joined = [result for part in parts for result in (part if isinstance(part, list) else [part])]
    for result in (*whole, *joined):
        del result["seconds"]
    assert joined == whole


def test_shards_record_into_one_folder(cli: Cli, tmp_path: Path) -> None:
    images = np.zeros((5, 28, 28), np.uint8)
    images[:, 4:24, 10:14] = 255
    image_file = write_idx(tmp_path / "images-idx3-ubyte.gz", images)
    label_file = write_idx(tmp_path / "labels-idx1-ubyte.gz", np.array([7, 2, 7, 1, 2]))
    options = ("--images", image_file, "--labels", label_file, "--seed", 3)
    assert cli("synth", tmp_path / "whole", *options).code == 0
    for shard in reversed(shards(2)):
        outcome = cli("synth", tmp_path / "parts", *options, *shard)
        assert outcome.out.startswith(f"shard {shard[1]} of 5 recordings in ")
    # Other images of the same number do not mix with them.
    assert (
        "was begun with other images" in cli("synth", tmp_path / "parts", *options, "--limit", 4, *shard).err
    )
    files = {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*")}
    assert files == {path.relative_to(tmp_path / "parts") for path in (tmp_path / "parts").rglob("*")}
    for file in files:
        if (path := tmp_path / "whole" / file).is_file():
            assert (tmp_path / "parts" / file).read_bytes() == path.read_bytes()


def test_a_shard_clears_up_after_itself_alone(cli: Cli, tmp_path: Path) -> None:
    """Two of three shards were killed while they wrote; the first goes on while the second is at work."""
    image_file = write_idx(tmp_path / "images-idx3-ubyte.gz", np.full((3, 28, 28), 9))
    label_file = write_idx(tmp_path / "labels-idx1-ubyte.gz", np.array([0, 0, 0]))
    options = ("--images", image_file, "--labels", label_file)
    assert cli("synth", tmp_path / "out", *options, "--shard", "3/3").code == 0
    own, other = (tmp_path / "out" / "0" / f"0000{number}.bin.0123456789.part" for number in (1, 2))
    own.touch()
    other.touch()
    assert cli("synth", tmp_path / "out", *options, "--shard", "1/3").code == 0
    assert (own.exists(), other.exists()) == (False, True)


def test_the_task_of_a_job_array(
    cli: Cli, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("pack", recordings, tmp_path / "set.esp", *SENSOR, "--shard", "slurm")
    outcome = cli(*command)
    assert outcome.code == 2
    assert "SLURM_ARRAY_TASK_ID is not set; submit the job with sbatch --array=1-8" in outcome.err
    # sbatch --array=2-10:4: the tasks 2, 6 and 10.
    for name, value in {"MIN": 2, "MAX": 10, "STEP": 4, "COUNT": 3, "ID": 10}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    assert cli(*command, "--json").json["out"] == str(tmp_path / "set.3-of-3.esp")


@pytest.mark.parametrize(
    ("shard", "problem"),
    [
        ("0/3", "there is no shard 0/3: shard I of N is written I/N, with I from 1 to N"),
        ("4/3", "there is no shard 4/3"),
        ("1/0", "there is no shard 1/0"),
        ("2", "a shard is written number/of, such as 2/8, or slurm: got '2'"),
        ("-1/2", "a shard is written number/of"),
    ],
)
def test_what_is_no_shard(cli: Cli, recordings: Path, tmp_path: Path, shard: str, problem: str) -> None:
    outcome = cli("pack", recordings, tmp_path / "set.esp", *SENSOR, "--shard", shard)
    assert (outcome.code, list(tmp_path.glob("set*"))) == (2, [])
    assert problem in " ".join(outcome.err.split())


def test_more_shards_than_recordings(cli: Cli, recordings: Path, model: Path, tmp_path: Path) -> None:
    n = len(list(recordings.glob("*/*.bin")))
    for command in (
        ("pack", recordings, tmp_path / "set.esp", *SENSOR),
        ("evaluate", model, "--data", recordings),
        ("simulate", model, *recordings.glob("*/*.bin")),
    ):
        outcome = cli(*command, "--shard", "1/99")
        assert outcome.code == 1
        assert f"shard 1/99 of {n} recordings holds none: make fewer shards" in outcome.err


def test_what_does_not_make_one_set(cli: Cli, recordings: Path, tmp_path: Path) -> None:
    for shard in shards(3):
        assert cli("pack", recordings, tmp_path / "set.esp", *SENSOR, *shard).code == 0
    first, second, third = sorted(tmp_path.glob("set.*"))
    other = tmp_path / "other.esp"
    assert cli("pack", recordings, other, "--sensor", "8x8x2").code == 0
    odd = tmp_path / "set.3-of-4.esp"
    odd.write_bytes(third.read_bytes())
    out = tmp_path / "set.esp"
    for parts, code, problem in (
        ((first, third), 1, "shards are missing: set.2-of-3.esp"),
        ((first, first, second, third), 1, "shard 1/3 was given twice"),
        ((first, second, odd), 1, "the files are not the shards of one"),
        ((first, second, third, other), 1, "the files are not the shards of one"),
    ):
        outcome = cli("join", *parts, "--out", out)
        assert (outcome.code, out.exists()) == (code, False)
        assert problem in outcome.err
    plain = tmp_path / "plain.esp"
    plain.write_bytes(first.read_bytes())
    outcome = cli("join", plain, other, "--out", out)
    assert f"{other}: has another sensor size than {plain}" in outcome.err
    outcome = cli("join", first, second, third, "--out", first)
    assert (outcome.code, "would overwrite a file that is to be read" in outcome.err) == (2, True)
    outcome = cli("join", first, second, third, "--out", tmp_path / "set.h6")
    assert (outcome.code, "no way to join such files" in outcome.err) == (2, True)


def test_what_is_no_table_of_predictions(cli: Cli, tmp_path: Path) -> None:
    good = {"source": "a.bin", "label": 0, "decision": 0, "correct": True}
    files = {
        "good.json": json.dumps([good]),
        "other.json": json.dumps([{**good, "more": 1}]),
        "list.json": "[1, 2]",
        "empty.json": "[]",
        "cut.csv": "source,label,correct\na.bin,0\n",
        "text.csv": "hello\nworld\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for names, problem in (
        (("good.json", "other.json"), "other.json: has other columns than"),
        (("list.json",), "list.json: is no table of predictions"),
        (("empty.json",), "empty.json: is no table of predictions"),
        (("good.json", "missing.json"), "missing.json: cannot be read (No such file or directory)"),
        (("cut.csv",), "cut.csv: is no table of predictions"),
        (("text.csv",), "text.csv: is no table of predictions"),
        (("good.json", "text.csv"), "text.csv: a .json file is made of .json files only"),
    ):
        out = tmp_path / f"out{Path(names[0]).suffix}"
        outcome = cli("join", *(tmp_path / name for name in names), "--out", out)
        assert (outcome.code, out.exists()) == (1, False), names
        assert problem in outcome.err


def test_in_python(recordings: Path, tmp_path: Path) -> None:
    data = es.data.Folder(recordings, reading=es.ReadingOptions(sensor=(6, 5, 2)))
    shard = es.data.Shard(2, 3)
    es.data.pack(data, shard.place(tmp_path / "set.esp"), shard=shard)
    part = es.data.Packed(tmp_path / "set.2-of-3.esp")
    assert [part.stream(k) for k in range(len(part))] == [data.stream(k) for k in shard.part(len(data))]
