"""Every engine on every kind of network: however its input is cut and saved, the bits of one run."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

import eventsnn as es
from eventsnn.errors import SimulationError
from eventsnn.model import Connection, Conv, Dense, Input, Network, Pool, Reservoir
from eventsnn.simulate import Simulation
from eventsnn.simulate.engines import ENGINES, Settings

STEP_MS = 0.5  # of the clock; delays and refractory periods are whole steps
T_STOP = 45.3


def dense(neurons: int, **more) -> Dense:
    return Dense(neurons, **({"threshold": 0.6, "refractory": 2.0} | more))


def sparse(network: Network) -> Network:
    """The same weights, of which half are left out, as sparse ones."""
    draws = np.random.default_rng(5)
    return network.with_weights(
        {
            key: csr_array(2.0 * weights * (draws.random(weights.shape) < 0.5))
            for key, weights in network.weights.items()
        }
    )


LOOPS = (
    Connection("output", "hidden", delay=1.5),
    Connection("hidden", "hidden", delay=0.5),
    Connection("input", "output", delay=2.0),
)
SENSOR = (6, 5, 2)
NETWORKS = {
    "chain": Network(Input(*SENSOR), dense(40), dense(5), seed=1),
    "delays": Network(
        Input(*SENSOR), dense(9, delay=1.5), dense(5, delay=3.0, lateral_inhibition=0.5), seed=2
    ),
    "wide lateral": Network(Input(*SENSOR), dense(40, lateral_inhibition=0.05), dense(3, delay=0.5), seed=3),
    "no refractory period": Network(Input(*SENSOR), dense(9, refractory=0.0), dense(4), seed=4),
    "spatial": Network(
        Input(*SENSOR),
        Conv(3, kernel=3, padding=1, threshold=0.8, refractory=1.0, delay=0.5),
        Pool(2, threshold=0.4),
        dense(5, delay=1.0),
        seed=5,
    ),
    "biases": Network(Input(*SENSOR, bias_interval=2.5), dense(9, delay=1.0), dense(5), seed=6),
    "biases faster than steps": Network(Input(*SENSOR, bias_interval=0.3), dense(9), dense(5), seed=7),
    "loops": Network(Input(*SENSOR), dense(9), dense(5), connections=LOOPS, seed=8),
    "loops and biases": Network(
        Input(*SENSOR, bias_interval=2.5), dense(9, delay=0.5), dense(5), connections=LOOPS, seed=9
    ),
    "reservoir": Network(
        Input(*SENSOR), Reservoir(grid=(3, 3, 3), threshold=0.6, refractory=2.0), dense(4, delay=1.0), seed=10
    ),
    "sparse": sparse(Network(Input(*SENSOR), dense(9, delay=0.5), dense(5), connections=LOOPS, seed=11)),
    "sparse with biases": sparse(Network(Input(*SENSOR, bias_interval=2.5), dense(9), dense(5), seed=12)),
    "resting chain": Network(
        Input(*SENSOR, bias_interval=2.5), dense(9, resting=-0.5), dense(5, resting=0.3, delay=0.5), seed=14
    ),
    "resting": Network(
        Input(*SENSOR), dense(9, resting=-0.5), dense(5, resting=0.3), connections=LOOPS[:2], seed=13
    ),
}
for name, network in NETWORKS.items():
    if not network.sparse_keys and name != "reservoir":  # they fire enough as they are
        NETWORKS[name] = network.with_weights({key: w + 0.4 * w.std() for key, w in network.weights.items()})
CHAINS = {"resting chain", "chain", "delays", "wide lateral", "no refractory period", "spatial"}
# What an engine must be able to run; the others that it can are run too.
RUN = {
    "twin": {*NETWORKS},
    "queue": {*NETWORKS},
    "sweep": {*CHAINS, "biases", "biases faster than steps"},
    "clocked": {*NETWORKS},
}


def make_input(seed: int, n: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """Events on whole microseconds, several at an instant, with a pause in the middle."""
    draws = np.random.default_rng(seed)
    times = np.sort(draws.integers(0, 400, n)) * 0.1
    times[n // 2 :] += 12.0
    neurons = draws.integers(0, int(np.prod(SENSOR)), n).astype(np.int32)
    order = np.lexsort((neurons, times))
    return times[order], neurons[order]


def run_in_parts(network, given, options, draws, folder) -> tuple[list[es.SpikeRecord], Simulation]:
    """Cut at random, with times that are known to have passed, and saved and taken up now and then."""
    run = Simulation(network, **options)
    times, neurons = given
    parts, start = [], 0
    for end in [*np.sort(draws.integers(0, len(times), 7)).tolist(), len(times)]:
        until = None
        if draws.random() < 0.5:
            # On the clock, time that is known to have passed moves the end, unless that is stated.
            after = 0.0 if run.step_ms is not None and options["t_stop"] is None else 20.0
            following = times[end] if end < len(times) else times[-1] + after
            until = float(draws.uniform(times[max(0, end - 1)], following))
        parts.append(run.feed((times[start:end], neurons[start:end]), until=until))
        start = end
        if draws.random() < 0.5:
            run.save(folder / "state.npz")
            run = Simulation.resume(folder / "state.npz", network, t_stop=options["t_stop"])
    return [*parts, run.finish()], run


def assert_bits(parts: list[es.SpikeRecord], whole: es.SpikeRecord, t_stop: float | None) -> None:
    for name in (*whole.layers, "bias", "input"):
        times = np.concatenate([part[name].times for part in parts])
        neurons = np.concatenate([part[name].neurons for part in parts])
        if name == "input" and t_stop is not None:  # what comes later is taken and does nothing
            times, neurons = times[times <= t_stop], neurons[times <= t_stop]
        np.testing.assert_array_equal(times, whole[name].times, err_msg=name)
        np.testing.assert_array_equal(neurons, whole[name].neurons, err_msg=name)
        if name in whole.layers:
            for n, part in enumerate(parts[:-1]):
                assert (part[name].times < part.t_end).all()
                assert all((later[name].times >= part.t_end).all() for later in parts[n + 1 :])
    last = parts[-1]
    assert (last.t_end, last.exit_reason, last.step_ms) == (whole.t_end, whole.exit_reason, whole.step_ms)


def options_of(engine: str, dtype: str) -> dict:
    if dtype not in ENGINES.get(engine).dtypes:
        pytest.skip(f"{engine} does not compute in {dtype}")
    return {"engine": engine, "dtype": dtype, "step_ms": STEP_MS if engine == "clocked" else None}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("engine", RUN)
def test_parts_give_the_bits_of_one_run(engine, dtype, name, tmp_path):
    network, options = NETWORKS[name], options_of(engine, dtype)
    if name not in RUN[engine] and ENGINES.get(engine).refusal(network, Settings(dtype, options["step_ms"])):
        pytest.skip(f"{engine} does not run this network")
    for seed in range(2 if engine == "twin" else 5):
        given, draws = make_input(seed), np.random.default_rng([seed, 77])
        endless = network.is_recurrent and engine != "clocked"
        t_stop = T_STOP if endless or seed % 2 else None
        whole = es.simulate(network, given, t_stop=t_stop, **options)
        assert all(len(whole[layer]) > 4 for layer in network.names), [len(x) for x in whole.layers.values()]
        parts, run = run_in_parts(network, given, options | {"t_stop": t_stop}, draws, tmp_path)
        assert_bits(parts, whole, t_stop)
        assert run.summary() == whole.summary()


@pytest.mark.parametrize("name", ["chain", "spatial", "loops and biases"])
def test_the_clock_in_parts_of_some_steps_each(name, monkeypatch):
    """Long parts go through the kernel in ranges of steps, between which it can be interrupted."""
    from eventsnn.simulate.engines import clocked_run

    network, given = NETWORKS[name], make_input(3)
    options = {"engine": "clocked", "step_ms": STEP_MS}
    whole = es.simulate(network, given, t_stop=T_STOP, **options)
    monkeypatch.setattr(clocked_run, "CHUNK", 1000)
    run = Simulation(network, t_stop=T_STOP, **options)
    assert_bits([run.feed(given), run.finish()], whole, T_STOP)


def test_a_network_of_the_clock_runs_in_parts_on_the_clock(tmp_path):
    network = NETWORKS["chain"].with_settings(es.RunSettings("clocked", 0.25))
    run = Simulation(network)
    assert (run.engine, run.dtype, run.step_ms) == ("clocked", "float32", 0.25)
    run.feed(make_input(1))
    run.save(tmp_path / "state.npz")
    assert Simulation.resume(tmp_path / "state.npz", network).step_ms == 0.25
    assert Simulation(network, engine="queue").step_ms is None


def test_a_pause_of_too_many_steps_is_refused():
    run = Simulation(NETWORKS["chain"], engine="clocked", step_ms=STEP_MS)
    with pytest.raises(SimulationError, match="engine 'clocked' takes up to 1000000 steps"):
        run.feed(([1.0, 1e9], [0, 0]))
