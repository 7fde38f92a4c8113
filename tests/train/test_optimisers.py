"""The kernels of the optimisers against their plain-Python twins, and what the settings refuse."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from eventsnn._ext.optimiser import update_blocks
from eventsnn._ext.work_counter import WorkCounter
from eventsnn.errors import TrainingError
from eventsnn.simulate.engines.blocks import WIDTH
from eventsnn.train.optimisers import Optimiser, OptimiserState, adam_twin, sgd_twin
from eventsnn.train.schedules import SCHEDULES

BLOCKS, PRE, STEPS = 3, 7, 6
SHAPE = (BLOCKS, PRE, WIDTH)

# Twin and kernel order the factors of the bias correction differently: a few roundings a step, of weights of
# order 1 that move by some 0.01. In float32 that is a few times 6e-8, in float64 a few times 1e-16.
TOLERANCES = {np.float64: 1e-12, np.float32: 2e-6}
# The float32 nearest to 0.999 leaves 1 - beta2 off by 1.3e-5 of its value, and the mean square with it.
MOMENTS = {np.float64: 1e-12, np.float32: 2e-5}


def run_both(optimiser, real, decay_scale=0.3):
    """The state after a few steps and the twin's (weights, moments) in float64."""
    rng = np.random.default_rng(5)
    weights = rng.normal(size=SHAPE).astype(real)
    state = OptimiserState(optimiser, weights.copy())
    twin = weights.astype(np.float64)
    moments = [np.zeros(SHAPE) for _ in state.moments]
    for step in range(1, STEPS + 1):
        # Gradients over four orders of magnitude, some of them 0: Adam's floor and bias corrections matter.
        gradient = (rng.normal(size=SHAPE) * 10.0 ** rng.integers(-3, 2, SHAPE)).astype(real)
        gradient[rng.random(SHAPE) < 0.2] = 0.0
        decay = (decay_scale * rng.random((BLOCKS, WIDTH))).astype(real)
        rate = optimiser.rate(step)
        state.gradient += gradient
        update_blocks(state.update(0.25, decay, rate, step), WorkCounter(BLOCKS))
        mean = 0.25 * gradient.astype(np.float64) + decay.astype(np.float64)[:, None, :] * twin
        if optimiser.name == "adam":
            twin, *moments = adam_twin(twin, mean, *moments, rate, step, optimiser)
        else:
            twin, *moments = sgd_twin(twin, mean, *moments, rate, optimiser)
        assert not state.gradient.any(), "the next batch must start from 0"
    return state, twin, moments


OPTIMISERS = {
    "adam": Optimiser(learning_rate=0.01, schedule="constant"),
    "adam, other constants": Optimiser(learning_rate=0.1, beta1=0.5, beta2=0.9, epsilon=1e-2),
    "sgd": Optimiser(name="sgd", learning_rate=0.01),
    "sgd without momentum": Optimiser(name="sgd", learning_rate=0.01, momentum=0.0),
}


@pytest.mark.parametrize("real", [np.float64, np.float32])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_kernels_do_what_their_twins_do(name, real):
    state, twin, moments = run_both(OPTIMISERS[name], real)
    np.testing.assert_allclose(state.weights, twin, rtol=TOLERANCES[real], atol=TOLERANCES[real])
    for found, expected in zip(state.moments, moments, strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=MOMENTS[real], atol=TOLERANCES[real] * scale)


