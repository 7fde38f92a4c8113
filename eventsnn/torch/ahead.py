"""Mini-batches of a loader, the next ones read while the present one is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from eventsnn._util.threads import Prefetch
from eventsnn.errors import SimulationError

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """The items of a loader, read on a thread of their own; `SpikingNetwork.read_ahead` makes it.

    Each iteration begins one of the loader. Items come in the loader's order; what the loader raises is
    raised here, in its turn.

    Parameters
    ----------
    loader : iterable
    prepare : callable
        What is done to each item, on the same thread.
    depth : int
        How many items may wait for their turn.
    """

    def __init__(self, loader: Iterable[T], prepare: Callable[[T], T], depth: int = 1) -> None:
        if not isinstance(loader, Iterable):
            kind = type(loader).__name__
            raise SimulationError(f"read_ahead takes a loader, such as torch's DataLoader: got {kind}")
        self._loader, self._prepare, self._depth = loader, prepare, depth

    def __iter__(self) -> Iterator[T]:
        # `map` begins the loader's iteration at once: a loader draws its seed, and starts its workers, here
        # and not on the other thread.
        return self._read(map(self._prepare, self._loader))

    def _read(self, items: Iterator[T]) -> Iterator[T]:
        with Prefetch(items, self._depth) as ahead:
            yield from ahead

    def __len__(self) -> int:
        """Number of items, where the loader knows it."""
        loader: Any = self._loader
        return len(loader)
