"""What Kafka has about one user.

Owns: reading the user's partition of the outputs for the records with the user's key, and inputs
by their offsets.
Does not own: what follows from them (explain.py).
Invariants: it reads committed records only, in no group, and changes nothing; it says which
offsets it looked at. Everything about a user is in one partition, as outputs go where their input
was; only a record that was sent to a wrong one is elsewhere, so the dead letters of all partitions
are looked at.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException, Message

from pipeline.codec.avro import MAGIC
from pipeline.codec.errors import DecodeError
from pipeline.codec.inputs import InputDecoder
from pipeline.codec.partitioner import partition_of
from pipeline.codec.published import NotPublishedError, PublishedReader, WriterSchemas
from pipeline.codec.schemas import Schema
from pipeline.core.records import (
    AuditEntry,
    DeadLetter,
    Instant,
    PortalUnlocked,
    ProgressUpdated,
    ReconciliationAlert,
)
from pipeline.kafka.committed_log import LOG_LEVEL, REQUEST_TIMEOUT_S, UnreadableLogError
from pipeline.ops.explain.records import Findings, Looked, Place, RawInput

OUTPUTS: Final[Mapping[str, type[Any]]] = {
    "audit": AuditEntry,
    "reconciliation": ReconciliationAlert,
    "deadletters": DeadLetter,
    "portals": PortalUnlocked,
    "progress": ProgressUpdated,
}
SILENCE_S_MAX: Final = 15.0
"""Without anything new for so long, a transaction is taken to be open before the end."""

_AT_ONCE: Final = 5_000
_POLL_S: Final = 0.2
_CONNECT_S: Final = 5.0
_INPUT_S: Final = 0.2
"""All inputs that are read at once may take this long each, and the time to connect, together."""

_NEAR: Final = 200
"""An input this many offsets on is reached by reading, one further on by seeking."""

_NOT_THERE: Final = frozenset(
    {
        KafkaError._PARTITION_EOF,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)

Say = Callable[[str, int | None, int | None], None]
"""Told how far it is: a step, and how much of how much of it is done."""


def unheard(step: str, done: int | None = None, total: int | None = None) -> None:
    """Progress that nobody watches."""


class InputReader:
    """Inputs by their offsets.

    Args:
        client: librdkafka settings that reach the cluster.
        schemas: ours, by record name. writer_schema: asks the registry for the schema of an id.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        schemas: Mapping[str, Schema],
        writer_schema: WriterSchemas,
    ) -> None:
        self._client = client
        self._decoder = InputDecoder(schemas, writer_schema)

    def read(self, places: Sequence[Place]) -> dict[Place, RawInput]:
        """Those that the topics still have.

        Raises:
            UnreadableLogError: the brokers do not answer.
            RegistryUnavailableError: a schema could not be asked for.
        """
        if not places:
            return {}
        consumer = consumer_of(self._client)
        try:
            return {place: self._raw(place, record) for place, record in _each(consumer, places)}
        except KafkaException as error:
            raise UnreadableLogError("the inputs cannot be read", why=str(error)) from error
        finally:
            consumer.close()

    def _raw(self, place: Place, message: Message) -> RawInput:
        value = message.value()
        content = value if isinstance(value, bytes) else None
        append_time = message.timestamp()[1]
        if content and content[0] == MAGIC and len(content) > 4:
            form = f"Avro, schema {int.from_bytes(content[1:5], 'big')}"
        else:
            form = "JSON" if content and content[:1] == b"{" else "unknown"
        form += f", {len(content or b'')} bytes"
        is_command = place.topic.endswith("commands")
        decode = self._decoder.decode_command if is_command else self._decoder.decode_completion
        try:
            return RawInput(append_time, form, decode(content))
        except DecodeError as error:
            return RawInput(append_time, form, None, str(error))


