"""Descriptions of networks with values that nobody means: refused by name, or simulated without a crash."""

from __future__ import annotations

import copy
import json
import random
import time
from typing import Any

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import EventSNNError, NetworkError
from eventsnn.model import Connection, Conv, Dense, Input, Network, Pool, Reservoir

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 0.5, -0.0, 1e-300, 5e-324, 1e-12, 1e12, 1e20, 1e100, 1e308, -1e308, 10**12, 2**31, 2**63),
    *(10**400, -(10**400), float("nan"), float("inf"), float("-inf")),
)
OTHERS: tuple[Any, ...] = (
    *(None, True, "", "1", "x" * 300, ".", "..", "a/b", "\0", [], [1], [1, 2], {}, {"a": 1}, [[1]]),
)

DESCRIPTIONS = {
    "chain": Network(Input(4, 4, 2), Dense(5, threshold=0.5, lateral_inhibition=0.2), Dense(2), seed=1),
    "graph": Network(
        Input(4, 2, 1, bias_interval=5.0),
        Dense(5, threshold=0.5, delay=1.0),
        Dense(2),
        connections=[Connection("output", "hidden", delay=2.0, probability=0.5)],
        seed=1,
    ),
    "image": Network(Input(8, 8, 2), Conv(3, 3, padding=1), Pool(2), Dense(2), seed=1),
    "reservoir": Network(Input(6), Reservoir(grid=(2, 2, 2)), Dense(2), seed=1),
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where there is something in a description: of every value and every table or list, its path."""
    found = [path] if path else []
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list | tuple)
        else ()
    )
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


def with_value(table: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of a description with another value at a place."""
    table = copy.deepcopy(json.loads(json.dumps(table)))
    inner = table
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return table


def simulate(network: Network) -> None:
    times = np.arange(20) * 1.0
    run = es.simulate(network, (times, np.arange(20) % network.input.neurons), t_stop=30.0)
    assert all(np.isfinite(spikes.times).all() for spikes in run.layers.values())


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_every_field_of_a_description_with_any_value(name):
    table, draws = DESCRIPTIONS[name].to_table(), random.Random(name)
    for path in places(json.loads(json.dumps(table))):
        for value in (*NUMBERS, *OTHERS):
            if draws.random() > 0.4:
                continue
            begun = time.monotonic()
            try:
                network = Network.from_table(with_value(table, path, value))
                if network.input.neurons < 10**5 and sum(layer.neurons for layer in network.layers) < 10**4:
                    simulate(network)
            except EventSNNError:
                pass
            assert time.monotonic() - begun < 20.0, (path, value)


@pytest.mark.parametrize(
    "name",
    [
        ".",
        "..",
        "",
        " ",
        "a ",
        "a/b",
        "a\0b",
        "a\nb",
        "\u202eabc",
        "\ud800",
        "x" * 201,
        "\u00e9" * 101,
        3,
        b"a",
    ],
)
def test_names_that_files_cannot_hold_are_refused(name):
    with pytest.raises(NetworkError, match="name must"):
        Dense(3, name=name)
    with pytest.raises(NetworkError, match="must"):
        Connection("a", "b", name=name)


@pytest.mark.parametrize("name", ["a.b", "...", "\u00e9\u00e8", "\u5c42", "x" * 200, "a b", "weights", "con"])
def test_other_names_survive_a_file_and_a_trace(name, tmp_path):
    network = Network(Input(3), Dense(2, name=name, threshold=0.01), seed=1)
    network.save(tmp_path / "m.h5")
    loaded = Network.load(tmp_path / "m.h5")
    run = es.simulate(loaded, ([1.0, 2.0], [0, 1]), trace=tmp_path / "t.h5", record=("potential", "spsp"))
    assert loaded.names == (name,)
    with es.Trace(tmp_path / "t.h5") as trace:
        assert np.array_equal(trace.spikes(name).times, run[name].times)


def test_networks_that_no_machine_holds_are_refused_with_their_size():
    with pytest.raises(NetworkError, match="neurons must be at most 2147483647"):
        Dense(10**12)
    with pytest.raises(NetworkError, match=r"the weights need .* GiB, .* of them those of 'output' of shape"):
        Network(Input(10**6), Dense(2 * 10**9), seed=1)
    with pytest.raises(NetworkError, match="65536 x 65536 x 2 neurons are more than"):
        Input(65536, 65536, 2)


@pytest.mark.parametrize("probability", [1e-3, 1e-9, 1e-18, 1e-100, 5e-324])
def test_synapses_of_a_probability_near_0_are_few(probability):
    network = Network(Input(300), Dense(300, probability=probability), seed=3)
    count, expected = network.weights["output"].nnz, 300 * 300 * probability
    assert abs(count - expected) <= 6.0 * expected**0.5 + 1.0


def test_thousands_of_layers_are_no_recursion(tmp_path):
    network = Network(Input(1), *(Dense(1, threshold=0.01, tau_s=2.0) for _ in range(3000)), seed=1)
    network = network.with_weights({key: abs(w) + 0.5 for key, w in network.weights.items()})
    run = es.simulate(network, ([1.0], [0]), t_stop=5.0)
    assert len(run.layers) == 3000
