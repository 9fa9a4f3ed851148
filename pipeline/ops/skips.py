"""Inputs that an operator has put aside by their offset.

Owns: the topic of skips: what its records say, reading it whole, adding and withdrawing one.
Does not own: what a worker does with a skipped input (processing.py), the command (cli/skip.py).
Invariants: a skip names who asked, why and the ticket, and the audit entry of the input will; an
offset that was processed cannot be skipped any more; the input itself is never read here but to
show its first bytes, and stays in its topic.

It is for the day when an input stops every worker that reads it. Workers read the skips when they
start, which a worker that was stopped does next; one that runs already has not met such an input.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import confluent_kafka as ck
import msgspec
from confluent_kafka import KafkaException, Message

from pipeline.core.rejection import quoted
from pipeline.core.texts import is_id, is_note
from pipeline.errors import AwawayError, UsageError
from pipeline.kafka.committed_log import LOG_LEVEL, CommittedLog
from pipeline.kafka.errors import unreadable

TOPIC: Final = "skips"
READ_S_MAX: Final = 60.0
_REQUEST_S: Final = 15.0
_PREVIEW_BYTES: Final = 48


class Skip(msgspec.Struct, frozen=True):
    """One input that is put aside.

    Attributes:
        topic: full name. actor: who asked, by the credentials (kafka/principal.py).
        asked_at: ms since the epoch, by the actor's clock.
    """

    topic: str
    partition: int
    offset: int
    actor: str
    reason: str
    ticket: str
    asked_at: int

    @property
    def place(self) -> str:
        """Its record's key: `topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.offset}"


Skips = Mapping[tuple[str, int], Mapping[int, Skip]]
"""By topic and partition, then by offset."""


class SkipRefusedError(AwawayError):
    """An offset cannot be put aside, or no more.

    **Operator action**: as the message says; `awaway explain` tells what became of an input.
    """


class Preview(msgspec.Struct, frozen=True):
    """An input as it lies there, unread: nothing of it is decoded."""

    append_time: int
    key: str
    value: str
    value_bytes: int


def check(skip: Skip) -> None:
    """Whether a skip says who and why.

    Raises:
        UsageError: it does not.
    """
    if not is_id(skip.actor):
        raise UsageError(f"{quoted(skip.actor)} is no actor", fix="name a person or a service")
    check_notes(skip.reason, skip.ticket)


def check_notes(reason: str, ticket: str) -> None:
    """Whether the audit can keep a reason and a ticket.

    Raises:
        UsageError: it cannot.
    """
    for name, text in (("reason", reason), ("ticket", ticket)):
        if not text.strip() or not is_note(text):
            raise UsageError(f"there is no {name} that can be kept", fix=f"give a short --{name}")


def by_partition(skips: Iterable[Skip]) -> Skips:
    """Skips as a worker looks them up."""
    found: dict[tuple[str, int], dict[int, Skip]] = {}
    for skip in skips:
        found.setdefault((skip.topic, skip.partition), {})[skip.offset] = skip
    return found


