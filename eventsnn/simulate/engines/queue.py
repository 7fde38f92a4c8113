"""Driver of the priority-queue engine: any graph of dense layers and connections, with delays."""

from __future__ import annotations

import math

import numpy as np

from eventsnn._ext.engine_queue import QueueState, run_queue
from eventsnn.errors import SimulationError
from eventsnn.model import Network, bias
from eventsnn.simulate.engines import windows
from eventsnn.simulate.engines.arguments import check_dtype, check_input, endless
from eventsnn.simulate.engines.packed import PackedNetwork, pack_once
from eventsnn.simulate.engines.precision import check_state
from eventsnn.trace.record import SimulationInterrupted, SpikeRecord, make_record

# Neuron updates between two looks at the signals: 5 to 80 ms.
CHUNK = 2_000_000
# Sparse weights are made dense up to this size, where the windowed schedule does not take the network.
DENSE_LIMIT = 2 << 30


def run(
    network: Network,
    times_ms: np.ndarray,
    indices: np.ndarray,
    *,
    dtype: str = "float64",
    t_stop: float | None = None,
) -> SpikeRecord:
    """Simulate a network on input spikes, exactly.

    Sparse networks, and spatial ones, which are sparse here, are run by the windowed schedule
    (`eventsnn.simulate.engines.windows`), which knows float64 only. Where float32 is asked for, or they hold
    a loop that takes (next to) no time, their weights are made dense.

    Parameters
    ----------
    network : Network
    times_ms : float array (n,)
        Times of the input spikes, ms, in any order.
    indices : int array (n,)
        Input neuron of each.
    dtype : {"float64", "float32"}
        Precision of membrane potentials, currents and weights; times are float64 always.
    t_stop : float, optional
        Last time to simulate, ms, included. None runs until no neuron can fire any more.

    Returns
    -------
    SpikeRecord

    Raises
    ------
    SimulationError
        For bad arguments, see `check_input`; for sparse weights that must be made dense and do not fit.
    SimulationInterrupted
        On Ctrl-C, with the record up to then.
    """
    real = check_dtype(dtype)
    if network.sparse_keys:
        reason = windows.refusal(network)
        if reason is None and real is np.float64:
            return windows.run(network, times_ms, indices, t_stop=t_stop)
        check_dense_size(network, real, reason or "dtype 'float32' is asked for")
    return run_packed(pack_once(network, real), times_ms, indices, t_stop=t_stop)


def default_dtype(network: Network) -> str:
    """The precision in which this engine runs a network fastest: float64 where weights stay sparse."""
    return "float64" if network.sparse_keys and windows.refusal(network) is None else "float32"


def check_dense_size(network: Network, real: type[np.floating], reason: str) -> None:
    """Refuse sparse weights that would need more than `DENSE_LIMIT` bytes when made dense, for a `reason`.

    Raises
    ------
    SimulationError
    """
    need = sum(post * pre for post, pre in network.weight_shapes().values()) * np.dtype(real).itemsize
    if need > DENSE_LIMIT:
        raise SimulationError(
            f"{reason}; without that the sparse weights of {', '.join(network.sparse_keys)} would do, "
            f"but with it all weights must be made dense, and {need / 2**30:.1f} GiB are more than "
            f"{DENSE_LIMIT / 2**30:g}"
        )


def run_packed(
    packed: PackedNetwork, times_ms: np.ndarray, indices: np.ndarray, *, t_stop: float | None = None
) -> SpikeRecord:
    """`run` for a network that is packed already."""
    times, inputs, stop = check_input(packed.network, times_ms, indices, t_stop)
    biases = bias.until(packed.network, times_ms, stop)
    state = packed.state(biases)
    chunks = Chunks(state, packed.flat)

    def record(t_end: float, interrupted: bool = False) -> SpikeRecord:
        trains = [state.spikes(n) for n in range(len(packed.network.layers))]
        return make_record(
            packed.network,
            trains,
            (times, inputs),
            t_end,
            "queue",
            packed.flat.dtype.name,
            interrupted=interrupted,
            bias=biases,
        )

    try:
        while not chunks.advance(times, inputs, stop):
            pass
    except KeyboardInterrupt:
        raise SimulationInterrupted(record(state.now, interrupted=True)) from None
    except OverflowError as error:
        raise endless(error) from None
    return record(stop)


class Chunks:
    """State arrays of a simulation in progress, advanced in bounded chunks without the interpreter's lock."""

    def __init__(self, state: QueueState, weights: np.ndarray) -> None:
        size, real = state.neurons, weights.dtype
        self.state = state
        self.weights = weights
        self.arrays = (
            np.zeros(size, real),  # membrane potential, counted from the resting potential
            np.zeros(size, real),  # synaptic current
            np.full(size, -math.inf),  # end of the last refractory period, ms
            np.full(size, math.inf),  # next spike of each candidate, ms
            np.zeros(size, np.int32),  # neurons in their refractory period, per layer
            np.zeros(size, np.int32),  # candidates, per layer
        )
        state.begin(self.arrays[0])

    def advance(self, times: np.ndarray, inputs: np.ndarray, stop: float) -> bool:
        """Run one chunk; True when nothing is left to do by `stop`. Refuses a state that is not finite."""
        done = bool(run_queue(self.state, self.weights, times, inputs, *self.arrays, stop, CHUNK))
        check_state(self.weights.dtype.type, *self.arrays[:2])
        return done


def run_layer(
    packed: PackedNetwork, number: int, times: np.ndarray, neurons: np.ndarray, stop: float
) -> tuple[np.ndarray, np.ndarray]:
    """Spikes (times, neurons) of one layer with the connections within it, from the arrivals at it.

    The arrivals must be sorted by (time, neuron); nothing is checked.
    """
    state = packed.layer_state(number)
    chunks = Chunks(state, packed.flat)
    while not chunks.advance(times, neurons, stop):
        pass
    return state.spikes(0)
