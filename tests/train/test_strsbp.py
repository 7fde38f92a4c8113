"""HM2-BP through recurrent and skip connections (ST-RSBP): against its twin, its own model, and on data."""

from __future__ import annotations

import numpy as np
import pytest

from eventsnn._util.threads import Pool as Threads
from eventsnn.errors import TrainingError
from eventsnn.learn import HM2BP
from eventsnn.learn.optimisers import Optimiser, OptimiserState
from eventsnn.learn.recurrent import recurrent_errors
from eventsnn.model import Connection, Conv, Dense, Input, Network
from eventsnn.model.sparse import is_sparse
from eventsnn.reference import hm2bp, strsbp
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.train.checkpoint import load_checkpoint
from eventsnn.train.graph import GraphLearner
from eventsnn.train.graph_weights import GraphWeights
from tests.train.toy import CLASSES, CLOCKS, RULE, SENSOR, toy_train

LABELS = np.array([0, 2])
RULES = {
    "defaults": HM2BP(desired=6, undesired=1, margin=0.5),
    "rho off": HM2BP(desired=6, undesired=1, margin=0.5, effect_ratio=False),
    "softmax, other constants": HM2BP(head="softmax", silent_post_spsp=0.37, silent_post_ratio=0.9),
}
SKIPS = [Connection("first", "output", delay=1.0), Connection("input", "second")]
LOOPS = [
    Connection("first", "first", delay=0.7),
    Connection("second", "second", name="at once"),
    Connection("second", "second", delay=2.0, name="later"),
    Connection("output", "output", delay=1.5),
]


def make(connections, *, bias=0.0, probability=1.0, resting=0.0, silent=None, seed=0):
    """20-40-12-4 with random weights; `silent` is a neuron of each layer that never fires."""

    def lif(threshold, **more):
        return {"threshold": threshold, "tau_m": 16.0, "tau_s": 4.0, "refractory": 2.0, **more}

    network = Network(
        Input(20, bias_interval=bias),
        Dense(40, name="first", resting=resting, probability=probability, **lif(1.3, delay=0.3)),
        Dense(12, name="second", **lif(1.1)),
        Dense(4, lateral_inhibition=0.2, **lif(0.9)),
        connections=[
            Connection(**{**vars(c), "probability": probability if c.source == "first" else 1.0})
            for c in connections
        ],
        seed=1,
    )
    rng, weights = np.random.default_rng(seed), {}
    for key, given in network.weights.items():
        mean, scale = (0.12, 0.35) if key in network.names else (0.0, 0.12)
        weights[key] = given.copy() if is_sparse(given) else np.empty(given.shape)
        values = weights[key].data if is_sparse(given) else weights[key]
        values[...] = rng.normal(mean, scale, values.shape)
        if silent is not None and not is_sparse(given):
            weights[key][silent] = -np.abs(weights[key][silent])
    return network.with_weights(weights)


def make_samples():
    rng = np.random.default_rng(3)
    return [(np.sort(rng.uniform(0, 60, 150)), rng.integers(0, 20, 150).astype(np.int32)) for _ in LABELS]


def accumulate(network, rule, threads=1):
    """(weights, gradients as optimisers hold them, run)."""
    weights = GraphWeights(network, np.float64)
    learner = GraphLearner(weights)
    states = {k: OptimiserState(Optimiser(), b, weights.synapses(k)) for k, b in weights.blocks.items()}
    with Threads(threads) as pool:
        run = learner.forward(Arrivals.join(make_samples()), pool)
        learner.accumulate(states, run, LABELS, np.array([1.0, 1.5]), rule, pool)
    return weights, {key: state.gradient for key, state in states.items()}, run


def check(network, rule, gradients_of):
    """Every gradient is the sum over the samples of those of a twin, to 1e-7 of the largest of its key."""
    weights, found, run = accumulate(network, rule, threads=2)
    expected = {}
    for record, label, end, factor in zip(run.records, LABELS, run.durations, (1.0, 1.5), strict=True):
        for key, gradient in gradients_of(network, record, int(label), end, rule, factor).items():
            expected[key] = expected.get(key, 0.0) + gradient
    for key, given in network.weights.items():
        gradient = expected[key]
        if is_sparse(given):
            values = gradient[np.repeat(np.arange(given.shape[0]), np.diff(given.indptr)), given.indices]
            gradient = given.copy()
            gradient.data = values
        packed = np.zeros_like(weights.blocks[key])
        weights._pack(key, gradient, packed)
        np.testing.assert_allclose(found[key], packed, rtol=0, atol=1e-7 * np.abs(packed).max())
        assert packed.any()
    return run


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "settings",
    [{}, {"bias": 3.0}, {"probability": 0.5}, {"resting": 0.4}, {"silent": 1}],
    ids=["plain", "biases", "sparse", "resting", "silent"],
)
def test_gradients_are_those_of_the_twin(rule, settings):
    run = check(make(SKIPS + LOOPS, **settings), RULES[rule], strsbp.gradients)
    silent = [not record[name].counts.all() for record in run.records for name in ("second", "output")]
    assert any(silent) or "silent" not in settings


