"""How a sample is run: kept in models, followed by evaluation, training in steps of any length."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import eventsnn as es
from eventsnn.data import ListDataset
from eventsnn.errors import NetworkError, SimulationError, TrainingError
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.model import Dense, Input, Network, Reservoir, RunSettings
from eventsnn.reference.hm2bp import gradients
from eventsnn.reference.spsp_clocked import forced_steps, spsp_steps
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.train.batches import BatchLoader
from eventsnn.train.clocked import ClockedLearner
from eventsnn.train.frozen_prefix import split_frozen_prefix
from tests.train.toy import SENSOR, assert_same_weights, timeless, toy_data, toy_network, toy_train


def decisions(network: Network, data: ListDataset, **options: object) -> list[int | None]:
    return [es.simulate(network, data.stream(k), **options).decision for k in range(len(data))]


def test_a_model_is_evaluated_as_it_was_trained(tmp_path: Path) -> None:
    fit = toy_train(tmp_path / "run", engine="clocked", step_ms=2.0)
    model = Network.load(tmp_path / "run" / "model.h5")
    assert model.settings == fit.network.settings == RunSettings("clocked", 2.0)
    data = toy_data(12, seed=50)
    found = es.evaluate(model, data, threads=1)
    assert (found.engine, found.step_ms) == ("clocked", 2.0)
    expected = decisions(model, data, engine="clocked", step_ms=2.0)
    assert found.predictions.decisions.tolist() == [-1 if d is None else d for d in expected]
    assert decisions(model, data) == expected
    exact = es.evaluate(model, data, engine="sweep", threads=1)
    assert (exact.engine, exact.step_ms) == ("sweep", None)
    assert es.evaluate(model, data, step_ms=1.0, threads=1).step_ms == 1.0
    with pytest.raises(SimulationError, match="step_ms is for engine 'clocked', and engine 'queue'"):
        es.evaluate(model, data, engine="queue", step_ms=1.0)
    with pytest.raises(SimulationError, match=r"t_stop is for exact time; .* duration_ms"):
        es.evaluate(model, data, t_stop=10.0)
    # A model of exact time stays one, unless asked; its file is what it was before there were settings.
    plain = toy_train(tmp_path / "exact", epochs=1).network
    assert es.evaluate(plain, data, threads=1).engine == "sweep"
    assert es.evaluate(plain, data, engine="clocked", threads=1).step_ms == 1.0
    with h5py.File(tmp_path / "exact" / "model.h5") as file:
        assert "settings" not in file.attrs


def test_settings_are_kept(tmp_path: Path) -> None:
    settings = RunSettings("clocked", 0.6, 324.0, "nmnist")
    network = toy_network().with_settings(settings)
    network.save(tmp_path / "net.h5")
    for same in (
        Network.load(tmp_path / "net.h5"),
        network.with_weights(network.weights),
        network.with_classes(("a", "b", "c")),
        network.replace("output", threshold=3.0),
        network.lowered,
    ):
        assert same.settings == settings
    assert toy_network().settings == RunSettings() == RunSettings("exact", None)


def test_models_from_before_there_were_settings(tmp_path: Path) -> None:
    network = toy_network()
    for name, config in (("old", {"engine": "clocked"}), ("exact", {})):
        network.save(tmp_path / f"{name}.h5", training=json.dumps({"config": config, "best": {}}))
    assert Network.load(tmp_path / "old.h5").settings == RunSettings("clocked", 1.0)
    assert Network.load(tmp_path / "exact.h5").settings == RunSettings()
    network.save(tmp_path / "newer.h5", settings=json.dumps({"engine": "exact", "warp": 3}))
    with pytest.raises(NetworkError, match=r"newer\.h5: run settings: unknown field 'warp'; install a newer"):
        Network.load(tmp_path / "newer.h5")
    network.save(tmp_path / "bad.h5", settings="[1]")
    with pytest.raises(NetworkError, match=r"bad\.h5: run settings"):
        Network.load(tmp_path / "bad.h5")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"engine": "fast"}, "engine must be one of exact, clocked, got 'fast'"),
        ({"step_ms": 0.5}, "step_ms is for engine 'clocked'"),
        ({"engine": "clocked", "step_ms": 0.0}, "step_ms must be a finite number of ms > 0, got 0.0"),
        ({"engine": "clocked", "step_ms": True}, "step_ms must be .* got True"),
        ({"duration_ms": float("inf")}, "duration_ms must be a finite number of ms > 0, got inf"),
        ({"duration_ms": "400"}, "duration_ms must be .* got '400'"),
        ({"stabilise": "all"}, "stabilise must be one of nmnist, got 'all'"),
    ],
)
def test_what_settings_cannot_be(given: dict, text: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=text):
        RunSettings(**given)
    with pytest.raises(TrainingError, match=text):
        toy_train(tmp_path, **given)
    with pytest.raises(TrainingError, match=f"training: {text}"):
        es.Experiment.from_table({"network": {"input": {"width": 4}, "layers": []}, "training": given})


def scaled(network: Network, factor: float) -> Network:
    """The same weights, all times `factor` times as long."""
    for layer in network.layers:
        changes = {name: getattr(layer, name) * factor for name in ("tau_m", "tau_s", "refractory")}
        network = network.replace(str(layer.name), **changes)
    return network


def test_training_in_other_steps_is_training_in_other_time(tmp_path: Path) -> None:
    # Powers of two: the same recordings at half the speed, in steps twice as long, have the same bits.
    data = toy_data()
    slow = ListDataset(
        [
            es.EventStream.from_arrays(2 * e["t"], e["x"], e["y"], e["p"], sensor_size=SENSOR)
            for e in (data.stream(k).events for k in range(len(data)))
        ],
        data.labels,
    )
    plain = toy_train(tmp_path / "a", engine="clocked", data=data)
    other = toy_train(
        tmp_path / "b", engine="clocked", step_ms=2.0, data=slow, network=scaled(toy_network(), 2.0)
    )
    assert timeless(plain.history) == timeless(other.history)
    assert_same_weights(plain.network, other.network)
    resumed = toy_train(tmp_path / "b", engine="clocked", step_ms=2.0, data=slow, resume=True,
                        network=scaled(toy_network(), 2.0))  # fmt: skip
    assert resumed.epochs == 3
    with pytest.raises(TrainingError, match=r"cannot resume, step_ms was 2\.0 and is now null"):
        toy_train(tmp_path / "b", engine="clocked", data=slow, resume=True, epochs=4,
                  network=scaled(toy_network(), 2.0))  # fmt: skip


RULE = HM2BP(desired=6, undesired=1, margin=0.5)


def reservoir_network(bias: float = 0.0) -> Network:
    slow = {"tau_m": 19.2, "tau_s": 4.8, "refractory": 1.2}
    network = Network(
        Input(12, bias_interval=bias),
        Reservoir(grid=(3, 3, 4), threshold=1.5, recurrent_delay=0.6, **slow),
        Dense(20, threshold=1.0, **slow),
        Dense(3, threshold=1.0, **slow),
        settings=RunSettings("clocked", 0.6),
    )
    rng = np.random.default_rng(2)
    drawn = {k: rng.normal(0.3, 1.0, w.shape) for k, w in network.weights.items() if not hasattr(w, "nnz")}
    return network.with_weights({**network.weights, **drawn})


@pytest.mark.parametrize("bias", [0.0, 3.0])
@pytest.mark.parametrize("duration", [None, 45.0])
def test_layers_above_a_reservoir_learn_on_the_clock(bias: float, duration: float | None) -> None:
    from eventsnn._util.threads import Pool
    from eventsnn.learn.optimisers import Optimiser, OptimiserState
    from eventsnn.simulate.engines.blocks import unpack
    from eventsnn.simulate.engines.packed import PackedNetwork

    network, step = reservoir_network(bias), 0.6
    rng = np.random.default_rng(4)
    times, neurons = np.sort(rng.integers(0, 40_000, 300)) / 1000.0, rng.integers(0, 12, 300).astype(np.int32)
    network = network.with_settings(RunSettings("clocked", step, duration))
    whole = es.simulate(network, (times, neurons))
    # Expected: the twin's loops over pairs of spikes, time counted in steps, on the spikes of `simulate`.
    front, chain = split_frozen_prefix(network, step)
    steps = 75 if duration else int(round(times[-1] / step, 9)) + 1
    in_steps = scaled(chain, 1 / step).with_settings(RunSettings())
    if bias:
        in_steps = in_steps.replace("input", bias_interval=chain.input.bias_interval / step)
    lengths = {name: whole[name].times / step for name in network.names}
    assert all(len(train) > 20 for train in lengths.values())

    def spikes(name: str, size: int) -> es.LayerSpikes:
        return es.LayerSpikes(name, size, np.rint(lengths[name]), whole[name].neurons)

    layers = {name: spikes(name, network[name].neurons) for name in network.names[1:]}
    record = es.SpikeRecord(
        layers, spikes("reservoir", 36), float(steps), es.ExitReason.T_STOP, "clocked", "float32"
    )
    packed = PackedNetwork(chain, np.float32)
    states = {key: OptimiserState(Optimiser(), packed.blocks[key]) for key in chain.weights}
    learner = ClockedLearner(packed, step, front)
    samples = Arrivals(times, neurons, np.array([0, len(times)]), duration)
    with Pool(1) as pool:
        runs = learner.forward(samples, pool)
        learner.accumulate(states, runs, np.array([1]), np.ones(1), RULE, pool)
    assert learner.counts(runs, 2)[0].tolist() == whole.output.counts.tolist()
    if bias:
        return  # the twin's bias neuron fires until the last input spike, which is the reservoir's here
    forced = forced_steps(steps, RULE.desired)
    exact = gradients(in_steps, record, 1, float(steps), RULE, spsp=spsp_steps, forced=forced)
    for key, expected in exact.items():
        found = unpack(states[key].gradient, expected.shape[0])
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())


def test_a_reservoir_trains_and_resumes_on_the_clock(tmp_path: Path) -> None:
    tau = {"tau_m": 30.0, "tau_s": 6.0}
    network = Network(Input(*SENSOR), Reservoir(grid=(3, 3, 4), threshold=2.0, initial_weight=3.0, **tau),
                      Dense(3, threshold=2.0, **tau), seed=2)  # fmt: skip
    options = {"network": network, "engine": "clocked", "duration_ms": 70.0}
    whole = toy_train(tmp_path / "whole", epochs=4, **options)
    toy_train(tmp_path / "parts", epochs=2, **options)
    resumed = toy_train(tmp_path / "parts", epochs=4, resume=True, threads=2, **options)
    assert timeless(resumed.history) == timeless(whole.history)
    assert resumed.network.weights["output"].tobytes() == whole.network.weights["output"].tobytes()
    same = (whole.network.weights["reservoir:recurrent"] != network.weights["reservoir:recurrent"]).nnz == 0
    assert same
    assert whole.history[-1]["loss"] < whole.history[0]["loss"]
    data = toy_data(12, seed=50)
    found = es.evaluate(whole.network, data, threads=1)
    assert (found.engine, found.predictions.decisions.tolist()) == (
        "clocked",
        [-1 if d is None else d for d in decisions(whole.network, data)],
    )


def test_any_recurrence_is_evaluated_on_the_clock() -> None:
    loops = [es.Connection("hidden", "hidden", delay=2.0), es.Connection("output", "hidden")]
    plain = toy_network()
    network = Network(plain.input, *plain.layers, connections=loops, seed=5)
    data = toy_data(9, seed=20)
    found = es.evaluate(network, data, engine="clocked", threads=2)
    counts = [es.simulate(network, data.stream(k), engine="clocked").output.counts for k in range(9)]
    np.testing.assert_array_equal(found.predictions.counts, counts)
    assert found.predictions.counts.any()
    # In exact time such a network needs an end; a stated duration is one.
    ended = network.with_settings(RunSettings(duration_ms=40.0))
    exact = es.evaluate(ended, data, threads=1)
    assert (exact.engine, exact.step_ms) == ("queue", None)
    counts = [es.simulate(ended, data.stream(k), dtype="float32").output.counts for k in range(9)]
    np.testing.assert_array_equal(exact.predictions.counts, counts)
    assert es.simulate(ended, data.stream(0)).t_end == 40.0
    with pytest.raises(TrainingError, match="connection 'output->hidden' leads back"):
        es.train(network, data, engine="clocked")


def test_what_comes_after_the_end_is_left_out() -> None:
    data = toy_data(6)
    batch = BatchLoader(data, 60, settings=RunSettings(duration_ms=20.0)).prepare(np.arange(6), 0)
    whole = BatchLoader(data, 60).prepare(np.arange(6), 0)
    assert batch.arrivals.ends.tolist() == [20.0] * 6
    for (times, neurons), (all_times, all_neurons) in zip(batch.samples, whole.samples, strict=True):
        keep = all_times < 20.0
        assert 0 < keep.sum() < len(keep)
        np.testing.assert_array_equal(times, all_times[keep])
        np.testing.assert_array_equal(neurons, all_neurons[keep])


def test_a_stated_duration_spreads_the_inserted_spikes(tmp_path: Path) -> None:
    from eventsnn._util.threads import Pool
    from eventsnn.simulate.engines.packed import PackedNetwork
    from eventsnn.train.learner import run_forward

    network = toy_network()
    samples = Arrivals(np.array([1.0, 30.0]), np.zeros(2, np.int32), np.array([0, 2]), 400.0)
    with Pool(1) as pool:
        assert run_forward(PackedNetwork(network, np.float32), samples, pool).durations.tolist() == [400.0]
    fit = toy_train(tmp_path / "run", duration_ms=40.0, epochs=1)
    assert fit.network.settings == RunSettings(duration_ms=40.0)
    assert es.evaluate(fit.network, toy_data(6), threads=1).n == 6
    with pytest.warns(es.SilentOutputWarning):
        short = es.evaluate(fit.network, toy_data(6), duration_ms=1e-3, threads=1)
    assert not short.predictions.counts.any()
    with pytest.raises(SimulationError, match="duration_ms must be"):
        es.evaluate(fit.network, toy_data(6), duration_ms=-1.0)


def test_samples_per_class(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2, 2, 2, 1, 0, 0, 0, 2])
    chosen = es.data.cap_per_class(labels, 2, seed=3)
    assert np.bincount(labels[chosen]).tolist() == [2, 2, 2]
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, es.data.cap_per_class(labels, 2, seed=3))
    assert {*chosen.tolist()} < {*es.data.cap_per_class(labels, 3, seed=3).tolist()}
    others = {tuple(es.data.cap_per_class(labels, 2, seed=s).tolist()) for s in range(20)}
    assert len(others) > 5
    assert es.data.cap_per_class(labels, 100, 1).tolist() == [*range(10)]
    with pytest.raises(TrainingError, match="per_class must be a whole number >= 1, got 0"):
        es.data.cap_per_class(labels, 0, 1)
    fit = toy_train(tmp_path / "run", per_class=4, epochs=1, valid_fraction=0.25)
    assert fit.history[0]["samples"] == 9  # 12 recordings, 3 of them set aside
    assert toy_train(tmp_path / "all", per_class=4, epochs=1, valid_fraction=0).history[0]["samples"] == 12
    assert es.evaluate(fit.network, toy_data(), per_class=2, threads=1).n == 6
    with pytest.raises(TrainingError, match="per_class must be"):
        toy_train(tmp_path / "none", per_class=-1)
