"""Optimisers: kernels against the readable steps, these against the papers, and what the settings refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eventsnn._ext.optimiser import sum_rows, update_blocks
from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.threads import call
from eventsnn.errors import TrainingError
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.learn.schedules import SCHEDULES
from eventsnn.simulate.engines.blocks import WIDTH

KNOWN = (
    "name, learning_rate, schedule, decay, beta1, beta2, epsilon, momentum, delay_rate, constant_rate, warmup"
)
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
        state.update(0.25, decay, rate, step).run(call)
        mean = 0.25 * gradient.astype(np.float64) + decay.astype(np.float64)[:, None, :] * twin
        twin, *moments = optimiser.method.step(twin, mean, moments, rate, step)
        assert not state.gradient.any(), "the next batch must start from 0"
    return state, twin, moments


OPTIMISERS = {
    "adam": Optimiser(learning_rate=0.01, schedule="constant"),
    "adam, other constants": Optimiser(learning_rate=0.1, beta1=0.5, beta2=0.9, epsilon=1e-2),
    "sgd": Optimiser(name="sgd", learning_rate=0.01),
    "sgd without momentum": Optimiser(name="sgd", learning_rate=0.01, momentum=0.0),
    "adamw": Optimiser(name="adamw", learning_rate=0.01, options={"weight_decay": 0.1}),
    "nesterov": Optimiser(name="nesterov", learning_rate=0.01),
}


@pytest.mark.parametrize("real", [np.float64, np.float32])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_kernels_do_what_their_twins_do(name, real):
    state, twin, moments = run_both(OPTIMISERS[name], real)
    np.testing.assert_allclose(state.weights, twin, rtol=TOLERANCES[real], atol=TOLERANCES[real])
    for found, expected in zip(state.moments, moments, strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=MOMENTS[real], atol=TOLERANCES[real] * scale)


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_sums_over_sources_are_those_of_exact_addition(real):
    weights = np.random.default_rng(5).normal(size=SHAPE).astype(real)
    sums = np.full((BLOCKS, WIDTH), np.nan)
    sum_rows(weights, sums, WorkCounter(BLOCKS))
    exact = [[math.fsum(weights[b, :, lane].tolist()) for lane in range(WIDTH)] for b in range(BLOCKS)]
    np.testing.assert_allclose(sums, exact, rtol=0, atol=1e-14 * PRE)


@pytest.mark.parametrize("real", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["adam", "sgd", "adamw", "nesterov"])
def test_row_sums_are_those_of_the_new_weights(name, real):
    state, _, _ = run_both(OPTIMISERS[name], real)
    wide = state.weights.astype(np.float64)
    # Kept in float64 whatever the weights; numpy adds in another order.
    np.testing.assert_allclose(state.row_sum, wide.sum(axis=1), rtol=0, atol=1e-14 * PRE)
    np.testing.assert_allclose(state.row_square, np.square(wide).sum(axis=1), rtol=1e-14)
    assert (state.gradient_square > 0.0).all()
    fresh = OptimiserState(OPTIMISERS[name], state.weights)
    np.testing.assert_allclose(fresh.row_sum, state.row_sum, rtol=0, atol=1e-14 * PRE)


@pytest.mark.parametrize("real", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["adam", "sgd", "adamw", "nesterov"])
def test_norms_are_those_of_the_gradient_that_the_step_takes(name, real):
    rng = np.random.default_rng(7)
    weights = rng.normal(size=SHAPE).astype(real)
    state = OptimiserState(OPTIMISERS[name], weights.copy())
    state.gradient += rng.normal(size=SHAPE).astype(real)
    decay = rng.random((BLOCKS, WIDTH)).astype(real)
    wide = 0.25 * state.gradient.astype(np.float64) + decay.astype(np.float64)[:, None] * weights
    step = state.update(0.25, decay, 0.01, 1)
    plain = OptimiserState(OPTIMISERS[name], weights.copy())
    plain.gradient += state.gradient
    for block in range(BLOCKS):  # what optimisers without a kernel do
        plain._step(block, 0.25, decay[block], 0.01, 1)
    step.run(call)
    for found in (state, plain):
        np.testing.assert_allclose(found.gradient_square, np.square(wide).sum(axis=1), rtol=3e-5)
        assert found.gradient_norm == pytest.approx(np.linalg.norm(wide), rel=3e-5)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_only_the_blocks_asked_for_are_updated(name):
    state = OptimiserState(OPTIMISERS[name], np.ones(SHAPE))
    state.gradient[:] = 1.0
    update = state.update(1.0, np.zeros((BLOCKS, WIDTH)), 0.1, 1)
    turns = WorkCounter(2)
    assert turns.take() == 0
    update_blocks(update.fused, turns)()
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
    state.update(1.0, np.zeros((1, WIDTH)), 0.1, 1).run(call)
    # The first step is the rate in the direction of the sign, whatever the magnitude.
    assert state.weights[0, 0, 0] == pytest.approx(2.0 - 0.1 * 3.0 / (3.0 + 1e-8), rel=1e-14)
    first = state.weights[0, 0, 0]
    state.gradient[:] = -1.0
    state.update(1.0, np.zeros((1, WIDTH)), 0.1, 2).run(call)
    mean = (0.9 * 0.1 * 3.0 - 0.1) / (1 - 0.81)
    square = (0.999 * 0.001 * 9.0 + 0.001) / (1 - 0.999**2)
    assert state.weights[0, 0, 0] == pytest.approx(first - 0.1 * mean / (square**0.5 + 1e-8), rel=1e-13)


def take_steps(optimiser, weight, gradient_of, steps, rate=0.1):
    """One weight after each of some steps in float64, gradients taken at the present weight."""
    state = OptimiserState(optimiser, np.full((1, 1, WIDTH), weight))
    path = []
    for number in range(1, steps + 1):
        state.gradient[:] = gradient_of(state.weights)
        state.update(1.0, np.zeros((1, WIDTH)), rate, number).run(call)
        path.append(float(state.weights[0, 0, 0]))
    return path, state


def test_adamw_is_algorithm_2_of_loshchilov_and_hutter():
    """Lines 6 to 12 with alpha = 0.02, eta = 5, lambda = 0.004: rate 0.1, weight decay 0.2."""
    alpha, eta, lam, theta, m, v = 0.02, 5.0, 0.004, 1.5, 0.0, 0.0
    optimiser = Optimiser(name="adamw", options={"weight_decay": lam / alpha}, epsilon=1e-3)
    path, _ = take_steps(optimiser, theta, np.sin, 8, rate=alpha * eta)
    for t, found in enumerate(path, 1):
        g = math.sin(theta)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        theta -= eta * (alpha * m_hat / (math.sqrt(v_hat) + 1e-3) + lam * theta)
        assert found == pytest.approx(theta, rel=1e-13)


def test_adamw_without_decay_is_adam():
    adamw, _ = take_steps(Optimiser(name="adamw", options={"weight_decay": 0.0}), 1.5, np.sin, 5)
    adam, _ = take_steps(Optimiser(), 1.5, np.sin, 5)
    assert adamw == pytest.approx(adam, rel=1e-13)


def test_weight_decay_of_adamw_stays_out_of_the_moments():
    # Without a gradient Adam's step is none, so the weights shrink and nothing else.
    path, state = take_steps(Optimiser(name="adamw", options={"weight_decay": 0.5}), 2.0, np.zeros_like, 2)
    assert path == pytest.approx([2.0 * 0.95, 2.0 * 0.95**2], rel=1e-15)
    assert not any(moment.any() for moment in state.moments)


def test_nesterov_is_that_of_sutskever_et_al():
    """Their equations 3 and 4: v' = mu v - eps f'(theta + mu v), theta' = theta + v'."""
    mu, eps, theta, v = 0.8, 0.1, 1.5, 0.0
    path, state = take_steps(Optimiser(name="nesterov", momentum=mu), theta, np.sin, 8, rate=eps)
    for found in path:
        v = mu * v - eps * math.sin(theta + mu * v)
        theta += v
        assert found == pytest.approx(theta + mu * v, rel=1e-13)  # the point where the next gradient is taken
    assert state.moments[0][0, 0, 0] == pytest.approx(v, rel=1e-13)


def test_schedules():
    assert SCHEDULES.keys() == {"inverse_sqrt", "exponential", "constant"}
    assert [Optimiser(learning_rate=0.5).rate(epoch) for epoch in (0, 1, 4)] == [0.5, 0.5, 0.25]
    falling = Optimiser(learning_rate=0.5, schedule="exponential")
    assert [falling.rate(epoch) for epoch in (0, 1, 3)] == pytest.approx([0.5, 0.45, 0.3645], rel=1e-15)
    assert [Optimiser(learning_rate=0.5, schedule="constant").rate(epoch) for epoch in (0, 4)] == [0.5, 0.5]
    assert [Optimiser(warmup=4).warm(step) for step in (1, 2, 4, 5)] == [0.25, 0.5, 1.0, 1.0]
    assert Optimiser().warm(1) == 1.0


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("name", "rmsprop", "name must be one of adam, sgd, adamw, nesterov, got 'rmsprop'"),
        ("schedule", "cosine", "schedule must be one of inverse_sqrt, exponential, constant, got 'cosine'"),
        ("learning_rate", 0.0, "learning_rate must be a finite number > 0, got 0.0"),
        ("learning_rate", float("nan"), "learning_rate must be a finite number > 0, got nan"),
        ("learning_rate", float("inf"), "learning_rate must be a finite number > 0, got inf"),
        ("learning_rate", "0.1", "learning_rate must be a finite number > 0, got '0.1'"),
        ("epsilon", 0, "epsilon must be a finite number > 0, got 0"),
        ("beta1", 1.0, "beta1 must be a finite number >= 0 and < 1, got 1.0"),
        ("beta2", -0.1, "beta2 must be a finite number >= 0 and < 1, got -0.1"),
        ("name", ["adam"], "name must be one of adam, sgd, adamw, nesterov, got ['adam']"),
        ("options", 1.0, "unknown field 'options'; there are " + KNOWN),
        ("momentum", True, "momentum must be a finite number >= 0 and < 1, got True"),
    ],
)
def test_bad_settings_are_refused(field, value, text):
    with pytest.raises(TrainingError) as caught:
        Optimiser.from_table({field: value})
    assert str(caught.value) == f"optimiser: {text}"


def test_unknown_fields_are_refused():
    with pytest.raises(TrainingError, match=f"optimiser: unknown field 'lr'; there are {KNOWN}$"):
        Optimiser.from_table({"lr": 0.1})
    with pytest.raises(TrainingError, match=f"unknown field 'lr'; there are {KNOWN}, weight_decay$"):
        Optimiser.from_table({"name": "adamw", "lr": 0.1})
    with pytest.raises(TrainingError, match="unknown field 'weight_decay'"):
        Optimiser(name="nesterov", options={"weight_decay": 0.1})
    with pytest.raises(TrainingError, match="weight_decay must be a finite number >= 0, got -1"):
        Optimiser(name="adamw", options={"weight_decay": -1})
    with pytest.raises(TrainingError, match=r"options must be a table, got \[\]"):
        Optimiser(options=[])


def test_tables_go_there_and_back():
    optimiser = Optimiser(name="sgd", learning_rate=0.5, momentum=0.0)
    assert Optimiser.from_table(optimiser.to_table()) == optimiser
    assert list(optimiser.to_table()) == KNOWN.split(", ")  # as checkpoints hold it
    adamw = Optimiser.from_table({"name": "adamw", "weight_decay": 0.5})
    assert adamw.options == {"weight_decay": 0.5}
    assert adamw.to_table()["weight_decay"] == 0.5
    assert Optimiser.from_table(adamw.to_table()) == adamw
    assert Optimiser(name="adamw").options == {"weight_decay": 0.01}
