"""Passes published records on to the clients of live streams.

Owns: the list of clients, the queue of each, the latest records of each partition in memory.
Does not own: reading the topics (kafka/tail.py), the text of an event (events.py), HTTP
(routes/live.py).

Invariants:
- One consumer serves all clients. A client that listens from a position gets every record of its
  user from there on, in the order of each topic. While its position is before the records in memory
  it is *behind*: it gets nothing here, and reads the topic (replay.py) until `follow` finds the
  rest in memory. The event loop does that in one step, so there is no gap before the records that
  come next.
- The number of clients, the queue of each, and the records in memory are bounded. A client
  that does not keep up is dropped; what it was not sent is above its last id, so it can resume.
- Only the event loop uses clients and memory; the reading thread hands over one batch at a time and
  waits until it was taken.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Final

from confluent_kafka import Message

from pipeline.api.live.events import TOPICS, Streamed, StreamPosition, stream_epoch_of
from pipeline.codec.partitioner import partition_of
from pipeline.kafka.reader import Partition, record_offset, record_partition
from pipeline.kafka.tail import Log

REMEMBERED_MAX: Final = 500
"""Max records of each partition in memory, for clients that come back soon."""

RECORDS_AT_ONCE: Final = 100
"""Max records that are handed to the event loop in one step."""

_HAND_OVER_S: Final = 5.0
"""Max seconds that the reading thread waits for the event loop."""


class End(StrEnum):
    """Why a stream ended."""

    SHUTDOWN = "shutdown"
    SLOW = "slow"
    LONG = "long-enough"
    RESET = "reset"
    GONE = "gone"


class Client:
    """A client of a live stream, for the event loop only.

    Args:
        user: the key of its records.
        owner: the principal, whose streams are counted together.
        position: everything below it was sent, or is not wanted.
        waiting_max: max records in its queue.

    Attributes:
        is_behind: whether records that it missed are not in memory; then nothing is queued for it.
        ended: why it gets no more records; None while it gets them.
        over: is set when it has ended.
    """

    def __init__(self, user: bytes, owner: str, position: StreamPosition, waiting_max: int) -> None:
        self.user = user
        self.owner = owner
        self.position = position
        self.is_behind = True
        self.ended: End | None = None
        self.over = asyncio.Event()
        self._waiting: deque[Streamed] = deque()
        self._waiting_max = waiting_max
        self._woken = asyncio.Event()

    def offer(self, one: Streamed) -> None:
        """Queue a record; a client whose queue is full is dropped."""
        if self.ended is not None or self.is_behind:
            return
        if one.offset < self.position.offsets[one.topic]:
            return
        if len(self._waiting) >= self._waiting_max:
            self._waiting.clear()
            self.end(End.SLOW)
            return
        self._waiting.append(one)
        self._woken.set()

    def end(self, why: End) -> None:
        """Queue nothing more for it."""
        if self.ended is None:
            self.ended = why
        self.over.set()
        self._woken.set()

    async def next(self, wait_s: float) -> list[Streamed]:
        """Take the queue; empty after `wait_s` without a record, and when the client has ended."""
        if not self._waiting and self.ended is None:
            self._woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
        found = list(self._waiting)
        self._waiting.clear()
        return found


class _Memory:
    """The latest records of one partition of one topic: all from `start` on."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.records: deque[tuple[bytes, Streamed]] = deque()

    def add(self, key: bytes, one: Streamed) -> None:
        self.records.append((key, one))
        if len(self.records) > REMEMBERED_MAX:
            _, dropped = self.records.popleft()
            self.start = dropped.offset + 1

    def of(self, user: bytes, since: int) -> list[Streamed]:
        return [one for key, one in self.records if key == user and one.offset >= since]


