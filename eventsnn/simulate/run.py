"""The one verb of simulation."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from eventsnn._util.ranks import Ranks, as_ranks
from eventsnn.events import EventStream
from eventsnn.model import Network
from eventsnn.model.steps import check_network
from eventsnn.simulate.driver import run_whole
from eventsnn.simulate.engines import Settings, candidates, choose
from eventsnn.simulate.engines.arguments import check_t_stop
from eventsnn.simulate.input import to_input
from eventsnn.trace.record import SimulationInterrupted, SpikeRecord

if TYPE_CHECKING:
    from eventsnn.trace.quantities import Quantities


def simulate(
    network: Network,
    events: EventStream | np.ndarray | tuple[np.ndarray, np.ndarray],
    *,
    engine: str = "auto",
    step_ms: float | None = None,
    dtype: str | None = None,
    t_stop: float | None = None,
    ranks: bool | Ranks = False,
    origin_us: int | None = None,
    trace: str | os.PathLike[str] | None = None,
    record: Iterable[str] = ("spikes",),
    potential_step: float = 1.0,
    potential_layers: Iterable[str] | None = None,
    record_layers: Iterable[str] | None = None,
    record_neurons: Mapping[str, Iterable[int]] | None = None,
    record_window: tuple[float, float] | None = None,
) -> SpikeRecord:
    """Send a recording through a network, event by event: no frames, no time step, exact spike times.

    Parameters
    ----------
    network : Network
    events : EventStream, structured array or (times_ms, indices)
        A recording for the network's sensor; a structured array has fields t (microseconds), x, y, p as
        tonic's do. A pair gives float times in ms, taken as they are, and input neurons.
    engine : str
        "auto", "queue", "sweep", "gpu", "twin", "clocked", or one registered in `simulate.engines.ENGINES`.
        ``auto`` runs the network as it was trained (`Network.settings`), in exact time by default: ``queue``
        runs any network; ``sweep`` runs chains of layers, faster; ``gpu`` runs chains of layers on a
        graphics card, with the bits of ``sweep``; ``twin`` is the readable plain-Python engine (float64
        only). In float64 they agree in every spike and to 1e-9 ms. ``clocked`` is not exact:
        it takes steps as the authors of HM2-BP do (float32 only).
    step_ms : float, optional
        Length of the clock's step, ms; that of the network's settings, or 1, by default.
    dtype : {"float64", "float32"}, optional
        Precision of membrane potentials and synaptic currents; float64 by default, float32 on the clock.
    t_stop : float, optional
        Last time to simulate, ms, included; counted from the origin, like all times of the result. None runs
        until no neuron can fire any more; the clock, until the step of the last event. Where the network's
        settings state how long a sample lasts, None leaves out
        later events, and stops the clock, and networks with recurrent connections, then. Without that, these
        need `t_stop` in exact time.

    ranks : bool
        Whether the processes that a launcher such as ``mpiexec`` has started simulate the recording together,
        each some neurons of every layer: for large networks with sparse weights, which engine ``queue`` runs
        in float64. All of them must make the same call; all are returned the same, and the first one writes
        the trace. Without a launcher this changes nothing. See docs/cluster.md.

    Other Parameters
    ----------------
    origin_us : int, optional
        The recording's time that is time 0 of the run, microseconds. By default 0 if the recording begins
        within the first second of its clock, else the time of its first event: see `eventsnn.events.origin`.
        The result keeps it as ``run.origin_us``.
    trace : path, optional
        Write an HDF5 trace of the run.
    record : iterable of {"spikes", "potential", "current", "spsp", "spsp_total"}
        What the trace holds; without a trace, what the result does: ``run.potential("hidden")``,
        ``run.spsp("output", neuron, spike)``. See `eventsnn.trace.TraceWriter`.
    potential_step : float
        Grid of the recorded membrane potentials and currents, ms, > 0.
    potential_layers : iterable of str, optional
        Layers whose potentials are recorded, `record_layers` by default.
    record_layers : iterable of str, optional
        Layers of which all that is recorded besides spikes is recorded, all by default.
    record_neurons : dict of str to iterable of int, optional
        Of these layers these neurons only: ``{"hidden": range(10)}``.
    record_window : (float, float), optional
        From when to when it is recorded, ms of the run's time; all the time by default.

    Returns
    -------
    SpikeRecord
        ``run["hidden"].times`` (float64, ms, sorted by (time, neuron)), ``.neurons``, ``.counts``;
        ``run.decision``.

    Raises
    ------
    SimulationError
        For events that do not fit the network, an unknown engine or dtype, a missing `t_stop`.
    EventStreamError
        For a recording that begins before 0 (or `origin_us`).
    TraceError
        If the trace cannot be written, or there is nothing that can be recorded by such a name.
    SimulationInterrupted
        On Ctrl-C (a KeyboardInterrupt), with the record so far.
    """
    check_network(network)
    if t_stop is not None:
        t_stop = check_t_stop(network, t_stop)
    told = (potential_layers, record_layers, record_neurons, record_window)
    quantities = _quantities(network, record, potential_step, told, engine)
    input_spikes = to_input(network, events, origin_us)
    duration = network.settings.duration_ms
    if duration is not None and t_stop is None:
        keep = input_spikes.times < duration
        input_spikes = input_spikes._replace(
            times=input_spikes.times[keep], indices=input_spikes.indices[keep]
        )
    n = np.size(input_spikes.times) if t_stop is None else np.count_nonzero(input_spikes.times <= t_stop)
    team = as_ranks(ranks)
    chosen, settings = choose(network, engine, Settings(dtype, step_ms, events=int(n), ranks=team))
    if chosen.exact and network.is_recurrent and t_stop is None:
        t_stop = duration
    if trace is None or not team.first:
        run = run_whole(chosen, network, input_spikes, settings, t_stop)
        return run if quantities is None or quantities.choice.record == ("spikes",) else quantities.keep(run)
    from eventsnn.trace.creation import run_config
    from eventsnn.trace.writer import TraceWriter

    # The file is begun before the simulation: a wrong option or an unwritable folder must not cost a run.
    with TraceWriter(
        trace,
        network,
        config=run_config(chosen.name, settings.dtype, t_stop, settings.step_ms),
        choice=None if quantities is None else quantities.choice,
    ) as writer:
        try:
            run = run_whole(chosen, network, input_spikes, settings, t_stop)
        except SimulationInterrupted as stopped:
            writer.append(stopped.record)
            writer.close()
            raise
        writer.append(run)
    return run


def _quantities(
    network: Network, record: Iterable[str], step: float, told: tuple[Any, ...], engine: str
) -> Quantities | None:
    """What to record besides spikes, as `told`; what is commonest needs no more modules."""
    if record == ("spikes",) and told == (None,) * len(told):
        return None
    from eventsnn.trace.choice import Choice
    from eventsnn.trace.quantities import Quantities

    quantities = Quantities(network, Choice.of(network, record, step, *told))
    quantities.check_engine(candidates(network, engine)[-1].name)
    return quantities
