"""Requests over kept-alive connections, as many as are answered.

Owns: sending, counting, delays. Does not own: what is asked.
Invariants: each connection has one request under way and sends the next when the answer is whole,
so the server is never idle and never asked for more than it can hold; every answer's status and
length are looked at; the same for whatever is measured.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_OK = (b"HTTP/1.1 200", b"HTTP/1.1 304")


@dataclass
class Counted:
    """What came back. `delays_s`: of each answer. `wrong`: answers of another status than 200."""

    delays_s: list[float] = field(default_factory=list)
    wrong: int = 0
    seconds: float = 0.0

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return len(self.delays_s) / self.seconds

    def quantile_ms(self, part: float) -> float:
        """The delay that a part of the answers kept, in ms."""
        ordered = sorted(self.delays_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000


class _Client(asyncio.Protocol):
    def __init__(self, requests: Sequence[bytes], dice: random.Random, found: Counted) -> None:
        self._requests = requests
        self._dice = dice
        self._found = found
        self._buffer = b""
        self._needed = 0
        self._sent_s = 0.0
        self.stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("not a stream")
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._buffer, self._needed = b"", 0
        request = self._requests[int(self._dice.random() * len(self._requests))]
        self._sent_s = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take an answer, or a part of one."""
        self._buffer = buffer = self._buffer + data if self._buffer else data
        if not self._needed:
            end = buffer.find(_END)
            if end < 0:
                return
            at = buffer.find(_LENGTH, 0, end)
            if at < 0:
                raise ValueError(f"an answer without a length: {buffer[:200]!r}")
            length = int(buffer[at + len(_LENGTH) : buffer.index(b"\r\n", at)])
            self._needed = end + len(_END) + length
        if len(buffer) < self._needed:
            return
        self._found.delays_s.append(time.perf_counter() - self._sent_s)
        if not buffer.startswith(_OK):
            self._found.wrong += 1
        if self.stopped:
            self._transport.close()
        else:
            self._send()


async def measure(
    host: str, port: int, requests: Sequence[bytes], connections: int, seconds: float
) -> Counted:
    """Ask for `seconds`, each connection a random one of `requests` after the other."""
    found = Counted()
    loop = asyncio.get_running_loop()
    clients: list[_Client] = []

    def client() -> _Client:
        made = _Client(requests, random.Random(len(clients)), found)
        clients.append(made)
        return made

    began_s = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(client, host, port)
    await asyncio.sleep(seconds)
    found.seconds = time.perf_counter() - began_s
    counted = Counted(list(found.delays_s), found.wrong, found.seconds)
    for each in clients:
        each.stopped = True
    await asyncio.sleep(0.1)
    return counted


def request_of(host: str, port: int, path: str, token: str = "") -> bytes:
    """The bytes of one GET."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "Accept: application/json"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join([*lines, "", ""]).encode()
