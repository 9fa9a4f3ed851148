"""Records as they are published, to those who listen.

Owns: the list of clients, what each has waiting, the last records of each partition in memory.
Does not own: reading the topics (tail.py), what an event says (events.py), HTTP
(live.py).

Invariants:
- One consumer serves all clients. A client that listens from a place gets every record of its user
  from there on, in the order of each topic. While it is further back than memory it is *behind*: it
  is given nothing here, and reads the topic (replay.py) until `follow` finds the rest in
  memory; that and what comes later meet without a gap, as the event loop does it in one step.
- Clients, what waits for each, and what is remembered are bounded. A client that does not keep up
  is dropped; what it was not sent is above the id that it was sent last, so it can resume.
- Only the event loop touches clients and memory; the thread that reads hands over one batch at a
  time and waits until it was taken.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Final

from confluent_kafka import Message

from pipeline.api.live.events import TOPICS, Place, Streamed, epoch_of
from pipeline.codec.partitioner import partition_of
from pipeline.kafka.reader import Partition, record_offset, record_partition
from pipeline.kafka.tail import Log

REMEMBERED_MAX: Final = 500
"""Records of each partition kept in memory, for clients that come back soon."""

RECORDS_AT_ONCE: Final = 100
_HAND_OVER_S: Final = 5.0


class End(StrEnum):
    """Why a stream ended."""

    SHUTDOWN = "shutdown"
    SLOW = "slow"
    LONG = "long-enough"
    RESET = "reset"
    GONE = "gone"


class Client:
    """One who listens. Event loop only.

    Args:
        user: key of the records.
        owner: the principal; their streams are counted together.
        place: where it stands: all below was sent, or is of no use to it.

    Attributes:
        is_behind: what it missed is not in memory, so nothing is queued for it yet.
        ended: why it gets no more; None while it does. over: set when it has ended.
    """

    def __init__(self, user: bytes, owner: str, place: Place, waiting_max: int) -> None:
        self.user = user
        self.owner = owner
        self.place = place
        self.is_behind = True
        self.ended: End | None = None
        self.over = asyncio.Event()
        self._waiting: deque[Streamed] = deque()
        self._waiting_max = waiting_max
        self._woken = asyncio.Event()

    def offer(self, one: Streamed) -> None:
        """Queue a record; a client with too many waiting is dropped."""
        if self.ended is not None or self.is_behind:
            return
        if one.offset < self.place.offsets[one.topic]:
            return
        if len(self._waiting) >= self._waiting_max:
            self._waiting.clear()
            self.end(End.SLOW)
            return
        self._waiting.append(one)
        self._woken.set()

    def end(self, why: End) -> None:
        """Give it nothing more than what waits."""
        if self.ended is None:
            self.ended = why
        self.over.set()
        self._woken.set()

    async def next(self, wait_s: float) -> list[Streamed]:
        """What waits; empty after `wait_s` without anything, and when it has ended."""
        if not self._waiting and self.ended is None:
            self._woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
        found = list(self._waiting)
        self._waiting.clear()
        return found


class _Memory:
    """The last records of one partition of one topic: all from `start` on."""

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
    """A Follower of TOPICS that passes them on.

    Args:
        prefix: of the topics.
        waiting_max: records that wait for one client.
        counted: told how many clients there are.
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
        self.epoch = ""
        self.partitions = 0
        self.count = 0
        self.watchers: list[Callable[[bytes, int, Streamed], None]] = []
        """Told the key, the partition and each record, whoever listens; event loop; quick."""
        self.at_end: list[Callable[[], None]] = []
        """Called once, when everything until now has come; event loop."""

    @property
    def topics(self) -> tuple[str, ...]:
        """Full names, in the order of TOPICS."""
        return tuple(self._numbers)

    @property
    def is_ready(self) -> bool:
        """Whether it knows where the topics end."""
        return bool(self.epoch)

    # --- following, on the thread that reads -----------------------------------------------------

    def begin(self, log: Log) -> Mapping[Partition, int]:
        """Where it stopped; at first a little before the end, to have something in memory."""
        epoch = epoch_of(log.topic_ids)
        if epoch != self.epoch:
            self._read_to = {
                one: max(log.firsts[one], end - REMEMBERED_MAX) for one, end in log.ends.items()
            }
            self._hand_over(self._reset, epoch, dict(self._read_to))
        return dict(self._read_to)

    def take(self, records: Sequence[Message], positions: Mapping[Partition, int]) -> None:
        """Pass records on, a few at a time, so that clients send what they have in between."""
        for start in range(0, len(records), RECORDS_AT_ONCE):
            self._hand_over(self._dispatch, records[start : start + RECORDS_AT_ONCE])
        self._hand_over(self._move, dict(positions))
        self._read_to.update(positions)

    def caught_up(self) -> None:
        """Everything until now has come."""
        waiting, self.at_end = self.at_end, []
        for each in waiting:
            self._hand_over(each)

    def bind(self) -> None:
        """Say which event loop serves; called on it, before the thread starts."""
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

    def _reset(self, epoch: str, starts: Mapping[Partition, int]) -> None:
        for client in self._everyone():
            client.end(End.RESET)
        self._memory = {self._at(one): _Memory(start) for one, start in starts.items()}
        self._next = {self._at(one): start for one, start in starts.items()}
        self.partitions = len({partition for _, partition in starts})
        self.epoch = epoch

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

    def place(self, user: bytes) -> Place:
        """Up to where everything of a user was passed on."""
        partition = partition_of(user, self.partitions)
        first, second, third = (self._next[topic, partition] for topic in range(len(TOPICS)))
        return Place(self.epoch, (first, second, third))

    def join(self, user: bytes, owner: str) -> Client:
        """Be counted as one who listens, behind until `follow`; end with `leave`."""
        client = Client(user, owner, self.place(user), self._waiting_max)
        self._clients.setdefault(user, set()).add(client)
        self._owners[owner] = self._owners.get(owner, 0) + 1
        self.count += 1
        self._counted(self.count)
        return client

    def leave(self, client: Client) -> None:
        """Listen no more."""
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
        """How many streams a principal has."""
        return self._owners.get(owner, 0)

    def follow(self, client: Client) -> list[Streamed] | None:
        """Queue for a client from now on.

        Returns:
            Its records from its place to now, in the order of each topic; None where memory begins
            later, and it stays behind.
        """
        partition = partition_of(client.user, self.partitions)
        found: list[Streamed] = []
        for topic, since in enumerate(client.place.offsets):
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
