"""Experiment files with values that nobody means, in every field: refused, or an experiment."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from eventsnn.data import Augmentation
from eventsnn.data.distort import Distortion
from eventsnn.encode import Bernoulli
from eventsnn.errors import EventSNNError, TrainingError
from eventsnn.events.reading import ReadingOptions
from eventsnn.learn import HM2BP
from eventsnn.learn.optimisers import Optimiser
from eventsnn.train.experiment import Experiment, TrainingOptions

TABLES: dict[str, Any] = {
    "rule": HM2BP,
    "optimiser": Optimiser,
    "training": TrainingOptions,
    "augmentation": Augmentation,
    "distortion": Distortion,
    "coding": Bernoulli,
    "reading": ReadingOptions,
}
NETWORK = {"input": {"width": 4, "height": 4, "polarities": 2}, "layers": [{"neurons": 3}]}
TOO_LARGE: tuple[Any, ...] = (1e16, 1e300, -1e308, 10**400, -(10**400))
NO_NUMBERS: tuple[Any, ...] = (float("nan"), float("inf"), float("-inf"), [], [1], {}, {"a": 1}, "nonsense")
NUMBERS: tuple[Any, ...] = (0, -1, 1, 0.5, 5e-324, 1e12, True, None, "")


def accepted(table: str, field: str, value: Any) -> bool:
    try:
        Experiment.from_table({"network": NETWORK, table: {field: value}})
    except EventSNNError:
        return False
    return True


@pytest.mark.parametrize("table", TABLES)
def test_every_field_takes_any_value_or_refuses_it(table):
    for field in fields(TABLES[table]):
        for value in NUMBERS:
            accepted(table, field.name, value)
        for value in TOO_LARGE:
            assert not accepted(table, field.name, value), (field.name, value)
        for value in NO_NUMBERS:
            texts = table == "reading" and isinstance(value, str)  # names of formats and columns
            empty = value == [] and field.name == "transforms"
            assert texts or empty or not accepted(table, field.name, value), (field.name, value)


NO_FILES = (
    *("a = " + "[" * 5000, "a = " + "9" * 5000, "\0", "[network", "network = 3"),
    "[network]\n[network]\n",
)


@pytest.mark.parametrize("text", NO_FILES)
def test_files_that_are_no_experiment_are_refused_by_name(tmp_path, text):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(TrainingError, match=r"x\.toml"):
        Experiment.load(tmp_path / "x.toml")
