"""eventsnn convert"""

from pathlib import Path

import pytest

import eventsnn as es
from eventsnn.events import detect_format
from tests.cli.conftest import Cli
from tests.events.helpers import random_stream


@pytest.mark.parametrize(
    ("target", "name"),
    [("a.es", "es"), ("a.csv", "csv"), ("a.aedat", "aedat3"), ("a.npz", "npz"), ("a.h5", "packed-h5")],
)
def test_convert(cli: Cli, tmp_path: Path, target: str, name: str) -> None:
    stream = random_stream(500)
    es.write(tmp_path / "a.bin", stream)
    result = cli("convert", tmp_path / "a.bin", tmp_path / target, "--json").json
    assert (result["from"], result["events"], result["sensor"]) == ("nmnist", 500, [34, 34, 2])
    assert result["bytes"] == (tmp_path / target).stat().st_size
    assert detect_format(tmp_path / target) == name
    assert es.read(tmp_path / target) == stream
    assert (
        f"500 events, sensor 34 x 34 x 2, from {name}"
        in cli("convert", tmp_path / target, tmp_path / "b.dat").out
    )
    assert es.read(tmp_path / "b.dat") == stream


def test_options(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0.5 3 4 1\n0.25 3 4 1\n0.75 99 4 0\n")
    given = (
        "convert",
        tmp_path / "a.txt",
        tmp_path / "a.raw",
        "--columns",
        "t[s],x,y,p",
        "--sensor",
        "34x34x2",
    )
    outcome = cli(*given)
    assert outcome.code == 1
    assert "this ending stands for evt2 and evt3; pass format=... (--to)" in outcome.err
    outcome = cli(*given, "--to", "evt3")
    assert outcome.code == 1
    assert "outside the 34 x 34 sensor" in outcome.err
    outcome = cli(*given, "--to", "evt3", "--on-bad", "skip", "--json")
    assert outcome.json["anomalies"] == {"outside": 1, "backwards": 1, "ignored": 0, "cut_bytes": 0}
    assert "eventsnn: warning:" in outcome.err
    assert es.read(tmp_path / "a.raw").events.tolist() == [(3, 4, 500_000, 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.raw", "a.txt"]


def test_wrong_names(cli: Cli, tmp_path: Path) -> None:
    es.write(tmp_path / "a.bin", random_stream(5))
    outcome = cli("convert", tmp_path / "a.bin", tmp_path / "a.mat")
    assert (
        "no format of this ending can be written; known formats: nmnist (.bin, .bs2), aedat3" in outcome.err
    )
    outcome = cli("convert", tmp_path / "a.bin", tmp_path / "a.mat", "--to", "st-mnist")
    assert "format 'st-mnist' cannot be written" in outcome.err
    outcome = cli("convert", tmp_path / "a.bin", tmp_path / "a.es", "--format", "evt9")
    assert "unknown format 'evt9'; known formats:" in outcome.err
    assert outcome.code == 1
