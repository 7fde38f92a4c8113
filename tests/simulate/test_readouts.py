"""Networks that end in a readout layer: every engine, parts, saved states, traces, evaluation, what-if."""

from __future__ import annotations

import copy
import math

import h5py
import numpy as np
import pytest

import eventsnn as es
from eventsnn.cli.explain import most_active
from eventsnn.errors import NetworkError, SimulationError, TraceError
from eventsnn.model import Connection, Conv, Dense, Input, Network, Readout, Reservoir, RunSettings
from eventsnn.model.layers import BIAS
from eventsnn.reference.lif import psp
from eventsnn.simulate.differences import format_difference
from eventsnn.trace.potential import membrane_potential

VALUES = ("max", "mean", "weighted")
HIDDEN = Dense(24, threshold=2.5, tau_m=20, tau_s=5, delay=0.7)
GRAPHS = {
    "chain": ([HIDDEN], []),
    "readout alone": ([], []),
    "convolution": ([Conv(3, 2, threshold=1.0, tau_m=20, tau_s=5)], []),
    "skip": ([HIDDEN], [Connection("input", "output", delay=2.5)]),
    "recurrent": ([HIDDEN], [Connection("hidden", "hidden", delay=1.0)]),
    "reservoir": ([Reservoir(grid=(2, 2, 3), threshold=2.0)], []),
}


def make_network(value="weighted", graph="chain", biases=False, settings=None, **readout):
    layers, connections = GRAPHS[graph]
    options = {"tau_m": 20.0, "tau_s": 5.0, "delay": 0.4, "tau_weight": 40.0} | readout
    sensor = Input(4, 4, 1, bias_interval=11.0 if biases else 0.0)
    network = Network(sensor, *layers, Readout(5, value=value, **options), connections=connections, seed=1)
    rng = np.random.default_rng(4)
    weights = {
        key: w if hasattr(w, "toarray") else rng.normal(0.1, 0.8, w.shape)
        for key, w in network.weights.items()
    }
    return network.with_weights(weights).with_settings(settings or RunSettings())


def events(n=250, seed=0):
    rng = np.random.default_rng(seed)
    return np.sort(np.round(rng.uniform(0.0, 90.0, n), 1)), rng.integers(0, 16, n)


def expect(network, record, end):
    """The readout by its definition, from the spikes: a grid for the maximum, a sum over spikes for means."""
    layer, number = network.output, len(network.layers) - 1
    last = min(end, record.t_end, 500.0)
    names = {-1: "input", BIAS: "bias"} | dict(enumerate(network.names))
    arrivals = []
    for p in network.projections:
        if p.target == number:
            weights, spikes = network.projection_weights(p), record[names[p.source]]
            arrivals += zip(spikes.times + p.delay, weights[:, spikes.neurons].T, strict=True)
    t = np.unique([*np.linspace(0.0, last, 8001), *(time for time, _ in arrivals if time < last)])
    u = np.zeros((layer.neurons, len(t)))
    for time, weight in arrivals:
        u += np.outer(weight, psp(t - time, layer.lif))
    if layer.value == "max":
        return u.max(axis=1)
    weight = np.exp(-t / layer.tau_weight) if layer.value == "weighted" else np.ones(len(t))
    area = np.trapezoid(u * weight, t, axis=1)
    return area / np.trapezoid(weight, t)


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("value", VALUES)
def test_it_is_what_the_spikes_give_in_every_engine(value, graph):
    network, given = make_network(value, graph), events()
    stop = 250.0 if network.is_recurrent else None
    record = es.simulate(network, given, t_stop=stop)
    end = float(given[0][-1]) if value == "mean" else math.inf
    np.testing.assert_allclose(record.readout, expect(network, record, end), rtol=2e-4, atol=2e-4)
    assert record.decision == record.readout.argmax()
    assert record.decides == value
    assert not len(record.output)
    assert record.summary()["readout"] == record.readout.tolist()
    for engine in ("queue", "twin") if network.is_recurrent or network.connections else ("sweep", "twin"):
        other = es.simulate(network, given, t_stop=stop, engine=engine)
        np.testing.assert_allclose(other.readout, record.readout, rtol=1e-8, atol=1e-9, err_msg=engine)
    single = es.simulate(network, given, t_stop=stop, dtype="float32")
    np.testing.assert_allclose(single.readout, record.readout, rtol=1e-3, atol=1e-3)


