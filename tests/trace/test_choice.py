"""Which quantities, layers, neurons and times a trace keeps besides the spikes"""

from pathlib import Path

import numpy as np
import pytest

from eventsnn.errors import TraceError
from eventsnn.model import Network
from eventsnn.reference.spsp import unit_contributions
from eventsnn.trace import Trace, TraceWriter, membrane_potential, synaptic_current
from eventsnn.trace.afferents import afferents
from eventsnn.trace.record import SpikeRecord
from eventsnn.trace.schema import RECORD, TRAINING

WINDOW = 20.0, 45.0
LEVELS = [option for option in RECORD if option not in TRAINING]


@pytest.fixture
def everything(tmp_path: Path, network: Network, run: SpikeRecord) -> Path:
    with TraceWriter(tmp_path / "all.h5", network, record=LEVELS) as writer:
        writer.append(run)
    return tmp_path / "all.h5"


@pytest.fixture
def part(tmp_path: Path, network: Network, run: SpikeRecord, run2: SpikeRecord) -> Path:
    with TraceWriter(
        tmp_path / "part.h5",
        network,
        record=LEVELS,
        layers=["hidden", "output"],
        neurons={"hidden": [6, 1]},
        window=WINDOW,
        potential_step=0.75,
    ) as writer:
        writer.append(run)
        writer.append(run2)
    return tmp_path / "part.h5"


@pytest.mark.parametrize("layer", ["hidden", "middle", "output"])
def test_currents_are_sums_over_arrivals(
    everything: Path, network: Network, run: SpikeRecord, layer: str
) -> None:
    tau = network[layer].tau_s
    with Trace(everything) as trace:
        recorded = trace.current(layer)
        assert set(recorded.kinds.tolist()) <= {0, 1}
        for neuron in range(network[layer].neurons):
            incoming = afferents(network, run, network.index(layer), neuron)
            times = np.arange(0.0, 80.0, 0.37)[::-1]
            expected = np.zeros(times.shape)
            for each in incoming:
                age = times[:, None] - each.arrivals
                expected += np.where(age >= 0, np.exp(-np.maximum(age, 0) / tau), 0.0) @ each.weights
            np.testing.assert_allclose(trace.current(layer, neuron, times), expected, rtol=1e-11, atol=1e-11)
            own = recorded.neurons == neuron
            np.testing.assert_allclose(
                recorded.values[own],
                synaptic_current(network, run, layer, neuron, recorded.times[own]),
                rtol=1e-5,
                atol=1e-5,
            )


def test_potentials_at_any_times(everything: Path, network: Network, run: SpikeRecord) -> None:
    times = np.array([33.3, 0.0, 79.99])
    with Trace(everything) as trace:
        found = trace.potential("output", 2, times)
        np.testing.assert_array_equal(found, membrane_potential(network, run, "output", 2, times))
        assert trace.potential("output", 0).times[0] == 0.0  # what was recorded of sample 0
        with pytest.raises(TraceError, match=r"layer .output. has the neurons 0\.\.2, got 3"):
            trace.current("output", 3, times)