@pytest.mark.parametrize("real", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_row_sums_are_those_of_the_new_weights(name, real):
    state, _, _ = run_both(OPTIMISERS[name], real)
    wide = state.weights.astype(np.float64)
    # Kept in float64 whatever the weights; numpy adds in another order.
    np.testing.assert_allclose(state.row_sum, wide.sum(axis=1), rtol=0, atol=1e-14 * PRE)
    np.testing.assert_allclose(state.row_square, np.square(wide).sum(axis=1), rtol=1e-14)
    fresh = OptimiserState(OPTIMISERS[name], state.weights)
    np.testing.assert_allclose(fresh.row_sum, state.row_sum, rtol=0, atol=1e-14 * PRE)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_only_the_blocks_asked_for_are_updated(name):
    state = OptimiserState(OPTIMISERS[name], np.ones(SHAPE))
    state.gradient[:] = 1.0
    update = state.update(1.0, np.zeros((BLOCKS, WIDTH)), 0.1, 1)
    turns = WorkCounter(2)
    assert turns.take() == 0
    update_blocks(update, turns)
    assert not turns.left
    assert (state.weights[1] != 1.0).all()
    for block in (0, 2):
        assert (state.weights[block] == 1.0).all()
        assert (state.gradient[block] == 1.0).all()
        assert (state.row_sum[block] == PRE).all()


def test_adam_by_hand():
    """Two steps on one weight, from the formulas of Kingma & Ba 2015, algorithm 1."""
    state = OptimiserState(Optimiser(learning_rate=0.1, schedule="constant"), np.full((1, 1, WIDTH), 2.0))
    state.gradient[:] = 3.0
    update_blocks(state.update(1.0, np.zeros((1, WIDTH)), 0.1, 1), WorkCounter(1))
    # The first step is the rate in the direction of the sign, whatever the magnitude.
    assert state.weights[0, 0, 0] == pytest.approx(2.0 - 0.1 * 3.0 / (3.0 + 1e-8), rel=1e-14)
    first = state.weights[0, 0, 0]
    state.gradient[:] = -1.0
    update_blocks(state.update(1.0, np.zeros((1, WIDTH)), 0.1, 2), WorkCounter(1))
    mean = (0.9 * 0.1 * 3.0 - 0.1) / (1 - 0.81)
    square = (0.999 * 0.001 * 9.0 + 0.001) / (1 - 0.999**2)
    assert state.weights[0, 0, 0] == pytest.approx(first - 0.1 * mean / (square**0.5 + 1e-8), rel=1e-13)


def test_schedules():
    assert SCHEDULES.keys() == {"inverse_sqrt", "exponential", "constant"}
    assert [Optimiser(learning_rate=0.5).rate(epoch) for epoch in (0, 1, 4)] == [0.5, 0.5, 0.25]
    falling = Optimiser(learning_rate=0.5, schedule="exponential")
    assert [falling.rate(epoch) for epoch in (0, 1, 3)] == pytest.approx([0.5, 0.45, 0.3645], rel=1e-15)
    assert [Optimiser(learning_rate=0.5, schedule="constant").rate(epoch) for epoch in (0, 4)] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("name", "rmsprop", "name must be one of adam, sgd, got 'rmsprop'"),
        ("schedule", "cosine", "schedule must be one of inverse_sqrt, exponential, constant, got 'cosine'"),
        ("learning_rate", 0.0, "learning_rate must be a number > 0 and < inf, got 0.0"),
        ("learning_rate", float("nan"), "learning_rate must be a number > 0 and < inf, got nan"),
        ("learning_rate", float("inf"), "learning_rate must be a number > 0 and < inf, got inf"),
        ("learning_rate", "0.1", "learning_rate must be a number > 0 and < inf, got '0.1'"),
        ("epsilon", 0, "epsilon must be a number > 0 and < inf, got 0"),
        ("beta1", 1.0, "beta1 must be a number >= 0 and < 1, got 1.0"),
        ("beta2", -0.1, "beta2 must be a number >= 0 and < 1, got -0.1"),
        ("momentum", True, "momentum must be a number >= 0 and < 1, got True"),
    ],
)
def test_bad_settings_are_refused(field, value, text):
    with pytest.raises(TrainingError) as caught:
        Optimiser.from_table({field: value})
    assert str(caught.value) == f"optimiser: {text}"


def test_unknown_fields_are_refused():
    known = ", ".join(field.name for field in dataclasses.fields(Optimiser))
    with pytest.raises(TrainingError, match=f"optimiser: unknown field 'lr'; there are {known}"):
        Optimiser.from_table({"lr": 0.1})


def test_tables_go_there_and_back():
    optimiser = Optimiser(name="sgd", learning_rate=0.5, momentum=0.0)
    assert Optimiser.from_table(optimiser.to_table()) == optimiser
