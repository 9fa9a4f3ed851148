"""A network between workers and broker that can be told to misbehave.

Owns: a listener on loopback that forwards to the broker, request by request; cutting connections,
holding and reordering the requests that end a transaction.
Does not own: when to do so (faults/network.py), what the broker advertises (pipeline/dev/local).
Invariant: bytes are never changed; a connection's requests keep their order.

Of Kafka's protocol it knows only how requests are framed: a length of four bytes, then the API key
and version of two bytes each, big endian.
"""

import asyncio
import contextlib
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from pipeline.dev.local.ports import LOOPBACK

END_TXN: Final = 26
HEAD: Final = struct.Struct(">ihh")
ANSWER: Final = struct.Struct(">iiih")
"""Length, correlation id, throttle time, error code: of versions that are not flexible, 0 to 2."""

CHUNK_BYTES: Final = 1 << 16
ANSWER_S: Final = 10.0


@dataclass(frozen=True)
class Treatment:
    """What becomes of one request that ends a transaction.

    Attributes:
        before: called before it is forwarded, off the event loop.
        hold_s: for how long it, and what follows it on its connection, is kept back.
        cut: the client's connection is closed first, so that it asks again on another one before
            the request arrives.
        after: called as soon as it was forwarded.
    """

    before: Callable[[], None] | None = None
    hold_s: float = 0.0
    cut: bool = False
    after: Callable[[], None] | None = None


class Proxy:
    """Forwards connections from one loopback port to another, on a thread of its own.

    Attributes:
        treat: asked what to do with a request that ends a transaction; None lets all pass.
        slow_s: how much later every request arrives; others may follow it meanwhile.
        repeated: ends of transactions that came while an earlier one was kept back.
        end_txns: how many came by. accepted: connections. was_cut: connections cut by `cut`. late:
            requests that arrived after their client had gone. late_answers: the broker's error
            codes to these, 0 where it did what was asked.
    """

    def __init__(self, port: int, broker_port: int) -> None:
        self.address = f"{LOOPBACK}:{port}"
        self.treat: Callable[[], Treatment | None] | None = None
        self.slow_s = 0.0
        self.end_txns = 0
        self.repeated = 0
        self._kept_back = 0
        self.accepted = 0
        self.was_cut = 0
        self.late = 0
        self.late_answers: Counter[int] = Counter()
        self._port = port
        self._broker_port = broker_port
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._done: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._listening.wait()

    def stop(self) -> None:
        """Close everything."""
        if self._thread.is_alive() and self._done is not None:
            self._loop.call_soon_threadsafe(self._done.set)
            self._thread.join()

    def cut(self) -> None:
        """Close every connection; new ones are let through."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()
            self.was_cut += 1

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._done = asyncio.Event()
        server = await asyncio.start_server(self._accept, LOOPBACK, self._port)
        self._listening.set()
        await self._done.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._spawn(self._connection(reader, writer))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Both directions of one client, until either side ends."""
        try:
            answers, requests = await asyncio.open_connection(LOOPBACK, self._broker_port)
        except OSError:  # the broker is away, and so are we
            writer.transport.abort()
            return
        self._open.add(writer)
        back = self._loop.create_task(_pump(answers, writer))
        there = self._loop.create_task(self._requests(reader, writer, requests))
        try:
            await asyncio.wait({back, there}, return_when=asyncio.FIRST_COMPLETED)
            if not there.done():
                there.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
                await there
        finally:
            back.cancel()
            self._open.discard(writer)
            writer.transport.abort()
            requests.transport.abort()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        requests: asyncio.StreamWriter,
    ) -> None:
        """Forward requests one by one."""
        while True:
            head = await reader.readexactly(HEAD.size)
            length, api_key, _ = HEAD.unpack(head)
            frame = head + await reader.readexactly(length - HEAD.size + 4)
            if api_key == END_TXN:
                self.end_txns += 1
                self.repeated += self._kept_back > 0
                treatment = self.treat() if self.treat is not None else None
                if treatment is not None:
                    if treatment.cut:
                        self._spawn(self._late(frame, treatment.hold_s))
                        writer.transport.abort()
                        return
                    await self._treated(treatment, frame, requests)
                    continue
            if self.slow_s:
                self._loop.call_later(self.slow_s, requests.write, frame)
                continue
            requests.write(frame)
            await requests.drain()

    async def _treated(
        self, treatment: Treatment, frame: bytes, requests: asyncio.StreamWriter
    ) -> None:
        if treatment.before is not None:
            await asyncio.to_thread(treatment.before)
        self._kept_back += 1
        try:
            await asyncio.sleep(treatment.hold_s)
        finally:
            self._kept_back -= 1
        requests.write(frame)
        await requests.drain()
        if treatment.after is not None:
            await asyncio.to_thread(treatment.after)

    async def _late(self, frame: bytes, hold_s: float) -> None:
        """Let a request arrive when its client has long asked again."""
        await asyncio.sleep(hold_s)
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            answers, requests = await asyncio.open_connection(LOOPBACK, self._broker_port)
            requests.write(frame)
            await requests.drain()
            self.late += 1
            answer = await asyncio.wait_for(answers.read(CHUNK_BYTES), ANSWER_S)
            self.late_answers[ANSWER.unpack_from(answer)[-1]] += 1
            requests.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
