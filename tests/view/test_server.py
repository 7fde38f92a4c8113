"""The server of a page: who may come in, and what there is."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("bokeh")

import asyncio

from bokeh.client import pull_session
from bokeh.document import Document
from bokeh.models import Div
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from eventsnn.errors import ViewError
from eventsnn.view.server import MOST_LEFT, MOST_UNUSED, PageServer


def fill(document: Document) -> None:
    document.add_root(Div(text="a page"))


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    """A server in a thread of its own."""
    ready, made = threading.Event(), []

    def run() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        made.append(PageServer(fill, names=["lab.example"]))
        ready.set()
        made[0].run()
        made[0].close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(60.0)
    yield made[0]
    made[0].stop()
    thread.join(60.0)


def ask(server: PageServer, path: str, **headers: str) -> tuple[int, str]:
    """Status and text of an answer."""
    request = Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    try:
        with urlopen(request, timeout=60.0) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_the_page_needs_nothing_else(server: PageServer) -> None:
    status, page = ask(server, f"/?token={server.token}")
    assert status == 200
    assert not re.search(r"<script[^>]* src=", page)
    assert server.address == f"http://127.0.0.1:{server.port}/?token={server.token}"


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=%00", "?Token={token}"])
def test_without_the_token(server: PageServer, query: str) -> None:
    status, text = ask(server, f"/{query.format(token=server.token)}")
    assert status == 403
    assert text == "the token is missing or wrong: open the address that eventsnn view printed\n"


@pytest.mark.parametrize(
    "path",
    ["/static/js/bokeh.min.js", "/metadata", "/autoload.js", "/etc/passwd", "/../t.h5", "/favicon.ico"],
)
def test_nothing_but_the_page_is_served(server: PageServer, path: str) -> None:
    assert ask(server, f"{path}?token={server.token}")[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}"])
def test_another_name_of_this_machine(server: PageServer, host: str) -> None:
    """A site that has its own name point here (DNS rebinding) gets nothing."""
    status, text = ask(server, f"/?token={server.token}", Host=host.format(port=server.port))
    assert status == 403
    assert "--name" in text


@pytest.mark.parametrize(
    "host", ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}", "LAB.example:{port}"]
)
def test_names_that_are_known(server: PageServer, host: str) -> None:
    assert ask(server, f"/?token={server.token}", Host=host.format(port=server.port))[0] == 200


def connect(server: PageServer, token: str, origin: str | None) -> None:
    """Open the page's websocket as a browser on a page of `origin` does."""
    headers = {} if origin is None else {"Origin": origin}
    request = HTTPRequest(f"ws://127.0.0.1:{server.port}/ws?token={token}", headers=headers)

    async def open_and_close() -> None:
        (await websocket_connect(request, subprotocols=["bokeh", "x"])).close()

    asyncio.run(open_and_close())


def test_websocket_of_the_page(server: PageServer) -> None:
    connect(server, server.token, f"http://127.0.0.1:{server.port}")


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1", "http://localhost:{port}"],
)
def test_websocket_of_another_origin(server: PageServer, origin: str) -> None:
    with pytest.raises(HTTPClientError, match="403"):
        connect(server, server.token, origin.format(port=server.port))


def test_websocket_without_the_token(server: PageServer) -> None:
    with pytest.raises(HTTPClientError, match="403"):
        connect(server, "wrong", f"http://127.0.0.1:{server.port}")


def test_documents_that_no_window_uses_are_few(server: PageServer) -> None:
    """Windows that never connect, such as those of a page that is loaded again and again."""
    for _ in range(3 * MOST_UNUSED):
        assert ask(server, f"/?token={server.token}")[0] == 200
    end = time.monotonic() + 60.0
    while len(server._server.get_sessions("/")) > MOST_UNUSED and time.monotonic() < end:
        time.sleep(0.1)
    assert len(server._server.get_sessions("/")) == MOST_UNUSED


def test_documents_of_closed_windows_are_few(server: PageServer) -> None:
    def left() -> int:
        sessions = server._server.get_sessions("/")
        return sum(session in server._used for session in sessions)

    for number in range(1, 4):
        window = pull_session(url=f"http://127.0.0.1:{server.port}/", arguments={"token": server.token})
        assert window.document.roots[0].text == "a page"
        end = time.monotonic() + 60.0
        while len(server._used) < min(number, MOST_LEFT + 1) and time.monotonic() < end:
            time.sleep(0.1)
        window.close()
    while left() > MOST_LEFT and time.monotonic() < end:
        time.sleep(0.1)
    assert left() == MOST_LEFT


def test_it_listens_on_loopback_alone(server: PageServer) -> None:
    assert server.host == "127.0.0.1"
    (sockets,) = {sock.getsockname()[0] for sock in server._server._http._sockets.values()}
    assert sockets == "127.0.0.1"


def test_a_port_in_use(server: PageServer) -> None:
    with pytest.raises(ViewError, match=f"port {server.port} is in use; give another with --port"):
        asyncio.run(start(port=server.port))


def test_a_port_or_an_address_that_there_is_not() -> None:
    with pytest.raises(ViewError, match=r"a port is a number 0\.\.65535, got 70000"):
        asyncio.run(start(port=70000))
    with pytest.raises(ViewError, match=r"cannot listen at 192\.0\.2\.1"):
        asyncio.run(start(host="192.0.2.1"))


async def start(**options: object) -> None:
    PageServer(fill, **options).close()
