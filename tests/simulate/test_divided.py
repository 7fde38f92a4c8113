"""Networks that several ranks run together, each some neurons: the bits of one process."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

import eventsnn as es
from eventsnn._util.interrupts import Held
from eventsnn._util.ranks import Ranks, RanksError
from eventsnn.errors import SimulationError
from eventsnn.model import Dense, Input, Network
from eventsnn.simulate.engines import divided, windows
from eventsnn.simulate.engines.leading import Leader, follow
from eventsnn.trace.record import SimulationInterrupted, SpikeRecord
from tests.simulate import saved_states as states
from tests.simulate.helpers import assert_same_bits
from tests.simulate.test_windows import make_network, make_train, run_or_refuse, simulations
from tests.thread_ranks import ThreadRanks, run_ranks

RANKS = (2, 3, 5)
SUPPRESSED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@pytest.fixture(params=[False, True], ids=["messages", "memory"], autouse=True)
def _ways(request, monkeypatch):
    """Ranks on several machines send messages, those on one have memory in common."""
    monkeypatch.setattr(ThreadRanks, "shares", request.param)


def same_on_all(found: list[SpikeRecord | str], expected: SpikeRecord | str) -> None:
    for each in found:
        if isinstance(expected, str):
            assert each == expected
        else:
            assert_same_bits(each, expected)


@settings(max_examples=60, deadline=None, suppress_health_check=SUPPRESSED)
@given(simulations(), st.floats(0.0, 40.0), st.sampled_from(RANKS))
def test_the_bits_of_one_process(simulation, t_stop, size):
    """Also where a rank has no neuron at all, and where a neuron fires for ever at one instant."""
    network, *train = simulation
    one = run_or_refuse(windows.run, network, *train, t_stop=t_stop)

    def run(ranks: Ranks) -> SpikeRecord | str:
        return run_or_refuse(es.simulate, network, tuple(train), engine="queue", t_stop=t_stop, ranks=ranks)

    same_on_all(run_ranks(size, run), one)


@settings(max_examples=30, deadline=None, suppress_health_check=SUPPRESSED)
@given(
    simulations(), st.floats(0.0, 40.0), st.lists(st.floats(0.0, 60.0), max_size=4), st.sampled_from(RANKS)
)
def test_the_bits_of_one_process_in_parts(simulation, t_stop, horizons, size):
    network, times, neurons = simulation

    def run(ranks: Ranks | bool) -> list[SpikeRecord] | str:
        simulation = es.Simulation(network, engine="queue", t_stop=t_stop, ranks=ranks)
        parts, start = [], 0
        try:
            for horizon in sorted(horizons):
                end = int(np.searchsorted(times, horizon))
                parts.append(simulation.feed((times[start:end], neurons[start:end]), until=horizon))
                start = end
            return [*parts, simulation.finish((times[start:], neurons[start:]))]
        except SimulationError as error:
            return str(error)

    expected = run(False)
    for found in run_ranks(size, run):
        if isinstance(expected, str):
            assert found == expected
        else:
            for a, b in zip(found, expected, strict=True):
                assert_same_bits(a, b)


@pytest.mark.parametrize("size", RANKS)
@pytest.mark.parametrize("delay", [0.03, 0.5, 1.5, 1.7, 40.0])
def test_short_and_long_delays(size, delay):
    network, train = make_network(delay=delay), make_train(30.0)
    one = windows.run(network, *train, t_stop=30.0)
    assert len(one["n"]) > 20
    same_on_all(run_ranks(size, lambda ranks: es.simulate(network, train, t_stop=30.0, ranks=ranks)), one)


def exchanges(monkeypatch: pytest.MonkeyPatch, network: Network, size: int = 2) -> int:
    """How often the ranks exchange spikes in 30 ms, in which input comes all the time."""
    runs: list[divided.DividedRun] = []
    advance = divided.DividedRun.advance
    monkeypatch.setattr(
        divided.DividedRun, "advance", lambda run, *given: runs.append(run) or advance(run, *given)
    )
    train = make_train(30.0)
    run_ranks(size, lambda ranks: es.simulate(network, train, t_stop=30.0, ranks=ranks))
    return runs[-1]._state.exchanges


def test_spikes_are_exchanged_once_per_shortest_delay(monkeypatch):
    whole = make_network(delay=1.5)
    loop = Network(whole.input, whole.layers[0], connections=whole.connections)
    loop = loop.with_weights({key: whole.weights[key] for key in ("n", "loop")})
    assert exchanges(monkeypatch, loop) <= 30.0 / 1.5 + 3
    # The layer above is reached without a delay: it waits for the spikes of each window.
    assert 30.0 / 0.5 <= exchanges(monkeypatch, whole) <= 30.0 / 0.5 + 3


def test_many_spikes_at_once_have_room(monkeypatch):
    monkeypatch.setattr(divided, "LEAST_ROOM", 8)
    network, train = make_network(), make_train(20.0)
    one = windows.run(network, *train, t_stop=20.0)
    same_on_all(run_ranks(3, lambda ranks: es.simulate(network, train, t_stop=20.0, ranks=ranks)), one)


@pytest.mark.parametrize("ranks", [2, "2", None, 1])
def test_how_many_ranks_is_not_said_here(ranks):
    text = r"ranks must be true or false, got .*; how many there are is said to the launcher: mpiexec -n 4"
    network = make_network()
    for call in (es.Simulation, lambda *a, **k: es.simulate(a[0], make_train(5.0), t_stop=5.0, **k)):
        with pytest.raises(SimulationError, match=text):
            call(network, ranks=ranks)


def test_an_error_of_one_rank_is_that_of_all():
    """The neuron that fires for ever is another rank's, and has the network's number in the message."""
    network = Network(Input(3), Dense(3, name="n", refractory=0.0))
    network = network.with_weights({"n": csr_array(np.diag([0.0, 1e20, 0.0]))})

    def run(ranks: Ranks) -> str:
        with pytest.raises(SimulationError, match=r"neuron 1 fires again at") as caught:
            es.simulate(network, (np.array([50.0]), np.array([1])), engine="queue", ranks=ranks)
        return str(caught.value)

    assert len(set(run_ranks(3, run))) == 1


def test_a_state_out_of_range_is_an_error_of_all(monkeypatch):
    monkeypatch.setattr(windows, "CHUNK", 100)
    monkeypatch.setattr(divided, "CHUNK", 100)
    network, train = make_network(n=150), make_train(20.0)
    weights = dict(network.weights)
    feed = weights["n"].tolil()
    feed[5, 5] = -1e308
    network = network.with_weights({**weights, "n": feed.tocsr()})

    def run(ranks: Ranks) -> str:
        with pytest.raises(SimulationError) as caught:
            es.simulate(network, train, t_stop=20.0, ranks=ranks)
        return str(caught.value)

    with pytest.raises(SimulationError) as alone:
        es.simulate(network, train, t_stop=20.0)
    assert set(run_ranks(2, run)) == {str(alone.value)}


@pytest.mark.parametrize("name", ["queue of windows", "queue of windows with branches"])
def test_states_are_those_of_one_process(name, tmp_path):
    """Two ranks save what one process would, and three go on from it to the spikes of one."""
    network = states.NETWORKS[name]
    _, expected = states.save_one(name, tmp_path / "one.npz")

    def begin(ranks: Ranks) -> None:
        run = es.Simulation(network, engine="queue", dtype="float64", t_stop=states.T_STOP, ranks=ranks)
        run.feed(states.events(network, 0, 201))
        run.save(tmp_path / "two.npz")

    run_ranks(2, begin)
    with np.load(tmp_path / "two.npz") as archive:
        for key, array in expected.items():
            assert np.array_equal(archive[key], array), key

    def go_on(ranks: Ranks | bool) -> dict[str, tuple[bytes, bytes]]:
        run = es.Simulation.resume(tmp_path / "two.npz", network, t_stop=states.T_STOP, ranks=ranks)
        run.feed(states.events(network, 201, 400))
        end = run.finish()
        return {name: (end[name].times.tobytes(), end[name].neurons.tobytes()) for name in network.names}

    alone = go_on(False)
    assert all(found == alone for found in run_ranks(3, go_on))


def test_ranks_that_make_other_calls_are_found():
    train = make_train(5.0)

    def other_network(ranks: Ranks) -> None:
        es.simulate(make_network(n=150 + ranks.rank), train, t_stop=5.0, ranks=ranks)

    def other_weights(ranks: Ranks) -> None:
        network = make_network()
        loop = network.weights["loop"] * (1.0 + ranks.rank)
        es.simulate(network.with_weights({**network.weights, "loop": loop}), train, t_stop=5.0, ranks=ranks)

    def other_stop(ranks: Ranks) -> None:
        es.simulate(make_network(), train, t_stop=5.0 + ranks.rank, ranks=ranks)

    for call, what in ((other_network, "network"), (other_weights, "network"), (other_stop, "input")):
        with pytest.raises(RanksError, match=f"rank 1 has another {what} than rank 0"):
            run_ranks(2, call)


def test_networks_that_cannot_be_divided_say_why():
    dense = Network(Input(3), Dense(4), Dense(2))

    def run(ranks: Ranks) -> None:
        es.simulate(dense, (np.array([1.0]), np.array([0])), ranks=ranks)

    with pytest.raises(SimulationError, match="no weights of the network are sparse"):
        run_ranks(2, run)

    def run_clocked(ranks: Ranks) -> None:
        es.simulate(make_network(delay=2.0), make_train(5.0), engine="clocked", t_stop=5.0, ranks=ranks)

    with pytest.raises(SimulationError, match="engine 'clocked' does not divide a network"):
        run_ranks(2, run_clocked)


def test_one_process_is_no_different():
    network, train = make_network(), make_train(5.0)
    assert_same_bits(
        es.simulate(network, train, t_stop=5.0, ranks=True), es.simulate(network, train, t_stop=5.0)
    )


# -- led by the first rank -------------------------------------------------------------------------


def lead(size: int, network: Network, call) -> object:
    """What `call` of the ranks as the first one leads them returns; the others follow."""

    def run(ranks: Ranks) -> object:
        if not ranks.first:
            return follow(lambda: network, ranks)
        leader = Leader(ranks)
        try:
            return call(leader)
        finally:
            leader.dismiss()

    return run_ranks(size, run)[0]


def test_the_others_follow_through_parts_states_and_errors(tmp_path):
    name = "queue of windows with branches"
    network = states.NETWORKS[name]
    states.save_one(name, tmp_path / "one.npz")
    expected = states.go_on(name, tmp_path / "one.npz")

    def call(leader: Leader) -> dict[str, tuple[bytes, bytes]]:
        late = es.Simulation(network, engine="queue", dtype="float64", t_stop=60.0, ranks=leader)
        late.feed(states.events(network, 0, 100))
        with pytest.raises(SimulationError, match="comes after"):
            late.feed(states.events(network, 0, 100))
        run = es.Simulation(network, engine="queue", dtype="float64", t_stop=states.T_STOP, ranks=leader)
        run.feed(states.events(network, 0, 201))
        run.save(tmp_path / "led.npz")
        run = es.Simulation.resume(tmp_path / "led.npz", network, t_stop=states.T_STOP, ranks=leader)
        run.feed(states.events(network, 201, 400))
        end = run.finish()
        return {name: (end[name].times.tobytes(), end[name].neurons.tobytes()) for name in network.names}

    found = lead(3, network, call)
    for layer, arrays in expected.items():
        assert found[layer] == arrays


def test_ctrl_c_keeps_the_same_on_all(monkeypatch):
    """Rank 1 is interrupted; all end after the same exchange, with what is complete."""
    network, train = make_network(), make_train(25.0)
    whole = windows.run(network, *train, t_stop=25.0)
    monkeypatch.setattr(divided, "CHUNK", 1)  # a look at what is held after each window
    deliver = divided._deliver
    second: list[int] = []  # the thread of rank 1
    calls: list[int] = []

    def interrupted(held: Held) -> KeyboardInterrupt | None:
        if threading.get_ident() in second:
            calls.append(1)
            if len(calls) == 6:
                return KeyboardInterrupt()
        return deliver(held)

    monkeypatch.setattr(divided, "_deliver", interrupted)

    def run(ranks: Ranks) -> SpikeRecord:
        if ranks.rank == 1:
            second.append(threading.get_ident())
        with pytest.raises(SimulationInterrupted) as caught:
            es.simulate(network, train, t_stop=25.0, ranks=ranks)
        return caught.value.record

    found = run_ranks(2, run)
    assert 0.0 < found[0].t_end == found[1].t_end < 25.0
    for name in whole.layers:
        n = len(found[0][name])
        assert np.array_equal(found[0][name].times, found[1][name].times)
        assert np.array_equal(found[0][name].times, whole[name].times[:n])
        assert (whole[name].times[n:] >= found[0].t_end).all()
