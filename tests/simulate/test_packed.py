"""Packed networks are kept for the next recording, and never mistaken for one another."""

import numpy as np

from eventsnn.model import Dense, Input, Network
from eventsnn.simulate.engines import queue, sweep
from eventsnn.simulate.engines.packed import PackedNetwork, pack_once


def test_a_network_is_packed_once_for_each_precision():
    first, second = (Network(Input(4), Dense(5), seed=1) for _ in range(2))
    packed = pack_once(first, np.float64)
    assert pack_once(first, np.float64) is packed
    assert pack_once(first, np.float32).flat.dtype == np.float32
    assert pack_once(second, np.float32).network is second
    again = pack_once(first, np.float64)
    assert again is not packed
    assert np.array_equal(again.flat, PackedNetwork(first, np.float64).flat)


def test_engines_see_the_network_they_are_given():
    events = np.arange(1.0, 9.0), np.arange(8) % 4
    networks = [Network(Input(4), Dense(6, threshold=0.5), seed=seed) for seed in (1, 2, 1)]
    for engine in (queue, sweep):
        runs = [engine.run(network, *events)["output"] for network in networks]
        assert min(len(run) for run in runs) > 0
        assert runs[0].times.tobytes() == runs[2].times.tobytes() != runs[1].times.tobytes()
