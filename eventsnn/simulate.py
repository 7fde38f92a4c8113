"""The one verb of simulation."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from eventsnn.engines import clocked, queue, sweep, twin
from eventsnn.engines.arguments import check_dtype
from eventsnn.engines.record import SimulationInterrupted, SpikeRecord
from eventsnn.errors import SimulationError
from eventsnn.events import EventStream
from eventsnn.network import Network

ENGINES = ("auto", "queue", "sweep", "twin", "clocked")


def simulate(
    network: Network,
    events: EventStream | np.ndarray | tuple[np.ndarray, np.ndarray],
    *,
    engine: str = "auto",
    dtype: str = "float64",
    t_stop: float | None = None,
    trace: str | os.PathLike[str] | None = None,
    record: Iterable[str] = ("spikes",),
) -> SpikeRecord:
    """Send a recording through a network, event by event: no frames, no time step, exact spike times.

    Parameters
    ----------
    network : Network
    events : EventStream, structured array or (times_ms, indices)
        A recording for the network's sensor; a structured array has fields t (microseconds), x, y, p as
        tonic's do. A pair gives float times in ms and input neurons.
    engine : {"auto", "queue", "sweep", "twin", "clocked"}
        ``queue`` runs any network; ``sweep`` runs chains of layers, faster, to the same bits; ``twin`` is the
        readable plain-Python engine (float64 only); ``auto`` chooses between the first two. ``clocked`` is
        not exact: it takes steps of 1 ms as the authors of HM2-BP do (float32 only, needs `t_stop`).
    dtype : {"float64", "float32"}
        Precision of membrane potentials and synaptic currents.
    t_stop : float, optional
        Last time to simulate, ms, included; None runs until no neuron can fire any more. A network with
        recurrent connections needs it.

    Other Parameters
    ----------------
    trace : path, optional
        Write an HDF5 trace of the run.
    record : iterable of {"spikes", "potential", "spsp"}
        What the trace holds.

    Returns
    -------
    SpikeRecord
        ``run["hidden"].times`` (float64, ms, sorted by (time, neuron)), ``.neurons``, ``.counts``;
        ``run.decision``.

    Raises
    ------
    SimulationError
        For events that do not fit the network, an unknown engine or dtype, a missing `t_stop`.
    TraceError
        If the trace cannot be written.
    SimulationInterrupted
        On Ctrl-C (a KeyboardInterrupt), with the record so far.
    """
    if engine not in ENGINES:
        raise SimulationError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    check_dtype(dtype)
    times, indices = to_input(network, events)
    if engine == "auto":
        engine = "queue" if sweep.refusal(network) or len(times) > sweep.MAX_EVENTS else "sweep"
    if trace is None:
        return _run(network, times, indices, engine, dtype, t_stop)
    from eventsnn.trace.writer import TraceWriter

    config = {"engine": engine, "dtype": dtype, "t_stop": t_stop}
    # The file is begun before the simulation: a wrong option or an unwritable folder must not cost a run.
    with TraceWriter(trace, network, record=tuple(record), config=config) as writer:
        try:
            run = _run(network, times, indices, engine, dtype, t_stop)
        except SimulationInterrupted as stopped:
            writer.append(stopped.record)
            writer.close()
            raise
        writer.append(run)
    return run


def _run(
    network: Network, times: np.ndarray, indices: np.ndarray, engine: str, dtype: str, t_stop: float | None
) -> SpikeRecord:
    if engine == "twin":
        if np.dtype(dtype) != np.float64:
            raise SimulationError("engine 'twin' computes in float64 only")
        return twin.run(network.lowered, times, indices, t_stop=t_stop)
    if engine == "clocked":
        if np.dtype(dtype) != np.float32:
            raise SimulationError("engine 'clocked' computes in float32 only")
        return clocked.run(network, times, indices, t_stop=t_stop)
    if engine == "queue":
        network = network.lowered
    module: Any = {"queue": queue, "sweep": sweep}[engine]
    record: SpikeRecord = module.run(network, times, indices, dtype=dtype, t_stop=t_stop)
    return record


def to_input(network: Network, events: Any) -> tuple[np.ndarray, np.ndarray]:
    """(times in ms, input neurons) of a recording for the network's sensor.

    Raises
    ------
    SimulationError
        If the recording's sensor is not the network's.
    EventStreamError
        If a structured array holds events that make no sense.
    """
    if isinstance(events, tuple):
        if len(events) != 2:
            raise SimulationError(f"events: a tuple must be (times_ms, indices), got {len(events)} items")
        return np.asarray(events[0]), np.asarray(events[1])
    if not isinstance(events, EventStream):
        events = EventStream.from_structured(events, sensor_size=network.input.sensor_size)
    if tuple(events.sensor_size) != network.input.sensor_size:
        width, height, polarities = events.sensor_size
        want = network.input
        raise SimulationError(
            f"events: the recording's sensor is {width} x {height} x {polarities}, "
            f"the network's input is {want.width} x {want.height} x {want.polarities}"
        )
    return events.times_ms(), events.input_indices()
