"""Sends corrections, and reads back what became of them.

Owns: the producer, the wait for the audit entry of exactly the record that was
sent and then for the progress that shows it.
Does not own: what a command would do (preview.py), how fast many are sent (bulk.py).
Invariants: the readers stand at the ends of audit and progress before the first command is sent, so
no effect is missed; a request that was handed to the brokers is never said to be undone.
"""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import confluent_kafka as ck
import msgspec
from confluent_kafka import KafkaError, KafkaException, Message

from pipeline.codec.partitioner import OF_ITS_KEY
from pipeline.codec.published import NotPublishedError, PublishedReader, WriterSchemas
from pipeline.codec.schemas import Schema
from pipeline.core.enumerations import PublishedVerdict
from pipeline.core.records import AuditEntry, Command, ProgressUpdated, RecordCoordinates
from pipeline.errors import AwawayError
from pipeline.kafka.committed_log import LOG_LEVEL
from pipeline.kafka.errors import UnreadableLogError, unreadable
from pipeline.kafka.reader import Partition, Reader
from pipeline.ops.adjust.request import encoded

READY_S_MAX: Final = 15.0
"""Seconds that the readers may take to stand at their ends."""

_MESSAGE_BYTES_MAX: Final = 2_097_152
"""As the topic of commands takes (topics.yaml)."""

_DELIVERY_MS_MAX: Final = 15_000
_FLUSH_S_MAX: Final = 5.0
_POLL_S: Final = 0.05
_RECORDS_AT_ONCE: Final = 1_000


class NotSentError(AwawayError):
    """The brokers did not take a request, or did not say that they took it.

    **Operator action**: see whether the brokers run, and whether the principal may write to
    `commands` (`awaway topics acls`); ask again with the same request id, which is safe.
    """


class NotReadBackError(AwawayError):
    """A request is in the log, and its effect was not seen in time.

    **Operator action**: see whether workers run and how far they lag; the request takes effect when
    a worker reaches it. Ask again with the same request id, which is safe.
    """


class Effect(msgspec.Struct, frozen=True):
    """What became of a request.

    Attributes:
        place: of the request in the log. verdict, rejection, revision, unlock_ids: of its audit
            entry.
        audit_s, seconds: from sending it until its audit entry, and until the progress with that
            revision was read; the same unless the verdict is applied.
    """

    request_id: str
    user_id: str
    place: RecordCoordinates
    verdict: PublishedVerdict
    rejection: str | None
    revision: int
    unlock_ids: tuple[str, ...]
    audit_s: float
    seconds: float


class Pending(msgspec.Struct):
    """A request on its way.

    Attributes:
        sent_s: by the monotonic clock. place: None until the brokers have acknowledged it.
        error: why the brokers did not take it.
        entry, audit_s: once they are read.
    """

    command: Command
    sent_s: float
    place: RecordCoordinates | None = None
    error: str | None = None
    entry: AuditEntry | None = None
    audit_s: float = 0.0


