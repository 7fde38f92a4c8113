"""The server of a page: on this machine only, for who has the token, and nothing but the page."""

from __future__ import annotations

import errno
import hmac
import ipaddress
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit
from weakref import WeakSet

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.resources import Resources
from bokeh.server.server import BaseServer
from bokeh.server.session import ServerSession
from bokeh.server.tornado import BokehTornado
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import RequestHandler

from eventsnn.errors import ViewError

LOOPBACK = "127.0.0.1"
PATHS = ("/", "/ws")
"""All that is served: the page, with everything that it needs inside, and its connection."""

COMPONENTS = ["bokeh", "bokeh-widgets", "bokeh-tables"]

CHECK_MS, UNUSED_MS = 1000, 60_000
"""How often documents without a window are looked for, and how long such a one is kept: a window that is
being opened on a busy machine needs some time to connect."""
MOST_UNUSED, MOST_LEFT = 4, 1
"""Documents of windows that have not connected yet, and of windows that were closed; of more, the oldest go.
Each takes several megabytes, those that were used more than the others."""


class Door:
    """Who may come in.

    Parameters
    ----------
    token : str
        Must be in the address of every request.
    host : str
        Address that the server listens at.
    names : sequence of str
        Further names by which browsers may call it.
    """

    def __init__(self, token: str, host: str, names: Sequence[str] = ()) -> None:
        self.token = token
        self._any_address = host in ("", "0.0.0.0", "::")
        self._names = {"localhost", LOOPBACK, "::1", host.lower(), *(name.lower() for name in names)}

    def refuse(self, request: HTTPServerRequest) -> tuple[int, str] | None:
        """Status and text of a refusal; None for a request that may come in."""
        if request.path not in PATHS:
            return 404, "there is nothing here but the page"
        if not self._knows(request.host):
            return 403, (
                f"this page is not served as {request.host!r}; start it with --name, if it is to be: "
                "eventsnn view FILE --name NAME"
            )
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
            return 403, f"the page of {origin!r} may not use this one"
        given = request.query_arguments.get("token", [b""])[-1]
        if not hmac.compare_digest(given, self.token.encode()):
            return 403, "the token is missing or wrong: open the address that eventsnn view printed"
        return None

    def _knows(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        if not self._any_address:
            return False
        # A number is no name that somebody else could point here (DNS rebinding).
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


class _Refusal(RequestHandler):
    """Says why not."""

    def initialize(self, status: int, text: str) -> None:
        self._refusal = status, text

    def prepare(self) -> None:
        self.set_status(self._refusal[0])
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(self._refusal[1] + "\n")


class _Tornado(BokehTornado):
    """Bokeh's server with the door before everything."""

    def __init__(self, application: Application, door: Door, **options: Any) -> None:
        self._door = door
        super().__init__({"/": application}, **options)

    def find_handler(self, request: HTTPServerRequest, **arguments: Any) -> Any:
        refusal = self._door.refuse(request)
        if refusal is not None:
            status, text = refusal
            return self.get_handler_delegate(request, _Refusal, {"status": status, "text": text})
        return super().find_handler(request, **arguments)

    def resources(self, absolute_url: str | bool | None = None) -> Resources:
        """Scripts and styles inside the page: nothing else has to be served."""
        return Resources(mode="inline", components=COMPONENTS, minified=True)


class PageServer:
    """Serves a document; each browser window gets its own.

    Parameters
    ----------
    fill : callable of Document
        Makes the document of a window that was opened.
    host : str
        Address to listen at.
    port : int
        0 for any that is free.
    names : sequence of str
        Names by which browsers on other machines may call this one.
    token : str, optional
        A new one by default.
    state : mapping of str to str
        Further keys of the address: what the page shows first.

    Raises
    ------
    ViewError
        The port is in use, or the address is not one of this machine.
    """

    def __init__(
        self,
        fill: Callable[[Document], None],
        *,
        host: str = LOOPBACK,
        port: int = 0,
        names: Sequence[str] = (),
        token: str | None = None,
        state: Mapping[str, str] | None = None,
    ) -> None:
        self._state = dict(state or {})
        self.token = secrets.token_urlsafe(24) if token is None else token
        self.host = host
        self._used: WeakSet[ServerSession] = WeakSet()
        self.loop = IOLoop.current()
        sockets = _bind(host, port)
        self.port: int = sockets[0].getsockname()[1]
        app = _Tornado(
            Application(FunctionHandler(fill)),
            Door(self.token, host, names),
            check_unused_sessions_milliseconds=CHECK_MS,
            unused_session_lifetime_milliseconds=UNUSED_MS,
            extra_websocket_origins=["*"],  # the door has looked at the origin already
            include_headers=[],
            include_cookies=[],
            ico_path="none",
        )
        http = HTTPServer(app)
        http.add_sockets(sockets)
        self._server = BaseServer(self.loop, app, http)
        self._server.start()
        self._next_check = self.loop.call_later(CHECK_MS / 1000, self._forget_unused)

    def _forget_unused(self) -> None:
        """Have the oldest documents that no window shows discarded, now and again and again."""
        # Not tornado's PeriodicCallback, which leaves a coroutine behind when Ctrl-C ends the loop.
        self._next_check = self.loop.call_later(CHECK_MS / 1000, self._forget_unused)
        sessions = self._server.get_sessions("/")
        self._used.update(session for session in sessions if session.connection_count)
        idle = [session for session in sessions if not session.connection_count]
        idle.sort(key=lambda session: session.milliseconds_since_last_unsubscribe)
        for was_used, most in ((False, MOST_UNUSED), (True, MOST_LEFT)):
            for session in [one for one in idle if (one in self._used) == was_used][most:]:
                session.request_expiration()

    @property
    def address(self) -> str:
        """What to open in a browser, token included."""
        name = LOOPBACK if self.host in ("", "0.0.0.0", "::") else self.host
        name = f"[{name}]" if ":" in name else name
        return f"http://{name}:{self.port}/?{urlencode({'token': self.token, **self._state})}"

    def run(self) -> None:
        """Serve until `stop`, or Ctrl-C."""
        self.loop.start()

    def stop(self) -> None:
        """End `run`; may be called from another thread."""
        self.loop.add_callback(self.loop.stop)

    def close(self) -> None:
        """Let go of the port."""
        self.loop.remove_timeout(self._next_check)
        self._server.stop()


def _bind(host: str, port: int) -> list[Any]:
    if not 0 <= port <= 65535:
        raise ViewError(f"port: a port is a number 0..65535, got {port}")
    try:
        return bind_sockets(port, address=host)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ViewError(
                f"port {port} is in use; give another with --port, or leave it out for one that is free"
            ) from None
        raise ViewError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from None
