"""The engine's consumers on librdkafka: of the inputs, and of the changelogs.

Owns: the consumer settings that exactly-once rests on.
Does not own: when to poll and what to fetch (machine.py, restore.py).
Invariants: nothing is committed here, offsets go with the transaction; there is no offset reset: a
partition is fetched from the offset that the engine names, or not at all.
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
"""A poll that has so many of one partition waits for no more; it takes what is there."""

FETCHED_AHEAD_RECORDS: Final = 1_500
"""No more is fetched while so many wait to be polled.

All partitions share one queue, first come, first served: it is what a record waits behind whose
partition is not behind. A fetch brings a stretch of each partition, so those that are all behind
fill a poll nevertheless. One that is behind alone is drained by a poll, which lets the others in.
"""

GATHER_RECORDS: Final = 500
"""After so many it is seen how many there are of each partition."""

FETCH_BYTES: Final = 128 << 10
"""Of one partition in one fetch; a batch of its producer that is larger comes whole."""

OUTSIDE_S: Final = 60.0
"""Who has no assignment for so long is looked for in the group, and then every so often."""

QUEUE_BACKOFF_MS: Final = 1
"""A full queue is looked at again after so long; librdkafka's second would leave it empty."""


class SlotHolder(NamedTuple):
    """The member that a group has under a slot, as the group knows it."""

    client_id: str
    member_id: str


class KafkaGroupConsumer:
    """`GroupConsumer` on librdkafka."""

    def __init__(self, config: KafkaConfig, slot_holder: Callable[[], SlotHolder | None]) -> None:
        """Make a member of the group; it joins with `subscribe`.

        Args:
            config: of the slot.
            slot_holder: the member that the group knows under the slot now, if any.
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
            ConsumerLostError: this client cannot go on, or does not join; join with another.
            SlotTakenError: another worker has the slot.
            BrokerError: it did not answer.
        """
        if self._fatal is not None:
            self._fail(self._fatal)  # it is told once only; ask again until it is answered
        if self._is_assigned and time.monotonic() - self._polled_at > self._frozen_s:
            self.check_slot()  # the client would join again, and drop whoever has the slot now
        self._polled_at = time.monotonic()
        self._check_outside()
        try:
            records = self._client.consume(1, wait_s)
        except KafkaException as error:
            raise broker_error("polling", error) from error
        if records:
            try:
                self._gather(records, records_max)
            except KafkaException as error:  # what came before it must not be lost with it
                logger.warning("polling: %s", error.args[0].str())
        return self._without_events(records)

    def _check_outside(self) -> None:
        """Give up a client that does not join a group that is there.

        Seen on a busy broker that was killed: the session timed out while nobody answered, the
        client gave its partitions up, and was silent for nine minutes.
        """
        now = time.monotonic()
        if self._is_assigned or now - self._outside_since < OUTSIDE_S:
            return
        self._outside_since = now
        try:
            holder = self._slot_holder()
        except BrokerError:
            return  # the group is away, for everybody
        if holder is None:
            raise ConsumerLostError("the consumer does not join the group")

    def _gather(self, records: list[Any], records_max: int) -> None:
        """Add what comes within the linger, or is there when one partition has its share."""
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
        """Tell a slot that another worker has taken from a consumer that fenced itself.

        A static member fences itself when the answer to its join is lost, as in a broker's restart:
        it joins again and the group drops the member that it had become already. Whoever was fenced
        under the id of its last assignment was not joining, so another one was. The client forgets
        its id when its session times out, as while the broker was away; the group does not.
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
        raise ConsumerLostError("the consumer cannot go on", why=reason)

    def check_slot(self) -> None:
        """Ask the group who is its member under this slot.

        The group keeps the client id of the first member that it knew under a slot, also when that
        was this slot's last run: only the member id tells who it is now.
        """
        # The client forgets its id when its session times out; it joins again within a poll only.
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
        """The group's stable offsets; None where there is none."""
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
        """A snapshot of the group membership."""
        return self._client.consumer_group_metadata()

    def close(self) -> None:
        """Stop; a static member keeps its partitions until the session times out."""
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
        """Records, and the last stable offset of each partition that was read up to it."""
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
