"""The options for reading recordings: the same in every command, and the ones that errors recommend."""

import ast
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.cli.app import COMMANDS, commands
from eventsnn.cli.reading import NAMES, ReadingOption
from eventsnn.data import Folder, Packed
from eventsnn.events import ReadingOptions
from tests.cli.conftest import EXPERIMENT, SENSOR, Cli, make_stream, options_of, write_table
from tests.events.helpers import random_stream
from tests.events.several import write_bag

READING_COMMANDS = ("info", "simulate", "train", "evaluate", "pack", "convert")
PACKAGE = Path(es.__file__).parent
OPTION = re.compile(r"--[a-z][a-z-]*")
NAMED_OPTION = re.compile(r"(?:\beventsnn (\w+) )?(--[a-z][a-z-]*)")


@pytest.mark.parametrize("name", READING_COMMANDS)
def test_every_command_has_the_same_options(cli: Cli, name: str) -> None:
    command = commands.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    found = [p for p in command.params if isinstance(p, ReadingOption) and p.name != "bad_files"]
    assert tuple(p.name for p in found) == NAMES == tuple(n for n in NAMES if hasattr(ReadingOptions(), n))
    text = cli(name, "--help").out
    assert text.index("Reading recordings:") > text.index("Options:")
    for parameter in found:
        assert text.index(parameter.opts[0]) > 0


