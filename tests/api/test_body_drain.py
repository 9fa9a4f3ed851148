"""Answers that come before the request's end, over a real connection: heard, and not its ruin."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.ledger import ROOT

LIMIT = 50_000
TRIES = 15


@contextmanager
def server(rest_bytes_max: int, rest_s_max: float) -> Iterator[int]:
    """The port of a server that lets go so much of a rest."""
    words = [str(LIMIT), str(rest_bytes_max), str(rest_s_max)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.api.refusing", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(":")[2])
            deadline_s = time.monotonic() + 30
            while True:
                with socket.socket() as probe:
                    if not probe.connect_ex(("127.0.0.1", port)):
                        break
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
            yield port
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a server with the product's bounds."""
    with server(16_777_216, 5.0) as found:
        yield found


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
        said.begin("/echo", f"Content-Length: {LIMIT * 20}")
        unsaid.begin("/echo", "Transfer-Encoding: chunked")
        for _ in range(20):
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


def test_the_rest_is_taken_within_bounds() -> None:
    with server(LIMIT * 3, 2.0) as port:
        late, endless = Phone(port), Phone(port)
        late.begin("/refuse", f"Content-Length: {LIMIT}")
        assert late.hear() == (401, False)
        endless.begin("/echo", "Transfer-Encoding: chunked")
        sent = 0
        with pytest.raises(OSError, match=r"reset|pipe"):
            while sent < 1_000:
                endless.send_chunk(b"x" * LIMIT)
                sent += 1
        assert sent < 400
        assert late.is_closed()
        late.close()
        endless.close()