class SkipTopic:
    """The topic of skips.

    Args:
        client: librdkafka settings that reach the cluster.
        prefix: of the topics.
        group: of the generation's workers; its offsets tell what was processed.
    """

    def __init__(self, client: Mapping[str, Any], prefix: str, group: str) -> None:
        self._client = {**client, "log_level": LOG_LEVEL}
        self._topic = f"{prefix}{TOPIC}"
        self._group = group

    def all(self) -> list[Skip]:
        """Every skip that was not withdrawn, by place.

        Raises:
            UnreadableLogError: the brokers do not answer, or the topic cannot be read to its end.
            AwawayError: the last record of a key is no skip.
        """
        # A worker that starts waits for this: an empty topic is to say so at once.
        client = {**self._client, "fetch.wait.max.ms": 20}
        with CommittedLog(client, [self._topic]) as log:
            return current(log.to_its_ends(READ_S_MAX))

    def preview(self, skip: Skip) -> Preview:
        """The input that a skip is about.

        Raises:
            SkipRefusedError: it is not there, or was processed already.
        """
        consumer = ck.Consumer(
            self._client | {"group.id": self._group, "enable.auto.commit": False}
        )
        try:
            return self._preview(consumer, skip)
        except KafkaException as error:
            cause = unreadable("offsets are not known", error)
            raise SkipRefusedError(
                f"{skip.place} cannot be looked at",
                why=str(cause),
                fix=cause.fix
                or "is there such a partition, and may you read it and the offsets "
                f"of the group {self._group} (`awaway topics acls`)?",
            ) from error
        finally:
            consumer.close()

    def _preview(self, consumer: ck.Consumer, skip: Skip) -> Preview:
        place = ck.TopicPartition(skip.topic, skip.partition, skip.offset)
        first, end = consumer.get_watermark_offsets(place, timeout=_REQUEST_S)
        if not first <= skip.offset < end:
            raise SkipRefusedError(
                f"there is no input {skip.place}",
                why=f"the partition has offsets {first} to {end - 1}",
                fix="take the offset from the worker's log, where it stopped",
            )
        (committed,) = consumer.committed([place], timeout=_REQUEST_S)
        if committed.error is not None:
            raise KafkaException(committed.error)
        if committed.offset > skip.offset:
            raise SkipRefusedError(
                f"{skip.place} was processed already",
                why=f"the group {self._group} goes on from {committed.offset}",
                fix="its audit entry says what became of it: `awaway explain`",
            )
        consumer.assign([place])
        for message in consumer.consume(1, _REQUEST_S):
            if message.error() is None and message.offset() == skip.offset:
                value = message.value() or b""
                return Preview(
                    message.timestamp()[1],
                    repr(message.key()),
                    repr(value[:_PREVIEW_BYTES]) + "..." * (len(value) > _PREVIEW_BYTES),
                    len(value),
                )
        raise SkipRefusedError(
            f"there is no record at {skip.place}",
            why="it is a transaction's marker, or its transaction was aborted or still goes on",
            fix="take the offset from the worker's log, where it stopped",
        )

    def add(self, skip: Skip) -> None:
        """Put an input aside.

        Raises:
            SkipRefusedError: the brokers did not take it.
        """
        self._send(skip.place, msgspec.json.encode(skip))

    def withdraw(self, skip: Skip) -> None:
        """Take a skip back, while its input was not processed; call `preview` first.

        Raises:
            SkipRefusedError: the brokers did not take it.
        """
        self._send(skip.place, None)

    def _send(self, key: str, value: bytes | None) -> None:
        failed: list[str] = []
        producer = ck.Producer(
            self._client | {"enable.idempotence": True, "delivery.timeout.ms": 15_000}
        )
        producer.produce(
            self._topic,
            key=key,
            value=value,
            on_delivery=lambda error, _: failed.append(str(error)) if error else None,
        )
        if producer.flush(20) or failed:
            raise SkipRefusedError(
                f"{self._topic} did not take it",
                why="; ".join(failed) or "no answer came",
                fix="is the broker up, and may you write to the topic (`awaway topics acls`)?",
            )


def current(messages: Iterable[Message]) -> list[Skip]:
    """The skips that hold after some records of the topic, by place.

    Args:
        messages: in their order. Of each key only the last counts, also where it is no skip: a
            tombstone mends a bad record at once, and not when the topic is compacted.

    Raises:
        AwawayError: the last record of a key is no skip.
    """
    last = {message.key() or b"": message for message in messages}
    kept = [skip for skip in map(_decoded, last.values()) if skip is not None]
    return sorted(kept, key=lambda one: (one.topic, one.partition, one.offset))


def _decoded(message: Message) -> Skip | None:
    value = message.value()
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=Skip)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise AwawayError(
            "a record of the topic of skips is none",
            why=f"partition {message.partition()}, offset {message.offset()}, key "
            f"{message.key()!r}: {error}",
            fix="find out who wrote it; write a tombstone (a null value) under the same key",
        ) from error
