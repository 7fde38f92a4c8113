"""The public family of errors. Each text names what was wrong, where, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Sequence


class EventSNNError(Exception):
    """Base of every error that eventsnn raises on purpose."""


class EventStreamError(EventSNNError, ValueError):
    """Events break a rule of event streams (time order, sensor bounds); names the first bad event."""


class EventFileError(EventSNNError, ValueError):
    """A recording cannot be read or written.

    Attributes
    ----------
    path : str
        The file.
    offset : int or None
        Byte offset of the first bad byte or record, where one is known.
    """

    def __init__(self, path: str | os.PathLike[str], problem: str, *, offset: int | None = None) -> None:
        text = os.fspath(path)
        # A recording that was unpacked goes by the name of the file that it was packed in.
        self.path = f"{text}" if isinstance(text, str) else text
        self.offset = offset
        where = self.path if offset is None else f"{self.path}, byte {offset}"
        super().__init__(f"{where}: {problem}")

    def __reduce__(self) -> tuple[object, ...]:
        # The text is composed already; unpickling (worker processes) must not compose it again.
        return (_rebuild_event_file_error, (self.path, self.offset, self.args[0]))


def _rebuild_event_file_error(path: str, offset: int | None, text: str) -> EventFileError:
    error = EventFileError.__new__(EventFileError)
    error.path, error.offset = path, offset
    error.args = (text,)
    return error


class EventFileWarning(UserWarning):
    """Something of a recording or a data set was left out, changed or guessed in reading it; says what and
    where.
    """


class SilentOutputWarning(UserWarning):
    """No output neuron fired in any recording of a data set; says what to try."""


class ResumeWarning(UserWarning):
    """A training run is resumed on another device than it was begun on: its last digits will differ."""


class ConversionWarning(UserWarning):
    """A network that goes to or comes from another simulator's format is not exactly the same; says in what
    way.
    """


class NetworkError(EventSNNError, ValueError):
    """A network description, its weights or its file make no sense; names the layer and the field."""


class SimulationError(EventSNNError, ValueError):
    """A simulation was asked for that cannot be run (input, time, engine); names the argument."""


class DeviceError(EventSNNError, RuntimeError):
    """No graphics card can be used; says why, and what to use instead."""


class DeviceMemoryError(DeviceError):
    """A graphics card has no room for an array.

    Attributes
    ----------
    wanted, free : int
        Bytes.
    """

    def __init__(self, wanted: int, free: int) -> None:
        super().__init__(
            f"the graphics card has no room for {wanted / 1e6:,.0f} MB, it has {free / 1e6:,.0f} MB left: "
            "use smaller batches, or float32"
        )
        self.wanted, self.free = wanted, free


class TrainingError(EventSNNError, ValueError):
    """An experiment, a training set or a checkpoint cannot be used; names the file and the field."""


class FetchError(EventSNNError):
    """A public data set cannot be downloaded; the text says why.

    Attributes
    ----------
    steps : list of str
        What to do by hand instead, where that is known.
    """

    def __init__(self, problem: str, steps: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.steps = list(steps)


class TraceError(EventSNNError, ValueError):
    """A trace file cannot be read, or does not hold what was asked for."""


class ViewError(EventSNNError, ValueError):
    """A page cannot be shown: the file is of no kind that has one, or the port is in use."""


class NotBuiltError(EventSNNError, ImportError):
    """Python found eventsnn's sources without their compiled modules, as in a clone that is not built."""

    def __init__(self, folder: object) -> None:
        super().__init__(
            f"{folder} holds the sources of eventsnn without compiled modules for this Python, which looks "
            "there first: work in another folder, where the installed package is found, or build them with "
            "pip install -e ."
        )


class MissingExtraError(EventSNNError, ImportError):
    """An optional library is not installed; the text names the extra that brings it."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {library}, which is not installed: pip install 'eventsnn[{extra}]'"
        )
