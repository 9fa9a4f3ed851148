"""Reading several topics as they grow, one consumer for all of them.

Owns: the thread and its consumer, where it begins, what it does when brokers are away.
Does not own: what becomes of the records (whoever follows), the topic of progress (materialise.py).
Invariants: only committed records are given, in the order of each partition, each with the position
that follows it. A batch that its follower has taken is not given again within a process; after a
start, reading goes on from the positions that the follower kept, so a follower that keeps them with
what they stand for sees every record once.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import structlog
from confluent_kafka import Message

from pipeline.codec.errors import RegistryUnavailableError
from pipeline.kafka.admin import Admin
from pipeline.kafka.errors import UnreadableLogError
from pipeline.kafka.reader import FROM_THE_START, Partition, Reader

RECORDS_AT_ONCE: Final = 2_000
_POLL_S: Final = 0.2
_REQUEST_TIMEOUT_S: Final = 10.0
_AGAIN_S: Final = 1.0
_JOIN_S: Final = 5.0
_LOG_LEVEL: Final = 4
"""Log level of an admin client that asks once: warnings, but not what it logs as it ends."""


class Log(NamedTuple):
    """What the topics have when reading begins.

    Attributes:
        firsts: the earliest offset of each partition. ends: the last stable one.
        topic_ids: by name; a topic that was made again has another.
        since: asks for the first offset of some partitions at or after an instant, ms since 1970;
            −1 where there is none. It raises UnreadableLogError where the brokers do not say.
    """

    firsts: Mapping[Partition, int]
    ends: Mapping[Partition, int]
    topic_ids: Mapping[str, str]
    since: Callable[[Sequence[Partition], int], Mapping[Partition, int]]


class Follower(Protocol):
    """Takes in what was read; called on the thread that reads."""

    def begin(self, log: Log) -> Mapping[Partition, int]:
        """Where to read on; also called when reading has to begin anew.

        Args:
            log: what there is to read.

        Returns:
            The next offset by partition; the earliest there is where a partition is left out.
        """
        ...

    def take(self, records: Sequence[Message], positions: Mapping[Partition, int]) -> None:
        """Take in records, in the order of each partition.

        Args:
            positions: the next offset of each partition that moved.
        """
        ...

    def caught_up(self) -> None:
        """Every partition was just read to its end."""
        ...


@dataclass(frozen=True, slots=True)
class Followed:
    """What is read, and under which names.

    Attributes:
        client: librdkafka settings that reach the cluster.
        name: the thread's; the client id ends with it.
        topics: full names.
        group_id: the consumer joins no group, but brokers and access lists see the name; the client
            id begins with it.
        logger: the thread logs as `following` below this name, and its client as `kafka`.
    """

    client: Mapping[str, Any]
    name: str
    topics: tuple[str, ...]
    group_id: str = "awaway-api"
    logger: str = "awaway.api"


class TopicThread:
    """Reads until it is stopped; a Service.

    Args:
        follower: is given what was read.
    """

    def __init__(self, followed: Followed, follower: Follower) -> None:
        self._followed = followed
        self._follower = follower
        self._log = structlog.get_logger(f"{followed.logger}.following")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=followed.name, daemon=True)

    async def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    async def stop(self) -> None:
        """End after the batch in hand."""
        self._stopping.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _JOIN_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read()
            except (UnreadableLogError, RegistryUnavailableError) as error:
                self._log.warning(
                    "reading is interrupted", name=self._followed.name, reason=str(error)
                )
                self._stopping.wait(_AGAIN_S)
            except Exception:  # noqa: BLE001 - a thread that dies unseen leaves its reader behind
                self._log.exception("reading failed and begins anew", name=self._followed.name)
                self._stopping.wait(_AGAIN_S)

    def _read(self) -> None:
        settings = {
            "queued.max.messages.kbytes": 32_768,
            "auto.offset.reset": "earliest",
            **self._followed.client,
            "client.id": f"{self._followed.group_id}-{self._followed.name}",
        }
        with Reader(
            settings,
            self._followed.group_id,
            timeout_s=_REQUEST_TIMEOUT_S,
            is_patient=True,
            logger=logging.getLogger(f"{self._followed.logger}.kafka"),
        ) as reader:
            positions = self._begin(reader)
            while not self._stopping.is_set():
                polled = reader.poll(RECORDS_AT_ONCE, _POLL_S)
                if moved := polled.positions():
                    self._take(polled.records, moved)
                    positions.update(moved)
                if positions == reader.reached:
                    self._follower.caught_up()

    def _begin(self, reader: Reader) -> dict[Partition, int]:
        """Read from where the follower says; gives the positions, −1 where nothing was read yet."""
        partitions = reader.partitions(self._followed.topics)
        admin = Admin({**self._followed.client, "log_level": _LOG_LEVEL}, _REQUEST_TIMEOUT_S)
        firsts, ends = reader.starts(partitions), reader.ends(partitions)
        # Asked last: the offsets may be those of a topic before it was made again, as its follower
        # begins anew under another id; those of a new topic never come under the old one's id.
        topics = admin.topics(self._followed.topics)
        topic_ids = {name: topic.topic_id for name, topic in topics.items()}
        starts = self._follower.begin(Log(firsts, ends, topic_ids, reader.since))
        reader.assign({one: starts.get(one, FROM_THE_START) for one in partitions})
        return dict.fromkeys(partitions, -1)

    def _take(self, records: list[Message], positions: Mapping[Partition, int]) -> None:
        while True:
            try:
                self._follower.take(records, positions)
                return
            except RegistryUnavailableError as error:
                self._log.warning("waiting for the registry", reason=str(error))
                if self._stopping.wait(_AGAIN_S):
                    return
