"""What Kafka has about dead letters.

Owns: reading letters, the requests about them in `commands`, and what became of those in `audit`.
Does not own: what a letter is (letters.py), what follows from requests (handled.py).
Invariants: committed records only, in no group, and nothing is changed. Letters come one at a time,
those of a partition in their order: nothing here grows with their number.

Requests are found by their ids, which follow from the letters (letters.py): a record without such
an id in its bytes is not decoded.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import Message

from pipeline.codec.errors import DecodeError
from pipeline.codec.inputs import InputDecoder
from pipeline.codec.published import NotPublishedError, PublishedReader, WriterSchemas
from pipeline.codec.schemas import Schema
from pipeline.core.records import AuditEntry, Command, DeadLetter, Instant, RecordCoordinates
from pipeline.errors import AwawayError, UsageError
from pipeline.kafka.by_offset import each_of
from pipeline.kafka.errors import UnreadableLogError
from pipeline.kafka.ranges import SILENCE_S_MAX, read_ranges
from pipeline.kafka.reader import Partition, Reader, record_offset, record_partition
from pipeline.ops.deadletters.letters import (
    KINDS,
    Letter,
    Place,
    Wanted,
    is_about,
    origin_of,
    request_of,
)
from pipeline.ops.explain.log import reader_of
from pipeline.ops.progress import Say

TOPIC: Final = "deadletters"
CLOCKS_MS: Final = 600_000
"""By how much the clocks of brokers and workers may differ for what is looked for by time."""

_MARKS: Final = (b"redrive-", b"discard-")


class NoLetterError(AwawayError):
    """There is no dead letter at a place.

    **Operator action**: take the place from `awaway deadletters list`; a letter that is older than
    the topic's retention is gone, and its input is still in its own topic.
    """


class Sent(NamedTuple):
    """A request about a letter, as it lies in the log."""

    command: Command
    place: RecordCoordinates
    append_time: Instant


class DeadLetterLog:
    """Reads what Kafka has about dead letters.

    Args:
        client: librdkafka settings that reach the cluster.
        prefix: of the topics.
        schemas: ours, by record name. writer_schema: the schema of an id, by the registry.

    Attributes:
        unreadable: how many records of the topic of dead letters were passed over, as none.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        prefix: str,
        schemas: Mapping[str, Schema],
        writer_schema: WriterSchemas,
    ) -> None:
        self.client = client
        self.prefix = prefix
        self.decoder = InputDecoder(schemas, writer_schema)
        self._letters = PublishedReader(DeadLetter, schemas["DeadLetter"], writer_schema)
        self._entries = PublishedReader(AuditEntry, schemas["AuditEntry"], writer_schema)
        self.unreadable = 0

    def letters(self, wanted: Wanted, say: Say) -> Iterator[Letter]:
        """The letters that are wanted, whatever was done about them, of each partition in order.

        Raises:
            UnreadableLogError: the brokers do not answer.
            RegistryError: a schema is not known.
            UsageError: a partition is not there.
        """
        with reader_of(self.client) as reader:
            chosen = _chosen(self._partitions(reader, TOPIC), wanted)
            since_ms = None if wanted.since_ms is None else wanted.since_ms - CLOCKS_MS
            for message in self._since(reader, chosen, since_ms, say, "reading dead letters"):
                letter = self._letter(message)
                if letter is not None and wanted.matches(letter):
                    yield letter

    def at(self, places: Collection[Place]) -> dict[Place, Letter]:
        """Letters by their places.

        Raises:
            NoLetterError: one is not there.
            UnreadableLogError, RegistryError: as of `letters`.
        """
        topic = f"{self.prefix}{TOPIC}"
        wanted = [RecordCoordinates(topic, *place) for place in places]
        found = {}
        with reader_of(self.client) as reader:
            for coordinates, message in each_of(reader, wanted):
                letter = self._letter(message)
                if letter is not None:
                    found[Place(coordinates.partition, coordinates.offset)] = letter
        missing = [str(place) for place in places if place not in found]
        if missing:
            raise NoLetterError(
                f"there is no dead letter at {', '.join(missing[:10])}",
                why=f"it is gone from {topic}, or was never there",
                fix="`awaway deadletters list` shows those that there are",
            )
        return found

    def requests(self, since_ms: Instant | None, say: Say) -> Iterator[Sent]:
        """The requests about letters, of each partition in its order.

        Args:
            since_ms: of letters whose inputs were appended from then on.
        """
        step = "reading what was done about them"
        with reader_of(self.client) as reader:
            there = self._partitions(reader, "commands")
            for message in self._since(reader, there, since_ms, say, step):
                command = self._command(message)
                if command is not None:
                    place = RecordCoordinates(*record_partition(message), record_offset(message))
                    yield Sent(command, place, message.timestamp()[1])

    def entries(self, since_ms: Instant, say: Say) -> Iterator[AuditEntry]:
        """What became of requests about letters, of each partition in its order.

        Args:
            since_ms: append time of the first of these requests.
        """
        step = "reading what became of it"
        with reader_of(self.client) as reader:
            there = self._partitions(reader, "audit")
            for message in self._since(reader, there, since_ms - CLOCKS_MS, say, step):
                value = message.value() or b""
                if not _is_marked(value):
                    continue
                try:
                    entry = self._entries.read(value)
                except NotPublishedError:
                    continue  # whoever reads the topic first has said so
                if is_about(entry.action, entry.cause.id):
                    yield entry

    def pages(self) -> "Reader":
        """A reader for pages of letters; to be closed by who asks."""
        return reader_of(self.client)

    def _partitions(self, reader: Reader, name: str) -> list[Partition]:
        return sorted(reader.partitions([f"{self.prefix}{name}"]))

    def _since(
        self,
        reader: Reader,
        partitions: list[Partition],
        since_ms: Instant | None,
        say: Say,
        step: str,
    ) -> Iterator[Message]:
        """Every committed record of some partitions, up to the ends of now."""
        starts, ends = reader.starts(partitions), reader.ends(partitions)
        if since_ms is not None:
            for one, at in reader.since(partitions, max(0, since_ms)).items():
                starts[one] = ends[one] if at < 0 else max(starts[one], at)
        stuck = yield from read_ranges(
            reader,
            {one: (starts[one], ends[one]) for one in partitions},
            lambda done, total: say(step, done, total),
        )
        if stuck:
            raise UnreadableLogError(
                "dead letters could not be read to their end",
                why=f"{step}: nothing came for {SILENCE_S_MAX:.0f} s of {sorted(stuck)}",
                fix="look for a transaction that nobody ended",
            )

    def letter_of(self, message: Message) -> Letter | None:
        """What a record of the topic says; None where it is no dead letter."""
        return self._letter(message)

    def _letter(self, message: Message) -> Letter | None:
        try:
            record = self._letters.read(message.value() or b"")
        except NotPublishedError:
            self.unreadable += 1
            return None
        topic, partition = record_partition(message)
        return Letter(
            topic,
            Place(partition, record_offset(message)),
            message.timestamp()[1],
            record,
            origin_of(record, self.decoder.decode_command),
        )

    def _command(self, message: Message) -> Command | None:
        """A request about a letter; None where a record is none."""
        value = message.value() or b""
        if not _is_marked(value):
            return None
        try:
            command = self.decoder.decode_command(value)
        except DecodeError:
            return None
        found = request_of(command.request_id)
        return None if found is None or command.kind != KINDS[found[0]] else command


def _chosen(there: list[Partition], wanted: Wanted) -> list[Partition]:
    if wanted.partitions is None:
        return there
    if missing := wanted.partitions - {number for _, number in there}:
        raise UsageError(
            f"there is no partition {', '.join(map(str, sorted(missing)))}",
            fix=f"they are 0 to {len(there) - 1}",
        )
    return [one for one in there if one[1] in wanted.partitions]


def _is_marked(value: bytes) -> bool:
    return any(mark in value for mark in _MARKS)
