"""The protocol of engines and runs, the settings, and the driver of whole recordings."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import numpy as np

from eventsnn._ext.work_counter import WorkCounter
from eventsnn._util.ranks import ALONE, Ranks
from eventsnn._util.saved import OwnState, StateReader
from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.model.bias import NOTHING, Certain
from eventsnn.simulate.engines.arguments import check_dtype, check_t_stop
from eventsnn.trace.record import SpikeRecord, no_votes

if TYPE_CHECKING:
    from eventsnn._util.threads import Pool
    from eventsnn.simulate.engines.arrivals import Arrivals
    from eventsnn.simulate.engines.redo import Kept, Undisturbed

Train: TypeAlias = tuple[np.ndarray, np.ndarray]
"""(times float64 ms, neurons int32), sorted by (time, neuron)."""
State: TypeAlias = dict[str, np.ndarray]
"""Arrays by name: what `Run.save` returns and `Run.restore` takes."""

SILENCE: Train = (np.empty(0), np.empty(0, np.int32))


def join(trains: Sequence[Train]) -> Train:
    """Concatenate; a single train that holds spikes is returned as it is."""
    trains = [train for train in trains if len(train[0])]
    if len(trains) < 2:
        return trains[0] if trains else SILENCE
    return np.concatenate([times for times, _ in trains]), np.concatenate([neurons for _, neurons in trains])


def without(train: Train, silent: np.ndarray) -> Train:
    """The spikes of neurons that are not `silent`, bool array (neurons,)."""
    heard = ~silent[train[1]]
    return train[0][heard], train[1][heard]


@dataclass(frozen=True)
class Settings:
    """How to run a network.

    Attributes
    ----------
    dtype : str, optional
        "float64" or "float32"; the engine's first choice by default, or, if `fast`, its fastest.
    step_ms : float, optional
        Length of the clock's step, for engines that take steps.
    in_parts : bool
        Whether the input comes in parts, between which the state may be saved.
    events : int
        How many input spikes come at once, where they do not come in parts; 0: that is not known.
    fast : bool
        Whether a dtype that is left out is the one in which the engine is fastest, as for data sets.
    cut : bool
        Of a data set, whether a `t_stop` ends each recording; where none is given, its own end does.
    ranks : Ranks
        The processes that run the network together, each some of its neurons.
    silent : dict of int to bool array (neurons,)
        By number of a layer: neurons that are not to fire, whatever reaches them; see `Engine.silences`.
    """

    dtype: str | None = None
    step_ms: float | None = None
    in_parts: bool = False
    events: int = 0
    fast: bool = False
    cut: bool = False
    ranks: Ranks = ALONE
    silent: Mapping[int, np.ndarray] = field(default_factory=dict, compare=False)

    @property
    def real(self) -> type[np.floating]:
        """The numpy type called `dtype`."""
        return check_dtype(str(self.dtype))


Counter: TypeAlias = "Callable[[Arrivals, np.ndarray, Pool], np.ndarray]"
"""From samples, and when each ends (float64, ms), to what decides, see `no_votes`: (samples, outputs)."""
Recorder: TypeAlias = "Callable[[Arrivals, np.ndarray, Pool], Sequence[SpikeRecord]]"
"""From the same to all spikes of each sample."""


class Limits(NamedTuple):
    """When a run ends that is told to; all in ms."""

    events: float
    """Last time at which input and bias neuron may fire."""

    stop: float
    """Last time to simulate, as `Run.advance` takes it."""

    end: float
    """Up to which time the record is said to be complete; infinite: until the network is quiet."""


class Run(Protocol):
    """A network in the middle of a simulation."""

    def advance(
        self, input_spikes: Train, horizon: float, stop: float, bias: Certain = NOTHING
    ) -> list[Train]:
        """Take input spikes and advance to `horizon`; return the spikes of every layer that are certain now.

        A *horizon* is a time before which all input is known; up to there a layer's spikes are certain. A
        spike time is computed from the state at the last arrival, which the horizon leaves as it is, so that
        where a part ends changes no bit. A whole run is one part, whose horizon is infinite.

        Parameters
        ----------
        input_spikes : (times, neurons)
            Input spikes from the horizon before up to this one, which is later than all of them.
        horizon : float
            ms; no input spike before it will come any more. Infinite: on until the network is quiet.
        stop : float
            Last time to simulate, ms, included.
        bias : Certain
            Spikes of the bias neuron, those before the horizon that were not given before.

        Raises
        ------
        OverflowError
            A neuron fires for ever at one instant.
        BrokenOff
            On Ctrl-C, if the engine can say what was fired until then.
        """

    def save(self) -> State:
        """The state, as arrays."""

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """Take over a state that `save` returned for the same network.

        Parameters
        ----------
        state : StateReader
            What came from a file: all of it is checked before any of it is used.
        horizon : float
            ms; that of the last `advance`.
        following : float
            ms; the bias neuron's next spike then, see `Certain`.

        Raises
        ------
        StateError
            The state cannot be one of this network at that time.
        """


class BrokenOff(KeyboardInterrupt):
    """Ctrl-C in `Run.advance`: the spikes of every layer so far, and the time up to which they are
    complete.
    """

    def __init__(self, trains: Sequence[Train], now: float) -> None:
        super().__init__()
        self.trains, self.now = list(trains), now


class BelowReadout:
    """A run of all layers below one that never fires, which is the driver's matter; none may be left."""

    def __init__(self, below: Run | None) -> None:
        self._below = below

    def advance(
        self, input_spikes: Train, horizon: float, stop: float, bias: Certain = NOTHING
    ) -> list[Train]:
        """See `Run`."""
        if self._below is None:
            return [SILENCE]
        try:
            return [*self._below.advance(input_spikes, horizon, stop, bias), SILENCE]
        except BrokenOff as broken:
            raise BrokenOff([*broken.trains, SILENCE], broken.now) from None

    def save(self) -> State:
        """See `Run`."""
        return {} if self._below is None else self._below.save()

    def restore(self, state: StateReader, horizon: float, following: float = math.inf) -> None:
        """See `Run`."""
        if self._below is None:
            state.close()
        else:
            self._below.restore(state, horizon, following)


