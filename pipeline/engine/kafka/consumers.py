"""The engine's consumers on librdkafka: the group consumer of the inputs, and the changelog reader.

Owns: the consumer settings that exactly-once rests on.
Does not own: when to poll and what to fetch (machine.py, recovery/); what is known about
librdkafka as such (pipeline/kafka/__init__.py).
Invariants: no consumer commits offsets, they are part of the transaction; there is no offset reset:
a partition is fetched from the offset that the engine names, or not at all.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from pipeline.engine.errors import BrokerError, ConsumerLostError, SlotTakenError
from pipeline.engine.kafka.config import REQUEST_TIMEOUT_S, KafkaConfig, broker_error, logger
from pipeline.engine.ports import Message, RebalanceListener, TopicPartition

SHARE_RECORDS: Final = 2_000
"""Records of one partition after which a poll stops waiting, and takes only what is there."""

FETCHED_AHEAD_RECORDS: Final = 1_500
"""Records in the client's queue above which it fetches no more.

All partitions share the queue, first in, first out: a record of a partition without lag waits for
all that is queued before it. A fetch brings records of each partition, so that partitions that all
lag fill a poll nevertheless. When only one lags, a poll drains its records and lets the others in.
"""

GATHER_RECORDS: Final = 500
"""Records per call while a poll gathers; after each call it counts those of each partition."""

FETCH_BYTES: Final = 128 << 10
"""Max bytes per partition and fetch; a larger producer batch is still returned whole."""

OUTSIDE_S: Final = 60.0
"""Seconds without an assignment after which, and then again, the group is asked for the member."""

QUEUE_BACKOFF_MS: Final = 1
"""Milliseconds until the client looks at a full queue again; in its default, 1 s, it runs dry."""


class SlotHolder(NamedTuple):
    """The member that the group knows under a slot."""

    client_id: str
    member_id: str


class KafkaGroupConsumer:
    """`GroupConsumer` on librdkafka."""

    def __init__(self, config: KafkaConfig, slot_holder: Callable[[], SlotHolder | None]) -> None:
        """Make a consumer that joins the group with `subscribe`.

        Args:
            config: of the slot.
            slot_holder: asks for the member that the group knows under the slot now, if any.
        """
        self._slot_holder = slot_holder
        self._client_id = f"{config.slot_id}-{uuid.uuid4().hex[:12]}"
        self._linger_s = config.poll_linger_s
        self._fatal: str | None = None
        self._frozen_s = config.session_timeout_ms / 1000
        self._polled_at = time.monotonic()
        self._assigned_as = ""
        self._is_assigned = False
        self._outside_since = time.monotonic()
        self._client = ck.Consumer(
            {
                "fetch.wait.max.ms": 20,
                "queued.min.messages": FETCHED_AHEAD_RECORDS,
                "queued.max.messages.kbytes": 65_536,
                "fetch.message.max.bytes": FETCH_BYTES,
                "fetch.queue.backoff.ms": QUEUE_BACKOFF_MS,
                **config.client,
                **config.consumer,
                "client.id": self._client_id,
                "group.id": config.group_id,
                "group.instance.id": config.slot_id,
                "group.protocol": "classic",
                "partition.assignment.strategy": "range",
                "session.timeout.ms": config.session_timeout_ms,
                "heartbeat.interval.ms": max(300, min(1_000, config.session_timeout_ms // 10)),
                "max.poll.interval.ms": config.poll_interval_ms_max,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": False,
            },
            logger=logger,
        )

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Join the group; the listener is called from inside `poll`."""

        def assigned(client: Any, partitions: list[Any]) -> None:
            client.assign([])
            self._assigned_as, self._is_assigned = client.memberid(), True
            listener.on_assigned(plain(partitions))

        def revoked(client: Any, partitions: list[Any]) -> None:
            self._is_assigned, self._outside_since = False, time.monotonic()
            listener.on_revoked(plain(partitions))
            client.unassign()

        def lost(client: Any, partitions: list[Any]) -> None:
            self._is_assigned, self._outside_since = False, time.monotonic()
            listener.on_lost(plain(partitions))
            client.unassign()

        self._client.subscribe(list(topics), on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def poll(self, records_max: int, wait_s: float) -> list[Message]:
        """Records that are there now; waits up to `wait_s` for the first one only.

        Raises:
            ConsumerLostError: this client failed for good, or does not join; use a new one.
            SlotTakenError: another worker has the slot.
            BrokerError: the broker did not answer.
        """
        if self._fatal is not None:
            self._fail(self._fatal)  # the client reports it once only
        if self._is_assigned and time.monotonic() - self._polled_at > self._frozen_s:
            self.check_slot()  # by joining again, the client would fence another member
        self._polled_at = time.monotonic()
        self._check_outside()
        try:
            records = self._client.consume(1, wait_s)
        except KafkaException as error:
            raise broker_error("polling", error) from error
        if records:
            try:
                self._gather(records, records_max)
            except KafkaException as error:  # the records before it must not be lost
                logger.warning("polling: %s", error.args[0].str())
        return self._without_events(records)

    def _check_outside(self) -> None:
        """Detect a client that does not join the group although the group answers.

        Seen after a busy broker was killed: the session timed out while the broker did not answer,
        the client gave up its partitions, and did not join again for nine minutes.

        Raises:
            ConsumerLostError: the group does not know this slot.
        """
        now = time.monotonic()
        if self._is_assigned or now - self._outside_since < OUTSIDE_S:
            return
        self._outside_since = now
        try:
            holder = self._slot_holder()
        except BrokerError:
            return  # no member gets an answer
        if holder is None:
            raise ConsumerLostError("the consumer does not join the group")

    def _gather(self, records: list[Any], records_max: int) -> None:
        """Add the records of the linger time; less once one partition has `SHARE_RECORDS`."""
        until = time.monotonic() + self._linger_s
        taken: Counter[int] = Counter()
        while (left := records_max - len(records)) > 0:
            asked = min(left, GATHER_RECORDS)
            more = self._client.consume(asked, max(0.0, until - time.monotonic()))
            records += more
            if len(more) < asked:
                return
            taken.update(record.partition() or 0 for record in more)
            if max(taken.values()) >= SHARE_RECORDS:
                until = 0.0

    def _without_events(self, records: list[Any]) -> list[Message]:
        if not any(record.error() for record in records):
            return cast(list[Message], records)
        good = []
        for record in records:
            error = record.error()
            if error is None:
                good.append(record)
            elif error.fatal() or error.code() == KafkaError._FATAL:
                self._fail(error.str())
            else:
                logger.warning("consumer: %s", error.str())
        return good

    def _fail(self, reason: str) -> None:
        """Tell whether a client that failed for good was fenced by another worker or by itself.

        A static member fences itself when the answer to its join request is lost, as in a broker's
        restart: it joins again, and the group drops the member that it had already become. A member
        that was fenced under the id of its last assignment was not joining, so another worker was.
        The client forgets its member id when its session times out, as during the broker's absence;
        the group does not.

        Raises:
            SlotTakenError: another worker has the slot.
            ConsumerLostError: nobody else has it.
        """
        self._fatal = reason
        member_id, holder = self._client.memberid(), self._slot_holder()
        if holder is not None and holder.member_id not in (member_id, self._assigned_as):
            was_member = bool(member_id) and member_id == self._assigned_as
            if was_member or holder.client_id != self._client_id:
                raise _taken(
                    f"{reason}; the group knows {holder.member_id} there, "
                    f"and this one was {self._assigned_as or 'none yet'}"
                )
        raise ConsumerLostError("the consumer failed for good", why=reason)

    def check_slot(self) -> None:
        """Check that the group's member under this slot is this consumer, or that there is none.

        The group keeps the client id of the first member that it knew under a slot, even of an
        earlier run of the slot: only the member id says which member has it now.

        Raises:
            SlotTakenError: another worker has the slot.
            BrokerError: the broker did not answer.
        """
        # The client forgets its id when its session times out, and joins again only within a poll.
        own = self._assigned_as if self._is_assigned else self._client.memberid()
        holder = self._slot_holder()
        if own and holder is not None and holder.member_id != own:
            raise _taken(f"the group knows {holder.member_id} there")

    def fetch(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Fetch exactly these partitions, from exactly these offsets."""
        try:
            self._client.assign([ck.TopicPartition(*tp, offset) for tp, offset in offsets.items()])
        except KafkaException as error:
            raise broker_error("assigning", error) from error

    def committed(
        self, partitions: Sequence[TopicPartition], wait_s: float = REQUEST_TIMEOUT_S
    ) -> dict[TopicPartition, int | None]:
        """The group's stable offsets; None for a partition without one."""
        try:
            found = self._client.committed([ck.TopicPartition(*tp) for tp in partitions], wait_s)
        except KafkaException as error:
            raise broker_error("reading the group's offsets", error) from error
        for tp in found:
            if tp.error is not None:
                raise BrokerError("reading the group's offsets", why=tp.error.str())
        return {
            TopicPartition(tp.topic, tp.partition): tp.offset if tp.offset >= 0 else None
            for tp in found
        }

    def group_metadata(self) -> Any:
        """A snapshot of the group membership, with the consumer group's generation."""
        return self._client.consumer_group_metadata()

    def close(self) -> None:
        """Stop; the group keeps a static member's partitions for it until its session times out."""
        self._client.close()


class KafkaChangelogReader:
    """`ChangelogReader` on librdkafka."""

    def __init__(self, config: KafkaConfig) -> None:
        self._client = ck.Consumer(
            {
                "queued.min.messages": 200_000,
                "queued.max.messages.kbytes": 131_072,
                "fetch.wait.max.ms": 20,
                "fetch.queue.backoff.ms": QUEUE_BACKOFF_MS,
                **config.client,
                "group.id": f"{config.group_id}-restore",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            },
            logger=logger,
        )

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets."""
        self._client.assign([ck.TopicPartition(*tp, offset) for tp, offset in offsets.items()])

    def poll(
        self, records_max: int, wait_s: float
    ) -> tuple[list[Message], dict[TopicPartition, int]]:
        """Records, and the last stable offset of each partition that was read to it."""
        try:
            polled = self._client.consume(1, wait_s)
            if polled:
                polled += self._client.consume(records_max - 1, 0)
        except KafkaException as error:
            raise broker_error("reading changelogs", error) from error
        records: list[Message] = []
        ends: dict[TopicPartition, int] = {}
        for record in cast(list[Any], polled):
            event = record.error()
            if event is None:
                records.append(record)
            elif event.code() == KafkaError._PARTITION_EOF:
                ends[TopicPartition(record.topic(), record.partition())] = record.offset()
            else:
                logger.warning("changelog reader: %s", event.str())
        return records, ends

    def high(self, partition: TopicPartition) -> int | None:
        """The high watermark that came with the partition's last fetch; None before the first."""
        known = self._client.get_watermark_offsets(ck.TopicPartition(*partition), cached=True)
        return known[1] if known and known[1] >= 0 else None

    def close(self) -> None:
        """Stop reading."""
        self._client.close()


def _taken(why: str) -> SlotTakenError:
    return SlotTakenError(
        "another worker joined the group under this slot, and this one stops",
        why=why,
        fix="give each worker its own AWAWAY_SLOT; in Kubernetes it is the pod's ordinal",
    )


def plain(partitions: list[Any]) -> list[TopicPartition]:
    """The client library's partitions as ours."""
    return [TopicPartition(tp.topic, tp.partition) for tp in partitions]
