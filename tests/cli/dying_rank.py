"""The command line; on rank 1 memory runs out after a few exchanges, and the others wait for it."""

from __future__ import annotations

import sys
from typing import Any

from eventsnn._util.ranks import find_ranks
from eventsnn.cli import main
from eventsnn.simulate.engines import divided


def fail_later() -> None:
    """Have rank 1 fail at its third exchange."""
    swap, calls = divided.Exchange.swap, []

    def swap_or_fail(*given: Any) -> Any:
        calls.append(1)
        if find_ranks().rank == 1 and len(calls) == 3:
            raise MemoryError("for a test")
        return swap(*given)

    divided.Exchange.swap = swap_or_fail  # type: ignore[method-assign]


if __name__ == "__main__":
    fail_later()
    sys.exit(main(sys.argv[1:]))