def test_only_the_chosen_is_kept(part: Path, everything: Path, run: SpikeRecord) -> None:
    with Trace(part) as trace, Trace(everything) as whole:
        for layer in ("hidden", "output"):
            for of in (trace.potential(layer), trace.current(layer)):
                assert of.times.min() >= WINDOW[0]
                assert of.times.max() <= WINDOW[1]
            own = trace.potential(layer)
            assert set(own.neurons.tolist()) == ({1, 6} if layer == "hidden" else {0, 1, 2})
            grid = own.times[own.kinds == 0]
            np.testing.assert_allclose(np.unique(grid), 0.75 * np.arange(27, 61))
            for neuron in np.unique(own.neurons).tolist():
                rows = own.neurons == neuron
                grid_only = rows & (own.kinds == 0)
                exact = trace.potential(layer, neuron, own.times[grid_only])
                np.testing.assert_allclose(own.values[grid_only], exact, atol=1e-5)
                spikes = run[layer].of(neuron)
                spikes = spikes[(spikes >= WINDOW[0]) & (spikes <= WINDOW[1])]
                np.testing.assert_array_equal(own.times[rows & (own.kinds == 1)], spikes)
        for layer in ("potential", "current"):
            with pytest.raises(TraceError, match="of layer 'middle'"):
                getattr(trace, layer)("middle")
        with pytest.raises(TraceError, match="S-PSPs of layer 'middle' were not among those"):
            trace.spsp("middle", 0, 0)
        compared = 0
        for neuron in (1, 6):
            for spike, time in enumerate(run["hidden"].of(neuron).tolist()):
                if not WINDOW[0] <= time <= WINDOW[1]:
                    with pytest.raises(TraceError, match="only chosen neurons and times were"):
                        trace.spsp("hidden", neuron, spike)
                    continue
                for found, expected in zip(
                    trace.spsp("hidden", neuron, spike), whole.spsp("hidden", neuron, spike), strict=True
                ):
                    np.testing.assert_array_equal(found, expected)
                compared += 1
        assert compared > 3
        assert set(trace.spsp_total("hidden")[0].tolist()) <= {1, 6}
        with pytest.raises(TraceError, match="no S-PSPs of neuron 2 of layer 'hidden'"):
            trace.spsp("hidden", 2, 0)


def test_totals_alone(tmp_path: Path, everything: Path, network: Network, run: SpikeRecord) -> None:
    with TraceWriter(tmp_path / "t.h5", network, record="spsp_total") as writer:
        writer.append(run)
    with Trace(tmp_path / "t.h5") as trace, Trace(everything) as whole:
        for layer in network.names:
            for found, expected in zip(trace.spsp_total(layer), whole.spsp_total(layer), strict=True):
                np.testing.assert_array_equal(found, expected)
        with pytest.raises(TraceError, match="holds no S-PSPs; record them"):
            trace.spsp("output", 0, 0)
    assert (tmp_path / "t.h5").stat().st_size < everything.stat().st_size


def test_totals_are_those_of_the_window(part: Path, network: Network, run: SpikeRecord) -> None:
    """Against the sum over the chosen spikes, written out."""
    neuron, lif = 6, network["hidden"].lif
    spikes = run["hidden"].of(neuron)
    resets = np.concatenate([[-np.inf], spikes[:-1] + lif.refractory])
    (incoming,) = [a for a in afferents(network, run, 0, neuron) if a.projection.key == "hidden"]
    total = np.zeros(network.input.neurons)
    for time, reset in zip(spikes.tolist(), resets.tolist(), strict=True):
        if WINDOW[0] <= time <= WINDOW[1]:
            shares = unit_contributions(time, reset, incoming.arrivals, lif)
            shares[incoming.arrivals >= time] = 0.0
            np.add.at(total, incoming.neurons, shares)
    with Trace(part) as trace:
        post, pre, value = trace.spsp_total("hidden")
    found = np.zeros(network.input.neurons)
    found[pre[post == neuron]] = value[post == neuron]
    np.testing.assert_allclose(found, total, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"neurons": {"hidden": [8]}}, r"neurons: layer 'hidden' has the neurons 0..7, got 8"),
        ({"neurons": {"hidden": [1.5]}}, r"neurons: layer 'hidden' has the neurons 0..7, got 1.5"),
        ({"window": (5.0, 1.0)}, r"window: two times in ms, 0 <= from <= to, got \(5.0, 1.0\)"),
        ({"window": 3.0}, "window: two times in ms"),
        ({"window": (-1.0, 1.0)}, "window: two times in ms"),
    ],
)
def test_choices_that_there_are_not(tmp_path: Path, network: Network, options: dict, text: str) -> None:
    with pytest.raises(TraceError, match=text):
        TraceWriter(tmp_path / "t.h5", network, **options)
    assert not list(tmp_path.iterdir())