class Hub:
    """A Follower of TOPICS that passes their records on.

    Args:
        prefix: the prefix of the topics.
        waiting_max: max records in the queue of one client.
        counted: is called with the number of clients.
    """

    def __init__(
        self, prefix: str, waiting_max: int, counted: Callable[[int], None] = lambda _: None
    ) -> None:
        self._numbers = {f"{prefix}{name}": number for number, name in enumerate(TOPICS)}
        self._waiting_max = waiting_max
        self._counted = counted
        self._clients: dict[bytes, set[Client]] = {}
        self._owners: dict[str, int] = {}
        self._memory: dict[tuple[int, int], _Memory] = {}
        self._next: dict[tuple[int, int], int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._read_to: dict[Partition, int] = {}
        self.stream_epoch = ""
        self.partitions = 0
        self.count = 0
        self.watchers: list[Callable[[bytes, int, Streamed], None]] = []
        """Called on the event loop with key, partition and record of each record; must be quick."""
        self.at_end: list[Callable[[], None]] = []
        """Called once on the event loop, when everything until now was read."""

    @property
    def topics(self) -> tuple[str, ...]:
        """Return the full names, in the order of TOPICS."""
        return tuple(self._numbers)

    @property
    def is_ready(self) -> bool:
        """Tell whether it knows where the topics end."""
        return bool(self.stream_epoch)

    # --- following, on the thread that reads -----------------------------------------------------

    def begin(self, log: Log) -> Mapping[Partition, int]:
        """Return where to read on; at first a little before the end, to fill the memory."""
        stream_epoch = stream_epoch_of(log.topic_ids)
        if stream_epoch != self.stream_epoch:
            self._read_to = {
                one: max(log.firsts[one], end - REMEMBERED_MAX) for one, end in log.ends.items()
            }
            self._hand_over(self._reset, stream_epoch, dict(self._read_to))
        return dict(self._read_to)

    def take(self, records: Sequence[Message], positions: Mapping[Partition, int]) -> None:
        """Pass records on, a few at a time, so that clients can send in between."""
        for start in range(0, len(records), RECORDS_AT_ONCE):
            self._hand_over(self._dispatch, records[start : start + RECORDS_AT_ONCE])
        self._hand_over(self._move, dict(positions))
        self._read_to.update(positions)

    def caught_up(self) -> None:
        """Note that everything until now was read."""
        waiting, self.at_end = self.at_end, []
        for each in waiting:
            self._hand_over(each)

    def bind(self) -> None:
        """Bind to the event loop that serves; call it there before the thread starts."""
        self._loop = asyncio.get_running_loop()

    def _hand_over(self, call: Callable[..., None], *arguments: object) -> None:
        taken = threading.Event()

        def run() -> None:
            try:
                call(*arguments)
            finally:
                taken.set()

        if self._loop is not None:
            # A loop that is closed has no clients any more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(run)
                taken.wait(_HAND_OVER_S)

    # --- on the event loop -----------------------------------------------------------------------

    def _reset(self, stream_epoch: str, starts: Mapping[Partition, int]) -> None:
        for client in self._everyone():
            client.end(End.RESET)
        self._memory = {self._at(one): _Memory(start) for one, start in starts.items()}
        self._next = {self._at(one): start for one, start in starts.items()}
        self.partitions = len({partition for _, partition in starts})
        self.stream_epoch = stream_epoch

    def _dispatch(self, records: Sequence[Message]) -> None:
        for record in records:
            topic, partition = self._at(record_partition(record))
            raw_key, value = record.key(), record.value()
            key = raw_key if isinstance(raw_key, bytes) else b""
            one = Streamed(topic, record_offset(record), record.timestamp()[1], _bytes(value))
            self._memory[topic, partition].add(key, one)
            self._next[topic, partition] = one.offset + 1
            for client in tuple(self._clients.get(key, ())):
                client.offer(one)
            for watcher in self.watchers:
                watcher(key, partition, one)

    def _move(self, positions: Mapping[Partition, int]) -> None:
        for one, position in positions.items():
            self._next[self._at(one)] = position

    def _at(self, partition: Partition) -> tuple[int, int]:
        return self._numbers[partition[0]], partition[1]

    def position(self, user: bytes) -> StreamPosition:
        """Return the position up to which everything of a user was passed on."""
        partition = partition_of(user, self.partitions)
        first, second, third = (self._next[topic, partition] for topic in range(len(TOPICS)))
        return StreamPosition(self.stream_epoch, (first, second, third))

    def join(self, user: bytes, owner: str) -> Client:
        """Add a client, which is behind until `follow`; call `leave` at the end."""
        client = Client(user, owner, self.position(user), self._waiting_max)
        self._clients.setdefault(user, set()).add(client)
        self._owners[owner] = self._owners.get(owner, 0) + 1
        self.count += 1
        self._counted(self.count)
        return client

    def leave(self, client: Client) -> None:
        """Remove a client."""
        listening = self._clients.get(client.user, set())
        if client not in listening:
            return
        listening.discard(client)
        if not listening:
            del self._clients[client.user]
        self._owners[client.owner] -= 1
        if not self._owners[client.owner]:
            del self._owners[client.owner]
        self.count -= 1
        self._counted(self.count)

    def streams_of(self, owner: str) -> int:
        """Return how many streams a principal has."""
        return self._owners.get(owner, 0)

    def follow(self, client: Client) -> list[Streamed] | None:
        """Begin to queue for a client.

        Returns:
            Its records from its position to now, in the order of each topic; None if memory begins
            after its position, and it stays behind.
        """
        partition = partition_of(client.user, self.partitions)
        found: list[Streamed] = []
        for topic, since in enumerate(client.position.offsets):
            memory = self._memory[topic, partition]
            if since < self._next[topic, partition]:
                if since < memory.start:
                    return None
                found += memory.of(client.user, since)
        client.is_behind = False
        return found

    def end(self, why: End) -> None:
        """End every stream."""
        for client in self._everyone():
            client.end(why)

    def _everyone(self) -> list[Client]:
        return [client for clients in self._clients.values() for client in clients]


def _bytes(value: object) -> bytes | None:
    return value if isinstance(value, bytes) else None
