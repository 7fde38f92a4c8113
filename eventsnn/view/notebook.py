"""A trace's page in a notebook."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from eventsnn.errors import ViewError
from eventsnn.view.open import serve_page

if TYPE_CHECKING:
    from eventsnn.view.server import PageServer

PATIENCE_S = 60.0


class NotebookPage:
    """A page with a server of its own, in a thread; shows itself in a notebook.

    Parameters
    ----------
    path : path
        See `eventsnn.view.serve_page`, also for the errors.
    state : mapping of str to str
        What to show: keys of the page's address.
    height : int
        Of the frame in the notebook, pixels.

    Attributes
    ----------
    address : str
        To open in a browser on this machine.
    """

    def __init__(self, path: Path, state: Mapping[str, str], height: int = 820) -> None:
        self._path, self._height = path, height
        self._ready = threading.Event()
        self._server: PageServer | None = None
        self._problem: BaseException | None = None
        self.address = ""
        # Ends with the interpreter: a notebook is not to hang because of a page.
        self._thread = threading.Thread(target=self._serve, args=(state,), daemon=True)
        self._thread.start()
        self._ready.wait(PATIENCE_S)
        if self._problem is not None:
            raise self._problem
        if self._server is None:
            raise ViewError(f"{path}: the page's server did not start within {PATIENCE_S:g} s")
        self.address = self._server.address

    def _serve(self, state: Mapping[str, str]) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        try:
            serve_page(self._path, state=state, started=self._start)
        except BaseException as error:
            self._problem = error
        finally:
            self._ready.set()

    def _start(self, server: PageServer) -> None:
        self._server = server
        self._ready.set()

    def close(self) -> None:
        """End the server."""
        if self._server is not None and self._thread.is_alive():
            self._server.stop()
            self._thread.join(PATIENCE_S)

    def __repr__(self) -> str:
        return f"<NotebookPage of {str(self._path)!r} at {self.address}>"

    def _repr_html_(self) -> str:
        look = f"width='100%' height='{self._height}' style='border:1px solid #8886'"
        return f"<iframe src='{self.address}' {look}></iframe>"
