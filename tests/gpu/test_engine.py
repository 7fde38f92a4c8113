"""Engine "gpu" in emulation: the spikes of the sweep engine and of the twin, to the last bit."""

from __future__ import annotations

from dataclasses import replace
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsnn._util.threads import Pool
from eventsnn.errors import DeviceMemoryError, SimulationError
from eventsnn.events import read
from eventsnn.gpu import forward
from eventsnn.gpu.emulated import EmulatedDevice
from eventsnn.model import Connection, Conv, Dense, Input, Network, Readout
from eventsnn.simulate import Simulation
from eventsnn.simulate.engines import ENGINES, Settings
from eventsnn.simulate.engines import gpu as engine
from eventsnn.simulate.engines.arrivals import Arrivals
from eventsnn.simulate.run import simulate
from eventsnn.trace.record import ExitReason, SimulationInterrupted
from tests.gpu.emulation import needs_emulation
from tests.real_data import real_data
from tests.simulate.helpers import assert_agree, assert_same_bits, drive, one_layer
from tests.simulate.test_engines_agree import thresholds_met_at_arrivals
from tests.strategies import chains, simulations

pytestmark = needs_emulation

quick = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSNN_GPU", "emulate")


@quick
@given(simulations(chains()))
def test_chains_give_the_same_bits(simulation):
    assert_agree(simulation, "gpu", "sweep")


@quick
@given(simulations(chains(most_layers=2, lateral=True)))
def test_lateral_inhibition_gives_the_same_bits(simulation):
    assert_agree(simulation, "gpu")


@quick
@given(simulations(chains()), st.floats(0.0, 300.0))
def test_t_stop_cuts_a_run(simulation, t_stop):
    assert_agree(simulation, "gpu", t_stop=t_stop)


@pytest.mark.parametrize("lateral", [False, True])
def test_a_threshold_met_at_arrivals_of_one_instant_gives_the_same_bits(lateral: bool) -> None:
    for network, times, sources, _ in thresholds_met_at_arrivals():
        if lateral:  # beside a neuron that is silent
            weights = [*network.weights["output"], [0.0, 0.0]]
            network = one_layer(network.output.lif, weights, lateral_inhibition=1.0)
        assert_same_bits(drive("gpu", network, times, sources), drive("sweep", network, times, sources))


def wide(seed: int, dtype: str = "float64", hidden: int = 70, **more: object) -> Network:
    """A chain 20-hidden-40-5 whose neurons all fire a few times."""
    rng = np.random.default_rng(seed)
    lif = {"threshold": 4.0, "tau_m": 20.0, "tau_s": 5.0, "refractory": 2.0}
    network = Network(
        Input(20, **more),
        Dense(hidden, **lif),
        Dense(40, **lif, delay=0.5),
        Dense(5, **lif, lateral_inhibition=1.0),
    )
    scales = dict(zip(network.weight_shapes(), (2.5, 0.6, 2.0), strict=True))
    return network.with_weights(
        {
            key: (scales[key] * rng.normal(0.5, 1.0, shape)).astype(dtype)
            for key, shape in network.weight_shapes().items()
        }
    )


def recordings(seed: int, count: int = 7, inputs: int = 20) -> Arrivals:
    """Recordings on a grid of 0.1 ms, so that spikes coincide; one is empty, one has more than a chunk."""
    rng = np.random.default_rng(seed)
    samples = []
    for size in (0, 400, *rng.integers(1, 80, count - 2).tolist()):
        times, neurons = np.round(rng.uniform(0, 60, size), 1), rng.integers(0, inputs, size).astype(np.int32)
        order = np.lexsort((neurons, times))
        samples.append((times[order], neurons[order]))
    return Arrivals.join(samples)


