"""Formats, encoders and data sources from outside the package: a module each, found by name."""

from __future__ import annotations

import importlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.data import SOURCES, Images, open_source
from eventsnn.encode import ENCODERS, make_encoder
from eventsnn.errors import EventFileError, SimulationError, TrainingError
from eventsnn.events.formats import FORMATS
from tests.cli.conftest import Cli, cli  # noqa: F401
from tests.events.helpers import random_stream
from tests.plugins import install
from tests.references import groups

PLUGINS = Path(__file__).parent / "plugins"
PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
ENTRIES = {
    "ticker": (FORMATS, "ticker", "FORMAT"),
    "rank_order": (ENCODERS, "rank-order", "RankOrder"),
    "json_lines": (SOURCES, "json-lines", "open_json_lines"),
}
EXPERIMENT = "[network]\ninput = {{ {input} }}\n[[network.layers]]\nneurons = 2\n[training]\nepochs = 1\n"


@pytest.fixture(params=["registered", "entry point"], autouse=True)
def plugins(request, tmp_path, monkeypatch):
    """The plugins made known in either way, and forgotten afterwards."""
    modules = {name: importlib.import_module(f"tests.plugins.{name}") for name in ENTRIES}
    points = {}
    for module, (registry, name, attribute) in ENTRIES.items():
        registry.unregister(name)
        if request.param == "registered":
            registry.register(name, getattr(modules[module], attribute))
        points[registry.group, name] = f"tests.plugins.{module}:{attribute}"
    if request.param == "entry point":
        install(points, tmp_path, monkeypatch)
    yield
    for registry, name, _ in ENTRIES.values():
        registry.unregister(name)


def write_images(folder: Path) -> Path:
    """Eight images of two classes: a bright pixel on the left or on the right."""
    images = np.zeros((8, 4, 4), np.uint8)
    labels = np.arange(8, dtype=np.uint8) % 2
    images[np.arange(8), np.arange(8) % 4, 3 * labels] = 255
    images[:, 0, 1] = 100
    folder.mkdir()
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = struct.pack(f">2xBB{array.ndim}I", 8, array.ndim, *array.shape)
        (folder / f"train-{name}-ubyte").write_bytes(header + array.tobytes())
    return folder


def test_a_format_is_found_read_written_and_listed(tmp_path, cli: Cli):  # noqa: F811
    stream = random_stream(20_000, seed=1)
    path = tmp_path / "Train" / "0" / "a.tick"
    path.parent.mkdir(parents=True)
    es.write(path, stream)
    assert path.read_bytes().startswith(b"TICKER 1\n34 34 2\n")
    for options in ({}, {"format": "ticker"}):
        again = es.read(path, **options)
        assert again.sensor_size == stream.sensor_size
        assert (again.events == stream.events).all()
    assert (es.data.Folder(tmp_path, split="Train").stream(0).events == stream.events).all()
    assert cli("info", path, "--json").json["format"] == "ticker"
    assert cli("convert", path, tmp_path / "a.dat").code == 0
    assert (es.read(tmp_path / "a.dat").events == stream.events).all()
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(EventFileError, match="the last event is cut"):
        es.read(path)
    (tmp_path / "b.x").write_bytes(b"what")
    for options in ({}, {"format": "none"}):
        with pytest.raises(EventFileError, match=r"known formats: nmnist .*, ticker \(\.tick\)"):
            es.read(tmp_path / "b.x", **options)


def test_what_was_called_an_encoder_of_files_is_found_with_a_warning(tmp_path, monkeypatch):
    formats = importlib.import_module("eventsnn.events.formats")
    for old, new in (("ENCODERS", "WRITERS"), ("Encoder", "Writer"), ("find_encoder", "find_writer")):
        with pytest.warns(DeprecationWarning, match=f"{old} is {new} now"):
            assert getattr(formats, old) is getattr(formats, new)
    kind = type(FORMATS.get("ticker"))
    monkeypatch.setattr(kind, "encoder", kind.writer, raising=False)
    monkeypatch.delattr(kind, "writer")
    with pytest.warns(DeprecationWarning, match="method encoder of format 'ticker' is writer now"):
        es.write(tmp_path / "a.tick", random_stream(100, seed=1))
    assert len(es.read(tmp_path / "a.tick")) == 100


def test_an_encoder_codes_images_for_training_and_evaluation(tmp_path, cli: Cli):  # noqa: F811
    images = write_images(tmp_path / "images")
    experiment = tmp_path / "a.toml"
    coding = "[coding]\nname = 'rank-order'\nmost = 2\n"
    experiment.write_text(EXPERIMENT.format(input="width = 4, height = 4") + coding)
    run = tmp_path / "run"
    assert cli("train", experiment, "--train", images, "--out", run).code == 0
    outcome = cli("evaluate", run / "model.h5", "--data", images, "--split", "train", "--json").json
    assert outcome["n"] == 8
    packed = tmp_path / "a.esp"
    arguments = ("--encoder", "rank-order", "--set", "most=2", "--json")
    assert cli("encode", images, packed, *arguments).json["events"] == 16
    again = cli("evaluate", run / "model.h5", "--data", packed, "--json").json
    assert again["confusion"] == outcome["confusion"]


def test_rank_order_by_hand():
    stream = make_encoder("rank-order", "values", {"step_us": 10}).encode([[0.0, 0.5], [1.0, 0.7]])
    assert stream.events["t"].tolist() == [0, 10, 20]
    assert stream.events["x"].tolist() == [0, 1, 1]
    assert stream.events["y"].tolist() == [1, 1, 0]


