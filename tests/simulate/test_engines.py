"""The registry of engines: what is in it, the choice, and an engine that is registered from outside."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.cli import main
from eventsnn.model import Connection, Dense, Input, Network, Reservoir, RunSettings
from eventsnn.simulate.engines import ENGINES, Engine, Settings, choose
from tests.plugins import install
from tests.simulate.helpers import assert_same_bits
from tests.train.toy import CLASSES, toy_data

EVENTS = (np.array([1.0, 4.0, 6.0, 30.0]), np.array([0, 1, 0, 1]))


def small(layers: int = 1, **more) -> Network:
    return Network(Input(2), *(Dense(3, threshold=0.3) for _ in range(layers)), seed=1, **more)


@pytest.fixture(params=["registered", "entry point"])
def single(request, tmp_path, monkeypatch) -> str:
    """The name under which the plugin is known, for one test."""
    from tests.plugins.one_layer import ENGINE

    if request.param == "registered":
        ENGINES.register("one-layer", ENGINE)
    else:
        ENGINES.unregister("one-layer")
        point = {("eventsnn.engines", "one-layer"): "tests.plugins.one_layer:ENGINE"}
        install(point, tmp_path, monkeypatch)
    yield "one-layer"
    ENGINES.unregister("one-layer")


@pytest.mark.parametrize("name", ["queue", "sweep", "twin", "clocked"])
def test_every_engine_has_the_name_it_is_registered_by(name):
    engine = ENGINES.get(name)
    assert isinstance(engine, Engine)
    assert engine.name == name
    assert set(engine.dtypes) <= {"float32", "float64"}


def test_auto_is_the_first_that_can():
    loop = small(connections=[Connection("output", "output", delay=1.0)])
    trained = small().with_settings(RunSettings("clocked", 0.5))
    found = [choose(network, "auto", Settings()) for network in (small(), loop, trained)]
    assert [engine.name for engine, _ in found] == ["sweep", "queue", "clocked"]
    assert [settings.dtype for _, settings in found] == ["float64", "float64", "float32"]
    assert [settings.step_ms for _, settings in found] == [None, None, 0.5]
    assert choose(small(), "auto", Settings(fast=True))[1].dtype == "float32"


def test_an_engine_from_outside_runs_whole_recordings_and_parts(single):
    expected = es.simulate(small(), EVENTS, engine="twin")
    assert len(expected.output) > 3
    found = es.simulate(small(), EVENTS, engine=single)
    assert (found.engine, found.dtype) == (single, "float64")
    assert_same_bits(found, expected)
    run = es.Simulation(small(), engine=single)
    parts = [run.feed((EVENTS[0][a:b], EVENTS[1][a:b])) for a, b in pairwise((0, 2, 4))] + [run.finish()]
    times = np.concatenate([part.output.times for part in parts])
    np.testing.assert_array_equal(times, expected.output.times)


def test_an_engine_from_outside_goes_on_from_a_state(single, tmp_path):
    run = es.Simulation(small(), engine=single)
    run.feed(EVENTS)
    run.save(tmp_path / "state.npz")
    again = es.Simulation.resume(tmp_path / "state.npz", small())
    assert again.engine == single
    np.testing.assert_array_equal(again.finish().output.times, run.finish().output.times)


def test_an_engine_from_outside_refuses_for_itself(single):
    for begin in (lambda n: es.simulate(n, EVENTS, engine=single), lambda n: es.Simulation(n, engine=single)):
        with pytest.raises(es.SimulationError, match="runs networks of one layer, and this one has 2"):
            begin(small(2))
    with pytest.raises(es.SimulationError, match="engine 'one-layer' computes in float64 only"):
        es.simulate(small(), EVENTS, engine=single, dtype="float32")


@pytest.mark.parametrize("name", ["one-layer", "twin"])
def test_any_engine_evaluates(single, name):
    data = toy_data(6, seed=3)
    network = Network(Input(*data.sensor_size), Dense(CLASSES, threshold=0.3), seed=1)
    found = es.evaluate(network, data, engine=name, threads=2)
    expected = es.evaluate(network, data, engine="queue", dtype="float64", threads=1)
    assert found.engine == name
    assert expected.predictions.counts.any()
    np.testing.assert_array_equal(found.predictions.counts, expected.predictions.counts)


@pytest.mark.parametrize("interval", [0.0, 4.0])
def test_every_engine_counts_what_lies_above_a_reservoir(interval):
    data = toy_data(6, seed=3)
    network = Network(
        Input(*data.sensor_size, bias_interval=interval),
        Reservoir(grid=(3, 3, 2), threshold=0.3),
        Dense(CLASSES, threshold=0.3),
        seed=1,
    ).with_settings(RunSettings(duration_ms=60.0))
    expected = es.evaluate(network, data, dtype="float64", threads=1)
    assert (expected.engine, expected.predictions.counts.any()) == ("sweep", True)
    for engine in ("queue", "twin"):
        found = es.evaluate(network, data, engine=engine, dtype="float64", threads=2)
        np.testing.assert_array_equal(found.predictions.counts, expected.predictions.counts)


def test_settings_are_completed_not_changed():
    settings = Settings(events=3)
    assert choose(small(), "queue", settings)[1] == replace(settings, dtype="float64")


def test_an_engine_from_outside_is_known_on_the_command_line(single, tmp_path, capsys):
    small().save(tmp_path / "m.h5")
    (tmp_path / "e.csv").write_text("t,x,y,p\n1000,0,0,0\n4000,1,0,0\n")
    assert main(["simulate", str(tmp_path / "m.h5"), str(tmp_path / "e.csv"), "--engine", single]) == 0
    assert "engine one-layer, exact time" in capsys.readouterr().out


def test_unknown_engines_list_all_there_are(single):
    with pytest.raises(es.SimulationError, match="one of auto, queue, sweep, gpu, twin, clocked, one-layer"):
        es.simulate(small(), EVENTS, engine="swep")


def test_the_page_shows_the_engine():
    module = Path(__file__).parents[1] / "plugins" / "one_layer.py"
    page = Path(__file__).parents[2] / "docs" / "extending.md"
    assert f"```python\n{module.read_text(encoding='utf-8')}```\n" in page.read_text(encoding="utf-8")