def run_batch(
    name: str, network: Network, samples: Arrivals, dtype: str
) -> tuple[np.ndarray, list[list[np.ndarray]]]:
    """Votes and spikes (times and neurons of all layers) of a mini-batch."""
    chosen = ENGINES.get(name)
    how = chosen.settle(network, Settings(dtype))
    with Pool(1) as pool:
        votes = chosen.counter(network, how, None)(samples, samples.ends, pool)
        records = chosen.recorder(network, how, None)(samples, samples.ends, pool)
    return votes, [
        [array for layer in record.layers.values() for array in (layer.times, layer.neurons)]
        for record in records
    ]


def assert_same_batch(one: tuple, other: tuple) -> None:
    """Votes and spikes are the same to the last bit."""
    np.testing.assert_array_equal(one[0], other[0])
    assert one[0].dtype == other[0].dtype
    for a, b in zip(one[1], other[1], strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bias", [0.0, 7.0])
def test_batches_have_the_bits_of_the_sweep(dtype: str, bias: float) -> None:
    network, samples = wide(3, dtype, bias_interval=bias), recordings(3)
    swept = run_batch("sweep", network, samples, dtype)
    assert swept[0].sum() > 10
    assert_same_batch(run_batch("gpu", network, samples, dtype), swept)


def test_threads_take_turns_on_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    # The status of a pass says whether there was room for its spikes; it lies where the next pass clears it.
    network, samples = wide(3), recordings(3)
    swept, few = run_batch("sweep", network, samples, "float64"), samples.part(slice(0, 1))
    launch, others = forward.ForwardPass.launch, []

    def launch_and_let_others(each: forward.ForwardPass, *given: object) -> list[forward.LayerPass]:
        passes = launch(each, *given)
        if not others:
            others.append(Thread(target=run_batch, args=("gpu", network, few, "float64")))
            others[0].start()
            others[0].join(0.3)
        return passes

    monkeypatch.setattr(forward.ForwardPass, "launch", launch_and_let_others)
    found = run_batch("gpu", network, samples, "float64")
    others[0].join()
    assert_same_batch(found, swept)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_real_recording_has_the_bits_of_the_sweep(dtype: str) -> None:
    events = read(real_data("nmnist-1k", "Train", "0", "00002.bin"))
    rng = np.random.default_rng(12)
    network = Network(
        Input(34, 34, 2), Dense(96, threshold=1.0), Dense(10, threshold=1.0, lateral_inhibition=0.1)
    )
    network = network.with_weights(
        {key: rng.normal(0.01, 0.05, shape) for key, shape in network.weight_shapes().items()}
    )
    swept, found = (simulate(network, events, engine=name, dtype=dtype) for name in ("sweep", "gpu"))
    assert len(found.output) > 20
    assert_same_bits(found, swept)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_several_neurons_a_lane_and_several_tiles_change_no_bit(
    monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    network, samples = wide(4, dtype, hidden=300), recordings(4)
    one = run_batch("gpu", network, samples, dtype)
    monkeypatch.setattr(forward, "neurons_a_lane", lambda *_: 4 if dtype == "float32" else 2)
    monkeypatch.setattr(forward, "MOST_THREADS", 64)
    device = EmulatedDevice(backwards=True)
    monkeypatch.setattr(engine, "find_device", lambda: device)
    assert_same_batch(run_batch("gpu", network, samples, dtype), one)
    assert_same_batch(run_batch("sweep", network, samples, dtype), one)
    assert f"sweep<{'float, 4' if dtype == 'float32' else 'double, 2'}>" in device.launched


@pytest.mark.parametrize("lanes", [8, 16, 32])
def test_few_lanes_of_a_warp_at_work_change_no_bit(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    network, samples = wide(6, "float32", hidden=75), recordings(6)
    monkeypatch.setattr(forward, "working_lanes", lambda *_: lanes)
    device = EmulatedDevice(backwards=True)
    monkeypatch.setattr(engine, "find_device", lambda: device)
    found = run_batch("gpu", network, samples, "float32")
    assert_same_batch(found, run_batch("sweep", network, samples, "float32"))
    assert max(neurons.max(initial=0) for spikes in found[1] for neurons in spikes[1::2]) > 64


def test_lanes_at_work_fill_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more warps would wait for room on the card, no lane is idle."""
    device = EmulatedDevice()
    monkeypatch.setattr(device, "multiprocessors", 132)
    packed = engine.pack_once(Network(Input(5), Dense(800), Dense(3)), np.float32)
    hidden = engine.put_layers(device, packed)[0]
    lanes = [forward.working_lanes(device, hidden, samples) for samples in (1, 16, 21, 22, 42, 43, 4096)]
    assert lanes == [8, 8, 8, 16, 16, 32, 32]


def test_little_memory_splits_the_batch_and_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    network, samples = wide(5), recordings(5)
    whole = run_batch("gpu", network, samples, "float64")
    device = EmulatedDevice(memory=500_000)
    monkeypatch.setattr(engine, "find_device", lambda: device)
    assert_same_batch(run_batch("gpu", network, samples, "float64"), whole)
    assert device.launched.count("sweep<double, 1>") > 4
    device = EmulatedDevice(memory=60_000)
    with pytest.raises(DeviceMemoryError, match="use smaller batches, or float32"):
        run_batch("gpu", network, samples, "float64")


def test_too_little_room_for_spikes_is_found_and_the_pass_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    network, samples = wide(6), recordings(6)
    monkeypatch.setattr(forward, "FIRST_SLOTS", 1)
    monkeypatch.setattr(forward.Room, "__init__", lambda self: self.__dict__.update(slots=1, train=2))
    device = EmulatedDevice()
    monkeypatch.setattr(engine, "find_device", lambda: device)
    found = run_batch("gpu", network, samples, "float64")
    repeated = len(device.launched)
    assert_same_batch(found, run_batch("sweep", network, samples, "float64"))
    assert_same_batch(run_batch("gpu", network, samples, "float64"), found)
    assert len(device.launched) - repeated < repeated  # the room is remembered


def test_long_trains_are_sorted_outside_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    network, samples = wide(7), recordings(7)
    device = EmulatedDevice()
    device.shared_memory = 4096
    monkeypatch.setattr(engine, "find_device", lambda: device)
    assert_same_batch(
        run_batch("gpu", network, samples, "float64"), run_batch("sweep", network, samples, "float64")
    )


def test_delays_of_each_source_give_the_same_bits() -> None:
    rng = np.random.default_rng(8)
    network = wide(8, bias_interval=11.0)
    layers = [
        replace(layer, delay=tuple(np.round(rng.uniform(0, 5, layer.inputs), 1).tolist()))
        for layer in network.layers
    ]
    network = Network(network.input, *layers, weights=dict(network.weights))
    samples = recordings(8)
    assert_same_batch(
        run_batch("gpu", network, samples, "float64"), run_batch("sweep", network, samples, "float64")
    )
    assert_agree((network, *samples.sample(1)), "gpu", "sweep")


def test_the_first_spike_decides() -> None:
    network, samples = wide(9), recordings(9)
    first = network.with_settings(replace(network.settings, decision="first"))
    assert_same_batch(
        run_batch("gpu", first, samples, "float64"), run_batch("sweep", first, samples, "float64")
    )


@pytest.mark.parametrize("hidden", [0, 30])
def test_a_readout_reads_the_same_spikes(hidden: int) -> None:
    layers = [Dense(hidden, threshold=3.0)] if hidden else []
    network = Network(Input(20, bias_interval=9.0), *layers, Readout(4), seed=1)
    samples = recordings(10)
    assert_same_batch(
        run_batch("gpu", network, samples, "float64"), run_batch("sweep", network, samples, "float64")
    )


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (Network(Input(5), Dense(40, lateral_inhibition=1.0)), "among more than 32 neurons"),
        (Network(Input(5), Dense(4), connections=[Connection("output", "output")]), "more than a chain"),
    ],
)
def test_a_network_that_it_cannot_run_is_refused(network: Network, text: str) -> None:
    with pytest.raises(SimulationError, match=text):
        ENGINES.get("gpu").settle(network, Settings())


def test_more_weights_than_the_kernels_can_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(Input(5, 5, 1, bias_interval=3.0), Conv(3, 3), Dense(40), Dense(7))
    # Padded to 32 and 64 neurons, with the bias neuron.
    for most, name in ((10 * 32 - 1, "conv"), (10 * 32, "hidden"), (28 * 64, None)):
        monkeypatch.setattr(engine, "MOST_WEIGHTS", most)
        reason = engine.refusal(network)
        assert reason == (None if name is None else f"layer {name!r} has more than {most} weights")


def test_parts_are_refused() -> None:
    with pytest.raises(SimulationError, match="engine 'gpu' takes whole recordings; use engine='sweep'"):
        Simulation(wide(1), engine="gpu")


@pytest.mark.parametrize("readout", [False, True])
def test_an_interrupt_keeps_the_record_so_far(monkeypatch: pytest.MonkeyPatch, readout: bool) -> None:
    network, device = wide(3), EmulatedDevice()
    if readout:
        network = Network(network.input, network.layers[0], Readout(3))
    samples = recordings(3)
    events = samples.sample(0)

    def interrupt(name: str, *_: object) -> None:
        if name == "order":  # in the middle of the layers
            raise KeyboardInterrupt
        run(name, *_)

    run = device._kernels.run
    monkeypatch.setattr(device, "_kernels", SimpleNamespace(run=interrupt))
    monkeypatch.setattr(engine, "find_device", lambda: device)
    with pytest.raises(SimulationInterrupted) as caught:
        simulate(network, events, engine="gpu")
    record = caught.value.record
    assert (record.exit_reason, record.t_end) == (ExitReason.INTERRUPTED, 0.0)
    assert all(len(record[name]) == 0 for name in network.names)


def faults(network: Network, samples: Arrivals, dtype: str) -> list[str]:
    """The errors of both engines."""
    found = []
    for name in ("sweep", "gpu"):
        with pytest.raises(SimulationError) as error:
            run_batch(name, network, samples, dtype)
        found.append(str(error.value))
    return found


@pytest.mark.parametrize("neurons", [{}, {"lateral_inhibition": 1.0}])
def test_firing_for_ever_is_the_error_of_the_sweep(neurons: dict) -> None:
    layer = Dense(2, refractory=0.0, **neurons)
    network = Network(Input(1), layer, weights={"output": np.array([[0.1], [1e20]])})
    quiet, loud = np.empty(0), np.array([50.0])
    samples = Arrivals.join([(each, np.zeros(len(each), np.int32)) for each in (quiet, loud)])
    swept, found = faults(network, samples, "float64")
    assert "neuron 1 fires again at 50" in found
    assert found == swept


def test_firing_for_ever_ends_the_run_of_its_neighbours() -> None:
    """Neuron 0 would fire about 10^13 times after neuron 1 has been found to fire for ever."""
    layer = Dense(2, refractory=0.0, lateral_inhibition=1.0)
    network = Network(Input(1), layer, weights={"output": np.array([[1e13], [1e20]])})
    swept, found = faults(network, Arrivals.single(np.array([50.0, 51.0]), np.zeros(2, np.int32)), "float64")
    assert "neuron 1 fires again at 50" in found
    assert found == swept


def test_a_state_beyond_its_range_is_the_error_of_the_sweep() -> None:
    network = Network(Input(1), Dense(2), weights={"output": np.array([[0.1], [-1e38]])})
    samples = Arrivals.single(np.arange(200.0) / 100, np.zeros(200, np.int32))
    swept, found = faults(network, samples, "float32")
    assert "layer 'output': a membrane potential or synaptic current has left the range of float32" in found
    assert found == swept