def test_errors_of_encoders_list_names_and_fields(tmp_path, cli: Cli):  # noqa: F811
    with pytest.raises(SimulationError, match=r"encoder must be one of bernoulli, .*, rank-order, got 'x'"):
        make_encoder("x", "values", {})
    with pytest.raises(
        SimulationError, match="encoder 'rank-order': unknown field 'a'; there are step_us, most"
    ):
        make_encoder("rank-order", "values", {"a": 1})
    with pytest.raises(
        SimulationError, match=r"'bsa' takes signals .*; for images .* there are .*, rank-order"
    ):
        make_encoder("bsa", "values", {})
    with pytest.raises(TrainingError, match="coding: encoder must be one of bernoulli"):
        es.Experiment.from_table({"network": {}, "coding": {"name": "x"}})
    images = write_images(tmp_path / "images")
    wrong = cli("encode", images, tmp_path / "a.esp", "--encoder", "speech")
    assert wrong.code == 1
    assert "encoder 'speech' takes sounds; for images (values 0 .. 1) there are bernoulli" in wrong.err
    assert cli("encode", images, tmp_path / "a.esp", "--speaker", "ada").code == 2


@pytest.mark.parametrize("name", ["poisson", "latency"])
def test_our_other_encoders_code_images_too(tmp_path, name, cli: Cli):  # noqa: F811
    images = write_images(tmp_path / "images")
    data = Images.open(images, coder=make_encoder(name, "values", {}))
    drawn = [np.concatenate([data.stream(k, epoch).events for k in range(8)]).tolist() for epoch in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert (drawn[0] == drawn[2]) == (name == "latency")
    experiment = tmp_path / "a.toml"
    experiment.write_text(EXPERIMENT.format(input="width = 4, height = 4") + f"[coding]\nname = '{name}'\n")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert (
        cli("train", experiment, "--train", images, "--epochs", 2, "--out", whole, "--threads", 1).code == 0
    )
    assert cli("train", experiment, "--train", images, "--out", parts, "--threads", 2).code == 0
    assert cli("train", experiment, "--train", images, "--epochs", 2, "--out", parts, "--resume").code == 0
    assert (whole / "model.h5").read_bytes() == (parts / "model.h5").read_bytes()


def test_a_source_trains_evaluates_and_is_packed(tmp_path, cli: Cli):  # noqa: F811
    lines = [
        {"label": name, "events": [[1000 * k, x, k, k % 2] for k in range(8)]}
        for name, x in (("left", 0), ("right", 7))
        for _ in range(4)
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert open_source("json-lines", path, limit=3).classes == ("left",)
    experiment = tmp_path / "a.toml"
    experiment.write_text(EXPERIMENT.format(input="width = 8, height = 8, polarities = 2"))
    named = ("--source", "json-lines")
    run = tmp_path / "run"
    result = cli("train", experiment, "--train", path, "--valid", path, "--out", run, *named)
    assert result.code == 0
    assert "--source json-lines" in (run / "command.txt").read_text()
    outcome = cli("evaluate", run / "model.h5", "--data", path, *named, "--set", "limit=5", "--json").json
    assert outcome["n"] == 5
    assert cli("pack", path, tmp_path / "a.esp", *named).code == 0
    assert es.data.Packed(tmp_path / "a.esp").classes == ("left", "right")
    path.write_text("{}\n")
    assert "line 1 is not a recording" in cli("pack", path, tmp_path / "b.esp", *named).err


def test_errors_of_sources_list_names_and_options(tmp_path, cli: Cli):  # noqa: F811
    with pytest.raises(TrainingError, match=r"source must be one of folder, .*, json-lines, got 'x'"):
        open_source("x", tmp_path)
    with pytest.raises(
        TrainingError, match="source 'json-lines': unknown field 'a'; there are sensor, limit"
    ):
        open_source("json-lines", tmp_path, a=1)
    out = tmp_path / "a.esp"
    assert "name it with --source" in cli("pack", tmp_path, out, "--set", "limit=1").err
    refused = cli("pack", tmp_path, out, "--source", "json-lines", "--split", "train")
    assert refused.code == 2
    assert "--split is not for source 'json-lines'" in refused.err
    assert (
        "no such folder" in cli("pack", tmp_path / "none", out, "--source", "folder", "--crop", "0,0,2,2").err
    )


def test_a_package_that_cannot_be_imported_is_named(tmp_path, monkeypatch):
    (tmp_path / "more").mkdir()
    install({("eventsnn.encoders", "broken"): "tests.plugins.none:Encoder"}, tmp_path / "more", monkeypatch)
    with pytest.raises(SimulationError, match="encoder 'broken' of plugins cannot be imported from tests"):
        make_encoder("broken", "values", {})
    assert make_encoder("latency", "values", {}).last_us == 100_000


def test_the_page_lists_every_group_of_entry_points():
    page = PAGE.read_text(encoding="utf-8")
    assert len(groups()) == 8
    for group in groups():
        assert f"| `{group}` |" in page, group


@pytest.mark.parametrize("name", ENTRIES)
def test_the_page_shows_the_modules(name):
    shown = (PLUGINS / f"{name}.py").read_text(encoding="utf-8")
    assert f"```python\n{shown}```\n" in PAGE.read_text(encoding="utf-8")