class Engine:
    """A way to run networks; registered by name in `eventsnn.simulate.engines.ENGINES`.

    One that is made elsewhere derives from this class, says what it is, and defines `start`, and `refusal`
    where there are networks that it cannot run.

    Attributes
    ----------
    name : str
    exact : bool
        Whether it runs in exact time; else it takes steps, of `Settings.step_ms`.
    dtypes : tuple of str
        Precisions in which it computes, its first choice first.
    batch : int
        Samples of a data set that `counter` and `recorder` are given at once, for speed alone.
    on_device : bool
        Whether it takes samples that lie on a device (`ResidentArrivals`) as they are.
    """

    name: str
    exact = True
    dtypes: tuple[str, ...] = ("float64", "float32")
    batch = 16
    on_device = False

    def refusal(self, network: Network, settings: Settings) -> str | None:
        """Why this engine cannot run a network like that, a sentence for the user; None if it can."""
        return None

    def silences(self, network: Network, layers: Collection[int]) -> bool:
        """Whether it runs a network with neurons of these layers that are not to fire, `Settings.silent`."""
        return False

    def undivided(self, network: Network, settings: Settings) -> str | None:
        """Why several ranks cannot run a network like that together, each some neurons; None if they can."""
        return f"engine {self.name!r} does not divide a network"

    def start(self, network: Network, settings: Settings) -> Run:
        """The network at rest at time 0. Lowers it where the engine needs that; checks it no more."""
        raise NotImplementedError

    def begin(self, network: Network, settings: Settings) -> Run:
        """`start`, of a network with a readout layer without this, which never fires."""
        if network.output.fires:
            return self.start(network, settings)
        # A layer that never fires hands nothing on: no engine has to know such layers.
        return BelowReadout(None if network.firing is None else self.start(network.firing, settings))

    def resume(self, network: Network, settings: Settings, state: Kept) -> Run:
        """A run of its own that goes on from a state."""
        run = self.begin(network, settings)
        if state.arrays:
            run.restore(OwnState({name: array.copy() for name, array in state.arrays.items()}), state.time)
        return run

    def redo(
        self, network: Network, settings: Settings, before: Undisturbed, given: Train, since: float
    ) -> list[Train]:
        """The spikes of every layer of an undisturbed run, again with another input: those of a fresh run.

        An engine that can do with less than all that comes after a state defines this.

        Parameters
        ----------
        network, settings
            As for `begin`.
        before : Undisturbed
        given : Train
            All input spikes; before `since`, ms, they are those of `before`.
        """
        state = before.latest(since)
        run = self.resume(network, settings, state)
        first = int(np.searchsorted(given[0], state.time))
        again = run.advance((given[0][first:], given[1][first:]), math.inf, before.stop)
        return [
            join([(times[:known], neurons[:known]), train])
            for (times, neurons), known, train in zip(before.trains, state.fired, again, strict=True)
        ]

    def limits(self, network: Network, settings: Settings, t_stop: float | None, last: float) -> Limits:
        """When a run ends for which `t_stop` is asked, and whose input ends at `last` ms.

        Raises
        ------
        SimulationError
            If it would never end, or that is no time.
        """
        stop = check_t_stop(network, t_stop)
        return Limits(stop, stop, stop)

    def stamp(self, times: np.ndarray, settings: Settings) -> np.ndarray:
        """Spike times of the bias neuron as a record states them; float64, ms."""
        return times

    def counter(self, network: Network, settings: Settings, t_stop: float | None) -> Counter:
        """What tells the votes of the output neurons in a mini-batch: sample by sample, among threads.

        `settings` are those that `settle` has returned, `t_stop` as for `run`.
        """

        def count(samples: Arrivals, ends: np.ndarray, pool: Pool) -> np.ndarray:
            counts = no_votes(network, len(samples))

            def keep(sample: int, record: SpikeRecord) -> None:
                counts[sample] = record.votes

            self._run_each(network, settings, t_stop, samples, ends, pool, keep)
            return counts

        return count

    def prepare(self, network: Network, settings: Settings, samples: Arrivals) -> Arrivals:
        """A mini-batch with what can be made of it before its turn, in another thread; arguments as for
        `counter`.
        """
        return samples

    def recorder(self, network: Network, settings: Settings, t_stop: float | None) -> Recorder:
        """What tells the spikes of all layers in a mini-batch; arguments as for `counter`, the same runs."""

        def record(samples: Arrivals, ends: np.ndarray, pool: Pool) -> list[SpikeRecord]:
            records: dict[int, SpikeRecord] = {}
            self._run_each(network, settings, t_stop, samples, ends, pool, records.__setitem__)
            return [records[sample] for sample in range(len(samples))]

        return record

    def _run_each(
        self,
        network: Network,
        settings: Settings,
        t_stop: float | None,
        samples: Arrivals,
        ends: np.ndarray,
        pool: Pool,
        keep: Callable[[int, SpikeRecord], None],
    ) -> None:
        """Run every sample by itself, and hand its number and its record to `keep`."""
        from eventsnn.simulate.driver import run_whole  # the driver of all engines, which imports them

        counter, until = WorkCounter(len(samples)), ends.tolist()

        # Threads take samples, not layers: a run of one sample has no work to share out.
        def work() -> None:
            while (sample := counter.take()) >= 0:
                train, end = samples.sample(sample), until[sample]
                stop = end if settings.cut and t_stop is None else t_stop
                keep(sample, run_whole(self, network, train, settings, stop, end))

        pool.share(work, counter)

    def fastest_dtype(self, network: Network) -> str:
        """The precision in which it runs a network fastest."""
        return "float32" if "float32" in self.dtypes else self.dtypes[0]

    def complete(self, network: Network, settings: Settings) -> Settings:
        """The settings with a dtype; SimulationError for one in which this engine does not compute."""
        dtype = settings.dtype
        if dtype is None:  # the first choice, but where speed was asked for
            dtype = self.fastest_dtype(network) if settings.fast else self.dtypes[0]
        reason = self.refuse_dtype(dtype)
        if reason is not None:
            other = "" if self.exact else "; engine 'queue' or 'sweep' runs the network in exact time"
            raise SimulationError(f"{reason}{other}")
        name = check_dtype(dtype).__name__
        return settings if settings.dtype == name else replace(settings, dtype=name)

    def refuse_dtype(self, dtype: str) -> str | None:
        """Why this engine does not compute in this precision; None if it does. SimulationError for none."""
        if check_dtype(dtype).__name__ in self.dtypes:
            return None
        return f"engine {self.name!r} computes in {' or '.join(self.dtypes)} only"

    def settle(self, network: Network, settings: Settings) -> Settings:
        """`complete`, if this engine can run the network so.

        Raises
        ------
        SimulationError
            If it cannot, saying why.
        """
        settings = self.complete(network, settings)  # first: what is refused may depend on the precision
        reason = self.refusal(network, settings)
        if reason is not None:
            raise SimulationError(reason)
        if settings.ranks.size > 1:
            reason = self.undivided(network, settings)
            if reason is not None:
                raise SimulationError(f"ranks cannot divide the simulation: {reason}; leave ranks out")
        return settings

    def run(
        self,
        network: Network,
        times_ms: np.ndarray,
        indices: np.ndarray,
        *,
        dtype: str | None = None,
        step_ms: float | None = None,
        t_stop: float | None = None,
    ) -> SpikeRecord:
        """Simulate a network on input spikes, from rest to the end.

        Parameters
        ----------
        network : Network
        times_ms : float array (n,)
            Times of the input spikes, ms, in any order.
        indices : int array (n,)
            Input neuron of each.
        dtype, step_ms
            See `Settings`.
        t_stop : float, optional
            Last time to simulate, ms, included. None runs until no neuron can fire any more.

        Raises
        ------
        SimulationError
            For bad arguments, see `check_input`; for what this engine cannot run.
        SimulationInterrupted
            On Ctrl-C, with the record up to then.
        """
        from eventsnn.simulate.driver import run_whole  # the driver of all engines, which imports them

        settings = self.settle(network, Settings(dtype, step_ms))
        return run_whole(self, network, (times_ms, indices), settings, t_stop)
