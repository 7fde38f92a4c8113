"""What takes the time of a training run: whether several processes had better divide the reading, too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from eventsnn._util.ranks import ALONE, Ranks

SHARE = 0.25
"""Where reading all takes less than this fraction of learning, every rank reads everything: exchanging events
takes longer than reading the files of N-MNIST once more."""


class Clocks:
    """Seconds of reading and of learning so far; nothing that is computed depends on them."""

    def __init__(self) -> None:
        self.read = self.learned = 0.0
        self._readers = 1

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Add the time of the block to reading: of the thread's processor, for others learn meanwhile."""
        start = time.thread_time()
        yield
        self.read += time.thread_time() - start

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Add the time of the block to learning."""
        start = time.perf_counter()
        yield
        self.learned += time.perf_counter() - start

    def divides_reading(self, ranks: Ranks) -> Ranks:
        """The processes that share out the reading of the next epoch, as the first rank decides."""
        # What this rank alone would have read takes as many times as long as others have read with it.
        slow = ranks.of_first(lambda: self.read * self._readers > SHARE * self.learned)
        chosen = ranks if slow else ALONE
        self.read, self.learned, self._readers = 0.0, 0.0, chosen.size
        return chosen
