"""Hypothesis strategies: input trains, neurons and small networks, awkward ones on purpose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from scipy.sparse import csr_array

from eventsnn.model import LIF, Connection, Dense, Input, Network

# Intervals between events, ms: ties, next to nothing, the usual, a pause in which everything decays.
INTERVALS = st.one_of(
    st.just(0.0),
    st.floats(1e-9, 1e-3),
    st.floats(0.01, 20.0),
    st.floats(200.0, 3000.0),
)


@st.composite
def trains(draw, n_inputs: int, most: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Input spikes: times (ms, float64) and input neurons, sorted by (time, neuron); may be empty."""
    events = draw(st.lists(st.tuples(INTERVALS, st.integers(0, n_inputs - 1)), max_size=most))
    times = np.cumsum([interval for interval, _ in events], dtype=np.float64)
    indices = np.array([index for _, index in events], dtype=np.int32)
    order = np.lexsort((indices, times))
    return times[order], indices[order]


@st.composite
def lif_parameters(draw, always_refractory: bool = False) -> LIF:
    """A neuron; tau_m and tau_s apart in either order, close, one float64 step apart, or equal."""
    tau_s = draw(st.floats(1.0, 20.0))
    ratio = draw(
        st.one_of(st.floats(1.5, 10.0), st.floats(0.3, 0.8), st.floats(1 - 1e-6, 1 + 1e-6), st.just(1.0))
    )
    tau_m = draw(st.sampled_from([tau_s * ratio, float(np.nextafter(tau_s, 100.0))]))
    refractory = draw(
        st.floats(0.5, 5.0) if always_refractory else st.one_of(st.just(0.0), st.floats(0.01, 5.0))
    )
    return LIF(draw(st.floats(0.5, 4.0)), tau_m, tau_s, refractory)


def _dense(lif: LIF, neurons: int, **more) -> Dense:
    return Dense(
        neurons, threshold=lif.threshold, tau_m=lif.tau_m, tau_s=lif.tau_s, refractory=lif.refractory, **more
    )


