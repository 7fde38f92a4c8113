"""What all tests need of the process that they run in."""

import signal

from hypothesis import settings

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would the programs that the
# tests start and interrupt: they would never end.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No speed is asserted: on a busy machine every example may take long.
settings.register_profile("eventsnn", deadline=None)
settings.load_profile("eventsnn")
