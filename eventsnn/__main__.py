"""The program: ``eventsnn``, or ``python -m eventsnn``.

Only light modules are imported at the top: Ctrl-C must be met with one line also in the first half second,
while the libraries are still being imported.
"""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130


def run() -> int:
    """Run the command line in ``sys.argv``; returns the exit code, see `eventsnn.cli.app.main`."""
    for descriptor in range(3):
        _open_if_closed(descriptor)
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # such as nohup's
        from eventsnn.cli import main

        return main()
    signal.signal(signal.SIGINT, _leave_at_once)
    from eventsnn.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    return main()


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    """Nothing has been done yet; an exception among imports would be lost, or leave half a library."""
    try:
        os.write(2, b"eventsnn: interrupted; nothing was kept\n")
    finally:
        os._exit(INTERRUPTED)


def _open_if_closed(descriptor: int) -> None:
    """Take up a standard stream's number that is free (``>&-``): the next file would be written to as if it
    were the stream. ``sys.stdin`` and the others stay None."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # the lowest free number


if __name__ == "__main__":
    sys.exit(run())
