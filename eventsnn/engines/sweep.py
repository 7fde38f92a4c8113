"""Driver of the sweep engine: chains of dense layers, whole input trains at once, the queue engine's bits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eventsnn._ext.engine_sweep import TABLE_COLUMNS, fill_table, merge_blocks, sweep_blocks
from eventsnn.engines.arguments import check_dtype, check_input, endless
from eventsnn.engines.packed import PackedNetwork
from eventsnn.engines.queue import run_layer
from eventsnn.engines.record import SimulationInterrupted, SpikeRecord, make_record
from eventsnn.errors import SimulationError
from eventsnn.network import Network

# A kernel call runs one block through all input spikes at the least; more would keep Ctrl-C waiting too long.
MAX_EVENTS = 8_000_000
# Neuron updates per kernel call: about 10 ms.
CHUNK = 10_000_000


@dataclass(frozen=True)
class Arrivals:
    """Spikes arriving at a layer, sample after sample, each sorted by (time, neuron).

    Attributes
    ----------
    times : float64 array (n,), ms
    neurons : int32 array (n,)
        Source neuron of each.
    ptr : int64 array (samples + 1,)
        Sample s is [ptr[s], ptr[s + 1]).
    """

    times: np.ndarray
    neurons: np.ndarray
    ptr: np.ndarray

    @classmethod
    def join(cls, samples: list[tuple[np.ndarray, np.ndarray]]) -> Arrivals:
        """From (times, neurons) of each sample."""
        ptr = np.cumsum([0, *(len(times) for times, _ in samples)], dtype=np.int64)
        return cls(np.concatenate([t for t, _ in samples]), np.concatenate([n for _, n in samples]), ptr)

    def __len__(self) -> int:
        return len(self.ptr) - 1

    def sample(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(times, neurons) of one sample, views."""
        part = slice(self.ptr[number], self.ptr[number + 1])
        return self.times[part], self.neurons[part]

    def delayed(self, delay: float) -> Arrivals:
        """The same spikes `delay` ms later."""
        return Arrivals(self.times + delay, self.neurons, self.ptr) if delay else self


def refusal(network: Network) -> str | None:
    """Why the sweep engine cannot run a network; None if it can."""
    if network.connections:
        return f"connection {network.connections[0].key!r} makes the network more than a chain of layers"
    return None


def make_table(arrivals: Arrivals, constants: np.ndarray, real: type[np.floating]) -> np.ndarray:
    """Propagators and bounds between the arrivals, real array (n, TABLE_COLUMNS); see ``fill_table``."""
    table = np.empty((len(arrivals.times), TABLE_COLUMNS), dtype=real)
    fill_table(arrivals.times, arrivals.ptr, constants, table)
    return table


def run(
    network: Network,
    times_ms: np.ndarray,
    indices: np.ndarray,
    *,
    dtype: str = "float64",
    t_stop: float | None = None,
) -> SpikeRecord:
    """Simulate a chain of dense layers, exactly; arguments and result as `eventsnn.engines.queue.run`.

    Raises
    ------
    SimulationError
        Also for a network with further connections or a recording of more than `MAX_EVENTS` events.
    """
    reason = refusal(network)
    if reason:
        raise SimulationError(f"engine 'sweep' cannot run this network: {reason}; use engine='queue'")
    return run_packed(PackedNetwork(network, check_dtype(dtype)), times_ms, indices, t_stop=t_stop)


def run_packed(
    packed: PackedNetwork, times_ms: np.ndarray, indices: np.ndarray, *, t_stop: float | None = None
) -> SpikeRecord:
    """`run` for a network that is packed already."""
    network = packed.network
    times, inputs, stop = check_input(network, times_ms, indices, t_stop)
    if len(times) > MAX_EVENTS:
        raise SimulationError(
            f"engine 'sweep' takes up to {MAX_EVENTS} events at once, got {len(times)}; use engine='queue'"
        )
    arrivals = Arrivals.join([(times, inputs)])
    trains: list[tuple[np.ndarray, np.ndarray]] = []
    try:
        for number, layer in enumerate(network.layers):
            spikes = run_samples(packed, number, _until(arrivals.delayed(layer.delay), stop), stop)
            trains.append(spikes.sample(0))
            arrivals = spikes
    except KeyboardInterrupt:
        nothing = (np.empty(0), np.empty(0, np.int32))
        trains += [nothing] * (len(network.layers) - len(trains))
        record = make_record(
            network, trains, (times, inputs), 0.0, "sweep", packed.flat.dtype.name, interrupted=True
        )
        raise SimulationInterrupted(record) from None
    except OverflowError as error:
        raise endless(error) from None
    return make_record(network, trains, (times, inputs), stop, "sweep", packed.flat.dtype.name)


def _until(arrivals: Arrivals, stop: float) -> Arrivals:
    """Without what arrives after `stop`; for a single sample."""
    if stop == math.inf:
        return arrivals
    keep = int(np.searchsorted(arrivals.times, stop, side="right"))
    return Arrivals(arrivals.times[:keep], arrivals.neurons[:keep], np.array([0, keep]))


def run_samples(packed: PackedNetwork, number: int, arrivals: Arrivals, stop: float) -> Arrivals:
    """Spikes of one layer for every sample, from the arrivals at it, on the calling thread."""
    layer = packed.network.layers[number]
    if layer.lateral_inhibition:
        return Arrivals.join(
            [run_layer(packed, number, *arrivals.sample(s), stop) for s in range(len(arrivals))]
        )
    weights = packed.blocks[str(layer.name)]
    table = make_table(arrivals, packed.constants[number], packed.real)
    step = max(1, CHUNK // max(1, len(arrivals.times) * weights.shape[2]))
    parts = [
        sweep_blocks(
            weights,
            start,
            min(start + step, len(weights)),
            layer.neurons,
            packed.constants[number],
            arrivals.times,
            arrivals.neurons,
            arrivals.ptr,
            table,
            stop,
        )
        for start in range(0, len(weights), step)
    ]
    return merge(parts, len(arrivals))


def merge(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]], samples: int) -> Arrivals:
    """Join what ``sweep_blocks`` returned for consecutive blocks into trains sorted by (time, neuron)."""
    times, neurons, ptr = join_parts(parts)
    return Arrivals(*merge_blocks(times, neurons, ptr, samples))


def join_parts(
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What ``sweep_blocks`` would have returned for all the blocks in one call."""
    starts = np.cumsum([0, *(len(times) for times, _, _ in parts)])
    ptr = [np.zeros(1, np.int64), *(part[2][1:] + start for part, start in zip(parts, starts, strict=False))]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), np.concatenate(ptr)
