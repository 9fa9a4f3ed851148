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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, cast

import confluent_kafka as ck
import structlog
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from pipeline.codec.errors import RegistryUnavailableError

Place = tuple[str, int]
"""Full name of a topic, and partition."""

RECORDS_AT_ONCE: Final = 2_000
_POLL_S: Final = 0.2
_REQUEST_TIMEOUT_S: Final = 10.0
_ANSWER_S: Final = _REQUEST_TIMEOUT_S + 2.0
_AGAIN_S: Final = 1.0
_JOIN_S: Final = 5.0
_log = structlog.get_logger("awaway.api.following")
_client_log = logging.getLogger("awaway.api.kafka")
_LOG_LEVEL: Final = 4
"""Of clients that ask once: warnings, not what they say as they end."""
_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class Log(NamedTuple):
    """What the topics have when reading begins.

    Attributes:
        firsts: the earliest offset of each place. ends: the last stable one.
        topic_ids: by name; a topic that was made again has another.
    """

    firsts: Mapping[Place, int]
    ends: Mapping[Place, int]
    topic_ids: Mapping[str, str]


class Follower(Protocol):
    """Takes in what was read; called on the thread that reads."""

    def begin(self, log: Log) -> Mapping[Place, int]:
        """Where to read on; also called when reading has to begin anew.

        Args:
            log: what there is to read.

        Returns:
            The next offset by place; the earliest there is where a place is left out.
        """
        ...

    def take(self, records: Sequence[Message], positions: Mapping[Place, int]) -> None:
        """Take in records, in the order of each partition.

        Args:
            positions: the next offset of each place that moved.
        """
        ...

    def caught_up(self) -> None:
        """Every place was just read to its end."""
        ...


@dataclass(frozen=True, slots=True)
class Followed:
    """What is read.

    Attributes:
        client: librdkafka settings that reach the cluster.
        name: of the thread, and in the client's id.
        topics: full names.
    """

    client: Mapping[str, Any]
    name: str
    topics: tuple[str, ...]


class TopicThread:
    """Reads until it is stopped; a Service.

    Args:
        follower: is given what was read.
    """

    def __init__(self, followed: Followed, follower: Follower) -> None:
        self._followed = followed
        self._follower = follower
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=followed.name, daemon=True)
        self._at_end: set[Place] = set()
        self.places: tuple[Place, ...] = ()

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
            except (KafkaException, RegistryUnavailableError) as error:
                _log.warning("reading is interrupted", name=self._followed.name, reason=str(error))
                self._stopping.wait(_AGAIN_S)
            except Exception:  # noqa: BLE001 - a thread that dies unseen leaves its reader behind
                _log.exception("reading failed and begins anew", name=self._followed.name)
                self._stopping.wait(_AGAIN_S)

    def _read(self) -> None:
        consumer = ck.Consumer(
            {
                "queued.max.messages.kbytes": 32_768,
                **self._followed.client,
                "client.id": f"awaway-api-{self._followed.name}",
                "group.id": "awaway-api",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            },
            logger=_client_log,
        )
        try:
            self._assign(consumer)
            while not self._stopping.is_set():
                self._step(consumer)
        finally:
            consumer.close()

    def _assign(self, consumer: Any) -> None:
        known = consumer.list_topics(timeout=_REQUEST_TIMEOUT_S).topics
        missing = [name for name in self._followed.topics if name not in known]
        if missing:
            reason = f"topics that are not there: {', '.join(missing)}"
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, reason))
        self.places = tuple(
            (name, number) for name in self._followed.topics for number in known[name].partitions
        )
        client = self._followed.client
        starts = self._follower.begin(
            Log(
                offsets_of(client, self.places, _EARLIEST),
                offsets_of(client, self.places, _LATEST),
                topic_ids(client, self._followed.topics),
            )
        )
        self._at_end.clear()
        consumer.assign(
            [
                ck.TopicPartition(*place, starts.get(place, ck.OFFSET_BEGINNING))
                for place in self.places
            ]
        )

    def _step(self, consumer: Any) -> None:
        polled = consumer.consume(1, _POLL_S)
        if polled:
            polled += consumer.consume(RECORDS_AT_ONCE - 1, 0)
        records: list[Message] = []
        positions: dict[Place, int] = {}
        for record in polled:
            place = (record.topic(), record.partition())
            error = record.error()
            if error is None:
                records.append(record)
                positions[place] = record.offset() + 1
                self._at_end.discard(place)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._at_end.add(place)
                positions[place] = record.offset()
            elif error.fatal():
                raise KafkaException(error)
            else:
                _log.warning("kafka", name=self._followed.name, reason=error.str())
        if positions:
            self._take(records, positions)
        if len(self._at_end) == len(self.places):
            self._follower.caught_up()

    def _take(self, records: list[Message], positions: Mapping[Place, int]) -> None:
        while True:
            try:
                self._follower.take(records, positions)
                return
            except RegistryUnavailableError as error:
                _log.warning("waiting for the registry", reason=str(error))
                if self._stopping.wait(_AGAIN_S):
                    return


def offsets_of(
    client: Mapping[str, Any], places: Sequence[Place], wanted: OffsetSpec
) -> dict[Place, int]:
    """One offset of each place, as a reader of committed records sees it.

    Args:
        wanted: the end, or the first record of an instant or later; −1 where there is none.

    Raises:
        KafkaException: the brokers did not say.
    """
    # Held by a name: a client that nobody holds is closed, and answers nothing.
    admin = AdminClient({**client, "log_level": _LOG_LEVEL})
    asked = admin.list_offsets(
        {ck.TopicPartition(*place): wanted for place in places},
        isolation_level=ck.IsolationLevel.READ_COMMITTED,
        request_timeout=_REQUEST_TIMEOUT_S,
    )
    return {
        (place.topic, place.partition): cast(int, future.result(_ANSWER_S).offset)
        for place, future in asked.items()
    }


def topic_ids(client: Mapping[str, Any], topics: Sequence[str]) -> dict[str, str]:
    """The UUID of each topic.

    Raises:
        KafkaException: the brokers did not say.
    """
    admin = AdminClient({**client, "log_level": _LOG_LEVEL})
    asked = admin.describe_topics(
        ck.TopicCollection(list(topics)), request_timeout=_REQUEST_TIMEOUT_S
    )
    return {name: str(future.result(_ANSWER_S).topic_id) for name, future in asked.items()}