def feed(run, given, size, parts=()):
    for k in parts or range(0, len(given[0]), size):
        run.feed((given[0][k : k + size], given[1][k : k + size]))
    return run


@pytest.mark.parametrize("biases", [False, True], ids=["plain", "biases"])
@pytest.mark.parametrize("graph", ["chain", "readout alone", "skip", "recurrent"])
@pytest.mark.parametrize("value", VALUES)
def test_parts_copies_and_saved_states_have_the_same_bits(value, graph, biases, tmp_path):
    network, given = make_network(value, graph, biases), events()
    stop = 120.0 if network.is_recurrent else None
    whole = es.simulate(network, given, t_stop=stop)
    run = feed(es.Simulation(network, t_stop=stop), given, 31)
    feed_half = feed(es.Simulation(network, t_stop=stop), given, 31, range(0, 124, 31))
    feed_half.save(tmp_path / "state.npz")
    resumed = es.Simulation.resume(tmp_path / "state.npz", network, t_stop=stop)
    again = feed(resumed, given, 31, range(124, 250, 31))
    for each in (copy.deepcopy(run), run, again):
        assert each.decision is not None
        part = each.finish()
        assert part.readout.tolist() == whole.readout.tolist()
        assert each.decision == whole.decision
        assert each.summary()["readout"] == whole.readout.tolist()
        assert copy.deepcopy(each).decision == whole.decision


def test_a_part_tells_what_is_read_out_so_far():
    network, given = make_network("mean"), events()
    run = es.Simulation(network)
    part = run.feed((given[0][:100], given[1][:100]))
    known = es.simulate(network, given, t_stop=part.t_end)
    assert part.t_end > 20.0
    np.testing.assert_allclose(part.readout, known.readout, rtol=1e-12)


def test_a_changed_state_is_refused(tmp_path):
    network, given = make_network("max"), events()
    run = feed(es.Simulation(network), given, 31, [0, 31])
    arrays = run._arrays()
    state = run.__reduce__()[1][3]
    for name, value, problem in [
        ("readout/now", np.array(1e6), "readout/now"),
        ("readout/state", arrays["readout/state"][:, :2], "readout/state"),
        ("readout/rows", arrays["readout/rows"] + 1000, "readout/rows"),
    ]:
        changed = copy.deepcopy(state)
        changed.arrays[name] = value
        if name == "readout/rows" and not value.size:
            continue
        with pytest.raises(SimulationError, match=problem):
            es.Simulation.take_up(changed, network)


def as_stream(given):
    t, neurons = given
    return es.EventStream.from_arrays(
        np.round(1000 * t).astype(int), neurons % 4, neurons // 4, sensor_size=(4, 4, 1)
    )


@pytest.mark.parametrize("graph", ["chain", "convolution", "reservoir", "skip", "recurrent"])
@pytest.mark.parametrize("value", VALUES)
def test_evaluation_decides_likewise(value, graph):
    loops = graph in ("recurrent", "reservoir")
    network = make_network(value, graph, settings=RunSettings(duration_ms=95.0 if loops else None))
    streams = [as_stream(events(120, seed)) for seed in range(5)]
    runs = [es.simulate(network, stream) for stream in streams]
    found = es.evaluate(network, [(stream, 0) for stream in streams], dtype="float64", threads=2)
    expected = np.array([run.readout for run in runs])
    if graph != "reservoir":  # evaluated until all is quiet
        np.testing.assert_allclose(found.predictions.counts, expected, rtol=1e-8, atol=1e-9)
        assert found.predictions.decisions.tolist() == [run.decision for run in runs]
    assert found.no_decision == 0
    assert np.sum(found.confusion) == 5
    assert type(found.predictions[0].counts[0]) is float
    with pytest.warns(es.SilentOutputWarning):
        silent = es.evaluate(network, [(as_stream(events(0)), 0)])
    assert (silent.no_decision, silent.hint is not None) == (1, True)


def test_threads_change_no_bit():
    network = make_network("max")
    data = [(as_stream(events(120, seed)), 0) for seed in range(9)]
    one, three = (es.evaluate(network, data, threads=n).predictions.counts for n in (1, 3))
    assert (one == three).all()


