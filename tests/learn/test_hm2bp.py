"""Options of the rule: defaults, checks and tables."""

import dataclasses

import pytest

from eventsnn.errors import TrainingError
from eventsnn.learn import HM2BP


def test_defaults_are_the_released_constants():
    rule = HM2BP()
    assert (rule.desired, rule.undesired, rule.margin) == (35, 5, 5)
    assert (rule.silent_post_spsp, rule.silent_post_ratio) == (0.1, 0.5)
    assert (rule.boosting_divisor, rule.weight_limit) == (20, 8)
    assert rule.effect_ratio
    assert rule.force_label_spikes
    assert rule.penalty_lambda == 0


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("desired", 0, "desired must be a whole number >= 1"),
        ("desired", 35.5, "desired must be a whole number"),
        ("undesired", -1, "undesired must be a whole number >= 0"),
        ("undesired", True, "undesired must be a whole number"),
        ("margin", float("nan"), "margin must be a finite number >= 0"),
        ("margin", "5", "margin must be a finite number >= 0, got '5'"),
        ("silent_post_spsp", -0.1, "silent_post_spsp must be"),
        ("silent_post_ratio", True, "silent_post_ratio must be"),
        ("boosting_divisor", 0.0, "boosting_divisor must be a finite number > 0"),
        ("weight_limit", 0.0, "weight_limit must be a finite number > 0"),
        ("penalty_lambda", float("inf"), "penalty_lambda must be"),
        ("penalty_beta", -1.0, "penalty_beta must be"),
        ("weight_decay", -1e-9, "weight_decay must be"),
        ("effect_ratio", 1, "effect_ratio must be true or false, got 1"),
        ("force_label_spikes", "yes", "force_label_spikes must be true or false"),
        ("boosting", None, "boosting must be true or false"),
        ("head", "counts", "head must be one of count, softmax, got 'counts'"),
    ],
)
def test_bad_options_are_named(field, value, text):
    with pytest.raises(TrainingError, match=text):
        HM2BP(**{field: value})


def test_from_table():
    assert HM2BP.from_table({"desired": 45, "undesired": 15, "head": "softmax"}) == HM2BP(
        desired=45, undesired=15, head="softmax"
    )
    assert HM2BP.from_table(dataclasses.asdict(HM2BP(boosting=True))) == HM2BP(boosting=True)


def test_from_table_refuses_what_it_does_not_know():
    with pytest.raises(TrainingError, match=r"rule: unknown field 'desire'; there are desired, undesired"):
        HM2BP.from_table({"desire": 35})
    with pytest.raises(TrainingError, match="rule must be a table"):
        HM2BP.from_table([35])
