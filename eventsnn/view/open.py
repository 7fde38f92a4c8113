"""From a file to its page: what kind of file it is, and the document that shows it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

from eventsnn._util.atomic import PART, replace_file
from eventsnn._util.hdf5 import read_marks
from eventsnn.errors import EventFileError, MissingExtraError, ViewError
from eventsnn.trace.reader import Trace
from eventsnn.train.history import find_runs
from eventsnn.train.run import METRICS

if TYPE_CHECKING:
    from bokeh.document import Document

    from eventsnn.view.server import PageServer


class Viewed(Protocol):
    """A file that has a page."""

    def fill(self, document: Document, query: Mapping[str, str]) -> Any:
        """Make the document of a page; `query` is what its address asks for."""

    def check(self, query: Mapping[str, str]) -> None:
        """Raise an error about what an address asks for and the file does not have."""

    def close(self) -> None:
        """Close the file."""


class ViewedTrace:
    """A trace."""

    def __init__(self, path: Path) -> None:
        from eventsnn.view.studies import Studies

        self._trace = Trace(path)
        self._studies = Studies(self._trace)

    def check(self, query: Mapping[str, str]) -> None:
        """See `Viewed`."""
        from eventsnn.trace.runs import describe_run, find_spike
        from eventsnn.view.address import TraceView

        asked = TraceView.from_query(query)
        if not ({"sample", "path"} & query.keys()):
            return  # an empty trace has a page, too
        record = self._trace.record(asked.sample)
        for name in asked.path:
            place = name.layer, name.neuron, name.number
            find_spike(self._trace.network, record, *place, describe_run(self._trace, asked.sample))

    def fill(self, document: Document, query: Mapping[str, str]) -> Any:
        """See `Viewed`."""
        from eventsnn.view.trace_document import TraceDocument

        return TraceDocument(document, self._trace, query, self._studies)

    def close(self) -> None:
        """Close the file."""
        self._trace.close()


class ViewedRecording:
    """A recording."""

    def __init__(self, path: Path, reading: Mapping[str, Any]) -> None:
        from eventsnn.events import open_events
        from eventsnn.view.spool import Spool

        self._path = path
        self._spool = Spool(open_events(path, **{"on_bad": "skip", **reading}))

    def fill(self, document: Document, query: Mapping[str, str]) -> Any:
        """See `Viewed`."""
        from eventsnn.view.recording_document import RecordingDocument

        return RecordingDocument(document, self._spool, str(self._path), query)

    def check(self, query: Mapping[str, str]) -> None:
        """See `Viewed`: nothing an address asks for is wrong."""

    def close(self) -> None:
        """Close the file."""
        self._spool.close()


class ViewedRuns:
    """Training runs."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def fill(self, document: Document, query: Mapping[str, str]) -> Any:
        """See `Viewed`."""
        from eventsnn.view.run_document import RunDocument

        return RunDocument(document, self._folders, query)

    def check(self, query: Mapping[str, str]) -> None:
        """See `Viewed`: nothing an address asks for is wrong."""

    def close(self) -> None:
        """Nothing stays open."""


Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One file, or several training runs."""


def open_viewed(path: Paths, reading: Mapping[str, Any] | None = None) -> Viewed:
    """Open a file for its page.

    Parameters
    ----------
    path : path, or sequence of path
        A trace, a recording, the folder of a training run, one that holds several, or several of these.
    reading : mapping, optional
        How to read a recording: fields of `eventsnn.ReadingOptions`.

    Raises
    ------
    ViewError
        A file of another kind, or reading options for a trace.
    TraceError, EventFileError
        A damaged trace or recording.
    MissingExtraError
        Bokeh is not installed.
    """
    try:
        import bokeh  # noqa: F401
    except ImportError:
        raise MissingExtraError("bokeh", "view", "a page in the browser") from None
    files = [Path(path)] if isinstance(path, str | os.PathLike) else [Path(one) for one in path]
    kinds = {file: find_kind(file, reading or {}) for file in files}
    kind = kinds[files[0]]
    for file, other in kinds.items():
        if len(files) > 1 and other != "training run":
            raise ViewError(f"{file}: a {other}; only training runs are shown together")
    if kind == "recording":
        return ViewedRecording(files[0], reading or {})
    if reading:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(reading))
        raise ViewError(f"{files[0]}: a {kind}; {names}: for recordings only")
    if kind == "trace":
        return ViewedTrace(files[0])
    return ViewedRuns([run for file in files for run in find_runs(file)])


def find_kind(file: Path, reading: Mapping[str, Any]) -> str:
    """ "trace", "recording" or "training run"; ViewError for another kind, saying what to do with it."""
    if not file.exists():
        if file.suffix in (".h5", PART):
            return "trace"  # whose error names the parts that a killed run left
        raise ViewError(f"{file}: no such file")
    if find_runs(file):
        return "training run"
    if file.is_dir():
        raise ViewError(
            f"{file}: a folder without a training run ({METRICS}); give a run, a trace or a recording"
        )
    if "format" in reading:
        return "recording"
    marks = read_marks(file)
    if marks is None or "eventsnn_trace" in marks:
        return "trace"  # whose error says what is wrong with a damaged one
    for mark, advice in _OTHER_KINDS.items():
        if mark in marks:
            raise ViewError(f"{file}: {advice}")
    from eventsnn.events import detect_format

    try:
        detect_format(file)
    except EventFileError as error:
        raise ViewError(
            f"{file}: neither a trace, a training run nor a recording of a known format ({error}); the "
            "format of a recording can be given with --format"
        ) from None
    return "recording"


_OTHER_KINDS = {
    "eventsnn_network": "a model; view a trace of it: eventsnn simulate MODEL.h5 FILE --trace t.h5",
    "eventsnn_checkpoint": "a checkpoint; view the folder of its training run",
}


def serve_page(
    path: Paths,
    *,
    reading: Mapping[str, Any] | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    names: Sequence[str] = (),
    state: str | Mapping[str, str] = "",
    started: Callable[[PageServer], None] = lambda server: None,
) -> None:
    """Show a file in the browser, until Ctrl-C.

    Parameters
    ----------
    path, reading
        See `open_viewed`, also for the errors.
    host : str
        Address to listen at: this machine alone by default.
    port : int
        0 for any that is free.
    names : sequence of str
        Names by which browsers on other machines may call this one.
    state : str or mapping of str to str
        What the page shows first, as in `export_page`.
    started : callable of PageServer
        Called when the page can be opened, at ``server.address``.

    Raises
    ------
    TraceError
        `state` asks for a sample or a spike that the trace does not have.
    ViewError
        The port is in use.
    """
    viewed = open_viewed(path, reading)
    try:
        query = _read_state(state)
        viewed.check(query)
        from eventsnn.view.server import PageServer

        def fill(document: Document) -> None:
            arguments = document.session_context.request.arguments
            viewed.fill(document, {key: values[-1].decode() for key, values in arguments.items()})

        server = PageServer(fill, host=host, port=port, names=names, state=query)
        try:
            started(server)
            server.run()
        finally:
            server.close()
    finally:
        viewed.close()


def export_page(
    path: Paths,
    page: str | os.PathLike[str],
    *,
    reading: Mapping[str, Any] | None = None,
    state: str | Mapping[str, str] = "",
) -> None:
    """Write what a page shows into one file that needs nothing else: no server, no network.

    Parameters
    ----------
    path, reading
        See `open_viewed`, also for the errors.
    page : path
        File to write, .html.
    state : str or mapping of str to str
        What to show: what stands behind the question mark of the page's address.

    Raises
    ------
    TraceError
        `state` asks for a sample or a spike that the trace does not have.
    ViewError
        The page cannot be written.
    """
    viewed = open_viewed(path, reading)
    try:
        from eventsnn.view.export import render

        query = _read_state(state)
        viewed.check(query)
        text = render(lambda document: viewed.fill(document, query))
    finally:
        viewed.close()
    target = Path(page)
    with replace_file(target, lambda problem: ViewError(f"{target}: cannot be written ({problem})")) as file:
        file.write(text.encode())


def _read_state(state: str | Mapping[str, str]) -> Mapping[str, str]:
    return dict(parse_qsl(state.lstrip("?"))) if isinstance(state, str) else state
