"""What Kafka has about one user.

Owns: reading the user's partition of the outputs for the records with the user's key, and inputs
by their offsets.
Does not own: what follows from them (explain.py).
Invariants: it reads committed records only, in no group, and changes nothing; it says which
offsets it looked at. Everything about a user is in one partition, as outputs go where their input
was; only a record that was sent to a wrong one is elsewhere, so the dead letters of all partitions
are looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from confluent_kafka import KafkaError, Message
from msgspec.structs import replace

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
    RecordCoordinates,
)
from pipeline.kafka.by_offset import POINT_BYTES, each_of
from pipeline.kafka.committed_log import LOG_LEVEL
from pipeline.kafka.errors import UnreadableLogError
from pipeline.kafka.ranges import read_ranges
from pipeline.kafka.reader import Reader, record_offset, record_partition
from pipeline.ops.explain.records import Findings, Looked, RawInput
from pipeline.ops.progress import Say, unheard

OUTPUTS: Final[Mapping[str, type[Any]]] = {
    "audit": AuditEntry,
    "reconciliation": ReconciliationAlert,
    "deadletters": DeadLetter,
    "portals": PortalUnlocked,
    "progress": ProgressUpdated,
}


class InputReader:
    """Inputs by their offsets.

    Args:
        client: librdkafka settings that reach the cluster.
        schemas: ours, by record name. writer_schema: asks the registry for the schema of an id.

    Attributes:
        decoder: also for what a redrive carries.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        schemas: Mapping[str, Schema],
        writer_schema: WriterSchemas,
    ) -> None:
        self._client = client
        self.decoder = InputDecoder(schemas, writer_schema)

    def read(self, wanted: Sequence[RecordCoordinates]) -> dict[RecordCoordinates, RawInput]:
        """Those that the topics still have.

        Raises:
            UnreadableLogError: the brokers do not answer.
            RegistryUnavailableError: a schema could not be asked for.
        """
        if not wanted:
            return {}
        with reader_of(self._client, POINT_BYTES) as reader:
            return {one: self._raw(one, record) for one, record in each_of(reader, wanted)}

    def _raw(self, coordinates: RecordCoordinates, message: Message) -> RawInput:
        value = message.value()
        content = value if isinstance(value, bytes) else None
        append_time = message.timestamp()[1]
        if content and content[0] == MAGIC and len(content) > 4:
            form = f"Avro, schema {int.from_bytes(content[1:5], 'big')}"
        else:
            form = "JSON" if content and content[:1] == b"{" else "unknown"
        form += f", {len(content or b'')} bytes"
        is_command = coordinates.topic.endswith("commands")
        decode = self.decoder.decode_command if is_command else self.decoder.decode_completion
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

    def findings(self, user_id: str, day: date | None = None) -> Findings:  # noqa: ARG002
        """Everything published about a user, of all days; reads a partition of five topics.

        Raises:
            UnreadableLogError: the brokers do not answer.
        """
        home = self.partition(user_id)
        read = [(name, home) for name in OUTPUTS]
        read += [("deadletters", n) for n in range(self.partitions) if n != home]
        found = Findings()
        unnamed: list[tuple[RecordCoordinates, AuditEntry]] = []
        with reader_of(self._client) as reader:
            looked = self._ranges(reader, read)
            key = user_id.encode()
            for message in self._records(reader, looked):
                self._sort(message, key, found, unnamed)
        refused = {letter.cause for _, letter in found.letters}
        found.audit += [pair for pair in unnamed if pair[1].cause in refused]
        found.looked = looked
        return found

    def inputs(self, wanted: Sequence[RecordCoordinates]) -> Mapping[RecordCoordinates, RawInput]:
        """Inputs by their coordinates."""
        if wanted:
            self._say("reading the inputs that these name", None, None)
        return self._inputs.read(wanted)

    def _count(self) -> int:
        topic = f"{self._prefix}audit"
        with reader_of(self._client) as reader:
            try:
                return len(reader.partitions([topic]))
            except UnreadableLogError as error:
                if error.code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
                raise UnreadableLogError(
                    f"there is no topic {topic}", fix="check AWAWAY_TOPIC_PREFIX", topic=topic
                ) from error

    def _ranges(self, reader: Reader, read: Sequence[tuple[str, int]]) -> list[Looked]:
        """From where to where each partition is read."""
        partitions = [(f"{self._prefix}{name}", number) for name, number in read]
        lows, highs = reader.starts(partitions), reader.ends(partitions)
        since_ms = self._since_ms
        if since_ms is None:
            return [Looked(*one, lows[one], highs[one], None) for one in partitions]
        latest_state = f"{self._prefix}progress"
        bounded = [one for one in partitions if one[0] != latest_state]
        for one, at in reader.since(bounded, since_ms).items():
            lows[one] = highs[one] if at < 0 else max(lows[one], at)
        return [
            Looked(*one, lows[one], highs[one], None if one[0] == latest_state else since_ms)
            for one in partitions
        ]

    def _records(self, reader: Reader, looked: list[Looked]) -> Iterator[Message]:
        """Every record of the ranges; those that could not be read to their end say so."""
        by_partition = {(one.topic, one.partition): one for one in looked}
        stuck = yield from read_ranges(
            reader,
            {one: (its.first, its.next_offset) for one, its in by_partition.items()},
            lambda done, total: self._say("reading the log", done, total),
        )
        for one, position in stuck.items():
            its = by_partition[one]
            looked[looked.index(its)] = replace(its, note=stuck_at(position))

    def _sort(
        self,
        message: Message,
        key: bytes,
        found: Findings,
        unnamed: list[tuple[RecordCoordinates, AuditEntry]],
    ) -> None:
        name = str(message.topic()).removeprefix(self._prefix)
        own = message.key()
        value = message.value()
        if not isinstance(value, bytes) or (own != key and not (own is None and name == "audit")):
            if own == key and name == "progress":
                found.progress = None  # erased
            return
        coordinates = RecordCoordinates(*record_partition(message), record_offset(message))
        try:
            record = self._readers[name].read(value)
        except NotPublishedError:
            return  # whoever reads the topic first has said so
        if own is None and isinstance(record, AuditEntry):
            unnamed.append((coordinates, record))
        elif isinstance(record, ProgressUpdated):
            before = found.progress
            if before is None or record.revision >= before[1].revision:
                found.progress = (coordinates, record)
        else:
            found.add(coordinates, record)


def stuck_at(position: int) -> str:
    """What is said of a partition that was read up to a position before its end."""
    return f"read to {position} only: a transaction is open there"


def reader_of(client: Mapping[str, Any], fetch_bytes: int = 16 << 20) -> Reader:
    """A reader of committed records, which fetches so many bytes of a partition at once."""
    return Reader(
        {
            "log_level": LOG_LEVEL,
            "fetch.wait.max.ms": 50,
            **client,
            "client.id": "awaway-explain",
            "fetch.message.max.bytes": fetch_bytes,
        },
        "awaway-explain",
    )