@st.composite
def _weights(draw, network: Network, scale: float) -> Network:
    """`network` with normal weights around a positive mean, so that its neurons fire."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    weights = {}
    for key, shape in network.weight_shapes().items():
        weights[key] = (scale * generator.normal(0.5, 1.0, shape)).astype(dtype)
    return network.with_weights(weights)


@st.composite
def chains(
    draw,
    most_layers: int = 3,
    most_neurons: int = 6,
    lateral: bool = False,
    biases: Sequence[float] = (0.0, 0.0, 700.0),
) -> Network:
    """Dense layers one after another, some with delays; with `lateral`, inhibition within the last layer.

    `biases` are intervals of the bias neuron to choose from, 0 for none. Recordings may take a minute: a
    short interval would make it outfire all others.
    """
    depth = draw(st.integers(1, most_layers))
    layers = []
    for n in range(depth):
        delay = draw(st.sampled_from([0.0, 0.0, 1.0, 2.5]))
        inhibition = draw(st.floats(0.1, 5.0)) if lateral and n == depth - 1 else 0.0
        neurons = draw(st.integers(2 if inhibition else 1, most_neurons))
        layers.append(_dense(draw(lif_parameters()), neurons, delay=delay, lateral_inhibition=inhibition))
    bias = draw(st.sampled_from(biases))
    return draw(_weights(Network(Input(draw(st.integers(1, 5)), bias_interval=bias), *layers), 6.0))


@st.composite
def recurrent_networks(draw, most_neurons: int = 5, biases: Sequence[float] = (0.0,)) -> Network:
    """Two layers with a loop, feedback and a skip connection, each present or not, with delays.

    They may go on for ever: run them with a `t_stop`. Their neurons have a refractory period, since without
    one excitatory loops fire faster and faster.
    """
    first = _dense(
        draw(lif_parameters(always_refractory=True)), draw(st.integers(1, most_neurons)), name="first"
    )
    inhibition = draw(st.sampled_from([0.0, 1.5]))
    second = _dense(
        draw(lif_parameters(always_refractory=True)),
        draw(st.integers(2, most_neurons)),
        name="second",
        lateral_inhibition=inhibition,
    )
    delays = st.sampled_from([0.0, 0.5, 1.0, 7.25])
    choices = [("first", "first"), ("second", "first"), ("second", "second"), ("input", "second")]
    chosen = draw(st.lists(st.sampled_from(choices), min_size=1, max_size=4, unique=True))
    if all(pair == ("input", "second") for pair in chosen):
        chosen.append(("first", "first"))
    connections = [Connection(source, target, delay=draw(delays)) for source, target in chosen]
    sensor = Input(draw(st.integers(1, 4)), bias_interval=draw(st.sampled_from(biases)))
    network = Network(sensor, first, second, connections=connections)
    return draw(_weights(network, 4.0))


def _sparse(values: np.ndarray) -> csr_array:
    """Sparse weights, some of whose synapses are there and have weight 0."""
    there = (values != 0.0) | (np.indices(values.shape).sum(axis=0) % 2 == 0)
    rows, columns = np.nonzero(there)
    return csr_array((values[there], (rows, columns)), shape=values.shape)


@st.composite
def sparse_networks(draw, most_neurons: int = 6, synaptic: bool = False) -> Network:
    """One to three layers with loops that take time, sparse weights with zeros, resting potentials.

    With `synaptic`, most have a delay for each synapse.

    Several neurons, inputs and delays are equal, so that arrivals and spikes coincide. They may go on for
    ever: run
    them with a `t_stop`. Neurons without a refractory period are in networks without loops only, since
    excitatory loops of them fire faster and faster.
    """
    depth, loops = draw(st.integers(1, 3)), draw(st.booleans())
    names = [f"layer{n}" for n in range(depth)]
    layers = []
    for name in names:
        lif = draw(lif_parameters(always_refractory=loops))
        resting = draw(st.one_of(st.just(0.0), st.floats(-2.0, 0.99))) * lif.threshold
        delay = draw(st.sampled_from([0.0, 0.0, 0.4, 2.5]))
        neurons = draw(st.integers(1, most_neurons))
        layers.append(_dense(lif, neurons, name=name, delay=delay, resting=resting))
    # Of the order of a time constant, or longer: windows are as long as the shortest of them all.
    delays = st.sampled_from([0.5, 0.5, 1.0, 7.25])
    places = [(a, b) for a in range(-1, depth) for b in range(depth) if loops or a < b]
    chosen = draw(st.lists(st.sampled_from(places), min_size=int(loops), max_size=4, unique=True))
    connections = [
        Connection(("input", *names)[a + 1], names[b], delay=draw(delays if a >= b else st.just(0.0)))
        for a, b in chosen
    ]
    network = Network(Input(draw(st.integers(1, 4))), *layers, connections=connections)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights: dict = {}
    for n, (key, shape) in enumerate(network.weight_shapes().items()):
        values = np.round(4.0 * generator.normal(0.4, 1.0, shape) * (generator.random(shape) < 0.6), 1)
        # The first is sparse, the others one or the other.
        weights[key] = _sparse(values) if n == 0 or draw(st.booleans()) else values
    network = network.with_weights(weights)
    if not synaptic:
        return network
    # Of those that lead back as long as a window; several equal, as are those of a single delay.
    back = {p.key: p.source >= p.target for p in network.projections}
    each = {
        key: generator.choice([0.5, 0.75, 1.0, 7.25, 9.0] if back[key] else [0.0, 0.3, 1.0, 7.25], array.nnz)
        for key, array in network.weights.items()
        if key in network.sparse_keys and draw(st.sampled_from([True, True, False]))
    }
    return network.with_delays(each)


@st.composite
def simulations(draw, networks):
    """A network and what goes into it: (network, times in ms, input neurons)."""
    network = draw(networks)
    return (network, *draw(trains(network.input.neurons)))