def test_without_loops_a_forced_label_is_that_of_the_twin():
    network = make(SKIPS, silent=0)
    run = check(network, RULES["defaults"], strsbp.gradients)
    assert not run.records[0].output.counts[0]


def test_on_chains_both_twins_agree():
    network = make([])
    check(network, RULES["defaults"], strsbp.gradients)
    check(network, RULES["defaults"], hm2bp.gradients)


def test_errors_are_the_derivatives_of_the_linear_model():
    """a = x + C a with E = direct . a: dE/dx by solving the system for each unit of x."""
    rng = np.random.default_rng(0)
    coupling, direct = rng.normal(0.0, 0.6 / np.sqrt(30), (30, 30)), rng.normal(size=30)
    assert np.abs(np.linalg.eigvals(coupling)).max() < 0.8
    expected = [direct @ np.linalg.solve(np.eye(30) - coupling, unit) for unit in np.eye(30)]
    np.testing.assert_allclose(recurrent_errors(direct, coupling), expected, rtol=0, atol=1e-7)


def test_where_errors_gain_on_every_round_the_direct_ones_are_taken():
    rng = np.random.default_rng(0)
    direct = rng.normal(size=20)
    for scale in (1.5, 1e200):
        coupling = rng.normal(0.0, scale, (20, 20)) / np.sqrt(20)
        with np.errstate(over="ignore", invalid="ignore"):
            np.testing.assert_array_equal(recurrent_errors(direct, coupling), direct)


# -- whole runs
# ----------------------------------------------------------------------------------------------------------


def recurrent_network(probability=1.0):
    lif = {"threshold": 2.0, "tau_m": 30.0, "tau_s": 6.0}
    return Network(
        Input(*SENSOR),
        Dense(40, name="hidden", **lif),
        Dense(CLASSES, lateral_inhibition=0.5, **lif),
        connections=[
            Connection("hidden", "hidden", delay=1.0, initial_weight=0.2, probability=probability),
            Connection("input", "output", initial_weight=0.1),
        ],
        seed=3,
    )


@pytest.mark.parametrize("probability", [1.0, 0.3])
def test_training_learns_with_the_same_bits_however_it_runs(tmp_path, probability):
    network, states = recurrent_network(probability), {}
    result = toy_train(tmp_path / "one", network=network)
    assert result.history[-1]["loss"] < 0.5 * result.history[0]["loss"]
    for key, weights in network.weights.items():
        assert abs(result.network.weights[key] - weights).max() > 1e-3, f"{key} is trained"
    toy_train(tmp_path / "three", network=network, threads=3)
    for epochs in (1, 2, 3):
        toy_train(tmp_path / "resumed", network=network, epochs=epochs, resume=epochs > 1)
    for run in ("one", "three", "resumed"):
        states[run] = load_checkpoint(tmp_path / run / "checkpoint.h5")
        for line in states[run].history:
            for clock in CLOCKS:
                del line[clock]
        assert states[run].history == states["one"].history
        for key, array in states["one"].arrays.items():
            np.testing.assert_array_equal(states[run].arrays[key], array, err_msg=key)


REFUSED = {
    "connection 'output->hidden' leads back to an earlier layer": Network(
        Input(*SENSOR), Dense(4), Dense(3), connections=[Connection("output", "hidden", delay=1.0)]
    ),
    "layer 'conv' shares weights in a network that is more than a chain": Network(
        Input(*SENSOR), Conv(2, 3), Dense(3), connections=[Connection("output", "output", delay=1.0)]
    ),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_errors_have_no_way_through_says_which_rule_takes_it(tmp_path, text):
    with pytest.raises(TrainingError, match=f"network cannot be trained: {text}.* such as 'eventprop'"):
        toy_train(tmp_path / "run", network=REFUSED[text], rule=RULE)
    clocked = recurrent_network()
    with pytest.raises(TrainingError, match=r"'hidden->hidden' makes .* on a clock training takes"):
        toy_train(tmp_path / "run", network=clocked, engine="clocked")


def test_delays_of_single_neurons_are_refused(tmp_path):
    delays = np.linspace(0.5, 1.5, 60).tolist()
    network = recurrent_network().with_constants({"hidden": {"delay": delays}})
    with pytest.raises(TrainingError, match="one delay for all synapses of 'hidden', which has several"):
        toy_train(tmp_path / "run", network=network)
