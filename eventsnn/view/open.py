"""From a file to its page: what kind of file it is, and the document that shows it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from eventsnn._util.atomic import PART, replace_file
from eventsnn.errors import MissingExtraError, ViewError
from eventsnn.trace.reader import Trace

if TYPE_CHECKING:
    from bokeh.document import Document

    from eventsnn.view.server import PageServer

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def require_bokeh() -> None:
    """Raise MissingExtraError without Bokeh."""
    try:
        import bokeh  # noqa: F401
    except ImportError:
        raise MissingExtraError("bokeh", "view", "a page in the browser") from None


class Viewed:
    """A file that a page shows.

    Parameters
    ----------
    path : path
        A trace.

    Raises
    ------
    ViewError
        A file of another kind.
    TraceError
        A damaged trace.
    MissingExtraError
        Bokeh is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        require_bokeh()
        self.path = Path(path)
        self._trace = Trace(self._check_kind())

    def _check_kind(self) -> Path:
        if not self.path.is_file():
            # A trace says which part files there are.
            if self.path.suffix in (".h5", ".hdf5", PART):
                return self.path
            raise ViewError(f"{self.path}: no such file")
        with self.path.open("rb") as file:
            if file.read(len(HDF5_MAGIC)) == HDF5_MAGIC:
                return self.path
        raise ViewError(
            f"{self.path}: not a trace; make one with eventsnn simulate MODEL.h5 FILE --trace t.h5"
        )

    def fill(self, document: Document, query: Mapping[str, str]) -> Any:
        """Make the document of a page; `query` is what its address asks for."""
        from eventsnn.view.trace_document import TraceDocument

        return TraceDocument(document, self._trace, query)

    def close(self) -> None:
        """Close the file."""
        self._trace.close()


def serve_page(
    path: str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    names: Sequence[str] = (),
    started: Callable[[PageServer], None] = lambda server: None,
) -> None:
    """Show a file in the browser, until Ctrl-C.

    Parameters
    ----------
    path : path
    host : str
        Address to listen at: this machine alone by default.
    port : int
        0 for any that is free.
    names : sequence of str
        Names by which browsers on other machines may call this one.
    started : callable of PageServer
        Called when the page can be opened, at ``server.address``.

    Raises
    ------
    ViewError
        A file of another kind, or a port that is in use.
    TraceError
        A damaged trace.
    MissingExtraError
        Bokeh is not installed.
    """
    viewed = Viewed(path)
    try:
        from eventsnn.view.server import PageServer

        def fill(document: Document) -> None:
            arguments = document.session_context.request.arguments
            viewed.fill(document, {key: values[-1].decode() for key, values in arguments.items()})

        server = PageServer(fill, host=host, port=port, names=names)
        try:
            started(server)
            server.run()
        finally:
            server.close()
    finally:
        viewed.close()


def export_page(
    path: str | os.PathLike[str], page: str | os.PathLike[str], *, state: str | Mapping[str, str] = ""
) -> None:
    """Write what a page shows into one file that needs nothing else: no server, no network.

    Parameters
    ----------
    path : path
    page : path
        File to write, .html.
    state : str or mapping of str to str
        What to show: what stands behind the question mark of the page's address.

    Raises
    ------
    ViewError
        A file of another kind, or a page that cannot be written.
    TraceError
        A damaged trace.
    MissingExtraError
        Bokeh is not installed.
    """
    viewed = Viewed(path)
    try:
        from eventsnn.view.export import render

        query = dict(parse_qsl(state.lstrip("?"))) if isinstance(state, str) else state
        text = render(lambda document: viewed.fill(document, query))
    finally:
        viewed.close()
    target = Path(page)
    with replace_file(target, lambda problem: ViewError(f"{target}: cannot be written ({problem})")) as file:
        file.write(text.encode())
