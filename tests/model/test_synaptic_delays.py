"""A delay for each synapse: descriptions, checks, files, engines, traces."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.sparse import coo_array, csc_array, csr_array

import eventsnn as es
from eventsnn.cli.info import info
from eventsnn.errors import NetworkError, SimulationError, TrainingError
from eventsnn.learn import HM2BP, EventProp
from eventsnn.model import Connection, Conv, Dense, Input, Network, Readout, Reservoir
from eventsnn.simulate.engines import windows
from eventsnn.trace import Trace, TraceWriter, membrane_potential
from eventsnn.trace.potential import replay_layer
from eventsnn.trace.spsp import neuron_spsps
from eventsnn.train.frozen_prefix import split_frozen_prefix
from eventsnn.train.learner import check_trainable
from tests.oracle import network_run
from tests.simulate.helpers import assert_layer_exact, assert_same_bits
from tests.simulate.test_windows import assert_close

A = {"tau_m": 20.0, "tau_s": 5.0}
END = 80.0


def make(seed=0, least=0.5, bias=0.0, lateral=0.0):
    """A sparse layer and a sparse loop with a delay for each synapse, a dense layer with one for all."""
    rng = np.random.default_rng(seed)
    network = Network(
        Input(9, bias_interval=bias),
        Dense(12, threshold=1.2, probability=0.7, initial_delays=(0.0, 4.0), lateral_inhibition=lateral, **A),
        Dense(4, threshold=1.0, delay=0.3, **A),
        connections=[
            Connection("hidden", "hidden", probability=0.4, initial_delays=[least, 3.0], name="loop"),
            Connection("output", "hidden", delay=0.7),
        ],
        seed=seed,
    )
    weights = {}
    for key, drawn in network.weights.items():
        own = key in network.names
        size = drawn.nnz if key in network.sparse_keys else drawn.shape
        values = rng.normal(0.3 if own else 0.0, 0.8 if own else 0.3, size)
        weights[key] = drawn.copy() if key in network.sparse_keys else values
        if key in network.sparse_keys:
            weights[key] = csr_array((values, drawn.indices, drawn.indptr), shape=drawn.shape)
    return network.with_weights(weights)


def events(n=70):
    """On a grid, so that some arrive at once."""
    rng = np.random.default_rng(1)
    times, neurons = np.round(rng.uniform(0.0, 50.0, n), 1), rng.integers(0, 9, n).astype(np.int32)
    order = np.lexsort((neurons, times))
    return times[order], neurons[order]


def given_weights():
    """Sparse weights (4, 3) with a synapse of weight 0, and delays that say where they are."""
    post, pre = np.array([2, 0, 3, 0, 1]), np.array([1, 2, 0, 0, 1])
    return post, pre, np.array([0.5, 0.0, 1.0, -2.0, 3.0]), 10.0 * post + pre


# -- description


@pytest.mark.parametrize("make_format", [coo_array, csr_array, csc_array])
@pytest.mark.parametrize("as_array", [True, False])
def test_delays_follow_the_data_of_the_weights_as_they_were_given(make_format, as_array):
    post, pre, values, delays = given_weights()
    weights = make_format((values, (post, pre)), shape=(4, 3))
    each = make_format((delays, (post, pre)), shape=(4, 3))
    assert each.nnz == weights.nnz == 5
    network = Network(
        Input(3), Dense(4), weights={"output": weights}, delays={"output": each.data if as_array else each}
    )
    stored = network.weights["output"]
    rows = np.repeat(np.arange(4), np.diff(stored.indptr))
    np.testing.assert_array_equal(network.delays["output"], 10.0 * rows + stored.indices)
    assert not network.delays["output"].flags.writeable
    (projection,) = network.projections
    assert projection.delay == 0.0
    assert network.senders(projection) == 5


def test_a_connection_takes_them_too():
    _, _, values, delays = given_weights()
    square = coo_array((values[:3], ([0, 1, 2], [1, 2, 0])), shape=(3, 3))
    loop = Connection("output", "output", delays=delays[:3], name="loop")
    network = Network(
        Input(2), Dense(3), connections=[loop], weights={"output": np.ones((3, 2)), "loop": square}
    )
    np.testing.assert_array_equal(network.delays["loop"], delays[:3])
    assert network.connections == (Connection("output", "output", name="loop"),)
    with pytest.raises(NetworkError, match="connection 'loop': delays are given twice"):
        Network(
            Input(2),
            Dense(3),
            connections=[loop],
            weights=dict(network.weights),
            delays={"loop": delays[:3]},
        )


def test_drawn_ones_are_uniform_and_leave_the_weights_as_they_are():
    table = {
        "input": {"width": 30},
        "layers": [{"neurons": 40}],
        "connections": [
            {"source": "output", "target": "output", "probability": 0.5, "initial_delays": [1, 3.5]}
        ],
    }
    network, same = (Network.from_table(table, seed=3) for _ in range(2))
    each = network.delays["output->output"]
    np.testing.assert_array_equal(each, same.delays["output->output"])
    assert len(each) == network.weights["output->output"].nnz > 500
    assert 1.0 <= each.min() < 1.1
    assert 3.4 < each.max() <= 3.5
    assert each.mean() == pytest.approx(2.25, abs=0.1)
    assert network.to_table()["connections"][0]["initial_delays"] == (1.0, 3.5)
    plain = Network.from_table(network.replace("output->output", initial_delays=None).to_table(), seed=3)
    assert (plain.weights["output->output"] != network.weights["output->output"]).nnz == 0
    assert not plain.delays
    assert "initial_delays" not in plain.to_table()["connections"][0]


def test_wrong_ones_are_named():
    _, _, values, delays = given_weights()
    weights = {"output": csr_array((values, (given_weights()[0], given_weights()[1])), shape=(4, 3))}

    def build(each, key="output", layer=None, weights=weights):
        return Network(Input(3), layer or Dense(4), weights=weights, delays={key: each})

    for each, text in (
        (delays[:4], r"delays of 'output' must have shape \(5,\), one for each synapse .* got \(4,\)"),
        (np.array([1.0, 2.0, np.nan, 1.0, 1.0]), r"0 to 1e\+12 ms, and that of post 1, pre 1 is nan"),
        (np.array([1.0, -2.0, 1.0, 1.0, 1.0]), r"0 to 1e\+12 ms, and that of post 0, pre 2 is -2"),
        (np.array(list("abcde")), "delays of 'output' must be numbers"),
        (csr_array(np.ones((4, 3))), r"must have shape \(12,\)|the synapses are not those of its weights"),
    ):
        with pytest.raises(NetworkError, match=text):
            build(each)
    with pytest.raises(NetworkError, match=r"no layer or connection 'loop'; there are output"):
        build(delays, key="loop")
    with pytest.raises(NetworkError, match="its weights are dense: give sparse ones"):
        build(delays, weights={"output": np.ones((4, 3))})
    with pytest.raises(NetworkError, match="its weights are dense: give sparse ones"):
        Network(Input(3), Dense(4, initial_delays=[0.0, 1.0]))
    with pytest.raises(NetworkError, match="the layer has a delay for each source neuron already"):
        build(delays, layer=Dense(4, delay=[1.0, 1.0, 1.0]))
    with pytest.raises(NetworkError, match="'output' is a readout; give it one delay"):
        build(delays, layer=Readout(4))
    with pytest.raises(NetworkError, match="positions share its weights; give it one delay"):
        Network(Input(3, 3), Conv(2, 2, name="c"), Dense(2), delays={"c": delays})
    for limits in ([1.0], "ab", [2.0, 1.0], [-1.0, 1.0]):
        with pytest.raises(NetworkError, match=r"'a->b': initial_delays must be"):
            Connection("a", "b", initial_delays=limits)
    twice = coo_array((np.ones(2), ([1, 1], [2, 2])), shape=(4, 3))
    with pytest.raises(NetworkError, match="each once"):
        build(np.ones(2), weights={"output": twice})


def test_other_weights_are_of_the_same_synapses():
    network = make()
    halved = {key: 0.5 * each for key, each in network.weights.items()}
    assert network.with_weights(halved).delays == network.delays
    halved["loop"] = csr_array(np.eye(12))
    with pytest.raises(NetworkError, match=r"weights of 'loop': .* are of other synapses"):
        network.with_weights(halved)


def test_others_replace_them():
    network = make()
    moved = network.with_delays({"loop": network.delays["loop"] + 1.0})
    np.testing.assert_array_equal(moved.delays["loop"], network.delays["loop"] + 1.0)
    np.testing.assert_array_equal(moved.delays["hidden"], network.delays["hidden"])
    assert network.projections[2].delay + 1.0 == moved.projections[2].delay
    assert set(network.with_delays({"loop": None}).delays) == {"hidden"}
    without = network.with_delays({"loop": None})
    assert without.projections[2].branches is None
    again = Network.from_table(without.to_table(), weights=without.weights, delays=without.delays)
    assert set(again.delays) == {"hidden"}  # none are drawn
    one = network.replace("loop", delay=2.0)
    assert one.projections[2].delay == 2.0
    assert set(one.delays) == {"hidden"}
    renamed = network.replace("loop", name="again").replace("hidden", threshold=2.0)
    np.testing.assert_array_equal(renamed.delays["again"], network.delays["loop"])


def test_files_copies_and_texts_keep_them(tmp_path):
    network = make(bias=6.0)
    network.save(tmp_path / "model.h5")
    for same in (
        Network.load(tmp_path / "model.h5"),
        pickle.loads(pickle.dumps(network)),
        copy.deepcopy(network),
        Network.from_table(network.to_table(), weights=network.weights, delays=network.delays),
    ):
        assert set(same.delays) == {"hidden", "loop"}
        for key, each in network.delays.items():
            np.testing.assert_array_equal(same.delays[key], each)
        assert same.to_table() == network.to_table()
    text = network.describe_delay("loop", 0.0)
    assert " to " in text
    assert text in network._repr_html_()


# -- simulation


@pytest.mark.parametrize(
    "options", [{}, {"bias": 6.0}, {"lateral": 0.2}, {"least": 0.0}, {"bias": 5.0, "lateral": 0.1, "seed": 2}]
)
def test_engines_agree_in_every_spike(monkeypatch, options):
    network = make(**options)
    twin, found = (es.simulate(network, events(), t_stop=END, engine=engine) for engine in ("twin", "auto"))
    assert min(len(twin[name]) for name in network.names) > 15
    assert_close(found, twin)
    monkeypatch.setattr(windows, "refusal", lambda network: "a test wants it dense")
    assert_same_bits(es.simulate(network, events(), t_stop=END), twin)
    narrow = es.simulate(network, events(), t_stop=30.0, dtype="float32")
    assert_close(narrow, es.simulate(network, events(), t_stop=30.0), 1e-2)


def test_the_spikes_of_the_oracle():
    network = make()
    expected = network_run(network, *events(), t_stop=15.0)
    assert expected.margin > 1e-9
    for engine in ("twin", "queue"):
        record = es.simulate(network, events(), t_stop=15.0, engine=engine)
        assert len(record["hidden"]) > 10
        for name in network.names:
            assert_layer_exact(record[name], expected.layers[name])


def test_equal_ones_are_one_delay():
    network = make()
    equal = {key: np.full(len(each), 1.25) for key, each in network.delays.items()}
    one = network.with_delays(dict.fromkeys(equal)).with_constants({key: {"delay": 1.25} for key in equal})
    assert_same_bits(
        *(es.simulate(n, events(), t_stop=END, engine="queue") for n in (one, network.with_delays(equal)))
    )


@pytest.mark.parametrize("engine", ["queue", "twin"])
@pytest.mark.parametrize("options", [{}, {"bias": 6.0}, {"least": 0.0}])
def test_parts_give_the_bits_of_the_whole(tmp_path, engine, options):
    """And so does a state that is saved and taken up again."""
    network, (times, neurons) = make(**options), events()
    whole = es.simulate(network, (times, neurons), engine=engine, t_stop=END)
    simulation, parts = es.Simulation(network, engine=engine, t_stop=END), []
    for n in range(0, len(times), 14):
        parts.append(simulation.feed((times[n : n + 14], neurons[n : n + 14])))
        simulation.save(tmp_path / "state")
        simulation = es.Simulation.resume(tmp_path / "state", network, t_stop=END)
    parts.append(simulation.finish())
    for name in network.names:
        np.testing.assert_array_equal(np.concatenate([part[name].times for part in parts]), whole[name].times)
    other = network.with_delays({"loop": network.delays["loop"] + 1e-9})
    with pytest.raises(SimulationError, match="another network"):
        es.Simulation.resume(tmp_path / "state", other)


def test_the_clock_refuses_them_by_name():
    network = make().with_delays({"hidden": None}).replace("output", delay=1.0)
    with pytest.raises(SimulationError, match="'loop': a delay for each synapse is for exact time"):
        es.simulate(network, events(), engine="clocked", t_stop=END)


def test_rules_of_errors_refuse_them_by_name():
    network = make()
    check_trainable(network, EventProp())
    drawn = Network(Input(9), network["hidden"], Dense(3))
    with pytest.raises(
        TrainingError, match=r"'hidden', which has several.*'eventprop', or give it one delay"
    ):
        check_trainable(drawn, HM2BP())


def test_a_reservoir_keeps_them_in_front_of_what_is_trained():
    lif = {"threshold": 1.0, **A}
    network = Network(
        Input(9),
        Reservoir(grid=(2, 2, 3), name="r", probability=0.8, initial_delays=(0.0, 2.0), **lif),
        Dense(4, probability=0.7, initial_delays=(0.5, 3.0), **lif),
        seed=3,
    )
    loop = network.weights["r:recurrent"]
    network = network.with_delays({"r:recurrent": np.linspace(0.5, 3.0, loop.nnz)})
    prefix, chain = split_frozen_prefix(network)
    assert set(prefix.network.delays) == {"r", "r:recurrent"}
    assert set(chain.delays) == {"output"}
    whole = es.simulate(network, events(), t_stop=END)
    assert len(whole["r"]) > 10
    front = es.simulate(prefix.network, events(), t_stop=END)
    np.testing.assert_array_equal(front["r"].times, whole["r"].times)
    assert_close(whole, es.simulate(network, events(), t_stop=END, engine="twin"))


# -- traces


def test_contributions_potentials_and_spsps_count_with_them():
    network = make(bias=6.0)
    record = es.simulate(network, events(), t_stop=END)
    checked = 0
    for name in network.names:
        spikes, threshold = record[name], network[name].threshold
        potentials = replay_layer(network, record, name, np.empty(0))
        np.testing.assert_allclose(potentials.values[potentials.kinds == 1], threshold, rtol=1e-9)
        for neuron in np.flatnonzero(spikes.counts)[:4].tolist():
            at = membrane_potential(network, record, name, neuron, spikes.of(neuron))
            np.testing.assert_allclose(at, threshold, rtol=1e-9)
            found = es.explain(
                record, layer=name, neuron=neuron, spike=int(spikes.counts[neuron]) - 1, network=network
            )
            assert abs(found.sum - threshold) < 1e-9
            total = found.direct_input + found.direct_bias + found.causes["contribution"].sum()
            assert abs(total - threshold) < 1e-9
            weighted = sum(
                neuron_spsps(network, record, p, neuron) @ network.afferent_weights(p, neuron)
                for p in network.projections
                if p.target == network.index(name)
            )
            assert weighted == pytest.approx(threshold * spikes.counts[neuron], rel=1e-9)
            checked += 1
    assert checked >= 6


def test_what_if_a_synapse_were_not_there():
    """Its place and its delay stay; a new synapse would need a delay, and is refused."""
    network = make()
    record = es.simulate(network, events(), t_stop=END)
    matrix = network.weights["loop"]
    post = int(np.flatnonzero(np.diff(matrix.indptr))[0])
    pre = int(matrix.indices[matrix.indptr[post]])
    found = es.what_if(record, network=network, weights={"loop": {(post, pre): 0.0}})
    weights = {**network.weights, "loop": matrix.copy()}
    weights["loop"][post, pre] = 0.0
    fresh = es.simulate(network.with_weights(weights), events(), t_stop=END)
    assert_same_bits(found.after, fresh)
    absent = np.argwhere(matrix.toarray() == 0.0)[0].tolist()
    with pytest.raises(NetworkError, match=r"each of its synapses has a delay"):
        es.what_if(record, network=network, weights={"loop": {tuple(absent): 1.0}})


def test_info_tells_their_range(tmp_path):
    network = make()
    network.save(tmp_path / "model.h5")
    each = network.delays["loop"]
    text = CliRunner().invoke(info, [str(tmp_path / "model.h5")]).output
    assert f"loop: from hidden to hidden, delays {each.min():g} to {each.max():g} ms" in text
    table = json.loads(CliRunner().invoke(info, [str(tmp_path / "model.h5"), "--json"]).output)
    assert table["delays"]["loop"] == {
        "synapses": len(each),
        "least_ms": each.min(),
        "most_ms": each.max(),
    }


def test_traces_keep_them(tmp_path):
    network = make()
    path = tmp_path / "trace.h5"
    with TraceWriter(path, network) as writer:
        writer.append(es.simulate(network, events(), t_stop=END))
    with Trace(path) as trace:
        np.testing.assert_array_equal(trace.network.delays["loop"], network.delays["loop"])
