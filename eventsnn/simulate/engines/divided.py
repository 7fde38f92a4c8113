"""One recording through a large network by several processes: the windowed schedule divided by neurons.

Every rank has each `size`-th neuron of every layer, the synapses onto these neurons, and all spikes. It runs
its neurons, window by window, for as long as nothing can arrive that it does not know: a spike of another
rank's neuron arrives the shortest delay after the last exchange, or later. Then all ranks exchange what their
neurons have fired. Which neurons a rank has changes no bit: a neuron adds up its arrivals in the order of the
spikes that cause them, and exchange puts the spikes in the order that they have in one process.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from eventsnn._ext.engine_windows import DONE, EXCHANGE, run_windows
from eventsnn._ext.windows_exchange import NOTED, WAITING, pack_spikes, swap_spikes, take_spikes
from eventsnn._ext.windows_state import WindowsState
from eventsnn._util.interrupts import Held, hold_interrupts
from eventsnn._util.ranks import Ranks, RanksError
from eventsnn.errors import SimulationError
from eventsnn.model import Network
from eventsnn.model.bias import NOTHING, Certain
from eventsnn.model.sparse import is_sparse
from eventsnn.simulate.engines.engine import Train
from eventsnn.simulate.engines.windows import CHUNK, WindowsRun

# Words of 8 bytes that an exchange has room for at least: some 300 spikes.
LEAST_ROOM = 512
# Of shared memory, words before those of a rank; see windows_state.pxd.
MARK = 8
# SWAPPED as a number that is true.
DONE_SWAPPING = -1


class Exchange:
    """What ranks give each other: the spikes of their neurons, and what went wrong.

    Usually one message to each rank is enough. All messages have the same size, which follows what the
    longest needs; where it is too small, all are sent again in a larger one.
    """

    def __init__(self, ranks: Ranks, state: WindowsState) -> None:
        self._ranks, self._state = ranks, state
        self._make_room(LEAST_ROOM)

    def _make_room(self, words: int) -> None:
        self._own = np.zeros(words, np.int64)
        self._found = np.zeros((self._ranks.size, words), np.int64)

    def begin(self) -> None:
        """To be called on all ranks before windows are run."""

    def swap(self, trouble: BaseException | None) -> BaseException | None:
        """Exchange the spikes; returns the trouble of the first rank that has some, the same on all."""
        while True:
            pack_spikes(self._state, self._own, trouble is not None)
            self._ranks.gather(self._own, self._found)
            needed, noted = take_spikes(self._state, self._found)
            room = len(self._own)
            if needed > room or LEAST_ROOM < 4 * needed < room:
                self._make_room(max(LEAST_ROOM, 2 * needed))
            if needed <= room:
                break
        return self._agree_on(trouble) if noted else None

    def _agree_on(self, trouble: BaseException | None) -> BaseException:
        found = [each for each in self._ranks.collect(trouble) if each is not None]
        # An error ends the run whatever else happens; Ctrl-C keeps what is complete.
        return min(found, key=lambda each: isinstance(each, KeyboardInterrupt))


class MemoryExchange(Exchange):
    """The same through memory that all ranks see: usually within `run_windows`, without Python between."""

    def _make_room(self, words: int) -> None:
        memory = self._ranks.memory(words + MARK)
        assert memory is not None
        self._words = memory.words
        self._state.share(memory.words, memory.count)

    def begin(self) -> None:
        memory = self._ranks.memory(self._words.shape[2])
        assert memory is not None
        if memory.words is not self._words:  # another run has needed more
            self._make_room(self._words.shape[2] - MARK)

    def swap(self, trouble: BaseException | None) -> BaseException | None:
        self._state.note = trouble is not None
        while True:
            swapped = self._ranks.until(self._try)
            if swapped == NOTED:
                return self._agree_on(trouble)
            if swapped == DONE_SWAPPING:
                return None
            self._make_room(2 * self._state.needed)

    def _try(self) -> int | None:
        swapped = swap_spikes(self._state)
        return None if swapped == WAITING else swapped or DONE_SWAPPING


def make_exchange(ranks: Ranks, state: WindowsState) -> Exchange:
    """How ranks exchange spikes: through memory, where all are on one machine."""
    return Exchange(ranks, state) if ranks.memory(LEAST_ROOM + MARK) is None else MemoryExchange(ranks, state)


class DividedRun(WindowsRun):
    """This rank's part of a run; all ranks make the same calls, and are returned the same. See `Run`.

    Raises
    ------
    RanksError
        In every method: the ranks do not make the same calls.
    """

    def __init__(self, network: Network, ranks: Ranks) -> None:
        _agree(ranks, "network", [network.to_table(), *_checksums(network)])
        super().__init__(network, ranks)
        self._ranks, self._exchange = ranks, make_exchange(ranks, self._state)
        sizes = np.array(self._sizes[1:])
        firsts = np.cumsum(sizes) - sizes
        self._places = [
            np.concatenate(
                [first + np.arange(rank, n, ranks.size) for first, n in zip(firsts, sizes, strict=True)]
            )
            for rank in range(ranks.size)
        ]

    def advance(
        self, input_spikes: Train, horizon: float, stop: float, bias: Certain = NOTHING
    ) -> list[Train]:
        """See `Run`."""
        times = input_spikes[0]
        _agree(self._ranks, "input", (len(times), *times[:1], *times[-1:], horizon, stop))
        return super().advance(input_spikes, horizon, stop, bias)

    def _run(self, spikes: Train, known: float, stop: float) -> None:
        """See `WindowsRun`; an error or Ctrl-C on one rank ends it on all, after the same exchange."""
        stage, trouble = EXCHANGE, None
        self._exchange.begin()
        with hold_interrupts() as held:
            while stage != DONE:
                stage, trouble = self._compute(spikes, known, stop, held, trouble)
                # The others are told with this exchange, or, if it has begun, with the next.
                trouble = trouble or _deliver(held)
                agreed = self._exchange.swap(trouble)
                if agreed is not None:
                    raise agreed

    def _compute(
        self, spikes: Train, known: float, stop: float, held: Held, trouble: BaseException | None
    ) -> tuple[int, BaseException | None]:
        """Run windows until there is something to do between them; and what is to be told then.

        `trouble` is an interrupt: it ends the run at an exchange, before which all ranks have run the same
        windows.
        """
        self._state.note = trouble is not None
        try:
            while (stage := run_windows(self._state, *spikes, known, stop, CHUNK)) not in (DONE, EXCHANGE):
                self._check_finite()
                trouble = trouble or _deliver(held)
                self._state.note = trouble is not None
            if stage == DONE:
                self._check_finite()
        except (SimulationError, OverflowError, MemoryError) as error:
            return EXCHANGE, error
        return stage, trouble

    def _join_ranks(self, *arrays: np.ndarray) -> list[np.ndarray]:
        whole = []
        order = np.argsort(np.concatenate(self._places))
        for array in self._ranks.join(*arrays):
            whole.append(array[order])
        return whole

    def _own(self, array: np.ndarray) -> np.ndarray:
        return array[self._places[self._ranks.rank]]


def _deliver(held: Held) -> KeyboardInterrupt | None:
    """What Ctrl-C has raised, if it came."""
    try:
        held.deliver()
    except KeyboardInterrupt as interrupt:
        return interrupt
    return None


_last: tuple[Network, list[int]] | None = None


def _checksums(network: Network) -> list[int]:
    """Of all weights; those of the last network asked for are kept, as its tables are."""
    global _last
    kept = _last
    if kept is None or kept[0] is not network:
        kept = _last = network, [_checksum(weights) for weights in network.weights.values()]
    return kept[1]


def _checksum(weights: Any) -> int:
    return zlib.crc32(np.ascontiguousarray(weights.data if is_sparse(weights) else weights).data)


def _agree(ranks: Ranks, what: str, value: object) -> None:
    """Raise RanksError unless all ranks have the same value."""
    first, *others = ranks.collect(repr(value))
    for rank, other in enumerate(others, 1):
        if other != first:
            raise RanksError(
                f"rank {rank} has another {what} than rank 0; the ranks that divide a simulation must all "
                "make the same calls, with the same arguments"
            )
