"""The command line; on rank 1 memory runs out, and the others wait for it."""

from __future__ import annotations

import sys
from typing import Any

from eventsnn._util.ranks import find_ranks
from eventsnn.cli import main
from eventsnn.simulate.engines import divided


def fail_later() -> None:
    """Have rank 1 fail when windows are run."""
    run = divided.DividedRun._run

    def run_or_fail(*given: Any) -> None:
        if find_ranks().rank == 1:
            raise MemoryError("for a test")
        run(*given)

    divided.DividedRun._run = run_or_fail  # type: ignore[method-assign]


if __name__ == "__main__":
    fail_later()
    sys.exit(main(sys.argv[1:]))
