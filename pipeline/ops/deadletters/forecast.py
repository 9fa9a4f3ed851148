"""What the pipeline would say now of the inputs behind dead letters.

Owns: gathering what is known of their users, as far as a verdict depends on it.
Does not own: the verdicts, which are those of `awaway validate` (ops/validate/verdicts.py), users'
states (ops/adjust/user_state.py).
Invariants: nothing is sent or kept. Letters are judged in their order, each over what those before
it would leave behind, as a redrive of now is: by the time at which its input first came. Only what
comes in between, or what counted by a repair, can make the worker say something else.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Message

from pipeline.codec.errors import DecodeError
from pipeline.codec.inputs import InputDecoder
from pipeline.codec.partitioner import partition_of
from pipeline.codec.published import NotPublishedError, PublishedReader, WriterSchemas
from pipeline.codec.schemas import Schema
from pipeline.core.enumerations import COUNTED
from pipeline.core.outcome import World
from pipeline.core.records import (
    AuditEntry,
    Cause,
    Command,
    Instant,
    PracticeCompleted,
    RecordCoordinates,
)
from pipeline.kafka.ranges import read_ranges
from pipeline.kafka.reader import Partition, record_offset, record_partition
from pipeline.ops.adjust.user_state import UserStates
from pipeline.ops.deadletters.letters import Letter
from pipeline.ops.deadletters.log import CLOCKS_MS
from pipeline.ops.explain.log import InputReader, reader_of
from pipeline.ops.progress import Say
from pipeline.ops.validate.verdicts import Entry, Said, Validator

SINGLY_MAX: Final = 300
"""Up to so many inputs are read by their offsets, more of them by reading everything between."""


class Forecaster:
    """Says what would now happen to letters.

    Args:
        client: librdkafka settings that reach the cluster.
        prefix: of the topics.
        schemas: ours, by record name. writer_schema: the schema of an id, by the registry.
        world: policies and catalogue, as the worker's.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        prefix: str,
        schemas: Mapping[str, Schema],
        writer_schema: WriterSchemas,
        world: World,
    ) -> None:
        self._log = (client, prefix, schemas, writer_schema)
        self._world = world
        self._decoder = InputDecoder(schemas, writer_schema)
        self._entries = PublishedReader(AuditEntry, schemas["AuditEntry"], writer_schema)

    def judge(self, letters: Sequence[Letter], now_ms: Instant, say: Say) -> list[Said]:
        """What would be said of each letter's input, if they were redriven in this order.

        Raises:
            UnreadableLogError: the brokers do not answer.
            RegistryError: a schema is not known, or cannot be asked for.
        """
        validator = Validator(self._world, self._decoder)
        users = {user for letter in letters if (user := letter.user_id)}
        if users:
            states = UserStates(*self._log, self._world.policies)
            validator.left.users |= states.read(users, say)
        practising = {one.user_id for one in letters if one.origin.topic == "completions"} & users
        if practising:
            since_ms = now_ms - self._world.policies.window_ms
            for counted in self._counted(practising, since_ms, say):
                validator.remember(*counted)
        return [validator.judge(entry_of(letter, now_ms)) for letter in letters]

    def _counted(
        self, users: Collection[str], since_ms: Instant, say: Say
    ) -> list[tuple[PracticeCompleted, Cause, Instant, Instant | None]]:
        """The completions of some users that counted since an instant, as they were appended."""
        causes = self._audited({user.encode() for user in users}, since_ms, say)
        found = []
        for place, record, append_time in self._inputs(causes.keys(), say):
            completion, judged_at = record, None
            if isinstance(record, Command):
                completion, judged_at = self._redriven(record), record.payload_append_time
            if isinstance(completion, PracticeCompleted):
                found.append((completion, causes[place], append_time, judged_at))
        return sorted(found, key=lambda one: one[2])

    def _redriven(self, command: Command) -> object:
        """The completion that a redrive carries; None where it carries none."""
        try:
            return self._decoder.decode_completion(command.payload)
        except DecodeError:
            return None

    def _audited(
        self, keys: Collection[bytes], since_ms: Instant, say: Say
    ) -> dict[RecordCoordinates, Cause]:
        """Where the inputs of some users are that counted since an instant."""
        client, prefix, _, _ = self._log
        found: dict[RecordCoordinates, Cause] = {}
        with reader_of(client) as reader:
            there = reader.partitions([f"{prefix}audit"])
            homes = {partition_of(key, len(there)) for key in keys}
            audit = [one for one in there if one[1] in homes]
            ends = reader.ends(audit)
            firsts = reader.since(audit, max(0, since_ms - CLOCKS_MS))
            ranges = {one: (at if at >= 0 else ends[one], ends[one]) for one, at in firsts.items()}
            step = "reading what counted before"
            for message in read_ranges(reader, ranges, lambda done, all_: say(step, done, all_)):
                if message.key() not in keys:
                    continue
                try:
                    entry = self._entries.read(message.value() or b"")
                except NotPublishedError:
                    continue  # whoever reads the topic first has said so
                if entry.verdict in COUNTED and entry.append_time >= since_ms:
                    found[entry.cause.coordinates] = entry.cause
        return found

    def _inputs(
        self, places: Collection[RecordCoordinates], say: Say
    ) -> Iterator[tuple[RecordCoordinates, object, Instant]]:
        """Inputs by their places: what they say, and when they were appended."""
        client, _, schemas, writer_schema = self._log
        if len(places) <= SINGLY_MAX:
            there = InputReader(client, schemas, writer_schema).read(list(places))
            for place, raw in there.items():
                yield place, raw.record, raw.append_time
            return
        ranges: dict[Partition, tuple[int, int]] = {}
        for one in places:
            partition = (one.topic, one.partition)
            first, end = ranges.get(partition, (one.offset, 0))
            ranges[partition] = (min(first, one.offset), max(end, one.offset + 1))
        step = "reading their inputs"
        with reader_of(client) as reader:
            for message in read_ranges(reader, ranges, lambda done, all_: say(step, done, all_)):
                place = RecordCoordinates(*record_partition(message), record_offset(message))
                if place in places:
                    yield place, self._decoded(message), message.timestamp()[1]

    def _decoded(self, message: Message) -> object:
        is_command = str(message.topic()).endswith("commands")
        decode: Callable[[bytes | None], object] = self._decoder.decode_completion
        try:
            return (self._decoder.decode_command if is_command else decode)(message.value())
        except DecodeError:
            return None


def entry_of(letter: Letter, now_ms: Instant) -> Entry:
    """A letter's input, as a redrive of now would carry it."""
    origin = letter.origin
    return Entry(
        str(letter.place),
        origin.topic,
        now_ms,
        origin.value,
        origin.key,
        has_key=True,
        judged_at=origin.append_time,
    )