@pytest.mark.parametrize("value", VALUES)
def test_traces_keep_it(value, tmp_path):
    network, given = make_network(value), events()
    record = es.simulate(network, given, trace=tmp_path / "t.h5", record=("spikes", "potential", "spsp"))
    with es.Trace(tmp_path / "t.h5") as trace:
        assert trace.record().readout.tolist() == record.readout.tolist()
        assert trace.samples[0].prediction == record.decision == trace.record().decision
        potential = trace.potential("output")
        if value == "max":
            best = [potential.values[potential.neurons == k].max() for k in range(5)]
            assert (best <= record.readout + 1e-6).all()
            assert max(best) > 0.98 * record.readout.max()
        with pytest.raises(TraceError, match=r"neuron 0 of layer 'output' fired 0 spikes|fired no|no spike"):
            es.explain(trace, layer="output", neuron=0, spike=0)
    with h5py.File(tmp_path / "t.h5", "r+") as file:
        file["readout/output"][0, 1] += 1e-9
    with es.Trace(tmp_path / "t.h5") as trace, pytest.raises(TraceError, match="does not have its checksum"):
        trace.record()
    t = np.linspace(0.0, 90.0, 50)
    assert np.abs(membrane_potential(network, record, "output", 2, t)).max() > 0.0


@pytest.mark.parametrize("value", VALUES)
def test_what_if_reads_out_again(value):
    network, given = make_network(value), events()
    record = es.simulate(network, given)
    study = es.WhatIf(record, network=network)
    kept = np.arange(250) != 200
    fresh = es.simulate(network, (given[0][kept], given[1][kept]))
    found = study.run(remove=[200])
    assert found.after.readout.tolist() == fresh.readout.tolist()
    assert found.after.decision == fresh.decision
    moved = study.run(weights={"output": 2.0 * network.weights["output"]})
    np.testing.assert_allclose(moved.after.readout, 2.0 * record.readout, rtol=1e-12)


def test_what_needs_output_spikes_says_so(tmp_path):
    network, given = make_network("max"), events()
    record = es.simulate(network, given, trace=tmp_path / "t.h5")
    with pytest.raises(SimulationError, match="is a readout, which never fires: there are no output spikes"):
        es.find_flip(record, network=network)
    with (
        es.Trace(tmp_path / "t.h5") as trace,
        pytest.raises(TraceError, match=r"'output' is a readout, which never fires; .* \(hidden\)"),
    ):
        most_active(trace, "output", 0)
    text = format_difference(es.what_if(record, network=network, remove=[3]))
    assert f"readout of each output neuron: before [{record.readout[0]:.6g}, " in text


def test_the_clock_refuses():
    with pytest.raises(SimulationError, match="layer 'output' is a readout, which takes exact time"):
        es.simulate(make_network(), events(), engine="clocked")


def test_silence_is_no_decision():
    record = es.simulate(make_network(), (np.empty(0), np.empty(0, int)))
    assert record.decision is None
    assert record.hint == "the output was not reached: there was no input"
    quiet = make_network().replace("hidden", threshold=1000.0)
    assert "the output was not reached: layer 'hidden'" in es.simulate(quiet, events()).hint


def test_files_and_tables(tmp_path):
    network = make_network("max")
    network.save(tmp_path / "net.h5")
    loaded = Network.load(tmp_path / "net.h5")
    assert loaded.output == network.output
    assert loaded.decides == "max"
    table = network.to_table()["layers"][-1]
    assert (table["type"], table["tau_weight"]) == ("readout", 40.0)
    assert not {"threshold", "refractory", "resting"} & set(table)
    assert Network.from_table(network.to_table(), seed=0).output == network.output
    changed = network.replace("output", value="weighted", tau_weight=7.0)
    assert (changed.decides, changed.output.tau_weight) == ("weighted", 7.0)
    assert loaded.firing.names == ("hidden",)
    assert make_network(graph="readout alone").firing is None


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Readout(5, value="median"), "value must be one of max, mean, weighted"),
        (lambda: Readout(5, tau_weight=0.0), "tau_weight must be > 0 ms, got 0.0"),
        (lambda: Readout(5, tau_m=0.0), "tau_m must be a finite number > 0"),
        (lambda: Readout(0), "neurons"),
        (lambda: Network(Input(4), Readout(5, name="r"), Dense(3)), "layer 'r': only the last layer may be"),
        (
            lambda: Network(
                Input(4), HIDDEN, Readout(5), connections=[Connection("output", "hidden", delay=1.0)], seed=0
            ),
            "connection 'output->hidden': 'output' is a readout, which never fires",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, problem):
    with pytest.raises(NetworkError, match=problem):
        make()
