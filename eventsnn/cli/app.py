"""The list of commands, and the handling of errors: one line of text and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import FrameType
from typing import TextIO

import click

from eventsnn import __version__
from eventsnn._util import ranks
from eventsnn.cli import common
from eventsnn.cli.common import Interrupted, note
from eventsnn.cli.ctrl_c import insistent
from eventsnn.errors import EventFileWarning, EventSNNError, SilentOutputWarning

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
EXIT_TERMINATED = 143  # 128 + SIGTERM


# In the order in which a newcomer needs them. Command x is the function x of the module eventsnn.cli.x.
COMMANDS = (
    "demo",
    "info",
    "simulate",
    "train",
    "evaluate",
    "inspect",
    "explain",
    "whatif",
    "view",
    "compare",
    "plot",
    "fetch",
    "synth",
    "encode",
    "pack",
    "join",
    "convert",
    "export",
    "import",
    "verify",
)
# Commands that the processes of a launcher (mpiexec, srun) share; the first one does all others alone.
DIVIDED = ("train", "evaluate", "simulate", "pack", "encode", "synth")
# Where the name of a command cannot be that of a function.
RENAMED = {"import": "import_weights"}


class _OnDemand(click.Group):
    """Imports the command that is called, and no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = RENAMED.get(cmd_name, cmd_name)
        command: click.Command = getattr(import_module(f"eventsnn.cli.{name}"), name)
        return command


@click.group(
    cls=_OnDemand, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="eventsnn", message="%(prog)s %(version)s")
def commands() -> None:
    """Event-driven spiking neural networks: event files in, exact spike times out, and training on them.

    \b
    Start with:
      eventsnn demo                 make recordings, train on them, look inside (about a minute)
      eventsnn COMMAND --help       what a command does, with an example
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        0 done; 1 failed; 2 wrong use; 130 stopped by Ctrl-C; 143 by SIGTERM.
    """
    for stream in (sys.stdout, sys.stderr):
        # Names of files may contain bytes that are not UTF-8; a strict terminal would raise an error.
        if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _show_warning
    warnings.simplefilter("always", EventFileWarning)
    with insistent() as interrupted, _terminable() as terminated:
        if ranks.launched()[1] > 1:
            code = _run_ranks(arguments, interrupted, terminated)
        else:
            code = _run(arguments, interrupted)
    return EXIT_TERMINATED if code == EXIT_INTERRUPTED and terminated else code


def _run_ranks(arguments: Sequence[str] | None, interrupted: Sequence[int], terminated: Sequence[int]) -> int:
    """`_run` in one of several processes that a launcher has started.

    Only the first one prints. One that fails ends all; since all fail alike at what all do, such as reading
    the experiment, others than the first wait a moment before they say what is wrong.
    """
    rank, size = ranks.launched()
    name = next(iter(sys.argv[1:] if arguments is None else arguments), "")
    if name not in DIVIDED:
        return _run(arguments, interrupted) if rank == 0 else 0
    if rank:
        common.held = []
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, until the process ends
    try:
        run = ranks.find_ranks()
    except EventSNNError as error:
        return _fail(str(error))
    code = _run(arguments, interrupted)
    if code == 0:
        return 0
    if rank:
        time.sleep(ranks.PATIENCE if code != EXIT_INTERRUPTED else ranks.PATIENCE_INTERRUPTED)
        messages, common.held = common.held or [""], None
        note(messages[-1].replace("eventsnn: ", f"eventsnn: rank {rank} of {size}: ", 1))
    run.abort(EXIT_TERMINATED if code == EXIT_INTERRUPTED and terminated else code)
    return code


def _run(arguments: Sequence[str] | None, interrupted: Sequence[int]) -> int:
    try:
        code = int(commands.main(arguments, prog_name="eventsnn", standalone_mode=False) or 0)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except Interrupted as stop:
        note(f"eventsnn: interrupted; {stop}")
        return EXIT_INTERRUPTED
    except (click.Abort, KeyboardInterrupt):
        return _stop()
    except click.ClickException as error:
        with suppress(OSError):  # standard error may be closed
            if common.held is None:
                error.show()
        return error.exit_code
    except EventSNNError as error:
        return _fail(str(error))
    except BrokenPipeError:
        return _close_output()
    except OSError as error:
        _close_output()
        where = f"{error.filename}: " if error.filename is not None else ""
        return _fail(f"{where}{error.strerror or error}")
    except MemoryError as error:
        return _fail(f"not enough memory: {error or 'for what was asked'}")
    except RecursionError:
        return _fail("what was given is nested too deeply")
    except Exception as error:
        if os.environ.get("EVENTSNN_DEBUG"):
            raise
        if isinstance(error, ImportError) and (error.name or "").startswith("eventsnn._ext."):
            return _fail(
                f"{error}: the compiled modules are older than the sources; pip install -e . builds them"
            )
        if interrupted:  # and a library made an error of it
            return _stop()
        return _fail(
            f"{type(error).__name__}: {error}; this is a fault of eventsnn: please report it, with what the "
            "same command prints when the environment variable EVENTSNN_DEBUG is 1"
        )


@contextmanager
def _terminable() -> Iterator[list[int]]:
    """SIGTERM ends a command as Ctrl-C does, and keeps complete results; the list is empty until SIGTERM
    arrives.
    """
    came: list[int] = []
    process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:
            os._exit(EXIT_TERMINATED)
        came.append(number)
        handler = signal.getsignal(signal.SIGINT)  # which may wait for a file that is being written
        if callable(handler):
            handler(signal.SIGINT, frame)
        else:
            raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread
        yield came
        return
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning of eventsnn in one line, others as Python does."""
    if issubclass(category, EventFileWarning | SilentOutputWarning):
        note(f"eventsnn: warning: {message}")
    else:
        note(warnings.formatwarning(message, category, filename, lineno, line))


def _stop() -> int:
    note("eventsnn: interrupted; nothing was kept")
    return EXIT_INTERRUPTED


def _fail(text: str) -> int:
    note("eventsnn: error: " + " ".join(text.split()))
    return EXIT_FAILURE


def _close_output() -> int:
    """The reader of our output (``head``, say) has closed it, or the disk is full: write no more."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_FAILURE