class Corrections:
    """Sends commands and reads their effects back; a context manager, used by one thread.

    Args:
        client: librdkafka settings that reach the cluster.
        prefix: of the topics.
        schemas: ours, by record name. writer_schema: the schema of an id, by the registry.

    Attributes:
        pending: by request id.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        prefix: str,
        schemas: Mapping[str, Schema],
        writer_schema: WriterSchemas,
    ) -> None:
        common = {"log_level": LOG_LEVEL, **client, "client.id": "awaway-adjust"}
        self._commands = f"{prefix}commands"
        self._audit = f"{prefix}audit"
        self._progress = f"{prefix}progress"
        self._audit_reader = PublishedReader(AuditEntry, schemas["AuditEntry"], writer_schema)
        self._progress_reader = PublishedReader(
            ProgressUpdated, schemas["ProgressUpdated"], writer_schema
        )
        self._reader = Reader(common | {"fetch.message.max.bytes": 16 << 20}, "awaway-adjust")
        self._producer: Any = ck.Producer(
            common
            | {
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 0,
                "message.max.bytes": _MESSAGE_BYTES_MAX,
                "delivery.timeout.ms": _DELIVERY_MS_MAX,
            }
        )
        self.pending: dict[str, Pending] = {}
        self._users: dict[bytes, int] = {}
        self._revisions: dict[str, int] = {}
        self._entries: dict[RecordCoordinates, AuditEntry] = {}

    def __enter__(self) -> Self:
        """Read from the ends of now.

        Raises:
            UnreadableLogError: the brokers do not answer, or nobody may read there; nothing is
                sent.
        """
        try:
            partitions = self._reader.partitions([self._audit, self._progress])
            self._reader.assign(self._reader.ends(partitions))
            self._stand_ready(set(partitions))
        except BaseException:
            self._reader.close()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if any(one.place is None for one in self.pending.values()):
            self._producer.flush(_FLUSH_S_MAX)
        self._reader.close()

    def _stand_ready(self, partitions: set[Partition]) -> None:
        deadline_s = time.monotonic() + READY_S_MAX
        while waiting := partitions - self._reader.reached.keys():
            if time.monotonic() > deadline_s:
                raise UnreadableLogError(
                    "audit and progress cannot be followed, so nothing was sent",
                    why=f"nothing came of {sorted(waiting)} for {READY_S_MAX:.0f} s",
                    fix="are the brokers busy? ask again later",
                )
            waiting -= {
                (str(one.topic()), int(one.partition() or 0))
                for one in self._reader.poll(_RECORDS_AT_ONCE, _POLL_S).records
            }
            partitions &= waiting

    def send(self, command: Command, create_time_ms: int = 0, partition: int = OF_ITS_KEY) -> None:
        """Hand a command to the brokers, who acknowledge it later.

        Args:
            create_time_ms: its stamp where topics have simulated time; 0 is now.
            partition: for a command without a user, who decides it otherwise.

        Raises:
            NotSentError: they take nothing at all.
        """
        one = Pending(command, time.monotonic())
        key = command.user_id.encode()
        try:
            self._producer.produce(
                self._commands,
                key=key,
                value=encoded(command),
                partition=partition,
                timestamp=create_time_ms,
                on_delivery=lambda error, message: _acknowledge(one, error, message),
            )
        except (BufferError, KafkaException) as error:
            raise _not_sent(command, str(error)) from error
        self.pending[command.request_id] = one
        self._users[key] = self._users.get(key, 0) + 1

    def poll(self, wait_s: float = _POLL_S) -> list[Effect]:
        """Read on, and return the effects that are known by now.

        Raises:
            UnreadableLogError: the brokers refuse.
        """
        self._producer.poll(0)
        for message in self._reader.poll(_RECORDS_AT_ONCE, wait_s).records:
            self._take(message)
        self._producer.poll(0)
        found = []
        for one in list(self.pending.values()):
            effect = self._effect(one)
            if effect is not None:
                self.forget(one)
                found.append(effect)
        return found

    def forget(self, one: Pending) -> None:
        """Wait no more for a request."""
        del self.pending[one.command.request_id]
        key = one.command.user_id.encode()
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key]
            self._revisions.pop(one.command.user_id, None)

    def wait(self, request_id: str, within_s: float) -> Effect:
        """Return the effect of one request.

        Raises:
            NotSentError: the brokers refused it, or did not acknowledge it in time.
            NotReadBackError: it is in the log, and its effect was not seen in time.
        """
        one = self.pending[request_id]
        deadline_s = one.sent_s + within_s
        while one.error is None and time.monotonic() < deadline_s:
            try:
                effects = self.poll()
            except UnreadableLogError as error:
                raise overdue(one, within_s, str(error)) from error
            found = [effect for effect in effects if effect.request_id == request_id]
            if found:
                return found[0]
        self.forget(one)
        raise overdue(one, within_s)

    def _take(self, message: Message) -> None:
        key, value = message.key() or b"", message.value()
        if key not in self._users or value is None:
            return
        try:
            if message.topic() == self._audit:
                entry = self._audit_reader.read(value)
                if entry.cause.id in self.pending:
                    self._entries[entry.cause.coordinates] = entry
            else:
                progress = self._progress_reader.read(value)
                before = self._revisions.get(progress.user_id, 0)
                self._revisions[progress.user_id] = max(before, progress.revision)
        except NotPublishedError:
            return  # whoever reads the topic first has said so

    def _effect(self, one: Pending) -> Effect | None:
        if one.entry is None and one.place is not None:
            one.entry = self._entries.pop(one.place, None)
            one.audit_s = time.monotonic() - one.sent_s
        entry, place = one.entry, one.place
        if entry is None or place is None:
            return None
        user_id = one.command.user_id
        if entry.verdict == "applied" and self._revisions.get(user_id, 0) < entry.revision:
            return None
        return Effect(
            one.command.request_id,
            user_id,
            place,
            entry.verdict,
            entry.rejection,
            entry.revision,
            entry.unlock_ids,
            round(one.audit_s, 4),
            round(time.monotonic() - one.sent_s, 4),
        )


def overdue(one: Pending, within_s: float, trouble: str = "") -> AwawayError:
    """What to say of a request that has no effect yet.

    Args:
        trouble: with reading it back.
    """
    command, place = one.command, one.place
    if place is None:
        return _not_sent(command, one.error or f"no acknowledgement came within {within_s:g} s")
    if trouble:
        why = f"it is in the log at {place}; {trouble}"
        fix = "see whether the brokers run"
    elif one.entry is None:
        why = f"it is in the log at {place}, and no worker has processed it yet"
        fix = "see whether workers run, and the lag of their group on this partition"
    else:
        why = (
            f"the audit has it ({one.entry.verdict}, revision {one.entry.revision}), and progress "
            "does not show that revision yet"
        )
        fix = "see whether somebody else's transaction is open on the topic progress"
    return NotReadBackError(
        f"the effect of {command.request_id} was not read back within {within_s:g} s",
        why=why,
        fix=f"{fix}; it takes effect all the same, and to ask again with --request-id "
        f"{command.request_id} is safe",
        request_id=command.request_id,
        topic=place.topic,
        partition=place.partition,
        offset=place.offset,
    )


def _not_sent(command: Command, why: str) -> NotSentError:
    return NotSentError(
        "the brokers did not acknowledge the request",
        why=why,
        fix="do they run, and may you write to commands (`awaway topics acls`)? It may be in the "
        f"log all the same; to ask again with --request-id {command.request_id} is safe",
        request_id=command.request_id,
    )


def _acknowledge(one: Pending, error: KafkaError | None, message: Message) -> None:
    if error is not None:
        one.error = str(unreadable("the request was not taken", error))
        return
    one.place = RecordCoordinates(
        str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
    )