class LogEvidence:
    """Kafka alone, as evidence.

    Args:
        client: as InputReader's.
        prefix: of the topics.
        schemas, writer_schema: as InputReader's.
        since_ms: only what was published at or after this instant; None: all that there is.
            Progress is read whole, as it is the latest state.
        say: told how far it is.

    Raises:
        UnreadableLogError: the brokers do not answer, or a topic is not there.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        prefix: str,
        schemas: Mapping[str, Schema],
        writer_schema: WriterSchemas,
        since_ms: Instant | None = None,
        say: Say = unheard,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._readers = {
            name: PublishedReader(kind, schemas[kind.__name__], writer_schema)
            for name, kind in OUTPUTS.items()
        }
        self._inputs = InputReader(client, schemas, writer_schema)
        self._since_ms = since_ms
        self._say = say
        self.partitions = self._count()

    def partition(self, user_id: str) -> int:
        """The user's."""
        return partition_of(user_id.encode(), self.partitions)

    def findings(self, user_id: str) -> Findings:
        """Everything published about a user; reads a partition of five topics.

        Raises:
            UnreadableLogError: the brokers do not answer.
        """
        home = self.partition(user_id)
        places = [(name, home) for name in OUTPUTS]
        places += [("deadletters", n) for n in range(self.partitions) if n != home]
        consumer = consumer_of(self._client)
        found = Findings()
        unnamed: list[tuple[Place, AuditEntry]] = []
        try:
            looked = [self._stretch(consumer, name, number) for name, number in places]
            key = user_id.encode()
            for message in self._records(consumer, looked):
                self._sort(message, key, found, unnamed)
        except KafkaException as error:
            raise UnreadableLogError("the log cannot be read", why=str(error)) from error
        finally:
            consumer.close()
        refused = {letter.cause for _, letter in found.letters}
        found.audit += [pair for pair in unnamed if pair[1].cause in refused]
        found.looked = looked
        return found

    def inputs(self, places: Sequence[Place]) -> Mapping[Place, RawInput]:
        """Inputs by their places."""
        if places:
            self._say("reading the inputs that these name", None, None)
        return self._inputs.read(places)

    def _count(self) -> int:
        topic = f"{self._prefix}audit"
        consumer = consumer_of(self._client)
        try:
            known = consumer.list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics[topic]
        except KafkaException as error:
            raise UnreadableLogError(
                "the brokers do not answer", why=str(error), fix="check AWAWAY_BOOTSTRAP_SERVERS"
            ) from error
        finally:
            consumer.close()
        if known.error is not None or not known.partitions:
            raise UnreadableLogError(
                f"there is no topic {topic}", fix="check AWAWAY_TOPIC_PREFIX", topic=topic
            )
        return len(known.partitions)

    def _stretch(self, consumer: Any, name: str, partition: int) -> Looked:
        topic = f"{self._prefix}{name}"
        low, high = consumer.get_watermark_offsets(
            ck.TopicPartition(topic, partition), REQUEST_TIMEOUT_S
        )
        since_ms = None if name == "progress" else self._since_ms
        if since_ms is not None:
            (found,) = consumer.offsets_for_times(
                [ck.TopicPartition(topic, partition, since_ms)], REQUEST_TIMEOUT_S
            )
            low = high if found.offset < 0 else max(low, found.offset)
        return Looked(topic, partition, low, high, since_ms)

    def _records(self, consumer: Any, looked: list[Looked]) -> Iterator[Message]:
        """Every record of the stretches; those that could not be read to their end say so."""
        open_ones = {
            (one.topic, one.partition): one for one in looked if one.first < one.next_offset
        }
        positions = {place: one.first for place, one in open_ones.items()}
        total = sum(one.next_offset - one.first for one in looked)
        consumer.assign([ck.TopicPartition(*place, at) for place, at in positions.items()])
        heard_s = time.monotonic()
        while open_ones:
            for message in consumer.consume(_AT_ONCE, _POLL_S):
                place = (str(message.topic()), int(message.partition() or 0))
                one = open_ones.get(place)
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if one is None:
                    continue
                at = int(message.offset() or 0)
                if at > positions[place] or error is None:
                    heard_s = time.monotonic()
                positions[place] = max(positions[place], at + (error is None))
                if positions[place] >= one.next_offset:
                    del open_ones[place]
                if error is None:
                    yield message
            read = total - sum(one.next_offset - positions[at] for at, one in open_ones.items())
            self._say("reading the log", read, total)
            if time.monotonic() - heard_s > SILENCE_S_MAX:
                break
        for place, one in open_ones.items():
            note = f"read to {positions[place]} only: a transaction is open there"
            looked[looked.index(one)] = Looked(
                *place, one.first, one.next_offset, one.since_ms, note
            )

    def _sort(
        self,
        message: Message,
        key: bytes,
        found: Findings,
        unnamed: list[tuple[Place, AuditEntry]],
    ) -> None:
        name = str(message.topic()).removeprefix(self._prefix)
        own = message.key()
        value = message.value()
        if not isinstance(value, bytes) or (own != key and not (own is None and name == "audit")):
            if own == key and name == "progress":
                found.progress = None  # erased
            return
        place = Place(
            str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
        )
        try:
            record = self._readers[name].read(value)
        except NotPublishedError:
            return  # whoever reads the topic first has said so
        if isinstance(record, AuditEntry):
            (found.audit if own is not None else unnamed).append((place, record))
        elif isinstance(record, ReconciliationAlert):
            found.alerts.append((place, record))
        elif isinstance(record, DeadLetter):
            found.letters.append((place, record))
        elif isinstance(record, PortalUnlocked):
            found.portals.append((place, record))
        elif isinstance(record, ProgressUpdated):
            before = found.progress
            if before is None or record.revision >= before[1].revision:
                found.progress = (place, record)


def consumer_of(client: Mapping[str, Any]) -> Any:
    """A consumer of committed records, without a group."""
    return ck.Consumer(
        {
            "log_level": LOG_LEVEL,
            "fetch.wait.max.ms": 50,
            **client,
            "client.id": "awaway-explain",
            "group.id": "awaway-explain",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.message.max.bytes": 16 << 20,
        }
    )


def _each(consumer: Any, places: Sequence[Place]) -> Iterator[tuple[Place, Message]]:
    """Records by their places, in the order of the log."""
    at: tuple[str, int, int] | None = None
    deadline_s = time.monotonic() + _CONNECT_S + _INPUT_S * len(places)
    for place in sorted(set(places)):
        reached = at is not None and at[:2] == (place.topic, place.partition)
        if not reached or at is None or not 0 <= place.offset - at[2] <= _NEAR:
            consumer.assign([ck.TopicPartition(place.topic, place.partition, place.offset)])
        message = _until(consumer, place, deadline_s)
        at = (place.topic, place.partition, place.offset + 1) if message is not None else None
        if message is not None:
            yield place, message


def _until(consumer: Any, place: Place, deadline_s: float) -> Message | None:
    """The record of a place, reading on to it; None where there is none.

    Raises:
        UnreadableLogError: neither was told by the deadline.
    """
    while time.monotonic() < deadline_s:
        for message in consumer.consume(1, _POLL_S):
            error = message.error()
            if error is not None and error.code() not in _NOT_THERE:
                raise KafkaException(error)
            if error is not None or message.offset() > place.offset:
                return None
            if message.offset() == place.offset:
                return message  # type: ignore[no-any-return]
    raise UnreadableLogError(
        "the inputs cannot be read",
        why="the brokers did not answer for the partition in time",
        fix="see whether they run, and ask again",
        topic=place.topic,
    )
