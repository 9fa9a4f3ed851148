"""Requests over kept-alive connections, as many as are answered.

Owns: sending, counting, delays. Does not own: what is asked.
Invariants: each connection has one request under way and sends the next when the answer is whole,
so the server is never idle and never asked for more than it can hold; every answer's status and
length are looked at; the same for whatever is measured.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_OK = b"HTTP/1.1 200"


@dataclass
class Counted:
    """What came back.

    Attributes:
        delays_s: of each answer. wrong: answers of another status than 200.
    """

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
    def __init__(self, source: Iterator[bytes], found: Counted) -> None:
        self._source = source
        self._found = found
        self._buffer = b""
        self._needed = 0
        self._sent_s = 0.0
        self.ended = asyncio.get_running_loop().create_future()
        self.stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("not a stream")
        self._transport = transport
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes."""
        del exc
        if not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        self._buffer, self._needed = b"", 0
        request = None if self.stopped else next(self._source, None)
        if request is None:
            self._transport.close()
            return
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
        self._send()


async def ask(
    address: tuple[str, int], source: Iterator[bytes], connections: int, seconds: float
) -> Counted:
    """Send what `source` gives until it ends or `seconds` are over."""
    found = Counted()
    loop = asyncio.get_running_loop()
    began_s = time.perf_counter()
    clients = [
        (await loop.create_connection(lambda: _Client(source, found), *address))[1]
        for _ in range(connections)
    ]
    await asyncio.wait([each.ended for each in clients], timeout=seconds)
    counted = Counted(list(found.delays_s), found.wrong, time.perf_counter() - began_s)
    for each in clients:
        each.stopped = True
    await asyncio.wait([each.ended for each in clients], timeout=5)
    return counted


def at_random(requests: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """One of them after the other, without end, each as likely as any."""
    dice = random.Random(seed)
    many = len(requests)
    while True:
        yield requests[int(dice.random() * many)]


def request_of(address: tuple[str, int], path: str, token: str) -> bytes:
    """The bytes of one GET."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}"]
    lines += ["Accept: application/json", f"Authorization: Bearer {token}", "", ""]
    return "\r\n".join(lines).encode()
