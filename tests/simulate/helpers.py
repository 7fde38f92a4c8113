"""What the tests of the engines share: run one by name, compare its spikes with the oracle's."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from eventsnn.model import LIF, Dense, Input, Network
from eventsnn.trace.record import LayerSpikes, SpikeRecord

ENGINES = ("twin", "queue", "sweep")

# Neurons as they are used, and the awkward ones: time constants in the other order, close, one float64 step
# apart, equal; no refractory period, a long one.
NEURONS = {
    "published": LIF(20.0, 64.0, 8.0, 2.0),
    "slow synapse": LIF(3.0, 5.0, 30.0, 1.5),
    "close": LIF(2.0, 10.0, 10.0 * (1 + 1e-9), 2.0),
    "one step apart": LIF(2.0, float(np.nextafter(10.0, 11.0)), 10.0, 2.0),
    "equal": LIF(2.0, 10.0, 10.0, 2.0),
    "no refractory period": LIF(4.0, 38.4, 4.8, 0.0),
    "long refractory period": LIF(4.0, 64.0, 8.0, 30.0),
}


def drive(
    engine: str, network: Network, times: Any, indices: Any, t_stop: float | None = None
) -> SpikeRecord:
    """Run the engine called `engine` in float64."""
    module = importlib.import_module(f"eventsnn.simulate.engines.{engine}")
    times, indices = np.asarray(times, np.float64), np.asarray(indices, np.int32)
    return module.run(network, times, indices, t_stop=t_stop)


def one_layer(lif: LIF, weights: Any, **more: Any) -> Network:
    """A network of one layer, called ``output``, with `weights` of shape (post, pre)."""
    weights = np.asarray(weights)
    layer = Dense(
        weights.shape[0],
        threshold=lif.threshold,
        tau_m=lif.tau_m,
        tau_s=lif.tau_s,
        refractory=lif.refractory,
        **more,
    )
    return Network(Input(weights.shape[1]), layer, weights={"output": weights})


def assert_exact(found: np.ndarray, expected: list[Any], tolerance_ms: float = 1e-9) -> None:
    """No spike missing, none extra, every time within `tolerance_ms`."""
    assert len(found) == len(expected), f"{len(found)} spikes, the oracle has {len(expected)}"
    for t, exact in zip(found.tolist(), expected, strict=True):
        assert abs(t - exact) <= tolerance_ms, f"spike at {t} ms, the oracle's at {float(exact)} ms"


def assert_layer_exact(
    found: LayerSpikes, expected: list[tuple[Any, int]], tolerance_ms: float = 1e-9
) -> None:
    """`assert_exact` for every neuron of a layer; `expected` as `network_run` gives it."""
    for neuron in range(found.size):
        assert_exact(found.of(neuron), [t for t, i in expected if i == neuron], tolerance_ms)
    order = np.lexsort((found.neurons, found.times))
    assert np.array_equal(order, np.arange(len(found))), "spikes are not sorted by (time, neuron)"


def assert_same_bits(a: SpikeRecord, b: SpikeRecord) -> None:
    """Two records hold the same spikes, to the last bit."""
    assert a.layers.keys() == b.layers.keys()
    for name in a.layers:
        assert np.array_equal(a[name].neurons, b[name].neurons), (
            f"{a.engine} and {b.engine} differ in {name!r}"
        )
        assert np.array_equal(a[name].times, b[name].times), f"{a.engine} and {b.engine} differ in {name!r}"
    assert a.exit_reason is b.exit_reason
    assert a.t_end == b.t_end


def assert_agree(simulation, *engines, **options):
    """Engines must give the twin's bits."""
    twin = drive("twin", *simulation, **options)
    for engine in engines:
        assert_same_bits(twin, drive(engine, *simulation, **options))