# What texts of these rooms recommend, every command that reads recordings has, unless they name another one.
@pytest.mark.parametrize("room", ["events", "data/folder.py", "data/listing.py", "data/source.py"])
def test_texts_name_options_that_every_reading_command_has(room: str) -> None:
    files = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / room]
    texts = [
        node.value
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    named = {found for text in texts for found in NAMED_OPTION.findall(text)} - {("", "--to")}  # of writers
    assert named or room != "events"
    for command, option in named:
        for name in (command,) if command in COMMANDS else READING_COMMANDS:
            assert option in options_of(name), (name, option)


ROWS = np.array([[10, 1, 2, 1], [20, 5, 4, 0], [30, 0, 0, 1]])


def several_topics(path: Path) -> None:
    pytest.importorskip("rosbags.rosbag1")
    streams = [random_stream(20, seed, SENSOR) for seed in (1, 2)]
    write_bag(path, {f"/{k}": ("dvs_msgs/msg/EventArray", stream) for k, stream in enumerate(streams)})


def shd(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, dtype in (("times", np.float32), ("units", np.int64)):
            column = file.create_dataset(f"spikes/{name}", (2,), h5py.vlen_dtype(dtype))
            for sample in range(2):
                column[sample] = np.array([1, 2], dtype)


def no_chip(path: Path) -> None:
    path.write_bytes(b"#!AER-DAT2.0\r\n" + struct.pack(">II", 0, 5))


def cut(path: Path) -> None:
    es.write(path, make_stream(0, 1))
    path.write_bytes(path.read_bytes()[:-2])


@dataclass(frozen=True)
class Case:
    """A recording that cannot be read without an option, and the option; `given` it needs anyway.

    The commands in `reads` read it all the same, those in `other` do not with the option, for another reason.
    """

    file: str
    make: Callable[[Path], object]
    remedy: tuple[str, ...]
    given: tuple[str, ...] = ("--sensor", "6x5x2")
    reads: tuple[str, ...] = ()
    other: tuple[str, ...] = ()


WITH_MODEL = ("simulate", "train", "evaluate")
UNSORTED, OUTSIDE = "t,x,y,p\n20,1,1,1\n10,2,2,0\n", "t,x,y,p\n10,1,1,1\n20,9,2,0\n"
CASES = {
    "no names of columns": Case("a.npy", lambda p: write_table(p, ROWS), ("--columns", "t,x,y,p")),
    "out of order": Case("a.csv", lambda p: p.write_text(UNSORTED), ("--on-bad", "sort")),
    "outside": Case("a.csv", lambda p: p.write_text(OUTSIDE), ("--on-bad", "skip")),
    "several streams": Case("a.bag", several_topics, ("--stream", "/1"), (), ("info",)),
    "several recordings": Case("a.h5", shd, ("--sample", "1"), ("--format", "shd"), (), WITH_MODEL),
    "two formats": Case("a.aedat", no_chip, ("--format", "aedat2-dvs128"), ("--crop", "0,0,6,5")),
    "cut": Case("a.bin", cut, ("--on-cut", "warn"), reads=("info", "simulate", "convert")),
}


def command_line(name: str, file: Path, model: Path, out: Path) -> list[object]:
    folder = file.parents[1]
    experiment = out.parent / "experiment.toml"
    experiment.write_text(EXPERIMENT)
    return {
        "info": ["info", file, "--on-bad", "error"],
        "simulate": ["simulate", model, file],
        "train": ["train", experiment, "--train", folder, "--out", out, "--valid-fraction", "0"],
        "evaluate": ["evaluate", model, "--data", folder],
        "pack": ["pack", folder, f"{out}.esp"],
        "convert": ["convert", file, out, "--to", "csv"],
    }[name]


@pytest.mark.parametrize("name", READING_COMMANDS)
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_what_an_error_recommends_helps(cli: Cli, model: Path, tmp_path: Path, name: str, case: Case) -> None:
    path = tmp_path / "set" / "0" / case.file
    path.parent.mkdir(parents=True)
    case.make(path)
    given = [*command_line(name, path, model, tmp_path / "out"), *case.given]
    outcome = cli(*given)
    assert outcome.code == (0 if name in case.reads else 1), outcome
    if outcome.code:
        assert case.remedy[0] in outcome.err
    for option in OPTION.findall(outcome.err):
        assert option in options_of(name), outcome.err
    if name not in (*case.reads, *case.other):
        outcome = cli(*given, *case.remedy)
        assert outcome.code == 0, outcome.err


def test_on_bad_is_about_events_and_bad_files_about_recordings(
    cli: Cli, model: Path, recordings: Path, tmp_path: Path
) -> None:
    wrong, damaged = recordings / "0" / "00003.bin", recordings / "0" / "00004.bin"
    wrong.write_bytes((recordings / "0" / "00000.bin").read_bytes() + bytes([6, 0, 128, 255, 255]))
    evaluate = ("evaluate", model, "--data", recordings, "--json")
    assert cli(*evaluate).code == 1
    result = cli(*evaluate, "--on-bad", "skip", "--bad-files", "error").json
    assert (result["n"], result["skipped"]) == (7, 0)
    result = cli(*evaluate, "--bad-files", "skip").json
    assert (result["n"], result["skipped"]) == (6, 1)
    damaged.write_bytes(b"123")
    assert cli(*evaluate, "--on-bad", "skip", "--bad-files", "error").code == 1
    outcome = cli(*evaluate, "--on-bad", "skip")
    assert (outcome.json["n"], outcome.json["skipped"]) == (7, 1), "as the option was once called"
    assert "write --bad-files skip" in outcome.err
    result = cli("simulate", model, wrong, "--json", "--on-bad", "skip", "--bad-files", "error").json
    assert result["anomalies"]["outside"] == 1


def test_old_spellings_say_what_to_write(cli: Cli, recordings: Path, tmp_path: Path) -> None:
    path = recordings / "0" / "00000.bin"
    outcome = cli("convert", path, tmp_path / "a.es", "--from", "nmnist")
    assert outcome.code == 2
    assert (
        "'nmnist' is not a time in milliseconds; for the format of a recording write --format nmnist"
        in outcome.err
    )
    assert "is not a time in milliseconds\n" in cli("info", path, "--from", "soon").err


def test_a_part_of_a_recording(cli: Cli, recordings: Path, tmp_path: Path) -> None:
    path, out = recordings / "1" / "00000.bin", tmp_path / "part.es"
    part = ("--from", "10", "--until", "30", "--crop", "2,0,6,4", "--downsample", "2", "--sensor", "6x5x2")
    expected = es.read(path, sensor=SENSOR, t_from=10.0, t_until=30.0, crop=(2, 0, 6, 4), downsample=2)
    assert cli("convert", path, out, *part, "--json").json["sensor"] == [2, 2, 2]
    assert es.read(out) == expected
    assert cli("info", path, *part, "--json").json["events"] == len(expected)
    assert cli("pack", recordings, tmp_path / "a.esp", *part, "--json").json["sensor"] == [2, 2, 2]
    packed = Packed(tmp_path / "a.esp")
    assert packed.stream(3) == expected
    folder = Folder(recordings, **packed.reading.given())
    assert folder.sensor_size == (2, 2, 2)
    assert folder.stream(3) == expected


def test_several_recordings_may_be_cropped(cli: Cli, model: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.es"
    small = make_stream(0, 1)
    events = small.events.copy()
    events["x"] += 3
    es.write(large, es.EventStream(events, (20, 20, 2)))
    es.write(tmp_path / "small.es", small)
    whole = cli("simulate", model, tmp_path / "small.es", "--json").json
    outcome = cli(
        "simulate", model, large, large, "--crop", "3,0,9,5", "--json", "--trace", tmp_path / "t.h5"
    )
    for result in outcome.json:
        assert result["counts"] == whole["counts"]
    outcome = cli("simulate", model, large, "--crop", "3,0,8,5")
    assert outcome.code == 1
    assert (
        "what is kept of the recording is 5 x 5 x 2, the network's input is 6 x 5 x 2; see --crop"
        in outcome.err
    )


def test_packed_files_are_taken_as_they_are(cli: Cli, model: Path, recordings: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.esp"
    assert cli("pack", recordings, file, "--sensor", "6x5x2").code == 0
    assert cli("evaluate", model, "--data", file, "--sensor", "6x5x2").code == 0
    outcome = cli("evaluate", model, "--data", file, "--crop", "0,0,6,5")
    assert outcome.code == 2
    assert "--crop is for recordings" in outcome.err
    outcome = cli("evaluate", model, "--data", file, "--on-bad", "skip")
    assert outcome.code == 0
    assert "write --bad-files skip" in outcome.err
    assert cli("evaluate", model, "--data", file, "--on-bad", "clamp").code == 2
    outcome = cli("info", file, "--until", "5")
    assert outcome.code == 2
    assert "--until is for recordings" in outcome.err


def test_info_lists_event_streams(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.bag"
    several_topics(path)
    outcome = cli("info", path)
    assert outcome.code == 0
    assert "  stream  0 /0 (dvs_msgs/EventArray)\n  stream  1 /1 (dvs_msgs/EventArray)\n" in outcome.out
    result = cli("info", path, "--json").json
    assert (result["format"], result["stream"]) == ("rosbag", None)
    assert [(stream["number"], stream["name"]) for stream in result["streams"]] == [(0, "/0"), (1, "/1")]
    result = cli("info", path, "--stream", "1", "--json").json
    assert (result["stream"], result["events"], len(result["streams"])) == (1, 20, 2)
    assert "  stream    1 /1" in cli("info", path, "--stream", "/1").out
    outcome = cli("info", path, "--stream", "/2")
    assert outcome.code == 1
    assert "holds no stream '/2'" in outcome.err


def test_live_input_has_no_streams_to_choose(cli: Cli, model: Path) -> None:
    for option in (("--stream", "1"), ("--sample", "1"), ("--on-bad", "sort")):
        outcome = cli("simulate", model, "-", "--live", "--format", "nmnist", *option)
        assert outcome.code == 2
        assert option[0] in outcome.err


def test_a_part_without_events_is_told(cli: Cli, model: Path, recordings: Path, tmp_path: Path) -> None:
    path = recordings / "0" / "00000.bin"
    for arguments in (
        ("convert", path, tmp_path / "a.es", "--sensor", "6x5x2"),
        ("simulate", model, path),
        ("simulate", model, path, "--spikes", tmp_path / "s.csv"),
    ):
        outcome = cli(*arguments, "--from", "1000")
        assert outcome.code == 0
        assert "no event lies in the part that is kept; see --from, --until, --crop" in outcome.err
        assert "no event lies" not in cli(*arguments).err
