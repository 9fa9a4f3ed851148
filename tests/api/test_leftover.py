"""Answers that come before the request's end, over a real connection: heard, and not its ruin."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pipeline.api import leftover, problems
from pipeline.api.leftover import Leftover
from pipeline.api.problems import ProblemError
from pipeline.api.server import _server, find_port
from pipeline.api.shield import Shield
from pipeline.config_api import ApiSettings

LIMIT = 50_000
TRIES = 30


async def echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def refuse(_: Request) -> Response:
    raise ProblemError(401, "no", "No")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a server with these two routes."""
    found = find_port("127.0.0.1", 0)
    routes = [Route("/echo", echo, methods=["POST"]), Route("/refuse", refuse, methods=["POST"])]
    app = Starlette(routes=routes, exception_handlers=dict(problems.HANDLERS))
    shielded = Leftover(Shield(app, LIMIT, 10.0), LIMIT)
    server = _server(shielded, ApiSettings(api_stop_timeout_s=5), found)
    running = threading.Thread(target=lambda: asyncio.run(server.serve()))
    running.start()
    deadline_s = time.monotonic() + 20
    while socket.socket().connect_ex(("127.0.0.1", found)) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    yield found
    server.stop()  # type: ignore[no-untyped-call]
    running.join(20)
    assert not running.is_alive()


class Phone:
    """A client that is told nothing by a library."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = self.socket.makefile("rb")

    def begin(self, path: str, *headers: str) -> None:
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())

    def send(self, body: bytes) -> None:
        self.socket.sendall(body)

    def send_chunk(self, body: bytes) -> None:
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(body), body))

    def hear(self) -> tuple[int, bool]:
        """The status, and whether the connection is over with this answer."""
        status = int(self.answers.readline().split()[1])
        length, is_over = 0, False
        while line := self.answers.readline().strip().lower():
            name, _, value = line.partition(b": ")
            if name == b"content-length":
                length = int(value)
            is_over |= (name, value) == (b"connection", b"close")
        assert len(self.answers.read(length)) == length
        return status, is_over

    def is_closed(self) -> bool:
        """Nothing comes any more."""
        return self.answers.read(1) == b""

    def close(self) -> None:
        self.answers.close()
        self.socket.close()


@pytest.fixture
def phone(port: int) -> Iterator[Phone]:
    made = Phone(port)
    yield made
    made.close()


def test_who_sends_too_much_hears_it_and_that_the_connection_is_over(port: int) -> None:
    for _ in range(TRIES):
        said, unsaid = Phone(port), Phone(port)
        said.begin("/echo", f"Content-Length: {LIMIT * 40}")
        unsaid.begin("/echo", "Transfer-Encoding: chunked")
        for _ in range(40):
            said.send(b"x" * LIMIT)
            unsaid.send_chunk(b"x" * LIMIT)
        unsaid.send_chunk(b"")
        for each in (said, unsaid):
            assert each.hear() == (413, True)
            assert each.is_closed()
            each.close()


def test_the_answer_does_not_wait_for_the_rest(phone: Phone) -> None:
    phone.begin("/echo", f"Content-Length: {LIMIT * 2}")
    assert phone.hear() == (413, True)
    phone.send(b"x" * LIMIT * 2)
    assert phone.is_closed()


def test_a_body_of_a_size_that_is_allowed_leaves_the_connection_as_it_was(phone: Phone) -> None:
    for _ in range(TRIES):
        phone.begin("/refuse", f"Content-Length: {LIMIT}")
        phone.send(b"x" * (LIMIT // 2))
        assert phone.hear() == (401, False)
        phone.send(b"x" * (LIMIT // 2))
        phone.begin("/echo", "Content-Length: 3")
        phone.send(b"abc")
        assert phone.hear() == (200, False)
    phone.begin("/refuse")
    assert phone.hear() == (401, False)


def test_who_waits_to_be_asked_for_the_body_is_not_asked(phone: Phone) -> None:
    phone.begin("/refuse", "Content-Length: 10", "Expect: 100-continue")
    assert phone.hear() == (401, True)
    assert phone.is_closed()


def test_the_rest_is_taken_within_bounds(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftover, "REST_S_MAX", 0.2)
    late = Phone(port)
    late.begin("/refuse", f"Content-Length: {LIMIT}")
    assert late.hear() == (401, False)
    assert late.is_closed()
    late.close()
    monkeypatch.setattr(leftover, "REST_S_MAX", 60.0)
    monkeypatch.setattr(leftover, "REST_BYTES_MAX", LIMIT * 3)
    endless = Phone(port)
    endless.begin("/echo", "Transfer-Encoding: chunked")
    with pytest.raises(OSError, match=r"reset|pipe"):
        for _ in range(10_000):
            endless.send_chunk(b"x" * LIMIT)
    endless.close()
