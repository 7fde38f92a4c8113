"""Losses and errors of the output layer as a stage, against the rule's own methods on the same counts."""

from __future__ import annotations

import numpy as np
import pytest

from eventsnn._ext.count_errors import count_errors
from eventsnn._ext.store import ForcedSpikes
from eventsnn._ext.team import Pipeline
from eventsnn._util.threads import Pool
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.model import Dense, Input, Network
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.engines.batch import run_batch
from eventsnn.simulate.engines.packed import PackedNetwork

SAMPLES = 7


def held_run(outputs: int, pool: Pool, real: type):
    """A mini-batch whose last layer has not run; some of its neurons will be silent."""
    layers = Dense(40, threshold=1.0), Dense(outputs, threshold=0.7)
    network = Network(Input(9), *layers, seed=3)
    rng = np.random.default_rng(5)
    samples = [
        (np.sort(rng.uniform(0.0, 50.0, 60)), rng.integers(0, 9, 60).astype(np.int32)) for _ in range(SAMPLES)
    ]
    arrivals = Arrivals.join(samples)
    return run_batch(PackedNetwork(network, real), arrivals, arrivals.ends, pool, hold=True), network


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("outputs", [3, 32, 70])
@pytest.mark.parametrize(
    "rule",
    [HM2BP(), HM2BP(desired=3, undesired=0, margin=0.0), HM2BP(desired=6, undesired=1, margin=1.5)],
)
def test_the_stage_gives_what_the_rule_gives(rule: HM2BP, outputs: int, real: type) -> None:
    with Pool(2) as pool:
        run, network = held_run(outputs, pool, real)
        assert run.held is not None
        size = -(-outputs // 32) * 32
        labels, weights = np.arange(SAMPLES) % outputs, np.linspace(0.5, 2.0, SAMPLES)
        counts, loss = np.full((SAMPLES, outputs), -1), np.full(SAMPLES, np.nan)
        delta, there = np.full((SAMPLES, size), np.nan), np.full((SAMPLES, size), np.nan, real)
        threshold = network.output.threshold
        stage = count_errors(
            run.held.store,
            ForcedSpikes(SAMPLES),
            labels,
            weights,
            run.durations,
            *rule.count_targets(),
            threshold,
            counts,
            loss,
            delta,
            there,
        )
        run.held.begin([stage])
        pool.finish()
        expected = run.layer_counts(-1)
    assert 0 < (expected == 0).sum() < expected.size
    np.testing.assert_array_equal(counts, expected)
    losses, d = rule.losses(expected, labels)
    errors = rule.output_errors(d, weights, threshold)
    np.testing.assert_array_equal(loss, losses)
    np.testing.assert_array_equal(delta[:, :outputs], errors)
    np.testing.assert_array_equal(delta[:, outputs:], 0.0)
    np.testing.assert_array_equal(there, delta != 0.0)


def test_a_subclass_or_another_head_is_asked_itself() -> None:
    class Other(HM2BP):
        def losses(self, counts, labels):
            return super().losses(counts, labels)

    assert HM2BP().count_targets() == (35, 5, 5.0, True)
    assert Other().count_targets() is None
    assert HM2BP(head="softmax").count_targets() is None


def test_a_pipeline_has_stages() -> None:
    with pytest.raises(ValueError, match="no stages"):
        Pipeline([])
