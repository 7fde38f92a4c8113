"""Optimisers, heads and rules from outside the package: one module each, found by name, trained with."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from eventsnn.errors import TrainingError
from eventsnn.learn import HEADS, HM2BP, OPTIMISERS, RULES
from eventsnn.learn.optimisers import Optimiser
from eventsnn.train.experiment import Experiment
from tests.plugins import install
from tests.train.toy import CLASSES, OPTIMISER, RULE, assert_same_weights, toy_data, toy_network, toy_train

PLUGINS = Path(__file__).parents[1] / "plugins"
PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
ENTRIES = {"lion": OPTIMISERS, "hinge": HEADS, "teacher": RULES}
TABLE = {
    "network": toy_network().to_table(),
    "training": {"epochs": 6, "batch_size": 4, "seed": 7, "valid_fraction": 0.25},
}


@pytest.fixture(params=["registered", "entry point"], autouse=True)
def plugins(request, tmp_path, monkeypatch):
    """The plugins made known in either way, and forgotten afterwards."""
    modules = {name: importlib.import_module(f"tests.plugins.{name}") for name in ENTRIES}
    classes = {"lion": modules["lion"].Lion, "hinge": modules["hinge"].HingeHead}
    classes["teacher"] = modules["teacher"].Teacher
    if request.param == "registered":
        for name, registry in ENTRIES.items():
            registry.register(name, classes[name])
    else:
        for name, registry in ENTRIES.items():
            registry.unregister(name)
        install(
            {
                (registry.group, name): f"tests.plugins.{name}:{classes[name].__name__}"
                for name, registry in ENTRIES.items()
            },
            tmp_path,
            monkeypatch,
        )
    yield
    for name, registry in ENTRIES.items():
        registry.unregister(name)


@pytest.mark.parametrize("engine", ["exact", "clocked"])
@pytest.mark.parametrize(
    "tables",
    [
        {"optimiser": {"name": "lion", "learning_rate": 0.01, "blend": 0.8}},
        {"rule": {"head": "hinge", "margin": 3.0}},
        {"rule": {"name": "teacher", "spikes": 8.0, "shrink": 0.001}},
    ],
    ids=["optimiser", "head", "rule"],
)
def test_experiments_train_with_them_by_name(tables, engine, tmp_path):
    base = {"rule": RULE.to_table(), "optimiser": {"learning_rate": 0.02}}
    experiment = Experiment.from_table({**TABLE, **base, **tables})
    result = experiment.run(toy_data(), out=tmp_path / "run", engine=engine, threads=2)
    assert result.history[-1]["loss"] < 0.7 * result.history[0]["loss"]
    assert result.history[-1]["accuracy"] > 1.5 / CLASSES


@pytest.mark.parametrize("changes", ["optimiser", "rule"])
def test_runs_resume_with_the_same_bits(changes, tmp_path):
    options = {
        "optimiser": {"optimiser": Optimiser(name="lion", learning_rate=0.01)},
        "rule": {"rule": RULES.get("teacher")()},
    }[changes]
    whole = toy_train(tmp_path / "whole", epochs=3, threads=2, **options)
    toy_train(tmp_path / "parts", epochs=1, **options)
    resumed = toy_train(tmp_path / "parts", epochs=3, resume=True, **options)
    assert_same_weights(whole.network, resumed.network)
    with pytest.raises(TrainingError, match=f"cannot resume, {changes}.name was"):
        toy_train(tmp_path / "parts", epochs=4, resume=True, rule=RULE, optimiser=OPTIMISER)


def test_lion_by_hand():
    method = Optimiser(name="lion", beta2=0.5, options={"blend": 0.75}).method
    weights, mean = method.step(np.array([1.0]), np.array([2.0]), [np.array([-4.0])], 0.1, 1)
    # 0.75 * -4 + 0.25 * 2 = -2.5: the weight grows by the rate; mean: 0.5 * -4 + 0.5 * 2.
    assert weights.tolist() == [1.1]
    assert mean.tolist() == [-1.0]


def test_hinge_by_hand():
    loss, d = HM2BP(head="hinge", margin=2.0).losses(np.array([[3, 2, 0]]), np.array([0]))
    assert loss.tolist() == [1.0]
    assert d.tolist() == [[-1.0, 1.0, 0.0]]


def test_unknown_names_list_those_of_other_packages():
    for table, known in (("optimiser", "nesterov, lion"), ("rule", "hm2bp, eventprop, teacher")):
        with pytest.raises(TrainingError, match=f"{table}: name must be one of .*{known}, got 'x'"):
            Experiment.from_table({**TABLE, table: {"name": "x"}})
    with pytest.raises(TrainingError, match="rule: head must be one of count, softmax, hinge, got 'x'"):
        Experiment.from_table({**TABLE, "rule": {"head": "x"}})


@pytest.mark.parametrize("name", ENTRIES)
def test_the_page_shows_the_modules(name):
    assert f"```python\n{(PLUGINS / f'{name}.py').read_text(encoding='utf-8')}```\n" in PAGE.read_text(
        encoding="utf-8"
    )


def test_the_default_rule_may_be_named():
    named = Experiment.from_table({**TABLE, "rule": {"name": "hm2bp", "desired": 3}})
    assert named.rule == HM2BP(desired=3)
    assert "name" not in named.rule.to_table()  # as in checkpoints from before there were names
    with pytest.raises(TrainingError, match="rule: name must be one of hm2bp, eventprop, teacher, got 3"):
        Experiment.from_table({**TABLE, "rule": {"name": 3}})
